//! `gantry push` over connections that break, with a registry that is killed, and when it is killed
//! itself: what the registry holds is not sent again. And several images at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::server::Server;
use support::world::World;
use support::{Ended, GANTRY, Sandbox, files};

const MIB: u64 = 1 << 20;
/// Bytes of a range that `gantry push` sends once a connection has broken off.
const RANGE: u64 = 8 * MIB;

/// A way to a server that cuts connections, and counts what goes to it.
struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    /// After so many bytes towards the server the next connections are cut.
    cuts: Mutex<Vec<u64>>,
    sent: AtomicU64,
}

impl Proxy {
    fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, sent) = (Mutex::default(), AtomicU64::new(0));
        let shared = Arc::new(Shared { target: Mutex::new(target), cuts, sent });
        let theirs = Arc::clone(&shared);
        // They end with the process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, shared) = (client.unwrap(), Arc::clone(&theirs));
                std::thread::spawn(move || shared.carry(&client));
            }
        });
        Self { address, shared }
    }

    fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap() = target;
    }

    fn cut(&self, cuts: &[u64]) {
        *self.shared.cuts.lock().unwrap() = cuts.iter().rev().copied().collect();
    }

    /// Bytes towards the server so far.
    fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    fn wait_for(&self, bytes: u64) {
        let start = Instant::now();
        while self.sent() < bytes {
            assert!(start.elapsed() < Duration::from_secs(120), "{} of {bytes}", self.sent());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    fn carry(&self, client: &TcpStream) {
        let target = *self.target.lock().unwrap();
        let Ok(server) = TcpStream::connect(target) else { return };
        let limit = self.cuts.lock().unwrap().pop().unwrap_or(u64::MAX);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Whoever ends first ends both.
                let _ = std::io::copy(&mut &server, &mut &*client);
                let _ = client.shutdown(Shutdown::Both);
            });
            let (mut left, mut buffer) = (limit, [0; 16 << 10]);
            while left > 0 {
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let got = (&*client).read(&mut buffer[..most]).unwrap_or(0);
                self.sent.fetch_add(got as u64, Ordering::SeqCst);
                left -= got as u64;
                if got == 0 || (&server).write_all(&buffer[..got]).is_err() {
                    break;
                }
            }
            let _ = client.shutdown(Shutdown::Both);
            // What was carried arrives, and then the end.
            let _ = server.shutdown(Shutdown::Write);
        });
    }
}

/// A registry behind a proxy, and a signed image `large.aci` that does not pack.
struct Scene {
    world: World,
    proxy: Proxy,
    size: u64,
}

impl Scene {
    fn new(bytes: u64) -> Self {
        let world = World::new(&["example.com"]);
        let proxy = Proxy::start(world.server.address());
        let config = format!(
            "ca-file = \"{}\"\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
            world.server.ca_file().display(),
            proxy.address
        );
        world.sandbox.write("home/.config/gantry/config.toml", config);
        world.sandbox.write("large/noise", noise(bytes));
        world.image("large", "example.com/large", "1.0.0", "--compression none");
        let size = world.sandbox.path("large.aci").metadata().unwrap().len();
        Self { world, proxy, size }
    }

    fn start_push(&self) -> Child {
        self.world
            .sandbox
            .command(GANTRY)
            .args(["--json", "push", "large.aci", "--token-file", "token"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The push has ended well, and the image is there.
    #[track_caller]
    fn assert_pushed(&self, push: Child) -> String {
        let ended = Ended::of(push.wait_with_output().unwrap());
        assert_eq!(ended.code, 0, "{ended:#?}");
        let said: Value = serde_json::from_str(&ended.stdout).unwrap();
        let id = said["pushed"]["imageId"].as_str().unwrap();
        let got = self.world.server.get("example.com", &format!("/-/blobs/{id}.aci"));
        assert_eq!(got.status, 200);
        assert!(got.body == std::fs::read(self.world.sandbox.path("large.aci")).unwrap());
        ended.stderr
    }

    /// Bytes of parts that the registry holds.
    fn held(&self) -> u64 {
        let parts = files(&self.world.server.data().join("blobs/part"));
        parts.iter().filter_map(|part| part.metadata().ok()).map(|part| part.len()).sum()
    }
}

/// Bytes that do not pack.
fn noise(bytes: u64) -> Vec<u8> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32).to_le_bytes()
    });
    noise.take(usize::try_from(bytes / 8).unwrap()).flatten().collect()
}

