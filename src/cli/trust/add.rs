//! `gantry trust add`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use aci::{Limits, Name, Refusal};
use anyhow::Context as _;
use keys::{Certificate, Fingerprint, Scope};
use serde_json::json;
use url::Url;

use super::super::client::wait;
use super::super::files::in_json;
use super::super::{Failure, Kind};
use super::{Context, ScopeArgs, describe, failure, note, scope_option, usage};

/// Trust keys for a prefix of names
///
/// The keys come from FILEs of yours, from https URLs, or, with neither, from the places the
/// name's own domain publishes. Nothing is added unless all that you name can be read; a place of
/// the domain's that cannot is warned of. What comes over the network is only an offer: give the
/// fingerprint the author told you, or compare it when asked.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry trust add --prefix example.com/team team.pub.asc
  gantry trust add --prefix example.com/team                        # shows the fingerprint and asks
  gantry trust add --prefix example.com/team --fingerprint 5C3E…    # never asks
  gantry trust add --prefix example.com/team ann.pub.asc bob.pub.asc
  gantry trust add --root --fingerprint 5C3E… https://example.com/keys.asc")]
pub(crate) struct Args {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Trust only the keys whose primary key has this fingerprint; may be given several times
    #[arg(long = "fingerprint", value_name = "FPR")]
    fingerprints: Vec<Fingerprint>,
    /// Trust all keys that are offered, without asking
    #[arg(long, short, conflicts_with = "fingerprints")]
    yes: bool,
    /// Files of public keys, or the https URLs of such
    #[arg(value_name = "FILE|URL")]
    from: Vec<String>,
}

/// Keys on offer, and whether somebody else than the user chose them.
struct Offer {
    certificates: Vec<Certificate>,
    remote: bool,
    from: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let scope = self.scope.scope()?;
        let chosen = self.choose(context, &scope, self.offers(context)?)?;
        let trusted = context.trust_store();
        let (mut lines, mut added) = (Vec::new(), Vec::new());
        for certificate in &chosen {
            let key = trusted.add(&scope, certificate, &Limits::default()).map_err(failure)?;
            if let Some(note) = note(certificate) {
                context.warn(format_args!("{}: {note}", certificate.fingerprint()));
            }
            let known = if key.new { "" } else { "was already " };
            let fingerprint = certificate.fingerprint();
            lines.push(format!("{fingerprint} {known}trusted for {scope}"));
            added.push(json!({
                "fingerprint": certificate.fingerprint(),
                "prefix": self.scope.prefix,
                "userIds": certificate.user_ids(),
                "path": in_json(&key.path),
                "new": key.new,
            }));
        }
        Ok(context.print(&json!({ "added": added }), lines.join("\n"))?)
    }

    fn offers(&self, context: &Context) -> Result<Vec<Offer>, Failure> {
        match (self.from.is_empty(), &self.scope.prefix) {
            (false, _) => self.from.iter().map(|from| offer(context, from)).collect(),
            (true, Some(prefix)) => Ok(vec![published(context, prefix)?]),
            (true, None) => {
                Err(usage("no domain publishes keys for every name: --root needs a FILE or URL"))
            }
        }
    }

    /// The keys to trust, each once.
    fn choose(
        &self,
        context: &Context,
        scope: &Scope,
        mut offers: Vec<Offer>,
    ) -> Result<Vec<Certificate>, Failure> {
        let mut seen = Vec::new();
        for offer in &mut offers {
            offer.certificates.retain(|certificate| {
                let fingerprint = *certificate.fingerprint();
                let new = !seen.contains(&fingerprint);
                seen.push(fingerprint);
                new
            });
        }
        if !self.fingerprints.is_empty() {
            return self.matching(context, offers);
        }
        let unreviewed: Vec<&Offer> =
            offers.iter().filter(|offer| offer.remote && !self.yes).collect();
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !unreviewed.is_empty() && !terminal {
            return Err(self.unreviewed(&unreviewed, scope));
        }
        let mut chosen = Vec::new();
        for Offer { certificates, remote, from } in offers {
            for certificate in certificates {
                if !remote || self.yes || review(&certificate, scope, &from)? {
                    chosen.push(certificate);
                } else {
                    context.note(format_args!("not trusted: {}", certificate.fingerprint()));
                }
            }
        }
        if chosen.is_empty() {
            return Err(declined());
        }
        Ok(chosen)
    }

    fn matching(&self, context: &Context, offers: Vec<Offer>) -> Result<Vec<Certificate>, Failure> {
        let from = places(offers.iter());
        let certificates: Vec<Certificate> =
            offers.into_iter().flat_map(|offer| offer.certificates).collect();
        let offered: Vec<_> = certificates.iter().map(|c| c.fingerprint().to_string()).collect();
        let (chosen, others): (Vec<_>, Vec<_>) = certificates
            .into_iter()
            .partition(|certificate| self.fingerprints.contains(certificate.fingerprint()));
        if chosen.is_empty() {
            let primary = others
                .iter()
                .find(|c| c.subkey_fingerprints().iter().any(|s| self.fingerprints.contains(s)));
            let next = match primary {
                Some(primary) => format!(
                    "the fingerprint given is a subkey's; compare and give its primary key's: {}",
                    primary.fingerprint()
                ),
                None => "compare the fingerprint with the author's; do not trust another key \
                         because it is the one offered"
                    .to_owned(),
            };
            let wanted: Vec<_> = self.fingerprints.iter().map(ToString::to_string).collect();
            return Err(Failure::refusal(
                Kind::Refused,
                Refusal {
                    code: "fingerprint-mismatch".to_owned(),
                    message: format!("{from} offers no key with the fingerprint given"),
                    wanted: wanted.join(" or "),
                    found: offered.join(", "),
                    rule: "only a key whose primary key has the fingerprint given is trusted"
                        .to_owned(),
                    next,
                },
            ));
        }
        for wanted in &self.fingerprints {
            if !chosen.iter().any(|certificate| certificate.fingerprint() == wanted) {
                context.warn(format_args!("{from} does not offer {wanted}"));
            }
        }
        Ok(chosen)
    }

    fn unreviewed(&self, offers: &[&Offer], scope: &Scope) -> Failure {
        let from = places(offers.iter().copied());
        let offered = offers.iter().flat_map(|offer| &offer.certificates);
        let found: Vec<_> =
            offered.map(|c| format!("{} ({})", c.fingerprint(), c.user_ids().join(", "))).collect();
        let mut commands = Vec::new();
        for offer in offers {
            let place =
                if self.from.is_empty() { String::new() } else { format!(" {}", offer.from) };
            commands.extend(offer.certificates.iter().map(|c| {
                let scope = scope_option(scope);
                format!("gantry trust add {scope} --fingerprint {}{place}", c.fingerprint())
            }));
        }
        Failure::refusal(
            Kind::Refused,
            Refusal {
                code: "key-unreviewed".to_owned(),
                message: format!("the keys from {from} were not compared, and nobody can be asked"),
                wanted: "a fingerprint to compare with, or a terminal to ask on".to_owned(),
                found: found.join(", "),
                rule: "what comes over the network is an offer, not a proof".to_owned(),
                next: format!(
                    "compare the fingerprint with the author's, then: {}",
                    commands.join(" or: ")
                ),
            },
        )
    }
}

