//! Runs conformance cases: reads the suites, compares our answers, counts.
//!
//! Shared by the `vectors` tests of `aci`, `keys`, `discovery` and the command: each brings the
//! suites that concern it, what it answers to a case, and where it means to differ.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

/// What came of a case: a value, or a refusal with its stable code.
pub(crate) type Outcome = Result<Value, Refused>;

/// A refusal.
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string() }
    }
}

/// One case of a suite.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) op: String,
    pub(crate) input: Value,
    /// What the spec or else the reference makes of it; `None` where it refuses.
    pub(crate) wanted: Option<Value>,
    pub(crate) quirk: Option<String>,
}

/// What a crate brings.
pub(crate) struct Runner {
    /// Whether the suite of this name concerns the crate.
    pub(crate) concerns: fn(&str) -> bool,
    /// Runs a case of a suite; `None` where nothing of the crate answers it.
    pub(crate) run: fn(&str, &Case) -> Option<Outcome>,
    /// Whether the answer is the one that was wanted: suite, wanted, ours.
    pub(crate) same: fn(&str, &Value, &Value) -> bool,
    /// Why the answer may differ from what was wanted, where it may.
    pub(crate) reason: fn(&Case, &Outcome) -> Option<&'static str>,
}

/// How our answer compares.
enum Verdict {
    Agrees,
    Differs(String),
    Fails(String),
    NotOurs,
}

impl Runner {
    /// Runs every case, and prints the counts as the last line.
    pub(crate) fn main(&self) -> ExitCode {
        let folder = std::env::var_os("GANTRY_VECTORS").map_or_else(beside, PathBuf::from);
        let Some(suites) = self.suites(&folder) else {
            println!("vectors: skipped, there are none in {}", folder.display());
            return ExitCode::SUCCESS;
        };
        let (mut agree, mut differ, mut fail, mut not_ours) = (0, 0, 0, 0);
        for (suite, cases) in suites {
            for case in cases {
                match self.judge(&suite, &case) {
                    Verdict::Agrees => agree += 1,
                    Verdict::NotOurs => {
                        not_ours += 1;
                        println!("not ours: {} {}", case.id, case.op);
                    }
                    Verdict::Differs(reason) => {
                        differ += 1;
                        println!("differs: {}: {reason}", case.id);
                    }
                    Verdict::Fails(why) => {
                        fail += 1;
                        println!("FAILS: {} {}: {why}", case.id, case.op);
                    }
                }
            }
        }
        println!(
            "vectors: {agree} agree, {differ} differ on purpose, {fail} fail, {not_ours} not ours"
        );
        if fail == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Names and cases of the suites that concern the crate, in order.
    fn suites(&self, folder: &Path) -> Option<Vec<(String, Vec<Case>)>> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
        files.retain(|path| (self.concerns)(&stem(path)));
        files.sort();
        let suite = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            let mut value: Value = serde_json::from_str(&text).unwrap();
            let cases = match value["vectors"].take() {
                Value::Array(cases) => cases,
                _ => match value["scenarios"].take() {
                    Value::Array(scenarios) => scenarios,
                    _ => Vec::new(),
                },
            };
            (stem(path), cases.into_iter().map(case).collect())
        };
        (!files.is_empty()).then(|| files.iter().map(suite).collect())
    }

    fn judge(&self, suite: &str, case: &Case) -> Verdict {
        let Some(got) = (self.run)(suite, case) else { return Verdict::NotOurs };
        let why = match (&case.wanted, &got) {
            (None, Err(_)) => return Verdict::Agrees,
            (Some(wanted), Ok(got)) if (self.same)(suite, wanted, got) => return Verdict::Agrees,
            (Some(wanted), Ok(got)) => format!("wanted {}, got {}", plain(wanted), plain(got)),
            (None, Ok(got)) => format!("wanted a refusal, got {got}"),
            (Some(_), Err(refused)) => format!("refused ({}): {}", refused.code, refused.message),
        };
        match ((self.reason)(case, &got), &case.quirk) {
            (Some(reason), _) => Verdict::Differs(reason.to_owned()),
            (None, Some(quirk)) => Verdict::Differs(format!("the reference is odd: {quirk}")),
            (None, None) => Verdict::Fails(why),
        }
    }
}

/// Where the suites are by default: beside the workspace.
fn beside() -> PathBuf {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let workspace = above.find(|folder| folder.join("Cargo.lock").exists()).unwrap();
    workspace.join("../shared/vectors")
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn case(mut value: Value) -> Case {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // A scenario says in each of its steps what is wanted.
    if value["steps"].is_array() {
        let (id, op) = (text(&value["id"]), "scenario".to_owned());
        return Case { id, op, input: value, wanted: Some(Value::Null), quirk: None };
    }
    let wanted = match value.get("spec_expected") {
        // What the spec asks goes before what the reference does.
        Some(Value::String(refusal)) if refusal == "error" => None,
        Some(spec) => Some(spec.clone()),
        None if value["expect"] == "ok" => Some(value["expected"].take()),
        None => None,
    };
    Case {
        id: text(&value["id"]),
        op: text(&value["op"]),
        input: value["input"].take(),
        wanted,
        quirk: value["quirk"].as_str().map(str::to_owned),
    }
}

/// A value without what says nothing: the reference writes some defaults out, and others not.
pub(crate) fn plain(value: &Value) -> Value {
    let nothing = |key: &str, value: &Value| {
        matches!(value, Value::Null | Value::Bool(false))
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_str().is_some_and(str::is_empty)
            || key == "count" && *value == 1
            || key == "size" && *value == 0
            // What a file is that is no image does not matter, nor what the reference echoes.
            || key == "image_error"
            || key == "ref_string"
            || key == "type" && matches!(value.as_str(), Some("unknown" | "text"))
    };
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .filter(|(key, value)| !nothing(key, value))
            .collect(),
        other => other.clone(),
    }
}
