//! Where a registry is looked after: on its data, or by asking its server.

use std::path::PathBuf;

use aci::Refuse as _;
use discovery::push::{Administered, PushError, Verb};
use registry::Place;
use registry::admin::Unfit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::super::client::{self, failure};
use super::super::push::token;
use super::{Context, DatabaseArgs, Failure, Kind};

/// No body.
const NOTHING: Option<&()> = None;

/// Which registry, and where it is looked after.
#[derive(clap::Args)]
pub(super) struct AtArgs {
    /// The registry's data directory
    #[arg(long, value_name = "DIR", env = "GANTRY_DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Ask the registry at this address, in the place of its data directory; the token must allow
    /// `admin` there
    #[arg(long, value_name = "URL")]
    registry: Option<Url>,
    /// Read the token from this file [default: the variable GANTRY_TOKEN]
    #[arg(long, value_name = "FILE", requires = "registry")]
    token_file: Option<PathBuf>,
}

/// Where a registry is looked after.
pub(super) enum At {
    /// On its data directory.
    Data(Place),
    /// Where its server is asked.
    Server(Box<Asked>),
}

/// A server that is asked.
pub(super) struct Asked(Administered);

impl AtArgs {
    pub(super) fn at(&self, context: &Context) -> Result<At, Failure> {
        let Some(url) = &self.registry else {
            let usage = || {
                anyhow::anyhow!(
                    "which registry? give --data DIR for its data directory, or --registry URL to \
                     ask its server"
                )
            };
            let data = self.data.clone().ok_or_else(|| Failure::new(Kind::Usage, usage()))?;
            return Ok(At::Data(self.database.of(data)));
        };
        #[expect(clippy::disallowed_methods, reason = "what stands there is no option")]
        let variable = std::env::var_os("GANTRY_DATA").filter(|value| !value.is_empty());
        let variable = variable.map(PathBuf::from);
        if self.data != variable {
            let error = anyhow::anyhow!("--data and --registry both say which registry; give one");
            return Err(Failure::new(Kind::Usage, error));
        }
        let token = token(self.token_file.as_deref())?;
        // The other commands of a registry have no use for a client's configuration.
        let mut context = context.clone();
        context.configure()?;
        let asked = Administered::new(context.client(), url, token).map_err(failure)?;
        Ok(At::Server(Box::new(Asked(asked))))
    }
}

impl Asked {
    /// What is there.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        self.ask(Verb::Get, path, query, NOTHING)
    }

    /// What comes of something that is made, or done.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.ask(Verb::Post, path, &[], Some(body))
    }

    /// What it becomes.
    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.ask(Verb::Put, path, &[], Some(body))
    }

    /// It goes.
    pub(super) fn delete(&self, path: &str, query: &[(&str, String)]) -> Result<(), Failure> {
        self.ask(Verb::Delete, path, query, NOTHING)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        verb: Verb,
        path: &str,
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.0.ask(verb, path, query, body)).map_err(refused)
    }
}

/// What is not there is absent, as on the data directory. That there is nothing at the path at all
/// is something else: another server, or an older one.
fn refused(error: PushError) -> Failure {
    let absent = ["token-unknown", "user-unknown", "rule-unknown", "policy-unknown", "key-unknown"];
    match error {
        PushError::Refused { status: 404, refusal, .. } if absent.contains(&&*refusal.code) => {
            Failure::Refusal(Kind::Absent, refusal)
        }
        error => client::failure(error),
    }
}

/// What is not there, or is there already, on the data directory.
pub(super) fn unfit(unfit: &Unfit) -> Failure {
    let kind = if unfit.exists() { Kind::Server } else { Kind::Absent };
    Failure::refusal(kind, unfit.refusal())
}
