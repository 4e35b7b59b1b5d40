//! Why a pod cannot be made.

use std::io;
use std::path::PathBuf;

use aci::{ManifestError, Refusal, Refuse};

use crate::bundle::BundleError;
use crate::error::{Kind, refusal};
use crate::render::RenderError;
use crate::store::StoreError;

/// Why a pod was not made.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The pod manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An app's image is not in the store.
    #[error("the image {id} of the app {app} is not in the store")]
    ImageAbsent {
        /// The app.
        app: String,
        /// The image ID.
        id: String,
        /// The name that the pod gives it, where it does.
        name: Option<String>,
    },
    /// The pod says something else of an image than the image itself.
    #[error("the app {app} says that its image has the {what} {wanted:?}, and it has {found:?}")]
    ImageMismatch {
        /// The app.
        app: String,
        /// `name`, or which label.
        what: String,
        /// As the pod has it.
        wanted: String,
        /// As the image has it.
        found: String,
    },
    /// Two apps of one name.
    #[error("two apps are called {0}")]
    NameTwice(String),
    /// No name can be made out of the image's.
    #[error("no name for an app can be made out of {0:?}")]
    NameEmpty(String),
    /// A port of the host for none of an app's.
    #[error("the port {name:?} was not found in any app")]
    PortAbsent {
        /// Its name.
        name: String,
    },
    /// A port of the host for more than one.
    #[error("the port {name:?} is one of several apps: {}", apps.join(", "))]
    PortAmbiguous {
        /// Its name.
        name: String,
        /// Who has one.
        apps: Vec<String>,
    },
    /// A port of the host for one of another protocol.
    #[error("the port {name:?} speaks {protocol:?}, and only tcp and udp can be passed on")]
    Protocol {
        /// Its name.
        name: String,
        /// What it speaks.
        protocol: String,
    },
    /// Numbers beyond the last port.
    #[error("the ports of {name:?} go beyond 65535")]
    PortBeyond {
        /// Its name.
        name: String,
    },
    /// Another port of the host, with the host's network.
    #[error("the port {name:?} is {port} in the host's network, and not {host_port}")]
    PortMoved {
        /// Its name.
        name: String,
        /// Where the program opens it.
        port: u16,
        /// Where it was wanted.
        host_port: u16,
    },
    /// A port of the host without a network behind it.
    #[error("the port {name:?} leads nowhere: there is no network but a loopback interface")]
    NoNetwork {
        /// Its name.
        name: String,
    },
    /// Rendering an app.
    #[error("the app {app}: {source}")]
    Render {
        /// The app.
        app: String,
        /// What went wrong.
        #[source]
        source: Box<RenderError>,
    },
    /// The app, or one of its volumes.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The target is there already.
    #[error("{} exists", .0.display())]
    Occupied(PathBuf),
    /// A file or folder.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

impl PodError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Manifest(_)
            | Self::NameTwice(_)
            | Self::NameEmpty(_)
            | Self::PortAbsent { .. }
            | Self::PortAmbiguous { .. }
            | Self::Protocol { .. }
            | Self::PortBeyond { .. }
            | Self::PortMoved { .. }
            | Self::NoNetwork { .. } => Kind::Usage,
            Self::Store(error) => error.kind(),
            Self::ImageAbsent { .. } => Kind::NotFound,
            Self::ImageMismatch { .. } => Kind::Refused,
            Self::Render { source, .. } => source.kind(),
            Self::Bundle(_) | Self::Occupied(_) | Self::Io { .. } => Kind::Failed,
        }
    }
}

impl Refuse for PodError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Manifest(error) => refusal(
                "pod-manifest",
                self,
                "a pod manifest as the specification describes it",
                error.to_string(),
                "a pod manifest says what runs together (pods.md)",
                "gantry validate shows each fault with its place",
            ),
            Self::Store(error) => error.refusal(),
            Self::Render { source, .. } => {
                Refusal { message: self.to_string(), ..source.refusal() }
            }
            Self::Bundle(error) => error.refusal(),
            Self::ImageAbsent { id, name, .. } => refusal(
                "image-absent",
                self,
                id.clone(),
                "no such image in the store",
                "a pod names its images by image ID (pods.md, \"image\")",
                match name {
                    Some(name) => format!("gantry fetch {name}"),
                    None => "fetch the image first".to_owned(),
                },
            ),
            Self::ImageMismatch { wanted, found, what, .. } => refusal(
                "image-mismatch",
                self,
                format!("{what} {wanted}"),
                found.clone(),
                "what a pod says of an image must be so, or one of the two is a mistake",
                "correct the pod manifest: its id, or its name and labels",
            ),
            Self::NameTwice(name) => refusal(
                "app-name",
                self,
                "names that are unique in the pod",
                name.clone(),
                "the name of an app is unique within its pod (pods.md, \"apps\")",
                "write the pod manifest by hand, and give one of them another name",
            ),
            Self::NameEmpty(name) => refusal(
                "app-name",
                self,
                "lower-case letters, digits and hyphens",
                name.clone(),
                "an app's name is an AC Name (types.md)",
                "give one with --name",
            ),
            Self::Occupied(path) => refusal(
                "target-exists",
                self,
                "a folder that does not exist yet, or is empty",
                format!("something at {}", path.display()),
                "nothing that exists is overwritten or mixed with a pod",
                "give another folder, or remove that one",
            ),
            Self::Io { path, source } => refusal(
                "pod-io",
                self,
                "a folder that can be written",
                format!("{}: {source}", path.display()),
                "a pod is a folder of bundles",
                "check that the file system is writable and has room",
            ),
            other => other.refused_port(),
        }
    }
}

impl PodError {
    fn refused_port(&self) -> Refusal {
        let (wanted, next) = match self {
            Self::PortAmbiguous { .. } => (
                "a port name that one app has",
                "give the pod port itself in the pod manifest: podPort",
            ),
            Self::Protocol { .. } => ("tcp or udp", "use the host's network: --net host"),
            Self::PortMoved { .. } => {
                ("the port that the program opens", "use a network of its own: --net private")
            }
            Self::NoNetwork { .. } => {
                ("a network of its own, or the host's", "--net private, or --net host")
            }
            Self::PortBeyond { .. } => ("ports up to 65535", "begin with a smaller one"),
            _ => (
                "the name of a port of an app",
                "gantry image manifest shows the ports of an image, app.ports",
            ),
        };
        refusal(
            "port",
            self,
            wanted,
            self.to_string(),
            "a port of the host is for the app's port of its name (pods.md, \"ports\")",
            next,
        )
    }
}
