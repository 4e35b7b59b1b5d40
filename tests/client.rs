//! The client's commands against a running registry: push, discover, trust, fetch, and the
//! store, with the exit codes and outputs scripts rely on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use support::registry::Registry;
use support::{Ended, GANTRY, Sandbox, tool};

const NAME: &str = "example.com/team/hello";

/// A registry for `example.com`, an author whose key it knows, and her image `hello.aci`.
struct World {
    sandbox: Sandbox,
    registry: Registry,
    fingerprint: String,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox, "example.com");
        let world = Self { sandbox, registry, fingerprint: String::new() };
        let config = format!(
            "ca-file = \"{}\"\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
            world.registry.data().join("tls/ca.pem").display(),
            world.registry.address(),
        );
        world.sandbox.write("home/.config/gantry/config.toml", config);
        world.gantry("key generate --user-id ci@example.com --secret ci.key --public ci.pub").ok();
        world.gantry("registry keys add --data data --prefix example.com/team ci.pub").ok();
        world.image("hello", NAME, "1.0.0");
        let key: Value = serde_json::from_str(&world.published_key()).unwrap();
        let fingerprint = key["error"]["next"].as_str().unwrap();
        let fingerprint = fingerprint.split("--fingerprint ").nth(1).unwrap()[..40].to_owned();
        Self { fingerprint, ..world }
    }

    /// What `trust add` says where nobody can be asked.
    fn published_key(&self) -> String {
        let ended = self.gantry("--json trust add --prefix example.com/team");
        assert_eq!(ended.code, 5, "{ended:?}");
        ended.stderr
    }

    fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    fn json(&self, line: &str) -> Value {
        let text = self.gantry(&format!("--json {line}")).ok();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// Packs and signs `FILE.aci`.
    fn image(&self, file: &str, name: &str, version: &str) {
        self.sandbox.write(&format!("{file}/etc/greeting"), format!("{name} {version}"));
        self.gantry(&format!(
            "pack {file} -o {file}.aci --name {name} --version {version} --noarch"
        ))
        .ok();
        self.gantry(&format!("sign {file}.aci --key ci.key")).ok();
    }

    fn push(&self, line: &str) -> Ended {
        let mut command = self.sandbox.command(GANTRY);
        command.env("GANTRY_TOKEN", self.registry.token()).arg("push");
        Ended::of(command.args(line.split_whitespace()).output().unwrap())
    }
}

