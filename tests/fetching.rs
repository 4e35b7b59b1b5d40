//! `gantry fetch` as scripts and people use it: resumed after `kill -9`, with credentials, with
//! several images, with what they need, with and without the network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::running::Running;
use support::site::Site;
use support::{Ended, GANTRY, Sandbox, files};

const HOST: &str = "example.com";

struct World {
    sandbox: Sandbox,
    site: Site,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let site = Site::start(HOST, &sandbox.path(""));
        let world = Self { sandbox, site };
        world.configure("");
        world.gantry("key generate --user-id a@example.com --secret a.key --public a.pub").ok();
        world.gantry("trust add --prefix example.com a.pub").ok();
        world.site.set(
            "/",
            "<meta name=ac-discovery content='example.com https://example.com/{name}.{ext}'>",
        );
        world
    }

    /// Writes the configuration: where the site is, after these lines.
    fn configure(&self, more: &str) {
        let text = format!(
            "{more}\nca-file = \"{}\"\n[[override]]\nprefix = \"{HOST}\"\nconnect = \"{}\"\n",
            self.site.ca_file().display(),
            self.site.address(),
        );
        self.sandbox.write("home/.config/gantry/config.toml", text);
    }

    /// A command that makes no sense: exit code 3.
    fn usage(&self, line: &str) -> Ended {
        let ended = self.gantry(line);
        assert_eq!(ended.code, 3, "{line}: {ended:?}");
        ended
    }

    fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    /// Packs and signs `example.com/NAME` and serves it; gives its image ID and file.
    fn serve(&self, name: &str, content: &[u8]) -> (String, Vec<u8>) {
        self.sandbox.write(&format!("{name}/file"), content);
        let what = format!("{name} -o {name}.aci --name {HOST}/{name} --version 1");
        self.gantry(&format!("pack {what}")).ok();
        let id = self.publish(name);
        (id, fs::read(self.sandbox.path(format!("{name}.aci"))).unwrap())
    }

    /// Signs `NAME.aci` and serves it; gives its image ID.
    fn publish(&self, name: &str) -> String {
        self.gantry(&format!("sign {name}.aci --key a.key")).ok();
        let image = fs::read(self.sandbox.path(format!("{name}.aci"))).unwrap();
        let signature = fs::read(self.sandbox.path(format!("{name}.aci.asc"))).unwrap();
        self.site.set_known(&format!("/{HOST}/{name}.aci"), image, None);
        self.site.set(&format!("/{HOST}/{name}.aci.asc"), signature);
        let found = self.gantry(&format!("--json inspect {name}.aci")).ok();
        let found: Value = serde_json::from_str(&found).unwrap();
        found["imageId"].as_str().unwrap().to_owned()
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn killed_fetch_is_taken_up_where_it_was() {
    let world = World::new();
    let (id, image) = world.serve("big", &noise(8 << 20));
    let path = format!("/{HOST}/big.aci");
    let half = image.len() / 2;
    world.site.set_known(&path, image.clone(), Some(half));
    let fetch = Running::start(&world.sandbox, ["fetch", "example.com/big"]);
    let partial = world.sandbox.path("store/partial");
    let begun = Instant::now();
    let there = || -> u64 {
        let bytes = files(&partial).into_iter().filter(|file| file.extension().is_none());
        bytes.map(|file| fs::metadata(file).map_or(0, |data| data.len())).max().unwrap_or(0)
    };
    // What is written in whole chunks; the last one before the stall may still be waiting.
    while there() < half as u64 - (1 << 20) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {half} bytes came", there());
        std::thread::sleep(Duration::from_millis(5));
    }
    fetch.kill();
    let left = there();
    world.site.set_known(&path, image.clone(), None);
    world.site.heads();
    let ended = world.gantry("fetch example.com/big");
    assert_eq!(ended.stdout.trim(), id, "{ended:?}");
    assert!(ended.stderr.contains(&format!("going on after {left} bytes")), "{ended:?}");
    let heads = world.site.heads();
    assert!(heads.iter().any(|head| head.contains(&format!("range: bytes={left}-"))), "{heads:?}");
    assert_eq!(files(&partial), Vec::<std::path::PathBuf>::new());
    world.gantry(&format!("image export {id} out.aci")).ok();
    assert!(fs::read(world.sandbox.path("out.aci")).unwrap() == image);
}

