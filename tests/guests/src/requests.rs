//! Does with `wasi:http` what no honest program does; the payload names the trick and the host it is played on.

use saggar_plugin::handler;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, Method, OutgoingBody, OutgoingRequest, Scheme,
};

#[handler]
fn requests(payload: String) -> String {
    let (trick, host) = payload.split_once(' ').unwrap_or((&payload, ""));
    match trick {
        "fields" => fields(),
        "list" => list(),
        "copies" => copies(),
        "nothing" => nothing(host),
        "unfinished" => unfinished(host),
        "dropped" => dropped(host),
        "many" => many(host),
        other => panic!("there is no trick `{other}`"),
    }
}

/// Adds headers to one set of fields until it is refused.
fn fields() -> String {
    let fields = Fields::new();
    for added in 0_u32.. {
        if let Err(error) = fields.append(&format!("x-{added}"), &[b'a'; 100]) {
            return refused(error);
        }
    }
    unreachable!("it is refused some time")
}

/// Hands over more headers at once than are kept.
fn list() -> String {
    let entries: Vec<_> = (0..5000).map(|number| (format!("x-{number}"), vec![b'a'; 1000])).collect();
    match Fields::from_list(&entries) {
        Ok(_) => "all are kept".to_owned(),
        Err(error) => refused(error),
    }
}

/// Keeps as many full sets of fields as it may.
fn copies() -> String {
    let mut kept = Vec::new();
    loop {
        let fields = Fields::new();
        while fields.append("x", &[b'a'; 1000]).is_ok() {}
        kept.push(fields);
    }
}

fn refused(error: HeaderError) -> String {
    match error {
        HeaderError::InvalidSyntax => "invalid",
        HeaderError::Forbidden => "forbidden",
        HeaderError::Immutable => "immutable",
    }
    .to_owned()
}

fn request(host: &str) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Post).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(host)).unwrap();
    request.set_path_with_query(Some("/")).unwrap();
    request
}

fn answer(future: &FutureIncomingResponse) -> Result<u16, ErrorCode> {
    loop {
        match future.get() {
            Some(answered) => return answered.unwrap().map(|response| response.status()),
            None => future.subscribe().block(),
        }
    }
}

/// Writes nothing, a hundred thousand times.
fn nothing(host: &str) -> String {
    let request = request(host);
    let body = request.body().unwrap();
    let future = outgoing_handler::handle(request, None).unwrap();
    let stream = body.write().unwrap();
    for _ in 0..100_000 {
        stream.write(&[]).unwrap();
    }
    stream.blocking_write_and_flush(b"clay").unwrap();
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
    format!("{:?}", answer(&future))
}

/// Returns while a body is half written.
fn unfinished(host: &str) -> String {
    let request = request(host);
    let body = request.body().unwrap();
    let future = outgoing_handler::handle(request, None).unwrap();
    let stream = body.write().unwrap();
    stream.blocking_write_and_flush(b"half").unwrap();
    std::mem::forget((future, stream, body));
    "done".to_owned()
}

/// Drops what it asked for before it comes.
fn dropped(host: &str) -> String {
    for _ in 0..200 {
        drop(outgoing_handler::handle(request(host), None).unwrap());
    }
    "done".to_owned()
}

/// Asks without waiting for answers, until it is refused.
fn many(host: &str) -> String {
    let futures: Vec<_> = (0..20).map(|_| outgoing_handler::handle(request(host), None).unwrap()).collect();
    let refused = futures.iter().rev().find_map(|future| future.get()?.ok()?.err());
    match refused {
        Some(code) => format!("{code:?}"),
        // The last one has not been looked at yet; it is refused as soon as it is.
        None => format!("{:?}", answer(&futures[19]).unwrap_err()),
    }
}
