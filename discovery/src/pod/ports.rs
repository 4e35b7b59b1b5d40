//! Ports of the host, and the ports of the apps behind them (spec: pods.md, "ports").

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use aci::AcName;
use aci::manifest::{App, ExposedPort, Port};

use super::PodError;
use crate::bundle::Network;
use crate::runtime::{Forward, Protocol};

/// What is to be opened on the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Openings {
    /// Ports that lead into the pod's network.
    pub forwards: Vec<Forward>,
    /// Sockets that are handed to apps.
    pub sockets: Vec<Socket>,
}

/// A listening socket for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Which app gets it.
    pub app: AcName,
    /// The name of the app's port.
    pub name: AcName,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens on the host.
    pub address: (Ipv4Addr, u16),
}

impl Socket {
    /// Opens it.
    pub fn open(&self) -> io::Result<OwnedFd> {
        Ok(match self.protocol {
            Protocol::Tcp => TcpListener::bind(self.address)?.into(),
            Protocol::Udp => UdpSocket::bind(self.address)?.into(),
        })
    }
}

/// Finds the app's port behind each port of the host. A port whose app expects its socket from
/// outside becomes a socket; with the host's network, one that nobody names, too.
pub fn openings(
    ports: &[ExposedPort],
    apps: &[(AcName, &App)],
    network: Network,
) -> Result<Openings, PodError> {
    let mut openings = Openings::default();
    for exposed in ports {
        let owners = apps.iter().flat_map(|(name, app)| {
            app.ports.iter().filter(|port| port.name == exposed.name).map(move |port| (name, port))
        });
        let owners: Vec<(&AcName, &Port)> = owners.collect();
        let name = || exposed.name.to_string();
        let port = match (&exposed.pod_port, owners.as_slice()) {
            (Some(port), _) => port,
            (None, [(_, port)]) => port,
            (None, []) => return Err(PodError::PortAbsent { name: name() }),
            (None, more) => {
                let apps = more.iter().map(|(app, _)| app.to_string()).collect();
                return Err(PodError::PortAmbiguous { name: name(), apps });
            }
        };
        let protocol = match port.protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => {
                return Err(PodError::Protocol { name: name(), protocol: other.to_owned() });
            }
        };
        let address = exposed.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        if let Some((app, _)) = owners.iter().find(|(_, port)| port.socket_activated) {
            let (app, name) = ((*app).clone(), exposed.name.clone());
            let address = (address, exposed.host_port);
            openings.sockets.push(Socket { app, name, protocol, address });
            continue;
        }
        for at in 0..port.count.unwrap_or(1) {
            let beyond = || PodError::PortBeyond { name: name() };
            let host_port = exposed.host_port.checked_add(at).ok_or_else(beyond)?;
            let port = port.port.checked_add(at).ok_or_else(beyond)?;
            match network {
                // The program opens it there itself.
                Network::Host if host_port == port => {}
                Network::Host => return Err(PodError::PortMoved { name: name(), port, host_port }),
                Network::None => return Err(PodError::NoNetwork { name: name() }),
                Network::Private => {
                    openings.forwards.push(Forward { protocol, address, host_port, port });
                }
            }
        }
    }
    if network == Network::Host {
        unnamed_sockets(apps, &mut openings.sockets);
    }
    Ok(openings)
}

fn unnamed_sockets(apps: &[(AcName, &App)], sockets: &mut Vec<Socket>) {
    for (app, port) in apps.iter().flat_map(|(app, it)| it.ports.iter().map(move |p| (app, p))) {
        let known = sockets.iter().any(|socket| socket.name == port.name);
        let protocol = match port.protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => continue,
        };
        if port.socket_activated && !known {
            sockets.push(Socket {
                app: app.clone(),
                name: port.name.clone(),
                protocol,
                address: (Ipv4Addr::UNSPECIFIED, port.port),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::AppChanges;

    fn app(ports: &[&str]) -> App {
        let changes = AppChanges { exec: Some("/x".into()), ..AppChanges::default() };
        let ports = ports.iter().map(|port| port.parse().unwrap()).collect();
        App { ports, ..changes.apply(None).unwrap() }
    }

    fn exposed(name: &str, host_port: u16) -> ExposedPort {
        ExposedPort {
            name: name.parse().unwrap(),
            host_port,
            host_ip: None,
            pod_port: None,
            extra: Default::default(),
        }
    }

    fn find(
        ports: &[ExposedPort],
        apps: &[(&str, &App)],
        network: Network,
    ) -> Result<Openings, PodError> {
        let apps: Vec<_> = apps.iter().map(|(name, app)| (name.parse().unwrap(), *app)).collect();
        openings(ports, &apps, network)
    }

    #[test]
    fn port_leads_to_the_app_that_has_it() {
        let web = app(&["http,protocol=tcp,port=8080", "many,protocol=udp,port=100,count=2"]);
        let ports = [exposed("http", 80), exposed("many", 200)];
        let found = find(&ports, &[("web", &web)], Network::Private).unwrap();
        let pairs: Vec<_> =
            found.forwards.iter().map(|one| (one.protocol, one.host_port, one.port)).collect();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert_eq!(pairs, [(tcp, 80, 8080), (udp, 200, 100), (udp, 201, 101)]);
        assert_eq!(found.sockets, []);
    }

    #[test]
    fn port_that_cannot_be_meant_is_refused() {
        let web = app(&["http,protocol=tcp,port=8080", "odd,protocol=sctp,port=7"]);
        let run = |ports: &[ExposedPort], network| find(ports, &[("web", &web)], network);
        let absent = run(&[exposed("nope", 80)], Network::Private);
        assert!(matches!(absent, Err(PodError::PortAbsent { .. })), "{absent:?}");
        let none = run(&[exposed("http", 80)], Network::None);
        assert!(matches!(none, Err(PodError::NoNetwork { .. })), "{none:?}");
        let moved = run(&[exposed("http", 80)], Network::Host);
        assert!(matches!(moved, Err(PodError::PortMoved { .. })), "{moved:?}");
        assert!(run(&[exposed("http", 8080)], Network::Host).unwrap().forwards.is_empty());
        let odd = run(&[exposed("odd", 7)], Network::Private);
        assert!(matches!(odd, Err(PodError::Protocol { .. })), "{odd:?}");
        let twice = [("a", &web), ("b", &web)];
        let twice = find(&[exposed("http", 80)], &twice, Network::Private);
        assert!(matches!(twice, Err(PodError::PortAmbiguous { .. })), "{twice:?}");
        // What the pod says of the port goes before the apps.
        let mut own = exposed("nope", 80);
        own.pod_port = Some("nope,protocol=tcp,port=9".parse().unwrap());
        assert_eq!(run(&[own], Network::Private).unwrap().forwards[0].port, 9);
    }

    #[test]
    fn socket_activated_port_becomes_a_socket() {
        let web = app(&["http,protocol=tcp,port=8080,socketActivated=true"]);
        let apps = [("web", &web)];
        let found = find(&[exposed("http", 80)], &apps, Network::Private).unwrap();
        assert_eq!((found.forwards.len(), found.sockets[0].address.1), (0, 80));
        assert_eq!(find(&[], &apps, Network::Private).unwrap().sockets, []);
        assert_eq!(find(&[], &apps, Network::Host).unwrap().sockets[0].address.1, 8080);
    }
}