#[test]
fn push_goes_on_where_connections_were_cut() {
    let scene = Scene::new(48 * MIB);
    let cuts = [12 * MIB, 9 * MIB, 5 * MIB];
    scene.proxy.cut(&cuts);
    let stderr = scene.assert_pushed(scene.start_push());
    // From the start each time it would have been as much more as the cuts add up to.
    let most = scene.size + cuts.len() as u64 * (MIB / 2) + RANGE;
    assert!(scene.proxy.sent() <= most, "{} of {}: {stderr}", scene.proxy.sent(), scene.size);
    assert!(scene.proxy.sent() >= scene.size);
    assert!(scene.proxy.shared.cuts.lock().unwrap().is_empty());
    let again = stderr.lines().filter(|line| {
        let (_, how) = line.split_once("broke off after ").unwrap_or_default();
        // Why, and for how long it waits.
        how.contains(" bytes: ") && how.contains("; trying again in ") && how.ends_with('s')
    });
    let again = again.count();
    assert!(again >= cuts.len(), "{stderr}");
}

#[test]
fn push_goes_on_after_the_registry_was_killed_and_started_again() {
    let mut scene = Scene::new(40 * MIB);
    // The first stream is lost with the process that held it; ranges that were acknowledged are not.
    scene.proxy.cut(&[2 * MIB]);
    let push = scene.start_push();
    scene.proxy.wait_for(2 * MIB + RANGE + RANGE / 2);
    let Scene { world: World { server, sandbox }, proxy, .. } = &mut scene;
    server.kill();
    let before = proxy.sent();
    std::thread::sleep(Duration::from_millis(300));
    Server::restart(server, sandbox);
    scene.proxy.lead_to(scene.world.server.address());
    let held = scene.held();
    assert!(held >= RANGE, "{held}");
    scene.assert_pushed(push);
    let after = scene.proxy.sent() - before;
    assert!(after <= scene.size - held + MIB, "{after} for {}", scene.size - held);
}

#[test]
fn push_that_was_killed_sends_the_rest_when_it_is_run_again() {
    let scene = Scene::new(32 * MIB);
    let mut push = scene.start_push();
    scene.proxy.wait_for(20 * MIB);
    push.kill().unwrap();
    push.wait().unwrap();
    let start = Instant::now();
    while scene.held() == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is held");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (held, before) = (scene.held(), scene.proxy.sent());
    assert!(held > 10 * MIB, "{held}");
    let stderr = scene.assert_pushed(scene.start_push());
    assert!(stderr.contains(&format!("going on after {held} bytes")), "{stderr}");
    let sent = scene.proxy.sent() - before;
    assert!(sent <= scene.size - held + MIB / 2, "{sent} for {}", scene.size - held);
    // What is served need not be sent at all.
    let before = scene.proxy.sent();
    let stderr = scene.assert_pushed(scene.start_push());
    assert!(stderr.contains("there already"), "{stderr}");
    assert!(scene.proxy.sent() - before < MIB);
    assert_eq!(scene.held(), 0);
}

#[test]
fn push_gives_up_a_registry_that_stays_away() {
    let scene = Scene::new(4 * MIB);
    scene.proxy.cut(&[MIB; 9]);
    let push =
        |more: &str| scene.world.gantry(&format!("push large.aci --token-file token {more}"));
    push("--retries 0").refused(7);
    assert_eq!(scene.proxy.shared.cuts.lock().unwrap().len(), 8);
    scene.proxy.cut(&[1000; 60]);
    let ended = push("--retries 2").refused(7);
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    let start = Instant::now();
    push("--retries 1000 --total-timeout 2s").refused(7);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn push_of_several_images_is_all_or_none() {
    let world = World::new(&["example.com", "example.org"]);
    for arch in ["amd64", "aarch64"] {
        world.image(
            arch,
            "example.com/app",
            "1.0.0",
            &format!("--label os=linux --label arch={arch}"),
        );
    }
    let line = "--json push amd64.aci aarch64.aci --token-file token";
    // A token goes to nobody who may be anybody.
    for option in ["--insecure-skip-tls-verify", "--insecure-skip-tls-verify --insecure-allow-http"]
    {
        let refused = world.gantry(&format!("{line} {option}"));
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains("certificate-unchecked"), "{refused:?}");
        let asked = "registry user list --registry https://example.com --token-file token";
        world.gantry(&format!("{asked} {option}")).refused(3);
    }
    let first = world.gantry(line);
    assert!(!first.stderr.contains("earlier attempt"), "{first:?}");
    let pushed: Value = serde_json::from_str(&first.ok()).unwrap();
    let images = pushed["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for (image, arch) in images.iter().zip(["amd64", "aarch64"]) {
        assert_eq!(
            (&image["pushed"]["created"], image["pushed"]["labels"][2]["value"].as_str()),
            (&Value::Bool(true), Some(arch))
        );
        assert_eq!(image["page"], "https://example.com/app");
        let id = image["pushed"]["imageId"].as_str().unwrap();
        assert_eq!(world.server.get("example.com", &format!("/-/blobs/{id}.aci")).status, 200);
    }
    let again = world.gantry("push amd64.aci aarch64.aci --token-file token");
    assert_eq!(again.stderr.matches("there already").count(), 2, "{again:?}");
    assert_eq!(again.ok().lines().count(), 4);
    // One of two has a version that is taken: the other does not appear.
    let new = world.image("new", "example.com/app", "1.0.1", "--noarch");
    world.sandbox.write("taken/other", "not what is there");
    world.image("taken", "example.com/app", "1.0.0", "--label os=linux --label arch=amd64");
    let refused = world.gantry("push new.aci taken.aci --token-file token").refused(6);
    assert!(refused.stderr.contains("taken.aci: "), "{refused:?}");
    assert!(!refused.stderr.contains("new.aci: "), "{refused:?}");
    let blob = format!("/-/blobs/{new}.aci");
    assert_eq!(world.server.get("example.com", &blob).status, 404);
    let error = world.gantry("--json push new.aci taken.aci --token-file token");
    let error: Value = serde_json::from_str(error.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["exitCode"]),
        (&"version-exists".into(), &6.into())
    );
    // What cannot be one group is said before anything is sent.
    world.image("org", "example.org/app", "1.0.0", "");
    world.gantry("push new.aci org.aci --token-file token").refused(3);
    let two = world.gantry("push new.aci org.aci --signature new.aci.asc --token-file token");
    assert_eq!(two.code, 3, "{two:?}");
    world.gantry("push new.aci absent.aci --token-file token").refused(4);
    assert_eq!(world.server.get("example.com", &blob).status, 404);
    world.push("new").ok();
    assert_eq!(world.server.get("example.com", &blob).status, 200);
}

