//! `kill -9` at points spread over a push and over a fetch. Afterwards the image is whole and
//! verified or absent, and the same command does it at the second try.
//!
//! A point is no time but something seen from outside: so many bytes of the image in the
//! server's spool, the first blob with a name, so long after the last byte. So the points are
//! spread on a slow machine as on a fast one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the points that were hit are told")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::running::{Running, open_bytes};
use support::server::Server;
use support::world::World;
use support::{Ended, files};

const NAME: &str = "example.com/team/big";
const DOMAIN: &str = "example.com";
/// Large enough that kills land between its bytes.
const BYTES: usize = 16 << 20;

/// When to kill.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    /// When so many thousandths of the image have arrived.
    Arrived(u64),
    /// So many thousandths of the usual time from the last byte to the end, after the last byte.
    After(u32),
    /// When a file with this suffix has its name.
    Named(&'static str),
    /// When the client has ended.
    Ended,
}

/// A command that is under way, as it is seen from outside.
struct Watched {
    command: Running,
    started: Instant,
    /// When all bytes were there.
    full: Option<Instant>,
}

impl Watched {
    fn start(world: &World, line: &str) -> Self {
        let command = Running::start(&world.sandbox, line.split_whitespace());
        Self { command, started: Instant::now(), full: None }
    }

