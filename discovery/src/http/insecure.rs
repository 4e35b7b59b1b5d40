//! What can be given up, one thing at a time.

/// What the user gives up for one command. Nothing is by default, and no file can say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Insecure {
    /// Certificates are not checked: anybody on the way can answer in a server's place.
    pub skip_tls_verify: bool,
    /// Pages, signatures and images may come over plain http.
    pub allow_http: bool,
    /// Keys may come over plain http.
    pub keys_over_http: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A discovery page, a signature or an image.
    Files,
    /// A file of keys.
    Keys,
}

impl Insecure {
    /// What is given up, to be said each time.
    pub fn warnings(&self) -> Vec<&'static str> {
        let all = [
            (
                self.skip_tls_verify,
                "certificates are not checked: anybody on the way can see what is asked and \
                 answer it; no credentials are sent",
            ),
            (
                self.allow_http,
                "plain http is allowed: anybody on the way can see what is asked and answer it; \
                 signatures are still checked",
            ),
            (
                self.keys_over_http,
                "keys may come over plain http: anybody on the way can offer keys of their own; \
                 compare the fingerprints",
            ),
        ];
        all.into_iter().filter(|(given_up, _)| *given_up).map(|(_, text)| text).collect()
    }

    /// Whether plain http will do for this.
    pub(crate) fn http_for(self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Files => self.allow_http,
            Purpose::Keys => self.keys_over_http,
        }
    }
}
