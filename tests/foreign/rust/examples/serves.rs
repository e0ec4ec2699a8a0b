//! A server of the kind that other hosts run. What it answers with is the first word of the request's body.

#![cfg(target_arch = "wasm32")]

use std::io::{Read as _, Write as _};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

wasip2::http::proxy::export!(Server);

struct Server;

impl wasip2::exports::http::incoming_handler::Guest for Server {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let seen = describe(&request);
        let mut text = String::new();
        let body = request.consume().expect("nobody took it yet");
        let mut stream = body.stream().expect("nobody took it yet");
        stream.read_to_string(&mut text).expect("it is text");
        drop(stream);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let number = || rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        match word {
            "upper" => respond(out, 200, &[("content-type", "text/plain")], rest.to_uppercase().as_bytes()),
            "request" => respond(out, 200, &[("content-type", "text/plain")], seen.as_bytes()),
            "status" => {
                let mut words = rest.splitn(3, ' ');
                let status = words.next().and_then(|status| status.parse().ok()).unwrap_or(200);
                let fields: Vec<_> =
                    words.next().and_then(|field| field.split_once('=')).into_iter().collect();
                respond(out, status, &fields, words.next().unwrap_or_default().as_bytes());
            }
            "length" => respond(out, 200, &[], &vec![b'x'; number()]),
            "never" => drop(out),
            "error" => ResponseOutparam::set(out, Err(ErrorCode::DestinationNotFound)),
            "twice" => twice(out),
            "endless" => endless(out),
            "trailers" => trailers(out),
            "unfinished" => unfinished(out),
            "kept" => kept(out),
            "short" => short(out),
            "late" => {
                respond(out, 200, &[], b"done");
                panic!("after the response");
            }
            "fetch" => fetch(out),
            _ => respond(out, 404, &[], b"there is no such word"),
        }
    }
}

fn describe(request: &IncomingRequest) -> String {
    let is_post = matches!(request.method(), Method::Post);
    let mut headers: Vec<_> = request.headers().entries();
    headers.sort();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))).collect();
    let (path, authority) = (request.path_with_query(), request.authority());
    format!("post {is_post}\n{}\n{}\n{headers}", path.unwrap_or_default(), authority.unwrap_or_default())
}

fn response(status: u16, fields: &[(&str, &str)]) -> OutgoingResponse {
    let headers = Fields::new();
    for (name, value) in fields {
        headers.append(name, value.as_bytes()).expect("it is a header");
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("it is a status");
    response
}

fn respond(out: ResponseOutparam, status: u16, fields: &[(&str, &str)], bytes: &[u8]) {
    let response = response(status, fields);
    let body = response.body().expect("nobody took it yet");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("nobody took it yet");
    stream.write_all(bytes).expect("somebody reads it");
    drop(stream);
    OutgoingBody::finish(body, None).expect("it is whole");
}

/// Sets a second response with the same handle, which nothing in Rust would let happen.
#[expect(unsafe_code, reason = "a handle is used again that the host took away")]
fn twice(out: ResponseOutparam) {
    let again = unsafe { ResponseOutparam::from_handle(out.handle()) };
    respond(out, 200, &[], b"first");
    respond(again, 200, &[], b"second");
}

fn endless(out: ResponseOutparam) {
    let response = response(200, &[]);
    let body = response.body().expect("nobody took it yet");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("nobody took it yet");
    while stream.write_all(&[b'x'; 4096]).is_ok() {}
}

fn trailers(out: ResponseOutparam) {
    let response = response(200, &[("content-type", "text/plain")]);
    let body = response.body().expect("nobody took it yet");
    ResponseOutparam::set(out, Ok(response));
    body.write().expect("nobody took it yet").write_all(b"with trailers").expect("somebody reads it");
    let trailers = Fields::new();
    trailers.append("x-sum", b"7").expect("it is a header");
    OutgoingBody::finish(body, Some(trailers)).expect("it is whole");
}

/// Drops the body before it is finished.
fn unfinished(out: ResponseOutparam) {
    let response = response(200, &[]);
    let body = response.body().expect("nobody took it yet");
    ResponseOutparam::set(out, Ok(response));
    body.write().expect("nobody took it yet").write_all(b"half").expect("somebody reads it");
}

/// Keeps the body open for as long as the instance lives.
fn kept(out: ResponseOutparam) {
    let response = response(200, &[]);
    std::mem::forget(response.body().expect("nobody took it yet"));
    ResponseOutparam::set(out, Ok(response));
}

/// Announces ten bytes and sends four.
fn short(out: ResponseOutparam) {
    let response = response(200, &[("content-length", "10")]);
    let body = response.body().expect("nobody took it yet");
    ResponseOutparam::set(out, Ok(response));
    body.write().expect("nobody took it yet").write_all(b"four").expect("somebody reads it");
    OutgoingBody::finish(body, None).expect_err("it is not whole");
}

/// Asks another server, and tells what became of it.
fn fetch(out: ResponseOutparam) {
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Get).expect("it is a method");
    request.set_scheme(Some(&Scheme::Http)).expect("it is a scheme");
    request.set_authority(Some("127.0.0.1:4222")).expect("it is an authority");
    request.set_path_with_query(Some("/")).expect("it is a path");
    let code = match outgoing_handler::handle(request, None) {
        Err(code) => code,
        Ok(future) => {
            future.subscribe().block();
            match future.get() {
                Some(Ok(Err(code))) => code,
                _ => return respond(out, 200, &[], b"it was answered"),
            }
        }
    };
    respond(out, 200, &[], format!("{code:?}").as_bytes());
}