    /// Waits until the point is reached, or the command has ended; gives the bytes that had
    /// arrived. `usual` is the time from the last byte to the end.
    fn reach(
        &mut self,
        point: Point,
        total: u64,
        usual: Duration,
        arrived: impl Fn() -> u64,
        named: impl Fn(&str) -> bool,
    ) -> u64 {
        loop {
            assert!(self.started.elapsed() < Duration::from_secs(60), "{point:?} is not reached");
            let ended = self.command.has_ended();
            let bytes = arrived();
            if bytes >= total && self.full.is_none() {
                self.full = Some(Instant::now());
            }
            let reached = match point {
                Point::Arrived(thousandths) => bytes * 1000 >= total * thousandths,
                Point::After(thousandths) => {
                    self.full.is_some_and(|full| full.elapsed() * 1000 >= usual * thousandths)
                }
                Point::Named(suffix) => named(suffix),
                Point::Ended => ended,
            };
            if reached || ended {
                return bytes;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// Packs and signs `big.aci`, of bytes that do not pack. Gives its image ID.
fn big_image(world: &World) -> String {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let noise: Vec<u8> = noise.take(BYTES / 8).flatten().collect();
    world.sandbox.write("big/noise", noise);
    world.image("big", NAME, "1.0.0", "--noarch --compression none")
}

/// What does not change from round to round.
struct Scene {
    world: World,
    id: String,
    image: Vec<u8>,
    signature: Vec<u8>,
    kept: (String, Vec<u8>),
}

impl Scene {
    /// A registry that holds one small image and was stopped in order: its data is what every
    /// round starts from.
    fn new() -> Self {
        let mut world = World::new(&[DOMAIN]);
        let kept = world.image("kept", "example.com/kept", "1.0.0", "--noarch");
        world.push("kept").ok();
        let id = big_image(&world);
        world.server.terminate();
        assert!(world.server.ended().success());
        let read = |file: &str| fs::read(world.sandbox.path(file)).unwrap();
        let (image, signature) = (read("big.aci"), read("big.aci.asc"));
        let kept = (kept, read("kept.aci"));
        Self { world, id, image, signature, kept }
    }

    /// Makes a data folder of its own for a round.
    fn data(&self, round: &str) -> String {
        let data = format!("data-{round}");
        self.world.sandbox.shell(&format!("cp -a data {data}")).ok();
        data
    }

    fn serve(&self, data: &str) -> Server {
        let server = Server::start_in(&self.world.sandbox, data, &[DOMAIN]);
        server.configure(&self.world.sandbox);
        server
    }

    /// Pushes until the point and kills the server there. Gives the bytes that had arrived,
    /// the time since the last of them, and how the client ended.
    fn push_and_kill(
        &self,
        data: &str,
        point: Point,
        usual: Duration,
    ) -> (u64, Option<Duration>, Ended) {
        let mut server = self.serve(data);
        let blobs = server.data().join("blobs");
        let mut push = Watched::start(&self.world, "push big.aci --retries 0 --token-file token");
        let named = |suffix: &str| {
            let is_new = |path: &PathBuf| path.to_string_lossy().contains(&self.id[7..]);
            files(&blobs)
                .iter()
                .filter(|path| is_new(path))
                .any(|path| path.to_string_lossy().ends_with(suffix))
        };
        let total = self.image.len() as u64;
        let bytes = push.reach(point, total, usual, || server.arrived(), named);
        server.kill();
        let after = push.full.map(|full| full.elapsed());
        (bytes, after, push.command.wait())
    }

    /// Looks by every path there is. `true`: whole; `false`: absent. Nothing in between.
    fn look(&self, server: &Server) -> bool {
        let (kept, bytes) = &self.kept;
        for path in [format!("/-/blobs/{kept}.aci"), "/-/images/example.com/kept.aci".to_owned()] {
            let got = server.get(DOMAIN, &path);
            assert!(got.status == 200 && got.body == *bytes, "an older image was harmed: {path}");
        }
        let mut found = Vec::new();
        for base in [
            format!("/-/blobs/{}.aci", self.id),
            format!("/-/images/{NAME}:1.0.0.aci"),
            format!("/-/images/{NAME}.aci"),
        ] {
            for (path, wanted) in [(base.clone(), &self.image), (base + ".asc", &self.signature)] {
                let got = server.get(DOMAIN, &path);
                assert!([200, 404].contains(&got.status), "{path}: {}", got.status);
                assert!(got.status == 404 || got.body == *wanted, "{path}: other bytes");
                found.push(got.status == 200);
            }
        }
        for (path, word) in [("/team/big", self.id.as_str()), ("/team", NAME), ("/", NAME)] {
            let got = server.get(DOMAIN, path);
            found.push(got.status == 200 && got.text().contains(word));
        }
        assert!(found.iter().all(|whole| *whole == found[0]), "some of it: {found:?}");
        assert_eq!(files(&server.data().join("spool")), Vec::<PathBuf>::new());
        let blobs = files(&server.data().join("blobs"));
        assert_eq!(blobs.len(), if found[0] { 4 } else { 2 }, "{blobs:?}");
        found[0]
    }

    /// One round: push, kill, start again, look, push again, fetch. Whether the image was there
    /// after the kill, and how many bytes had arrived.
    fn round(&self, round: usize, point: Point, usual: Duration) -> (bool, u64) {
        let data = self.data(&round.to_string());
        let (bytes, after, ended) = self.push_and_kill(&data, point, usual);
        // The author is told that it is done, or that the network failed.
        assert!([0, 7].contains(&ended.code), "{point:?}: {ended:?}");
        let server = self.serve(&data);
        let whole = self.look(&server);
        assert!(whole || ended.code != 0, "{point:?}: it was answered for, and is lost");

        let again = self.world.push("big");
        assert_eq!(again.stderr.contains("there already"), whole, "{point:?}: {again:?}");
        assert_eq!(again.ok().lines().next(), Some(self.id.as_str()));
        assert!(self.look(&server), "{point:?}");
        let store = format!("store-{round}");
        let fetched = self.world.gantry(&format!("--store {store} fetch {NAME}:1.0.0")).ok();
        assert_eq!(fetched, self.id, "{point:?}");
        drop(server);
        for folder in [store, data] {
            fs::remove_dir_all(self.world.sandbox.path(folder)).unwrap();
        }
        let state = if whole { "whole" } else { "absent" };
        println!("{round:2} {point:?}: {bytes} bytes, {after:?} after the last: {state}");
        (whole, bytes)
    }
}

/// Fifty points: over the bytes, over what follows the last of them, and when it is done.
fn points() -> Vec<Point> {
    let mut points: Vec<_> = (0..24).map(|at| Point::Arrived(at * 1000 / 24)).collect();
    points.extend((0..20).map(|at| Point::After(at * 75)));
    points.extend([Point::Named(".aci"), Point::Named(".aci.asc")].repeat(2));
    points.extend([Point::After(2000), Point::Ended]);
    points
}

#[test]
fn killed_server_leaves_a_push_whole_or_absent() {
    let scene = Scene::new();
    let mut usual = Duration::MAX;
    for trial in ["trial-1", "trial-2", "trial-3"] {
        let data = scene.data(trial);
        let (_, after, ended) = scene.push_and_kill(&data, Point::Ended, Duration::ZERO);
        ended.ok();
        usual = usual.min(after.unwrap());
        fs::remove_dir_all(scene.world.sandbox.path(data)).unwrap();
    }
    println!("from the last byte to the end: {usual:?}");
    let points = points();
    assert_eq!(points.len(), 50);
    let outcomes: Vec<_> =
        points.iter().enumerate().map(|(at, &point)| scene.round(at, point, usual)).collect();

    let whole = outcomes.iter().filter(|(whole, _)| *whole).count();
    let arrived: BTreeSet<u64> = points
        .iter()
        .zip(&outcomes)
        .filter(|(point, _)| matches!(point, Point::Arrived(_)))
        .map(|(_, (_, bytes))| *bytes)
        .collect();
    println!("{whole} whole, {} absent; killed at these bytes: {arrived:?}", 50 - whole);
    assert!(whole > 0, "no push was done before its server was killed");
    assert!(whole < 26, "no push was cut off after its last byte");
    assert!(arrived.len() >= 12, "the points are not spread: {arrived:?}");
}

#[test]
fn killed_fetch_leaves_the_store_without_the_image_or_with_all_of_it() {
    let world = World::new(&[DOMAIN]);
    let id = big_image(&world);
    world.push("big").ok();
    let image = fs::read(world.sandbox.path("big.aci")).unwrap();
    let store = world.sandbox.path("store");
    let fetch = format!("fetch {NAME}");
    let folders = [store.clone()];
    let staging = || files(&store.join("staging"));
    let total = image.len() as u64;
    let run = |point, usual| {
        let mut fetch = Watched::start(&world, &fetch);
        let process = fetch.command.id();
        let named = |suffix: &str| {
            files(&store.join("images")).iter().any(|file| file.to_string_lossy().ends_with(suffix))
        };
        let bytes = fetch.reach(point, total, usual, || open_bytes(process, &folders), named);
        (fetch, bytes)
    };
    let (trial, _) = run(Point::Ended, Duration::ZERO);
    let usual = trial.full.unwrap().elapsed();
    trial.command.wait().ok();
    world.gantry(&format!("image rm {id}")).ok();

    let mut points: Vec<_> = (0..6).map(|at| Point::Arrived(at * 1000 / 6)).collect();
    points.extend((0..6).map(|at| Point::After(at * 200)));
    points.extend([Point::Named("image.aci"), Point::Ended]);
    let mut seen = BTreeSet::new();
    for point in points {
        let (killed, bytes) = run(point, usual);
        killed.command.kill();
        let left = staging().len();
        let listed = world.json("image list");
        let whole = !listed.as_array().unwrap().is_empty();
        println!("{point:?}: {bytes} bytes, {left} files left: whole: {whole}");
        assert_eq!(staging(), Vec::<PathBuf>::new(), "{point:?}");
        assert_eq!(fs::read_dir(store.join("staging")).map_or(0, Iterator::count), 0);
        let stored = files(&store.join("images"));
        if whole {
            assert_eq!(listed[0]["imageId"], id.as_str());
            world.gantry(&format!("image verify {id}")).ok();
        } else {
            assert_eq!(stored, Vec::<PathBuf>::new(), "{point:?}");
        }
        let fetched = world.json(&fetch);
        assert_eq!((&fetched["imageId"], &fetched["new"]), (&id.as_str().into(), &(!whole).into()));
        world.gantry(&format!("image export {id} out.aci --overwrite")).ok();
        assert!(fs::read(world.sandbox.path("out.aci")).unwrap() == image, "{point:?}");
        world.gantry(&format!("image rm {id}")).ok();
        seen.insert(whole);
    }
    assert_eq!(seen.len(), 2, "all points ended alike");
}
