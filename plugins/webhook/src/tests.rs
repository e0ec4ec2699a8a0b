use std::time::UNIX_EPOCH;

use saggar_plugin::Kind;
use saggar_plugin::http::{Failure, Response};
use saggar_plugin::testing::Context;

use super::*;
use crate::signature::Secret;

/// The example of the Standard Webhooks libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn context() -> Context {
    Context::new()
        .task_id("evt_7")
        .content_type("application/json")
        .config("url", "https://hooks.example.com/in")
        .config("WEBHOOK_SECRET", SECRET)
}

fn delivered(answer: Result<Response, Failure>) -> Result<Json<Delivered>, Error> {
    context().answer(move |_| answer.clone()).run(|| webhook(b"{}".to_vec()))
}

#[test]
fn the_signature_is_that_of_the_standard() {
    let time = UNIX_EPOCH + Duration::from_secs(1_614_265_330);
    let signed =
        Secret::parse(SECRET).unwrap().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time, br#"{"test": 2432232314}"#);
    assert_eq!(signed.timestamp, "1614265330");
    assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn while_secrets_change_both_sign() {
    let both = format!("{SECRET} whsec_{}", "A".repeat(32));
    let signed = Secret::parse(&both).unwrap().sign("a", UNIX_EPOCH, b"");
    assert_eq!(signed.signature.split(' ').count(), 2);
    assert!(signed.signature.split(' ').all(|signature| signature.starts_with("v1,")));
}

#[test]
fn a_secret_that_is_none_is_not_shown() {
    for bad in ["", "plain-text", "whsec_§", "whsec_c2hvcnQ="] {
        let error = context().config("WEBHOOK_SECRET", bad).run(|| webhook(Vec::new())).unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (Kind::Reject, Some("not-configured")));
        assert!(bad.is_empty() || !error.reason.contains(bad), "{}", error.reason);
    }
}

#[test]
fn an_event_goes_out_as_it_came_in_with_its_id_and_signature() {
    let answering = context().answer(|request| {
        assert_eq!((request.method(), request.url()), ("POST", "https://hooks.example.com/in"));
        assert_eq!(request.body_bytes(), b"{\"order\": 7}");
        assert_eq!(request.header_value("content-type"), Some("application/json"));
        assert_eq!(request.header_value("webhook-id"), Some("evt_7"));
        let time: u64 = request.header_value("webhook-timestamp").unwrap().parse().unwrap();
        let signed = Secret::parse(SECRET).unwrap().sign(
            "evt_7",
            UNIX_EPOCH + Duration::from_secs(time),
            request.body_bytes(),
        );
        assert_eq!(request.header_value("webhook-signature"), Some(signed.signature.as_str()));
        Ok(Response::new(204))
    });
    let Json(delivered) = answering.attempt(2).run(|| webhook(b"{\"order\": 7}".to_vec())).unwrap();
    assert_eq!(delivered, Delivered { id: "evt_7".to_owned(), status: 204, attempt: 2 });
}

#[test]
fn every_answer_has_a_meaning() {
    use Kind::{Reject, Retry};
    for (status, kind, code) in [
        (301, Reject, "redirected"),
        (307, Reject, "redirected"),
        (400, Reject, "refused"),
        (401, Reject, "refused"),
        (404, Reject, "refused"),
        (408, Retry, "throttled"),
        (410, Reject, "gone"),
        (425, Retry, "throttled"),
        (429, Retry, "throttled"),
        (500, Retry, "server-error"),
        (503, Retry, "server-error"),
        (599, Retry, "server-error"),
        (600, Reject, "refused"),
    ] {
        let error = delivered(Ok(Response::new(status))).unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (kind, Some(code)), "{status}");
        assert!(error.reason.contains(&status.to_string()), "{}", error.reason);
    }
    for status in [200, 201, 202, 204] {
        assert_eq!(delivered(Ok(Response::new(status))).unwrap().0.status, status);
    }
}

#[test]
fn an_endpoint_is_left_alone_for_as_long_as_it_asks_and_a_day_at_the_most() {
    let wait =
        |value: &str| delivered(Ok(Response::new(429).header("retry-after", value))).unwrap_err().after;
    assert_eq!(wait("7"), Some(Duration::from_secs(7)));
    assert_eq!(wait("99999999999"), Some(Duration::from_hours(24)));
    assert_eq!(wait("soon"), None);
    let error = delivered(Ok(Response::new(503).header("retry-after", "3"))).unwrap_err();
    assert_eq!(error.after, Some(Duration::from_secs(3)));
}

#[test]
fn what_brings_no_answer_is_tried_again_if_that_can_help() {
    use Kind::{Reject, Retry};
    for (failure, kind, code) in [
        (Failure::Denied, Reject, "not-granted"),
        (Failure::Invalid("the URL is not valid".to_owned()), Reject, "bad-url"),
        (Failure::NoSuchHost, Retry, "no-such-host"),
        (Failure::Unreachable, Retry, "unreachable"),
        (Failure::Insecure, Retry, "insecure"),
        (Failure::TimedOut, Retry, "timed-out"),
        (Failure::TooManyAtOnce, Retry, "unreachable"),
        (Failure::Broken, Retry, "unreachable"),
    ] {
        let error = delivered(Err(failure.clone())).unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (kind, Some(code)), "{failure:?}");
    }
}

#[test]
fn a_task_names_its_endpoint_where_the_queue_does_not() {
    let own = Context::new().config("WEBHOOK_SECRET", SECRET).header("Webhook-Url", "https://a.example/");
    let own = own.answer(|request| {
        assert_eq!(request.url(), "https://a.example/");
        Ok(Response::new(200))
    });
    assert!(own.run(|| webhook(Vec::new())).is_ok());
    let both = context().header("Webhook-Url", "https://a.example/");
    let neither = Context::new().config("WEBHOOK_SECRET", SECRET);
    let no_secret = Context::new().config("url", "https://a.example/");
    for context in [both, neither, no_secret] {
        let error = context.run(|| webhook(Vec::new())).unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (Kind::Reject, Some("not-configured")));
    }
    let error = Context::new().run(|| webhook(Vec::new())).unwrap_err();
    assert_eq!(
        (error.kind, error.code.as_deref()),
        (Kind::Retry, Some("not-configured")),
        "nothing is granted"
    );
}
