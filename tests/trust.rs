//! Trust over time: keys that real gpg rotates and revokes, the domain that publishes them, more
//! than one signer, several trees, and many processes at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use support::gpg::Gpg;
use support::site::Site;
use support::{Ended, GANTRY, Sandbox, tool};

const NAME: &str = "example.com/team/hello:1.0.0";
const FILE: &str = "/files/example.com/team/hello-1.0.0.aci";

/// A site of `example.com` that publishes keys and an image.
struct World {
    sandbox: Sandbox,
    site: Site,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let site = Site::start("example.com", &sandbox.path("."));
        let world = Self { sandbox, site };
        world.configure("");
        world.site.set(
            "/",
            "<meta name='ac-discovery' content='example.com https://example.com/files/{name}-{version}.{ext}'>\
             <meta name='ac-discovery-pubkeys' content='example.com https://example.com/keys.asc'>",
        );
        world.sandbox.write("tree/etc/greeting", "hello");
        world
            .gantry("pack tree -o a.aci --name example.com/team/hello --version 1.0.0 --noarch")
            .ok();
        world
    }

    fn configure(&self, more: &str) {
        let config = format!(
            "{more}\nca-file = \"{}\"\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
            self.site.ca_file().display(),
            self.site.address(),
        );
        self.sandbox.write("home/.config/gantry/config.toml", config);
    }

    fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let text = self.gantry(&format!("--json {line}")).ok();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// Publishes the keys of these people.
    fn publish(&self, gpg: &Gpg<'_>, users: &[&str]) {
        let mut keys = String::new();
        for user in users {
            keys.push_str(&gpg.run(&["--armor", "--export", user]));
            keys.push('\n');
        }
        self.site.set("/keys.asc", keys);
    }

    /// Serves the image, signed by these people.
    fn serve(&self, gpg: &Gpg<'_>, signers: &[&str]) {
        let mut words: Vec<&str> = signers.iter().flat_map(|user| ["--local-user", user]).collect();
        words.extend(["--armor", "--detach-sign", "a.aci"]);
        gpg.run(&words);
        self.site.set(FILE, fs::read(self.sandbox.path("a.aci")).unwrap());
        let signature = fs::read(self.sandbox.path("a.aci.asc")).unwrap();
        self.site.set(&format!("{FILE}.asc"), signature);
    }

    /// As if a long time had passed since the keys were last refreshed.
    fn let_time_pass(&self) {
        self.sandbox.write("trust/.refresh.toml", "\"example.com\" = \"2020-01-01T00:00:00Z\"\n");
    }

    /// How often the keys were asked for since the last time.
    fn asked_for_keys(&self) -> usize {
        self.site.asked().iter().filter(|path| *path == "/keys.asc").count()
    }
}

fn fingerprint(gpg: &Gpg<'_>, user: &str) -> String {
    gpg.fingerprints(user)[0].to_lowercase()
}

/// Revokes a key with the certificate gpg has made beside it.
fn revoke(gpg: &Gpg<'_>, user: &str) {
    let file = format!("openpgp-revocs.d/{}.rev", gpg.fingerprints(user)[0]);
    let path = gpg.home().join(file);
    let armed = fs::read_to_string(&path).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&path, armed).unwrap();
    gpg.run(&["--import", path.to_str().unwrap()]);
}

#[test]
fn fetch_that_brings_a_revocation_is_refused_by_it() {
    let world = World::new();
    let gpg = Gpg::new(&world.sandbox, "gpg");
    gpg.key("ann", "ed25519", "cert,sign");
    world.publish(&gpg, &["ann"]);
    world.serve(&gpg, &["ann"]);
    let ann = fingerprint(&gpg, "ann");
    world.gantry(&format!("trust add --prefix example.com --fingerprint {ann}")).ok();
    world.site.asked();
    world.gantry(&format!("fetch {NAME}")).ok();
    assert_eq!(world.asked_for_keys(), 1);
    world.gantry(&format!("fetch {NAME}")).ok();
    world.gantry("fetch ./a.aci").ok();
    assert_eq!(world.asked_for_keys(), 0, "more often than the interval");

    // A domain that publishes nothing stops no fetch; it is said.
    world.site.set("/keys.asc", "there are no keys here");
    world.let_time_pass();
    let ended = world.gantry(&format!("fetch {NAME}"));
    assert!(ended.stderr.contains("no news of the keys for example.com"), "{ended:?}");
    ended.ok();
    world.gantry(&format!("fetch {NAME}")).ok();
    assert_eq!(world.asked_for_keys(), 1);

    revoke(&gpg, "ann");
    world.publish(&gpg, &["ann"]);
    world.let_time_pass();
    world.gantry("fetch ./a.aci").ok();
    world.configure("trust-refresh = \"never\"");
    world.gantry(&format!("fetch {NAME}")).ok();
    assert_eq!(world.asked_for_keys(), 0);
    world.configure("trust-refresh = \"1h\"");
    let ended = world.gantry(&format!("--quiet fetch {NAME}")).refused(5);
    assert!(ended.stderr.contains("warning: example.com  "), "{ended:?}");
    assert!(ended.stderr.contains("its owner has revoked it"), "{ended:?}");
    // Under today's trust the stored image is refused as well.
    world.gantry("image verify example.com/team/hello").refused(5);
    assert!(world.gantry("trust list").ok().contains("its owner has revoked this key"));
    // The old copy, published again, takes nothing back.
    let refreshed = world.json("trust refresh");
    assert_eq!(refreshed["prefixes"][0]["keys"][0]["outcome"], "unchanged");
}

