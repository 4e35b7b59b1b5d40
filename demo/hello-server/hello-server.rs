//! A small web server: the program `make demo` packs, publishes, fetches and runs.
//!
//! It serves the files of one folder over HTTP/1.1, one thread per connection, with nothing but
//! the standard library. Linked statically, it is the only executable its image needs.
//!
//! ```text
//! rustc -O -C target-feature=+crt-static hello-server.rs
//! ./hello-server /srv/www 127.0.0.1:8080
//! ```
//!
//! As the first process of a container it would ignore a polite signal, so with
//! `--until-input-ends` it also ends when whoever started it closes its input.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A request line longer than this is not one of ours.
const LONGEST_LINE: u64 = 8 * 1024;
/// Headers are read and ignored, but not for ever.
const MOST_HEADERS: usize = 100;

fn main() -> io::Result<()> {
    let (flags, arguments): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let mut arguments = arguments.into_iter();
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "/srv/www".to_owned()));
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());

    let listener = TcpListener::bind(&address)?;
    // Port 0 lets the kernel choose, so whoever started us has to be told.
    println!("hello-server: http://{}/", listener.local_addr()?);
    io::stdout().flush()?;

    if flags.iter().any(|flag| flag == "--until-input-ends") {
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            std::process::exit(0);
        });
    }
    for connection in listener.incoming() {
        let folder = folder.clone();
        thread::spawn(move || {
            if let Err(error) = connection.and_then(|stream| answer(&stream, &folder)) {
                eprintln!("hello-server: {error}");
            }
        });
    }
    Ok(())
}

/// Reads one request and answers it; the connection is closed after that.
fn answer(mut stream: &TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;

    let mut lines = BufReader::new(stream.take(LONGEST_LINE * MOST_HEADERS as u64));
    let mut request = String::new();
    lines.by_ref().take(LONGEST_LINE).read_line(&mut request)?;
    for _ in 0..MOST_HEADERS {
        let mut header = String::new();
        if lines.read_line(&mut header)? == 0 || header.trim_end().is_empty() {
            break;
        }
    }

    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (status, kind, body) = match method {
        "GET" | "HEAD" => {
            match file_for(target, folder).and_then(|path| Some((fs::read(&path).ok()?, path))) {
                Some((body, path)) => ("200 OK", media_type(&path), body),
                None => ("404 Not Found", "text/plain; charset=utf-8", b"nothing here\n".to_vec()),
            }
        }
        _ => ("405 Method Not Allowed", "text/plain; charset=utf-8", b"GET or HEAD\n".to_vec()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}

/// The file a request target means, if it names one below `folder`.
fn file_for(target: &str, folder: &Path) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    // `..` would lead out of the folder.
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
