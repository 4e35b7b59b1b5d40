//! The store under many hands: processes that fetch the same images at once and are killed, and
//! commands that are killed at points spread over their work. Afterwards `image fsck` has nothing
//! to say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::running::Running;
use support::{Ended, Sandbox, files, tool};

/// A key that is trusted for `example.com`, and images signed with it.
struct Scene {
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { sandbox: Sandbox::new() };
        scene.gantry("key generate --user-id a@example.com --secret a.key --public a.pub").ok();
        scene.gantry("trust add --prefix example.com a.pub").ok();
        scene
    }

    fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.gantry(&format!("--json {line}")).ok()).unwrap()
    }

    /// Packs and signs `FILE.aci` from the tree `FILE/`; gives the image ID.
    fn image(&self, file: &str, name: &str, more: &str) -> String {
        self.packed(file, &format!("--name {name} {more}"))
    }

    fn packed(&self, file: &str, options: &str) -> String {
        let id = self.gantry(&format!("pack {file} -o {file}.aci {options}")).ok();
        self.gantry(&format!("sign {file}.aci --key a.key")).ok();
        id
    }

    /// The store is as it should be, and nothing is left over.
    #[track_caller]
    fn clean(&self) {
        let found = self.json("image fsck");
        assert_eq!(found["findings"], serde_json::json!([]), "{found:#}");
        assert_eq!(self.left_over(), Vec::<PathBuf>::new());
    }

    fn left_over(&self) -> Vec<PathBuf> {
        let staging = self.sandbox.path("store/staging");
        fs::read_dir(staging).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    fn objects(&self) -> Vec<PathBuf> {
        files(&self.sandbox.path("store/objects"))
    }
}

/// Bytes that do not pack, other ones for every seed.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).flatten().take(size).collect()
}

#[test]
fn store_filled_by_eight_that_are_killed_ends_complete() {
    const IMAGES: usize = 50;
    const PROCESSES: usize = 8;
    let scene = Scene::new();
    let mut wanted = BTreeSet::new();
    for number in 0..IMAGES {
        let file = format!("i{number}");
        scene.sandbox.write(&format!("{file}/own"), noise(number as u64, 20_000));
        scene.sandbox.write(&format!("{file}/shared"), noise(999, 50_000));
        wanted.insert(scene.image(&file, &format!("example.com/i{number}"), "--noarch"));
    }
    let script = "for n in $(seq 0 49); do \
        $GANTRY --quiet fetch ./i$(( (n * 7 + START) % 50 )).aci >/dev/null || exit 1; done";
    let fetch = |start: usize| {
        let mut command = scene.sandbox.command("/bin/sh");
        command.args(["-c", script]).env("GANTRY", support::GANTRY).env("START", start.to_string());
        // A group of its own, so that the one that fetches dies with its shell.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Running::of(command)
    };
    let started = Instant::now();
    let mut running: Vec<Running> = (0..PROCESSES).map(|at| fetch(at * 6)).collect();
    let mut killed = 0;
    // One is killed every tenth of a second and another begins in its place, until they have
    // been through so many.
    while killed < 60 && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
        let one = running.remove(0);
        let group = rustix::process::Pid::from_raw(i32::try_from(one.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        one.kill();
        killed += 1;
        running.push(fetch(killed * 11));
    }
    for one in running {
        one.wait().ok();
    }
    println!("{killed} killed in {:?}", started.elapsed());
    assert!(killed >= 10, "hardly any was killed");
    let listed = scene.json("image list");
    let found: BTreeSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["imageId"].as_str().unwrap().into())
        .collect();
    assert_eq!(found, wanted);
    scene.clean();
    scene.gantry("image verify --all").ok();
}

