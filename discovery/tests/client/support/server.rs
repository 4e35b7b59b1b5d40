//! A server that answers as it is told, byte for byte: honest, broken or hostile.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Authority;

/// What a client asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// The name TLS asked for; empty over plain http.
    pub(crate) sni: String,
    pub(crate) secure: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn host(&self) -> &str {
        self.header("host").unwrap_or_default()
    }
}

/// What it gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Whole(u16, Vec<u8>),
    /// A redirect.
    To(u16, String),
    /// A body that is shorter than announced; the connection is closed properly.
    Short { announced: usize, body: Vec<u8> },
    /// A body without an announced length; the connection is closed properly.
    Unannounced(Vec<u8>),
    /// Chunks without end.
    Endless,
    /// A part of the announced body, then the connection is reset.
    Reset { announced: usize, body: Vec<u8> },
    /// A part of the announced body, then nothing, for ever.
    Stall { announced: usize, body: Vec<u8> },
    /// No answer, for ever.
    Silence,
    /// The connection is closed before an answer.
    Close,
    /// A status, header lines, each with its end, and a body.
    Said { status: u16, headers: String, body: Vec<u8> },
    /// The same, with a longer body announced, and cut off.
    Cut { status: u16, headers: String, announced: usize, body: Vec<u8>, reset: bool },
    /// Whatever this makes of the request.
    Do(Script),
}

/// An answer that depends on the request.
#[derive(Clone)]
pub(crate) struct Script(Arc<Handler>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(200, body.into())
    }

    pub(crate) fn said(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Said { status, headers: headers.to_owned(), body: body.into() }
    }

    pub(crate) fn by(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::Do(Script(Arc::new(handler)))
    }

    pub(crate) fn absent() -> Self {
        Self::Whole(404, b"no such page".to_vec())
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// Serves until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// A server with a certificate for `names`.
    pub(crate) async fn start(
        names: &[&str],
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What was written and not sent is lost with a reset: that is to be little.
        socket.set_send_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Authority::get().server(names));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let handler: Arc<Handler> = Arc::new(handler);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                let handler = Arc::clone(&handler);
                tokio::spawn(async move {
                    let mut first = [0];
                    if stream.peek(&mut first).await.is_ok_and(|_| first[0] != 0x16) {
                        let _ = answer(stream, &seen, &*handler).await;
                    } else if let Ok(stream) = acceptor.accept(stream).await {
                        // A client that does not like the certificate goes away.
                        let _ = answer(stream, &seen, &*handler).await;
                    }
                });
            }
        });
        Self { address, requests, task }
    }

    /// What was asked so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The targets of what was asked so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.target).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// TLS, or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
    fn sni(&self) -> Option<String>;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn sni(&self) -> Option<String> {
        None
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn sni(&self) -> Option<String> {
        Some(self.get_ref().1.server_name().unwrap_or_default().to_owned())
    }
}

async fn answer(
    mut stream: impl Wire,
    seen: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    seen.lock().unwrap().push(request.clone());
    let head = |status: u16, rest: &str| {
        format!("HTTP/1.1 {status} Said\r\nConnection: close\r\n{rest}\r\n").into_bytes()
    };
    let announced = |status, length| head(status, &format!("Content-Length: {length}\r\n"));
    let mut reply = handler(&request);
    while let Reply::Do(script) = reply {
        reply = (script.0)(&request);
    }
    match reply {
        Reply::Do(_) => unreachable!(),
        Reply::Said { status, headers, body } => {
            let rest = format!("Content-Length: {}\r\n{headers}", body.len());
            stream.write_all(&head(status, &rest)).await?;
            stream.write_all(&body).await?;
        }
        Reply::Cut { status, headers, announced: length, body, reset } => {
            let rest = format!("Content-Length: {length}\r\n{headers}");
            stream.write_all(&head(status, &rest)).await?;
            stream.write_all(&body).await?;
            stream.flush().await?;
            if reset {
                stream.tcp().set_zero_linger()?;
                return Ok(());
            }
        }
        Reply::Whole(status, body) => {
            stream.write_all(&announced(status, body.len())).await?;
            stream.write_all(&body).await?;
        }
        Reply::To(status, location) => {
            let rest = format!("Content-Length: 0\r\nLocation: {location}\r\n");
            stream.write_all(&head(status, &rest)).await?;
        }
        Reply::Short { announced: length, body } => {
            stream.write_all(&announced(200, length)).await?;
            stream.write_all(&body).await?;
        }
        Reply::Unannounced(body) => {
            stream.write_all(&head(200, "")).await?;
            stream.write_all(&body).await?;
        }
        Reply::Endless => {
            stream.write_all(&head(200, "Transfer-Encoding: chunked\r\n")).await?;
            let mut chunk = b"10000\r\n".to_vec();
            chunk.extend([b'x'; 0x10000]);
            chunk.extend(b"\r\n");
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Reply::Reset { announced: length, body } => {
            stream.write_all(&announced(200, length)).await?;
            stream.write_all(&body).await?;
            stream.flush().await?;
            // Let the bytes arrive before the reset throws them away.
            tokio::time::sleep(Duration::from_millis(200)).await;
            stream.tcp().set_zero_linger()?;
            return Ok(());
        }
        Reply::Stall { announced: length, body } => {
            stream.write_all(&announced(200, length)).await?;
            stream.write_all(&body).await?;
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
        Reply::Silence => std::future::pending::<()>().await,
        Reply::Close => return Ok(()),
    }
    stream.shutdown().await
}

async fn read(stream: &mut impl Wire) -> std::io::Result<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut body = bytes.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let mut word = || first.next().unwrap_or_default().to_owned();
    let mut request = Request { method: word(), target: word(), ..Request::default() };
    request.secure = stream.sni().is_some();
    request.sni = stream.sni().unwrap_or_default();
    request.headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = body;
    Ok(request)
}