/// A registry on a disk of its own, which is small, in its own namespace of mounts.
struct Small {
    server: Child,
    sandbox: Sandbox,
    proxy: Proxy,
}

impl Small {
    /// `None` where no file system may be mounted, which it says.
    fn start() -> Option<Self> {
        let sandbox = Sandbox::new();
        let gantry = |line: &str| sandbox.gantry(line.split_whitespace()).ok();
        gantry("key generate --user-id a@example.com --secret author.key --public author.pub");
        std::fs::create_dir(sandbox.path("data")).unwrap();
        let script = "mount -t tmpfs -o size=24m tmpfs data
            \"$GANTRY\" registry keys add --data data --prefix example.com author.pub >&2
            \"$GANTRY\" registry token create --data data --prefix example.com --allow push >token
            exec \"$GANTRY\" registry serve --data data --listen 127.0.0.1:0 --domain example.com";
        let how = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let mut command = sandbox.command("unshare");
        command.args([how, "/bin/sh", "-ec", script]).env("GANTRY", GANTRY);
        let log = sandbox.path("log");
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut server = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on https://") else {
            let _ = server.kill();
            server.wait().unwrap();
            let log = std::fs::read_to_string(log).unwrap();
            assert!(log.contains("unshare failed") || log.contains("ermission denied"), "{log}");
            println!("skipped: no file system may be mounted here: {log}");
            return None;
        };
        let proxy = Proxy::start(address.parse().unwrap());
        let small = Self { server, sandbox, proxy };
        let ca_file =
            small.sandbox.write("ca.pem", std::fs::read(small.data().join("tls/ca.pem")).unwrap());
        let config = format!(
            "ca-file = \"{}\"\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
            ca_file.display(),
            small.proxy.address
        );
        small.sandbox.write("home/.config/gantry/config.toml", config);
        Some(small)
    }

    /// As the server sees it.
    fn data(&self) -> PathBuf {
        let inside = self.sandbox.path("data");
        PathBuf::from(format!("/proc/{}/root{}", self.server.id(), inside.display()))
    }

    fn image(&self, name: &str, bytes: u64) {
        self.sandbox.write(&format!("{name}/noise"), noise(bytes));
        for line in [
            format!(
                "pack {name} -o {name}.aci --name example.com/{name} --version 1.0.0 --compression none"
            ),
            format!("sign {name}.aci --key author.key"),
        ] {
            self.sandbox.gantry(line.split_whitespace()).ok();
        }
    }

    fn push(&self, name: &str) -> Ended {
        let file = format!("{name}.aci");
        self.sandbox.gantry(["push", &file, "--token-file", "token"])
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn push_for_which_there_is_no_room_leaves_the_room_to_others() {
    let Some(small) = Small::start() else { return };
    small.image("large", 40 * MIB);
    // In one stream, and in ranges.
    for (cuts, next) in [(&[][..], "first"), (&[4 * MIB][..], "second")] {
        small.proxy.cut(cuts);
        let refused = small.push("large").refused(6);
        assert!(refused.stderr.contains("disk is full"), "{refused:?}");
        let start = Instant::now();
        let left = || -> u64 {
            let files = files(&small.data().join("blobs/part"));
            files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
        };
        while left() > 0 {
            assert!(start.elapsed() < Duration::from_secs(30), "{} bytes stay", left());
            std::thread::sleep(Duration::from_millis(20));
        }
        small.image(next, 6 * MIB);
        small.push(next).ok();
    }
}