#[test]
fn images_that_share_files_share_objects() {
    let scene = Scene::new();
    for (file, own) in [("one", 1), ("two", 2)] {
        for at in 0..9 {
            scene.sandbox.write(&format!("{file}/shared/{at}"), noise(100 + at, 30_000));
        }
        scene.sandbox.write(&format!("{file}/own"), noise(own, 30_000));
        scene.image(file, &format!("example.com/{file}"), "--noarch --source-date-epoch 7");
        scene.gantry(&format!("fetch ./{file}.aci")).ok();
    }
    scene.gantry("image render example.com/one out-one").ok();
    assert_eq!(scene.objects().len(), 10);
    scene.gantry("image render example.com/two out-two").ok();
    assert_eq!(scene.objects().len(), 11);
    for file in ["one", "two"] {
        scene.sandbox.shell(&format!("diff -r {file} out-{file}/rootfs")).ok();
    }
    // A copy may be written to.
    scene.sandbox.write("out-two/rootfs/own", "changed");
    scene.clean();

    // A tree of hard links has no content of its own, and shows when it was written to.
    for file in ["one", "two"] {
        scene.gantry(&format!("image render example.com/{file} hard-{file} --link hard")).ok();
        scene.sandbox.shell(&format!("diff -r {file} hard-{file}/rootfs")).ok();
    }
    let inode = |path: &str| scene.sandbox.path(path).metadata().unwrap().ino();
    assert_eq!(inode("hard-one/rootfs/shared/3"), inode("hard-two/rootfs/shared/3"));
    let distinct: BTreeSet<u64> =
        scene.objects().iter().map(|path| path.metadata().unwrap().ino()).collect();
    assert_eq!(distinct.len(), 11, "a name with properties is no further copy");
    scene.clean();
    let altered = scene.sandbox.path("hard-one/rootfs/shared/3");
    fs::write(&altered, "altered").unwrap();
    scene.gantry("image render example.com/two again").refused(5);
    assert!(!scene.sandbox.path("again").exists());
    assert_eq!(scene.gantry("image fsck").code, 1);
    scene.gantry("image fsck --rebuild").ok();
    scene.gantry("image render example.com/two again").ok();
    scene.sandbox.shell("diff -r two again/rootfs").ok();
    scene.clean();
}

#[test]
fn fetch_keeps_what_is_new_in_an_image_that_shares_most_files() {
    let scene = Scene::new();
    let image = |file: &str, shared: u64, own: &[u64]| {
        for at in 0..shared {
            scene.sandbox.write(&format!("{file}/all/{at}"), noise(100 + at, 30_000));
        }
        for seed in own {
            // The first is small, the others are not.
            let size = if own[0] == *seed { 3_000 } else { 700_000 };
            scene.sandbox.write(&format!("{file}/own/{seed}"), noise(*seed, size));
        }
        scene.image(file, &format!("example.com/{file}"), "--noarch --source-date-epoch 7")
    };
    let fetch = |file: &str| scene.gantry(&format!("fetch ./{file}.aci"));
    image("one", 20, &[1]);
    fetch("one").ok();
    assert_eq!(scene.objects().len(), 0, "where nothing was rendered there is nothing to share");
    scene.gantry("image render example.com/one out-one").ok();
    assert_eq!(scene.objects().len(), 21);

    let id = image("two", 20, &[2, 3, 4]);
    fetch("two").ok();
    assert_eq!(scene.objects().len(), 24);
    scene.clean();
    // Nothing of its archive is needed to render it.
    let digits = id.trim_start_matches("sha512-");
    let archive = files(&scene.sandbox.path("store/images"))
        .into_iter()
        .find(|path| path.ends_with("image.aci") && path.to_string_lossy().contains(digits))
        .unwrap();
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, "gone").unwrap();
    for link in ["copy", "hard"] {
        scene.gantry(&format!("image render example.com/two {link} --link {link}")).ok();
        scene.sandbox.shell(&format!("diff -r two {link}/rootfs")).ok();
    }
    fs::write(&archive, bytes).unwrap();
    scene.clean();

    let before = scene.objects().len();
    let own: Vec<u64> = (20..40).collect();
    image("little", 3, &own);
    fetch("little").ok();
    assert!(scene.objects().len() <= before + 3, "what it shares is all that speaks for it");
    let before = scene.objects().len();

    // What is refused at its end leaves nothing behind.
    image("altered", 20, &[9, 10]);
    let altered = scene.sandbox.path("altered.aci");
    let mut bytes = fs::read(&altered).unwrap();
    let last = bytes.len() - 20_000;
    bytes[last] ^= 1;
    fs::write(&altered, bytes).unwrap();
    fetch("altered").refused(5);
    assert_eq!(scene.objects().len(), before);
    scene.clean();

    // Somebody removes objects just now: the image is fetched all the same.
    image("busy", 20, &[11]);
    let busy = "flock --exclusive store/locks/objects $GANTRY fetch ./busy.aci";
    scene.sandbox.shell(busy).ok();
    assert_eq!(scene.objects().len(), before);
    scene.gantry("image render example.com/busy out-busy").ok();
    scene.sandbox.shell("diff -r busy out-busy/rootfs").ok();
    scene.clean();
}

