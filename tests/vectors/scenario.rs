//! One scenario, step by step.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{Fixture, sign};
use super::harness::plain;
use super::site::Site;
use super::support::{Ended, GANTRY, Sandbox, files};
use super::translate::{Translated, translate};

/// What came out otherwise than in rkt, in words; nothing where all is the same.
pub(crate) fn run(scenario: &Value) -> Vec<String> {
    let world = World::new(scenario);
    let mut otherwise = Vec::new();
    for (at, step) in list(&scenario["steps"]).enumerate() {
        let found = world.step(step, &scenario["pod_manifest"]);
        otherwise.extend(found.into_iter().map(|what| format!("step {at}: {what}")));
    }
    let observed = list(&scenario["observed"]).filter_map(|seen| seen.as_str());
    otherwise.extend(observed.filter_map(|seen| world.observed(seen)));
    otherwise
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

struct World {
    sandbox: Sandbox,
    site: Site,
    fixture: Fixture,
}

impl World {
    fn new(scenario: &Value) -> Self {
        let sandbox = Sandbox::new();
        // rkt asks for no news of the keys it trusts. A site that says no more is soon given up.
        let config = "trust-refresh = \"never\"\nidle-timeout = \"5s\"\n";
        sandbox.write("home/.config/gantry/config.toml", config);
        fs::create_dir(sandbox.path("cwd")).unwrap();
        let site = Site::start(&sandbox.path("ca.pem"));
        Self { sandbox, site, fixture: Fixture::new(scenario) }
    }

    /// The text with its placeholders filled in, and folders as they are called here.
    fn fill(&self, text: &str) -> String {
        let at = |below: &str| self.sandbox.path(below).display().to_string();
        // A user has one folder of credentials.
        let credentials = at("home/.config/gantry/auth.d");
        self.fixture
            .fill(text)
            .replace("{local}/trustedkeys", &at("trust"))
            .replace("{local}/auth.d", &credentials)
            .replace("{system}/auth.d", &credentials)
            .replace("{cwd}", &at("cwd"))
            .replace("{data}", &at("data"))
    }

    fn step(&self, step: &Value, pod: &Value) -> Vec<String> {
        let args: Vec<&str> = list(&step["args"]).filter_map(Value::as_str).collect();
        let mut translated = translate(&args, step["typed"].is_string());
        for word in translated.commands.iter_mut().flatten() {
            *word = self.fill(word);
        }
        self.files(step, translated.signed);
        if !step["site"].is_null() {
            self.site.set(self.fixture.routes(&step["site"], translated.signed));
        }
        self.site.asked();
        if !step["killed"].is_null() {
            self.killed(&translated, step);
            return Vec::new();
        }
        let ended = self.run(&translated, step);
        let mut otherwise = self.requests(step, translated.signed);
        let wanted = step["exit"].as_i64().unwrap();
        if (ended.code == 0) != (wanted == 0) {
            otherwise.push(format!("exit {}, rkt {wanted}: {}", ended.code, ended.stderr.trim()));
        } else if wanted == 0 {
            let said = step["stdout"].as_str().unwrap_or_default();
            let wanted = if said == "{uuid}\n" { pod.to_string() } else { said.to_owned() };
            otherwise.extend(self.printed(&args, &wanted, &ended.stdout, translated.backwards));
        }
        otherwise
    }

    fn files(&self, step: &Value, signed: bool) {
        for (path, content) in step["files"].as_object().into_iter().flatten() {
            let path = PathBuf::from(self.fill(path));
            if content.is_null() {
                fs::remove_file(path).unwrap();
                continue;
            }
            let bytes = self.fixture.bytes(content);
            if signed && path.extension().is_some_and(|extension| extension == "aci") {
                let mut signature = path.clone().into_os_string();
                signature.push(".asc");
                write(Path::new(&signature), &sign("alice", &bytes));
            }
            write(&path, &bytes);
        }
        if signed {
            let alice = self.fixture.bytes(&json!({"pubkeys": ["alice"], "armor": true}));
            write(Path::new(&self.fill("{local}/trustedkeys/root.d/{fp:alice}")), &alice);
        }
    }

    /// Runs a step's commands; the last one's end is the answer.
    fn run(&self, translated: &Translated, step: &Value) -> Ended {
        let mut commands = translated.commands.iter();
        if let Some(typed) = step["typed"].as_str() {
            self.on_a_terminal(&commands.next().unwrap().join(" "), typed);
        }
        let mut last = None;
        for args in commands {
            last = Some(Ended::of(self.command(args, step).output().unwrap()));
        }
        last.unwrap()
    }

    fn command(&self, args: &[String], step: &Value) -> Command {
        let mut command = self.sandbox.command(GANTRY);
        self.equip(&mut command, step).args(args);
        command
    }

    fn equip<'a>(&self, command: &'a mut Command, step: &Value) -> &'a mut Command {
        let proxy = format!("http://127.0.0.1:{}", self.site.port);
        command.current_dir(self.sandbox.path("cwd"));
        command.env("HTTPS_PROXY", &proxy).env("HTTP_PROXY", &proxy);
        command.env("GANTRY_CA_FILE", self.sandbox.path("ca.pem"));
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            command.env(name, value.as_str().unwrap());
            if name == "SSL_CERT_FILE" {
                command.env_remove("GANTRY_CA_FILE");
            }
        }
        command
    }

    fn on_a_terminal(&self, args: &str, typed: &str) {
        let mut command = self.sandbox.command("script");
        self.equip(&mut command, &Value::Null);
        command.args(["-qec", &format!("{GANTRY} {args}"), "/dev/null"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        child.wait().unwrap();
    }

    /// Runs the command and kills it while its server stands still.
    fn killed(&self, translated: &Translated, step: &Value) {
        let mut command = self.command(translated.commands.last().unwrap(), step);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !self.site.asked().iter().any(|asked| asked.url.ends_with(".aci")) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            thread::sleep(Duration::from_millis(20));
        }
        // The half that was sent is on its way to the disk.
        thread::sleep(Duration::from_millis(700));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What was printed, where that is data.
    fn printed(&self, args: &[&str], wanted: &str, got: &str, backwards: bool) -> Vec<String> {
        let wanted = self.fill(wanted);
        let verb = args.iter().find(|arg| !arg.starts_with('-')).copied();
        let (wanted, got) = match (verb, args.contains(&"list")) {
            (Some("fetch"), _) => (image_ids(&wanted), image_ids(got)),
            (_, true) => (identities(&wanted), listed(args, got, backwards)),
            _ if wanted.starts_with('{') => {
                let mut otherwise = Vec::new();
                differing("", &manifest(got), &manifest(&wanted), &mut otherwise);
                return otherwise;
            }
            _ => return Vec::new(),
        };
        let all = wanted.len() == got.len() && wanted.iter().zip(&got).all(|(w, g)| same(w, g));
        if all { Vec::new() } else { vec![format!("printed {got:?}, rkt {wanted:?}")] }
    }

    /// What was asked of the servers, and in which order.
    fn requests(&self, step: &Value, signed: bool) -> Vec<String> {
        const HEADERS: [&str; 3] = ["Authorization", "Range", "If-None-Match"];
        let ours = self.site.asked();
        // Where rkt asks for no signatures.
        let ours = ours.iter().filter(|asked| !(signed && asked.url.ends_with(".asc")));
        let ours = ours.map(|asked| {
            let header = |name: &str| asked.header(&name.to_ascii_lowercase()).map(str::to_owned);
            line(&asked.method, &asked.url, HEADERS.map(|name| (name, header(name))))
        });
        let theirs = list(&step["requests"]).map(|asked| {
            let text = |name: &str| asked[name].as_str().map(str::to_owned);
            let (method, url) = (text("method").unwrap(), text("url").unwrap());
            line(&method, &url, HEADERS.map(|name| (name, text(name))))
        });
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
        let besides = beyond(&ours, &theirs).map(|it| format!("besides {it}"));
        let missing = beyond(&theirs, &ours).map(|it| format!("without {it}"));
        let mut otherwise: Vec<String> = besides.chain(missing).collect();
        if otherwise.is_empty() && ours != theirs {
            otherwise.push(format!("in another order {ours:?}, rkt {theirs:?}"));
        }
        otherwise
    }

    /// What was seen on disk afterwards, where that is no affair of rkt's own.
    fn observed(&self, seen: &str) -> Option<String> {
        let (what, rest) = seen.split_once(": ").unwrap();
        let got = match what {
            "keystore" => self.below("trust"),
            "rendered" => self.below("cwd/out"),
            "e1" | "e2" | "r1" | "r2" => self.below(&format!("cwd/{what}")),
            "exported file identical to the uncompressed tar" => {
                let same = fs::read(self.sandbox.path("cwd/out.aci")).unwrap()
                    == self.fixture.image("one");
                return (!same).then(|| format!("not so: {what}"));
            }
            _ => return None,
        };
        let wanted = &rest[..=rest.rfind(']').unwrap()];
        let wanted: Vec<String> = serde_json::from_str(wanted).unwrap();
        (wanted != got).then(|| format!("{what}: {got:?}, rkt {wanted:?}"))
    }

    /// The files below a folder, as rkt calls them.
    fn below(&self, folder: &str) -> Vec<String> {
        let top = self.sandbox.path("");
        let all = files(&self.sandbox.path(folder)).into_iter();
        let all = all.map(|path| path.strip_prefix(&top).unwrap().display().to_string());
        // What begins with a dot is no key to either.
        let all = all.filter(|path| !path.contains("/."));
        let all = all.map(|path| path.replace("trust/", "local/trustedkeys/"));
        let mut all: Vec<String> = all.map(|path| self.fixture.unfill(&path)).collect();
        all.sort();
        all
    }
}

/// Writes a file, its folders too, for nobody else to read: it may hold credentials.
fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What stands in one list, and not in the other, or not so often.
fn beyond<'a>(these: &'a [String], others: &'a [String]) -> impl Iterator<Item = &'a String> {
    let count = |all: &[String], it: &String| all.iter().filter(|other| *other == it).count();
    let more = move |(at, it): &(usize, &String)| count(&these[..=*at], it) > count(others, it);
    these.iter().enumerate().filter(more).map(|(_, it)| it)
}

/// A request in words.
fn line(method: &str, url: &str, headers: [(&str, Option<String>); 3]) -> String {
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let headers = headers.map(|(name, value)| format!(" [{name}: {value}]"));
    format!("{method} {url}{}", headers.collect::<String>())
}

/// The image IDs that a fetch printed.
fn image_ids(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("sha512-"));
    lines.map(str::to_owned).collect()
}

