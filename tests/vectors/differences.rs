//! Where `gantry` means to do otherwise than rkt, and why.

use serde_json::Value;

use super::{Case, Outcome};

const TRUST_FIRST: &str = "rkt looks for keys in the middle of a fetch and asks whether to \
    trust them; here gantry trust add does, before, so that a fetch never asks, and looks for \
    keys only where a signer is not known, to name them";
const NO_HEAD: &str = "rkt sends HEAD before it takes a download up again; here the GET itself \
    says by If-Range which file is meant, so HEAD is never sent, and a partial file in rkt's \
    store is none of ours";
const SIGNED: &str = "rkt stores what nobody signed, with --insecure-options=image; here signatures \
    cannot be given up";

type Difference = (&'static str, &'static [&'static str], &'static str);

/// Scenario, the beginnings of all that is otherwise, reason.
const DIFFERENCES: &[Difference] = &[
    ("fetch-by-name-untrusted-no-tty", &["step 0: in another order"], TRUST_FIRST),
    ("fetch-review-yes", &["step 0: in another order"], TRUST_FIRST),
    (
        "fetch-review-no",
        &[
            "step 0: besides GET https://example.com/app?ac-discovery=1",
            "step 0: besides GET https://example.com/?ac-discovery=1",
            "step 0: besides GET https://example.com/pubkeys.gpg",
        ],
        TRUST_FIRST,
    ),
    (
        "fetch-bad-os-arch",
        &[
            "step 2: besides GET https://example.com/app?ac-discovery=1",
            "step 2: besides GET https://example.com/?ac-discovery=1",
        ],
        "rkt fetches only what it could run; here an image for any platform of the spec is fetched \
         when its labels are asked for, and what cannot run is refused where it is to run",
    ),
    (
        "two-endpoints-no-fall-through",
        &[
            "step 0: besides GET https://mirror.example.com/live/example.com/app.aci",
            "step 0: without GET https://mirror.example.com/dead/example.com/app.aci",
            "step 0: exit 0, rkt 254",
        ],
        "rkt asks the first endpoint only; here the next one is asked where one has not the \
         signature, as discovery.md has it",
    ),
    (
        "url-fetch-http",
        &["step 0: without GET http://", "step 0: exit 5, rkt 0"],
        "rkt takes images over http without a word; here that is refused without \
         --insecure-allow-http",
    ),
    (
        "signature-flag",
        &["step 3: exit 0, rkt 254"],
        "rkt wants --signature after the image it is for; here it is for the one image given, so \
         its place says nothing",
    ),
    (
        "pull-policy-name",
        &["step 7: exit 3, rkt 0"],
        "rkt takes an unknown pull policy for new; here it is refused",
    ),
    (
        "interrupted-download",
        &[
            "step 0: besides GET https://example.com/app.aci [Range: bytes=153600-]",
            "step 0: exit 0, rkt 254",
        ],
        "rkt gives a download up that breaks off; here the rest is asked for",
    ),
    (
        "resume-last-modified-older",
        &[
            "step 0: besides GET https://example.com/app.aci",
            "step 0: without HEAD https://example.com/app.aci",
            "step 0: without GET https://example.com/app.aci [Range: bytes=153600-]",
        ],
        NO_HEAD,
    ),
    ("resume-no-validators", &["step 0: without HEAD https://example.com/app.aci"], NO_HEAD),
    ("resume-no-accept-ranges", &["step 0: without HEAD https://example.com/app.aci"], NO_HEAD),
    ("resume-last-modified-newer", &["step 0: without HEAD https://example.com/app.aci"], NO_HEAD),
    ("resume-etag-only", &["step 0: without HEAD https://example.com/app.aci"], NO_HEAD),
    ("resume-accept-ranges-none", &["step 0: without HEAD https://example.com/app.aci"], NO_HEAD),
    ("resume-head-405", &["step 0: without HEAD https://example.com/app.aci"], NO_HEAD),
    (
        "resume-416",
        &[
            "step 0: without HEAD https://example.com/app.aci",
            "step 0: without GET https://example.com/app.aci [Range: bytes=153600-]",
        ],
        NO_HEAD,
    ),
    (
        "resume-after-kill",
        &[
            "step 1: besides GET https://example.com/app.aci",
            "step 1: without HEAD https://example.com/app.aci",
        ],
        "rkt writes each read down as it comes; here bytes are verified and written in pieces of \
         256 KiB, so a kill after less leaves nothing to take up, and the file is asked for anew",
    ),
    (
        "auth-redirect-other-host",
        &[
            "step 1: besides GET https://other.org/app.aci [Authorization: Bearer t]",
            "step 1: without GET https://other.org/app.aci",
        ],
        "rkt sends the target of a redirect no credentials; here it gets those that are its own",
    ),
    (
        "auth-redirect-subdomain",
        &[
            "step 0: besides GET https://mirror.example.com/app.aci",
            "step 0: without GET https://mirror.example.com/app.aci [Authorization",
        ],
        "rkt hands a host's credentials to its subdomains on a redirect; here they are sent to \
         exactly that host",
    ),
    (
        "trust-root-key-only",
        &[
            "step 0: without GET https://example.com/app?ac-discovery=1",
            "step 0: without GET https://example.com/?ac-discovery=1",
            "step 0: without GET https://example.com/pubkeys.gpg",
        ],
        "rkt looks for keys though one that is trusted for every name has signed; here nothing is \
         asked for that nothing hangs on",
    ),
    (
        "redirect-loop",
        &["step 0: besides GET https://example.com/app.aci"],
        "rkt gives up at the tenth redirect; here ten are followed, as is documented, and the \
         eleventh is refused",
    ),
    (
        "auth-discovery",
        &[
            "step 0: besides GET https://example.com/pubkeys.gpg [Authorization",
            "step 0: without GET https://example.com/pubkeys.gpg",
        ],
        "rkt asks for keys without credentials; here they are sent with all that is asked of \
         their host, for a private domain hides its keys as well",
    ),
    (
        "trust-discovery-second-key-missing",
        &["step 0: exit 0, rkt 254"],
        "rkt adds the keys before the place that fails and then fails itself; here the keys of \
         the other places are on offer, and that one is warned of",
    ),
    (
        "trust-http-then-https",
        &[
            "step 0: besides GET https://example.com/a.gpg",
            "step 0: exit 0, rkt 254",
            "keystore: [\"local/trustedkeys/prefix.d/example.com/app/{fp:alice}\", \
             \"local/trustedkeys/prefix.d/example.com/app/{fp:bob}\"]",
        ],
        "rkt trusts keys from https unseen and asks about those from http; here --yes is for all \
         keys on offer, and http has an option of its own, which both were given",
    ),
    ("fetch-unsigned-file-secure-default", &["step 2: exit 4, rkt 0"], SIGNED),
    (
        "fetch-insecure-name-mismatch",
        &["step 0: exit 5, rkt 0", "step 1: printed [], rkt [\"example.com/other:9\"]"],
        "rkt compares no names where it checks no signatures; here the name in the image is \
         always the one that was asked for",
    ),
    (
        "fetch-pubkey-http",
        &[
            "step 0: besides GET https://example.com/app?ac-discovery=1",
            "step 0: besides GET https://example.com/?ac-discovery=1",
            "step 1: besides GET https://example.com/app?ac-discovery=1",
            "step 1: besides GET https://example.com/?ac-discovery=1",
            "step 2: in another order",
        ],
        TRUST_FIRST,
    ),
    (
        "deps-policy-new",
        &["step 3: printed [\"localhost/image-b:1\", \"localhost/image-base:1\", \
          \"localhost/image-e:1\", \"localhost/image-d:1\", \"localhost/image-c:1\", \
          \"localhost/image-a:1\"]"],
        "rkt stores an image before those that it needs; here after them, so that none in the \
         store lacks one",
    ),
    (
        "deps-policy-update",
        &[
            "step 0: without GET https://localhost/?ac-discovery=1",
            "step 0: without GET https://localhost/image-b?ac-discovery=1",
            "step 0: without GET https://localhost/localhost/image-b.aci",
            "step 0: without GET https://localhost/image-e?ac-discovery=1",
            "step 0: without GET https://localhost/localhost/image-e.aci",
            "step 0: without GET https://localhost/image-base?ac-discovery=1",
            "step 0: without GET https://localhost/localhost/image-base.aci",
        ],
        "rkt fetches an image once for each that needs it; here once",
    ),
    (
        "deps-missing",
        &["step 1: printed [], rkt [\"localhost/top:1\"]"],
        "rkt keeps an image though one that it needs could not be had; here neither is stored",
    ),
    (
        "trust-two-keys-file",
        &["keystore: [\"local/trustedkeys/prefix.d/example.com/{fp:alice}\", \
           \"local/trustedkeys/prefix.d/example.com/{fp:bob}\"]"],
        "rkt shows all keys of a file and adds the first; here all are added, each to a file of \
         its own",
    ),
    (
        "trust-prefix-text-bug",
        &["step 0: exit 5, rkt 0"],
        "rkt compares prefixes as texts, so that example.com/foo covers example.com/foobar; here \
         they cover whole path segments",
    ),
    (
        "image-list",
        &["step 11: exit 3, rkt 0"],
        "rkt sorts by several columns; here by one, and --json is there for any other order",
    ),
    (
        "image-rm",
        &[
            "step 3: exit 2, rkt 0",
            "step 4: exit 2, rkt 0",
            "step 6: exit 2, rkt 0",
            "step 7: printed [\"example.com/two:2.0\"], rkt []",
        ],
        "rkt removes what is there and ends well though others were not; here nothing is removed \
         where one is absent, and the exit code is 2",
    ),
    (
        "export",
        &["not so: exported file identical to the uncompressed tar"],
        "rkt exports the uncompressed archive, to which no signature belongs; here image and \
         signature are given out byte for byte as their author made them",
    ),
    (
        "extract-render",
        &["step 5: exit 3, rkt 0"],
        "rkt deletes a folder to extract in its place; here a folder that holds something is \
         refused, and only its owner removes it",
    ),
    (
        "insecure-options",
        &["step 1: exit 0, rkt 254"],
        "rkt refuses a word given twice in its list; here each thing that can be given up is an \
         option of its own, and there is no such list",
    ),
    (
        "fetch-args",
        &[
            "step 1: besides GET https://example.com/app?ac-discovery=1",
            "step 1: besides GET https://example.com/?ac-discovery=1",
        ],
        "rkt keeps what follows -- for the app, and refuses it here; for gantry fetch more images \
         follow, so the first of the two is asked for",
    ),
    (
        "prepare-overrides",
        &[
            "step 0: /apps/0/app/isolators/0/value/request is null, rkt \"512M\"",
            "step 0: /apps/0/app/isolators/1/value/request is null, rkt \"500m\"",
        ],
        "rkt asks for all of a limit as a share that is assured as well; here --memory and --cpu \
         are limits, as their help says",
    ),
    (
        "prepare-inherit-env",
        &["step 0: exit 3, rkt 0"],
        "rkt lets the caller's environment into the pod; here a pod manifest says what was asked \
         for by --env or --env-file, and is the same for every caller",
    ),
];

/// Whether a scenario is said to end otherwise.
pub(super) fn lists(case: &Case) -> bool {
    listed(case).is_some()
}

/// Why a scenario may end otherwise, where it does so as it is listed and in nothing else.
pub(super) fn reason(case: &Case, got: &Outcome) -> Option<&'static str> {
    let (_, meant, reason) = listed(case)?;
    let found = got.as_ref().ok()?.as_array()?;
    let begins =
        |found: &Value, meant: &str| found.as_str().is_some_and(|it| it.starts_with(meant));
    let as_listed = found.iter().all(|found| meant.iter().any(|meant| begins(found, meant)))
        && meant.iter().all(|meant| found.iter().any(|found| begins(found, meant)));
    as_listed.then_some(*reason)
}

fn listed(case: &Case) -> Option<&'static Difference> {
    let name = case.id.strip_prefix("rkt_cli/")?;
    DIFFERENCES.iter().find(|(id, ..)| *id == name)
}