#[test]
fn gc_keeps_what_is_needed_and_gives_back_the_rest() {
    let scene = Scene::new();
    let manifest = r#"{"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": "example.com/app", "dependencies": [{"imageName": "example.com/base"}]}"#;
    scene.sandbox.write("app.json", manifest);
    for (file, seed, options) in [
        ("base", 1, "--name example.com/base --noarch"),
        ("app", 2, "--manifest app.json"),
        ("other", 3, "--name example.com/other --version 1.0.0 --noarch"),
        ("newer", 4, "--name example.com/other --version 2.0.0 --noarch"),
    ] {
        scene.sandbox.write(&format!("{file}/{file}"), noise(seed, 40_000));
        scene.packed(file, options);
        // What app depends on is here already, and nobody else has it.
        scene.gantry(&format!("fetch --pull new ./{file}.aci")).ok();
    }
    scene.gantry("image render example.com/app out").ok();
    assert!(scene.sandbox.path("out/rootfs/base").exists(), "what app depends on lies below it");
    scene.gantry("image render example.com/other:1.0.0 out-other").ok();
    let names = || {
        let listed = scene.json("image list --sort name");
        let listed = listed.as_array().unwrap().clone();
        listed.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Nothing is old enough.
    assert_eq!(scene.json("image gc")["images"], serde_json::json!([]));
    assert_eq!(names().len(), 4);
    let before = files(&scene.sandbox.path("store"));
    let told = scene.json("image gc --grace 0s --keep-last 1 --dry-run");
    assert_eq!(files(&scene.sandbox.path("store")), before);
    let done = scene.json("image gc --grace 0s --keep-last 1");
    assert_eq!(told["images"], done["images"]);
    assert_eq!(told["freedBytes"], done["freedBytes"]);
    assert_eq!(done["images"][0]["reference"], "example.com/other:1.0.0");
    assert_eq!(done["objects"], 1, "{done}");
    assert!(done["freedBytes"].as_u64().unwrap() > 40_000);
    assert_eq!(names(), ["example.com/app", "example.com/base", "example.com/other"]);
    // The base goes when what depends on it does, and not before.
    scene.gantry("image rm example.com/other").ok();
    let most = format!("image gc --grace 0s --budget {}", 300_000);
    scene.json(&most);
    assert_eq!(names(), ["example.com/app", "example.com/base"]);
    let all = scene.json("image gc --grace 0s");
    let gone: Vec<&str> = all["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reference"].as_str().unwrap())
        .collect();
    assert_eq!(gone, ["example.com/app", "example.com/base"]);
    assert_eq!(scene.objects(), Vec::<PathBuf>::new());
    scene.clean();
}

