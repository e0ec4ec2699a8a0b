//! Subjects and stream names of one tenant.
//!
//! They are built from checked names only, so that no text of a tenant can reach beyond its own subjects.

use crate::{BookId, Day, NameError, QueueName, TaskId, TaskRef, TenantName, TimerName};

/// What can be watched about a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An attempt began.
    Started,
    /// The guest said how far it is.
    Progress,
    /// The guest wrote a log message.
    Log,
    /// The task will run again.
    Retrying,
}

impl EventKind {
    /// The last token of the event's subject.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Log => "log",
            Self::Retrying => "retrying",
        }
    }

    /// The kind of an event whose subject ends so.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        [Self::Started, Self::Progress, Self::Log, Self::Retrying]
            .into_iter()
            .find(|kind| kind.as_str() == token)
    }
}

/// What the subject of a timer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerSubject {
    /// It is due.
    pub is_due: bool,
    /// The queue its task goes into.
    pub queue: QueueName,
    /// The task's id.
    pub id: TaskId,
    /// What the timer is called.
    pub name: TimerName,
}

/// What stands for the id in the subject of a task that has none, once it is stored. No id can be this.
pub const NAMELESS: &str = "~";

/// The subjects and streams of one tenant.
#[derive(Debug, Clone)]
pub struct Subjects {
    tenant: TenantName,
}

impl Subjects {
    /// The stream of what every task has been through, shared by all tenants and written by hosts only.
    pub const STATE_STREAM: &'static str = "SAGGAR_STATE";
    /// The subjects of [`Self::STATE_STREAM`].
    pub const STATE_SUBJECTS: &'static str = "saggar.state.>";
    /// The groups in it.
    pub const GROUPS: &'static str = "saggar.state.*.*.group.*";
    /// What tasks have been through.
    pub const HISTORIES: &'static str = "saggar.state.*.*.*";

    /// The stream of what tenants have used, written by hosts only.
    pub const USAGE_STREAM: &'static str = "SAGGAR_USAGE";
    /// The subjects of [`Self::USAGE_STREAM`]. No tenant is granted any: theirs begin with `saggar.`.
    pub const USAGE_SUBJECTS: &'static str = "saggar-usage.>";

    /// The timers of all tenants.
    pub const ALL_TIMERS: &'static str = "saggar.*.timer.>";

    /// The subjects of `tenant`.
    #[must_use]
    pub fn of(tenant: &TenantName) -> Self {
        Self { tenant: tenant.clone() }
    }

    /// The stream that holds the tenant's tasks.
    #[must_use]
    pub fn tasks_stream(&self) -> String {
        format!("SAGGAR_TASKS_{}", self.tenant)
    }

    /// The stream that holds the tenant's results.
    #[must_use]
    pub fn results_stream(&self) -> String {
        format!("SAGGAR_RESULTS_{}", self.tenant)
    }

    /// The stream that holds the tenant's dead letters.
    #[must_use]
    pub fn dead_stream(&self) -> String {
        format!("SAGGAR_DEAD_{}", self.tenant)
    }

    /// Where a task is published, with or without an id.
    #[must_use]
    pub fn task(&self, queue: &QueueName, id: Option<&TaskId>) -> String {
        match id {
            Some(id) => format!("saggar.{}.task.{queue}.{id}", self.tenant),
            None => format!("saggar.{}.task.{queue}", self.tenant),
        }
    }

    /// Where the tasks of a queue can be published: without an id, and with one.
    #[must_use]
    pub fn task_subjects(&self, queue: &QueueName) -> [String; 2] {
        [self.task(queue, None), self.stored_tasks(queue)]
    }

    /// Where all tasks of a queue are stored, as a filter. One filter and not two: a server that looks for the next
    /// task by several goes through every subject of a block, once for each task.
    #[must_use]
    pub fn stored_tasks(&self, queue: &QueueName) -> String {
        format!("saggar.{}.task.{queue}.*", self.tenant)
    }

    /// How the stream of tasks renames what is published without an id: from, to.
    #[must_use]
    pub fn nameless_tasks(&self) -> [String; 2] {
        let tenant = &self.tenant;
        [format!("saggar.{tenant}.task.*"), format!("saggar.{tenant}.task.{{{{wildcard(1)}}}}.{NAMELESS}")]
    }

