//! Forbidden addresses in every spelling that some library understands.

use http::Request;
use saggar_model::{HttpDenial, HttpFailure, Missing};

use crate::stage::{Names, Sender, Server, empty, grant, quick};

/// This machine, its network, and what runs the network.
const ADDRESSES: [[u8; 4]; 12] = [
    [127, 0, 0, 1],
    [127, 0, 0, 53],
    [0, 0, 0, 0],
    [10, 0, 0, 1],
    [100, 64, 0, 1],
    [100, 100, 100, 200],
    [169, 254, 169, 254],
    [169, 254, 170, 2],
    [172, 17, 0, 1],
    [192, 168, 1, 1],
    [168, 63, 129, 16],
    [255, 255, 255, 255],
];

/// One address as it can be written.
fn spellings(address: [u8; 4]) -> Vec<String> {
    let [a, b, c, d] = address;
    let whole = u32::from_be_bytes(address);
    let (tail3, tail2) = (whole & 0x00ff_ffff, whole & 0xffff);
    let (high, low) = (whole >> 16, whole & 0xffff);
    let full_width = |text: String| -> String {
        text.chars()
            .map(|c| c.to_digit(10).map_or(c, |digit| char::from_u32(0xff10 + digit).expect("a digit")))
            .collect()
    };
    vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{a}.{b}.{tail2}"),
        format!("{a}.{tail3}"),
        format!("{whole}"),
        format!("{whole}."),
        format!("{whole:#x}"),
        format!("{whole:#X}"),
        format!("0{whole:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:#x}.0{b:o}.{c}.{d}"),
        format!("000{a}.000{b}.000{c}.000{d}"),
        format!("{a}.{b}.{c}.{d}%00"),
        format!("%31{a}.{b}.{c}.{d}"),
        format!("api.example.com@{a}.{b}.{c}.{d}"),
        format!("api.example.com:443@{a}.{b}.{c}.{d}"),
        full_width(format!("{a}.{b}.{c}.{d}")),
        format!("{a}。{b}。{c}。{d}"),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:FFFF:{high:X}:{low:X}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[::ffff:0:{high:x}:{low:x}]"),
        format!("[{a}.{b}.{c}.{d}]"),
        format!("{a}.{b}.{c}.{d}.nip.example"),
    ]
}

const OTHERS: [&str; 34] = [
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0001]",
    "[::1%lo]",
    "[::1%25lo]",
    "[::1%251]",
    "[fe80::1]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[febf::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[FD12:3456:789A::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[64:ff9b:1::7f00:1]",
    "[2001:0:4136:e378::1]",
    "[100::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "ip6-localhost",
    "a.localhost",
    "metadata.google.internal",
    "metadata",
    "nats",
    "host.docker.internal",
    "xn--lcalhost-n4a.example",
    "localtest.example",
    "127.0.0.1.example",
    "0x7f.0.0.1.example",
];

#[tokio::test]
async fn attack_56_no_spelling_of_a_forbidden_address_is_connected_to() {
    let names = Names::everywhere(&["127.0.0.1", "::1"]).await;
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    // As much as a grant can allow without naming an address: every name, and some hosts that are none of these.
    let mut grants = vec![grant("*", server.port()), grant("*.nip.example", server.port())];
    grants.push(grant("api.example.com", server.port()));
    let sender = Sender::new(Some(&names), grants, quick());

    let mut table: Vec<String> = ADDRESSES.into_iter().flat_map(spellings).collect();
    table.extend(OTHERS.map(str::to_owned));
    assert!(table.len() >= 200, "{}", table.len());
    let mut tried = 0;
    for host in &table {
        let url = format!("http://{host}:{}/latest/meta-data", server.port());
        // What is no URL cannot be asked for in the first place.
        let Ok(request) = Request::get(&url).body(empty()) else { continue };
        let failure = sender.send(request).await.map(|_| url.clone()).expect_err("it is denied");
        assert!(matches!(failure, HttpFailure::Denied(_)), "{url}: {failure:?}");
        tried += 1;
    }
    assert!(tried >= 200, "{tried}");
    assert!(server.arrived().is_empty(), "{:?}", server.arrived());
}

#[tokio::test]
async fn attack_56_a_name_of_this_machine_is_looked_up_and_then_denied() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let sender = Sender::new(None, vec![grant("localhost", server.port())], quick());
    let failure = sender.get(&format!("http://localhost:{}/", server.port())).await.unwrap_err();
    let HttpFailure::Denied(denial) = failure else { panic!("{failure:?}") };
    let HttpDenial::Target { missing: Missing::Address { is, .. }, .. } = *denial else { panic!("{denial}") };
    assert_eq!(is, "loopback");
    assert!(server.arrived().is_empty());
}

#[tokio::test]
async fn attack_56_an_address_is_connected_to_where_the_grant_names_it() {
    let names = Names::everywhere(&["127.0.0.1"]).await;
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let port = server.port();
    for (grant, host) in [
        (grant("127.0.0.1", port), "127.0.0.1"),
        (crate::stage::grant_at("kiln.example", port, &["127.0.0.0/8"]), "kiln.example"),
    ] {
        let sender = Sender::new(Some(&names), vec![grant], quick());
        assert_eq!(sender.get(&format!("http://{host}:{port}/")).await.unwrap().0, 200, "{host}");
    }
}