#[test]
fn several_images_and_the_first_that_fails() {
    let world = World::new();
    let (one, _) = world.serve("one", b"1");
    let (two, _) = world.serve("two", b"2");
    let both = world.gantry("fetch example.com/two example.com/one").ok();
    assert_eq!(both, format!("{two}\n{one}"));
    let ended = world.gantry("fetch example.com/one example.com/absent example.com/two").refused(4);
    assert_eq!(ended.stdout.trim(), one);
    assert!(ended.stderr.contains("example.com/absent: "), "{ended:?}");
    let all: Value =
        serde_json::from_str(&world.gantry("--json fetch example.com/one example.com/two").ok())
            .unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    world.usage("fetch one.aci two.aci --signature one.aci.asc");
    world.usage("fetch");
}

#[test]
fn pull_is_chosen_by_option_variable_and_configuration() {
    let world = World::new();
    let (id, _) = world.serve("one", b"1");
    world.gantry("fetch --pull never example.com/one").refused(4);
    world.usage("fetch --pull always example.com/one");
    assert!(world.site.asked().is_empty());
    assert_eq!(world.gantry("fetch --pull new example.com/one").ok(), id);
    world.site.asked();
    let by_variable = || {
        let mut command = world.sandbox.command(GANTRY);
        Ended::of(
            command
                .env("GANTRY_PULL", "never")
                .args(["fetch", "example.com/one"])
                .output()
                .unwrap(),
        )
    };
    assert_eq!(by_variable().ok(), id);
    world.configure("pull = \"new\"");
    assert_eq!(world.gantry("fetch example.com/one").ok(), id);
    assert_eq!(world.gantry(&format!("fetch {}", &id[..20])).ok(), id);
    assert!(world.site.asked().is_empty());
    // The option wins, and an unchanged image is not sent again.
    assert_eq!(world.gantry("fetch --pull update example.com/one").ok(), id);
    assert!(world.site.heads().last().unwrap().contains("if-none-match: \"one\""));
    // A key that is trusted no more refuses what is there, however it is asked for.
    let key: Value = serde_json::from_str(&world.gantry("--json trust list").ok()).unwrap();
    let text = key.to_string();
    let at = text.find("\"fingerprint\":\"").unwrap() + 15;
    world.gantry(&format!("trust remove {}", &text[at..at + 40])).ok();
    for how in ["never", "new", "update"] {
        world.gantry(&format!("fetch --pull {how} example.com/one")).refused(5);
    }
}

#[test]
fn image_that_is_used_is_fetched_first_where_that_is_wanted() {
    let world = World::new();
    let program = world.sandbox.write("one/file", "");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    world.serve("one", b"1");
    let nothing = Vec::<String>::new();
    // Without the network: what is not there is not found.
    world.gantry("image render --pull never example.com/one never").refused(4);
    world.usage("image render --pull always example.com/one never");
    assert_eq!(world.site.asked(), nothing);
    world.gantry("image render example.com/one new").ok();
    assert_eq!(fs::read(world.sandbox.path("new/rootfs/file")).unwrap(), b"1");
    assert!(!world.site.asked().is_empty());
    for line in [
        "image render example.com/one again",
        "image bundle example.com/one bundle --exec /file",
        "pod create example.com/one -o pod.json --exec /file",
    ] {
        world.gantry(line).ok();
    }
    assert_eq!(world.site.asked(), nothing);
    // A newer one is taken where it is asked for.
    for file in ["one.aci", "one.aci.asc"] {
        fs::remove_file(world.sandbox.path(file)).unwrap();
    }
    let (_, image) = world.serve("one", b"2");
    world.site.set(&format!("/{HOST}/one.aci"), image);
    world.gantry("image render example.com/one old").ok();
    world.gantry("image render --pull update example.com/one updated").ok();
    for (folder, content) in [("old", b"1"), ("updated", b"2")] {
        let file = world.sandbox.path(format!("{folder}/rootfs/file"));
        assert_eq!(fs::read(file).unwrap(), content);
    }
    // Nothing is used that nobody trusted has signed.
    world.site.set(&format!("/{HOST}/two.aci.asc"), "no signature");
    world.gantry("image render example.com/two two").refused(5);
    assert!(!world.sandbox.path("two").exists());
}

