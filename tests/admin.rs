//! A registry that is looked after from afar: the same commands, by a server and a token.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use support::Ended;
use support::server::Server;
use support::world::World;

const PASSWORD: &str = "correct horse battery";

/// Somebody who looks after all of it (`root`), and somebody who looks after the team's part
/// (`team`).
struct Office(World);

impl Office {
    fn new() -> Self {
        let world = World::new(&["example.com"]);
        let office = Self(world);
        let all = "--allow admin --allow push --allow read --allow delete";
        for (who, grant) in [
            ("root", format!("--prefix example.com {all}")),
            ("team", "--prefix example.com/team --allow admin --allow push".to_owned()),
        ] {
            let made = office.here(&format!("token create {grant} --name {who}")).ok();
            office.0.sandbox.write(&format!("{who}.token"), made + "\n");
        }
        office.0.sandbox.write("password", PASSWORD);
        office
    }

    fn server(&self) -> &Server {
        &self.0.server
    }

    /// On the data directory.
    fn here(&self, line: &str) -> Ended {
        self.0.gantry(&format!("registry {line} --data {}", self.server().data().display()))
    }

    /// By the server, as one of the two.
    fn asks(&self, who: &str, line: &str) -> Ended {
        let with = format!("--registry https://example.com --token-file {who}.token");
        self.0.gantry(&format!("registry {line} {with}"))
    }

    /// The same is printed by both.
    #[track_caller]
    fn agree(&self, line: &str) -> Value {
        assert_eq!(self.asks("root", line).ok(), self.here(line).ok(), "{line}");
        let line = format!("{line} --json");
        let (asked, here) = (self.asks("root", &line).ok(), self.here(&line).ok());
        assert_eq!(asked, here, "{line}");
        serde_json::from_str(&asked).unwrap()
    }
}

