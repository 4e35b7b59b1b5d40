//! All web servers of a scenario in one: a proxy that answers for every host itself, each path as
//! the scenario says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::support::site::certified;

/// The hosts that scenarios ask.
const HOSTS: &[&str] = &["example.com", "mirror.example.com", "localhost", "other.org"];

/// The longest line of a request.
const LINE_BYTES: u64 = 16 << 10;

/// What is answered at one place.
#[derive(Clone, Default)]
pub(crate) struct Route {
    /// With a port where the scenario names one.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The scenario's words for what a status does not say.
    pub(crate) behaviour: String,
    /// The credentials that such a behaviour wants.
    pub(crate) value: String,
}

impl Route {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    fn without_body(mut self, status: u16) -> Self {
        self.status = status;
        self.body.clear();
        self
    }
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) url: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    /// A header, its name in small letters.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    routes: Vec<Route>,
    /// Since somebody looked.
    asked: Vec<Asked>,
    /// Every URL asked for since the routes were set.
    seen: Vec<String>,
}

/// The running servers. They end with the test's process.
pub(crate) struct Site {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Site {
    /// Starts them; their CA certificate is written to `ca_file`.
    pub(crate) fn start(ca_file: &Path) -> Self {
        let config = certified(HOSTS, ca_file);
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

    /// From here on these routes are there, and no others.
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

/// One connection, plain or a tunnel to what is behind TLS.
fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let asked = head(&mut BufReader::new(&stream))?;
    if asked.method != "CONNECT" {
        return answer(&mut stream, &asked, state);
    }
    stream.write_all(b"HTTP/1.1 200 connected\r\n\r\n").ok()?;
    let host = asked.url.strip_suffix(":443").unwrap_or(&asked.url);
    let mut tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut asked = head(&mut BufReader::new(&mut tls))?;
    asked.url = format!("https://{host}{}", asked.url);
    answer(&mut tls, &asked, state);
    tls.conn.send_close_notify();
    tls.flush().ok()
}

fn head(stream: &mut impl BufRead) -> Option<Asked> {
    let first = line(stream)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, url) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    while let Some((name, value)) = line(stream)?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Asked { method, url, headers })
}

fn line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let got = stream.take(LINE_BYTES).read_line(&mut line).ok()?;
    (got > 0).then(|| line.trim_end().to_owned())
}

fn answer(stream: &mut impl Write, asked: &Asked, state: &Mutex<State>) -> Option<()> {
    let (reply, sent) = {
        let mut state = state.lock().unwrap();
        let reply = reply(&state, asked);
        state.asked.push(asked.clone());
        state.seen.push(asked.url.clone());
        reply
    };
    let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", reply.body.len()));
    stream.write_all(text.as_bytes()).ok()?;
    if asked.method != "HEAD" {
        stream.write_all(&reply.body[..sent]).ok()?;
    }
    stream.flush().ok()?;
    if sent < reply.body.len() && reply.behaviour.contains("stalls") {
        thread::sleep(Duration::from_secs(20));
    }
    Some(())
}

/// The answer, and how many bytes of its body are sent.
fn reply(state: &State, asked: &Asked) -> (Route, usize) {
    let url = url::Url::parse(&asked.url).unwrap();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = format!("{}{port}", url.host_str().unwrap());
    let found = state.routes.iter().find(|route| route.host == host && route.path == url.path());
    let Some(mut route) = found.cloned() else {
        let none = Route { status: 404, body: b"not found".to_vec(), ..Route::default() };
        return (none, 9);
    };
    let seen = |url: &str| state.seen.iter().any(|seen| seen == url);
    let says = |word: &str| found.is_some_and(|route| route.behaviour.contains(word));
    let changed = asked.header("if-none-match") != route.header("ETag");
    let image = asked.url.strip_suffix(".asc").unwrap_or_default();
    let from = asked.header("range").and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-'));
    if says("304") && route.header("ETag").is_some() && !changed {
        route = route.without_body(304);
    } else if says("Authorization") && asked.header("authorization") != Some(&route.value) {
        route = route.without_body(401);
    } else if says("202") && !seen(image) {
        route = route.without_body(202);
    } else if says("416") && from.is_some() {
        route = route.without_body(416);
    } else if says("206")
        && let Some(from) = from
    {
        let all = route.body.len();
        route.status = 206;
        route.headers.push(("Content-Range".to_owned(), format!("bytes {from}-{}/{all}", all - 1)));
        route.body.drain(..from.parse::<usize>().unwrap());
    } else if says("stalls") || says("closes") && !seen(&asked.url) {
        let half = route.body.len() / 2;
        return (route, half);
    }
    let all = route.body.len();
    (route, all)
}
