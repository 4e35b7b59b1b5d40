//! The journeys people make: an author publishes, a stranger finds, checks and runs. The real
//! commands throughout, with the exit codes and outputs that scripts rely on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::probe::probe;
use support::running::Running;
use support::server::Server;
use support::world::World;
use support::{Ended, Sandbox, tool};

const NAME: &str = "example.com/team/hello";

/// A root file system with one real program.
fn rootfs(sandbox: &Sandbox) {
    let program = sandbox.write("rootfs/bin/probe", fs::read(probe()).unwrap());
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.write("rootfs/etc/motd", "hello\n");
}

/// Whether containers can be run here; says so where not.
fn containers() -> bool {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run these containers");
        return false;
    }
    tool("runc")
}

/// The contract from its first line to its last, with these global options on every command
/// that asks the registry.
fn whole_journey(sandbox: &Sandbox, server: &Server, options: &str) {
    let gantry = |line: &str| sandbox.gantry(line.split_whitespace());
    let online = |line: &str| gantry(&format!("{options} {line}"));
    let id = author_publishes(sandbox, server, &online);
    let printed = format!("{id}\n");

    // A stranger: she knows the name, and the fingerprint the author told her.
    let shown = sandbox.gantry(["--json", "key", "show", "key.pub.asc"]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let fingerprint = shown["keys"][0]["fingerprint"].as_str().unwrap().to_uppercase();
    online(&format!("fetch {NAME}")).refused(5);
    assert_eq!(gantry("image list").ok(), "");
    online(&format!("trust add --prefix example.com/team --fingerprint {fingerprint}")).ok();
    for reference in [NAME, &format!("{NAME}:1.0.0"), &format!("{NAME}:1.0.0,channel=beta")] {
        assert_eq!(online(&format!("fetch {reference}")).stdout, printed, "{reference}");
    }
    // Nothing but the ID is asked of the network from here on.
    let listed = gantry("image list").ok();
    assert!(listed.starts_with(&format!("{id}  {NAME}:1.0.0")), "{listed}");
    let manifest: Value =
        serde_json::from_str(&gantry(&format!("image manifest {NAME}")).ok()).unwrap();
    assert_eq!(manifest["app"]["exec"], json!(["/bin/probe"]));
    gantry(&format!("image render {NAME} rendered")).ok();
    sandbox.shell("diff -r rootfs rendered/rootfs").ok();
    gantry(&format!("image export {NAME} exported.aci")).ok();
    sandbox.shell("cmp app.aci exported.aci; cmp app.aci.asc exported.aci.asc").ok();

    gantry(&format!("image bundle {} bundle", &id[..20])).ok();
    let config: Value =
        serde_json::from_slice(&fs::read(sandbox.path("bundle/config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["args"], json!(["/bin/probe"]));
    if containers() {
        let ended = gantry(&format!("run {NAME} -- cat /etc/motd"));
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "hello\n"), "{ended:?}");
        assert_eq!(gantry(&format!("run {id} -- exit 42")).code, 42);
        gantry(&format!("image bundle {NAME} motd -- cat /etc/motd")).ok();
        let line = "runc --root runc run --bundle motd gantry-motd-$$";
        assert_eq!(sandbox.shell(line).ok(), "hello");
    }
    assert_eq!(gantry(&format!("image rm {id}")).ok(), id);
    assert_eq!(gantry("image list").ok(), "");
}

/// Key, image, signature, registry, push. Gives the image ID.
fn author_publishes(sandbox: &Sandbox, server: &Server, online: &dyn Fn(&str) -> Ended) -> String {
    let gantry = |line: &str| sandbox.gantry(line.split_whitespace());
    let user = ["--user-id", "Example CI <ci@example.com>", "--expires", "2y"];
    let files = ["--secret", "key.asc", "--public", "key.pub.asc"];
    sandbox.gantry([&["key", "generate"][..], &user, &files].concat()).ok();
    rootfs(sandbox);
    let packed = gantry(&format!(
        "pack rootfs -o app.aci --name {NAME} --version 1.0.0 --label channel=beta --exec /bin/probe"
    ));
    let id = packed.stdout.trim_end().to_owned();
    assert_eq!(packed.stdout, format!("{id}\n"));
    assert!(id.starts_with("sha512-") && id.len() == 135, "{id}");
    gantry("sign app.aci --key key.asc").ok();
    gantry("verify app.aci --public key.pub.asc").ok();
    gantry("verify app.aci").refused(5);

    server.add_key(sandbox, "example.com/team", "key.pub.asc");
    let data = server.data().display().to_string();
    let token = gantry(&format!(
        "registry token create --data {data} --prefix example.com/team --allow push --expires 90d"
    ));
    sandbox.write("token", token.ok());
    let pushed = online("push app.aci --token-file token").ok();
    assert_eq!(pushed.lines().next(), Some(id.as_str()));
    let page = server.get("example.com", "/team/hello");
    assert!(page.status == 200 && page.text().contains(&id), "{page:?}");
    id
}

#[test]
fn whole_journey_with_a_connect_override() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox, &["example.com"]);
    server.configure(&sandbox);
    whole_journey(&sandbox, &server, "");
}