/// The image IDs and names in a list of rkt's.
fn identities(text: &str) -> Vec<String> {
    let words = text.split([' ', '\t', '\n', '"']);
    words
        .filter(|word| word.starts_with("sha512-") || word.contains('/'))
        .map(str::to_owned)
        .collect()
}

/// The same of ours.
fn listed(args: &[&str], got: &str, backwards: bool) -> Vec<String> {
    let fields = args.iter().find_map(|arg| arg.strip_prefix("--fields=")).unwrap_or("id,name");
    let identity = |image: &Value| {
        let fields = fields.split(',').map(|field| match field {
            "id" => image["imageId"].as_str().unwrap().to_owned(),
            _ => name_and_version(image),
        });
        fields.collect::<Vec<_>>()
    };
    let mut images: Vec<Value> = serde_json::from_str(got).unwrap();
    if backwards {
        images.reverse();
    }
    images.iter().flat_map(identity).collect()
}

/// `example.com/app:1.0.0` of a listed image.
fn name_and_version(image: &Value) -> String {
    let version = list(&image["labels"]).find(|label| label["name"] == "version");
    let version = version.and_then(|label| label["value"].as_str());
    format!("{}:{}", image["name"].as_str().unwrap(), version.unwrap())
}

/// Whether two texts are the same, or the first the beginning of an image ID and the other all.
fn same(theirs: &str, ours: &str) -> bool {
    theirs == ours || theirs.starts_with("sha512-") && ours.starts_with(theirs)
}

/// A manifest without what says nothing, and without what only rkt has to say.
fn manifest(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    if value["acKind"] == "PodManifest" {
        value["acVersion"] = Value::Null;
        value["annotations"] = Value::Null;
    }
    plain(&value)
}

/// Where two manifests differ, by JSON pointer.
fn differing(at: &str, ours: &Value, theirs: &Value, otherwise: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(mine), Value::Object(other)) => {
            let more = other.keys().filter(|key| !mine.contains_key(*key));
            for key in mine.keys().chain(more) {
                differing(&format!("{at}/{key}"), &ours[key], &theirs[key], otherwise);
            }
        }
        (Value::Array(mine), Value::Array(other)) if mine.len() == other.len() => {
            for (index, (mine, other)) in mine.iter().zip(other).enumerate() {
                differing(&format!("{at}/{index}"), mine, other, otherwise);
            }
        }
        (Value::String(mine), Value::String(other)) if same(other, mine) => {}
        _ if ours == theirs => {}
        _ => otherwise.push(format!("{at} is {ours}, rkt {theirs}")),
    }
}
