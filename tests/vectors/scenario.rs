//! One scenario, step by step.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::fixture::{Fixture, key};
use super::site::{Asked, Site};
use super::support::{Ended, GANTRY, Sandbox, files};
use super::translate::{Translated, translate};

/// What came out otherwise than in rkt, in words; nothing where all is the same.
pub(crate) fn run(scenario: &Value) -> Vec<String> {
    let world = World::new(scenario);
    let mut otherwise = Vec::new();
    for (at, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let found = world.step(step);
        otherwise.extend(found.into_iter().map(|what| format!("step {at}: {what}")));
    }
    for seen in scenario["observed"].as_array().into_iter().flatten() {
        otherwise.extend(world.observed(seen.as_str().unwrap()));
    }
    otherwise
}

struct World {
    sandbox: Sandbox,
    site: Site,
    fixture: Fixture,
}

impl World {
    fn new(scenario: &Value) -> Self {
        let sandbox = Sandbox::new();
        let site = Site::start(&sandbox.path("ca.pem"));
        for folder in ["cwd", "data", "home/.config/gantry/auth.d"] {
            std::fs::create_dir_all(sandbox.path(folder)).unwrap();
        }
        Self { sandbox, site, fixture: Fixture::new(scenario) }
    }

    /// Where a file of the scenario is here.
    fn fill(&self, text: &str) -> String {
        let at = |below: &str| self.sandbox.path(below).display().to_string();
        let text = self.fixture.fill(text);
        let text = text.replace("{local}/trustedkeys", &at("trust"));
        // There is one folder of credentials for a user here.
        let text = text.replace("{local}/auth.d", &at("home/.config/gantry/auth.d"));
        let text = text.replace("{system}/auth.d", &at("home/.config/gantry/auth.d"));
        text.replace("{cwd}", &at("cwd")).replace("{data}", &at("data"))
    }