#[test]
fn whole_journey_with_a_mirror_in_the_names_place() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox, &["example.com"]);
    let config = format!(
        "[[override]]\nprefix = \"example.com\"\nurl = \"https://localhost:{}\"\n",
        server.address().port()
    );
    let config = sandbox.write("mirror.toml", config).display().to_string();
    let options = format!("--config {config} --ca-file {}", server.ca_file().display());
    whole_journey(&sandbox, &server, &options);
    // Its own certificate is checked, not the name's.
    let ended = sandbox.gantry(["--config", &config, "fetch", NAME]).refused(7);
    assert!(ended.stderr.contains("--ca-file"), "{ended:?}");
}

#[test]
fn longest_override_counts_and_a_registry_can_be_named_for_one_push() {
    let world = World::new(&["example.com"]);
    let id = world.image("hello", NAME, "1.0.0", "--noarch");
    let port = world.server.address().port();
    // Nobody listens on port 9.
    let config = format!(
        "[[override]]\nprefix = \"example.com\"\nconnect = \"127.0.0.1:9\"\n\
         [[override]]\nprefix = \"example.com/team\"\nurl = \"https://localhost:{port}\"\n"
    );
    world.sandbox.write("two.toml", config);
    world.sandbox.write("one.toml", "");
    let ca = format!("--ca-file {}", world.server.ca_file().display());
    let registry = format!("--registry https://localhost:{port} --token-file token");
    let pushed = world.gantry(&format!("--config one.toml {ca} push hello.aci {registry}")).ok();
    assert_eq!(pushed.lines().next(), Some(id.as_str()));
    let options = format!("--config two.toml {ca}");
    assert_eq!(world.gantry(&format!("{options} fetch {NAME}")).ok(), id);
    world.gantry(&format!("{options} fetch example.com/teams/hello")).refused(7);
}

#[test]
fn latest_versions_labels_and_platforms_are_found() {
    let world = World::new(&["example.com"]);
    let publish = |version: &str, more: &str| {
        let file = format!("{version}{}", more.replace([' ', '='], ""));
        let id = world.image(&file, NAME, version, more);
        world.push(&file).ok();
        id
    };
    let fetch = |reference: &str| world.gantry(&format!("fetch {reference}"));
    let nine = publish("1.9.0", "--noarch");
    assert_eq!(fetch(NAME).ok(), nine);
    let ten = publish("1.10.0", "--noarch");
    let candidate = publish("2.0.0-rc.1", "--noarch");
    let beta = publish("1.11.0", "--noarch --label channel=beta");
    let eight = publish("1.8.0", "--noarch");
    // The newest release, however it was pushed; the plainest where labels say nothing.
    assert_eq!(fetch(&format!("{NAME}:1.9.0")).ok(), nine);
    assert_eq!(fetch(&format!("{NAME}:1.8.0")).ok(), eight);
    assert_eq!(fetch(&format!("{NAME}:2.0.0-rc.1")).ok(), candidate);
    assert_eq!(fetch(&format!("{NAME},channel=beta")).ok(), beta);
    assert_eq!(fetch(&format!("{NAME},version=1.10.0")).ok(), ten);
    fetch(&format!("{NAME}:3.0.0")).refused(4);
    // What has other labels is another image: also what runs anywhere, where one for a platform
    // was asked for by name.
    for (other, label) in [
        (":1.9.0,channel=beta", "channel"),
        (",channel=stable", "channel"),
        (":1.9.0,os=linux,arch=ppc64le", "os"),
    ] {
        let ended = fetch(&format!("{NAME}{other}")).refused(5);
        assert!(ended.stderr.contains(&format!("another label \"{label}\"")), "{ended:?}");
    }
    // What is in the store is chosen as the registry chooses.
    world.gantry(&format!("image rm {beta}")).ok();
    assert_eq!(fetch(NAME).ok(), beta);
    world.gantry(&format!("image rm {beta}")).ok();
    let shown = world.json(&format!("image show {NAME}"));
    assert_eq!(shown["imageId"], ten.as_str(), "a release before its successor's candidate");

    // For this machine, unless it is asked otherwise.
    let foreign = if cfg!(target_arch = "x86_64") { "aarch64" } else { "amd64" };
    let platforms = "example.com/team/platforms";
    let other = format!("--label os=linux --label arch={foreign}");
    let here = world.image("here", platforms, "1", "");
    let there = world.image("there", platforms, "1", &other);
    world.push("here").ok();
    world.push("there").ok();
    assert_eq!(fetch(platforms).ok(), here);
    assert_eq!(fetch(&format!("{platforms}:1,arch={foreign}")).ok(), there);
    assert_eq!(world.json(&format!("image show {platforms}"))["imageId"], here.as_str());
}