#[test]
fn pushed_image_is_discovered_trusted_fetched_and_removed() {
    let world = World::new();
    let pushed = world.push("hello.aci").ok();
    let id = pushed.lines().next().unwrap();
    assert_eq!(pushed.lines().nth(1), Some("https://example.com/team/hello"));
    let again: Value = serde_json::from_str(&world.push("--json hello.aci").ok()).unwrap();
    assert_eq!(
        (&again["pushed"]["imageId"], &again["pushed"]["created"]),
        (&id.into(), &false.into())
    );

    let found = world.json(&format!("discover {NAME}:1.0.0"));
    let image = found["images"]["found"][0]["image"].as_str().unwrap();
    assert!(image.starts_with("https://example.com/-/images/"), "{image}");
    assert_eq!(found["keys"]["found"][0]["prefix"], "example.com");
    assert!(world.gantry(&format!("discover {NAME}")).ok().contains("signature: https://"));

    // Not trusted yet: the refusal gives the command, and the command works.
    let refused = world.gantry(&format!("fetch {NAME}")).refused(5);
    let next = refused.stderr.split("gantry trust add").nth(1).unwrap();
    let command = format!("trust add{}", next.split(" (or").next().unwrap());
    assert!(command.contains(&world.fingerprint), "{command}");
    assert!(command.contains(&format!("--prefix {NAME} ")), "{command}");
    world.gantry(&command).ok();

    let fetched = world.gantry(&format!("fetch {NAME}"));
    assert_eq!(fetched.stdout, format!("{id}\n"));
    assert!(fetched.stderr.contains(&world.fingerprint));
    let again = world.json(&format!("fetch {NAME}:1.0.0"));
    assert_eq!((&again["imageId"], &again["new"]), (&id.into(), &false.into()));
    assert_eq!(again["record"]["signer"], world.fingerprint.as_str());
    assert_eq!(world.gantry(&format!("--quiet fetch {NAME}")).stderr, "");

    let list = world.gantry("image list").ok();
    assert_eq!(list, format!("{id}  {NAME}:1.0.0"));
    assert_eq!(world.json("image list")[0]["imageId"], id);
    let show = world.gantry(&format!("image show {}", &id[..20])).ok();
    assert!(show.contains(&world.fingerprint) && show.contains("found as"), "{show}");
    let manifest: Value =
        serde_json::from_str(&world.gantry(&format!("image manifest {NAME}")).ok()).unwrap();
    assert_eq!(manifest["name"], NAME);
    world.gantry(&format!("image verify {NAME}")).ok();
    world.gantry("image verify --all").ok();

    world.gantry(&format!("image export {NAME} out.aci")).ok();
    for end in ["aci", "aci.asc"] {
        let (out, own) = (format!("out.{end}"), format!("hello.{end}"));
        let read = |file: &str| fs::read(world.sandbox.path(file)).unwrap();
        assert_eq!(read(&out), read(&own), "{end}");
    }
    assert_eq!(world.gantry(&format!("image export {NAME} out.aci")).code, 1);
    world.gantry(&format!("image export {NAME} out.aci --overwrite")).ok();

    assert_eq!(world.gantry(&format!("image rm {NAME}")).ok(), id);
    assert_eq!(world.gantry(&format!("image rm {NAME}")).code, 2);
    assert_eq!(world.gantry(&format!("image show {NAME}")).refused(4).stdout, "");
    assert_eq!(world.json("image list").as_array().unwrap().len(), 0);
    // From the file that was exported, and by its URL.
    assert_eq!(world.gantry("fetch ./out.aci").ok(), id);
    assert_eq!(world.gantry(&format!("fetch {image}")).ok(), id);
}

#[test]
fn trust_is_given_only_where_somebody_decides() {
    let world = World::new();
    let fingerprint = world.fingerprint.as_str();
    let wrong = "0123456789abcdef0123456789abcdef01234567";
    let add = "trust add --prefix example.com/team";
    // Nobody to ask.
    let refused = world.gantry(add).refused(5);
    assert!(refused.stderr.contains(&format!("gantry {add} --fingerprint {fingerprint}")));
    world.gantry(&format!("{add} --fingerprint {wrong}")).refused(5);
    world.gantry(&format!("{add} --fingerprint {wrong} ci.pub")).refused(5);
    assert_eq!(world.gantry("trust list").ok(), "");
    assert_eq!(world.json("trust list").as_array().unwrap().len(), 0);
    // Upper case, as gpg prints it; twice is as good as once.
    let upper = fingerprint.to_uppercase();
    for new in [true, false] {
        let added = world.json(&format!("{add} --fingerprint {upper}"));
        assert_eq!(added["added"][0]["new"], new);
        assert_eq!(added["added"][0]["fingerprint"], fingerprint);
    }
    assert!(world.sandbox.path(format!("trust/prefix.d/example.com/team/{fingerprint}")).exists());
    assert!(
        world.gantry("trust list").ok().starts_with(&format!("{fingerprint}  example.com/team"))
    );
    assert_eq!(world.gantry("trust list --name example.com/other").ok(), "");
    assert_eq!(world.gantry(&format!("trust list --name {NAME}")).ok().lines().count(), 1);
    let shown = world.gantry(&format!("trust show {fingerprint}")).ok();
    assert!(shown.contains(&upper[..4]) && shown.contains("ci@example.com"), "{shown}");
    assert_eq!(world.gantry(&format!("trust show {wrong}")).code, 4);

    world.gantry(&format!("trust remove --prefix example.com/team {fingerprint}")).ok();
    assert_eq!(
        world.gantry(&format!("trust remove --prefix example.com/team {fingerprint}")).code,
        2
    );
    assert_eq!(world.gantry(&format!("trust remove {fingerprint}")).code, 2);
    // --yes, a file, a URL.
    world.gantry(&format!("{add} --yes")).ok();
    world.gantry("trust add --prefix example.com/other ci.pub").ok();
    let url = world.json(&format!("discover {NAME}"))["keys"]["found"][0]["url"].clone();
    let url = url.as_str().unwrap();
    world.gantry(&format!("trust add --root {url}")).refused(5);
    world.gantry(&format!("trust add --root --fingerprint {fingerprint} {url}")).ok();
    assert_eq!(world.gantry("trust list").ok().lines().count(), 3);
    let removed = world.json(&format!("trust remove {fingerprint}"));
    assert_eq!(removed["removed"].as_array().unwrap().len(), 3);

    for (line, code) in [
        ("trust add --root", 3),
        ("trust add", 3),
        ("trust add --root --prefix example.com ci.pub", 3),
        ("trust add --prefix https://example.com ci.pub", 3),
        ("trust add --prefix example.com absent.pub", 4),
        ("trust add --prefix example.com hello.aci", 5),
        ("trust add --prefix example.com ci.key", 5),
        ("trust add --prefix example.com --yes http://example.com/k.asc", 5),
        ("trust add --prefix example.com/nothing/here --fingerprint 12", 3),
    ] {
        assert_eq!(world.gantry(line).code, code, "{line}");
    }
    assert_eq!(world.gantry("trust list").ok(), "");
}

