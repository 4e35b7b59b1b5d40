//! One test for each attack that docs/trust.md names: the real command, a site that lies over
//! real TLS, and nothing in the store afterwards that should not be there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::site::Site;
use support::{Ended, Sandbox};

const NAME: &str = "example.com/team/app";
const FILE: &str = "/files/example.com/team/app-1.0.0.aci";

/// A victim who trusts one author for `example.com/team`, and a site under an attacker's hand.
struct Scene {
    sandbox: Sandbox,
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let site = Site::start("example.com", &sandbox.path("home"));
        let scene = Self { sandbox, site };
        scene.key("author");
        scene.key("mallory");
        scene.trust("author", "example.com/team");
        scene.page(&["example.com https://example.com/files/{name}-{version}.{ext}"]);
        scene.configure("");
        scene
    }

    fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    /// The configuration: requests for the host go to the site.
    fn configure(&self, more: &str) {
        let text = format!(
            "ca-file = {:?}\n{more}\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
            self.site.ca_file(),
            self.site.address(),
        );
        self.sandbox.write("home/.config/gantry/config.toml", text);
    }

    fn key(&self, who: &str) {
        let files = format!("--secret {who}.key --public {who}.pub");
        self.gantry(&format!("key generate --user-id {who}@example.com {files}")).ok();
    }

    fn trust(&self, who: &str, prefix: &str) {
        self.gantry(&format!("trust add --prefix {prefix} {who}.pub")).ok();
    }

    fn page(&self, tags: &[&str]) {
        let tag = |content: &&str| format!("<meta name=\"ac-discovery\" content=\"{content}\">");
        let tags: String = tags.iter().map(tag).collect();
        self.site.set("/team/app", format!("<html><head>{tags}</head></html>"));
    }

    /// An image and its signature, as files: `FILE.aci`, `FILE.aci.asc`.
    fn image(&self, file: &str, name: &str, version: &str, signer: &str) -> (Vec<u8>, Vec<u8>) {
        self.sandbox.write(&format!("{file}/etc/greeting"), format!("{file} {name} {version}\n"));
        let what = format!("{file} -o {file}.aci --name {name} --version {version}");
        self.gantry(&format!("pack {what}")).ok();
        self.gantry(&format!("sign {file}.aci --key {signer}.key")).ok();
        let read = |name: String| fs::read(self.sandbox.path(name)).unwrap();
        (read(format!("{file}.aci")), read(format!("{file}.aci.asc")))
    }

    fn serve(&self, image: &[u8], signature: &[u8]) {
        self.site.set(FILE, image);
        self.site.set(&format!("{FILE}.asc"), signature);
    }

    fn fetch(&self) -> Ended {
        self.gantry(&format!("fetch {NAME}:1.0.0"))
    }

    /// The fetch is refused by trust, the reason holds these words, and nothing was kept.
    #[track_caller]
    fn refused(&self, words: &str) {
        let ended = self.fetch().refused(5);
        assert!(ended.stderr.contains(words), "{words}: {ended:#?}");
        self.nothing_kept();
    }

    #[track_caller]
    fn nothing_kept(&self) {
        assert_eq!(self.gantry("image list").ok(), "");
        for folder in ["store/images", "store/staging"] {
            assert!(support::files(&self.sandbox.path(folder)).is_empty(), "{folder}");
        }
    }

    fn image_was_asked_for(&self) -> bool {
        self.site.asked().iter().any(|path| path == FILE)
    }
}

#[test]
fn attack_none_is_no_refusal() {
    let scene = Scene::new();
    let (image, signature) = scene.image("app", NAME, "1.0.0", "author");
    scene.serve(&image, &signature);
    scene.fetch().ok();
}

/// Tamper: bytes of the image or its signature are changed on the way.
#[test]
fn attack_tamper() {
    let scene = Scene::new();
    let (image, signature) = scene.image("app", NAME, "1.0.0", "author");
    for at in [10, image.len() / 2, image.len() - 1] {
        let mut changed = image.clone();
        changed[at] ^= 1;
        scene.serve(&changed, &signature);
        scene.fetch().refused(5);
        scene.nothing_kept();
    }
    let mut changed = signature.clone();
    let at = signature.len() / 2;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    scene.serve(&image, &changed);
    scene.fetch().refused(5);
    scene.nothing_kept();
}