#[test]
fn registry_for_two_domains_keeps_them_apart() {
    let world = World::new(&["example.com", "example.org"]);
    let com = world.image("com", "example.com/hello", "1.0.0", "--noarch");
    let org = world.image("org", "example.org/hello", "1.0.0", "--noarch");
    world.gantry("push org.aci --token-file token").refused(6);
    world.gantry("push com.aci --token-file token-example.org").refused(6);
    world.gantry("fetch example.org/hello").refused(4);
    world.push("com").ok();
    world.gantry("push org.aci --token-file token-example.org").ok();
    assert_eq!(world.gantry("fetch example.com/hello").ok(), com);
    assert_eq!(world.gantry("fetch example.org/hello").ok(), org);
    for (host, own, other) in [("example.com", &com, &org), ("example.org", &org, &com)] {
        let page = world.server.get(host, "/hello").text();
        assert!(page.contains(own.as_str()) && !page.contains(other.as_str()), "{host}");
        let home = world.server.get(host, "/").text();
        assert!(home.contains(&format!("{host}/hello")), "{host}");
    }
    // A third domain is nobody's here.
    world.image("net", "example.net/hello", "1.0.0", "--noarch");
    let registry = format!("--registry https://localhost:{}", world.server.address().port());
    world.gantry(&format!("push net.aci --token-file token {registry}")).refused(6);
}

#[test]
fn push_is_repeatable_and_never_replaces() {
    let world = World::new(&["example.com"]);
    let first = world.image("first", NAME, "1.0.0", "--noarch");
    let ended = world.push("first");
    assert!(ended.stderr.contains("pushed"), "{ended:?}");
    ended.ok();
    let again = world.push("first");
    assert!(again.stderr.contains("there already"), "{again:?}");
    assert_eq!(again.ok().lines().next(), Some(first.as_str()));

    // Other bytes under the same name, version and labels.
    world.sandbox.write("second/etc/other", "other\n");
    let second = world.image("second", NAME, "1.0.0", "--noarch");
    assert_ne!(first, second);
    let conflict = world.push("second").refused(6);
    for word in [first.as_str(), second.as_str(), "version"] {
        assert!(conflict.stderr.contains(word), "{word}: {conflict:?}");
    }
    assert_eq!(world.gantry(&format!("fetch {NAME}:1.0.0")).ok(), first);
    assert_eq!(world.server.get("example.com", &format!("/-/blobs/{second}.aci")).status, 404);
    // A label more, and it is another image.
    world.image("labelled", NAME, "1.0.0", "--noarch --label channel=beta");
    world.push("labelled").ok();
    // The same archive compressed differently is the same image: what is published stays.
    let line = format!(
        "pack first -o plain.aci --name {NAME} --version 1.0.0 --noarch --compression none"
    );
    assert_eq!(world.gantry(&line).ok(), first);
    world.gantry("sign plain.aci --key author.key").ok();
    world.push("plain").ok();
    let served = world.server.get("example.com", &format!("/-/blobs/{first}.aci"));
    assert!(served.body == fs::read(world.sandbox.path("first.aci")).unwrap());
}

