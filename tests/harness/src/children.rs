//! What every place must do that takes the children of a task, whatever is behind it: run against each of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use saggar_model::{
    Child, Incarnation, NewChild, Offspring, QueueName, Quota, SubmitError, Task, TaskHeaders,
};
use saggar_sandbox::Children;

use crate::stores;

/// The quota that the tenant must have: room for a few.
pub const QUOTA: Quota = Quota { tasks: 4, ..stores::QUOTA };

/// The only queue that the tenant must have.
///
/// # Panics
/// Never: it is a name.
#[must_use]
pub fn queue() -> QueueName {
    "part".parse().expect("it is a name")
}

fn child(queue: &str, new: NewChild) -> Child {
    let parent = Task {
        tenant: "acme".parse().expect("it is a name"),
        queue: "split".parse().expect("it is a name"),
        id: "a".parse().expect("it is an id"),
        payload: Bytes::new(),
        headers: TaskHeaders::default(),
    };
    let queue = queue.parse().expect("it is a name");
    let made = Offspring::default().child(&parent, Incarnation::default(), &queue, new, SystemTime::now());
    made.expect("it makes sense")
}

fn plain(payload: impl Into<Bytes>) -> NewChild {
    NewChild { payload: payload.into(), ..NewChild::default() }
}

/// All there is to them. Begins with a tenant of the quota [`QUOTA`] that has [`queue`], and no task.
///
/// # Panics
/// Something does not hold.
pub async fn suite(children: Arc<dyn Children>) {
    assert_eq!(children.group().await, Ok(None), "it waited for nothing");
    let one = child("part", plain("one"));
    assert_eq!(children.submit(&one).await, Ok(()));
    assert_eq!(children.submit(&one).await, Ok(()), "it is there already");
    assert_eq!(children.result(&one.task).await, Ok(None), "nobody has run it");
    let later = child("part", NewChild { delay: Some(Duration::from_hours(1)), ..plain("later") });
    for _ in 0..2 {
        assert_eq!(children.submit(&later).await, Ok(()), "once is enough");
    }
    assert_eq!(children.submit(&child("other", plain("x"))).await, Err(SubmitError::NoQueue));
    let large = children.submit(&child("part", plain(vec![7; 1 << 20]))).await;
    assert!(matches!(large, Err(SubmitError::TooLarge(_))), "{large:?}");
    let mut refused = Ok(());
    for n in 0..=QUOTA.tasks {
        refused = children.submit(&child("part", plain(n.to_string()))).await;
    }
    assert_eq!(refused, Err(SubmitError::QueueFull));
}