    /// The id in a task's subject, if there is one.
    ///
    /// # Errors
    /// The last token is no id that a publisher may choose.
    pub fn task_id(&self, queue: &QueueName, subject: &str) -> Result<Option<TaskId>, NameError> {
        let after_queue = subject
            .strip_prefix("saggar.")
            .and_then(|rest| rest.strip_prefix(self.tenant.as_str()))
            .and_then(|rest| rest.strip_prefix(".task."))
            .and_then(|rest| rest.strip_prefix(queue.as_str()));
        match after_queue {
            Some("") => Ok(None),
            Some(rest) => match rest.strip_prefix('.').unwrap_or(rest) {
                NAMELESS => Ok(None),
                id => TaskId::published(id).map(Some),
            },
            None => TaskId::published(subject).map(Some),
        }
    }

    /// The id in a task's subject, if it is one that a host made: so a task is called that was published without an id
    /// and came out of a timer.
    #[must_use]
    pub fn made_id(&self, queue: &QueueName, subject: &str) -> Option<TaskId> {
        let id = subject.strip_prefix(&self.task(queue, None))?.strip_prefix('.')?;
        id.parse().ok().filter(TaskId::is_made)
    }

    /// Where the result of a task stands.
    #[must_use]
    pub fn result(&self, queue: &QueueName, id: &TaskId) -> String {
        format!("saggar.{}.result.{queue}.{id}", self.tenant)
    }

    /// All results of the tenant.
    #[must_use]
    pub fn results(&self) -> String {
        format!("saggar.{}.result.*.*", self.tenant)
    }

    /// Where the dead letter of a task stands.
    #[must_use]
    pub fn dead(&self, queue: &QueueName, id: &TaskId) -> String {
        format!("saggar.{}.dead.{queue}.{id}", self.tenant)
    }

    /// Where a second dead letter of one id stands, told apart by the sequence of its task.
    #[must_use]
    pub fn dead_again(&self, queue: &QueueName, id: &TaskId, sequence: u64) -> String {
        format!("saggar.{}.dead.{queue}.{id}~{sequence}", self.tenant)
    }

    /// All dead letters of the tenant, or of one of its queues.
    #[must_use]
    pub fn dead_letters(&self, queue: Option<&QueueName>) -> String {
        match queue {
            Some(queue) => format!("saggar.{}.dead.{queue}.*", self.tenant),
            None => format!("saggar.{}.dead.*.*", self.tenant),
        }
    }

    /// Where the state of a task stands between two of its runs.
    #[must_use]
    pub fn state(&self, queue: &QueueName, sequence: u64) -> String {
        format!("saggar.state.{}.{queue}.{sequence}", self.tenant)
    }

    /// What is known of all tasks of a tenant or of a queue, groups included.
    #[must_use]
    pub fn states(&self, queue: Option<&QueueName>) -> String {
        match queue {
            Some(queue) => format!("saggar.state.{}.{queue}.>", self.tenant),
            None => format!("saggar.state.{}.>", self.tenant),
        }
    }

    /// Where the group lies of the children that a task waits for.
    #[must_use]
    pub fn group(&self, task: &TaskRef) -> String {
        format!("saggar.state.{}.{}.group.{}", self.tenant, task.queue, task.id)
    }

    /// Where a day of the tenant's account stands.
    #[must_use]
    pub fn usage_day(&self, day: Day) -> String {
        format!("saggar-usage.{}.day.{day}", self.tenant)
    }

    /// Where days stand: those of a tenant, or of all; one day, or all.
    #[must_use]
    pub fn usage_days(tenant: Option<&TenantName>, day: Option<Day>) -> String {
        let day = day.map_or_else(|| "*".to_owned(), |day| day.to_string());
        format!("saggar-usage.{}.day.{day}", tenant.map_or("*", TenantName::as_str))
    }

    /// Where a book of a host stands for the tenant: by the process of the host, and a number.
    #[must_use]
    pub fn usage_book(&self, book: &BookId) -> String {
        let (instance, number) = book.as_str().split_once('-').unwrap_or((book.as_str(), "0"));
        format!("saggar-usage.{}.book.{instance}.{number}", self.tenant)
    }

