//! Attempts of components of other worlds: programs and servers that know nothing of Saggar.

use std::future;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use saggar_model::{Ending, Failure, Limits, Outcome, Output, Task};
use saggar_sandbox::{
    Attempt, LogLine, Options, Plugin, Refused, Request, Sandbox, Services, Silent, World, adapt,
};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    Sandbox::new(&Options { slots: 8, max_memory: 1 << 30, ..Options::default() })
        .expect("this machine runs sandboxes")
});

fn load(wasm: &[u8]) -> Plugin {
    SANDBOX.load(&SANDBOX.compile(wasm).expect("the guest compiles")).expect("the guest links")
}

fn guest(name: &str) -> Plugin {
    let path = format!(
        "{}/../../plugins/target/wasm32-wasip2/release/examples/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    );
    load(&std::fs::read(path).expect("guests are built: run `make guests`"))
}

async fn run(plugin: &Plugin, input: &str, limits: Limits) -> Attempt {
    let request = Request { limits, ..Request::local(input.to_owned().into()) };
    SANDBOX.run(plugin, request, Arc::new(Silent), future::pending()).await
}

fn output(attempt: &Attempt) -> &Output {
    match &attempt.ending {
        Ending::Succeeded(output) => output,
        Ending::Failed(failure) => panic!("{failure:?}"),
    }
}

fn failure(attempt: &Attempt) -> &Failure {
    match &attempt.ending {
        Ending::Failed(failure) => failure,
        Ending::Succeeded(output) => panic!("succeeded with {output:?}"),
    }
}

#[tokio::test]
async fn a_program_reads_its_payload_and_what_it_writes_is_the_result() {
    let upper = guest("upper");
    assert_eq!(upper.world(), World::Command);
    let attempt = run(&upper, "clay", Limits::default()).await;
    assert_eq!(output(&attempt).payload, "CLAY");
    assert_eq!(output(&attempt).content_type, "application/octet-stream");
    assert_eq!((attempt.usage.bytes_in, attempt.usage.bytes_out, attempt.usage.log_bytes), (4, 4, 0));
    assert!(attempt.usage.fuel > 0 && attempt.usage.host_calls > 0, "{:?}", attempt.usage);
    let empty = run(&upper, "", Limits::default()).await;
    assert_eq!(failure(&empty).outcome, Outcome::Trapped);
    assert!(failure(&empty).reason.contains("there is nothing to write"), "{}", failure(&empty).reason);
    assert!(failure(&empty).reason.contains("exited with code 1"), "{}", failure(&empty).reason);
}

#[tokio::test]
async fn the_exit_code_of_a_program_is_its_outcome_and_standard_error_the_reason() {
    let ends = guest("ends");
    for (input, outcome, reason) in [
        ("exit 65", Outcome::Rejected, "asked to end with 65"),
        ("exit 75", Outcome::Retried, "asked to end with 75"),
        ("exit 1", Outcome::Trapped, "asked to end with 1 (exited with code 1"),
        ("exit 255", Outcome::Trapped, "asked to end with 255 (exited with code 255"),
        ("panic", Outcome::Trapped, "the glaze cracked"),
        ("what", Outcome::Trapped, "what is what?"),
    ] {
        let attempt = run(&ends, input, Limits::default()).await;
        let failure = failure(&attempt);
        assert_eq!(failure.outcome, outcome, "{input}");
        assert!(failure.reason.contains(reason), "{input}: {}", failure.reason);
        assert_eq!(attempt.usage.bytes_out, 0);
    }
    let early = run(&ends, "exit 0", Limits::default()).await;
    assert_eq!(output(&early).payload, "a result that nobody wants\n");
}

#[tokio::test]
async fn a_program_may_write_as_much_as_its_output_limit_and_not_a_byte_more() {
    let (ends, limits) = (guest("ends"), Limits { output: 100_000, ..Limits::default() });
    assert_eq!(output(&run(&ends, "write 100000", limits).await).payload.len(), 100_000);
    let more = run(&ends, "write 100001", limits).await;
    assert_eq!(failure(&more).outcome, Outcome::OutputTooLarge);
    let flood = run(&ends, "write 4000000000", limits).await;
    assert_eq!(failure(&flood).outcome, Outcome::OutputTooLarge);
    assert!(flood.usage.fuel < more.usage.fuel * 2, "it ends where the limit is");
}

#[tokio::test]
async fn the_limits_of_an_attempt_hold_for_programs_too() {
    let ends = guest("ends");
    let limits = Limits { memory: 16 << 20, ..Limits::default() };
    assert_eq!(output(&run(&ends, "hold 4", limits).await).payload, "held 4\n");
    assert_eq!(failure(&run(&ends, "hold 64", limits).await).outcome, Outcome::OutOfMemory);
    let limits = Limits { fuel: 10_000, ..Limits::default() };
    assert_eq!(failure(&run(&ends, "write 100000", limits).await).outcome, Outcome::OutOfFuel);
    assert_eq!(output(&run(&ends, "again", Limits::default()).await).payload, "0\n");
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Services for Recorder {
    fn progress(&self, _: Option<f64>, _: &str) {}

    fn log(&self, line: LogLine<'_>) {
        self.0.lock().unwrap().push(line.message.to_owned());
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn denied(&self, _: saggar_model::Capability, _: &str) {}
}

#[tokio::test]
async fn standard_error_of_a_program_goes_to_the_log_and_standard_output_does_not() {
    let recorder = Arc::new(Recorder::default());
    let request = Request::local("exit 75".into());
    SANDBOX.run(&guest("ends"), request, recorder.clone(), future::pending()).await;
    assert_eq!(*recorder.0.lock().unwrap(), ["asked to end with 75"]);
}

#[tokio::test]
async fn a_server_answers_its_task_as_it_would_answer_a_request() {
    let serves = guest("serves");
    assert_eq!(serves.world(), World::Http);
    let attempt = run(&serves, "upper clay", Limits::default()).await;
    assert_eq!(output(&attempt), &Output { content_type: "text/plain".to_owned(), payload: "CLAY".into() });
    assert_eq!((attempt.usage.bytes_in, attempt.usage.bytes_out), (10, 4));
}

#[tokio::test]
async fn a_server_sees_the_task_and_its_headers_in_the_request() {
    let mut request = Request::local("request".into());
    let task: &mut Task = Arc::make_mut(&mut request.task);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    task.headers.visible = vec![
        header("Content-Type", "text/plain"),
        header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        header("X-Size", "200"),
        header("Transfer-Encoding", "chunked"),
        header("Connection", "upgrade"),
        header("Host", "elsewhere"),
    ];
    request.attempt = 3;
    let attempt = SANDBOX.run(&guest("serves"), request, Arc::new(Silent), future::pending()).await;
    let text = String::from_utf8(output(&attempt).payload.to_vec()).unwrap();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "post true",
            "/",
            "run.local",
            "content-length: 7",
            "content-type: text/plain",
            "saggar-attempt: 3",
            "saggar-task: local",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "x-size: 200",
        ]
    );
}

#[tokio::test]
async fn the_status_of_a_response_is_the_outcome_and_its_body_the_reason() {
    let serves = guest("serves");
    for (input, outcome, after) in [
        ("status 201 a=b made", Outcome::Succeeded, None),
        ("status 204", Outcome::Succeeded, None),
        ("status 301 location=/there moved", Outcome::Rejected, None),
        ("status 400 a=b broken", Outcome::Rejected, None),
        ("status 404 retry-after=7 gone", Outcome::Rejected, None),
        ("status 429 retry-after=7 busy", Outcome::Retried, Some(Duration::from_secs(7))),
        ("status 500 a=b broken", Outcome::Retried, None),
        ("status 503 retry-after=1 busy", Outcome::Retried, Some(Duration::from_secs(1))),
        ("status 700 a=b odd", Outcome::Retried, None),
        ("status 101 a=b odd", Outcome::Trapped, None),
    ] {
        let attempt = run(&serves, input, Limits::default()).await;
        assert_eq!(attempt.ending.outcome(), outcome, "{input}: {:?}", attempt.ending);
        if let Ending::Failed(failure) = &attempt.ending {
            assert_eq!(failure.retry_after, after, "{input}");
            let status = input.split(' ').nth(1).unwrap();
            assert!(failure.reason.contains(status), "{input}: {}", failure.reason);
        }
    }
    let busy = run(&serves, "status 503 a=b the kiln is full", Limits::default()).await;
    assert_eq!(failure(&busy).reason, "answered with 503: the kiln is full");
    assert_eq!(failure(&busy).code.as_deref(), Some("http-503"));
}

#[tokio::test]
async fn every_way_to_answer_wrongly_has_an_ending() {
    let serves = guest("serves");
    let limits = Limits { output: 100_000, ..Limits::default() };
    for (input, outcome, reason) in [
        ("never", Outcome::Trapped, "without a response"),
        ("twice", Outcome::Trapped, "handle"),
        ("endless", Outcome::OutputTooLarge, "output limit"),
        ("unfinished", Outcome::Trapped, "has no end"),
        ("kept", Outcome::Trapped, "has no end"),
        ("short", Outcome::Trapped, "has no end"),
        ("late", Outcome::Trapped, "after the response"),
        ("error", Outcome::Retried, "DestinationNotFound"),
        ("length 100001", Outcome::OutputTooLarge, "output limit"),
    ] {
        let attempt = run(&serves, input, limits).await;
        let failure = failure(&attempt);
        assert_eq!(failure.outcome, outcome, "{input}: {failure:?}");
        assert!(failure.reason.contains(reason), "{input}: {}", failure.reason);
    }
    assert_eq!(output(&run(&serves, "length 100000", limits).await).payload.len(), 100_000);
    let trailers = run(&serves, "trailers", limits).await;
    assert_eq!(output(&trailers).payload, "with trailers");
}

#[tokio::test]
async fn a_request_to_another_server_is_denied_in_words_of_http() {
    let attempt = run(&guest("serves"), "fetch", Limits::default()).await;
    assert_eq!(output(&attempt).payload, "ErrorCode::HttpRequestDenied");
}

#[tokio::test]
async fn the_same_request_costs_the_same_fuel() {
    let serves = guest("serves");
    let first = run(&serves, "length 50000", Limits::default()).await.usage.fuel;
    for _ in 0..5 {
        assert_eq!(run(&serves, "length 50000", Limits::default()).await.usage.fuel, first);
    }
}

#[tokio::test]
async fn attack_53_to_55_a_program_that_looks_for_files_surroundings_and_network_finds_nothing() {
    let prowls = guest("prowls");
    for _ in 0..100 {
        let attempt = run(&prowls, "", Limits::default()).await;
        assert_eq!(String::from_utf8_lossy(&output(&attempt).payload), "");
    }
}

/// A program whose `run` does nothing, that imports interfaces of this patch of WASI 0.2.
fn importing(patch: u32) -> Vec<u8> {
    const INTERFACES: [&str; 27] = [
        "cli/environment",
        "cli/exit",
        "cli/stdin",
        "cli/stdout",
        "cli/stderr",
        "cli/terminal-input",
        "cli/terminal-output",
        "cli/terminal-stdin",
        "cli/terminal-stdout",
        "cli/terminal-stderr",
        "io/error",
        "io/poll",
        "io/streams",
        "clocks/monotonic-clock",
        "clocks/wall-clock",
        "random/random",
        "random/insecure",
        "random/insecure-seed",
        "filesystem/types",
        "filesystem/preopens",
        "sockets/network",
        "sockets/instance-network",
        "sockets/ip-name-lookup",
        "sockets/tcp",
        "sockets/udp",
        "http/types",
        "http/outgoing-handler",
    ];
    let imports: String =
        INTERFACES.map(|name| format!("(import \"wasi:{name}@0.2.{patch}\" (instance))")).concat();
    let now = format!(
        "(import \"wasi:clocks/monotonic-clock@0.2.{patch}\" (instance $clock (export \"now\" (func (result u64)))))"
    );
    let imports =
        imports.replace(&format!("(import \"wasi:clocks/monotonic-clock@0.2.{patch}\" (instance))"), &now);
    wat::parse_str(format!(
        r#"(component {imports}
            (core func $now (canon lower (func $clock "now")))
            (core module $main
                (import "" "now" (func $now (result i64)))
                (func (export "run") (result i32) (drop (call $now)) (i32.const 0)))
            (core instance $main (instantiate $main (with "" (instance (export "now" (func $now))))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.{patch}" (instance $exported)))"#
    ))
    .unwrap()
}

#[tokio::test]
async fn components_for_any_patch_of_wasi_link_and_run() {
    for patch in 0..=14 {
        let attempt = run(&load(&importing(patch)), "", Limits::default()).await;
        assert_eq!(output(&attempt).payload, "", "0.2.{patch}");
    }
}

#[tokio::test]
async fn an_export_with_the_right_name_and_another_shape_is_invalid() {
    let text = r#"(component
        (core module $main (func (export "run") (param i32)))
        (core instance $main (instantiate $main))
        (func $run (param "x" u32) (canon lift (core func $main "run")))
        (instance $exported (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $exported)))"#;
    let attempt = run(&load(&wat::parse_str(text).unwrap()), "", Limits::default()).await;
    assert_eq!(failure(&attempt).outcome, Outcome::Invalid);
    assert!(failure(&attempt).reason.contains("another shape"), "{}", failure(&attempt).reason);
    let nothing = r#"(component (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let compiled = SANDBOX.compile(&wat::parse_str(nothing).unwrap()).unwrap();
    assert!(matches!(SANDBOX.load(&compiled), Err(Refused::Unlinkable(_))));
}

/// A module for preview 1 that does this.
fn module(imports: &str, body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module {imports} (memory (export "memory") 1) (func (export "_start") {body}))"#
    ))
    .unwrap()
}

