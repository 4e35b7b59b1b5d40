//! All web servers of a scenario in one: a proxy that answers for every host itself, with a
//! certificate of its own authority, each path as the scenario says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Names of hosts that a scenario may ask.
const HOSTS: &[&str] =
    &["example.com", "mirror.example.com", "sub.example.com", "localhost", "other.org"];

/// What is answered at one place.
#[derive(Clone)]
pub(crate) struct Route {
    /// With a port where the scenario names one.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) head_headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The scenario's words for what a status does not say.
    pub(crate) behaviour: String,
    pub(crate) value: String,
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

#[derive(Default)]
struct State {
    routes: Vec<Route>,
    asked: Vec<Asked>,
    /// Requests for each route so far, as the behaviours count them.
    seen: Vec<String>,
}

/// The running servers. They end with the test's process.
pub(crate) struct Site {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Site {
    /// Starts them; the authority's certificate is written to `ca_file`.
    pub(crate) fn start(ca_file: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        std::fs::write(ca_file, ca.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&params, &ca_key);
        let hosts: Vec<String> = HOSTS.iter().map(|host| (*host).to_owned()).collect();
        let certificate = CertificateParams::new(hosts).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let site = Self { port, state: state.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, state) = (config.clone(), state.clone());
                thread::spawn(move || serve(stream, config, &state));
            }
        });
        site
    }

    /// From here on these routes are there, and no other.
    pub(crate) fn set(&self, routes: Vec<Route>) {
        let mut state = self.state.lock().unwrap();
        state.routes = routes;
        state.seen.clear();
    }

    /// What was asked since this was last called.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// One connection: as a proxy, plain or with a tunnel to what is behind TLS.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut plain = BufReader::new(stream);
    let (line, headers) = head(&mut plain)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method != "CONNECT" {
        let mut stream = plain.into_inner();
        return answer(&mut stream, method, target, &headers, state);
    }
    let host = target.strip_suffix(":443").unwrap_or(target).to_owned();
    let mut stream = plain.into_inner();
    stream.write_all(b"HTTP/1.1 200 connected\r\n\r\n").ok()?;
    let tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut tls = BufReader::new(tls);
    let (line, headers) = head(&mut tls)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let url = format!("https://{host}{target}");
    let mut tls = tls.into_inner();
    answer(&mut tls, method, &url, &headers, state);
    tls.conn.send_close_notify();
    tls.flush().ok()
}

type Headers = Vec<(String, String)>;

/// The first line and the headers of a request.
fn head(stream: &mut impl BufRead) -> Option<(String, Headers)> {
    let line = |stream: &mut dyn BufRead| {
        let mut line = String::new();
        (stream.take(16 << 10).read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
    };
    let first = line(stream)?;
    let mut headers = Vec::new();
    loop {
        let next = line(stream)?;
        let Some((name, value)) = next.split_once(':') else { return Some((first, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn answer(
    stream: &mut impl Write,
    method: &str,
    url: &str,
    headers: &Headers,
    state: &Mutex<State>,
) -> Option<()> {
    let header =
        |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let asked = Asked {
        method: method.to_owned(),
        url: url.to_owned(),
        authorization: header("authorization"),
        range: header("range"),
        if_none_match: header("if-none-match"),
    };
    let (reply, sent) = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        let reply = reply(&mut state, &asked);
        state.seen.push(url.to_owned());
        reply
    };
    let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", reply.body.len()));
    stream.write_all(text.as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(&reply.body[..sent.min(reply.body.len())]).ok()?;
    }
    stream.flush().ok()?;
    if sent < reply.body.len() && reply.behaviour.contains("stalls") {
        thread::sleep(Duration::from_secs(20));
    }
    Some(())
}

/// The answer, and how many bytes of its body are sent.
fn reply(state: &mut State, asked: &Asked) -> (Route, usize) {
    let url = url::Url::parse(&asked.url).unwrap();
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap()),
        None => url.host_str().unwrap().to_owned(),
    };
    let found = state.routes.iter().find(|route| route.host == host && route.path == url.path());
    let Some(mut route) = found.cloned() else {
        let body = b"not found".to_vec();
        let (headers, head_headers) = (Vec::new(), Vec::new());
        let none = Route {
            host,
            path: String::new(),
            status: 404,
            headers,
            head_headers,
            body,
            behaviour: String::new(),
            value: String::new(),
        };
        return (none, usize::MAX);
    };
    let times = |url: &str| state.seen.iter().filter(|seen| *seen == url).count();
    let words = route.behaviour.clone();
    let etag =
        route.headers.iter().find(|(name, _)| name == "ETag").map(|(_, value)| value.clone());
    if words.contains("304") && etag.is_some() && asked.if_none_match == etag {
        route.status = 304;
        route.body.clear();
    }
    if words.contains("Authorization") && asked.authorization.as_deref() != Some(&route.value) {
        route.status = 401;
        route.body.clear();
    }
    let image = asked.url.strip_suffix(".asc").unwrap_or_default();
    if words.starts_with("202") && times(image) == 0 {
        route.status = 202;
        route.body.clear();
    }
    if !words.starts_with("HEAD") {
        return (route, usize::MAX);
    }
    route.headers.extend(route.head_headers.clone());
    if asked.method == "HEAD" && words.contains("HEAD: 405") {
        route.status = 405;
    }
    let from = asked.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
    let from = from.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        Some(_) if words.contains("416") => {
            route.status = 416;
            route.body.clear();
        }
        Some(from) if words.contains("206") => {
            route.status = 206;
            let all = route.body.len();
            let span = format!("bytes {from}-{}/{all}", all - 1);
            route.headers.push(("Content-Range".to_owned(), span));
            route.body.drain(..from);
        }
        _ => {}
    }
    let half = route.body.len() / 2;
    let whole = from.is_some() || asked.method == "HEAD";
    let cut = words.contains("stalls") || (words.contains("closes") && times(&asked.url) == 0);
    (route, if cut && !whole { half } else { usize::MAX })
}
