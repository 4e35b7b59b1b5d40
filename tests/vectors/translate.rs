//! rkt's command lines in the verbs of `gantry`.

/// One step of a scenario, as it is done here.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// The commands, one after another; the last one gives the answer.
    pub(crate) commands: Vec<Vec<String>>,
    /// rkt was told not to check signatures. Nothing is stored unverified here, so the images
    /// of such a step are signed by somebody who is trusted for all.
    pub(crate) signed: bool,
}

/// The command line of rkt, its placeholders filled in; `None` where there is no such verb.
pub(crate) fn translate(args: &[String]) -> Option<Translated> {
    let mut done = Translated::default();
    let mut rest = Vec::new();
    let mut insecure = Vec::new();
    let mut keys_from_https = false;
    for arg in args {
        if let Some(list) = arg.strip_prefix("--insecure-options=") {
            let words: Vec<&str> = list.split(',').collect();
            done.signed |= words.iter().any(|word| ["image", "all", "all-fetch"].contains(word));
            for word in words {
                match word {
                    "tls" => insecure.push("--insecure-skip-tls-verify".to_owned()),
                    "http" => insecure.push("--insecure-allow-http".to_owned()),
                    "image" | "all" | "all-fetch" | "all-run" => {}
                    other => insecure.push(format!("--insecure-{other}")),
                }
            }
        } else if arg == "--trust-keys-from-https" {
            keys_from_https = true;
        } else if arg != "--debug" {
            rest.push(arg.as_str());
        }
    }
    let (verb, rest) = rest.split_first()?;
    let line = match *verb {
        "fetch" => {
            if keys_from_https && let Some(name) = rest.iter().find(|arg| !arg.starts_with('-')) {
                let prefix = name.split(':').next().unwrap_or_default();
                done.commands.push(words(["trust", "add", "--yes", "--prefix", prefix]));
            }
            fetch(rest)?
        }
        "trust" => trust(rest, keys_from_https),
        "image" => image(rest)?,
        "prepare" => prepare(rest)?,
        _ => return None,
    };
    done.commands.push(line);
    for command in &mut done.commands {
        command.extend(insecure.clone());
    }
    Some(done)
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn fetch(args: &[&str]) -> Option<Vec<String>> {
    let mut line = words(["fetch"]);
    for arg in args {
        match arg.split_once('=') {
            // An image ID is always printed whole.
            _ if *arg == "--full" => {}
            Some(("--pull-policy", policy)) => line.extend(words(["--pull", policy])),
            // The old names of policies were old in rkt already.
            _ if ["--store-only", "--no-store"].contains(arg) => return None,
            _ => line.push((*arg).to_owned()),
        }
    }
    Some(line)
}

fn trust(args: &[&str], keys_from_https: bool) -> Vec<String> {
    let mut line = words(["trust", "add"]);
    if keys_from_https {
        line.push("--yes".to_owned());
    }
    for arg in args {
        line.push(match *arg {
            "--skip-fingerprint-review" => "--yes".to_owned(),
            other => other.to_owned(),
        });
    }
    line
}

fn image(args: &[&str]) -> Option<Vec<String>> {
    let (verb, rest) = args.split_first()?;
    let mut line = words(["image"]);
    line.push(if *verb == "cat-manifest" { "manifest" } else { verb }.to_owned());
    for arg in rest {
        match *arg {
            // What columns are printed is a question for `--json` here.
            "--no-legend" | "--full" | "--format=json" | "--format=json-pretty" => {}
            "--pretty-print=false" => {}
            other if other.starts_with("--fields=") => {
                let known = ["id", "name", "size", "importtime", "lastused"];
                let fields = other.trim_start_matches("--fields=");
                if fields.split(',').any(|field| !known.contains(&field)) {
                    return None;
                }
            }
            other => line.push(other.to_owned()),
        }
    }
    if *verb == "list" {
        line.push("--json".to_owned());
    }
    Some(line)
}

fn prepare(args: &[&str]) -> Option<Vec<String>> {
    let mut line = words(["pod", "create"]);
    for arg in args {
        if !arg.starts_with("--stage1-path=") && *arg != "--no-overlay" {
            line.push((*arg).to_owned());
        }
    }
    Some(line)
}
