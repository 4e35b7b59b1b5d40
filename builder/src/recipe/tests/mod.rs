mod bad;
mod lock;
mod schema;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::overrides::Rule;
use crate::step::Network;

/// A recipe with every key but those that exclude another one.
const FULL: &str = include_str!("full.toml");

const NAME: &str = "name = \"example.com/a\"\n";

/// The worked example of the documentation.
fn worked_example() -> &'static str {
    let page = include_str!("../../../../docs/recipes.md");
    page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
}

/// What is below a good name.
const GOOD: &[&str] = &[
    "",
    "step = []\noutput = []\n[app]\n[labels]",
    "[base]\naci = \"../base.aci\"",
    "[base]\ntar = \"rootfs.tar.gz\"\ndigest = \"sha256-0000000000000000000000000000000000000000000000000000000000000000\"",
    "[base]\ndirectory = \".\"\nowner = \"keep\"",
    "[base]\nimage = \"a:,b=\"",
    "[[step]]\nremove = \"#a\"",
    "[[step]]\nremove = \"\\\\!a\"",
    "[[step]]\nchange = [\"/\"]\nmode = \"0\"",
    "[[step]]\ncopy = \"..\"\nto = \"/\"",
    "[[step]]\ndirectory = \"/\"",
    "[[step]]\nfile = \"/.hidden/..a\"\ncontent = \"\"",
    "[[output]]\nplatform = \"machine\"\n[[output]]\nfile = \"second.aci\"",
];

fn recipe(rest: &str) -> Result<Recipe, RecipeError> {
    Recipe::parse(&format!("{NAME}{rest}"))
}

/// All good recipes, as texts.
fn good() -> impl Iterator<Item = String> {
    let short = GOOD.iter().map(|rest| format!("{NAME}{rest}"));
    [FULL, worked_example()].into_iter().map(str::to_owned).chain(short)
}

#[test]
fn recipe_that_is_good_is_read_and_fits_the_schema() {
    let schema = schema::Schema::of_recipes();
    for text in good() {
        if let Err(error) = Recipe::parse(&text) {
            panic!("{error}: {text}");
        }
        assert_eq!(schema.refuses(&toml::from_str(&text).unwrap()), None, "{text}");
    }
}

/// Tables whose keys are names of the author's own.
const FREE: [&str; 5] = ["labels", "annotations", "environment", "xattrs", "isolators"];

