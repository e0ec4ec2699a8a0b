//! Sends the requests it is asked to, one after another, and tells what came back.

use saggar_plugin::http::Request;
use saggar_plugin::{Json, handler};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Ask {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

#[derive(Serialize)]
enum Told {
    #[serde(rename = "response")]
    Response { status: u16, headers: Vec<(String, String)>, body: String },
    #[serde(rename = "failure")]
    Failure(String),
}

#[handler]
fn fetch(Json(asks): Json<Vec<Ask>>) -> Json<Vec<Told>> {
    Json(asks.into_iter().map(told).collect())
}

fn told(Ask { method, url, headers, body }: Ask) -> Told {
    let request = headers
        .into_iter()
        .fold(Request::new(method, url), |request, (name, value)| request.header(name, value));
    match request.body(body).send() {
        Err(failure) => Told::Failure(format!("{failure:?}")),
        Ok(response) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers =
                response.headers().iter().map(|(name, value)| (name.clone(), text(value))).collect();
            Told::Response { status: response.status(), headers, body: text(response.bytes()) }
        }
    }
}
