//! Clients that are slow, silent, or too many.

use std::time::{Duration, Instant};

use aci::archive::Compression;
use aci::push::Upload;
use registry::Config;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::*;
use crate::wire::{exchange, frame, headers, next_frame, preface, read_answer};

const SOON: Duration = Duration::from_secs(30);

fn short(config: &mut Config) {
    config.timeouts.handshake = Duration::from_millis(500);
    config.timeouts.headers = Duration::from_millis(800);
    config.timeouts.silence = Duration::from_millis(1200);
    config.connections.grace = Duration::from_millis(600);
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("it ends in time")
}

/// Begins a push on a connection of its own that never gets further than its headers.
async fn begin_push(
    registry: &Registry,
    token: &str,
    path: &str,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn slow_pushes_end_and_leave_places_to_others() {
    let registry = Registry::start_with(|config| {
        config.connections.grace = Duration::from_secs(3);
        config.connections.pushes = 3;
        config.connections.pushes_per_caller = 2;
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let other = registry.token("example.com").await;
    let created = registry.create(&token, &sign(team_key(), b"x")).await;
    let upload: Upload = created.json().await.unwrap();
    let mut dripping = Vec::new();
    for _ in 0..2 {
        let mut stream = begin_push(&registry, &token, &upload.path).await;
        dripping.push(tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(&mut stream);
            let drip = async {
                while to.write_all(b"x").await.is_ok() && to.flush().await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                answer = read_answer(&mut from, true) => answer,
                () = drip => unreachable!(),
            }
        }));
    }
    // Another token's push need not wait for them.
    registry.publish(&other, &image("example.com/a:1", b"a"), team_key()).await;
    assert!(dripping.iter().all(|push| !push.is_finished()), "they are still at it");
    // One of the same token waits, and has its turn.
    let second = image("example.com/a:2", b"b");
    in_time(registry.publish(&token, &second, team_key())).await;
    for push in dripping {
        let answer = in_time(push).await.unwrap();
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert!(answer.text().contains("upload-too-slow"), "{}", answer.text());
    }
    let left = files_below(&registry.data().join("spool"));
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn slow_requests_of_every_kind_are_told_so() {
    let registry = Registry::start_with(short).await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let initiated = registry.client.post(registry.url("/-/acpush/example.com/a"));
    let initiated: serde_json::Value =
        initiated.bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    let path_of = |part: &str| {
        let url = initiated[part].as_str().unwrap();
        url.strip_prefix("https://example.com").unwrap().to_owned()
    };
    for (method, path) in [
        ("POST", "/-/api/v1/uploads".to_owned()),
        ("PUT", path_of("upload_manifest_url")),
        ("PUT", path_of("upload_signature_url")),
        ("PUT", path_of("upload_aci_url")),
        ("POST", path_of("completed_url")),
    ] {
        if path == path_of("upload_aci_url") {
            let signature = sign(team_key(), b"x");
            let signed = registry.send(&token, &path_of("upload_signature_url"), signature).await;
            assert_eq!(signed.status(), StatusCode::OK);
        }
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 1000\r\n\r\n{{"
        );
        let answer = exchange(&registry, &request).await;
        assert_eq!(answer.status, 408, "{path}: {}", answer.text());
        assert!(answer.text().contains("upload-too-slow"), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn slow_readers_are_let_go() {
    let registry = Registry::start_with(|config| {
        short(config);
        config.connections.rate = 4 << 20;
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    // More than all buffers between us hold.
    let image = image("example.com/a:1", &noise(24 << 20));
    registry.publish(&token, &image, team_key()).await;
    let path = format!("/-/blobs/{}.aci", image.id);
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    // A stream of HTTP/2 that gives no leave to send more, while its connection lives on.
    let mut second = registry.connect(&[b"h2"]).await;
    let fields =
        [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "")];
    let mut block = headers(1, &fields[..3]);
    // The path is too long for the short form of a literal.
    block.extend([0, 5]);
    block.extend(b":path");
    let length = path.len() - 127;
    block.extend([127, (length & 127) as u8 | 128, (length >> 7) as u8]);
    block.extend(path.bytes());
    let block = frame(1, 5, 1, &block[9..]);
    second.write_all(&[preface(), block].concat()).await.unwrap();
    let mut data = 0;
    let start = Instant::now();
    let read = async {
        while let Some((kind, flags, _, payload)) = next_frame(&mut second).await {
            match kind {
                0 => data += payload.len(),
                4 if flags & 1 == 0 => second.write_all(&frame(4, 1, 0, b"")).await.unwrap(),
                6 if flags & 1 == 0 => {
                    let _ = second.write_all(&frame(6, 1, 0, &payload)).await;
                }
                _ => {}
            }
        }
    };
    in_time(read).await;
    assert!(data > 0 && data < image.bytes.len(), "{data} bytes");
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    // Whatever was on its way on the first connection comes, and then no more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut all = Vec::new();
    let _ = in_time(stream.read_to_end(&mut all)).await;
    assert!(!all.is_empty() && all.len() < image.bytes.len(), "{} bytes", all.len());
    // Who reads gets all of it.
    assert_eq!(registry.get(&path).await.bytes().await.unwrap().len(), image.bytes.len());
}

#[tokio::test]
async fn silent_connections_are_closed_whatever_they_ping() {
    let registry = Registry::start_with(short).await;
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/-/healthz"),
    ];
    for first in [preface(), [preface(), headers(1, &fields)].concat()] {
        let mut stream = registry.connect(&[b"h2"]).await;
        stream.write_all(&first).await.unwrap();
        let (mut from, mut to) = tokio::io::split(stream);
        let ping = async {
            while to.write_all(&frame(6, 0, 0, b"12345678")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        let read = async {
            let mut said_goodbye = false;
            while let Some((kind, ..)) = next_frame(&mut from).await {
                said_goodbye |= kind == 7;
            }
            said_goodbye
        };
        let start = Instant::now();
        let ended = async {
            tokio::select! { goodbye = read => goodbye, () = ping => unreachable!() }
        };
        assert!(in_time(ended).await, "GOAWAY");
        assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    }
    // HTTP/1: after an answer, nothing.
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    stream.write_all(b"GET /-/healthz HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream, true).await.status, 200);
    let mut rest = Vec::new();
    let _ = in_time(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn oversized_requests_are_told_so() {
    let registry = Registry::start_with(short).await;
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n{more}\r\n")
    };
    let long = |bytes: usize| format!("/{}", "a".repeat(bytes));
    for (request, status) in [
        (get(&long(8 << 10), ""), 414),
        (get(&format!("/?{}", long(8 << 10)), ""), 414),
        (get(&long(8000), ""), 404),
        (get("/", &format!("X: {}\r\n", long(17 << 10))), 431),
        (get("/", &"X: y\r\n".repeat(200)), 431),
        (get("/", &format!("X: {}\r\n", long(8 << 10))), 200),
    ] {
        let answer = exchange(&registry, &request).await;
        assert_eq!(answer.status, status, "{}", &request[..100]);
        assert!(status != 414 || answer.text().contains("url-too-long"), "{}", answer.text());
    }
    // A header without an end is not kept until its time is over.
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    let begun = get("/", &format!("X: {}", "a".repeat(100 << 10)));
    stream.write_all(begun.trim_end().as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.status, 431);
    // Many headers without an end.
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    let _ = stream.write_all(get("/", &"X: y\r\n".repeat(1 << 16)).as_bytes()).await;
    let mut rest = Vec::new();
    let _ = in_time(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 431"), "it is not read on");
}

#[tokio::test]
async fn http2_has_limits() {
    let registry = Registry::start().await;
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/-/healthz"),
    ];
    let text = "a".repeat(120);
    let many: Vec<_> = fields.iter().copied().chain([("x", text.as_str()); 120]).collect();
    // 431, which is `:status` with these digits.
    let mut stream = registry.connect(&[b"h2"]).await;
    stream.write_all(&[preface(), headers(1, &many)].concat()).await.unwrap();
    let (mut streams, mut answered) = (None, false);
    let read = async {
        while let Some((kind, flags, _, payload)) = next_frame(&mut stream).await {
            if kind == 4 && flags & 1 == 0 {
                let setting = payload.chunks(6).find(|setting| setting[..2] == [0, 3]);
                streams = setting.map(|value| u32::from_be_bytes(value[2..].try_into().unwrap()));
            }
            answered |= kind == 1;
            if answered || kind == 3 {
                break;
            }
        }
    };
    in_time(read).await;
    assert_eq!(streams, Some(64), "streams at once");
    // Requests that are taken back at once, and headers that never end.
    let reset =
        |stream: u32| [headers(stream, &fields), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    let resets: Vec<u8> = (0..20_000).flat_map(|at| reset(2 * at + 1)).collect();
    let begun = frame(1, 0, 1, &headers(1, &fields)[9..]);
    let endless: Vec<u8> =
        (0..2000).flat_map(|_| frame(9, 0, 1, &headers(1, &many)[9..])).collect();
    for words in [resets, [begun, endless].concat()] {
        let stream = registry.connect(&[b"h2"]).await;
        let (mut from, mut to) = tokio::io::split(stream);
        // The server may end it while we are still at it.
        let write = tokio::spawn(async move {
            let _ = to.write_all(&[preface(), words].concat()).await;
            let _ = to.flush().await;
            to
        });
        let read = async { while next_frame(&mut from).await.is_some() {} };
        in_time(read).await;
        drop(write.await);
    }
    assert_eq!(registry.get("/-/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn oldest_silent_connection_makes_room_for_a_new_one() {
    let registry = Registry::start_with(|config| config.connections.connections = 4).await;
    let mut oldest = TcpStream::connect(registry.address).await.unwrap();
    let mut half = registry.connect(&[b"http/1.1"]).await;
    half.write_all(b"GET / HTTP/1.1\r\nHost: exam").await.unwrap();
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(TcpStream::connect(registry.address).await.unwrap());
    }
    let mut byte = [0];
    assert!(matches!(in_time(oldest.read(&mut byte)).await, Ok(0) | Err(_)));
    assert!(matches!(in_time(half.read(&mut byte)).await, Ok(0) | Err(_)));
    for _ in 0..8 {
        let client = client(registry.address, &registry.data().join("tls/ca.pem"), true);
        let answer = client.get(registry.url("/-/healthz")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

/// How many connections a test may open, with as many of the server's in the same process.
fn connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = limit.map_or(20_000, |limit| usize::try_from(limit).unwrap());
    (limit / 2).saturating_sub(1000).min(9000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_half_open_connections_keep_no_get_waiting() {
    let (registry, token) = started().await;
    let image = hello();
    registry.publish(&token, &image, team_key()).await;
    let authority = registry.data().join("tls/ca.pem");
    let measure = async || {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            // A connection of its own for each.
            let client = client(registry.address, &authority, true);
            let url = registry.url(&format!("/-/blobs/{}.aci", image.id));
            let start = Instant::now();
            let response = client.get(url).send().await.unwrap();
            assert_eq!(response.bytes().await.unwrap(), image.bytes);
            longest = longest.max(start.elapsed());
        }
        longest
    };
    let quiet = measure().await;
    let mut half_open = Vec::new();
    let mut half_asked = Vec::new();
    let mut flooded = Duration::ZERO;
    let most = connections();
    assert!(most > 500, "the limit of open files is too low to test anything");
    for at in 0..most {
        let Ok(mut stream) = TcpStream::connect(registry.address).await else { continue };
        if at % 3 == 0 {
            // Half of a ClientHello.
            let _ = stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half").await;
        }
        half_open.push(stream);
        if at % 50 == 0 {
            let mut stream = registry.connect(&[b"http/1.1"]).await;
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: exam").await;
            half_asked.push(stream);
        }
        if at % (most / 4) == most / 8 {
            flooded = flooded.max(measure().await);
        }
    }
    flooded = flooded.max(measure().await);
    println!(
        "{} half open; a GET took at most {quiet:?} before, {flooded:?} then",
        half_open.len()
    );
    assert!(half_open.len() > most / 2);
    assert!(flooded < quiet + Duration::from_secs(3), "{quiet:?} {flooded:?}");
}

#[tokio::test]
async fn answer_reaches_who_has_asked_and_says_no_more() {
    let registry = Registry::start().await;
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_answer(&mut stream, true).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("</html>"));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "and then the connection ends");
}

/// An image in zstd of one frame, whose window is of so many bytes, in blocks as they are.
fn zstd_of_window(reference: &str, content: &[u8], log: u8) -> Image {
    let parsed: aci::Reference = reference.parse().unwrap();
    let manifest = aci::ImageManifest::new(parsed.name().clone(), parsed.labels().clone());
    let plain = image_compressed(&manifest, reference, content, Compression::None);
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    let blocks: Vec<&[u8]> = plain.bytes.chunks(100_000).collect();
    for (at, block) in blocks.iter().enumerate() {
        let header = (block.len() << 3) | usize::from(at + 1 == blocks.len());
        bytes.extend_from_slice(&header.to_le_bytes()[..3]);
        bytes.extend_from_slice(block);
    }
    Image { bytes, ..plain }
}

#[tokio::test]
async fn pushes_that_need_much_memory_wait_for_each_other_alone() {
    let registry = Registry::start_with(|config| {
        config.connections.decoder_mib = 100;
        config.connections.decoder_mib_per_caller = 100;
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let large = zstd_of_window("example.com/a:1", &noise(2 << 20), 26);
    let created = registry.create(&token, &sign(team_key(), &large.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let (start, end) = large.bytes.split_at(1 << 20);
    let mut stream = registry.begin_sending(&token, &upload.path, &large, start).await;
    // It is being read when it has its memory.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = zstd_of_window("example.com/a:2", &noise(1 << 20), 26);
    let publishing = registry.publish(&token, &second, team_key());
    tokio::pin!(publishing);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut publishing).await;
    assert!(early.is_err(), "there is no memory for both");
    let metrics = registry.get("/-/metrics").await.text().await.unwrap();
    for state in ["running", "waiting"] {
        let one = format!("gantry_pushes_under_way{{state=\"{state}\"}} 1\n");
        assert!(metrics.contains(&one), "{metrics}");
    }
    // Others need none of it.
    for (at, log) in [(3, 20), (4, 24)] {
        let usual = zstd_of_window(&format!("example.com/a:{at}"), b"a", log);
        in_time(registry.publish(&token, &usual, team_key())).await;
    }
    in_time(registry.publish(&token, &image("example.com/a:5", b"a"), team_key())).await;
    stream.write_all(end).await.unwrap();
    stream.flush().await.unwrap();
    let answer = in_time(read_answer(&mut stream, true)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    in_time(publishing).await;
}