/// The pointers to all tables of which the keys are ours, in JSON.
fn tables(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.push(at.to_owned());
            for (key, inner) in object.iter().filter(|(key, _)| !FREE.contains(&key.as_str())) {
                tables(inner, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(list) => {
            let items = list.iter().enumerate();
            items.for_each(|(at_item, item)| tables(item, &format!("{at}/{at_item}"), found));
        }
        _ => {}
    }
}

#[test]
fn recipe_refuses_unknown_keys_by_name_and_so_does_the_schema() {
    let schema = schema::Schema::of_recipes();
    let full: Value = toml::from_str(FULL).unwrap();
    let mut pointers = Vec::new();
    tables(&full, "", &mut pointers);
    assert_eq!(pointers.len(), 25, "{pointers:?}");
    let mut expected = BTreeSet::new();
    for pointer in pointers {
        let mut value = full.clone();
        value.pointer_mut(&pointer).unwrap()["unknown-key"] = json!("x");
        assert!(schema.refuses(&value).is_some(), "{pointer}");
        let error = Recipe::parse(&toml::to_string(&value).unwrap()).unwrap_err();
        let mut quoted = error.message().split('`').skip(1).step_by(2);
        assert_eq!(quoted.next(), Some("unknown-key"), "{pointer}: {error}");
        assert!(error.key().ends_with("unknown-key"), "{pointer}: {error}");
        expected.extend(quoted.map(str::to_owned));
    }
    assert_eq!(expected, schema.keys(), "the keys of the types are those of the schema");
}

#[test]
fn recipe_tests_read_every_key() {
    fn collect(value: &Value, keys: &mut BTreeSet<String>) {
        if let Value::Object(object) = value {
            keys.extend(object.keys().cloned());
            object.values().for_each(|value| collect(value, keys));
        }
        value.as_array().into_iter().flatten().for_each(|value| collect(value, keys));
    }
    let mut keys = BTreeSet::new();
    good().for_each(|text| collect(&toml::from_str(&text).unwrap(), &mut keys));
    let unread: Vec<_> = schema::Schema::of_recipes().keys().difference(&keys).cloned().collect();
    assert_eq!(unread, Vec::<String>::new());
}

#[test]
fn documentation_names_every_key() {
    let page = include_str!("../../../../docs/recipes.md");
    for key in schema::Schema::of_recipes().keys() {
        let told = [format!("`{key}`"), format!("[{key}]"), format!("### {key}\n")];
        let told = told.iter().any(|told| page.contains(told));
        assert!(told, "{key}");
    }
}

#[test]
fn recipe_without_anything_has_defaults() {
    let recipe = recipe("").unwrap();
    assert_eq!(recipe.compression, Compression::Gzip);
    assert_eq!(recipe.outputs, [Output::default()]);
    assert_eq!((recipe.version, recipe.epoch, recipe.base), (None, None, None));
    assert!(recipe.steps.is_empty() && recipe.tests.is_empty() && recipe.app.is_none());
}

#[test]
fn recipe_reads_what_is_no_step() {
    let recipe = Recipe::parse(FULL).unwrap();
    assert_eq!(recipe.name.as_str(), "example.com/team/web");
    assert_eq!(recipe.epoch.map(Epoch::seconds), Some(1_700_000_000));
    assert_eq!(recipe.compression, Compression::Zstd);
    let Some(Base::Image { reference, id: Some(id) }) = &recipe.base else { panic!() };
    assert_eq!(reference.to_string(), "example.com/base:1.0.0,channel=stable");
    assert_eq!(id.digits(), "0".repeat(128));
    assert_eq!(recipe.sign.as_ref().map(|sign| sign.key.as_str()), Some("release@example.com"));
    let [run, shell] = &recipe.tests[..] else { panic!() };
    assert_eq!(run.command.arguments(), ["/usr/sbin/web", "--check"]);
    assert_eq!((run.exit, run.network, run.environment.len()), (3, Network::None, 1));
    assert_eq!(run.working_directory.as_ref().map(ImagePath::below_root), Some("srv"));
    assert_eq!(shell.command.arguments(), ["/bin/sh", "-e", "-c", "test -e /srv/www/index.html"]);
    assert_eq!((shell.exit, &shell.working_directory), (0, &None));
}

#[test]
fn base_is_one_of_four() {
    let base = |rest: &str| recipe(&format!("[base]\n{rest}")).unwrap().base.unwrap();
    let source = |text: &str| text.parse::<SourcePath>().unwrap();
    assert_eq!(base("aci = \"a\""), Base::Aci { file: source("a"), id: None });
    assert_eq!(base("tar = \"a\""), Base::Tar { file: source("a"), digest: None });
    let owner = SourceOwner::default();
    assert_eq!(base("directory = \"a\""), Base::Directory { path: source("a"), owner });
    assert_eq!(
        base("directory = \"a\"\nowner = \"keep\""),
        Base::Directory { path: source("a"), owner: SourceOwner::Keep }
    );
}

/// These bytes are in the keys of caches: where one changes, its form has to change, too.
#[test]
fn step_key_material_is_frozen() {
    let told: Vec<String> = Recipe::parse(FULL)
        .unwrap()
        .steps
        .iter()
        .map(|step| String::from_utf8(step.key_material()).unwrap())
        .collect();
    assert_eq!(
        told,
        [
            r#"{"form":1,"step":{"copy":{"sources":{"one":"site/"},"to":"/srv/www","owner":"33:33","mode":"0644","directory-mode":"0755","capabilities":"cap_net_bind_service+ep","xattrs":{"user.bytes":"0x00ff","user.note":"x"},"ignore":["*.log","!keep.log"]}}}"#,
            r#"{"form":1,"step":{"copy":{"sources":{"into":["../shared/a.conf","b.conf"]},"to":"/etc/web","owner":"keep","mode":null,"directory-mode":null,"capabilities":null,"xattrs":{},"ignore":[]}}}"#,
            r#"{"form":1,"step":{"run":{"command":{"run":["/bin/prog","an argument",""]},"environment":{"LANG":"C"},"working-directory":"/srv","network":true,"cache":["/var/cache/prog"],"secret":[{"id":"token","target":"/root/.token"},{"id":"Other_1","target":"/run/secrets/Other_1"}]}}}"#,
            r#"{"form":1,"step":{"run":{"command":{"shell":"make install && make clean"},"environment":{"DESTDIR":"/"},"working-directory":"/usr/src","network":false,"cache":["/root/.cache"],"secret":[{"id":"token","target":"/run/secrets/token"}]}}}"#,
            r#"{"form":1,"step":{"remove":["/var/log/*","*.pyc"]}}"#,
            r#"{"form":1,"step":{"change":{"patterns":["/usr/bin/prog"],"owner":"0:5","mode":"2755","capabilities":"cap_net_raw=ep","xattrs":{"user.note":"y"}}}}"#,
            r#"{"form":1,"step":{"directory":{"path":"/var/lib/web","owner":"33:33","mode":"0700","xattrs":{"user.note":"z"}}}}"#,
            r#"{"form":1,"step":{"file":{"path":"/etc/motd","content":"hello\n","owner":"1:1","mode":"0600","capabilities":"cap_chown+i","xattrs":{}}}}"#,
            r#"{"form":1,"step":{"link":{"path":"/usr/bin/web","target":"../sbin/web","owner":"2:2"}}}"#,
        ]
    );
}

#[test]
fn step_key_material_is_one_for_all_ways_of_writing() {
    let material =
        |rest: &str| recipe(&format!("[[step]]\n{rest}")).unwrap().steps[0].key_material();
    for (short, long) in [
        ("shell = \"a\"", "network = false\nshell = \"a\"\nworking-directory = \"/\"\ncache = []"),
        ("directory = \"/a\"", "directory = \"/a\"\nmode = \"755\"\nowner = \"0:0\""),
        ("remove = \"/a\"", "remove = [\"/a\"]"),
        (
            "run = [\"a\"]\nenvironment = { A = \"1\", B = \"2\" }",
            "environment.B = \"2\"\nenvironment.A = \"1\"\nrun = [\"a\"]",
        ),
    ] {
        assert_eq!(material(short), material(long), "{long}");
    }
    let copies = ["copy = \"a\"\nto = \"/b\"", "copy = [\"a\"]\nto = \"/b\""];
    assert_ne!(material(copies[0]), material(copies[1]), "one is a file, one a folder");
}

#[test]
fn copy_says_where_each_source_goes() {
    let targets = |rest: &str| -> Vec<String> {
        let recipe = recipe(&format!("[[step]]\n{rest}")).unwrap();
        let Step::Copy(copy) = &recipe.steps[0] else { panic!() };
        copy.sources.targets(&copy.to).map(|(_, target)| target.to_string()).collect()
    };
    assert_eq!(targets("copy = \"../a/\"\nto = \"/b\""), ["/b"]);
    assert_eq!(targets("copy = [\"../a/\", \"b/c\"]\nto = \"/d\""), ["/d/a", "/d/c"]);
    assert_eq!(targets("copy = [\"a\"]\nto = \"/\""), ["/a"]);
}

#[test]
fn change_is_as_many_rules() {
    let text = "[[step]]\nchange = [\"/a=b\", \"c\"]\nowner = \"1:2\"\nmode = \"4755\"\n\
                capabilities = \"cap_chown=p\"\nxattrs = { \"user.x\" = \"y=z\" }";
    let recipe = recipe(text).unwrap();
    let Step::Change(change) = &recipe.steps[0] else { panic!() };
    let told: Vec<_> = change.rules().unwrap().iter().map(Rule::to_string).collect();
    let of = |pattern: &str| {
        [
            format!("--owner-map path {pattern} 1:2"),
            format!("--mode {pattern}=4755"),
            format!("--cap {pattern}=cap_chown=p"),
            format!("--xattr {pattern}:user.x=y=z"),
        ]
    };
    assert_eq!(told, [of("/a=b"), of("c")].concat());
}

#[test]
fn recipe_is_edits_in_canonical_order() {
    let recipe = Recipe::parse(FULL).unwrap();
    let mut manifest = br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/old",
        "dependencies":[{"imageName":"example.com/lib","labels":[{"name":"version","value":"1"}]}]}"#
        .to_vec();
    let edits = [recipe.edits(), recipe.outputs[0].edits(("linux", "aarch64"))].concat();
    for edit in edits {
        manifest = edit.apply(&manifest).unwrap();
    }
    let named = |name: &str, value: Value| json!({ "name": name, "value": value });
    let all: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(all["name"], "example.com/team/web");
    assert_eq!(
        all["labels"],
        json!([
            named("version", json!("1.0.0")),
            named("channel", json!("stable")),
            named("os", json!("linux")),
            named("arch", json!("amd64")),
            named("libc", json!("gnu")),
        ])
    );
    assert_eq!(all["annotations"][0], named("created", json!("2023-11-14T22:13:20Z")));
    let version = |value: &str| json!([named("version", json!(value))]);
    let dependencies = &all["dependencies"];
    assert_eq!(dependencies.as_array().map(Vec::len), Some(2), "the base's is replaced");
    assert_eq!(
        (&dependencies[0]["labels"], &dependencies[0]["size"]),
        (&version("2"), &json!(4096))
    );
    assert_eq!(dependencies[1]["labels"], version("3"));
    let app = json!({
        "user": "www-data",
        "group": "33",
        "exec": ["/usr/sbin/web", "-f"],
        "supplementaryGIDs": [4, 5],
        "workingDirectory": "/srv/www",
        "environment": [named("LANG", json!("C")), named("PATH", json!("/usr/bin:/bin"))],
        "mountPoints": [{ "name": "data", "path": "/var/lib/web", "readOnly": true }],
        "ports": [{
            "name": "http", "protocol": "tcp", "port": 8000, "count": 2, "socketActivated": true
        }],
        "isolators": [
            named("os/linux/capabilities-retain-set", json!({ "set": ["CAP_NET_BIND_SERVICE"] })),
            named("os/linux/no-new-privileges", json!(true)),
            named("resource/memory", json!({ "limit": "1G" })),
        ],
        "eventHandlers": [
            { "name": "pre-start", "exec": ["/usr/bin/prepare"] },
            { "name": "post-stop", "exec": ["/usr/bin/sweep", "--all"] },
        ],
    });
    assert_eq!(all["app"], app);
}

