//! Gives back all of its configuration, or one value of it, and how exactly its clock ticks.

use std::time::Instant;

use saggar_plugin::{Error, Json, config, handler};
use serde_json::{Value, json};

#[handler]
fn configured(key: String) -> Result<Json<Value>, Error> {
    let fine = (0..1000).any(|_| !Instant::now().elapsed().subsec_nanos().is_multiple_of(1_000_000));
    let found = if key.is_empty() { json!(config::all()?) } else { json!(config::get(&key)?) };
    Ok(Json(json!({ "found": found, "fine_clock": fine })))
}