#[test]
fn trust_asks_on_a_terminal() {
    if !tool("script") {
        return;
    }
    let world = World::new();
    let answered = |answers: &str, more: &str| {
        let line = format!("{GANTRY} trust add --prefix example.com/team {more}");
        let mut command = world.sandbox.command("script");
        command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    };
    let said = answered("no\n", "");
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stdout.contains("fingerprint: "), "{said:?}");
    assert!(said.stdout.contains(&world.fingerprint.to_uppercase()[..4]), "{said:?}");
    assert_eq!(world.gantry("trust list").ok(), "");
    // What is neither yes nor no is asked again.
    let said = answered("maybe\nYes\nyes\n", "");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("Please say yes or no"), "{said:?}");
    assert_eq!(world.gantry("trust list").ok().lines().count(), 1);
    world.gantry(&format!("trust remove {}", world.fingerprint)).ok();
    // With a fingerprint nobody is asked.
    let said = answered("", &format!("--fingerprint {}", world.fingerprint));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.stdout.contains("yes/no"), "{said:?}");
}

#[test]
fn configuration_is_read_from_its_two_places_and_nowhere_else() {
    let world = World::new();
    // A checkout of somebody else's files cannot send requests elsewhere.
    for path in ["config.toml", "gantry/config.toml", ".config/gantry/config.toml", "gantry.toml"] {
        world.sandbox.write(path, "this is no configuration");
    }
    world.gantry(&format!("discover {NAME}")).ok();
    // --config instead of both: without the override there is nobody to ask.
    world.sandbox.write("empty.toml", "");
    let ended = world.gantry(&format!("--config empty.toml discover {NAME}"));
    assert!([4, 7].contains(&ended.code), "{ended:?}");
    // A store and a trust folder can be set once; options and variables win.
    let set = format!("store = \"{}\"\n", world.sandbox.path("elsewhere").display());
    world.sandbox.write("set.toml", set);
    let mut command = world.sandbox.command(GANTRY);
    command.env_remove("GANTRY_STORE").args(["--config", "set.toml", "fetch", "./hello.aci"]);
    world.gantry("trust add --prefix example.com ci.pub").ok();
    Ended::of(command.output().unwrap()).ok();
    assert!(world.sandbox.path("elsewhere/images").exists());
    world.gantry("--config set.toml fetch ./hello.aci").ok();
    assert!(world.sandbox.path("store/images").exists());

    let bad = world.sandbox.write("bad.toml", "store = \"/s\"\nstoer = \"/s\"\n");
    let ended = world.gantry("--config bad.toml image list").refused(3);
    for word in [bad.file_name().unwrap().to_str().unwrap(), "line 2", "stoer"] {
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
    world.gantry("--config absent.toml image list").refused(3);
    world.sandbox.write("home/.config/gantry/config.toml", "x = 1");
    world.gantry("image list").refused(3);
    world.gantry("--config set.toml image list").ok();
}

#[test]
fn connect_override_passes_by_the_proxy() {
    let world = World::new();
    world.push("hello.aci").ok();
    let discover = |name: &str| {
        let mut command = world.sandbox.command(GANTRY);
        // Nobody listens there.
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").args(["discover", name]);
        Ended::of(command.output().unwrap())
    };
    discover(NAME).ok();
    let ended = discover("elsewhere.invalid/app").refused(7);
    assert!(ended.stderr.contains("proxy") || ended.stderr.contains("onnect"), "{ended:?}");
}

#[test]
fn image_is_found_by_whatever_its_version_says() {
    let world = World::new();
    world.gantry("trust add --prefix example.com/team ci.pub").ok();
    let mut ids = Vec::new();
    for (file, version) in [("climbs", "1/../2"), ("slash", "1/2"), ("dots", ".."), ("two", "2")] {
        world.image(file, NAME, version);
        ids.push(world.push(&format!("{file}.aci")).ok().lines().next().unwrap().to_owned());
    }
    for (id, version) in ids.iter().zip(["1/../2", "1/2", "..", "2"]).skip(1) {
        let fetched = world.gantry(&format!("fetch {NAME}:{version}"));
        assert_eq!(fetched.ok(), *id, "{version}");
    }
    // A server may resolve that, however it is written.
    let refused = world.gantry(&format!("fetch {NAME}:1/../2")).refused(4);
    assert!(refused.stderr.contains("fetch such an image by a URL with its ID"), "{refused:?}");
    let by_id = format!("fetch https://example.com/-/blobs/{}.aci", ids[0]);
    assert_eq!(world.gantry(&by_id).ok(), ids[0]);
}

#[test]
fn commands_of_a_page_fetch_what_they_stand_beside() {
    let world = World::new();
    world.gantry("trust add --prefix example.com/team ci.pub").ok();
    world.sandbox.write("bare/etc/greeting", "bare");
    world.gantry(&format!("pack bare -o bare.aci --name {NAME} --noarch")).ok();
    world.gantry("sign bare.aci --key ci.key").ok();
    let bare = world.push("bare.aci").ok().lines().next().unwrap().to_owned();
    let hello = world.push("hello.aci").ok().lines().next().unwrap().to_owned();
    let page = world.registry.curl(&world.sandbox, "example.com", "/team/hello", &[]).body;
    let commands: Vec<&str> = page
        .split("<pre>gantry ")
        .skip(1)
        .map(|rest| rest.split("</pre>").next().unwrap())
        .filter(|command| command.starts_with("fetch "))
        .collect();
    let fetched: Vec<String> = commands.iter().map(|command| world.gantry(command).ok()).collect();
    // By the name alone, then beside each.
    assert_eq!(fetched, [hello.as_str(), &hello, &bare], "{page}");
}

#[test]
fn advice_about_a_binary_signature_works() {
    let world = World::new();
    if !tool("gpg") {
        return;
    }
    let gpg = support::gpg::Gpg::new(&world.sandbox, "gpg");
    gpg.run(&["--import", "ci.key"]);
    let token = world.sandbox.write("token", world.registry.token());
    let push = format!("push hello.aci --token-file {}", token.display());
    let binary = || gpg.run(&["--output", "hello.aci.asc", "--detach-sign", "hello.aci"]);
    binary();
    let refused = world.gantry(&push).refused(5);
    let next = refused.stderr.split("next:").nth(1).unwrap();
    let (gantry, by_gpg) = next.split_once(", or gpg ").unwrap();
    let gantry = gantry.split_once("gantry ").unwrap().1;
    let filled = |text: &str| text.replace("FILE", "hello.aci").replace("KEY", "ci.key");
    world.gantry(&filled(gantry)).ok();
    world.gantry(&push).ok();

    binary();
    world.gantry(&push).refused(5);
    let by_gpg = filled(by_gpg);
    gpg.run(&by_gpg.split_whitespace().collect::<Vec<_>>());
    world.gantry(&push).ok();
}

#[test]
fn push_tells_what_is_wrong_by_its_exit_code() {
    let world = World::new();
    let no_token = world.gantry("push hello.aci");
    assert_eq!(no_token.code, 3);
    assert!(no_token.stderr.contains("GANTRY_TOKEN"));
    world.sandbox.write("token", format!("{}\n", world.registry.token()));
    world.sandbox.write("wrong", "not-the-token\n");
    let wrong = world.gantry("push hello.aci --token-file wrong").refused(6);
    assert!(!wrong.stderr.contains("not-the-token"), "{wrong:?}");
    // The registry knows no key for this prefix.
    world.image("other", "example.com/other", "1.0.0");
    world.gantry("push other.aci --token-file token").refused(6);
    // Broken: refused here, before anything is sent.
    let mut bytes = fs::read(world.sandbox.path("hello.aci")).unwrap();
    bytes.truncate(bytes.len() - 20);
    world.sandbox.write("broken.aci", &bytes);
    world.gantry("push broken.aci --signature hello.aci.asc --token-file token").refused(5);
    world.gantry("push hello.aci --signature absent.asc --token-file token").refused(4);
    world.gantry("push absent.aci --signature hello.aci.asc --token-file token").refused(4);
    let elsewhere = "--registry https://registry.invalid --token-file token";
    world.gantry(&format!("push hello.aci {elsewhere}")).refused(7);
    for registry in ["http://example.com", "localhost:8443"] {
        let line = format!("push hello.aci --registry {registry} --token-file token");
        let refused = world.gantry(&format!("{line} --insecure-allow-http")).refused(3);
        assert!(refused.stderr.contains("a token goes over https alone"), "{refused:?}");
    }
    world.gantry("push hello.aci --token-file token").ok();
}

#[test]
fn fetch_of_what_is_not_there_is_not_found() {
    let world = World::new();
    world.push("hello.aci").ok();
    world.gantry("trust add --prefix example.com/team ci.pub").ok();
    world.gantry("fetch example.com/team/nothing").refused(4);
    world.gantry(&format!("fetch {NAME}:9.9.9")).refused(4);
    world.gantry("fetch ./nothing.aci").refused(4);
    // The advice leads on, and not here again.
    let id = format!("sha512-{}", "0".repeat(128));
    let absent = world.gantry(&format!("fetch {id}")).refused(4);
    assert!(absent.stderr.contains("https://HOST/-/blobs/ID.aci"), "{absent:?}");
    assert!(!absent.stderr.contains(&format!("gantry fetch {id}")), "{absent:?}");
    let ca = world.gantry("fetch example.com/team/hello --ca-file /nope").refused(3);
    assert!(ca.stderr.contains("/nope"), "{ca:?}");
    world.sandbox.write("passphrase", "a passphrase");
    let files = "--secret locked.key --public locked.pub --passphrase-file passphrase";
    world.gantry(&format!("key generate --user-id l@example.com {files}")).ok();
    let locked = world.gantry("sign hello.aci --key locked.key --overwrite");
    assert!(locked.stderr.contains("GANTRY_KEY_PASSPHRASE"), "{locked:?}");
    world.gantry("fetch nowhere.invalid/app").refused(7);
    world.gantry("fetch http://example.com/x.aci").refused(5);
    for bad in ["Example.com/x", "docker://busybox", "example.com/x:1:2"] {
        assert_eq!(world.gantry(&format!("fetch {bad}")).code, 3, "{bad}");
    }
}

/// A version is any text: what is printed of it neither steers a terminal nor adds a line
/// that would read as the verification's own.
#[test]
fn label_of_a_stranger_stays_on_its_line() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "x");
    let forged = "1\u{1b}[31m\nsigned by:   somebody else";
    let pack = ["pack", "tree", "-o", "a.aci", "--name", "example.com/a", "--version", forged];
    sandbox.gantry(pack).ok();
    sandbox.gantry("key generate --user-id a@example.com --secret k --public p".split(' ')).ok();
    sandbox.gantry("sign a.aci --key k".split(' ')).ok();
    sandbox.gantry("trust add --root p".split(' ')).ok();
    let id = sandbox.gantry("fetch ./a.aci".split(' ')).ok();
    for line in ["inspect a.aci", "verify a.aci", "image list", "image show example.com/a"] {
        let text = sandbox.gantry(line.split(' ')).ok();
        assert!(text.contains("somebody else") && !text.contains('\u{1b}'), "{line}: {text}");
        assert!(!text.contains("\nsigned by:   somebody"), "{line}: {text}");
    }
    let refused = sandbox.gantry("verify a.aci --name example.com/a:2".split(' ')).refused(5);
    assert!(!refused.stderr.contains('\u{1b}'), "{refused:?}");
    let manifest = sandbox.gantry(["--json", "image", "show", id.trim()]).ok();
    let value: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(value["labels"][0]["value"], forged);
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_is_none() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "x");
    sandbox.gantry("pack tree -o a.aci --name example.com/a".split(' ')).ok();
    for line in ["inspect a.aci", "inspect --manifest a.aci", "--json inspect a.aci"] {
        let full = sandbox.shell(&format!("{GANTRY} {line} > /dev/full"));
        assert_eq!(full.code, 1, "{line}: {full:?}");
        let closed = sandbox.shell(&format!("({GANTRY} {line}; echo $? >&2) | true"));
        assert_eq!(closed.stderr, "0\n", "{line}");
    }
}

