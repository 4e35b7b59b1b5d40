use super::*;
#[test]
fn a() {
    let _ = Recipe::parse("");
}