#[test]
fn tokens_are_shown_once_and_good_for_their_prefix_and_time() {
    let mut world = World::new(&["example.com"]);
    world.image("hello", NAME, "1.0.0", "--noarch");
    let data = world.server.data();
    let create = |prefix: &str, more: &str| {
        let line =
            format!("registry token create --data data --prefix {prefix} --allow push {more}");
        let ended = world.gantry(&line);
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
        let token = ended.stdout.trim_end().to_owned();
        assert!(!ended.stderr.contains(&token), "{ended:?}");
        world.sandbox.write("new-token", format!("{token}\n"));
        token
    };
    let push = || world.gantry("push hello.aci --token-file new-token");

    let other = create("example.com/tea", "");
    let refused = push().refused(6);
    assert!(refused.stderr.contains("example.com/tea"), "{refused:?}");
    let token = create("example.com/team", "--expires 1h");
    push().ok();
    world.server.terminate();
    assert!(world.server.ended().success());
    for token in [&other, &token] {
        for file in support::files(&data) {
            let bytes = fs::read(&file).unwrap();
            let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
            assert!(!found, "{file:?} holds a token");
        }
    }
    let listed = world.json("registry token list --data data");
    let listed_text = world.gantry("registry token list --data data").ok();
    assert!(!listed_text.contains(&token) && !listed.to_string().contains(&token));
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3, "{listed}");
}

#[test]
fn tokens_end_when_revoked_or_expired_or_wrong() {
    let world = World::new(&["example.com"]);
    world.image("hello", NAME, "1.0.0", "--noarch");
    let create = |more: &str| {
        let made = world.json(&format!(
            "registry token create --data data --prefix example.com --allow push {more}"
        ));
        world.sandbox.write("new-token", made["token"].as_str().unwrap());
        made["id"].as_str().unwrap().to_owned()
    };
    let push = || world.gantry("push hello.aci --token-file new-token");
    let id = create("");
    push().ok();
    world.gantry(&format!("registry token revoke --data data {id}")).ok();
    push().refused(6);
    world.gantry(&format!("registry token revoke --data data {id}")).refused(2);
    world.gantry("registry token revoke --data data 00000000").refused(2);

    create("--expires 1s");
    let deadline = Instant::now() + Duration::from_secs(20);
    while push().code != 6 {
        assert!(Instant::now() < deadline, "it does not expire");
    }
    assert!(push().stderr.contains("expired"));
    for wrong in ["nonsense", "gantry_0000000000000000", "ä"] {
        world.sandbox.write("new-token", wrong);
        let ended = push();
        assert!([3, 6].contains(&ended.code) && !ended.stderr.contains(wrong), "{ended:?}");
    }
    world.sandbox.write("new-token", "");
    assert_eq!(push().code, 3);
}

#[test]
fn registry_that_is_away_is_told_as_the_networks_fault() {
    let mut world = World::new(&["example.com"]);
    world.image("hello", NAME, "1.0.0", "--noarch");
    world.push("hello").ok();
    world.server.kill();
    for line in [
        format!("fetch {NAME}"),
        format!("discover {NAME}"),
        "trust add --prefix example.com/team --yes".to_owned(),
        "push hello.aci --token-file token".to_owned(),
    ] {
        let ended = world.gantry(&line).refused(7);
        assert!(ended.stderr.contains("example.com"), "{line}: {ended:?}");
        assert_eq!(ended.stdout, "", "{line}");
    }
    // It listens, and never says a word of TLS.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap();
    let closing = std::thread::spawn(move || drop(mute.accept().unwrap()));
    let config = format!("[[override]]\nprefix = \"example.com\"\nconnect = \"{address}\"\n");
    world.sandbox.write("mute.toml", config);
    world.gantry(&format!("--config mute.toml fetch {NAME}")).refused(7);
    closing.join().unwrap();
    world.server.restart(&world.sandbox);
    world.server.configure(&world.sandbox);
    world.gantry(&format!("fetch {NAME}")).ok();
}