    /// Where books stand: those of a tenant, or of all; those of one process of a host, or of all.
    #[must_use]
    pub fn usage_books(tenant: Option<&TenantName>, instance: Option<&str>) -> String {
        let tenant = tenant.map_or("*", TenantName::as_str);
        format!("saggar-usage.{tenant}.book.{}.*", instance.unwrap_or("*"))
    }

    /// The stream that holds the tenant's timers.
    #[must_use]
    pub fn timers_stream(&self) -> String {
        format!("SAGGAR_TIMERS_{}", self.tenant)
    }

    /// The subjects of that stream: where timers wait, and where they go when they are due.
    #[must_use]
    pub fn timers(&self) -> [String; 2] {
        [format!("saggar.{}.timer.>", self.tenant), format!("saggar.{}.due.>", self.tenant)]
    }

    /// Where a timer waits.
    #[must_use]
    pub fn timer(&self, queue: &QueueName, id: &TaskId, name: &TimerName) -> String {
        format!("saggar.{}.timer.{queue}.{id}.{name}", self.tenant)
    }

    /// Where a timer lies when it is due, until its task is in the queue.
    #[must_use]
    pub fn due(&self, queue: &QueueName, id: &TaskId, name: &TimerName) -> String {
        format!("saggar.{}.due.{queue}.{id}.{name}", self.tenant)
    }

    /// All timers of a tenant, of a queue or of a task: those that wait, and those that are due.
    #[must_use]
    pub fn timers_of(&self, queue: Option<&QueueName>, id: Option<&TaskId>) -> [String; 2] {
        let queue = queue.map_or("*", QueueName::as_str);
        let id = id.map_or("*", TaskId::as_str);
        ["timer", "due"].map(|place| format!("saggar.{}.{place}.{queue}.{id}.*", self.tenant))
    }

    /// What the subject of a timer says; nothing if it is none.
    #[must_use]
    pub fn read_timer(&self, subject: &str) -> Option<TimerSubject> {
        let rest = subject.strip_prefix("saggar.")?.strip_prefix(self.tenant.as_str())?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let is_due = match tokens.next()? {
            "timer" => false,
            "due" => true,
            _ => return None,
        };
        let read = TimerSubject {
            is_due,
            queue: tokens.next()?.parse().ok()?,
            id: tokens.next()?.parse().ok()?,
            name: tokens.next()?.parse().ok()?,
        };
        tokens.next().is_none().then_some(read)
    }

    /// Where an event of a running task is published.
    #[must_use]
    pub fn event(&self, queue: &QueueName, id: &TaskId, kind: EventKind) -> String {
        format!("saggar.{}.event.{queue}.{id}.{}", self.tenant, kind.as_str())
    }

    /// Where all events of a running task are published.
    #[must_use]
    pub fn events(&self, queue: &QueueName, id: &TaskId) -> String {
        format!("saggar.{}.event.{queue}.{id}.*", self.tenant)
    }

