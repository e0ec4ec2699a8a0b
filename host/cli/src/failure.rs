//! Why a command did not do what it was asked to: in words for a person, in JSON for a program, in an exit code
//! for a shell.
//!
//! A failed *task* is no failure of a command: it is a result, and ends with [`Exit::TaskFailed`].

use std::fmt::{self, Display};
use std::io;
use std::path::Path;

use saggar_jetstream::{ControlError, Fault};
use saggar_model::config::{Problem, Problems};
use saggar_model::escape;
use saggar_registry::RegistryError;
use serde_json::{Value, json};

/// How the process ends. The numbers are documented and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// What was compared differs.
    Different,
    /// The command did its work, and the task or a case failed.
    TaskFailed,
    /// The command line makes no sense; clap uses the same number.
    Usage,
    /// A file, a component or a value is not what it has to be.
    BadConfiguration,
    /// What was named is not there.
    NotFound,
    /// NATS or a registry cannot be reached, or does not answer.
    Unavailable,
    /// Our fault.
    Internal,
    /// NATS or the file system refuses us.
    Denied,
    /// Ended at once on a second signal, without waiting for anything.
    Aborted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::TaskFailed | Self::Different => 1,
            Self::Usage => 2,
            Self::BadConfiguration => 64,
            Self::NotFound => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::Denied => 77,
            Self::Aborted => 130,
        }
    }
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line makes no sense.
    Usage,
    /// A file, a component or a value is not what it has to be.
    BadConfiguration,
    /// Something else was there first, or changed meanwhile.
    Conflict,
    /// What was named is not there.
    NotFound,
    /// NATS cannot be reached, or does not answer.
    Unavailable,
    /// A registry cannot be reached, or is too slow.
    NoRegistry,
    /// NATS answers, and what was waited for did not happen in time.
    TimedOut,
    /// Our fault.
    Internal,
    /// NATS or the file system refuses us.
    Denied,
}

impl Kind {
    /// The exit code that goes with it.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Usage => Exit::Usage,
            Self::BadConfiguration | Self::Conflict => Exit::BadConfiguration,
            Self::NotFound => Exit::NotFound,
            Self::Unavailable | Self::NoRegistry | Self::TimedOut => Exit::Unavailable,
            Self::Internal => Exit::Internal,
            Self::Denied => Exit::Denied,
        }
    }

    /// The name a program can rely on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::BadConfiguration => "bad-configuration",
            Self::Conflict => "conflict",
            Self::NotFound => "not-found",
            Self::Unavailable => "nats-unavailable",
            Self::NoRegistry => "registry-unavailable",
            Self::TimedOut => "timed-out",
            Self::Internal => "internal",
            Self::Denied => "denied",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Usage => "The command line makes no sense",
            Self::BadConfiguration => "A file or a value is not what it has to be",
            Self::Conflict => "Something else was there first",
            Self::NotFound => "What was named is not there",
            Self::Unavailable => "NATS is unavailable",
            Self::NoRegistry => "A registry is unavailable",
            Self::TimedOut => "What was waited for did not happen in time",
            Self::Internal => "Saggar failed",
            Self::Denied => "Access is denied",
        }
    }
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable => Self::Unavailable,
            Fault::NotFound => Self::NotFound,
            Fault::Denied => Self::Denied,
            Fault::Conflict => Self::Conflict,
            Fault::Invalid => Self::BadConfiguration,
            Fault::Internal => Self::Internal,
        }
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: Kind,
    detail: String,
    advice: Option<String>,
    problems: Vec<(String, Problem)>,
}

