//! The arrows of the house: who may import whom, and what stands in one place only.
//!
//! ```text
//! aci  ←  keys  ←  discovery  ←  builder  ←  gantry
//! aci  ←  web   ←  registry              ←  gantry
//!         keys  ←  registry
//! ```
//!
//! Read from every crate's `Cargo.toml` and from its sources, so that an import against an arrow
//! fails here and not in a review.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every crate of the workspace and what it may import of the workspace. `gantry` is the root.
const ARROWS: &[(&str, &[&str])] = &[
    ("aci", &[]),
    ("keys", &["aci"]),
    ("web", &["aci"]),
    ("discovery", &["aci", "keys"]),
    ("builder", &["aci", "keys", "discovery"]),
    ("registry", &["aci", "keys", "web"]),
    ("gantry", &["aci", "keys", "web", "discovery", "builder", "registry"]),
];

/// Dependencies that only these crates may name outside their dev-dependencies.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    // The format and the keys are synchronous and know no network.
    ("tokio", &["discovery", "registry", "gantry"]),
    // The registry asks the issuers of jobs' ID tokens for their keys, and nobody else.
    ("reqwest", &["discovery", "registry"]),
    ("axum", &["registry"]),
    ("clap", &["gantry"]),
    ("anyhow", &["keys", "gantry"]),
    ("sqlx", &["registry"]),
    ("sequoia-openpgp", &["keys"]),
    ("html5ever", &["discovery"]),
    // SPDX demands SHA-1 of every file; nothing may rest on it.
    ("sha1", &["builder"]),
    // Decompressing outside bytes is bounded in one place.
    ("flate2", &["aci"]),
    ("libdeflater", &["aci"]),
    ("bzip2", &["aci"]),
    ("liblzma", &["aci"]),
    ("zstd", &["aci"]),
    // The crate is an oracle for tests; images are read and written by aci's own code.
    ("tar", &[]),
];

/// Paths that only sources below one of these places may name, in tests too unless exempt.
const PLACES: &[Place] = &[
    Place {
        path: "sqlx",
        only: &["registry/src/catalog/", "registry/src/catalog.rs"],
        // Some set up what no request can.
        tests: Tests::Exempt,
    },
    Place { path: "sequoia_openpgp", only: &["keys/"], tests: Tests::Bound },
    Place { path: "html5ever", only: &["discovery/src/html.rs"], tests: Tests::Bound },
    Place { path: "tar", only: &["aci/src/archive/"], tests: Tests::Exempt },
];

struct Place {
    path: &'static str,
    only: &'static [&'static str],
    tests: Tests,
}

#[derive(PartialEq)]
enum Tests {
    Bound,
    Exempt,
}

/// A source outside tests may have this many lines.
const LONGEST_FILE: usize = 600;

