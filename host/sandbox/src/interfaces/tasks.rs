//! `saggar:task/tasks`: the tasks that a guest submits, and those that it waited for.
//!
//! What a child may be and what it is called is decided in the model; here is the grant, the charge and the count.

use std::time::Duration;

use bytes::Bytes;
use saggar_model::{Capability, JOIN_WAIT_DEFAULT, NewChild, QueueName, SubmitError, TaskRef};

use super::bindings::saggar::task::tasks::{
    ChildResult, EndedChild, Host, Options, SubmitError as GuestError,
};
use crate::state::State;

/// To submit a task takes its message, and the look for its result before it is run.
const SUBMIT_REQUESTS: usize = 2;

/// For a later one, the places are looked at as well where it may be already.
const LATER_REQUESTS: usize = 6;

type Answer<T> = Result<T, GuestError>;

impl From<SubmitError> for GuestError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Denied(text) => Self::Denied(text),
            SubmitError::Invalid(text) => Self::Invalid(text),
            SubmitError::TooLarge(bytes) => Self::TooLarge(bytes),
            SubmitError::NoQueue => Self::NoQueue,
            SubmitError::QueueFull => Self::QueueFull,
            SubmitError::TooDeep(depth) => Self::TooDeep(depth),
            SubmitError::TooMany(what) => Self::TooMany(what),
            SubmitError::Unavailable => Self::Unavailable,
        }
    }
}

impl State {
    async fn submit_child(&mut self, queue: &str, new: NewChild) -> Result<String, SubmitError> {
        self.charges.call();
        let later = new.delay.is_some() || new.joins.is_some();
        self.charges.requests(if later { LATER_REQUESTS } else { SUBMIT_REQUESTS });
        self.charges.bytes(queue.len() + bytes_of(&new));
        let named = queue.parse::<QueueName>().ok();
        let Some(queue) = named.filter(|queue| self.granted.grants.submit.contains(queue)) else {
            return Err(SubmitError::Denied(self.deny(Capability::Submit, queue)));
        };
        let new = self.granted.redactor.child(new);
        let children = self.services.children().ok_or(SubmitError::Unavailable)?;
        let offspring = self.offspring.get_or_insert_default();
        let child = offspring.child(&self.task, self.incarnation, &queue, new, children.now())?;
        children.submit(&child).await?;
        offspring.submitted(&child);
        Ok(child.task.to_string())
    }
}

impl Host for State {
    async fn submit(&mut self, queue: String, payload: Vec<u8>, options: Options) -> Answer<String> {
        let new = asked(payload, options);
        Ok(self.submit_child(&queue, new).await?)
    }

    async fn join(
        &mut self,
        queue: String,
        payload: Vec<u8>,
        options: Options,
        children: u32,
    ) -> Answer<String> {
        let new = asked(payload, options);
        let delay = new.delay.or(Some(JOIN_WAIT_DEFAULT));
        Ok(self.submit_child(&queue, NewChild { delay, joins: Some(children), ..new }).await?)
    }

    async fn ended(&mut self) -> Answer<Vec<EndedChild>> {
        self.charges.call();
        if self.task.headers.joins.is_none() {
            return Ok(Vec::new());
        }
        self.charges.requests(1);
        let children = self.services.children().ok_or(GuestError::Unavailable)?;
        let group = children.group().await?;
        let ended: Vec<EndedChild> = group.iter().flat_map(saggar_model::Group::ended).map(told).collect();
        self.charges.bytes(ended.iter().map(|child| child.task.len() + child.outcome.len()).sum());
        Ok(ended)
    }

    async fn fetch_result(&mut self, task: String) -> Answer<Option<ChildResult>> {
        self.charges.call();
        self.charges.bytes(task.len());
        let not_waited_for = || GuestError::Invalid("this task did not wait for that one".to_owned());
        if self.task.headers.joins.is_none() {
            return Err(not_waited_for());
        }
        self.charges.requests(2);
        let children = self.services.children().ok_or(GuestError::Unavailable)?;
        let group = children.group().await?;
        let Some(outcome) = group.and_then(|group| group.outcome_of(&task)) else {
            return Err(not_waited_for());
        };
        let task: TaskRef = task.parse().map_err(|_| not_waited_for())?;
        let Some(result) = children.result(&task).await? else { return Ok(None) };
        self.charges.bytes(result.payload.len());
        if result.payload.len() > self.call_bytes_max {
            return Err(GuestError::TooLarge(result.payload.len() as u64));
        }
        Ok(Some(ChildResult {
            outcome: outcome.to_string(),
            content_type: result.content_type,
            payload: result.payload.into(),
        }))
    }
}

fn told((task, outcome): (&str, saggar_model::Outcome)) -> EndedChild {
    EndedChild { task: task.to_owned(), outcome: outcome.to_string() }
}

fn asked(payload: Vec<u8>, options: Options) -> NewChild {
    let Options { id, content_type, headers, delay_ms, deadline_ms, timeout_ms, group } = options;
    NewChild {
        payload: Bytes::from(payload),
        id,
        content_type,
        headers,
        delay: delay_ms.map(Duration::from_millis),
        deadline: deadline_ms.map(Duration::from_millis),
        timeout: timeout_ms.map(Duration::from_millis),
        group,
        joins: None,
    }
}

fn bytes_of(new: &NewChild) -> usize {
    let texts = [&new.id, &new.content_type, &new.group].into_iter().flatten().map(String::len);
    let headers = new.headers.iter().map(|(name, value)| name.len() + value.len());
    new.payload.len() + texts.chain(headers).sum::<usize>()
}
