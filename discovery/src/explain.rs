//! Why an image would be trusted, or not: every decision on the way, as a tree.
//!
//! Nothing is downloaded but pages and signatures, and nothing is changed. What the tree says
//! is decided by the very functions that a fetch calls.

use std::fs::File;
use std::path::Path;

use aci::archive::InspectedImage;
use aci::{Limits, Name, Reference, host_platform};
use keys::{ReceiveError, Scope, TrustEntry, TrustPolicies, TrustStore, VerifiedImage};
use serde::Serialize;

use crate::Client;
use crate::error::Kind;
use crate::fetch::{Source, Trust, read_small, signature_path, signature_url};
use crate::http::Purpose;
use crate::resolve::{Endpoint, ResolveError, with_platform};
use crate::store::{Store, Wanted};

mod lines;
mod step;

use lines::rule_and_next;
pub(crate) use lines::{not_received, page, verdict};
pub use lines::{refused, signer, signers};
pub use step::{Outcome, Step};

/// A whole explanation.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// What was asked about.
    pub subject: String,
    /// Whether it would be trusted.
    pub trusted: bool,
    /// The decisions.
    pub tree: Step,
    /// What kind of failure a fetch would end with; `None` where it would not.
    #[serde(skip)]
    pub kind: Option<Kind>,
}

/// What an explanation looks at.
#[derive(Debug, Clone, Copy)]
pub struct Explain<'a> {
    /// The client that would fetch.
    pub client: &'a Client,
    /// The store it would fetch into.
    pub store: &'a Store,
    /// The keys, as a fetch would use them.
    pub trust: &'a Trust,
    /// Where these keys come from.
    pub trusted: &'a TrustStore,
}

/// The steps so far, and how it would end.
struct Draft {
    steps: Vec<Step>,
    kind: Option<Kind>,
}

impl Draft {
    fn add(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn fail(&mut self, kind: Kind, step: Step) {
        self.steps.push(step);
        self.kind.get_or_insert(kind);
    }
}

impl Explain<'_> {
    /// Explains what a fetch of `source` would decide.
    pub async fn source(&self, source: &Source) -> Explanation {
        let mut draft = Draft { steps: Vec::new(), kind: None };
        let subject = match source {
            Source::Name(reference) => {
                self.name(reference, &mut draft).await;
                reference.to_string()
            }
            Source::Url(url) => {
                draft.add(Step::note(
                    "a URL is asked as it is; the name is the one inside the image",
                ));
                let endpoint = Endpoint { image: url.clone(), signature: signature_url(url) };
                self.endpoint(&endpoint, None, &mut draft).await;
                url.to_string()
            }
            Source::File(path) => {
                self.file(path, &mut draft);
                path.display().to_string()
            }
            Source::Id(prefix) => {
                self.stored(&Wanted::Id(prefix.clone()), &mut draft);
                prefix.to_string()
            }
        };
        let trusted = draft.kind.is_none();
        let tree = lines::verdict(&subject, trusted, draft.steps);
        Explanation { subject, trusted, tree, kind: draft.kind }
    }

    async fn name(&self, reference: &Reference, draft: &mut Draft) {
        draft.add(self.labels(reference));
        if let Ok(id) = self.store.find(&Wanted::Reference(reference.clone())) {
            draft.add(Step::note(format!("the store has {id}, verified when it was imported")));
        }
        draft.add(Step::note(self.client.route(reference.name()).description()));
        let found = match self.client.find_images(reference).await {
            Ok(found) => found,
            Err(error) => return draft.fail(error.kind(), self.not_found(&error)),
        };
        let mut pages: Vec<Step> = found
            .failed_levels
            .iter()
            .map(|level| Step::note(format!("{}: {}", level.url, level.why)))
            .collect();
        let count = found.found.len();
        pages.push(lines::page(&found.page, count));
        draft.add(Step::new(
            Outcome::Yes,
            "the name leads to an image: its page is asked, then each parent's, over https",
            pages,
        ));
        draft.add(self.policy(reference.name()));
        for (at, endpoint) in found.found.iter().enumerate() {
            let before = draft.kind.take();
            self.endpoint(endpoint, Some(reference.name()), draft).await;
            // Another endpoint is tried only where one cannot be had at all.
            let next = matches!(draft.kind, Some(Kind::NotFound | Kind::Network | Kind::Server));
            if !next || at + 1 == count {
                draft.kind = draft.kind.or(before);
                break;
            }
        }
    }

