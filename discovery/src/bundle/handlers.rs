//! Event handlers: programs of the image that run before and after its own (spec: aci.md,
//! "eventHandlers").
//!
//! OCI hooks run at other times, in other namespaces and as other users. So each handler is a
//! container of its own: the app's configuration, the app's files and volumes, and the
//! handler's program in the app's place.

use aci::manifest::App;

use super::config::{Config, Process};
use super::mounts::Occupied;
use super::note::Note;
use super::{BundleError, BundleOptions, process};
use aci::root::Root;

/// When a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Before the app; the app is not started where it fails.
    PreStart,
    /// After the app, however that ended.
    PostStop,
}

impl Event {
    /// The word of the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreStart => "pre-start",
            Self::PostStop => "post-stop",
        }
    }
}

/// A handler as a container.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) event: Event,
    /// Where its program is, inside the rootfs.
    pub(super) program: String,
    pub(super) config: Config,
}

/// The app's handlers, as configurations seen from a folder in the bundle.
pub(super) fn build(
    root: &Root,
    app: &App,
    config: &Config,
    env: &[(String, String)],
    occupied: &[Occupied],
) -> Result<Vec<Handler>, BundleError> {
    let mut handlers = Vec::new();
    for event in [Event::PreStart, Event::PostStop] {
        let found = app.event_handlers.iter().find(|handler| handler.name == event.as_str());
        let Some(handler) = found else { continue };
        let args = process::arguments(&handler.exec)?;
        let program = process::program(root, &args[0], env, &config.process.cwd, occupied)?;
        let mut config = config.seen_from("..".as_ref());
        // The app's sockets are not its own.
        let env = config.process.env.into_iter().filter(|one| !one.starts_with("LISTEN_"));
        config.process = Process { args, terminal: false, env: env.collect(), ..config.process };
        handlers.push(Handler { event, program, config });
    }
    Ok(handlers)
}

/// Tells who runs them.
pub(super) fn note(handlers: &[Handler], options: &BundleOptions, notes: &mut Vec<Note>) {
    let supervised = options.shared.as_ref().is_some_and(|shared| shared.supervised);
    for handler in handlers {
        let event = handler.event.as_str();
        let subject = format!("eventHandler {event}");
        notes.push(if supervised {
            let when = match handler.event {
                Event::PreStart => "before the app",
                Event::PostStop => "after the app",
            };
            Note::enforced(subject, format!("it runs {when}, as the app does"))
        } else {
            let told = format!(
                "no OCI hook runs as an app does: it is a bundle of its own, in {event}/, to be run by hand"
            );
            Note::modified(subject, told)
        });
    }
}