#[test]
fn refresh_follows_a_rotation_and_believes_no_stranger() {
    let world = World::new();
    let gpg = Gpg::new(&world.sandbox, "gpg");
    for user in ["ann", "next", "stranger"] {
        gpg.key(user, "ed25519", "cert,sign");
    }
    let [ann, next, stranger] = ["ann", "next", "stranger"].map(|user| fingerprint(&gpg, user));
    world.publish(&gpg, &["ann"]);
    world.gantry(&format!("trust add --prefix example.com --fingerprint {ann}")).ok();
    gpg.export("stranger", "stranger.pub");
    world.gantry("trust add --root stranger.pub").ok();
    let ended = world.gantry("trust refresh");
    assert!(ended.stderr.contains(&format!("{stranger} is trusted for every name")), "{ended:?}");
    assert!(ended.ok().contains("nothing new"));
    world.gantry(&format!("trust remove {stranger}")).ok();

    // A new subkey of the old key signs, and is known after a refresh alone.
    gpg.signing_subkey("ann", "ed25519");
    world.publish(&gpg, &["ann", "next", "stranger"]);
    world.serve(&gpg, &["ann"]);
    world.gantry(&format!("fetch {NAME}")).refused(5);
    let dry = world.json("trust refresh --dry-run");
    assert_eq!(dry["prefixes"][0]["keys"][0]["outcome"], "updated");
    world.gantry(&format!("fetch {NAME}")).refused(5);
    let refreshed = world.json("trust refresh example.com");
    let keys = &refreshed["prefixes"][0]["keys"];
    assert!(keys[0]["changes"][0].as_str().unwrap().contains("new subkey"), "{keys}");
    assert_eq!(keys[1]["outcome"], "offered");
    let command = keys[1]["command"].as_str().unwrap();
    assert_eq!(command, format!("gantry trust add --prefix example.com --fingerprint {next}"));
    world.gantry(&format!("fetch {NAME}")).ok();

    // The old key certifies the new one.
    gpg.run(&["--local-user", "ann", "--quick-sign-key", &gpg.fingerprints("next")[0]]);
    world.publish(&gpg, &["ann", "next", "stranger"]);
    world.gantry("trust policy set example.com --pinned").ok();
    assert_eq!(world.json("trust refresh")["prefixes"][0]["pinned"], true);
    assert_eq!(world.json("trust list").as_array().unwrap().len(), 1);
    world.gantry("trust policy set example.com --no-pinned").ok();
    let keys = &world.json("trust refresh")["prefixes"][0]["keys"];
    assert_eq!((&keys[1]["outcome"], &keys[1]["certifiedBy"]), (&"certified".into(), &ann.into()));
    assert_eq!(keys[2]["outcome"], "offered");
    world.serve(&gpg, &["next"]);
    world.gantry(&format!("fetch {NAME}")).ok();
    world.gantry(&format!("trust refresh --fingerprint {stranger}")).ok();
    assert_eq!(world.json("trust list").as_array().unwrap().len(), 3);
    assert_eq!(world.gantry("trust refresh example.org").code, 4);
    assert_eq!(world.gantry("trust refresh https://example.com").code, 3);
    world.site.set("/keys.asc", "nothing");
    world.gantry("trust refresh").refused(5);
}