#[test]
fn absent_things_and_bad_usage_have_their_own_exit_codes() {
    let world = World::new(&["example.com"]);
    world.image("hello", NAME, "1.0.0", "--noarch");
    world.push("hello").ok();
    let fingerprint = "0123456789abcdef0123456789abcdef01234567";
    for line in [
        "image rm example.com/nothing".to_owned(),
        "image rm sha512-0123456789abcdef".to_owned(),
        format!("trust remove {fingerprint}"),
        format!("trust remove --prefix example.com {fingerprint}"),
    ] {
        assert_eq!(world.gantry(&line).code, 2, "{line}");
    }
    for line in [
        "fetch example.com/nothing",
        "fetch example.com/team/hello:9.9.9",
        "fetch ./nothing.aci",
        "verify nothing.aci",
        "inspect nothing.aci",
        "sign nothing.aci --key author.key",
        "sign hello.aci --key nothing.key -o new.asc",
        "key show nothing.pub",
        "pack nothing -o nothing.aci --name example.com/nothing",
        "push nothing.aci --token-file token",
        "push hello.aci --token-file nothing",
        "registry keys add --data data --prefix example.com nothing.pub",
        "image show example.com/nothing",
        "image render example.com/nothing out",
        "run example.com/nothing",
    ] {
        let ended = world.gantry(line);
        assert_eq!(ended.code, 4, "{line}: {ended:?}");
        assert!(ended.stderr.contains("nothing") || ended.stderr.contains("9.9.9"), "{ended:?}");
        assert_eq!(ended.stdout, "", "{line}");
    }
    for line in [
        "",
        "nonsense",
        "--nonsense",
        "fetch",
        "fetch Example.com/Hello",
        "fetch example.com/hello:1:2",
        "fetch example.com/hello,version",
        "image",
        "image rm",
        "image show",
        "image list extra",
        "pack",
        "pack hello -o new.aci",
        "pack hello --name example.com/hello",
        "pack hello -o new.aci --name Example.com/hello",
        "pack hello -o new.aci --name example.com/hello --label nonsense",
        "pack hello -o new.aci --name example.com/hello --label a=1 --label a=2",
        "pack hello -o new.aci --name example.com/hello --compression rar",
        "pack hello -o new.aci --name example.com/hello --owner root",
        "pack hello -o new.aci --name example.com/hello --label os=linux --label arch=nonsense",
        "key generate --user-id x --secret same --public same",
        "key generate --user-id x --secret a --public b --algorithm dsa",
        "key generate --user-id x --secret a --public b --expires tomorrow",
        "sign hello.aci",
        "verify",
        "trust add",
        "trust add --prefix example.com --root author.pub",
        "trust add --prefix example.com --fingerprint 12 author.pub",
        "trust remove nonsense",
        "push hello.aci",
        "push hello.aci --token-file token --registry nonsense",
        "registry",
        "registry serve --data data",
        "registry serve --data data --domain https://example.com",
        "registry serve --data data --domain example.com --listen nonsense",
        "registry serve --data data --domain example.com --tls-cert only",
        "registry token create --data data --prefix example.com --allow everything",
        "registry token create --data data --prefix example.com",
        "registry token revoke --data data nonsense",
        "run",
        "run example.com/team/hello --net everywhere",
        "run example.com/team/hello --runtime docker",
    ] {
        let ended = world.gantry(line);
        assert_eq!(ended.code, 3, "gantry {line}: {ended:?}");
        assert!(!ended.stderr.trim().is_empty() && ended.stdout.is_empty(), "{line}: {ended:?}");
    }
    for path in ["new.aci", "new.asc", "same", "a", "b", "nothing.aci", "out"] {
        assert!(!world.sandbox.path(path).exists(), "{path} was written");
    }
    for line in ["--help", "help", "help fetch", "fetch --help", "image rm --help", "--version"] {
        let ended = world.gantry(line);
        assert!(ended.code == 0 && !ended.stdout.is_empty(), "{line}: {ended:?}");
    }
}