#[test]
fn arrows_hold() {
    let found = violations(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn arrows_catch_a_dependency_against_them() {
    let house = House::new();
    house.write("aci/Cargo.toml", "[dependencies]\nkeys.workspace = true\n");
    house.only_violation("aci/Cargo.toml: aci may not depend on keys");
}

#[test]
fn arrows_catch_a_circle_through_dev_dependencies() {
    let house = House::new();
    house.write(
        "registry/Cargo.toml",
        "[dev-dependencies]\ndiscovery = { path = \"../discovery\" }\n",
    );
    house.only_violation("registry/Cargo.toml: registry may not depend on discovery");
}

#[test]
fn arrows_catch_a_renamed_dependency() {
    let house = House::new();
    house.write("web/Cargo.toml", "[dependencies]\ndb = { package = \"sqlx\", version = \"1\" }\n");
    house.only_violation("web/Cargo.toml: web may not depend on sqlx");
}

#[test]
fn arrows_catch_a_use_against_them() {
    let house = House::new();
    house.write("discovery/src/push.rs", "//! Push.\n\nuse registry::{api, state};\n");
    house.only_violation("discovery/src/push.rs:3: discovery may not use registry");
}

#[test]
fn arrows_allow_a_module_that_has_the_name_of_a_crate() {
    let house = House::new();
    house.write(
        "web/src/lib.rs",
        "mod keys;\npub use keys::Listed;\nfn list() { keys::list(); crate::keys::list() }\n",
    );
    assert_eq!(violations(house.path()), Vec::<String>::new());
}

#[test]
fn arrows_catch_sql_outside_the_catalogue() {
    let house = House::new();
    house.write("registry/src/catalog/tokens.rs", "use sqlx::SqlitePool;\n");
    house.write("registry/src/api/push.rs", "fn rows() { let _ = sqlx::query(\"SELECT 1\"); }\n");
    house.only_violation("registry/src/api/push.rs:1: sqlx stands only in registry/src/catalog/");
}

#[test]
fn arrows_catch_openpgp_outside_keys() {
    let house = House::new();
    house.write("registry/src/ingest.rs", "use sequoia_openpgp as openpgp;\n");
    house.only_violation("registry/src/ingest.rs:1: sequoia_openpgp stands only in keys/");
}

#[test]
fn arrows_catch_html_parsing_outside_its_file() {
    let house = House::new();
    house.write("discovery/src/html.rs", "use html5ever::tokenizer;\n");
    house.write("discovery/src/resolve.rs", "use html5ever::tokenizer;\n");
    house.only_violation(
        "discovery/src/resolve.rs:1: html5ever stands only in discovery/src/html.rs",
    );
}

#[test]
fn arrows_catch_tar_outside_the_archive() {
    let house = House::new();
    house.write("aci/src/archive/read.rs", "use tar::Archive;\n");
    house.write(
        "keys/src/receive.rs",
        "// tar::Archive in a comment\n#[cfg(test)]\nmod tests {\n    use tar::Builder;\n}\n",
    );
    house.write("builder/src/pack.rs", "fn f() {}\nuse tar::Builder;\n");
    house.only_violation("builder/src/pack.rs:2: tar stands only in aci/src/archive/");
}

#[test]
fn arrows_catch_a_file_that_is_too_long() {
    let house = House::new();
    house.write("web/src/page.rs", &"//\n".repeat(LONGEST_FILE + 1));
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(700));
    house.write("web/src/home.rs", &tested);
    house.only_violation("web/src/page.rs: 601 lines outside tests, 600 at most");
}

#[test]
fn arrows_catch_a_crate_without_a_place() {
    let house = House::new();
    house.write("Cargo.toml", "[workspace]\nmembers = [\"aci\", \"extra\"]\n");
    house.write("extra/Cargo.toml", "");
    house.only_violation("Cargo.toml: the member extra has no place in tests/arrows.rs");
}

/// Everything in the workspace at `root` that runs against the arrows, one sentence each.
fn violations(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let workspace = manifest(root, "Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("the workspace has members");
    let mut crates = vec![("gantry", PathBuf::new())];
    for member in members.iter().map(|member| member.as_str().expect("a member is a path")) {
        if ARROWS.iter().any(|(name, _)| *name == member) {
            crates.push((member, PathBuf::from(member)));
        } else {
            found.push(format!("Cargo.toml: the member {member} has no place in tests/arrows.rs"));
        }
    }
    for (name, folder) in crates {
        check_dependencies(root, name, &folder, &mut found);
        // The tests at the root drive the finished program, and are nobody's import.
        for source in sources(&root.join(&folder).join("src")) {
            check_source(root, name, &source, &mut found);
        }
        if name != "gantry" {
            for source in sources(&root.join(&folder).join("tests")) {
                check_source(root, name, &source, &mut found);
            }
        }
    }
    found
}

fn check_dependencies(root: &Path, name: &str, folder: &Path, found: &mut Vec<String>) {
    let path = folder.join("Cargo.toml");
    let manifest = manifest(root, &path);
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else {
            continue;
        };
        for (key, value) in dependencies {
            let dependency =
                value.get("package").and_then(toml::Value::as_str).unwrap_or(key.as_str());
            let allowed = if ARROWS.iter().any(|(known, _)| *known == dependency) {
                allowed_crates(name).contains(&dependency)
            } else {
                section == "dev-dependencies"
                    || DEPENDENCIES
                        .iter()
                        .find(|(known, _)| *known == dependency)
                        .is_none_or(|(_, crates)| crates.contains(&name))
            };
            if !allowed {
                found.push(format!("{}: {name} may not depend on {dependency}", path.display()));
            }
        }
    }
}

fn check_source(root: &Path, name: &str, source: &Path, found: &mut Vec<String>) {
    let text = fs::read_to_string(source).expect("a source is readable");
    let shown =
        source.strip_prefix(root).expect("sources lie below the root").display().to_string();
    // A folder `tests/` and a file `tests.rs` are tests from the first line, others from the attribute on.
    let is_test = shown.contains("/tests/") || shown.ends_with("/tests.rs");
    let tests_from = if is_test {
        0
    } else {
        text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
    };
    if tests_from > LONGEST_FILE {
        found.push(format!("{shown}: {tests_from} lines outside tests, {LONGEST_FILE} at most"));
    }
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let at = format!("{shown}:{}", index + 1);
        for (other, _) in ARROWS.iter().filter(|(other, _)| *other != name && *other != "gantry") {
            let forbidden = imports(code, other) && !allowed_crates(name).contains(other);
            // A crate that is not depended on cannot be meant where a module has its name.
            if forbidden && !text.contains(&format!("mod {other};")) {
                found.push(format!("{at}: {name} may not use {other}"));
            }
        }
        for place in PLACES {
            let exempt = place.tests == Tests::Exempt && index >= tests_from;
            let inside = place.only.iter().any(|only| shown.starts_with(only));
            if names(code, place.path) && !inside && !exempt {
                found.push(format!("{at}: {} stands only in {}", place.path, place.only[0]));
            }
        }
    }
}