#[test]
fn refresh_asks_about_a_new_key_on_a_terminal() {
    if !tool("script") {
        return;
    }
    let world = World::new();
    let gpg = Gpg::new(&world.sandbox, "gpg");
    for user in ["ann", "one", "two"] {
        gpg.key(user, "ed25519", "cert,sign");
    }
    world.publish(&gpg, &["ann", "one", "two"]);
    let ann = fingerprint(&gpg, "ann");
    world.gantry(&format!("trust add --prefix example.com --fingerprint {ann}")).ok();
    let mut command = world.sandbox.command("script");
    command.args(["-qec", &format!("{GANTRY} trust refresh"), "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"no\nperhaps\nyes\n").unwrap();
    let said = Ended::of(child.wait_with_output().unwrap());
    assert!(said.stdout.contains("Please say yes or no"), "{said:?}");
    let listed = world.gantry("trust list").ok();
    assert!(listed.contains(&fingerprint(&gpg, "two")), "{listed}");
    assert!(!listed.contains(&fingerprint(&gpg, "one")), "{listed}");
}

#[test]
fn threshold_of_two_wants_two_authors() {
    let world = World::new();
    let gpg = Gpg::new(&world.sandbox, "gpg");
    for user in ["ann", "bob"] {
        gpg.key(user, "ed25519", "cert,sign");
        gpg.export(user, &format!("{user}.pub"));
    }
    let (ann, bob) = (fingerprint(&gpg, "ann"), fingerprint(&gpg, "bob"));
    world.gantry("trust add --prefix example.com/team ann.pub bob.pub").ok();
    world.serve(&gpg, &["ann"]);
    world.gantry(&format!("fetch {NAME}")).ok();
    let set = world.json("trust policy set example.com --threshold 2 --refresh never");
    assert_eq!((&set["threshold"], &set["pinned"]), (&2.into(), &Value::Null));
    let counts = world.json("trust policy show example.com/team/hello");
    assert_eq!(counts["threshold"]["prefix"], "example.com");
    world.site.asked();
    let refused = world.gantry(&format!("fetch {NAME}")).refused(5);
    assert!(refused.stderr.contains(&ann) && refused.stderr.contains(&bob), "{refused:?}");
    assert!(!world.site.asked().contains(&FILE.to_owned()), "the image was asked for");
    world.gantry("image verify example.com/team/hello").refused(5);
    world.gantry("verify a.aci").refused(5);
    world.gantry(&format!("image rm {NAME}")).ok();
    world.serve(&gpg, &["ann", "bob"]);
    world.gantry(&format!("fetch {NAME}")).ok();
    world.gantry("image verify example.com/team/hello").ok();

    world.gantry("trust policy unset example.com").ok();
    assert_eq!(world.gantry("trust policy unset example.com").code, 2);
    assert_eq!(world.gantry("trust policy show").ok(), "");
    for line in [
        "trust policy set example.com",
        "trust policy set example.com --threshold 0",
        "trust policy set example.com --threshold 17",
        "trust policy set example.com --refresh sometimes",
        "trust policy set https://example.com --pinned",
    ] {
        assert_eq!(world.gantry(line).code, 3, "{line}");
    }
    world.sandbox.write("trust/policy.toml", "[prefix.\"example.com\"]\nthreshhold = 2\n");
    world.gantry(&format!("fetch {NAME}")).refused(5);
}

/// The registry's keys have the layout of a client's, and the same policy: nothing is taken
/// before it is met.
#[test]
fn registry_demands_what_the_policy_beside_its_keys_says() {
    let world = support::world::World::new(&["example.com"]);
    world.key("second");
    world.allow("second", "example.com");
    world.image("a", "example.com/team/hello", "1.0.0", "");
    let data = world.server.data();
    let trust = format!("--trust-dir {}", data.join("trustedkeys").display());
    world.gantry(&format!("{trust} trust policy set example.com/team --threshold 2")).ok();
    let refused = world.push("a").refused(6);
    assert!(refused.stderr.contains("must be signed by 2 different keys"), "{refused:?}");
    world.gantry("sign a.aci --key second.key -o second.asc").ok();
    world.sandbox.shell("cat second.asc >> a.aci.asc").ok();
    world.push("a").ok();
}

#[test]
fn trees_are_laid_over_one_another() {
    let sandbox = Sandbox::new();
    let gantry = |line: &str| sandbox.gantry(line.split_whitespace());
    let gpg = Gpg::new(&sandbox, "gpg");
    gpg.key("ann", "ed25519", "sign");
    gpg.export("ann", "ann.pub");
    let ann = fingerprint(&gpg, "ann");
    gantry("--trust-dir vendor trust add --prefix example.com ann.pub").ok();
    let both = "--vendor-trust-dir vendor --trust-dir own";
    let listed = gantry(&format!("{both} trust list")).ok();
    assert!(listed.contains("  in vendor"), "{listed}");
    assert!(!sandbox.path("own").exists(), "a look has made a folder");
    let removed = gantry(&format!("{both} trust remove {ann}"));
    assert!(removed.stderr.contains("takes its trust away"), "{removed:?}");
    removed.ok();
    assert_eq!(gantry(&format!("{both} trust remove {ann}")).code, 2);
    let listed = gantry(&format!("{both} trust list")).ok();
    let mask = format!("own/prefix.d/example.com/{ann}");
    assert!(listed.contains(&format!("overridden by {mask}")), "{listed}");
    assert!(listed.contains(&format!("masks vendor/prefix.d/example.com/{ann}")), "{listed}");
    let shown: Value =
        serde_json::from_str(&gantry(&format!("{both} --json trust show {ann}")).ok()).unwrap();
    assert_eq!(shown["entries"][0]["overriddenBy"], mask.as_str());
    assert_eq!(shown["entries"][1]["masked"], true);
    // The vendor's tree is as it was, and on its own it still trusts.
    assert_eq!(
        gantry("--trust-dir vendor trust list --name example.com/x").ok().lines().count(),
        1
    );
    gantry(&format!("{both} trust add --prefix example.com ann.pub")).ok();
    let mask = format!("{both} trust remove --mask --prefix example.com/private {ann}");
    gantry(&mask).ok();
    assert_eq!(gantry(&mask).code, 2);
    assert_eq!(gantry(&format!("{both} trust remove --mask {ann}")).code, 3);

    gpg.run(&["--quick-generate-key", "soon", "ed25519", "sign", "20d"]);
    gpg.export("soon", "soon.pub");
    let added = gantry("trust add --root soon.pub");
    assert!(added.stderr.contains("it can sign until"), "{added:?}");
    assert!(gantry("trust list").ok().contains("it can sign until"));

    for (line, said) in [
        ("trust add ann.pub", "without bounds"),
        ("trust add --prefix https://example.com ann.pub", "omit https://"),
        ("trust add --prefix example.com --root ann.pub", "cannot be used with"),
    ] {
        let ended = gantry(line);
        assert!(ended.code == 3 && ended.stderr.contains(said), "{line}: {ended:?}");
    }
}

/// Several processes add, remove, demand and list at once: nobody fails, nothing is lost, and
/// nothing is left over.
#[test]
fn many_processes_change_trust_at_once() {
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox, "gpg");
    let users = ["ann", "bob", "eve"];
    for user in users {
        gpg.key(user, "ed25519", "sign");
        gpg.export(user, &format!("{user}.pub"));
    }
    let spawn = |line: String| {
        let mut command = sandbox.command(GANTRY);
        command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        (line, command.spawn().unwrap())
    };
    for _ in 0..4 {
        let mut children = Vec::new();
        for user in users {
            let key = fingerprint(&gpg, user);
            for prefix in ["example.com/a", "example.com/a/b"] {
                children.push(spawn(format!("trust add --prefix {prefix} {user}.pub")));
                children.push(spawn(format!("trust remove --prefix {prefix} {key}")));
            }
            children.push(spawn(format!("trust policy set example.com/{user} --threshold 2")));
            children.push(spawn("trust list".to_owned()));
        }
        for (line, child) in children {
            let ended = Ended::of(child.wait_with_output().unwrap());
            let absent = line.starts_with("trust remove") && ended.code == 2;
            assert!(ended.code == 0 || absent, "{line}: {ended:?}");
            assert!(!ended.stderr.contains("passed over"), "{line}: {ended:?}");
        }
    }
    for user in users {
        for prefix in ["example.com/a", "example.com/a/b"] {
            sandbox.gantry(["trust", "add", "--prefix", prefix, &format!("{user}.pub")]).ok();
        }
    }
    assert_eq!(sandbox.gantry(["trust", "list"]).ok().lines().count(), 6);
    assert_eq!(sandbox.gantry(["trust", "policy", "show"]).ok().lines().count(), 3);
    let left = sandbox.shell("find trust -name '.gantry-stage-*'").ok();
    assert_eq!(left, "");
}
