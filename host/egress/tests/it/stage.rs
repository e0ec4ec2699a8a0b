//! Servers of names and of HTTP that do as they are told, and a sender with grants for them.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use saggar_egress::{Body, Bounds, Egress, EgressOptions, Outbound, Roots};
use saggar_model::{HttpFailure, HttpGrant, HttpTimeouts, forbidden_address};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

/// Longer than anything takes that is not stuck.
pub const SOON: Duration = Duration::from_secs(20);

/// Bounds that a test can wait for.
pub fn quick() -> Bounds {
    Bounds {
        lookup: Duration::from_secs(5),
        connect: Duration::from_millis(500),
        first_byte: Duration::from_millis(200),
        between_bytes: Duration::from_millis(200),
        ..Bounds::default()
    }
}

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} took longer than {SOON:?}"))
}

/// A task that ends with the test.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn running(task: impl Future<Output = ()> + Send + 'static) -> Running {
    Running(tokio::spawn(task).abort_handle())
}

/// A server of names. Each question about a name is answered by the next of its answers, the last one for ever.
pub struct Names {
    pub address: SocketAddr,
    _running: Running,
}

impl Names {
    pub async fn start(zone: &[(&str, &[&[&str]])]) -> Self {
        let address = |text: &&str| text.parse::<IpAddr>().expect("the test writes addresses");
        let answers = |answers: &&[&[&str]]| {
            answers.iter().map(|answer| answer.iter().map(address).collect()).collect::<Vec<Vec<IpAddr>>>()
        };
        let zone = zone.iter().map(|(name, them)| ((*name).to_owned(), answers(them))).collect();
        Self::answering(zone, Vec::new()).await
    }

    /// Every name has these addresses.
    pub async fn everywhere(addresses: &[&str]) -> Self {
        let addresses =
            addresses.iter().map(|text| text.parse().expect("the test writes addresses")).collect();
        Self::answering(HashMap::new(), vec![addresses]).await
    }

    async fn answering(zone: HashMap<String, Vec<Vec<IpAddr>>>, others: Vec<Vec<IpAddr>>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a port");
        let address = socket.local_addr().expect("it is bound");
        let mut asked: HashMap<(String, u16), usize> = HashMap::new();
        let task = async move {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let (name, kind, end) = read_question(&question[..length]);
                let answers = zone.get(&name).unwrap_or(&others);
                let asked = asked.entry((name, kind)).or_default();
                let addresses = answers.get(*asked).or(answers.last()).map_or(&[][..], Vec::as_slice);
                *asked += 1;
                let _ = socket.send_to(&answer(&question[..end], kind, addresses), from).await;
            }
        };
        Self { address, _running: running(task) }
    }
}

fn read_question(message: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    (labels.join("."), kind, at + 5)
}

/// Records that are not to be kept for a moment.
fn answer(question: &[u8], kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), 1) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), 28) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut message = question.to_vec();
    let count = u8::try_from(records.len()).expect("a few");
    message[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    for data in records {
        message.extend([0xc0, 12, 0, u8::try_from(kind).expect("A or AAAA"), 0, 1, 0, 0, 0, 0, 0]);
        message.push(u8::try_from(data.len()).expect("an address"));
        message.extend(data);
    }
    message
}

/// What arrived at a server: for each connection, its bytes.
type Arrived = Arc<Mutex<Vec<Vec<u8>>>>;

/// A server at an address of this machine.
pub struct Server {
    pub address: SocketAddr,
    arrived: Arrived,
    _running: Running,
}

impl Server {
    /// Answers every request with these bytes, and keeps the connection open.
    pub async fn answering(answer: impl Into<Bytes>) -> Self {
        let answer = answer.into();
        Self::start("127.0.0.1", move |mut connection| {
            let answer = answer.clone();
            async move {
                while connection.request().await {
                    connection.send(&answer).await;
                }
            }
        })
        .await
    }