#[test]
fn overlay_lies_on_a_tree_that_stays_as_it_is() {
    if !rustix::process::geteuid().is_root() || !tool("unshare") {
        println!("skipped: only root may mount");
        return;
    }
    let scene = Scene::new();
    scene.sandbox.write("app/bin/tool", "as it was");
    scene.image("app", "example.com/app", "--noarch");
    scene.gantry("fetch ./app.aci").ok();
    // In a mount namespace of its own, so that nothing stays mounted.
    let line = "$GANTRY image render example.com/app one --overlay --json >one.json
        test \"$(cat one/rootfs/bin/tool)\" = 'as it was'
        echo changed >one/rootfs/bin/tool; echo new >one/rootfs/new
        $GANTRY image render example.com/app two --overlay --json >two.json
        test \"$(cat two/rootfs/bin/tool)\" = 'as it was'; test ! -e two/rootfs/new
        test \"$(cat one/upper/bin/tool)\" = changed
        $GANTRY image gc --grace 0s; test -e store/trees/*/rootfs
        test \"$(cat two/rootfs/bin/tool)\" = 'as it was'
        $GANTRY image unmount one; test \"$(cat one/upper/new)\" = new
        $GANTRY image unmount two --remove; test ! -e two
        $GANTRY image fsck
        $GANTRY image gc --grace 0s; test ! -e store/trees/*/rootfs";
    scene.sandbox.write("line.sh", line);
    let ended =
        scene.sandbox.shell("unshare --mount --propagation private /bin/sh -ec '. ./line.sh'");
    assert_eq!(ended.code, 0, "{ended:#?}");
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(scene.sandbox.path(file)).unwrap()).unwrap()
    };
    let rendered = (&read("one.json")["treeRendered"], &read("two.json")["treeRendered"]);
    assert_eq!(rendered, (&true.into(), &false.into()));
    scene.gantry("image unmount one").refused(4);
}