#[test]
fn store_that_may_only_be_read_is_read() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "x");
    sandbox.gantry("pack tree -o a.aci --name example.com/a".split(' ')).ok();
    sandbox.gantry("key generate --user-id a@example.com --secret k --public p".split(' ')).ok();
    sandbox.gantry("sign a.aci --key k".split(' ')).ok();
    sandbox.gantry("trust add --root p".split(' ')).ok();
    sandbox.gantry("--store store fetch ./a.aci".split(' ')).ok();
    // Nobody may write to it; where root runs the tests, another user has to try.
    fs::copy(GANTRY, sandbox.path("gantry")).unwrap();
    let other = if rustix::process::geteuid().is_root() {
        "setpriv --reuid=65534 --regid=65534 --clear-groups"
    } else {
        ""
    };
    let read = "mkdir -m 777 out && chmod a+rx . && chmod -R a-w,a+rX store";
    let render = "./gantry --store store image render example.com/a out/rendered";
    let ended = sandbox.shell(&format!("{read} && {other} {render}"));
    sandbox.shell("chmod -R u+w store").ok();
    ended.ok();
    assert_eq!(fs::read(sandbox.path("out/rendered/rootfs/file")).unwrap(), b"x");
}

#[test]
fn bad_usage_is_json_where_json_is_asked_for() {
    let sandbox = Sandbox::new();
    for line in ["--json nonsense", "image show --json", "--json fetch Example.com/x"] {
        let ended = sandbox.gantry(line.split(' '));
        let error: Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!((ended.code, error["exitCode"].as_u64()), (3, Some(3)), "{line}");
        assert_eq!(error["error"]["code"], "usage", "{line}");
    }
    // What follows `--` is the program's.
    let ended = sandbox.gantry("run -- --json".split(' '));
    assert!(ended.code == 3 && ended.stderr.starts_with("error: "), "{ended:?}");
}

#[test]
fn registry_that_is_only_looked_at_is_not_made() {
    let sandbox = Sandbox::new();
    for line in ["keys list", "token list", "token revoke 00000000"] {
        let line = format!("registry {line} --data typo");
        assert_ne!(sandbox.gantry(line.split(' ')).code, 0, "{line}");
        assert!(!sandbox.path("typo").exists(), "{line}");
    }
}