    /// Whether a publisher's reply subject lies where replies of this tenant may go, and names one subject.
    #[must_use]
    pub fn is_reply(&self, subject: &str) -> bool {
        /// Room for any inbox, and far from the server's limit of 4,096 bytes for a whole control line.
        const REPLY_MAX_BYTES: usize = 512;
        let prefix = format!("saggar.{}.reply.", self.tenant);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        subject.len() <= REPLY_MAX_BYTES
            && subject.strip_prefix(&prefix).is_some_and(|rest| {
                rest.split('.').all(|token| !token.is_empty() && token.bytes().all(plain))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> Subjects {
        Subjects::of(&"acme".parse().unwrap())
    }

    fn queue() -> QueueName {
        "thumbnail".parse().unwrap()
    }

    #[test]
    fn the_subject_of_a_timer_reads_back_and_no_other_does() {
        let (id, name): (TaskId, TimerName) = ("order-17".parse().unwrap(), "6f1c-1".parse().unwrap());
        let read = |subject: &str| acme().read_timer(subject);
        let timer = TimerSubject { is_due: false, queue: queue(), id: id.clone(), name: name.clone() };
        assert_eq!(acme().timer(&queue(), &id, &name), "saggar.acme.timer.thumbnail.order-17.6f1c-1");
        assert_eq!(read(&acme().timer(&queue(), &id, &name)), Some(timer.clone()));
        assert_eq!(read(&acme().due(&queue(), &id, &name)), Some(TimerSubject { is_due: true, ..timer }));
        for other in [
            "saggar.acme.task.q.i",
            "saggar.other.timer.q.i.n",
            "saggar.acme.timer.q.i",
            "saggar.acme.due.q.i.n.x",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(
            acme().timers_of(Some(&queue()), None),
            ["saggar.acme.timer.thumbnail.*.*", "saggar.acme.due.thumbnail.*.*"]
        );
    }

    #[test]
    fn subjects_read_as_documented() {
        let id: TaskId = "order-17".parse().unwrap();
        assert_eq!(acme().tasks_stream(), "SAGGAR_TASKS_acme");
        assert_eq!(acme().task(&queue(), None), "saggar.acme.task.thumbnail");
        assert_eq!(acme().task(&queue(), Some(&id)), "saggar.acme.task.thumbnail.order-17");
        assert_eq!(acme().result(&queue(), &id), "saggar.acme.result.thumbnail.order-17");
        assert_eq!(acme().dead(&queue(), &id), "saggar.acme.dead.thumbnail.order-17");
        assert_eq!(acme().dead_again(&queue(), &id, 9), "saggar.acme.dead.thumbnail.order-17~9");
        assert_eq!(acme().state(&queue(), 9), "saggar.state.acme.thumbnail.9");
        let book: BookId = "9f-1".parse().unwrap();
        assert_eq!(acme().usage_book(&book), "saggar-usage.acme.book.9f.1");
        assert_eq!(Subjects::usage_books(None, Some("9f")), "saggar-usage.*.book.9f.*");
        assert_eq!(acme().usage_day("2026-11-22".parse().unwrap()), "saggar-usage.acme.day.2026-11-22");
        let waiting = TaskRef { queue: queue(), id: id.clone() };
        assert_eq!(acme().group(&waiting), "saggar.state.acme.thumbnail.group.order-17");
        assert_eq!(
            acme().event(&queue(), &id, EventKind::Progress),
            "saggar.acme.event.thumbnail.order-17.progress"
        );
        assert_eq!(acme().events(&queue(), &id), "saggar.acme.event.thumbnail.order-17.*");
        assert_eq!(EventKind::read("retrying"), Some(EventKind::Retrying));
        assert_eq!(EventKind::read("other"), None);
    }

    #[test]
    fn the_id_of_a_task_is_the_token_after_its_queue() {
        let id = |subject| acme().task_id(&queue(), subject);
        assert_eq!(id("saggar.acme.task.thumbnail"), Ok(None));
        assert_eq!(id("saggar.acme.task.thumbnail.~"), Ok(None), "as it is stored");
        assert_eq!(id("saggar.acme.task.thumbnail.a1").unwrap().unwrap().as_str(), "a1");
        for bad in
            ["saggar.acme.task.thumbnail.*", "saggar.acme.task.thumbnail.>", "saggar.acme.task.thumbnail.ä"]
        {
            assert!(id(bad).is_err(), "{bad}");
        }
        assert!(id(&format!("saggar.acme.task.thumbnail.{}", "x".repeat(4000))).is_err());
    }

    #[test]
    fn replies_stay_inside_the_tenants_own_subjects() {
        assert!(acme().is_reply("saggar.acme.reply.inbox.17"));
        for bad in [
            "saggar.acme.reply",
            "saggar.acme.reply.",
            "saggar.acme.reply.a..b",
            "saggar.acme.reply.*",
            "saggar.acme.reply.>",
            "saggar.acme.reply.a b",
            "saggar.acme.reply.a\r\nPUB x",
            "saggar.acme.result.thumbnail.a",
            "saggar.other.reply.a",
            "$JS.API.STREAM.DELETE.X",
            "",
        ] {
            assert!(!acme().is_reply(bad), "{bad:?}");
        }
        assert!(!acme().is_reply(&format!("saggar.acme.reply.{}", "x".repeat(600))));
    }
}