#[test]
fn images_that_are_needed_come_along() {
    let world = World::new();
    let (base, _) = world.serve("base", b"base");
    let manifest = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/top",
        "labels":[{"name":"version","value":"1"}],"dependencies":[{"imageName":"example.com/base"}]}"#;
    world.sandbox.write("top.json", manifest);
    world.gantry("pack base -o top.aci --manifest top.json").ok();
    let top = world.publish("top");
    let found: Value =
        serde_json::from_str(&world.gantry("--json fetch example.com/top").ok()).unwrap();
    assert_eq!(found["imageId"], top.as_str());
    assert_eq!(found["dependencies"][0]["imageId"], base.as_str());
    let ended = world.gantry("fetch --pull never example.com/top");
    assert_eq!(ended.stdout.trim(), top);
    assert!(ended.stderr.contains("needed: example.com/base"), "{ended:?}");
    world.gantry(&format!("image rm {base} {top}")).ok();
    world.site.set(&format!("/{HOST}/base.aci.asc"), "no signature");
    let ended = world.gantry("fetch example.com/top").refused(5);
    assert!(ended.stderr.contains("example.com/top:1"), "{ended:?}");
    assert!(ended.stderr.contains(" needs example.com/base"), "{ended:?}");
    assert_eq!(world.gantry("image list").ok(), "");
    assert_eq!(world.gantry("fetch --no-dependencies example.com/top").ok(), top);
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let world = World::new();
    world.serve("one", b"1");
    let auth = |token: &str| {
        format!(
            r#"{{"rktKind":"auth","rktVersion":"v1","domains":["{HOST}"],"type":"oauth","credentials":{{"token":"{token}"}}}}"#
        )
    };
    let private = |path: &str, text: &str| {
        let path = world.sandbox.write(path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let sent = |token: &str| {
        let heads = world.site.heads();
        assert!(!heads.is_empty());
        let wanted = format!("authorization: bearer {token}");
        assert!(heads.iter().all(|head| head.contains(&wanted)), "{heads:?}");
    };
    let silent = |ended: &Ended| {
        for secret in ["s3cret", "Bearer", "bearer"] {
            assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(secret), "{ended:?}");
        }
    };
    let fetch = |more: &str| {
        world.site.heads();
        let ended = world.gantry(&format!("fetch example.com/one {more}"));
        silent(&ended);
        ended
    };
    private("home/.config/gantry/auth.d/a.json", &auth("s3cret1"));
    fetch("").ok();
    sent("s3cret1");
    // The configuration counts more than the folder, the option more than both.
    let token = private("token", "s3cret2\n");
    let entry = |secret: &str| {
        // What follows in the file belongs to the entry, so it is the last.
        world.configure("");
        let path = world.sandbox.path("home/.config/gantry/config.toml");
        let text = fs::read_to_string(&path).unwrap();
        let entry = format!("{text}[[credentials]]\nhost = \"{HOST}\"\n{secret}\n");
        world.sandbox.write("home/.config/gantry/config.toml", entry);
        path
    };
    entry(&format!("token-file = {token:?}"));
    fetch("").ok();
    sent("s3cret2");
    private("once.json", &auth("s3cret3"));
    fetch("--auth-file once.json").ok();
    sent("s3cret3");
    // In the file itself only where nobody else reads it.
    let path = entry("token = \"s3cret4\"");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = fetch("").refused(3);
    assert!(ended.stderr.contains("chmod 600"), "{ended:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fetch("").ok();
    sent("s3cret4");
    // Broken: no request is made.
    private("once.json", &auth("s3cret5").replace("oauth", "aws"));
    let ended = fetch("--auth-file once.json").refused(3);
    assert!(ended.stderr.contains("aws is not supported"), "{ended:?}");
    assert!(world.site.heads().is_empty());
    fs::set_permissions(world.sandbox.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    entry(&format!("token-file = {token:?}"));
    let ended = fetch("--quiet").ok();
    assert!(!ended.is_empty());
    // A fetch looks twice: for news of the keys, and for the image.
    let told = |ended: Ended| ended.stderr.matches("can be read by everybody").count();
    assert_eq!(told(fetch("--quiet")), 1);
    assert_eq!(told(world.gantry("discover example.com/one")), 1);
}

#[test]
fn variables_set_to_nothing_are_not_set() {
    let world = World::new();
    let (id, _) = world.serve("one", b"1");
    let ended = |variables: &[&str], line: &str| {
        let mut command = world.sandbox.command(GANTRY);
        variables.iter().for_each(|variable| {
            command.env(variable, "");
        });
        Ended::of(command.args(line.split_whitespace()).output().unwrap())
    };
    let all = [
        "GANTRY_AUTH_FILE",
        "GANTRY_CACHE_DIR",
        "GANTRY_CA_FILE",
        "GANTRY_CONFIG",
        "GANTRY_KEY_DIR",
        "GANTRY_PROXY",
        "GANTRY_PULL",
        "GANTRY_RETRIES",
        "SOURCE_DATE_EPOCH",
    ];
    assert_eq!(ended(&all, "fetch example.com/one").ok(), id);
    ended(&all, "pack one -o two.aci --name example.com/two --overwrite").ok();
    // The usual folders, of which a user who is not root has his own.
    for variable in ["GANTRY_STORE", "GANTRY_TRUST_DIR"] {
        let usual = ended(&[variable], "trust list");
        assert_eq!(usual.code, 0, "{usual:?}");
    }
    // An option is what was typed.
    assert_eq!(ended(&[], "trust list --store=").code, 3);
    let ended = ended(&["GANTRY_TOKEN"], "push one.aci");
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("no token: give --token-file"), "{ended:?}");
}

#[test]
fn what_is_given_up_is_said_each_time_and_in_no_file() {
    let world = World::new();
    let (id, _) = world.serve("one", b"1");
    for (option, word) in [
        ("--insecure-skip-tls-verify", "certificates are not checked"),
        ("--insecure-allow-http", "plain http is allowed"),
        ("--insecure-keys-over-http", "keys may come over plain http"),
    ] {
        let ended = world.gantry(&format!("--quiet fetch example.com/one {option}"));
        assert_eq!(ended.stdout.trim(), id, "{ended:?}");
        assert!(ended.stderr.contains(word), "{ended:?}");
        world.configure(&format!("{} = true", option.trim_start_matches('-')));
        world.usage("fetch example.com/one");
        world.configure("");
        world.sandbox.write("config.toml", format!("{} = true", option.trim_start_matches('-')));
    }
    // A file that lies around says nothing.
    assert_eq!(world.gantry("--quiet fetch example.com/one").stderr, "");
    world.usage("fetch example.com/one --insecure-skip-signature");
}

#[test]
fn options_of_the_network_are_read_from_options_and_configuration() {
    let world = World::new();
    let (id, _) = world.serve("one", b"1");
    let good = "proxy = \"none\"\nretries = 0\nparallel = 2\nconnect-timeout = \"5s\"\n\
        idle-timeout = \"5s\"\ntotal-timeout = \"1m\"\nmax-size = \"1M\"\nlimit-rate = \"10M\"\n";
    world.configure(good);
    assert_eq!(world.gantry("fetch example.com/one").ok(), id);
    world.gantry(&format!("image rm {id}")).ok();
    let ended = world.gantry("fetch example.com/one --max-size 10").refused(5);
    assert!(ended.stderr.contains("more than 10 bytes"), "{ended:?}");
    for bad in ["retries = -1", "proxy = \"nowhere\"", "max-size = 0", "idle-timeout = 5"] {
        world.configure(bad);
        world.usage("fetch example.com/one");
    }
    world.configure("");
    let ended = world.usage("fetch example.com/one --proxy http://user:s3cret@127.0.0.1:9");
    assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    world.configure("proxy = \"http://user:s3cret@127.0.0.1:9\"");
    let ended = world.usage("fetch example.com/one");
    assert!(ended.stderr.contains("line 1") && !ended.stderr.contains("s3cret"), "{ended:?}");
    world.configure("");
    // Through a proxy that is not there nothing comes; an override asks none.
    let ended = world.gantry("fetch elsewhere.invalid/x --proxy http://127.0.0.1:9").refused(7);
    assert!(!ended.stderr.is_empty());
    world.gantry("fetch example.com/one --proxy http://127.0.0.1:9").ok();
}