fn allowed_crates(name: &str) -> &'static [&'static str] {
    ARROWS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, allowed)| allowed)
}

/// Whether a line imports from the crate `name`. A bare `name::` may be a module of the same name.
fn imports(code: &str, name: &str) -> bool {
    let code = code.trim_start();
    let code = code.strip_prefix("pub ").or(code.strip_prefix("pub(crate) ")).unwrap_or(code);
    let Some(path) = code.strip_prefix("use ").or(code.strip_prefix("extern crate ")) else {
        return code.contains(&format!(" ::{name}::"));
    };
    let path = path.trim_start().trim_start_matches("::");
    path.strip_prefix(name).is_some_and(|rest| !rest.starts_with(is_word))
}

/// Whether a line of code says `name::…` or `use name`, as a path that starts there.
fn names(code: &str, name: &str) -> bool {
    imports(code, name)
        || code.match_indices(name).any(|(at, _)| {
            let (before, after) = (&code[..at], &code[at + name.len()..]);
            let continues_a_path =
                before.ends_with("::") && before.trim_end_matches("::").ends_with(is_word);
            after.starts_with("::") && !before.ends_with(is_word) && !continues_a_path
        })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn manifest(root: &Path, path: impl AsRef<Path>) -> toml::Table {
    let text = fs::read_to_string(root.join(path)).expect("a manifest is readable");
    text.parse().expect("a manifest is TOML")
}

/// The Rust sources below a folder, in order; none where there is no such folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.expect("an entry is readable").path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// A workspace in a temporary folder in which nothing runs against the arrows yet.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let house = Self(tempfile::tempdir().expect("a temporary folder"));
        house.write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"aci\", \"keys\", \"discovery\", \"builder\", \"web\", \"registry\"]\n",
        );
        for (name, allowed) in ARROWS.iter().filter(|(name, _)| *name != "gantry") {
            let dependencies: String =
                allowed.iter().map(|other| format!("{other}.workspace = true\n")).collect();
            house.write(&format!("{name}/Cargo.toml"), &format!("[dependencies]\n{dependencies}"));
            let uses: String =
                allowed.iter().map(|other| format!("use {other}::Thing;\n")).collect();
            house.write(&format!("{name}/src/thing.rs"), &uses);
        }
        house
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn only_violation(&self, wanted: &str) {
        assert_eq!(violations(self.path()), [wanted]);
    }
}
