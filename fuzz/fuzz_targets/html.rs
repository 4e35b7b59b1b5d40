//! Any page gives its meta tags without a panic, and every one of them is ours.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The parser is private to its crate, so its file is compiled into this one.
#[path = "../../discovery/src/html.rs"]
mod html;

fuzz_target!(|page: &str| {
    for tag in html::meta_tags(page) {
        assert!(tag.name.starts_with("ac-"));
        assert!(!tag.prefix.contains(' '));
        assert!(!tag.value.is_empty() || page.contains("content"));
    }
});