#[test]
fn output_is_for_a_platform_and_has_a_file() {
    let machine = ("linux", "aarch64");
    let recipe = Recipe::parse(FULL).unwrap();
    let name = |output: &Output| output.file_name(&recipe.name, recipe.version.as_ref(), machine);
    let names: Vec<_> = recipe.outputs.iter().map(name).collect();
    assert_eq!(names, ["web-1.0.0-linux-amd64.aci", "web-1.0.0.aci"]);
    assert_eq!(Output::default().edits(machine).len(), 2);
    assert_eq!(recipe.outputs[1].edits(machine), []);
    let climbs: Version = "../../x".parse().unwrap();
    let name = Output::default().file_name(&recipe.name, Some(&climbs), machine);
    assert_eq!(name, "web-.._.._x-linux-aarch64.aci");
}

#[test]
fn remove_takes_patterns_of_gitignore() {
    let pattern = |text: &str| text.parse::<PathPattern>().unwrap();
    assert!(pattern("/var/log/*").matches(b"var/log/a", false));
    assert!(!pattern("/var/log/*").matches(b"srv/var/log/a", false));
    assert!(pattern("*.pyc").matches(b"usr/lib/a.pyc", false));
    assert!(pattern("\\!a").matches(b"!a", false));
    assert!(pattern("cache/").matches(b"a/cache", true));
    assert!(!pattern("cache/").matches(b"a/cache", false));
}

#[test]
fn copy_leaves_out_by_its_own_patterns() {
    let recipe = Recipe::parse(FULL).unwrap();
    let Step::Copy(copy) = &recipe.steps[0] else { panic!() };
    let mut wanted = crate::Ignore::default();
    wanted.add("*.log").unwrap();
    wanted.add("!keep.log").unwrap();
    assert_eq!(copy.ignored(), wanted);
}

proptest::proptest! {
    #[test]
    fn recipe_of_any_text_is_read_or_refused(text in "(name|step|run|copy|[a-z=\"\\[\\]{}\\.,'\n é]){0,40}") {
        if let Err(error) = Recipe::parse(&text) {
            let lines: Vec<&str> = text.split('\n').collect();
            proptest::prop_assert!(error.column() <= lines[error.line() - 1].chars().count() + 1);
        }
    }
}
