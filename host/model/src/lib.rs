//! The domain of Saggar, free of input and output.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: time and chance are arguments. That is
//! what lets settlement, retries and limits be tested as tables, and every other crate agree on one meaning for
//! each word.

mod allowance;
mod bill;
mod book;
mod canary;
mod cancel;
pub mod checkup;
mod child;
pub mod config;
mod control;
mod counters;
mod day;
mod earlier;
mod ending;
mod grants;
mod group;
mod header;
mod health;
mod history;
mod http_address;
mod http_denial;
mod http_failure;
mod http_grant;
mod http_host;
mod key;
mod limits;
mod name;
mod outcome;
mod payload;
mod payload_request;
mod plan;
mod plugin;
mod quantity;
mod reach;
mod receipt;
mod record;
mod removal;
mod retry;
mod retry_budget;
mod rollout;
mod schedule;
mod schedule_spec;
mod secret;
mod settle;
mod signature;
mod spent;
mod store;
mod subject;
mod suspicion;
mod tally;
mod task;
mod tenant;
mod text;
mod timer;
mod unique;
mod whereabouts;

pub use allowance::{Allowance, KeyLimits, NoRate, Rate, RateLimit};
pub use bill::{Bill, is_charged};
pub use book::{Book, Page, Ticket as BookTicket};
pub use canary::Canary;
pub use cancel::{CancelAnswer, CancelRequest, Cancellation, Was};
pub use child::{
    CHILDREN_BYTES_MAX, CHILDREN_MAX, Child, DEPTH_MAX, Incarnation, JOIN_WAIT_DEFAULT, JOINS_MAX, NewChild,
    Offspring, SubmitError,
};
pub use counters::Counters;
pub use day::{Day, NotADay};
pub use earlier::{Earlier, NotEarlier};
pub use ending::{Ending, Failure, Output};
pub use grants::{Capability, Grants};
pub use group::{Counted, Group};
pub use header::{HEADERS_MAX_BYTES, name as header_name};
pub use health::{Health, HealthReport};
pub use history::History;
pub use http_address::{AddressRange, NoAddressRange, forbidden_address};
pub use http_denial::{HttpDenial, HttpTarget, Missing};
pub use http_failure::{HttpFailure, HttpTimeouts};
pub use http_grant::{HostPattern, HttpGrant, permit};
pub use http_host::{HttpHost, HttpHostError};
pub use key::{KeyError, PublicKey, SecretKey};
pub use limits::{Ceilings, Limits};
pub use name::{
    BookId, ConfigKey, HostName, NameError, PluginName, QueueName, ScheduleName, SecretName, TaskId, TaskRef,
    TenantName, TimerName,
};
pub use outcome::{Outcome, UnknownOutcome};
pub use payload::{PAYLOAD_GRACE, PAYLOAD_MAX_BYTES, PayloadName, may_answer_to};
pub use payload_request::{BadPayloadRequest, PartAnswer, PayloadRequest, RemovedAnswer, WholeAnswer};
pub use plan::{Change, Plan};
pub use plugin::{COMPONENT_MAX_BYTES, Digest, PluginError, PluginRef, PluginVersion};
pub use quantity::{format_bytes, format_duration, format_time, parse_bytes, parse_duration, parse_time};
pub use reach::{
    Answers, COMMAND_INBOX, HOSTS_ACCOUNT, INBOXES, Reach, Service, TENANT_CONNECTIONS_MAX,
    TENANT_SUBSCRIPTIONS_MAX, tenant_account,
};
pub use receipt::{PluginId, Receipt};
pub use record::{DeadLetter, RecordError, Sequence, TaskResult};
pub use removal::{Losses, Removal};
pub use retry::{Consequence, RetryPolicy};
pub use retry_budget::RetryBudget;
pub use rollout::{NoRollout, Rolled, Rollout, RolloutStep};
pub use schedule::{
    CATCH_UP_MAX, CatchUp, Due, Firing, ON_TIME, Overlap, SCHEDULE_PAYLOAD_MAX, Schedule, ScheduleError,
};
pub use schedule_spec::ScheduleSpec;
pub use secret::{SecretFiles, SecretGrant, SecretValue, UnfitSecret};
pub use settle::{HOST_ERRORS_IN_A_ROW, NAK_DELAY_MAX, Settlement, settle};
pub use signature::{SIGNATURES_MAX, Signature, Statement, TrustedKeys, Untrusted};
pub use spent::Spent;
pub use store::{
    CHECKPOINT_INTERVAL, CHECKPOINT_MAX_BYTES, CHUNK_BYTES, Condition, NamePage, ObjectFacts, STORE_CALL_MAX,
    STORE_PAGE_MAX, STORE_TRIES_MAX, StoreError, StoreKey, StoreKind, StoreName, VALUE_RESERVE, Versioned,
    incremented,
};
pub use subject::{EventKind, NAMELESS, Subjects, TimerSubject};
pub use suspicion::{CRASHES_MAX, Suspicion, trial, turn_after};
pub use tally::{DayTally, Tally};
pub use task::{Invalid, Task, TaskHeaders};
pub use tenant::{QueueSpec, Quota, TenantRecord, TenantSpec};
pub use text::{escape, escape_and_cut, panic_message};
pub use timer::{Arrival, DELAY_MAX, NoTicket, Passage, Ticket};
pub use unique::{WINDOW_MIN, unique_id, window_of};
pub use whereabouts::{Place, StateRequest, Whereabouts};
