//! `gantry explain`: the decisions about an image, for and against it.

mod support;

use support::Ended;
use support::world::World;

const NAME: &str = "example.com/team/app";

#[test]
fn explain_says_yes_and_no_as_a_fetch_would() {
    let world = World::new(&["example.com"]);
    world.image("app", NAME, "1.0.0", "");
    world.push("app").ok();
    let fingerprint = world.json("key show author.pub");
    let fingerprint = fingerprint["keys"][0]["fingerprint"].as_str().unwrap().to_owned();
    // A name, a file and an image of the store: all in order.
    let by_name = world.gantry(&format!("explain {NAME}:1.0.0")).ok();
    for words in ["would be trusted", "an override sends requests", &fingerprint, "signatures of 1"]
    {
        assert!(by_name.contains(words), "{words}: {by_name}");
    }
    assert!(world.gantry("explain ./app.aci").ok().contains("would be trusted"));
    let id = world.gantry(&format!("fetch {NAME}")).ok();
    assert!(world.gantry(&format!("explain {id}")).ok().contains("would be trusted"));
    let value = world.json(&format!("explain {NAME}:1.0.0"));
    assert_eq!(value["trusted"], true);
    assert!(value["tree"]["steps"].as_array().unwrap().len() > 3);
    // Nobody is trusted any more: the same places say no, with the code of a fetch.
    world.gantry(&format!("trust remove {fingerprint}")).ok();
    for what in [format!("{NAME}:1.0.0"), "./app.aci".to_owned(), id] {
        let ended = world.gantry(&format!("explain {what}"));
        assert_eq!(ended.code, 5, "{ended:?}");
        assert!(ended.stdout.contains("would not be trusted"), "{ended:?}");
        assert!(ended.stdout.contains("no key is trusted"), "{ended:?}");
    }
    // Nothing was changed, and what is not there is not found.
    assert_eq!(world.gantry("image list").ok().lines().count(), 1);
    assert_eq!(world.gantry("explain example.com/team/nothing").code, 4);
    assert_eq!(world.gantry("explain ./nothing.aci").code, 4);
}

#[test]
fn refusal_prints_the_tree_in_short() {
    let world = World::new(&["example.com"]);
    world.image("app", NAME, "1.0.0", "");
    world.push("app").ok();
    let reference = format!("{NAME}:1.0.0");
    let id = world.gantry(&format!("fetch {reference}")).ok();
    let keys = world.json("key show author.pub");
    let fingerprint = keys["keys"][0]["fingerprint"].as_str().unwrap().to_owned();
    world.gantry(&format!("trust remove {fingerprint}")).ok();

    let refused = world.gantry(&format!("fetch {reference}")).refused(5);
    let tree = tree(&refused);
    let words = ["would not be trusted", "an override sends", "endpoint(s)", "no key is trusted"];
    for words in words.into_iter().chain([&*fingerprint, "rule: "]) {
        assert!(tree.iter().any(|line| line.contains(words)), "{words}: {refused:?}");
    }
    assert!(tree.len() < 10, "{refused:?}");
    // What explain says of the same, word for word.
    let whole = world.gantry(&format!("explain {reference}")).stdout;
    let word_for_word = tree.iter().filter(|line| whole.contains(&line[line.find(' ').unwrap()..]));
    assert!(word_for_word.count() >= 6, "{whole}\n{refused:?}");
    // Others that refuse for the same reason, and programs.
    for line in ["verify app.aci", "fetch ./app.aci", &format!("fetch {id}")] {
        let refused = world.gantry(line).refused(5);
        let tree = self::tree(&refused);
        assert!(tree[0].contains("would not be trusted"), "{refused:?}");
        assert!(tree.iter().any(|line| line.contains(&fingerprint)), "{refused:?}");
    }
    let refused = world.gantry(&format!("--json fetch {reference}"));
    let value = refused.stderr.lines().last().unwrap();
    let value: serde_json::Value = serde_json::from_str(value).unwrap();
    assert_eq!(value["tree"]["outcome"], "no", "{value}");
    assert_eq!(
        value["tree"]["steps"].as_array().unwrap().len(),
        tree.len() - 2,
        "{value} {tree:?}"
    );
    // What is no matter of trust has none.
    let missing = world.gantry(&format!("--json fetch {NAME}:2.0.0"));
    assert!(!missing.stderr.contains("\"tree\""), "{missing:?}");
}

/// The lines that follow the refusal, without what draws them.
fn tree(refused: &Ended) -> Vec<String> {
    let lines = refused.stderr.lines().skip_while(|line| !line.trim().starts_with("next:")).skip(1);
    lines.map(|line| line.trim_start_matches(['├', '│', '└', '─', ' ']).to_owned()).collect()
}