/// A command, and what its JSON document must have, as JSON pointers.
type Documented = (&'static str, &'static [&'static str]);

const DOCUMENTED: &[Documented] = &[
    (
        "key generate --user-id x --secret j.key --public j.pub",
        &["/fingerprint", "/userId", "/algorithm", "/expires", "/locked", "/secret", "/public"],
    ),
    (
        "key show j.pub",
        &[
            "/keys/0/fingerprint",
            "/keys/0/userIds/0",
            "/keys/0/created",
            "/keys/0/expires",
            "/keys/0/revoked",
        ],
    ),
    (
        "pack hello -o j.aci --name example.com/team/json --version 1 --noarch",
        &[
            "/imageId",
            "/file",
            "/fileDigest",
            "/fileBytes",
            "/tarBytes",
            "/compression",
            "/name",
            "/labels/0/name",
            "/labels/0/value",
            "/leftOut/ignored",
            "/leftOut/sockets",
            "/warnings",
        ],
    ),
    (
        "inspect j.aci",
        &[
            "/imageId",
            "/name",
            "/labels",
            "/compression",
            "/fileDigest",
            "/fileBytes",
            "/tarBytes",
            "/entries",
            "/manifest/acKind",
        ],
    ),
    ("sign j.aci --key author.key", &["/signature", "/fingerprint", "/signingKey", "/userId"]),
    (
        "verify j.aci",
        &[
            "/imageId",
            "/name",
            "/labels",
            "/fileDigest",
            "/signer",
            "/signingKey",
            "/userId",
            "/signed",
            "/trustedFor/0/prefix",
            "/warnings",
        ],
    ),
    (
        "registry keys add --data data --prefix example.com/json j.pub",
        &[
            "/added/0/fingerprint",
            "/added/0/userIds/0",
            "/added/0/prefix",
            "/added/0/path",
            "/added/0/new",
        ],
    ),
    ("registry keys list --data data", &["/keys/0/fingerprint", "/keys/0/userIds", "/keys/0/path"]),
    (
        "registry token create --data data --prefix example.com --allow push",
        &["/token", "/id", "/prefixes/0", "/allow/0", "/created", "/expires"],
    ),
    (
        "registry token list --data data",
        &[
            "/tokens/0/id",
            "/tokens/0/prefixes/0",
            "/tokens/0/allow/0",
            "/tokens/0/created",
            "/tokens/0/expires",
        ],
    ),
    (
        "push j.aci --token-file token",
        &[
            "/pushed/imageId",
            "/pushed/name",
            "/pushed/labels",
            "/pushed/fileDigest",
            "/pushed/fileBytes",
            "/pushed/signer",
            "/pushed/created",
            "/page",
        ],
    ),
    (
        "discover example.com/team/json",
        &[
            "/reference",
            "/images/page",
            "/images/found/0/image",
            "/images/found/0/signature",
            "/keys/found/0/url",
            "/keys/found/0/prefix",
        ],
    ),
    (
        "trust add --prefix example.com/json j.pub",
        &[
            "/added/0/fingerprint",
            "/added/0/prefix",
            "/added/0/userIds/0",
            "/added/0/path",
            "/added/0/new",
        ],
    ),
    ("trust list", &["/0/fingerprint", "/0/prefix", "/0/userIds", "/0/path", "/0/masked"]),
    (
        "fetch example.com/team/json",
        &[
            "/imageId",
            "/new",
            "/record/name",
            "/record/labels",
            "/record/signer",
            "/record/signedAt",
            "/record/importedAt",
            "/record/origin/kind",
            "/warnings",
        ],
    ),
    ("image list", &["/0/imageId", "/0/name", "/0/labels", "/0/signer"]),
    (
        "image show example.com/team/json",
        &["/imageId", "/name", "/fileDigest", "/fileBytes", "/tarBytes", "/origin/url"],
    ),
    ("image verify --all", &["/good/0/imageId", "/good/0/signer", "/bad"]),
    ("image manifest example.com/team/json", &["/acKind", "/name"]),
    ("image render example.com/team/json j-rendered", &["/imageId", "/folder"]),
    ("image extract example.com/team/json j-extracted", &["/imageId", "/folder"]),
    (
        "image bundle example.com/team/json j-bundle --exec /bin/x",
        &["/imageId", "/folder", "/program", "/notes"],
    ),
    ("image export example.com/team/json j-out.aci", &["/imageId", "/file", "/signature"]),
    ("image rm example.com/team/json", &["/removed/0"]),
];

#[test]
fn json_has_the_documented_fields() {
    let world = World::new(&["example.com"]);
    world.sandbox.write("hello/bin/x", "");
    world.sandbox.shell("chmod +x hello/bin/x").ok();
    for (line, fields) in DOCUMENTED {
        let document = world.json(line);
        for field in *fields {
            assert!(document.pointer(field).is_some(), "{line}: no {field} in {document}");
        }
    }
    let token = world.json("registry token list --data data");
    let id = token.pointer("/tokens/0/id").unwrap().as_str().unwrap();
    world.json(&format!("registry token revoke --data data {id}"));
    let keys = world.json("key show j.pub");
    let fingerprint = keys.pointer("/keys/0/fingerprint").unwrap().as_str().unwrap();
    let shown = world.json(&format!("trust show {fingerprint}"));
    assert!(shown.pointer("/entries/0/path").is_some(), "{shown}");
    assert_eq!(
        world.json(&format!("trust remove {fingerprint}"))["removed"],
        json!(["example.com/json"])
    );

    // Errors are JSON too, one line on stderr; nothing is on stdout.
    for (line, code) in [
        ("fetch example.com/nothing", 4),
        ("image rm example.com/nothing", 2),
        ("verify nothing.aci", 4),
        ("push j.aci --token-file nothing", 4),
        ("pack hello -o j.aci --name example.com/x", 1),
        ("trust add --prefix example.com", 5),
    ] {
        let ended = world.gantry(&format!("--json --quiet {line}"));
        let document: Value = serde_json::from_str(&ended.stderr)
            .unwrap_or_else(|error| panic!("{line}: {error}: {ended:?}"));
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{line}");
        assert_eq!(document["exitCode"], code, "{line}");
        for field in ["code", "message"] {
            let text = document["error"][field].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "{line}: {document}");
        }
    }
}

#[test]
fn server_says_its_address_as_json_and_refuses_a_second_one() {
    let sandbox = Sandbox::new();
    let serve = "--json registry serve --data data --listen 127.0.0.1:0 --domain example.com";
    let mut first = Running::start(&sandbox, serve.split(' '));
    let ready: Value = serde_json::from_str(&first.first_line()).unwrap();
    let url = ready["url"].as_str().unwrap();
    assert_eq!(url, format!("https://{}", ready["address"].as_str().unwrap()));
    let ca_file = ready["caFile"].as_str().unwrap();
    assert!(fs::read_to_string(sandbox.path(ca_file)).unwrap().contains("BEGIN CERTIFICATE"));
    let key = sandbox.path("data/tls/ca-key.pem");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o077, 0);

    let second = sandbox.gantry(serve.split(' ').skip(1));
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains("another registry is running"), "{second:?}");
    assert_eq!(second.stdout, "");
    assert!(!first.has_ended());
    // The address is taken too, for a registry on other data.
    let address = ready["address"].as_str().unwrap();
    let third = format!("registry serve --data other --listen {address} --domain example.com");
    let third = sandbox.gantry(third.split(' '));
    assert_eq!(third.code, 1, "{third:?}");
    assert!(third.stderr.contains(address), "{third:?}");
    first.kill();
    // What the dead one held is free.
    let mut again = Running::start(&sandbox, serve.split(' '));
    assert!(again.first_line().contains("https://"));
}

