//! Every signature of a file with its verdict, as text and as JSON.

use std::io::Read;

use aci::{Limits, Name};
use jiff::{Timestamp, Unit};
use keys::{Assessment, GoodSignature, Keyring, Policy, Verdict, VerifyError};
use serde_json::{Value, json};

/// A signature file, for the case that it holds several.
pub(super) struct Several<'a> {
    file: &'a [u8],
    limits: &'a Limits,
    are: bool,
}

impl<'a> Several<'a> {
    pub(super) fn of(file: &'a [u8], limits: &'a Limits) -> Self {
        Self { file, limits, are: keys::count_signatures(file, limits) > 1 }
    }

    /// Whether there are several. Of one, the verification itself says all there is to say.
    pub(super) fn are(&self) -> bool {
        self.are
    }

    /// Judges each by itself, over `data`.
    pub(super) fn assess(
        &self,
        data: impl Read,
        name: Option<&Name>,
        keyring: &Keyring,
        policy: &Policy,
    ) -> Result<Vec<Assessment>, VerifyError> {
        keys::assess(data, self.file, name, keyring, policy, self.limits)
    }
}

/// The one signature of a file, which was found good.
pub(super) fn only(good: &GoodSignature) -> Assessment {
    Assessment {
        issuer: good.signing_key().to_string(),
        signer: Some(*good.signer()),
        user_id: good.user_id().map(str::to_owned),
        created: Some(good.created()),
        verdict: Verdict::Good,
        refusal: None,
        warnings: good.warnings().to_vec(),
    }
}

/// `good: 9d01… (Example CI <ci@example.com>), 2026-01-02T00:00:00Z`.
pub(super) fn line(one: &Assessment) -> String {
    let mut text = format!("{}: {}", one.verdict.word(), one.issuer);
    if let Some(user_id) = &one.user_id {
        text.push_str(&format!(" ({})", discovery::printable_line(user_id)));
    }
    if let Some(created) = created(one) {
        text.push_str(&format!(", {created}"));
    }
    // The word for the others says it all.
    let to_explain = matches!(one.verdict, Verdict::Bad | Verdict::Untrusted);
    if let Some(refusal) = one.refusal.as_ref().filter(|_| to_explain) {
        text.push_str(&format!(": {}", discovery::printable_line(&refusal.message)));
    }
    text
}

pub(super) fn to_json(one: &Assessment) -> Value {
    json!({
        "verdict": one.verdict.word(),
        "issuer": one.issuer,
        "signer": one.signer,
        "userId": one.user_id,
        "signed": created(one),
        "code": one.refusal.as_ref().map(|refusal| &refusal.code),
        "reason": one.refusal.as_ref().map(|refusal| &refusal.message),
        "warnings": one.warnings,
    })
}

fn created(one: &Assessment) -> Option<String> {
    let created = Timestamp::try_from(one.created?).ok()?;
    created.round(Unit::Second).ok().map(|created| created.to_string())
}
