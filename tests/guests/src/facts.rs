//! Reports all it can find out about its task and its surroundings.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use saggar_plugin::{Json, context, handler};
use serde::Serialize;

#[derive(Serialize)]
struct Facts {
    task_id: String,
    tenant: String,
    queue: String,
    attempt: u32,
    content_type: Option<String>,
    headers: Vec<(String, String)>,
    shouted_header: Option<String>,
    deadline_ms: u128,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    readable: Vec<String>,
    connected: Vec<String>,
    looked_up: Vec<String>,
    wall_clock_plausible: bool,
    clocks_are_coarse: bool,
}

#[handler]
fn facts() -> Json<Facts> {
    let paths = ["/", ".", "/etc/passwd", "/proc/self/environ", "../..", "/dev/null"];
    let readable = |path: &&str| std::fs::metadata(path).is_ok() || std::fs::read(path).is_ok();
    let connected = |address: &&str| {
        TcpStream::connect(address).is_ok()
            || UdpSocket::bind("0.0.0.0:0").is_ok_and(|s| s.connect(address).is_ok())
    };
    let looked_up = |name: &&str| (*name, 80).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    Json(Facts {
        task_id: context::task_id(),
        tenant: context::tenant(),
        queue: context::queue(),
        attempt: context::attempt(),
        content_type: context::content_type(),
        headers: context::headers(),
        shouted_header: context::header("X-CUSTOMER"),
        deadline_ms: context::deadline().as_millis(),
        arguments: std::env::args().collect(),
        variables: std::env::vars().collect(),
        readable: owned(paths.into_iter().filter(readable).collect()),
        connected: owned(["127.0.0.1:4222", "127.0.0.1:22"].into_iter().filter(connected).collect()),
        looked_up: owned(["localhost", "example.com"].into_iter().filter(looked_up).collect()),
        wall_clock_plausible: SystemTime::UNIX_EPOCH
            .elapsed()
            .is_ok_and(|age| age > Duration::from_secs(1_700_000_000)),
        clocks_are_coarse: (0..1000)
            .all(|_| Instant::now().elapsed().subsec_nanos().is_multiple_of(1_000_000)),
    })
}