/// A tree of some kinds of files, of which `seed` says which are there and what they are.
fn grow(root: &Path, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    fs::create_dir_all(root).unwrap();
    for folder in ["a", "a/b", "a-b", "c", "c/d", "c/d/e"] {
        // Anything may be in the place of a folder, and in it.
        let folder = root.join(folder);
        match below(12) {
            0 => continue,
            1 if folder.parent().unwrap().is_dir() => fs::write(&folder, "no folder").unwrap(),
            2 if folder.parent().unwrap().is_dir() => symlink("elsewhere", &folder).unwrap(),
            _ => drop(fs::create_dir_all(&folder)),
        }
        if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            continue;
        }
        for name in 0..6 {
            let path = folder.join(name.to_string());
            match below(16) {
                0 => {}
                1 => fs::write(&path, format!("other {seed}")).unwrap(),
                2 => symlink(format!("to {}", below(2)), &path).unwrap(),
                3 => fs::create_dir(&path).unwrap(),
                4 => drop(fs::hard_link(folder.join("0"), &path)),
                _ => fs::write(&path, format!("file {name}")).unwrap(),
            }
            let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
            if is_file && below(20) == 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            }
        }
        let mode = if below(4) == 0 { 0o711 } else { 0o755 };
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// What differs between two images is all that the second one's tree has of its own, and what is
/// seen through both is what a copy of the image has.
#[test]
fn overlay_of_a_similar_image_lies_on_its_tree() {
    if !rustix::process::geteuid().is_root() || !tool("unshare") {
        println!("skipped: only root may mount");
        return;
    }
    let scene = Scene::new();
    let (versions, mut ids) = (24, Vec::new());
    for at in 0..versions {
        let file = format!("v{at}");
        let tree = scene.sandbox.path(&file);
        grow(&tree, at);
        // Enough that is the same for the rest to be worth a layer.
        for number in 0..120 {
            scene.sandbox.write(&format!("{file}/same/{}/{number}", number % 7), "same");
        }
        let options = format!("--noarch --source-date-epoch 7 --version {at}");
        ids.push(scene.image(&file, "example.com/app", &options));
        scene.gantry(&format!("fetch ./{file}.aci")).ok();
    }
    // One that depends on the first, and wants only a part of it.
    scene.sandbox.write("above/own", "its own");
    let manifest = serde_json::json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/above",
        "labels": [{ "name": "version", "value": versions.to_string() }],
        "dependencies": [{ "imageName": "example.com/app", "imageID": ids[0] }],
        "pathWhitelist": (0..100).map(|at| format!("/same/{}/{at}", at % 7))
            .chain(["/own".to_owned(), "/a/b".to_owned(), "/a/1".to_owned()])
            .collect::<Vec<_>>(),
    });
    scene.sandbox.write("above.json", manifest.to_string());
    scene.packed("above", "--manifest above.json");
    scene.gantry("fetch ./above.aci").ok();
    let line = format!(
        "tree() {{ (cd $1/rootfs; find . -printf '%y %m %U %G %T@ %p -> %l\\n' | sort; \
            find . -type f -print0 | sort -z | xargs -0 sha256sum); }}
        mkdir seen
        for at in $(seq 0 {versions}); do
            name=app; test $at != {versions} || name=above
            $GANTRY image render example.com/$name:$at over$at --overlay --quiet
            $GANTRY image render example.com/$name:$at copy --link copy --quiet
            tree copy >wanted; tree over$at >seen/$at; diff wanted seen/$at; rm -r copy
        done
        test $(ls store/trees/*/below | wc -l) = {versions}
        test $(find store/trees -type f -path '*/same/*' | wc -l) = 120
        $GANTRY image unmount over0 --remove
        $GANTRY image rm example.com/app:0
        $GANTRY image gc --grace 0s --keep-last 100
        for at in $(seq 1 {versions}); do
            tree over$at >again; diff seen/$at again
            $GANTRY image unmount over$at --remove
        done
        $GANTRY image fsck
        $GANTRY image gc --grace 0s; test -z \"$(ls store/trees)\""
    );
    scene.sandbox.write("line.sh", line);
    let ended =
        scene.sandbox.shell("unshare --mount --propagation private /bin/sh -ec '. ./line.sh'");
    assert_eq!(ended.code, 0, "{ended:#?}");
}

/// Ends a command so long after its start; `true` where it had ended by itself.
fn killed_after(scene: &Scene, line: &str, after: Duration) -> bool {
    let mut command = Running::start(&scene.sandbox, line.split_whitespace());
    let started = Instant::now();
    while started.elapsed() < after && !command.has_ended() {
        std::thread::sleep(Duration::from_micros(200));
    }
    let ended = command.has_ended();
    command.kill();
    ended
}

#[test]
fn killed_commands_leave_a_clean_store() {
    let scene = Scene::new();
    for (file, seed) in [("one", 1), ("two", 2)] {
        for at in 0..40 {
            scene.sandbox.write(&format!("{file}/shared/{at}"), noise(100 + at, 20_000));
            scene.sandbox.write(&format!("{file}/own/{at}"), noise(seed * 1000 + at, 20_000));
        }
        scene.image(file, &format!("example.com/{file}"), "--noarch --source-date-epoch 7");
    }
    const FOLDABLE: &str = "$GANTRY image rm example.com/one example.com/two; rm -rf store/objects
        $GANTRY fetch ./one.aci; $GANTRY fetch ./two.aci
        $GANTRY image render example.com/one out; rm -r out
        $GANTRY image render example.com/two out; rm -r out";
    let render_both = "$GANTRY image render example.com/one out; rm -r out;
        $GANTRY image render example.com/two out; rm -r out";
    for (line, prepare) in [
        ("fetch ./one.aci", "$GANTRY image rm example.com/one"),
        ("image render example.com/one out", "rm -rf store/objects"),
        ("image render example.com/two out --link hard", "rm -rf store/objects"),
        ("image gc --grace 0s", render_both),
        ("image fsck --rebuild", "rm store/images/*/*/index"),
        ("image fold --all", FOLDABLE),
    ] {
        let reset = |scene: &Scene| {
            scene.sandbox.shell("rm -rf out .gantry-stage-*").ok();
            scene.gantry("fetch ./one.aci").ok();
            scene.gantry("fetch ./two.aci").ok();
            scene.sandbox.shell(prepare).ok();
        };
        reset(&scene);
        let started = Instant::now();
        scene.gantry(line).ok();
        let usual = started.elapsed();
        let mut seen = BTreeSet::new();
        for at in 0..12 {
            reset(&scene);
            let ended = killed_after(&scene, line, usual * at / 10);
            seen.insert(ended);
            // A tree is whole or absent.
            let out = scene.sandbox.path("out/rootfs");
            if line.starts_with("image render") && out.exists() {
                let file = if line.contains("/one") { "one" } else { "two" };
                scene.sandbox.shell(&format!("diff -r {file} out/rootfs")).ok();
            }
            assert!(!ended || !line.starts_with("image render") || out.exists());
            // What was to be put right may be half done, and is put right by the next one.
            if line.contains("--rebuild") {
                scene.gantry(line).ok();
            }
            scene.clean();
            for file in ["one", "two"] {
                if scene.gantry(&format!("image show example.com/{file}")).code == 0 {
                    let export = format!("image export example.com/{file} again.aci --overwrite");
                    scene.gantry(&export).ok();
                    scene.sandbox.shell(&format!("cmp {file}.aci again.aci")).ok();
                }
            }
        }
        println!("{line}: {usual:?}: {seen:?}");
        assert!(seen.contains(&false), "{line} was never cut off");
    }
}