#[test]
fn fetches_at_the_same_time_share_one_store() {
    let world = World::new(&["example.com"]);
    world.sandbox.write("hello/blob", vec![7; 4 << 20]);
    let id = world.image("hello", NAME, "1.0.0", "--noarch --compression none");
    world.push("hello").ok();
    for _ in 0..3 {
        let fetches: Vec<_> =
            (0..6).map(|_| Running::start(&world.sandbox, ["--json", "fetch", NAME])).collect();
        let mut new = 0;
        for fetch in fetches {
            let fetched: Value = serde_json::from_str(&fetch.wait().ok()).unwrap();
            assert_eq!(fetched["imageId"], id.as_str());
            new += usize::from(fetched["new"] == true);
        }
        assert_eq!(new, 1, "one of them brought it");
        assert_eq!(world.gantry("image list").ok().lines().count(), 1);
        world.gantry("image verify --all").ok();
        assert_eq!(support::files(&world.sandbox.path("store/staging")), Vec::<PathBuf>::new());
        world.gantry(&format!("image rm {id}")).ok();
    }
}

#[test]
fn pushes_at_the_same_time_publish_one_image() {
    let world = World::new(&["example.com"]);
    let push = |file: &str| {
        let file = format!("{file}.aci");
        Running::start(&world.sandbox, ["--json", "push", &file, "--token-file", "token"])
    };
    // The same image: all are told that it is there, one that it was the one.
    let same = world.image("same", NAME, "1.0.0", "--noarch");
    let pushes: Vec<_> = (0..5).map(|_| push("same")).collect();
    let ended = pushes.into_iter().map(|push| serde_json::from_str(&push.wait().ok()).unwrap());
    let created = ended.filter(|said: &Value| said["pushed"]["created"] == true).count();
    assert_eq!(created, 1);
    assert_eq!(world.gantry(&format!("fetch {NAME}:1.0.0")).ok(), same);
    // Several that want one version: one has it, the others are refused.
    let files: Vec<String> = (0..5).map(|at| format!("other-{at}")).collect();
    let ids: Vec<_> = files
        .iter()
        .map(|file| {
            world.sandbox.write(&format!("{file}/etc/own"), file);
            world.image(file, NAME, "2.0.0", "--noarch")
        })
        .collect();
    let pushes: Vec<_> = files.iter().map(|file| push(file)).collect();
    let codes: Vec<_> = pushes.into_iter().map(|push| push.wait().code).collect();
    let winner = codes.iter().position(|code| *code == 0).unwrap();
    assert!(
        codes.iter().enumerate().all(|(at, code)| *code == if at == winner { 0 } else { 6 }),
        "{codes:?}"
    );
    assert_eq!(world.gantry(&format!("fetch {NAME}:2.0.0")).ok(), ids[winner]);
    assert_eq!(support::files(&world.server.data().join("blobs")).len(), 4);
}

