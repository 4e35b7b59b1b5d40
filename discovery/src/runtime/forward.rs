//! Ports of the host that lead into a network namespace.
//!
//! The sockets of the host were opened before this process left the host's network, and stay
//! there; what is opened now is inside. A program inside sees its clients come from 127.0.0.1.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// Connections at one time through one port.
const CONNECTIONS: usize = 4096;

/// Peers at one time of one UDP port, and how long one that says nothing is remembered.
const PEERS: usize = 1024;
const QUIET: Duration = Duration::from_secs(120);

/// The longest UDP datagram.
const DATAGRAM: usize = 65_535;

/// Passes connections on to `port` inside.
pub(super) async fn tcp(listener: TcpListener, port: u16) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        let Ok((outer, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others will be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        tokio::spawn(async move {
            let _permit = permit;
            // Nobody listens inside: the connection ends, as it would there.
            if let Ok(mut inner) = connect(port).await {
                let mut outer = outer;
                let _ = outer.set_nodelay(true).and_then(|()| inner.set_nodelay(true));
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            }
        });
    }
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await
        }
        result => result,
    }
}

/// Passes datagrams on to `port` inside, and the answers back to whoever asked.
pub(super) async fn udp(outer: UdpSocket, port: u16) {
    let outer = Arc::new(outer);
    let peers: Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>> = Arc::default();
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let Ok((length, from)) = outer.recv_from(&mut datagram).await else { continue };
        let known = peers.lock().unwrap_or_else(PoisonError::into_inner).get(&from).cloned();
        let inner = match known {
            Some(inner) => inner,
            None => {
                let Ok(inner) = towards(port).await.map(Arc::new) else { continue };
                let mut table = peers.lock().unwrap_or_else(PoisonError::into_inner);
                if table.len() >= PEERS {
                    continue;
                }
                table.insert(from, inner.clone());
                drop(table);
                tokio::spawn(answer(outer.clone(), inner.clone(), from, peers.clone()));
                inner
            }
        };
        let _ = inner.send(&datagram[..length]).await;
    }
}

async fn towards(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect((Ipv4Addr::LOCALHOST, port)).await?;
    Ok(socket)
}

async fn answer(
    outer: Arc<UdpSocket>,
    inner: Arc<UdpSocket>,
    to: SocketAddr,
    peers: Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>,
) {
    let mut datagram = vec![0; DATAGRAM];
    while let Ok(Ok(length)) = tokio::time::timeout(QUIET, inner.recv(&mut datagram)).await {
        let _ = outer.send_to(&datagram[..length], to).await;
    }
    peers.lock().unwrap_or_else(PoisonError::into_inner).remove(&to);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn tcp_carries_both_ways_and_ends_where_nobody_listens() {
        let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = inside.local_addr().unwrap().port();
        let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = outside.local_addr().unwrap();
        let forwarding = tokio::spawn(tcp(outside, port));
        let server = tokio::spawn(async move {
            let (mut stream, _) = inside.accept().await.unwrap();
            let mut asked = Vec::new();
            // The client's end reaches the server while its answer is still to come.
            stream.read_to_end(&mut asked).await.unwrap();
            asked.reverse();
            stream.write_all(&asked).await.unwrap();
        });
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(b"abc").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"cba");
        server.await.unwrap();
        let mut client = TcpStream::connect(at).await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        forwarding.abort();
    }

    #[tokio::test]
    async fn udp_answers_each_peer_its_own() {
        let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = inside.local_addr().unwrap().port();
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = outside.local_addr().unwrap();
        let forwarding = tokio::spawn(udp(outside, port));
        let echo = tokio::spawn(async move {
            let mut datagram = [0; 16];
            loop {
                let (length, from) = inside.recv_from(&mut datagram).await.unwrap();
                inside.send_to(&datagram[..length], from).await.unwrap();
            }
        });
        for word in [&b"one"[..], b"two"] {
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            client.send_to(word, at).await.unwrap();
            let mut datagram = [0; 16];
            let (length, from) = client.recv_from(&mut datagram).await.unwrap();
            assert_eq!((&datagram[..length], from), (word, at));
        }
        forwarding.abort();
        echo.abort();
    }
}