/// `export` gives the bytes that were signed, however the image is kept.
#[test]
fn folded_image_is_exported_byte_for_byte() {
    let scene = Scene::new();
    scene.sandbox.write("app/text", "to be compressed\n".repeat(40_000));
    for at in 0..9 {
        scene.sandbox.write(&format!("app/noise/{at}"), noise(at, 150_000 + at as usize));
    }
    scene.sandbox.write("app/empty", "");
    scene
        .sandbox
        .shell("ln app/text app/linked; ln -s text app/symlink; chmod 600 app/noise/0")
        .ok();
    for compression in ["none", "gzip", "bzip2", "xz", "zstd", "foreign"] {
        let file = format!("app-{compression}");
        let ours = if compression == "foreign" { "none" } else { compression };
        let name = format!("example.com/{file}");
        let options = format!("--name {name} --noarch --compression {ours}");
        scene.gantry(&format!("pack app -o {file}.aci {options}")).ok();
        if compression == "foreign" {
            scene
                .sandbox
                .shell(&format!("gzip -9 -n {file}.aci && mv {file}.aci.gz {file}.aci"))
                .ok();
        }
        scene.gantry(&format!("sign {file}.aci --key a.key")).ok();
        scene.gantry(&format!("fetch ./{file}.aci")).ok();
        let folded = |told: &str| {
            let folded = scene.json(&format!("image fold {name}"));
            assert_eq!(folded["images"][0]["outcome"], told, "{compression}");
        };
        let bytes = |path: &str| fs::read(scene.sandbox.path(path)).unwrap();
        // Its files are nowhere else yet.
        if !["none", "foreign"].contains(&compression) {
            folded("no-gain");
        }
        scene.gantry(&format!("image render {name} out")).ok();
        let outcome = &scene.json(&format!("image fold {name}"))["images"][0]["outcome"];
        if compression == "foreign" {
            assert_eq!(outcome, "not-exact");
            folded("not-exact");
        } else {
            assert!(outcome["done"]["freed"].as_u64().unwrap() > 1_000_000, "{outcome}");
            folded("already");
        }
        let id = scene.json(&format!("image show {name}"))["imageId"].as_str().unwrap().to_owned();
        let kept = scene.sandbox.path(format!("store/images/{}/{}/image.aci", &id[7..9], &id[7..]));
        assert_eq!(kept.exists(), compression == "foreign");
        scene.gantry(&format!("image export {name} again-{file}.aci")).ok();
        assert!(bytes(&format!("{file}.aci")) == bytes(&format!("again-{file}.aci")), "{file}");
        scene.gantry(&format!("image verify {name}")).ok();
        scene.gantry(&format!("image render {name} out-{compression}")).ok();
        scene.sandbox.shell(&format!("diff -r app out-{compression}/rootfs")).ok();
        scene.gantry(&format!("image extract {name} all-{compression}")).ok();
        scene.sandbox.shell(&format!("diff -r app all-{compression}/rootfs")).ok();
        scene.clean();
        // What a folded image needs is not unneeded.
        assert_eq!(scene.json("image gc --grace 24h")["objects"], 0);
        scene.clean();
        scene.gantry(&format!("image rm {name}")).ok();
        assert!(scene.json("image gc")["objects"].as_u64().unwrap() > 0);
        for folder in ["out", &format!("out-{compression}"), &format!("all-{compression}")] {
            let _ = fs::remove_dir_all(scene.sandbox.path(folder));
        }
    }
}