    fn step(&self, step: &Value) -> Vec<String> {
        let args: Vec<String> = step["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| self.fill(arg.as_str().unwrap()))
            .collect();
        let Some(translated) = translate(&args) else {
            return vec![format!("there is no such verb or option: {}", args.join(" "))];
        };
        for (path, content) in step["files"].as_object().into_iter().flatten() {
            self.file(&self.fill(path), content, translated.signed);
        }
        if translated.signed {
            self.file(
                &self.fill("{local}/trustedkeys/root.d/{fp:alice}"),
                &serde_json::json!({"pubkeys": ["alice"], "armor": true}),
                false,
            );
        }
        if !step["site"].is_null() {
            self.site.set(self.fixture.routes(&step["site"], translated.signed));
        }
        self.site.asked();
        if !step["killed"].is_null() {
            self.killed(&translated);
            return Vec::new();
        }
        let ended = self.run(&translated, step["typed"].as_str());
        let mut otherwise = Vec::new();
        let wanted = step["exit"].as_i64() == Some(0);
        if (ended.code == 0) != wanted {
            let was = step["exit"].as_i64().unwrap_or(-1);
            otherwise.push(format!(
                "exit code {}, in rkt {was}: {}",
                ended.code,
                ended.stderr.trim()
            ));
        } else if wanted {
            otherwise.extend(self.printed(
                &args,
                step["stdout"].as_str().unwrap_or_default(),
                &ended.stdout,
            ));
        }
        otherwise.extend(self.requests(step, translated.signed));
        otherwise
    }

    fn file(&self, path: &str, content: &Value, signed: bool) {
        let path = PathBuf::from(path);
        if content.is_null() {
            let _ = std::fs::remove_file(path);
            return;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = self.fixture.bytes(content);
        if signed && path.extension().is_some_and(|extension| extension == "aci") {
            let asc = format!("{}.asc", path.display());
            std::fs::write(asc, super::fixture::sign("alice", &bytes)).unwrap();
        }
        std::fs::write(path, bytes).unwrap();
    }

    fn command(&self, args: &[String]) -> Command {
        let mut command = self.sandbox.command(GANTRY);
        let proxy = format!("http://127.0.0.1:{}", self.site.port);
        command
            .current_dir(self.sandbox.path("cwd"))
            .env("HTTPS_PROXY", &proxy)
            .env("HTTP_PROXY", &proxy)
            .env("GANTRY_CA_FILE", self.sandbox.path("ca.pem"))
            .args(args);
        command
    }

    /// Runs a step's commands up to the first that fails.
    fn run(&self, translated: &Translated, typed: Option<&str>) -> Ended {
        let mut commands = translated.commands.clone();
        if let Some(typed) = typed {
            // A fetch never asks: whom to trust is a verb of its own.
            let ended = self.on_a_terminal("trust add --prefix example.com/app", typed);
            if ended.code != 0 {
                return ended;
            }
            commands.drain(..commands.len() - 1);
        }
        let mut last = Ended { code: 0, stdout: String::new(), stderr: String::new() };
        for args in &commands {
            last = Ended::of(self.command(args).output().unwrap());
            if last.code != 0 {
                break;
            }
        }
        last
    }

    fn on_a_terminal(&self, line: &str, typed: &str) -> Ended {
        let words = [String::from("-qec"), format!("{GANTRY} {line}"), String::from("/dev/null")];
        let plain = self.command(&[]);
        let mut command = self.sandbox.command("script");
        for (name, value) in plain.get_envs() {
            value.map(|value| command.env(name, value));
        }
        let mut child =
            command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    }

    /// Runs the command and kills it while its server stands still.
    fn killed(&self, translated: &Translated) {
        let args = translated.commands.last().unwrap();
        let mut child =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut asked = Vec::new();
        for _ in 0..200 {
            asked.extend(self.site.asked());
            if asked.iter().any(|asked| asked.url.ends_with(".aci")) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        // The half that was sent is on its way to the disk.
        thread::sleep(Duration::from_millis(700));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What was printed, where that is data.
    fn printed(&self, args: &[String], wanted: &str, got: &str) -> Option<String> {
        let line = args.join(" ");
        let wanted = self.fill(wanted);
        if line.contains("fetch") {
            let ids = |text: &str| -> Vec<String> {
                let lines = text.lines().filter(|line| line.starts_with("sha512-"));
                lines.map(|id| id.trim().to_owned()).collect()
            };
            let (wanted, got) = (ids(&wanted), ids(got));
            let same = wanted.len() == got.len()
                && wanted.iter().zip(&got).all(|(short, whole)| whole.starts_with(short));
            return (!same).then(|| format!("printed {got:?}, rkt {wanted:?}"));
        }
        if line.contains("image list") && line.contains("name") {
            let names = |line: &str| {
                line.split_whitespace().find(|word| word.contains('/')).map(str::to_owned)
            };
            let wanted: Vec<String> = wanted.lines().filter_map(names).collect();
            let got: Value = serde_json::from_str(got).unwrap_or_default();
            let got: Vec<String> =
                got["images"].as_array().into_iter().flatten().map(name_and_version).collect();
            return (wanted != got).then(|| format!("listed {got:?}, rkt {wanted:?}"));
        }
        if line.contains("cat-manifest") {
            let value = |text: &str| serde_json::from_str::<Value>(text).ok();
            return (value(&wanted) != value(got)).then(|| format!("another manifest: {got}"));
        }
        None
    }

    /// What was asked of the servers, in order.
    fn requests(&self, step: &Value, signed: bool) -> Option<String> {
        let ours: Vec<Asked> = self.site.asked();
        let signature_was_checked = |url: &str| !(signed && url.ends_with(".asc"));
        let ours = ours.iter().filter(|asked| signature_was_checked(&asked.url)).map(|asked| {
            words(
                &asked.method,
                &asked.url,
                asked.authorization.as_deref(),
                asked.range.as_deref(),
                asked.if_none_match.as_deref(),
            )
        });
        let theirs = step["requests"].as_array().into_iter().flatten().map(|asked| {
            let text = |name: &str| asked[name].as_str();
            words(
                text("method").unwrap(),
                text("url").unwrap(),
                text("Authorization"),
                text("Range"),
                text("If-None-Match"),
            )
        });
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
        (ours != theirs).then(|| format!("asked for {ours:#?}, rkt for {theirs:#?}"))
    }

    /// What was seen on disk afterwards.
    fn observed(&self, seen: &str) -> Option<String> {
        let (what, rest) = seen.split_once(": ")?;
        let list = rest.get(..=rest.rfind(']')?)?;
        let wanted: Vec<String> = serde_json::from_str(list).ok()?;
        let below = |folder: &str| -> Vec<String> {
            let top = self.sandbox.path(folder);
            let mut all: Vec<String> = files(&top)
                .iter()
                .map(|path| format!("{folder}/{}", path.strip_prefix(&top).unwrap().display()))
                .collect();
            all.sort();
            all
        };
        let got = match what {
            "keystore" => {
                let mut keys = below("trust");
                // What begins with a dot is no key to either.
                keys.retain(|path| !path.contains("/."));
                keys.iter().map(|path| path.replace("trust/", "local/trustedkeys/")).collect()
            }
            "rendered" => below("cwd/out"),
            "e1" | "e2" | "r1" | "r2" => below(&format!("cwd/{what}")),
            _ => return None,
        };
        let wanted: Vec<String> = wanted.iter().map(|path| self.fixture.fill(path)).collect();
        let _ = key("alice");
        (wanted != got).then(|| format!("{what}: {got:?}, in rkt {wanted:?}"))
    }
}

fn words(
    method: &str,
    url: &str,
    authorization: Option<&str>,
    range: Option<&str>,
    etag: Option<&str>,
) -> String {
    let mut line = format!("{method} {url}");
    for (what, value) in
        [("authorization", authorization), ("range", range), ("if-none-match", etag)]
    {
        if let Some(value) = value {
            line.push_str(&format!(" [{what} {value}]"));
        }
    }
    line
}

/// `example.com/app:1.0.0` of a listed image.
fn name_and_version(image: &Value) -> String {
    let label =
        image["labels"].as_array().into_iter().flatten().find(|label| label["name"] == "version");
    let version = label
        .and_then(|label| label["value"].as_str())
        .map_or_else(String::new, |v| format!(":{v}"));
    format!("{}{version}", image["name"].as_str().unwrap_or_default())
}