fn adapted(module: &[u8]) -> Plugin {
    load(&adapt(module).unwrap().expect("it is a module").wasm)
}

#[tokio::test]
async fn a_module_of_preview_1_ends_with_every_code() {
    const EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    for (code, outcome) in [
        (0, Outcome::Succeeded),
        (65, Outcome::Rejected),
        (75, Outcome::Retried),
        (1, Outcome::Trapped),
        (3, Outcome::Trapped),
        (125, Outcome::Trapped),
    ] {
        let plugin = adapted(&module(EXIT, &format!("(call $exit (i32.const {code}))")));
        let attempt = run(&plugin, "", Limits::default()).await;
        assert_eq!(attempt.ending.outcome(), outcome, "{code}: {:?}", attempt.ending);
    }
    assert_eq!(
        run(&adapted(&module("", "")), "", Limits::default()).await.ending.outcome(),
        Outcome::Succeeded
    );
}

#[test]
fn the_same_module_makes_the_same_component() {
    let module = module("", "");
    assert_eq!(adapt(&module), adapt(&module));
    let adapted = adapt(&module).unwrap().unwrap();
    let inspection = saggar_sandbox::inspect(&adapted.wasm).unwrap();
    assert_eq!((inspection.world, inspection.adapted_from), (World::Command, Some(adapted.from)));
    assert_eq!(adapt(&adapted.wasm), Ok(None), "a component is left as it is");
    assert_eq!(adapt(b"#!/bin/sh"), Ok(None));
}

#[test]
fn a_module_of_which_no_component_can_be_made_is_refused_with_the_reason() {
    let refused = |text: &str| adapt(&wat::parse_str(text).unwrap()).expect_err("it is refused").to_string();
    let library = refused(r#"(module (func (export "add") (param i32 i32) (result i32) (i32.const 0)))"#);
    assert!(library.contains("without `_start`"), "{library}");
    let foreign = refused(
        r#"(module (import "env" "magic" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
    );
    assert!(foreign.contains("env"), "{foreign}");
    let unknown = refused(
        r#"(module (import "wasi_snapshot_preview1" "magic" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
    );
    assert!(unknown.contains("magic"), "{unknown}");
    let wrong = refused(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func)) (memory (export "memory") 1) (func (export "_start")))"#,
    );
    assert!(wrong.contains("no component can be made"), "{wrong}");
    let wide = format!(
        r#"(module (memory (export "memory") 1) (func (param {}) unreachable) (func (export "_start")))"#,
        "i32 ".repeat(1000)
    );
    assert!(refused(&wide).contains("parameters of one function"));
    assert!(matches!(adapt(b"\0asm\x01\0\0\0\xff\xff"), Err(Refused::Broken(_))));
}
