//! rkt's command lines in the verbs of `gantry`. What there is no word for is left as it is, and
//! so refused.

/// One step of a scenario, as it is done here.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// The commands, one after another; the last one gives the answer.
    pub(crate) commands: Vec<Vec<String>>,
    /// rkt was told not to check signatures. Nothing is stored unverified here, so the images
    /// of such a step are signed by somebody who is trusted for all.
    pub(crate) signed: bool,
    /// rkt lists from the other end.
    pub(crate) backwards: bool,
}

/// A command line of rkt; `asked`, whether somebody is there to say which keys to trust.
pub(crate) fn translate(args: &[&str], asked: bool) -> Translated {
    let mut done = Translated::default();
    let (mut rest, mut insecure) = (Vec::new(), Vec::new());
    let mut keys_from_https = false;
    for arg in args {
        match arg.split_once('=') {
            Some(("--insecure-options", list)) => (done.signed, insecure) = given_up(list),
            None if *arg == "--trust-keys-from-https" => keys_from_https = true,
            None if *arg == "--debug" => {}
            _ => rest.push(*arg),
        }
    }
    match rest.split_first() {
        Some((&"fetch", args)) => {
            // A fetch never asks: whom to trust is a verb of its own.
            if asked || keys_from_https {
                let name = args.iter().find(|arg| !arg.starts_with('-')).unwrap();
                let prefix = name.split([':', ',']).next().unwrap();
                done.commands.push(trust(&["--prefix", prefix], keys_from_https));
            }
            done.commands.push(fetch(args));
        }
        Some((&"trust", args)) => done.commands.push(trust(args, keys_from_https)),
        Some((&"image", args)) => (done.commands, done.backwards) = image(args),
        Some((&"prepare", args)) => done.commands = prepare(args),
        _ => done.commands.push(words(rest)),
    }
    for command in &mut done.commands {
        command.splice(0..0, insecure.iter().cloned());
    }
    done
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// What `--insecure-options` gives up: whether signatures, and the options for the rest.
fn given_up(list: &str) -> (bool, Vec<String>) {
    let fetching = ["image", "tls", "http", "pubkey"];
    let named = list.split(',').flat_map(|word| match word {
        "all" | "all-fetch" => fetching.to_vec(),
        "all-run" => Vec::new(),
        other => vec![other],
    });
    let named: Vec<&str> = named.collect();
    let options = named.iter().filter_map(|word| match *word {
        "image" => None,
        "tls" => Some("--insecure-skip-tls-verify".to_owned()),
        "http" => Some("--insecure-allow-http".to_owned()),
        // In rkt it is keys over TLS that is not checked, and over http with both words.
        "pubkey" => named.contains(&"http").then(|| "--insecure-keys-over-http".to_owned()),
        other => Some(format!("--insecure-{other}")),
    });
    (named.contains(&"image"), options.collect())
}

fn fetch(args: &[&str]) -> Vec<String> {
    // rkt fetches one after another.
    let mut line = words(["fetch", "--parallel", "1"]);
    for arg in args {
        match arg.split_once('=') {
            // An image ID is always printed whole.
            None if *arg == "--full" => {}
            None if *arg == "--store-only" => line.extend(words(["--pull", "never"])),
            None if *arg == "--no-store" => line.extend(words(["--pull", "update"])),
            Some(("--pull-policy", policy)) => line.extend(words(["--pull", policy])),
            _ => line.push((*arg).to_owned()),
        }
    }
    line
}

fn trust(args: &[&str], keys_from_https: bool) -> Vec<String> {
    let mut line = words(["trust", "add"]);
    line.extend(keys_from_https.then(|| "--yes".to_owned()));
    for arg in args {
        line.extend(match *arg {
            "--skip-fingerprint-review" => words(["--yes"]),
            "--insecure-allow-http" => {
                words(["--insecure-allow-http", "--insecure-keys-over-http"])
            }
            other => words([other]),
        });
    }
    line
}

/// The command, and whether it lists from the other end.
fn image(args: &[&str]) -> (Vec<Vec<String>>, bool) {
    let mut line = words(["image"]);
    let (mut sort, mut descending) = ("importtime", false);
    for arg in args {
        match arg.split_once('=') {
            None if *arg == "cat-manifest" => line.push("manifest".to_owned()),
            // What is printed of an image is for its reader to choose, with --json.
            None if ["--no-legend", "--full"].contains(arg) => {}
            Some(("--format", _) | ("--pretty-print", "false")) => {}
            Some(("--fields", fields)) if fields.split(',').all(|it| FIELDS.contains(&it)) => {}
            Some(("--sort", by)) => sort = by,
            Some(("--order", "asc")) => {}
            Some(("--order", "desc")) => descending = true,
            _ => line.push((*arg).to_owned()),
        }
    }
    if args.first() == Some(&"render") {
        // rkt renders what is in the store.
        line.extend(words(["--pull", "never"]));
    }
    if args.first() != Some(&"list") {
        return (vec![line], false);
    }
    let by = match sort {
        "importtime" => "imported",
        "lastused" => "used",
        other => other,
    };
    line.extend(words(["--json", "--sort", by]));
    // Names come from a to z, and what is large or late comes first.
    (vec![line], descending == (by == "name"))
}

const FIELDS: [&str; 5] = ["id", "name", "size", "importtime", "lastused"];

/// A pod is made of images with names or IDs, so files are fetched before.
fn prepare(args: &[&str]) -> Vec<Vec<String>> {
    let (mut fetches, mut late) = (Vec::new(), Vec::new());
    let mut create = words(["pod", "create"]);
    let split = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
    let (options, arguments) = args.split_at(split);
    for arg in options {
        match arg.split_once('=') {
            Some(("--stage1-path", _)) => {}
            None if *arg == "--no-overlay" => {}
            Some(("--readonly-rootfs", "true")) => create.push("--read-only".to_owned()),
            Some(("--environment", variable)) => create.extend(words(["--env", variable])),
            // What is set for all apps goes before what is set for one.
            Some(("--set-env", variable)) => late.extend(words(["--env", variable])),
            None if !arg.starts_with(['-', '{']) => {
                let file = arg.strip_prefix("./").and_then(|file| file.strip_suffix(".aci"));
                if file.is_some() {
                    fetches.push(fetch(&[arg]));
                }
                create.push(file.map_or((*arg).to_owned(), |label| format!("{{id:{label}}}")));
            }
            _ => create.push((*arg).to_owned()),
        }
    }
    create.append(&mut late);
    // What ends the arguments of an app ends them all here.
    create.extend(words(arguments.iter().copied().filter(|arg| *arg != "---")));
    fetches.push(create);
    fetches
}