    /// What is asked for, and whose idea each label is.
    fn labels(&self, reference: &Reference) -> Step {
        let (os, arch) = host_platform();
        let rendered = with_platform(reference);
        let labels = rendered.as_ref().map_or(reference.labels(), Reference::labels);
        let own = reference.labels();
        let mut steps: Vec<Step> = labels
            .iter()
            .map(|label| {
                let given = own.value(label.name.as_str()).is_some();
                let whose = if given { "as asked" } else { "this machine's" };
                Step::note(format!("{}={}: {whose}", label.name, label.value))
            })
            .collect();
        if own.value("version").is_none() {
            steps.push(Step::note(
                "no version: the server is asked for latest, and its choice is taken",
            ));
        }
        if let Err(error) = rendered {
            steps.push(Step::no(error.to_string()));
        }
        Step::new(Outcome::Note, format!("labels asked for, on a machine of {os}/{arch}"), steps)
    }

    fn not_found(&self, error: &ResolveError) -> Step {
        let levels = match error {
            ResolveError::NotFound { failed, .. } => failed.as_slice(),
            _ => &[],
        };
        let steps = levels.iter().map(|level| Step::no(format!("{}: {}", level.url, level.why)));
        let steps = steps.chain([lines::next(error)]).collect();
        Step::new(Outcome::No, error.to_string(), steps)
    }

    /// What is demanded of images of this name, and of whom keys are trusted for it.
    fn policy(&self, name: &Name) -> Step {
        let policies = self.trusted.policies().unwrap_or_else(|_| TrustPolicies::default());
        let threshold = policies.threshold(name);
        let by = |by: &Option<(Name, std::path::PathBuf)>| match by {
            Some((prefix, path)) => format!("the policy of {prefix} in {}", path.display()),
            None => "the default".to_owned(),
        };
        let mut steps = vec![Step::note(format!(
            "signatures of {} different key(s) are needed: {}",
            threshold.value.keys(),
            by(&threshold.by)
        ))];
        let entries = self.trusted.list(&self.client.limits).map(|(entries, _)| entries);
        let mut trusted: Vec<TrustEntry> = entries.unwrap_or_default();
        trusted.retain(|entry| entry.scope.covers(name));
        let any = trusted.iter().any(TrustEntry::trusts);
        steps.extend(trusted.iter().map(key_file));
        if !any {
            steps.push(Step::note(format!("to trust one: gantry trust add --prefix {name}")));
        }
        lines::trusted(name, any, steps)
    }

    async fn endpoint(&self, endpoint: &Endpoint, name: Option<&Name>, draft: &mut Draft) {
        let client = self.client;
        let route = match name {
            Some(name) => client.route(name),
            None => client.route_of_url(&endpoint.image),
        };
        let limit = client.limits.signature_bytes;
        match client.http.document(Purpose::Files, &route, &endpoint.signature, limit).await {
            Ok(signature) => {
                let (outcome, steps) = self.signatures(&signature, name, draft);
                draft.add(lines::signature(&endpoint.signature, outcome, steps));
                if draft.kind.is_none() {
                    draft.add(Step::note(format!(
                        "{} would be downloaded; the signature must match its bytes, and the name and labels inside must be those asked for",
                        endpoint.image
                    )));
                }
            }
            Err(error) => {
                let step = Step::new(Outcome::No, error.to_string(), vec![lines::next(&error)]);
                draft.fail(error.kind(), step);
            }
        }
    }

    /// The signatures of a file, judged as far as that is possible without the image.
    fn signatures(
        &self,
        signature: &[u8],
        name: Option<&Name>,
        draft: &mut Draft,
    ) -> (Outcome, Vec<Step>) {
        let Trust { keyring, policy } = self.trust;
        let limits = &self.client.limits;
        let mut steps = lines::signers(signature, name, self.trust, limits);
        match keyring.check_signer(signature, name, policy, limits) {
            Ok(()) => (Outcome::Yes, steps),
            Err(error) => {
                steps.extend(rule_and_next(&error));
                draft.kind.get_or_insert(Kind::Refused);
                (Outcome::No, steps)
            }
        }
    }