/// Swap: another image of the same author, soundly signed, stands in the place of this one.
#[test]
fn attack_swap() {
    let scene = Scene::new();
    let (image, signature) = scene.image("other", "example.com/team/other", "1.0.0", "author");
    scene.serve(&image, &signature);
    scene.refused("example.com/team/other");
    let (image, signature) = scene.image("newer", NAME, "6.6.6", "author");
    scene.serve(&image, &signature);
    scene.refused("6.6.6");
}

/// Mix: the image of one release with the signature of another, or signed by somebody else.
#[test]
fn attack_mix() {
    let scene = Scene::new();
    let (image, _) = scene.image("app", NAME, "1.0.0", "author");
    let (_, other) = scene.image("two", NAME, "2.0.0", "author");
    scene.serve(&image, &other);
    scene.refused("signature");
    let (image, signature) = scene.image("evil", NAME, "1.0.0", "mallory");
    scene.site.asked();
    scene.serve(&image, &signature);
    scene.refused("trust");
    assert!(!scene.image_was_asked_for(), "not even downloaded");
}

/// Replay: an older version that its author has signed. Who asks for a version gets no other;
/// who asks for none takes what the server calls the latest, and that stays open.
#[test]
fn attack_replay_of_an_older_version() {
    let scene = Scene::new();
    let (old, signature) = scene.image("old", NAME, "0.9.0", "author");
    scene.serve(&old, &signature);
    scene.refused("0.9.0");
    let latest = FILE.replace("1.0.0", "latest");
    scene.site.set(&latest, old);
    scene.site.set(&format!("{latest}.asc"), signature);
    scene.gantry(&format!("fetch {NAME}")).ok();
    assert!(scene.gantry("image list").ok().contains("0.9.0"));
}

/// Stolen subkey: the author revokes what was stolen; whoever has the revocation refuses.
#[test]
fn attack_stolen_subkey() {
    let scene = Scene::new();
    scene.gantry("key subkey add author.key").ok();
    let shown = scene.gantry("--json key show author.key").ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let subkey = shown["keys"][0]["subkeys"][0].clone();
    let subkey = subkey["fingerprint"].as_str().or(subkey.as_str()).unwrap().to_owned();
    scene.gantry("key export author.key --secret-subkeys -o ci.key").ok();
    scene.gantry("key export author.key -o author.pub --overwrite").ok();
    scene.trust("author", "example.com/team");
    let (image, signature) = scene.image("app", NAME, "1.0.0", "ci");
    scene.serve(&image, &signature);
    scene.fetch().ok();
    scene.gantry(&format!("image rm {NAME}")).ok();
    scene.gantry(&format!("key revoke author.key --subkey {subkey} --reason compromised")).ok();
    scene.gantry("key export author.key -o author.pub --overwrite").ok();
    scene.trust("author", "example.com/team");
    scene.refused("revoked");
    // The primary key goes on.
    let (image, signature) = scene.image("again", NAME, "1.0.0", "author");
    scene.serve(&image, &signature);
    scene.fetch().ok();
}

/// Expired key: what it signs after its end does not count.
#[test]
fn attack_expired_key() {
    if !support::tool("faketime") {
        return;
    }
    let scene = Scene::new();
    let at = |when: &str, line: &str| {
        let line = format!("faketime -f '{when}' \"$GANTRY\" {line}");
        scene.sandbox.shell(&line)
    };
    let made =
        "key generate --user-id old@example.com --secret old.key --public old.pub --expires 30d";
    at("2020-01-01 00:00:00", made).ok();
    scene.trust("old", "example.com/team");
    // A clock that stands still within the key's time signs well; today the key is long dead,
    // and gantry does not sign with it, so the attacker turns the clock forward by other means.
    let (image, _) = scene.image("app", NAME, "1.0.0", "author");
    at("2020-01-10 00:00:00", "sign app.aci --key old.key --overwrite").ok();
    let good = fs::read(scene.sandbox.path("app.aci.asc")).unwrap();
    scene.serve(&image, &good);
    let taken = scene.fetch();
    assert_eq!(taken.code, 0, "{taken:?}");
    assert!(taken.stderr.contains("expired"), "a warning: {taken:?}");
    scene.gantry(&format!("image rm {NAME}")).ok();
    let late = at("2020-03-10 00:00:00", "sign app.aci --key old.key --overwrite");
    assert_ne!(late.code, 0, "{late:?}");
}

