//! The holder of a sandbox, and its init: what the helper process of [`super::sandbox`] does.

use std::io::{self, BufRead, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::WaitOptions;
use rustix::thread::UnshareFlags;

use super::forward;
use super::sandbox::{Forward, Order, Protocol, Said};

/// Sockets of the host, opened before its network is left.
pub(super) enum Open {
    Tcp(TcpListener, u16),
    Udp(UdpSocket, u16),
}

/// Holds a sandbox until its standard input ends. A program calls this before it has begun any
/// other thread.
pub fn hold() -> io::Result<()> {
    let mut said = io::stdout();
    let mut say = |what: &Said| -> io::Result<()> {
        writeln!(said, "{}", serde_json::to_string(what)?)?;
        said.flush()
    };
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let failed = |doing: &str, error: io::Error| Said::Failed(doing.to_owned(), error.to_string());

    let mut open = Vec::new();
    for forward in &order.forwards {
        match bind(forward) {
            Ok(socket) => open.push(socket),
            Err(error) => {
                let doing = format!("listen on {}:{}", forward.address, forward.host_port);
                return say(&failed(&doing, error));
            }
        }
    }
    if order.user {
        if let Err(error) = unshare(UnshareFlags::NEWUSER) {
            return say(&failed("make a user namespace", error));
        }
        say(&Said::Unshared)?;
        // The IDs are there when the next line is.
        io::stdin().lock().read_line(&mut line)?;
    }
    let mut flags = UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWPID;
    if order.network {
        flags |= UnshareFlags::NEWNET;
    }
    let made = unshare(flags).and_then(|()| if order.network { loopback_up() } else { Ok(()) });
    if let Err(error) = made {
        return say(&failed("make namespaces", error));
    }
    let init = match start_init(&order) {
        Ok(init) => init,
        Err(error) => return say(&failed("start the first process of the pod", error)),
    };
    say(&Said::Ready(init.id()))?;
    let ended = serve(open);
    end(init);
    ended
}

/// The first process of a PID namespace: it ends when its input does, and takes in the
/// processes whose parents have ended.
pub fn init() -> io::Result<()> {
    std::thread::spawn(|| {
        let mut line = String::new();
        while io::stdin().lock().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            line.clear();
        }
        // The kernel ends all others when this one does.
        #[expect(clippy::disallowed_methods, reason = "a process without anything staged")]
        std::process::exit(0);
    });
    loop {
        if rustix::process::wait(WaitOptions::empty()).is_err() {
            // There is none yet.
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn bind(forward: &Forward) -> io::Result<Open> {
    let at = (forward.address, forward.host_port);
    match forward.protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(at)?;
            listener.set_nonblocking(true)?;
            Ok(Open::Tcp(listener, forward.port))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            Ok(Open::Udp(socket, forward.port))
        }
    }
}

/// Leaves namespaces for new ones. A user namespace is had only before another thread was begun.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(deprecated, reason = "the table of descriptors, for which it is unsafe, stays")]
    rustix::thread::unshare(flags).map_err(io::Error::from)
}

fn start_init(order: &Order) -> io::Result<Child> {
    let (program, arguments) = &order.init;
    Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
}

fn end(mut init: Child) {
    drop(init.stdin.take());
    let _ = init.kill();
    let _ = init.wait();
}

/// Forwards until the input ends. One thread: after `unshare` with a PID namespace there can be
/// no second one.
fn serve(open: Vec<Open>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for socket in open {
            match socket {
                Open::Tcp(listener, port) => {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    tokio::spawn(forward::tcp(listener, port));
                }
                Open::Udp(socket, port) => {
                    let socket = tokio::net::UdpSocket::from_std(socket)?;
                    tokio::spawn(forward::udp(socket, port));
                }
            }
        }
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let input = tokio::net::unix::pipe::Receiver::from_owned_fd(input)?;
        let mut buffer = [0; 64];
        loop {
            input.readable().await?;
            match input.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// Brings up the loopback interface of a new network namespace (rtnetlink(7), `RTM_NEWLINK`).
pub fn loopback_up() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    const LOOPBACK: i32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    // Sequence and port; then family, padding and type, which say nothing here.
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is the first.
        None,
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0; 256];
    let (length, _) = rustix::net::recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    // The answer's header, and then zero or an error number below zero.
    let code = answer.get(16..20).filter(|_| length >= 20).and_then(|four| four.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