#[test]
fn folded_image_that_was_tampered_with_is_refused() {
    let scene = Scene::new();
    for at in 0..5 {
        scene.sandbox.write(&format!("app/{at}"), noise(at, 50_000));
    }
    scene.image("app", "example.com/app", "--noarch");
    scene.gantry("fetch ./app.aci").ok();
    scene.gantry("image render example.com/app out").ok();
    scene.gantry("image fold example.com/app").ok();
    scene.clean();
    let skeleton = files(&scene.sandbox.path("store/images"))
        .into_iter()
        .find(|path| path.ends_with("skeleton"))
        .unwrap();
    let object = scene.objects().remove(0);
    // Each file in turn: cut off, with a byte changed, and gone.
    for path in [skeleton, object] {
        let sound = fs::read(&path).unwrap();
        let mut changed = sound.clone();
        changed[sound.len() / 2] ^= 1;
        for bytes in [Some(&sound[..sound.len() / 3]), Some(&changed[..]), None] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert_ne!(scene.gantry("image export example.com/app bad.aci").code, 0);
            assert!(!scene.sandbox.path("bad.aci").exists());
            assert_eq!(scene.gantry("image verify example.com/app").code, 5, "{path:?}");
            assert_ne!(scene.gantry("image extract example.com/app bad").code, 0);
            assert!(!scene.sandbox.path("bad").exists());
            assert_eq!(scene.gantry("image fsck").code, 1);
            fs::write(&path, &sound).unwrap();
            scene.gantry("image verify example.com/app").ok();
            scene.clean();
        }
    }
}

/// What an importer of an older release left: no index, and a record that names none.
#[test]
fn image_without_an_index_is_rendered_and_gets_one() {
    let scene = Scene::new();
    scene.sandbox.write("app/file", "text");
    scene.image("app", "example.com/app", "--noarch");
    scene.gantry("fetch ./app.aci").ok();
    let folder = files(&scene.sandbox.path("store/images"))[0].parent().unwrap().to_owned();
    fs::remove_file(folder.join("index")).unwrap();
    let record = folder.join("record.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    value.as_object_mut().unwrap().remove("index");
    fs::write(&record, serde_json::to_vec(&value).unwrap()).unwrap();
    scene.gantry("image render example.com/app out").ok();
    assert_eq!(fs::read(scene.sandbox.path("out/rootfs/file")).unwrap(), b"text");
    assert_eq!(scene.gantry("image fsck").code, 1);
    scene.gantry("image fsck --rebuild").ok();
    scene.clean();

    // A record is made again of an image that passes, and of no other.
    fs::write(&record, "{").unwrap();
    assert_eq!(scene.gantry("image fsck").code, 1);
    scene.gantry("image fsck --rebuild").ok();
    assert_eq!(scene.json("image show example.com/app")["origin"]["kind"], "rebuilt");
    fs::write(&record, "{").unwrap();
    fs::remove_dir_all(scene.sandbox.path("trust")).unwrap();
    assert_eq!(scene.gantry("image fsck --rebuild").code, 1);
    assert_eq!(fs::read(&record).unwrap(), b"{");
    assert!(mode(&scene.sandbox.path("store/objects")) == 0o700);
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
