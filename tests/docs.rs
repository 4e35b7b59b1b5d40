//! The documents say nothing that is not so: every `gantry …` command they quote exists with the
//! options they give it, and every relative link leads somewhere.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Sandbox;
use support::server::Server;
use support::world::World;

#[test]
fn documents_quote_only_commands_that_exist() {
    let mut help = Help::default();
    let mut wrong = Vec::new();
    let mut quoted = 0;
    for document in documents() {
        for (line, command) in commands(&read(&document)) {
            quoted += 1;
            if let Err(reason) = help.check(&command) {
                wrong.push(format!("{}:{line}: `{command}`: {reason}", shown(&document)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(quoted > 20, "only {quoted} commands were found, so the search for them is broken");
}

#[test]
fn documents_have_no_dead_relative_links() {
    let mut dead = Vec::new();
    let mut links = 0;
    for document in documents() {
        for (line, target) in relative_links(&read(&document)) {
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() {
                document.clone()
            } else {
                document.parent().expect("a document has a folder").join(path)
            };
            let leads_somewhere = file.exists()
                && (anchor.is_empty() || anchors(&read(&file)).contains(&anchor.into()));
            if !leads_somewhere {
                dead.push(format!("{}:{line}: {target}", shown(&document)));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
    assert!(links > 5, "only {links} links were found, so the search for them is broken");
}

/// Its seventh section, line by line as it is written, on a registry whose data is in `registry`.
#[test]
fn getting_started_cheats_as_it_says() {
    let document = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/getting-started.md"));
    let section = document.split("\n## ").find(|section| section.starts_with("7. "));
    let section = section.expect("there is a seventh section");
    let lines: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");

    let sandbox = Sandbox::new();
    let server = Server::start_in(&sandbox, "registry", &["example.com"]);
    server.configure(&sandbox);
    let token = server.token(&sandbox, "example.com");
    sandbox.write("token", token + "\n");
    let world = World { server, sandbox };
    world.key("author");
    world.allow("author", "example.com/team");
    world.sandbox.write("hello/noise", vec![7; 300_000]);
    world.image("hello", "example.com/team/hello", "1.0.0", "--compression none");
    world.push("hello").ok();

    let folder = Path::new(support::GANTRY).parent().expect("a program has a folder");
    let path = format!("PATH={}:$PATH\n", folder.display());
    world.sandbox.shell(&format!("{path}{}\n{}", lines[0], lines[1])).ok();
    let fetched = world.sandbox.shell(&format!("{path}{}", lines[2])).refused(5);
    for line in fetched.stderr.lines().filter(|line| !line.contains("author@example.com")) {
        let begins = line.split(['(', ':']).next().unwrap_or_default();
        assert!(section.contains(begins), "{line}: {fetched:#?}");
    }
    assert!(fetched.stderr.contains("the signature does not match the image"), "{fetched:#?}");
    let listed = world.sandbox.shell(&format!("{path}{}", lines[3]));
    assert!(listed.code == 0 && listed.stderr.contains("no images"), "{listed:#?}");
}

#[test]
fn continuous_integration_examples_push_all_images_or_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["github.yml", "gitlab.yml"] {
        let text = read(&root.join("examples/ci").join(name));
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{name}: no {words}"));
        assert!(at("mkdir -p images") < at("--output-dir images"), "{name}");
        assert!(at("gantry push images/*.aci") > at("--output-dir images"), "{name}");
        let mut help = Help::default();
        for (line, command) in commands(&format!("```sh\n{}\n```\n", unlisted(&text))) {
            assert_eq!(help.check(&command), Ok(()), "{name}:{line}: {command}");
        }
    }
}

/// The text of a YAML file, its lists' and keys' marks left out before commands.
fn unlisted(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix("run: ").unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn commands_are_found_in_blocks_and_in_running_text() {
    let text = "Say `gantry image list`, or `make test`.\n\n```console\n$ GANTRY_TOKEN=x gantry push a.aci \\\n    --registry URL\npushed gantry\n$ gantry verify a | cat && gantry --json image list\n```\n\n```sh\ngantry key generate   # a key\n```\n";
    let found: Vec<String> = commands(text).into_iter().map(|(_, command)| command).collect();
    let wanted = [
        "gantry image list",
        "gantry push a.aci --registry URL",
        "gantry verify a",
        "gantry --json image list",
        "gantry key generate",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn commands_that_do_not_exist_are_noticed() {
    let mut help = Help::default();
    assert!(help.check("gantry fly").is_err());
    assert!(help.check("gantry --no-such-option").is_err());
    assert!(help.check("gantry --help").is_ok());
    assert!(help.check("gantry --store DIR fly").is_err());
}

#[test]
fn links_are_found_and_headings_become_anchors() {
    let text = "# Exit codes: `0` to 7\n[a](b.md#c) and ![i](i.png) [w](https://example.com/)\n";
    assert_eq!(relative_links(text), [(2, "b.md#c".to_owned()), (2, "i.png".to_owned())]);
    assert_eq!(anchors(text), ["exit-codes-0-to-7"]);
}

/// The documents a reader finds at the root and in `docs/`.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [root.to_path_buf(), root.join("docs")] {
        for entry in fs::read_dir(&folder).expect("the folder is readable") {
            let path = entry.expect("an entry is readable").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a document is readable")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display().to_string()
}

/// Every `gantry …` command of a document with the number of its line: in blocks of shell input,
/// in `console` blocks after `$`, and in code spans.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if let Some(info) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(info.trim().to_owned()) };
            continue;
        }
        match block.as_deref() {
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                found.extend(
                    spans
                        .filter(|span| span.starts_with("gantry "))
                        .map(|span| (number, span.to_owned())),
                );
            }
            Some(info) => {
                let input = match info {
                    "console" => line.trim_start().strip_prefix("$ "),
                    "sh" | "bash" => Some(line.trim_start()),
                    _ => None,
                };
                let Some(mut input) = input.map(str::to_owned) else { continue };
                while let Some(joined) = input.strip_suffix('\\') {
                    let next = lines.next().map_or("", |(_, next)| next.trim());
                    input = format!("{}{next}", joined.trim_end().to_owned() + " ");
                }
                found.extend(split_commands(&input).into_iter().map(|command| (number, command)));
            }
        }
    }
    found
}

/// The `gantry` commands of one line of shell input.
fn split_commands(input: &str) -> Vec<String> {
    let input = input.split(" #").next().unwrap_or_default();
    input
        .split(['|', ';', '&', '>', '<'])
        .filter_map(|part| {
            let mut words = part.split_whitespace().skip_while(|word| {
                word.split_once('=').is_some_and(|(variable, _)| {
                    variable.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                }) || *word == "sudo"
                    || word.starts_with("--user=")
            });
            (words.next() == Some("gantry"))
                .then(|| ["gantry"].into_iter().chain(words).collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// The targets of a document's links that are paths, with the number of their line.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// The anchors that the headings of a document make.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What `--help` says, asked once for each command.
#[derive(Default)]
struct Help(BTreeMap<Vec<String>, String>);

impl Help {
    /// Whether every subcommand and option of a command exists.
    fn check(&mut self, command: &str) -> Result<(), String> {
        let mut path: Vec<String> = Vec::new();
        let mut words = command.split_whitespace().skip(1);
        let mut reached_arguments = false;
        while let Some(word) = words.next() {
            let help = self.of(&path);
            if word == "--" {
                break;
            }
            // `[--label k=v]…` is how a synopsis says that a word may be left out.
            let word = word.trim_matches(['[', ']', '…']);
            if word.starts_with('-') && word.len() > 1 {
                let option = word.split('=').next().unwrap_or(word);
                let line = option_line(&help, option)
                    .ok_or_else(|| format!("`gantry {}` has no {option}", path.join(" ")))?;
                if line.contains('<') && !word.contains('=') {
                    words.next();
                }
            } else if !reached_arguments && !word.is_empty() {
                match subcommands(&help) {
                    names if names.is_empty() => reached_arguments = true,
                    names if names.iter().any(|name| name == word) => path.push(word.to_owned()),
                    // `gantry COMMAND` stands for any of them.
                    _ if word.chars().all(|c| c.is_ascii_uppercase()) => return Ok(()),
                    _ => return Err(format!("there is no `gantry {} {word}`", path.join(" "))),
                }
            }
        }
        Ok(())
    }

    fn of(&mut self, path: &[String]) -> String {
        let ask = || {
            let output = Command::new(env!("CARGO_BIN_EXE_gantry"))
                .args(path)
                .arg("--help")
                .output()
                .expect("gantry can be started");
            assert!(output.status.success(), "gantry {} --help", path.join(" "));
            String::from_utf8(output.stdout).expect("help is text")
        };
        self.0.entry(path.to_vec()).or_insert_with(ask).clone()
    }
}

/// The line of a help text that describes an option.
fn option_line<'a>(help: &'a str, option: &str) -> Option<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '-';
    help.lines().filter(|line| line.trim_start().starts_with('-')).find(|line| {
        line.split_whitespace()
            .take_while(|word| word.starts_with('-') || word.starts_with('<'))
            .any(|word| word.trim_end_matches(|c| !is_word(c)) == option)
    })
}

/// The names under "Commands:" of a help text.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}
