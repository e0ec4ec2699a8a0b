//! Payloads that are too large for a message: they lie in the tenant's object store, and the message says which object.
//!
//! An object's name says which way it goes, and is otherwise drawn at random: nobody can guess one, and none is used
//! twice. Nothing but such a name is ever looked for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{NameError, Subjects, TenantName, escape_and_cut};

/// The largest payload that a host reads or writes for a task: as much as an output may have at most. Whoever works on
/// more reads it in pieces, from a store or over HTTP.
pub const PAYLOAD_MAX_BYTES: u64 = 64 << 20;

/// How long an object is kept that nothing names: a publisher that has put one publishes its task within this time.
/// Longer than any outage that a client waits out with the same task in hand; a day of it would let a client that
/// forgets its objects fill the store.
pub const PAYLOAD_GRACE: Duration = Duration::from_hours(1);

/// What the value of the header begins with.
const OBJECT: &str = "object:";

/// Digits of the number in a name.
const DIGITS: usize = 2 * size_of::<u128>();

const RULE: &str = "use `in-` and 32 hexadecimal digits, as a host answered it; results have `out-`";

/// Which way a payload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    In,
    Out,
}

/// The name of an object that holds a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PayloadName {
    way: Way,
    number: u128,
}

impl PayloadName {
    /// The name of a task's input. The number is drawn at random.
    #[must_use]
    pub const fn input(number: u128) -> Self {
        Self { way: Way::In, number }
    }

    /// The name of a result's output. The number is drawn at random.
    #[must_use]
    pub const fn output(number: u128) -> Self {
        Self { way: Way::Out, number }
    }

    /// Whether it is a task's input, and so a publisher's to write and to remove.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(self.way, Way::In)
    }

    /// The value of the header that says where a payload lies: `object:<name>`.
    #[must_use]
    pub fn header(&self) -> String {
        format!("{OBJECT}{self}")
    }

    /// Reads the value of such a header.
    ///
    /// # Errors
    /// It does not begin with `object:`, or what follows is no name.
    pub fn from_header(value: &str) -> Result<Self, NameError> {
        let name = value.strip_prefix(OBJECT).ok_or_else(|| NameError {
            what: "payload",
            given: escape_and_cut(value, 256),
            rule: "write `object:` and the name of an object, as a host answered it",
        })?;
        name.parse()
    }
}

impl fmt::Display for PayloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::In => "in",
            Way::Out => "out",
        };
        write!(f, "{way}-{:0DIGITS$x}", self.number)
    }
}

impl FromStr for PayloadName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let read = || {
            let (way, digits) = text.split_once('-')?;
            let way = match way {
                "in" => Way::In,
                "out" => Way::Out,
                _ => return None,
            };
            let number = u128::from_str_radix(digits, 16).ok()?;
            (digits.len() == DIGITS && digits.bytes().all(lower)).then_some(Self { way, number })
        };
        read().ok_or_else(|| NameError {
            what: "name of a payload",
            given: escape_and_cut(text, 256),
            rule: RULE,
        })
    }
}

impl TryFrom<String> for PayloadName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PayloadName> for String {
    fn from(name: PayloadName) -> Self {
        name.to_string()
    }
}

/// Whether a host may answer a tenant's request at this reply subject: at none that means something to hosts or to the
/// server, since a host may publish where the one who asks may not.
#[must_use]
pub fn may_answer_to(tenant: Option<&TenantName>, reply: &str) -> bool {
    let reserved = ["$", "saggar.", "saggar-hosts."].iter().any(|prefix| reply.starts_with(prefix));
    !reserved || tenant.is_some_and(|tenant| Subjects::of(tenant).is_reply(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_way_its_payload_goes_and_reads_back() {
        let (input, output) = (PayloadName::input(0xabc), PayloadName::output(u128::MAX));
        assert_eq!(input.to_string(), "in-00000000000000000000000000000abc");
        assert_eq!(output.header(), "object:out-ffffffffffffffffffffffffffffffff");
        for name in [input, output] {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert_eq!(PayloadName::from_header(&name.header()), Ok(name));
        }
        assert!(input.is_input() && !output.is_input());
    }

    #[test]
    fn attack_70_what_no_host_named_is_no_name() {
        let digits = "0".repeat(32);
        let bad = [
            String::new(),
            "in-".to_owned(),
            digits.clone(),
            format!("in-{}", "0".repeat(31)),
            format!("in-{}", "0".repeat(33)),
            format!("in-{}", "A".repeat(32)),
            format!("in-+{}", "0".repeat(31)),
            format!("up-{digits}"),
            format!("in-{digits}."),
            format!("in-{}>", "0".repeat(31)),
            format!("in-{}\r\n", "0".repeat(30)),
            "x".repeat(5000),
        ];
        for text in bad {
            let error = text.parse::<PayloadName>().unwrap_err();
            assert!(error.to_string().len() < 512, "{error}");
            assert!(PayloadName::from_header(&format!("object:{text}")).is_err(), "{text:?}");
        }
        for header in ["", "object", "blob:x", &format!("in-{digits}"), &format!("Object:in-{digits}")] {
            assert!(PayloadName::from_header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn attack_75b_no_answer_goes_where_it_would_be_a_command() {
        let acme = "acme".parse().unwrap();
        for good in ["_INBOX.a.b", "_R_.x.y", "answers.7", "saggar.acme.reply.7"] {
            assert!(may_answer_to(Some(&acme), good), "{good}");
        }
        for bad in [
            "saggar.other.task.q",
            "saggar.acme.result.q.a",
            "saggar.other.reply.7",
            "saggar.state.acme.q.1",
            "saggar-hosts.cancelled",
            "saggar-hosts.pulse",
            "$KV.saggar_tenants.acme",
            "$JS.API.STREAM.DELETE.X",
            "$O.saggar-other-payloads.C.x",
        ] {
            assert!(!may_answer_to(Some(&acme), bad), "{bad}");
        }
        assert!(may_answer_to(None, "_INBOX.a.b") && !may_answer_to(None, "saggar.acme.reply.7"));
    }
}