#[test]
fn registry_is_looked_after_from_afar_as_on_its_data() {
    let office = Office::new();
    // A token that the team makes for itself pushes.
    let made = office.asks("team", "token create --prefix example.com/team --allow push --name ci");
    assert!(made.stderr.contains("it is shown this once"), "{made:?}");
    office.0.sandbox.write("ci.token", made.ok());
    office.0.image("hello", "example.com/team/hello", "1.0.0", "");
    office.0.gantry("push hello.aci --token-file ci.token").ok();
    let listed = office.agree("token list");
    let ci = listed["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "ci");
    let id = ci.unwrap()["id"].as_str().unwrap().to_owned();
    assert!(!ci.unwrap()["lastUsed"].is_null());
    let changed = office.asks("team", &format!("token rotate {id} --at-once")).ok();
    assert!(changed.starts_with("gantry_"), "{changed}");
    office.0.gantry("push hello.aci --token-file ci.token").refused(6);
    office.asks("team", &format!("token revoke {id}")).ok();
    office.asks("team", &format!("token revoke {id}")).refused(2);

    let add = "user add alice --prefix example.com/team --allow push --password-file password";
    assert_eq!(office.asks("team", add).ok(), "alice may push under example.com/team");
    office.asks("team", add).refused(6);
    office.asks("team", "user passwd alice --password-file password").ok();
    office.agree("user list");
    office.asks("team", "user remove alice").ok();
    office.asks("team", "user remove alice").refused(2);
    office.asks("team", "user passwd alice --password-file password").refused(2);

    let add = "oidc add ci --issuer https://ci.example.com --audience us --claim repository=team/* \
               --prefix example.com/team --allow push";
    office.asks("team", add).ok();
    office.agree("oidc list");
    office.asks("team", "oidc remove ci").ok();
    office.asks("team", "oidc remove ci").refused(2);

    let set = "policy set --prefix example.com/team/x --read token";
    assert_eq!(office.asks("team", set).ok(), "example.com/team/x  read=token");
    office.agree("policy list");
    office.asks("root", "policy remove --prefix example.com/team/x").ok();
    office.asks("root", "policy remove --prefix example.com/team/x").refused(2);

    office.0.key("bob");
    let added = office.asks("team", "keys add --prefix example.com/team bob.pub").ok();
    let (fingerprint, _) = added.split_once(" may sign for example.com/team").unwrap();
    assert_eq!(office.asks("root", "keys list").ok(), office.here("keys list").ok());
    let remove = format!("keys remove --prefix example.com/team {fingerprint}");
    office.asks("team", &remove).ok();
    office.asks("team", &remove).refused(2);
    office.here(&remove).refused(2);

    office.agree("usage");
    let tried = office.agree("retain --prefix example.com/team --keep-newest 1 --dry-run");
    assert_eq!(tried["stays"].as_array().unwrap().len(), 1);
    office.asks("root", "gc").ok();
    office.agree("gc --dry-run");
    office.agree("scrub --known");
    assert_eq!(office.asks("root", "scrub").code, 3);
    assert!(office.asks("root", "read-only on").ok().starts_with("read-only since "));
    office.agree("read-only show");
    office.0.gantry("push hello.aci --token-file token --retries 0").refused(7);
    assert_eq!(office.asks("root", "read-only off").ok(), "takes images in");

    office.agree("audit verify");
    office.agree("audit list --last 7");
    let log = office.asks("team", "audit list").ok();
    assert!(log.contains("  user-add  by token:") && log.contains(" from 127.0.0.1"), "{log}");
    // No secret is in the server's log, nor in the audit log.
    let said = office.server().log() + &office.here("audit list --json").ok();
    for secret in [PASSWORD, changed.trim()] {
        assert!(!said.contains(secret));
    }
}

#[test]
fn registry_is_named_once_and_asked_by_who_may() {
    let office = Office::new();
    let usage = |line: &str| assert_eq!(office.0.gantry(line).code, 3, "{line}");
    usage("registry token list");
    usage("registry token list --registry https://example.com --token-file root.token --data data");
    usage("registry token list --data data --token-file root.token");
    usage("registry token list --registry https://example.com");
    let ended = office.0.gantry("registry token list");
    assert!(ended.stderr.contains("--registry"), "{ended:?}");
    usage("registry audit verify --data data --noted zzz");
    office.0.gantry("registry token list --data dat").refused(1);
    assert!(!office.0.sandbox.path("dat").exists());
    office.asks("team", "gc --dry-run").refused(6);
    office.asks("team", "token create --prefix example.com --allow push").refused(6);
    let refused =
        office.0.gantry("registry user list --registry https://example.com --token-file token");
    assert!(refused.refused(6).stderr.contains("may not admin"));
    // What the variable says is no second word.
    let line = "GANTRY_DATA=data \"$GANTRY\" registry token list --registry https://example.com \
                --token-file root.token";
    office.0.sandbox.shell(line).ok();
}

#[test]
fn key_that_is_revoked_is_said_to_be() {
    let office = Office::new();
    let listed: Value =
        serde_json::from_str(&office.asks("root", "keys list --json").ok()).unwrap();
    let key = &listed["keys"][0];
    assert_eq!((&key["maySign"], &key["unusable"]), (&true.into(), &Value::Null));
    office.0.gantry("key revoke author.key --reason retired").ok();
    let public = office.0.gantry("key export author.key").ok();
    office.0.sandbox.write("revoked.pub", public);
    let said = office.here("keys add --prefix example.com revoked.pub").ok();
    assert!(said.contains("cannot sign, as it is revoked"), "{said}");
    let said = office.asks("root", "keys add --prefix example.com revoked.pub --json").ok();
    assert!(said.contains("\"unusable\":\"it is revoked"), "{said}");
    let said = office.here("keys list").ok();
    assert!(said.contains("cannot sign: it is revoked"), "{said}");
    let listed = office.asks("root", "keys list --json").ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["keys"][0]["maySign"], false);
}
