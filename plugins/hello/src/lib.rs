//! Greets the person that the task names, or the world.

use saggar_plugin::{Json, handler, log};
use serde::Deserialize;

#[derive(Deserialize)]
struct Greeting {
    name: String,
}

#[handler]
fn hello(greeting: Option<Json<Greeting>>) -> String {
    let name = greeting.map_or("world".to_owned(), |Json(greeting)| greeting.name);
    log::info!("greeting {name}");
    format!("Hello, {name}!")
}