    pub async fn start<F, Doing>(ip: &str, serve: F) -> Self
    where
        F: Fn(Connection) -> Doing + Send + 'static,
        Doing: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind((ip, 0)).await.expect("there is a port"), serve)
    }

    /// Two servers at different addresses and one port.
    pub async fn start_two<F, Doing>(ips: [&str; 2], serve: F) -> [Self; 2]
    where
        F: Fn(Connection) -> Doing + Clone + Send + 'static,
        Doing: Future<Output = ()> + Send + 'static,
    {
        /// The port of the one may be somebody's at the address of the other.
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let one = TcpListener::bind((ips[0], 0)).await.expect("there is a port");
            let port = one.local_addr().expect("it is bound").port();
            if let Ok(two) = TcpListener::bind((ips[1], port)).await {
                return [Self::on(one, serve.clone()), Self::on(two, serve)];
            }
        }
        panic!("no port is free at both {ips:?}");
    }

    fn on<F, Doing>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(Connection) -> Doing + Send + 'static,
        Doing: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("it is bound");
        let arrived = Arrived::default();
        let all = arrived.clone();
        let task = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut arrived = all.lock().expect("nobody panicked");
                arrived.push(Vec::new());
                let number = arrived.len() - 1;
                drop(arrived);
                // Ends with its stream, at the latest with the test's runtime.
                tokio::spawn(serve(Connection { stream, arrived: all.clone(), number }));
            }
        };
        Self { address, arrived, _running: running(task) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The bytes of each connection so far.
    pub fn arrived(&self) -> Vec<String> {
        let arrived = self.arrived.lock().expect("nobody panicked");
        arrived.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

/// A server's end of a connection.
pub struct Connection {
    pub stream: TcpStream,
    arrived: Arrived,
    number: usize,
}

impl Connection {
    /// Reads a whole request; false at the end of the connection.
    pub async fn request(&mut self) -> bool {
        let mut bytes = Vec::new();
        let whole = read_request(&mut self.stream, &mut bytes).await;
        self.arrived.lock().expect("nobody panicked")[self.number].extend(&bytes);
        whole
    }

    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Says nothing until the other end has gone.
    pub async fn say_nothing(&mut self) {
        let mut byte = [0];
        while self.stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> bool {
    loop {
        if is_whole(bytes) {
            return true;
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => bytes.extend(&part[..read]),
            _ => return false,
        }
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    if head.contains("transfer-encoding: chunked") {
        body.ends_with("0\r\n\r\n")
    } else {
        body.len() >= length.map_or(0, |length| length.parse().expect("a length is a number"))
    }
}

/// Sends requests as an attempt of tenant `test` would.
pub struct Sender {
    pub egress: Egress,
    pub outbound: Outbound,
}

impl Sender {
    pub fn new(names: Option<&Names>, grants: Vec<HttpGrant>, bounds: Bounds) -> Self {
        Self::believing(names, grants, bounds, Roots::Only(Vec::new()))
    }

    pub fn believing(names: Option<&Names>, grants: Vec<HttpGrant>, bounds: Bounds, roots: Roots) -> Self {
        // Nobody is asked by a test that needs no names.
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let name_servers = vec![names.map_or(nobody, |names| names.address)];
        let egress = Egress::new(EgressOptions { name_servers, roots, bounds });
        let outbound = egress.outbound("test".parse().unwrap(), grants);
        Self { egress, outbound }
    }

    /// A sender with a grant for this server alone.
    pub fn to(server: &Server) -> Self {
        Self::new(None, vec![grant(&server.address.ip().to_string(), server.port())], quick())
    }

    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, HttpFailure> {
        let deadline = Instant::now() + SOON;
        soon("a request", self.outbound.send(request, HttpTimeouts::default(), deadline)).await
    }

    /// Sends a request without a body, and reads the whole response.
    pub async fn get(&self, url: &str) -> Result<(u16, Bytes), HttpFailure> {
        self.fetch(Request::get(url).body(empty()).expect("the test writes URLs")).await
    }

    pub async fn fetch(&self, request: Request<Body>) -> Result<(u16, Bytes), HttpFailure> {
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        let body = soon("a response", response.into_body().collect()).await?;
        Ok((status, body.to_bytes()))
    }
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A grant for reading from and posting to a host without TLS, at one port.
pub fn grant(host: &str, port: u16) -> HttpGrant {
    HttpGrant {
        tls: false,
        ports: Some(vec![port]),
        methods: ["GET", "HEAD", "POST"].map(str::to_owned).to_vec(),
        ..HttpGrant::new(host.parse().expect("the test writes hosts"))
    }
}

/// The same, where the names lead to these addresses.
pub fn grant_at(host: &str, port: u16, addresses: &[&str]) -> HttpGrant {
    let addresses = addresses.iter().map(|text| text.parse().expect("the test writes addresses")).collect();
    HttpGrant { addresses, ..grant(host, port) }
}

#[test]
fn the_addresses_of_the_tests_are_forbidden_unless_named() {
    assert!(forbidden_address([127, 0, 0, 1].into()).is_some());
}
