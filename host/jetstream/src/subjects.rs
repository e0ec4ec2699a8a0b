//! The subjects of a stream, without its messages.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::Nats;
use crate::api::RequestError;

#[derive(Deserialize)]
struct Info {
    state: State,
    /// Subjects on all pages.
    #[serde(default)]
    total: usize,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

impl Nats {
    /// The subjects of a stream that match a filter, and how many messages each has. The server gives them a page at a
    /// time.
    pub(crate) async fn subjects(
        &self,
        doing: &'static str,
        stream: &str,
        filter: &str,
    ) -> Result<BTreeMap<String, u64>, RequestError> {
        let mut subjects = BTreeMap::new();
        loop {
            let seen = subjects.len();
            let body = json!({ "subjects_filter": filter, "offset": seen });
            let Info { state, total } = self.ask(doing, &format!("STREAM.INFO.{stream}"), &body).await?;
            subjects.extend(state.subjects.unwrap_or_default());
            // One that came meanwhile moves the pages; it is not worth another look.
            if subjects.len() == seen || subjects.len() >= total {
                return Ok(subjects);
            }
        }
    }
}