impl Failure {
    /// A failure in a sentence or two.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Display) -> Self {
        Self { kind, detail: detail.to_string(), advice: None, problems: Vec::new() }
    }

    /// With what to do about it.
    #[must_use]
    pub fn advice(self, advice: impl Display) -> Self {
        Self { advice: Some(advice.to_string()), ..self }
    }

    /// Whether it says what to do.
    #[must_use]
    pub fn has_advice(&self) -> bool {
        self.advice.is_some()
    }

    /// The mistakes of one or more files, all at once.
    #[must_use]
    pub fn mistakes(files: Vec<Problems>) -> Self {
        let detail = files.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let problems = files
            .into_iter()
            .flat_map(|file| file.problems.into_iter().map(move |problem| (file.file.clone(), problem)))
            .collect();
        Self { problems, ..Self::new(Kind::BadConfiguration, detail) }
    }

    /// A mistake of a file that shows only when NATS is asked.
    #[must_use]
    pub fn mistake(kind: Kind, file: &str, problem: Problem) -> Self {
        Self { kind, ..Self::mistakes(vec![Problems { file: file.to_owned(), problems: vec![problem] }]) }
    }

    /// Several failures as one, of the first one's kind; nothing if there is none.
    #[must_use]
    pub fn all(failures: Vec<Self>) -> Option<Self> {
        failures.into_iter().reduce(|mut all, next| {
            all.detail = format!("{}\n{}", all.detail, next.detail);
            all.problems.extend(next.problems);
            all.advice = match (all.advice, next.advice) {
                (Some(one), Some(other)) if one != other => Some(format!("{one}\n{other}")),
                (one, other) => one.or(other),
            };
            all
        })
    }

    /// A file that could not be read or written.
    #[must_use]
    pub fn file(path: &Path, doing: &str, error: &io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(Kind::NotFound, format!("{path} does not exist")),
            io::ErrorKind::PermissionDenied => Self::new(Kind::Denied, format!("{path} may not be {doing}")),
            io::ErrorKind::IsADirectory => {
                Self::new(Kind::BadConfiguration, format!("{path} is a directory, and a file is wanted"))
            }
            _ => Self::new(Kind::BadConfiguration, format!("{path} cannot be {doing}: {error}")),
        }
    }

    /// The failure as RFC 9457 has it.
    #[must_use]
    pub fn problem(&self) -> Value {
        let code = self.kind.code();
        let mut problem = json!({
            "type": format!("urn:saggar:error:{code}"),
            "title": self.kind.title(),
            "detail": self.detail,
            "code": code,
            "exit_code": self.kind.exit().code(),
        });
        if let Some(advice) = &self.advice {
            problem["advice"] = advice.as_str().into();
        }
        if !self.problems.is_empty() {
            let errors = self.problems.iter().map(|(file, problem)| {
                json!({ "file": file, "line": problem.line, "key": problem.key, "message": problem.message })
            });
            problem["errors"] = errors.collect();
        }
        problem
    }
}

/// The failure for a person, without its `error: `. What others wrote is escaped, line by line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.detail.lines().chain(self.advice.iter().flat_map(|advice| advice.lines()));
        for (at, line) in lines.enumerate() {
            match at {
                0 => f.write_str(&escape(line))?,
                _ => write!(f, "\n  {}", escape(line))?,
            }
        }
        Ok(())
    }
}

impl From<saggar_sandbox::Refused> for Failure {
    fn from(refused: saggar_sandbox::Refused) -> Self {
        Self::new(Kind::BadConfiguration, refused)
    }
}

impl From<saggar_sandbox::CompileError> for Failure {
    fn from(error: saggar_sandbox::CompileError) -> Self {
        match error {
            saggar_sandbox::CompileError::Refused(refused) => refused.into(),
            process @ saggar_sandbox::CompileError::Process(_) => Self::new(Kind::Internal, process).advice(
                "Components are compiled by a child of this program, which needs to start processes and threads and \
                 to confine them with seccomp; check what a container allows. Trying again may help.",
            ),
        }
    }
}

impl From<saggar_admin::AdminError> for Failure {
    fn from(error: saggar_admin::AdminError) -> Self {
        Self::new(Kind::BadConfiguration, error)
    }
}

