//! Who may do what, as an administrator says it with the real commands and a client finds it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::server::Server;
use support::{Ended, Sandbox};

const PASSWORD: &str = "correct horse battery";

/// A registry whose names under example.com/team are not for everybody, with an image of
/// example.com/team/hello in it.
struct World {
    sandbox: Sandbox,
    server: Server,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let server = Server::start(&sandbox, &["example.com"]);
        server.configure(&sandbox);
        let world = Self { sandbox, server };
        world
            .gantry("key generate --user-id team@example.com --secret key.asc --public key.pub.asc")
            .ok();
        world.server.add_key(&world.sandbox, "example.com/team", "key.pub.asc");
        world.gantry("trust add --prefix example.com/team key.pub.asc").ok();
        world.admin("policy set --prefix example.com/team --read token").ok();
        let token = world.server.token(&world.sandbox, "example.com/team");
        world.sandbox.write("token", format!("{token}\n"));
        world.sandbox.write("rootfs/etc/motd", "hello\n");
        let pack = "pack rootfs -o hello.aci --name example.com/team/hello --version 1.0.0";
        world.gantry(pack).ok();
        world.gantry("sign hello.aci --key key.asc").ok();
        world.gantry("push hello.aci --token-file token").ok();
        world
    }

    fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    /// A command of the registry's administrator.
    fn admin(&self, line: &str) -> Ended {
        self.gantry(&format!("registry {line} --data {}", self.server.data().display()))
    }

    /// The only credentials from now on.
    fn credentials(&self, kind: &str, secret: &str) {
        let path = self.sandbox.write(
            "home/.config/gantry/auth.d/a.json",
            format!(
                r#"{{"rktKind": "auth", "rktVersion": "v1", "domains": ["example.com"],
                    "type": "{kind}", "credentials": {secret}}}"#
            ),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn token(&self, text: &str) {
        self.credentials("oauth", &format!(r#"{{"token": "{text}"}}"#));
    }

    /// Until a change of policies is taken up.
    fn becomes(&self, what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", self.server.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn image_that_is_not_for_everybody_is_fetched_with_credentials() {
    let world = World::new();
    let fetch = || world.gantry("fetch example.com/team/hello");
    let path = "/-/images/example.com/team/hello:1.0.0.aci";
    assert_eq!(world.server.get("example.com", path).status, 401);
    let refused = fetch();
    assert_ne!(refused.code, 0);
    // One that may push may not read.
    world.token(fs::read_to_string(world.sandbox.path("token")).unwrap().trim());
    assert_ne!(fetch().code, 0);
    let made =
        world.admin("token create --prefix example.com/team --allow read --name reader").ok();
    world.token(&made);
    let id = fetch().ok();
    assert!(id.starts_with("sha512-"), "{id}");
    // Its secret is changed, and the one it had ends at once.
    let listed = world.admin("token list --json").ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let tokens = listed["tokens"].as_array().unwrap();
    let reader = tokens.iter().find(|token| token["name"] == "reader").unwrap();
    let rotate = format!("token rotate {} --at-once", reader["id"].as_str().unwrap());
    let changed = world.admin(&rotate).ok();
    assert_ne!(fetch().code, 0);
    world.token(&changed);
    assert_eq!(fetch().ok(), id);
    // A user, whose password comes over stdin.
    let add = format!(
        "printf '{PASSWORD}\\n' | \"$GANTRY\" registry user add alice --allow read \
         --prefix example.com/team --data {}",
        world.server.data().display()
    );
    let gantry = format!("GANTRY='{}'; ", support::GANTRY);
    world.sandbox.shell(&format!("{gantry}{add}")).ok();
    world.credentials("basic", &format!(r#"{{"user": "alice", "password": "{PASSWORD}"}}"#));
    assert_eq!(fetch().ok(), id);
    world.admin("user remove alice").ok();
    assert_ne!(fetch().code, 0);
    // And everybody again.
    fs::remove_file(world.sandbox.path("home/.config/gantry/auth.d/a.json")).unwrap();
    world.admin("policy remove --prefix example.com/team").ok();
    world.becomes(|| world.server.get("example.com", path).status == 200);
    assert_eq!(fetch().ok(), id);
}

#[test]
fn commands_say_what_is_not_there() {
    let world = World::new();
    for line in [
        "token revoke 00000000",
        "token rotate 00000000",
        "user remove nobody",
        "policy remove --prefix example.com/absent",
    ] {
        world.admin(line).refused(2);
    }
    world.sandbox.write("password", PASSWORD);
    world.admin("user passwd nobody --password-file password").refused(2);
    let add = "user add bob --prefix example.com --allow read --password-file password";
    assert_eq!(world.admin(add).ok(), "bob may read under example.com");
    assert!(world.admin(add).refused(6).stderr.contains("already"));
    world.sandbox.write("short", "short");
    let usage = |line: &str| assert_eq!(world.admin(line).code, 3, "{line}");
    usage("user passwd bob --password-file short");
    world.admin("user passwd bob --password-file password").ok();
    assert!(world.admin("user list").ok().starts_with("bob  example.com  read  "));
    usage("policy set --prefix example.com/x");
    usage("policy set --prefix example.com/x --read secret");
    usage(
        "oidc add ci --issuer http://ci.example.com --audience a --claim a=b --prefix example.com --allow push",
    );
    usage(
        "oidc add ci --issuer https://ci.example.com --audience a --prefix example.com --allow push",
    );
    world.admin("policy set --prefix example.com/x --overwrite allowed").ok();
    assert_eq!(
        world.admin("policy list").ok(),
        "example.com/team  read=token\nexample.com/x  overwrite=allowed"
    );
    usage("token create --prefix example.com --allow everything");
    let add = "oidc add ci --issuer https://ci.example.com --audience us --claim repository=team/* \
               --prefix example.com --allow push";
    let line = "ci  example.com  push  https://ci.example.com  aud=us  repository=team/*";
    assert_eq!(world.admin(add).ok(), line);
    assert_eq!(world.admin("oidc list").ok(), line);
    world.admin(add).refused(6);
    world.admin("oidc remove ci").ok();
    world.admin("oidc remove ci").refused(2);
}
