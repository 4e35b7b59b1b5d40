//! The decisions that a fetch and an explanation word alike, and the short tree of a refusal.

use aci::{Limits, Name, Refuse};
use jiff::Timestamp;
use keys::{Assessment, ReceiveError, Verdict, VerifyError};
use url::Url;

use super::{Outcome, Step};
use crate::fetch::Trust;

/// The page that told where the image is.
pub(crate) fn page(page: &str, endpoints: usize) -> Step {
    Step::yes(format!("{page}: {endpoints} endpoint(s) for this name"))
}

/// Whether keys are trusted for a name, with what says so.
pub(crate) fn trusted(name: &Name, any: bool, steps: Vec<Step>) -> Step {
    if any {
        Step::new(Outcome::Yes, format!("keys are trusted for {name}"), steps)
    } else {
        Step::new(Outcome::No, format!("no key is trusted for {name}"), steps)
    }
}

/// A signature that was fetched.
pub(crate) fn signature(url: &Url, outcome: Outcome, steps: Vec<Step>) -> Step {
    Step::new(
        outcome,
        format!("the signature {url} is looked at before the image is asked for"),
        steps,
    )
}

/// What is decided of `subject` in the end.
pub(crate) fn verdict(subject: &str, trusted: bool, steps: Vec<Step>) -> Step {
    if trusted {
        Step::new(Outcome::Yes, format!("{subject} would be trusted"), steps)
    } else {
        Step::new(Outcome::No, format!("{subject} would not be trusted"), steps)
    }
}

/// Each signature of a file, judged as far as that is possible without the image.
pub fn signers(signature: &[u8], name: Option<&Name>, trust: &Trust, limits: &Limits) -> Vec<Step> {
    match keys::assess_signers(signature, name, &trust.keyring, &trust.policy, limits) {
        Ok(all) => all.iter().map(|one| judged(one, "counts if it matches")).collect(),
        Err(error) => vec![Step::no(error.to_string())],
    }
}

/// The short tree of a refusal: of `subject`, whose signatures do not count for this reason.
pub fn refused(
    subject: &str,
    signers: Vec<Step>,
    name: Option<&Name>,
    trust: &Trust,
    reason: &VerifyError,
) -> Step {
    let mut steps = Vec::new();
    if let Some(name) = name {
        steps.push(trusted(name, trust.keyring.trusted_for(name).next().is_some(), Vec::new()));
    }
    let why = Step::no(reason.to_string());
    let said = signers.iter().any(|signer| *signer == why || signer.steps.contains(&why));
    steps.extend(signers);
    steps.extend((!said).then_some(why));
    steps.push(rule(reason));
    verdict(subject, false, steps)
}

/// The same of an image that was read; `None` where the reason is none of trust.
pub(crate) fn not_received(
    subject: &str,
    signature: &[u8],
    name: Option<&Name>,
    trust: &Trust,
    limits: &Limits,
    reason: &ReceiveError,
) -> Option<Box<Step>> {
    match reason {
        ReceiveError::Verify(reason) => {
            let signers = signers(signature, name, trust, limits);
            Some(Box::new(refused(subject, signers, name, trust, reason)))
        }
        _ => None,
    }
}

/// The rule that a refusal rests on.
fn rule(error: &impl Refuse) -> Step {
    Step::no(format!("rule: {}", error.refusal().rule))
}

/// What a refusal rests on, and what helps.
pub(crate) fn rule_and_next(error: &impl Refuse) -> [Step; 2] {
    [rule(error), next(error)]
}

/// What helps against a refusal.
pub(crate) fn next(error: &impl Refuse) -> Step {
    Step::note(format!("next: {}", error.refusal().next))
}

/// One signature that was compared with the image.
pub fn signer(assessment: &Assessment) -> Step {
    judged(assessment, Verdict::Good.word())
}

fn judged(assessment: &Assessment, good: &str) -> Step {
    let time = |time| Timestamp::try_from(time).map_or_else(|_| "?".to_owned(), |t| t.to_string());
    let made =
        assessment.created.map_or_else(String::new, |created| format!(", made {}", time(created)));
    let who = match (&assessment.signer, &assessment.user_id) {
        (Some(signer), Some(id)) => format!("{signer} ({id})"),
        (Some(signer), None) => signer.to_string(),
        (None, _) => assessment.issuer.clone(),
    };
    let good = (assessment.verdict == Verdict::Good).then_some(good);
    let what = format!("{}: by {who}{made}", good.unwrap_or(assessment.verdict.word()));
    let mut steps: Vec<Step> = assessment.warnings.iter().map(Step::note).collect();
    if let Some(refusal) = &assessment.refusal {
        steps.push(Step::no(refusal.message.clone()));
    }
    let outcome = if good.is_some() { Outcome::Yes } else { Outcome::No };
    Step::new(outcome, what, steps)
}
