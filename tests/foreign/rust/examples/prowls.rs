//! A program that looks for whatever its host may have left open, and writes down what it found: nothing, it should be.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

fn main() {
    files();
    surroundings();
    network();
}

fn files() {
    for path in ["/", ".", "..", "../../..", "/etc/passwd", "/proc/self/environ", "/dev/null", "/tmp", ""] {
        found(std::fs::metadata(path).is_ok(), "file", path);
        found(std::fs::read(path).is_ok(), "file", path);
        found(std::fs::read_dir(path).is_ok(), "directory", path);
        found(std::fs::write(path, "here").is_ok(), "writable", path);
        found(std::fs::create_dir(format!("{path}/here")).is_ok(), "writable", path);
        found(std::fs::rename(path, "elsewhere").is_ok(), "writable", path);
    }
    let preopened = wasip2::filesystem::preopens::get_directories();
    found(!preopened.is_empty(), "directories", &format!("{}", preopened.len()));
}

fn surroundings() {
    for argument in std::env::args() {
        found(true, "argument", &argument);
    }
    for (name, value) in std::env::vars() {
        found(true, "variable", &format!("{name}={value}"));
    }
    let first = wasip2::cli::environment::initial_cwd();
    found(first.is_some(), "working directory", &first.unwrap_or_default());
}

fn network() {
    for address in
        ["127.0.0.1:4222", "127.0.0.1:22", "[::1]:4222", "169.254.169.254:80", "0.0.0.0:0", "1.1.1.1:53"]
    {
        found(TcpStream::connect(address).is_ok(), "connection", address);
        let Ok(parsed) = address.parse() else { continue };
        found(TcpStream::connect_timeout(&parsed, Duration::from_millis(10)).is_ok(), "connection", address);
        found(TcpListener::bind(address).is_ok(), "listener", address);
        let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"here", address));
        found(sent.is_ok(), "datagram", address);
    }
    for name in ["localhost", "example.com", "metadata.google.internal", "127.0.0.1.nip.io", ""] {
        found((name, 80).to_socket_addrs().is_ok_and(|mut all| all.next().is_some()), "name", name);
    }
}

fn found(is_there: bool, what: &str, name: &str) {
    if is_there {
        println!("{what} {name:?}");
    }
}