/// Malicious mirror: asked in the host's place, it can withhold; it can serve what the author has
/// signed; no more.
#[test]
fn attack_malicious_mirror() {
    let scene = Scene::new();
    let folder = scene.sandbox.path("mirror");
    fs::create_dir(&folder).unwrap();
    let mirror = Site::start("127.0.0.1", &folder);
    let text = format!(
        "ca-file = {:?}\n[[override]]\nprefix = \"example.com\"\nurl = \"https://127.0.0.1:{}/base\"\n",
        mirror.ca_file(),
        mirror.address().port(),
    );
    scene.sandbox.write("home/.config/gantry/config.toml", text);
    let withheld = scene.fetch();
    assert_eq!(withheld.code, 4, "{withheld:?}");
    let tag = "example.com https://example.com/files/{name}-{version}.{ext}";
    mirror.set("/base/team/app", format!("<meta name=\"ac-discovery\" content=\"{tag}\">"));
    let serve = |(image, signature): (Vec<u8>, Vec<u8>)| {
        mirror.set(&format!("/base{FILE}"), image);
        mirror.set(&format!("/base{FILE}.asc"), signature);
    };
    serve(scene.image("evil", NAME, "1.0.0", "mallory"));
    scene.refused("trust");
    serve(scene.image("other", "example.com/team/other", "1.0.0", "author"));
    scene.refused("example.com/team/other");
    serve(scene.image("app", NAME, "1.0.0", "author"));
    scene.fetch().ok();
}

/// Malicious page: it sends elsewhere, over plain HTTP, into the terminal, or never ends.
#[test]
fn attack_malicious_page() {
    let scene = Scene::new();
    let (image, signature) = scene.image("evil", NAME, "1.0.0", "mallory");
    scene.serve(&image, &signature);
    for (tags, code) in [
        // Another place is allowed, another signer is not.
        (&["example.com https://example.com/files/{name}-{version}.{ext}"][..], 5),
        (&["example.com http://example.com/files/{name}-{version}.{ext}"][..], 4),
        (&["example.org https://example.com/files/{name}-{version}.{ext}"][..], 4),
        (&["example.com file:///etc/passwd.{ext}"][..], 4),
        (&["example.com https://user:pass@example.com/{name}.{ext}"][..], 5),
        (&["example.com https://example.com/\u{1b}[2J{name}.{ext}"][..], 4),
    ] {
        scene.page(tags);
        let ended = scene.fetch();
        assert_ne!(ended.code, 0, "{tags:?}: {ended:?}");
        assert!([4, 5, 7, code].contains(&ended.code), "{tags:?}: {ended:?}");
        assert!(!ended.stderr.contains('\u{1b}'), "{ended:?}");
        scene.nothing_kept();
    }
    scene.site.set("/team/app", vec![b'<'; 3 << 20]);
    let ended = scene.fetch();
    assert!([4, 7].contains(&ended.code), "{ended:?}");
    assert!(ended.stderr.contains("bytes"), "{ended:?}");
    scene.nothing_kept();
}

/// Endless data: a bomb that its author has signed, and a signature file without end.
#[test]
fn attack_endless_data() {
    let scene = Scene::new();
    let tar = support::hostile::Tar::image(NAME, "1.0.0").gzip_with_zeros(300 << 20);
    scene.sandbox.write("bomb.aci", &tar);
    scene.gantry("sign bomb.aci --key author.key").ok();
    let signature = fs::read(scene.sandbox.path("bomb.aci.asc")).unwrap();
    scene.serve(&tar, &signature);
    scene.refused("ratio");
    let (image, _) = scene.image("app", NAME, "1.0.0", "author");
    scene.site.asked();
    scene.serve(&image, &vec![b'x'; 2 << 20]);
    let ended = scene.fetch();
    assert_ne!(ended.code, 0, "{ended:?}");
    scene.nothing_kept();
    assert!(!scene.image_was_asked_for());
}

/// Slow server: it takes the connection and says nothing more.
#[test]
fn attack_slow_server() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(&[22]);
            held.push(stream);
            thread::sleep(Duration::from_millis(1));
        }
    });
    let text = format!("[[override]]\nprefix = \"example.com\"\nconnect = \"{address}\"\n");
    scene.sandbox.write("home/.config/gantry/config.toml", text);
    let ended = scene
        .gantry(&format!("fetch {NAME}:1.0.0 --connect-timeout 1s --idle-timeout 1s --retries 0"));
    assert_eq!(ended.code, 7, "{ended:?}");
    scene.nothing_kept();
}