#[test]
fn server_told_to_stop_finishes_the_push_that_is_under_way() {
    let mut world = World::new(&["example.com"]);
    let id = {
        let noise = (0_u32..8 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
        world.sandbox.write("big/noise", noise.collect::<Vec<_>>());
        world.image("big", NAME, "1.0.0", "--noarch --compression none")
    };
    let total = fs::metadata(world.sandbox.path("big.aci")).unwrap().len();
    let mut push = slow_push(&world);
    let deadline = Instant::now() + Duration::from_secs(60);
    while world.server.arrived() < total / 8 {
        assert!(Instant::now() < deadline && !push.has_ended(), "nothing arrives");
        std::thread::sleep(Duration::from_millis(1));
    }
    world.server.terminate();
    assert!(world.server.arrived() < total, "it was done before the server was told");
    let said = push.wait();
    assert_eq!(said.stdout, "201", "{said:?}");
    assert!(world.server.ended().success());
    assert!(world.server.log().contains("stopping"), "{}", world.server.log());
    world.server.restart(&world.sandbox);
    world.server.configure(&world.sandbox);
    assert_eq!(world.gantry(&format!("fetch {NAME}")).ok(), id);
}

/// Pushes `big.aci` at a few megabytes a second, with curl.
fn slow_push(world: &World) -> Running {
    let token = fs::read_to_string(world.sandbox.path("token")).unwrap();
    let signature = fs::read_to_string(world.sandbox.path("big.aci.asc")).unwrap();
    let body = world.sandbox.write("upload.json", json!({ "signature": signature }).to_string());
    let base = format!("https://localhost:{}", world.server.address().port());
    let ca = world.server.ca_file();
    let header = world.sandbox.write("header", format!("Authorization: Bearer {token}"));
    let curl = |more: &[&str]| {
        let mut command = world.sandbox.command("curl");
        command.args(["--silent", "--show-error", "--cacert"]).arg(&ca);
        command.args(["--header", &format!("@{}", header.display())]).args(more);
        command
    };
    let data = format!("@{}", body.display());
    let json = "Content-Type: application/json";
    let created = curl(&["--header", json, "--data-binary", &data])
        .arg(format!("{base}/-/api/v1/uploads"))
        .output()
        .unwrap();
    let upload: Value = serde_json::from_str(&Ended::of(created).ok()).unwrap();
    let path = upload["path"].as_str().unwrap();
    let limited = ["--limit-rate", "4M", "--upload-file", "big.aci", "--output", "answer"];
    let mut put = curl(&limited);
    put.args(["--write-out", "%{http_code}"]).arg(format!("{base}{path}"));
    Running::of(put)
}