    fn file(&self, path: &Path, draft: &mut Draft) {
        let limits = &self.client.limits;
        let beside = signature_path(path);
        let signature = read_small(&beside, limits.signature_bytes);
        let received = signature.as_ref().ok().map(|signature| self.receive(path, signature));
        let inspected = match &received {
            Some(Ok(verified)) => Ok(verified.inspected().clone()),
            // What an image says it is that was refused: it is read for that alone.
            _ => inspect(path, limits),
        };
        let image = match inspected {
            Ok(image) => image,
            Err((kind, why)) => {
                return draft.fail(kind, Step::no(format!("{}: {why}", path.display())));
            }
        };
        let name = &image.manifest().name;
        let reference = Reference::new(name.clone(), image.manifest().labels.clone());
        draft.add(Step::yes(format!(
            "the archive is sound; it says it is {reference}, {}",
            image.image_id()
        )));
        draft.add(self.policy(name));
        let (signature, received) = match (signature, received) {
            (Ok(signature), Some(received)) => (signature, received),
            (signature, _) => {
                let why = signature.err().map_or_else(String::new, |error| error.to_string());
                let what = format!("the signature is looked for at {}: {why}", beside.display());
                return draft.fail(Kind::NotFound, Step::no(what));
            }
        };
        let mut steps = self.assess(path, &signature, name);
        let what = format!("the signatures of {}", beside.display());
        match received {
            Ok(_) => draft.add(Step::new(Outcome::Yes, what, steps)),
            Err(error) => {
                steps.extend(rule_and_next(&error));
                draft.fail(Kind::Refused, Step::new(Outcome::No, what, steps));
            }
        }
    }

    /// Verifies a file as an import would, and keeps nothing of it.
    fn receive(&self, path: &Path, signature: &[u8]) -> Result<VerifiedImage, ReceiveError> {
        let Trust { keyring, policy } = self.trust;
        let file = File::open(path).map_err(ReceiveError::Read)?;
        keys::receive(file, std::io::sink(), signature, keyring, policy, &self.client.limits)
    }

    /// Each signature of a file by itself.
    fn assess(&self, path: &Path, signature: &[u8], name: &Name) -> Vec<Step> {
        let Trust { keyring, policy } = self.trust;
        let limits = &self.client.limits;
        let assessed = File::open(path)
            .map_err(keys::VerifyError::Read)
            .and_then(|file| keys::assess(file, signature, Some(name), keyring, policy, limits));
        match assessed {
            Ok(all) => all.iter().map(signer).collect(),
            Err(error) => vec![Step::no(error.to_string())],
        }
    }

    fn stored(&self, wanted: &Wanted, draft: &mut Draft) {
        let found = self.store.find(wanted).and_then(|id| Ok((self.store.open_image(&id)?, id)));
        let image = match found {
            Ok((Some(image), _)) => image,
            Ok((None, id)) => {
                return draft.fail(Kind::NotFound, Step::no(format!("{id} was just removed")));
            }
            Err(error) => return draft.fail(error.kind(), Step::no(error.to_string())),
        };
        let record = image.record();
        draft.add(Step::yes(format!("the store has {}, {}", record.reference(), record.image_id)));
        draft.add(self.policy(&record.name));
        let (outcome, steps) = self.signatures(image.signature(), Some(&record.name), draft);
        draft.add(Step::new(outcome, "its signature, under today's trust", steps));
        draft.add(Step::note(format!(
            "gantry image verify {} reads all of it again",
            record.image_id
        )));
    }
}

fn inspect(path: &Path, limits: &Limits) -> Result<InspectedImage, (Kind, String)> {
    let file = File::open(path).map_err(|error| (Kind::NotFound, error.to_string()))?;
    aci::archive::inspect(file, limits).map_err(|error| (Kind::Refused, error.to_string()))
}

/// A file of the trusted keys that concerns a name.
fn key_file(entry: &TrustEntry) -> Step {
    let scope = match &entry.scope {
        Scope::Root => "every name".to_owned(),
        Scope::Prefix(prefix) => prefix.to_string(),
    };
    let what = format!("{} for {scope}, by {}", entry.fingerprint, entry.path.display());
    match (&entry.certificate, &entry.overridden_by) {
        (_, Some(by)) => Step::note(format!("{what}: overridden by {}", by.display())),
        (Some(_), None) => Step::yes(what),
        (None, None) => Step::no(format!("{what}: an empty file takes its trust away")),
    }
}
