//! What a command is given, and how it ends.

use super::support::{Caller, Scene, text};

#[test]
fn command_has_its_arguments_exactly() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let ended = scene.run(["busybox", "printf", "[%s]", "two,three", "a b", "line\nend", "", "ü"]);
        assert_eq!(ended.good(), "[two,three][a b][line\nend][][ü]", "{caller:?}");
        assert_eq!(ended.paths(), Vec::<String>::new(), "{caller:?}");
    }
}
