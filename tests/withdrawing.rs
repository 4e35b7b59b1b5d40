//! Taking images back, by the real commands: as their author, and as who may delete them.

mod support;

use support::Ended;
use support::world::World;

fn admin(world: &World, line: &str) -> String {
    world.gantry(&format!("registry {line} --data {}", world.server.data().display())).ok()
}

/// The registry refused, with these words.
#[track_caller]
fn says(ended: Ended, words: &str) {
    let ended = ended.refused(6);
    assert!(ended.stderr.contains(words), "{ended:#?}");
}

#[test]
fn image_is_withdrawn_by_its_author_and_stays_for_those_who_pinned_it() {
    let world = World::new(&["example.com"]);
    let older = world.image("older", "example.com/team/hello", "1.0.0", "");
    let newer = world.image("newer", "example.com/team/hello", "2.0.0", "");
    world.push("older").ok();
    world.push("newer").ok();
    let token = admin(&world, "token create --prefix example.com --allow yank");
    world.sandbox.write("yanker", token);

    // The token alone says nothing, nor does a key of somebody else.
    says(world.gantry("yank newer.aci --key author.key --token-file token"), "may not yank");
    world.key("stranger");
    world.gantry("yank newer.aci --key stranger.key --token-file yanker").refused(6);
    let said = world.json("yank newer.aci --key author.key --reason broken --token-file yanker");
    assert_eq!((&said["yanked"], &said["new"]), (&true.into(), &true.into()));
    assert_eq!(said["imageId"], newer.trim());
    let newest = || world.gantry("fetch --pull update example.com/team/hello").ok();
    assert_eq!(newest(), older);
    // Whether it comes, or is there and unchanged.
    for _ in 0..2 {
        let pinned = world.gantry("fetch --pull update example.com/team/hello:2.0.0");
        assert!(pinned.stderr.contains("its author withdrew this image on 20"), "{pinned:#?}");
        assert!(pinned.stderr.contains(": broken"), "{pinned:#?}");
        assert_eq!(pinned.ok(), newer);
    }
    assert!(world.server.get("example.com", "/team/hello").text().contains("broken"));

    let by_id = format!("--name example.com/team/hello --image-id {}", newer.trim());
    let back = world.json(&format!("yank {by_id} --key author.key --undo --token-file yanker"));
    assert_eq!(back["yanked"], false);
    let undone = world.gantry("fetch --pull update example.com/team/hello:2.0.0");
    assert!(!undone.stderr.contains("withdrew"), "{undone:#?}");
    assert_eq!(newest(), newer);
    let log = admin(&world, "audit list");
    assert!(log.contains("  yank  ") && log.contains("  unyank  "), "{log}");
}

#[test]
fn image_is_deleted_for_good_by_who_may() {
    let world = World::new(&["example.com"]);
    world.image("hello", "example.com/team/hello", "1.0.0", "");
    world.push("hello").ok();
    says(world.gantry("unpublish hello.aci --token-file token"), "may not delete");
    let token = admin(&world, "token create --prefix example.com --allow delete");
    world.sandbox.write("deleter", token);
    assert_eq!(world.json("unpublish hello.aci --token-file deleter")["deleted"], true);
    let again = world.gantry("unpublish hello.aci --token-file deleter").refused(2);
    assert!(again.stderr.contains("deleted"), "{again:#?}");
    let unknown = format!("--name example.com/team/hello --image-id sha512-{}", "0".repeat(128));
    world.gantry(&format!("unpublish {unknown} --token-file deleter")).refused(4);
    let token = admin(&world, "token create --prefix example.com --allow yank");
    world.sandbox.write("yanker", token);
    world.gantry(&format!("yank {unknown} --key author.key --token-file yanker")).refused(4);
    world.gantry("yank hello.aci --key author.key --token-file yanker").refused(4);
    world.sandbox.shell("mkfifo pipe.aci").ok();
    let pipe = world.gantry("unpublish pipe.aci --token-file deleter");
    assert!(pipe.stderr.contains("is no regular file"), "{pipe:#?}");
    world.gantry("fetch example.com/team/hello:1.0.0").refused(4);
    says(world.push("hello"), "deleted");
    let head = admin(&world, "audit verify");
    admin(&world, &format!("audit verify --noted {}", head.trim()));
}

#[test]
fn reason_of_the_registry_reaches_who_fetches() {
    let world = World::new(&["example.com"]);
    let registry = |line: &str| admin(&world, line);
    let token = "token create --prefix example.com --allow yank --allow delete";
    world.sandbox.write("all", registry(token));
    for name in ["deleted", "withdrawn", "private"] {
        world.image(name, &format!("example.com/{name}"), "1.0.0", "");
        world.push(name).ok();
    }
    for channel in ["beta", "stable"] {
        let more = format!("--noarch --label channel={channel}");
        world.image(channel, "example.com/several", "1.0.0", &more);
        world.push(channel).ok();
    }
    world.gantry("unpublish deleted.aci --token-file all").ok();
    world.gantry("yank withdrawn.aci --key author.key --token-file all").ok();
    registry("policy set --prefix example.com/private --read token");
    let path = "/-/images/example.com/private:1.0.0.aci";
    let start = std::time::Instant::now();
    while world.server.get("example.com", path).status != 401 {
        assert!(start.elapsed().as_secs() < 60, "{}", world.server.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    let administrator = "gantry registry token create";
    for (reference, code, all) in [
        ("deleted:1.0.0", 4, &["was deleted", "the server says: "][..]),
        ("withdrawn", 4, &["was withdrawn by its author", "ask for the version that you want"]),
        ("several:1.0.0", 4, &["names several images", "name the labels that tell them apart"]),
        ("private", 6, &["no token, user or password", "auth.d", "--auth-file", administrator]),
    ] {
        let line = format!("fetch example.com/{reference}");
        let ended = world.gantry(&line).refused(code);
        for words in all {
            assert!(ended.stderr.contains(words), "{words}: {ended:#?}");
        }
        let explained = world.gantry(&line.replace("fetch", "explain"));
        assert_eq!(explained.code, code, "{explained:#?}");
        for words in all {
            assert!(explained.stdout.contains(words), "{words}: {explained:#?}");
        }
    }
}
