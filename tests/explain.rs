//! `gantry explain`: the decisions about an image, for and against it.

mod support;

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
