//! What an image's author says of it since. A registry's `Gantry-Yanked` says where the statement is;
//! what counts is the statement, signed by a key that is trusted for the name. The image stays what it
//! is: whoever asks for its version or ID is warned, and has it.

use aci::yank::{SignedYank, Yank};
use aci::{ImageId, Name};
use reqwest::header::{HeaderMap, HeaderName};
use url::Url;

use super::{Fetch, Place};
use crate::error::printable;
use crate::http::{Purpose, cache};

const YANKED: HeaderName = HeaderName::from_static("gantry-yanked");
/// Bytes of an answer beside those of the signature, escapes included.
const STATEMENT_BYTES: u64 = 8 * aci::yank::MAX_BYTES as u64;

impl Fetch<'_> {
    /// A warning, where the answer of this URL says that the image was withdrawn.
    pub(super) async fn withdrawn(
        &self,
        place: &Place<'_>,
        answer: (&Url, &HeaderMap),
        name: &Name,
        image_id: &ImageId,
    ) -> Option<String> {
        let (url, headers) = answer;
        let path = cache::text(headers, &YANKED)?;
        match self.statement(place, url, &path, name, image_id).await {
            Ok(Yank { yanked: false, .. }) => None,
            Ok(Yank { reason, issued, .. }) => {
                let why = if reason.is_empty() { "no reason was given" } else { &reason };
                let day = issued.strftime("%Y-%m-%d");
                Some(format!("its author withdrew this image on {day}: {}", printable(why)))
            }
            Err(why) => Some(format!(
                "the server says that its author withdrew this image, and cannot show it: {}",
                printable(&why)
            )),
        }
    }

    /// What was said, where a trusted key has said it of this very image.
    async fn statement(
        &self,
        place: &Place<'_>,
        url: &Url,
        path: &str,
        name: &Name,
        image_id: &ImageId,
    ) -> Result<Yank, String> {
        let at = url.join(path).ok().filter(|at| at.origin() == url.origin());
        let at = at.ok_or_else(|| format!("{path:?} is no path on it"))?;
        let (http, limits) = (&self.client.http, self.limits());
        let limit = limits.signature_bytes.saturating_add(STATEMENT_BYTES);
        let bytes = http.document(Purpose::Files, place.route, &at, limit).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        let SignedYank { statement, signature } =
            serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let (statement, signature) = (statement.as_bytes(), signature.as_bytes());
        let said = Yank::read(statement).map_err(|error| error.to_string())?;
        if said.name != *name || said.image_id != *image_id {
            return Err("the statement is about another image".to_owned());
        }
        let (keyring, policy) = (&self.trust.keyring, &self.trust.policy);
        keys::verify_for(name, statement, signature, keyring, policy, limits)
            .map_err(|error| error.to_string())?;
        Ok(said)
    }
}