impl From<saggar_worker::HostError> for Failure {
    fn from(error: saggar_worker::HostError) -> Self {
        Self::new(error.fault().into(), error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let kind = match &error {
            RegistryError::Unreachable { .. } | RegistryError::Slow { .. } | RegistryError::Status { .. } => {
                Kind::NoRegistry
            }
            RegistryError::NotFound { .. } => Kind::NotFound,
            RegistryError::Denied { .. } => Kind::Denied,
            RegistryError::Host(_)
            | RegistryError::Astray { .. }
            | RegistryError::Challenge { .. }
            | RegistryError::TooLarge { .. }
            | RegistryError::WrongSize { .. }
            | RegistryError::Encoded { .. }
            | RegistryError::WrongDigest { .. }
            | RegistryError::Manifest(_) => Kind::BadConfiguration,
        };
        let denied = kind == Kind::Denied;
        let failure = Self::new(kind, error);
        if denied {
            failure.advice("Say who you are with --registry-user and --registry-password-file.")
        } else {
            failure
        }
    }
}

impl From<saggar_sandbox::SandboxError> for Failure {
    fn from(error: saggar_sandbox::SandboxError) -> Self {
        Self::new(Kind::Internal, error).advice(
            "The sandbox reserves address space, not memory; check `ulimit -v` and what a container lets a process \
             reserve.",
        )
    }
}

macro_rules! from_jetstream {
    ($($error:ident),* $(,)?) => {$(
        impl From<saggar_jetstream::$error> for Failure {
            fn from(error: saggar_jetstream::$error) -> Self {
                Self::new(error.fault().into(), error)
            }
        }
    )*};
}

from_jetstream!(
    ConnectError,
    DeadError,
    PluginsError,
    ProvisionError,
    PublishError,
    PullError,
    RecordsError,
    RequestError,
    SchedulesError,
    StateError,
    TargetError,
    TenantsError,
    TimerError,
    UsageError,
);

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::mistakes(vec![problems])
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let failure = Self::new(Kind::from(error.fault()), &error);
        match error {
            ControlError::NoHost => failure.advice("Start one with `saggar host`; see `saggar host ls`."),
            ControlError::Refused { .. } if failure.kind == Kind::NotFound => {
                failure.advice("See `saggar task ls` and `saggar queue ls`.")
            }
            ControlError::Refused { .. } | ControlError::Request(_) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_documentation() {
        let codes = [
            (Kind::Usage, 2),
            (Kind::BadConfiguration, 64),
            (Kind::Conflict, 64),
            (Kind::NotFound, 66),
            (Kind::Unavailable, 69),
            (Kind::NoRegistry, 69),
            (Kind::TimedOut, 69),
            (Kind::Internal, 70),
            (Kind::Denied, 77),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit().code(), code, "{kind:?}");
        }
        assert_eq!((Exit::Success.code(), Exit::TaskFailed.code()), (0, 1));
    }

    #[test]
    fn a_failure_in_json_is_a_problem_document() {
        let problem =
            Failure::new(Kind::NotFound, "no such queue").advice("look at `saggar queue ls`").problem();
        assert_eq!(problem["type"], "urn:saggar:error:not-found");
        assert_eq!(problem["code"], "not-found");
        assert_eq!(problem["detail"], "no such queue");
        assert_eq!(problem["exit_code"], 66);
        assert_eq!(problem["advice"], "look at `saggar queue ls`");
        assert!(problem["title"].is_string() && problem["errors"].is_null());
    }

    #[test]
    fn mistakes_keep_their_file_and_line() {
        let problem = |message: &str| Problem { line: Some(3), key: "a.b".into(), message: message.into() };
        let file = |name: &str| Problems { file: name.into(), problems: vec![problem("is wrong")] };
        let failure = Failure::mistakes(vec![file("a.toml"), file("b.toml")]);
        assert_eq!(failure.kind.exit().code(), 64);
        assert!(failure.to_string().contains("a.toml:") && failure.to_string().contains("b.toml:"));
        assert_eq!(failure.problem()["errors"][1]["file"], "b.toml");
        assert_eq!(failure.problem()["errors"][1]["line"], 3);
    }

    #[test]
    fn what_others_wrote_cannot_speak_to_the_terminal() {
        let shown = Failure::new(Kind::Internal, "first\nsecond \u{1b}[31m").to_string();
        assert_eq!(shown, "first\n  second \\u{1b}[31m");
    }
}
