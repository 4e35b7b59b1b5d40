//! Requests that no HTTP library makes: bytes, as they go over the wire.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::fixture::*;

/// An answer of HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request on a connection of its own, and reads until the server closes it or the
/// body has its length.
pub(crate) async fn exchange(registry: &Registry, request: &str) -> Answer {
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(&mut stream, !request.starts_with("HEAD ")).await
}

/// Reads one answer.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin), body: bool) -> Answer {
    let work = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        let mut bytes = vec![0; if body { length } else { 0 }];
        stream.read_exact(&mut bytes).await.expect("a body of the length that was said");
        Answer { status, headers, body: bytes }
    };
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("an answer in time")
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The client's first words: the preface, and settings that change nothing.
pub(crate) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, b"")].concat()
}

/// A request without a body: HEADERS that end both the headers and the stream. Each field
/// is a literal that is not indexed (RFC 7541, 6.2.2).
pub(crate) fn headers(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer ones have another form");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    frame(1, 5, stream, &block)
}

/// The next frame: kind, flags, stream, payload. None where the connection has ended.
pub(crate) async fn next_frame(
    stream: &mut (impl AsyncRead + Unpin),
) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], id, payload))
}

/// Asks by HTTP/2 with just these fields, and gives the body of the answer.
pub(crate) async fn exchange2(registry: &Registry, fields: &[(&str, &str)]) -> String {
    let mut stream = registry.connect(&[b"h2"]).await;
    stream.write_all(&[preface(), headers(1, fields)].concat()).await.unwrap();
    let mut body = Vec::new();
    let work = async {
        while let Some((kind, flags, id, payload)) = next_frame(&mut stream).await {
            match (kind, id) {
                (0, 1) => body.extend(payload),
                (3, 1) => body.extend(b"reset"),
                (4, 0) if flags & 1 == 0 => acknowledge(&mut stream).await,
                _ => {}
            }
            if (id == 1 && kind < 2 && flags & 1 == 1) || kind == 3 {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("an answer in time");
    String::from_utf8(body).unwrap()
}

async fn acknowledge(stream: &mut (impl AsyncWrite + Unpin)) {
    stream.write_all(&frame(4, 1, 0, b"")).await.unwrap();
}