/// Keys from a file or an https URL.
fn offer(context: &Context, from: &str) -> Result<Offer, Failure> {
    let (certificates, remote) = if from.contains("://") {
        let url: Url =
            from.parse().map_err(|error: url::ParseError| usage(format!("{from}: {error}")))?;
        (wait(context.client().keys_at(&url))?, true)
    } else {
        (read_file(Path::new(from))?, false)
    };
    Ok(Offer { certificates, remote, from: from.to_owned() })
}

/// Keys from the places the domain of a prefix names.
fn published(context: &Context, prefix: &Name) -> Result<Offer, Failure> {
    let published = wait(context.client().published_keys(prefix))?;
    for (location, error) in &published.failed {
        context.warn(format_args!("no keys from {}: {error}", location.url));
    }
    let from: Vec<_> = published.keys.iter().map(|keys| keys.location.url.to_string()).collect();
    Ok(Offer { certificates: published.into_certificates(), remote: true, from: from.join(", ") })
}

fn places<'a>(offers: impl Iterator<Item = &'a Offer>) -> String {
    offers.map(|offer| offer.from.as_str()).collect::<Vec<_>>().join(", ")
}

fn declined() -> Failure {
    Failure::refusal(
        Kind::Refused,
        Refusal {
            code: "key-declined".to_owned(),
            message: "no key was trusted".to_owned(),
            wanted: "yes to one of the keys shown".to_owned(),
            found: "no".to_owned(),
            rule: "a key from the network is trusted only when a person says so".to_owned(),
            next: "ask the author for the fingerprint, and give it with --fingerprint".to_owned(),
        },
    )
}

fn read_file(path: &Path) -> Result<Vec<Certificate>, Failure> {
    use std::io::Read;
    let limits = Limits::default();
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(limits.key_bytes + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Failed,
        };
        let error = anyhow::Error::new(error).context(format!("cannot read {}", path.display()));
        return Err(Failure::new(kind, error));
    }
    Certificate::read_all(&bytes, &limits).map_err(|error| {
        let error = anyhow::Error::new(error).context(path.display().to_string());
        Failure::new(Kind::Refused, error)
    })
}

/// Shows a key and asks until the answer is yes or no.
pub(super) fn review(
    certificate: &Certificate,
    scope: &Scope,
    from: &str,
) -> Result<bool, Failure> {
    let mut talk = io::stderr().lock();
    writeln!(talk, "key from {from}\n{}", describe(certificate))?;
    loop {
        write!(talk, "Trust this key for {scope}, after comparing its fingerprint? (yes/no) ")?;
        talk.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer).context("cannot read the answer")? == 0 {
            return Ok(false);
        }
        match answer.trim() {
            "yes" => return Ok(true),
            "no" => return Ok(false),
            _ => writeln!(talk, "Please say yes or no.")?,
        }
    }
}
