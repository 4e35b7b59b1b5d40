//! An author's web site that may lie: HTTPS with a certificate of its own, every answer chosen
//! byte by byte.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is answered at one path.
#[derive(Clone)]
pub struct Answer {
    pub body: Vec<u8>,
    /// The length the header claims, where it is not the body's.
    pub claimed: Option<u64>,
    /// By what it is known again; then a part of it can be asked for.
    pub etag: Option<String>,
    /// After so many bytes of an answer nothing more comes, for ever.
    pub stall: Option<usize>,
}

type Answers = Arc<Mutex<HashMap<String, Answer>>>;

/// A running site. It ends with the test's process.
pub struct Site {
    address: SocketAddr,
    ca_file: PathBuf,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// Serves `host` on a free port; its CA certificate is written below `folder`.
    pub fn start(host: &str, folder: &Path) -> Self {
        let ca_file = folder.join("site-ca.pem");
        let config = certified(&[host], &ca_file);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, asked) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let site = Self {
            address,
            ca_file,
            answers: answers.clone(),
            asked: asked.clone(),
            heads: heads.clone(),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, answers, asked) = (config.clone(), answers.clone(), asked.clone());
                let heads = heads.clone();
                thread::spawn(move || answer(stream, config, &answers, &asked, &heads));
            }
        });
        site
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    pub fn set(&self, path: &str, body: impl Into<Vec<u8>>) {
        let answer = Answer { body: body.into(), claimed: None, etag: None, stall: None };
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Serves the files below a folder, as they are now; of a folder, its `index.html`.
    pub fn serve(&self, folder: &Path) {
        for file in super::files(folder) {
            let body = std::fs::read(&file).unwrap();
            let path = format!("/{}", file.strip_prefix(folder).unwrap().display());
            if let Some(folder) = path.strip_suffix("index.html") {
                self.set(folder, &body[..]);
                self.set(folder.trim_end_matches('/'), &body[..]);
            }
            self.set(&path, body);
        }
    }

    /// Answers with a body shorter than its header claims, and hangs up.
    pub fn set_cut(&self, path: &str, body: impl Into<Vec<u8>>, claimed: u64) {
        let answer = Answer { body: body.into(), claimed: Some(claimed), etag: None, stall: None };
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Answers so that the client can go on where it broke off; `stall` lets it break off.
    pub fn set_known(&self, path: &str, body: impl Into<Vec<u8>>, stall: Option<usize>) {
        let (body, etag) = (body.into(), Some("\"one\"".to_owned()));
        let answer = Answer { body, claimed: None, etag, stall };
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// The heads of all requests so far, and forgets them.
    pub fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.heads.lock().unwrap())
    }

    /// The paths asked for so far, and forgets them.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// TLS for these hosts, under a new CA whose certificate is written to `ca_file`.
pub fn certified(hosts: &[&str], ca_file: &Path) -> Arc<ServerConfig> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    std::fs::write(ca_file, ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&params, &ca_key);
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let certificate = CertificateParams::new(hosts).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answers: &Answers,
    asked: &Mutex<Vec<String>>,
    heads: &Mutex<Vec<String>>,
) {
    let Ok(connection) = ServerConnection::new(config) else { return };
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut first = String::new();
    let mut all = String::new();
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|got| got > 2) {
        if first.is_empty() {
            first.clone_from(&line);
        }
        all.push_str(&line.to_lowercase());
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    let found = answers.lock().unwrap().get(&path).cloned();
    asked.lock().unwrap().push(path);
    let from = all.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
    let from: Option<usize> = from.and_then(|from| from.parse().ok());
    let unchanged = all.contains("if-none-match: \"one\"");
    heads.lock().unwrap().push(all);
    let (status, answer) = match found {
        Some(answer) => ("200 OK", answer),
        None => (
            "404 Not Found",
            Answer { body: b"nothing here".to_vec(), claimed: None, etag: None, stall: None },
        ),
    };
    let (mut status, mut more, mut body) = (status, String::new(), &answer.body[..]);
    if let Some(etag) = &answer.etag {
        more = format!("ETag: {etag}\r\n");
        if unchanged {
            (status, body) = ("304 Not Modified", &[]);
        } else if let Some(from) = from {
            let total = body.len();
            more += &format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
            (status, body) = ("206 Partial Content", &body[from..]);
        }
    }
    let length = answer.claimed.unwrap_or(body.len() as u64);
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n");
    let stream = stream.get_mut();
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[..answer.stall.unwrap_or(body.len())]);
    let _ = stream.flush();
    if answer.stall.is_some() {
        // Until the client has gone.
        let _ = std::io::Read::read(stream, &mut [0]);
        return;
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
}
