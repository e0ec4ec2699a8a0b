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

#[cfg(test)]
mod tests {
    use saggar_plugin::testing::Context;

    #[test]
    fn a_name_is_greeted_and_an_empty_payload_greets_the_world() {
        let greeting = |payload: &str| Context::new().call(super::hello, payload).unwrap().payload;
        assert_eq!(greeting(r#"{"name":"Ada"}"#), b"Hello, Ada!");
        assert_eq!(greeting(""), b"Hello, world!");
    }

    #[test]
    fn the_greeting_is_logged() {
        let context = Context::new();
        context.call(super::hello, "").unwrap();
        assert_eq!(context.logs()[0].message, "greeting world");
    }
}
