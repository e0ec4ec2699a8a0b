//! What attackers import, as text, by the name that their programs call it.

pub(crate) const LOG: &str = r#"
    (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))"#;

pub(crate) const PROGRESS: &str = r#"
    (import "saggar:task/progress@0.1.0" "report" (func $report (param f64 i32 i32)))"#;

pub(crate) const TASK_ID: &str = r#"
    (import "saggar:task/context@0.1.0" "task-id" (func $id (param i32)))"#;

pub(crate) const HEADER: &str = r#"
    (import "saggar:task/context@0.1.0" "header" (func $header (param i32 i32 i32)))"#;

pub(crate) const NOW: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $now (result i64)))"#;

pub(crate) const TIMER: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-instant" (func $alarm (param i64) (result i32)))
    (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.12" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop (param i32)))"#;

pub(crate) const RANDOM: &str = r#"
    (import "wasi:random/random@0.2.12" "get-random-bytes" (func $random (param i64 i32)))"#;

pub(crate) const STREAMS: &str = r#"
    (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.12" "get-stderr" (func $stderr (result i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
        (func $write-now (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))"#;

pub(crate) const EXIT: &str = r#"
    (import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))"#;

pub(crate) const EXIT_CODE: &str = r#"
    (import "wasi:cli/exit@0.2.12" "exit-with-code" (func $exit (param i32)))"#;

pub(crate) const TCP: &str = r#"
    (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $tcp (param i32 i32)))"#;

pub(crate) const FILES: &str = r#"
    (import "wasi:filesystem/preopens@0.2.12" "get-directories" (func $directories (param i32)))
    (import "wasi:filesystem/types@0.2.12" "[method]descriptor.open-at"
        (func $open (param i32 i32 i32 i32 i32 i32 i32)))"#;

pub(crate) const SURROUNDINGS: &str = r#"
    (import "wasi:cli/environment@0.2.12" "get-environment" (func $variables (param i32)))
    (import "wasi:cli/environment@0.2.12" "get-arguments" (func $arguments (param i32)))
    (import "wasi:cli/environment@0.2.12" "initial-cwd" (func $directory (param i32)))"#;

/// The network, and everything that leads out of it. An address is its kind, then a port and the numbers of the
/// longest kind.
pub(crate) const NETWORK: &str = r#"
    (type $to-address (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "wasi:sockets/instance-network@0.2.12" "instance-network" (func $network (result i32)))
    (import "wasi:sockets/ip-name-lookup@0.2.12" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.12" "create-udp-socket" (func $udp (param i32 i32)))
    (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.start-connect" (func $connect (type $to-address)))
    (import "wasi:sockets/tcp@0.2.12" "[method]tcp-socket.start-bind" (func $listen (type $to-address)))
    (import "wasi:sockets/udp@0.2.12" "[method]udp-socket.start-bind" (func $receive (type $to-address)))"#;

/// Whatever gives a guest a handle that it was not granted.
pub(crate) const HANDLES: &str = r#"
    (import "wasi:cli/stdin@0.2.12" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:sockets/instance-network@0.2.12" "instance-network" (func $network (result i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.12" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.12" "create-udp-socket" (func $udp (param i32 i32)))
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]request-options" (func $options (result i32)))"#;
