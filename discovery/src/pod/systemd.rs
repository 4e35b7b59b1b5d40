//! Units with which systemd supervises a pod's apps itself, without any container runtime.
//!
//! ```text
//! POD.target               all of it
//! POD.slice                the limits of the pod
//! POD-sandbox.service      holds the namespaces for network and IPC
//! POD-app-NAME.service     an app: its rootfs, identity, limits and event handlers
//! POD-port-NAME.socket     a port of the host, with a .service that leads into the network
//! POD-sock-NAME.socket     a port whose socket is handed to its app
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Openings, Pod, Written};
use crate::bundle::{Bundle, Config, Event, Network, Note};
use crate::runtime::Protocol;

/// How units are written.
#[derive(Debug)]
pub struct UnitOptions<'a> {
    /// The pod's name, with which the units' names begin.
    pub pod: &'a str,
    /// Where the pod is, an absolute path.
    pub folder: &'a Path,
    /// When systemd starts an app again: a value of `Restart=`.
    pub restart: &'a str,
    /// Which network the pod has.
    pub network: Network,
    /// `systemd-socket-proxyd`.
    pub proxy: &'a Path,
}

/// Units by file name, and what of the pod has no place in them.
pub fn units(
    pod: &Pod,
    written: &[Written],
    openings: &Openings,
    options: &UnitOptions<'_>,
) -> (BTreeMap<String, String>, Vec<Note>) {
    let name = options.pod;
    let (mut units, mut notes) = (BTreeMap::new(), Vec::new());
    let mut wanted = vec![format!("{name}-sandbox.service")];
    units.insert(format!("{name}-sandbox.service"), sandbox(options));
    units.insert(format!("{name}.slice"), slice(pod, written, options, &mut notes));
    let makes_devices =
        |one: &Written| one.bundle.config().process.capabilities.bounding.contains(&"CAP_MKNOD");
    if written.iter().any(makes_devices) {
        let told = "with the devices of PrivateDevices= alone, no device files can be made";
        notes.push(Note::modified("CAP_MKNOD", told));
    }
    for one in written {
        let unit = format!("{name}-app-{}.service", one.name);
        let sockets = openings.sockets.iter().filter(|socket| socket.app == one.name);
        let sockets: Vec<String> =
            sockets.map(|socket| format!("{name}-sock-{}.socket", socket.name)).collect();
        units.insert(unit.clone(), app(one, &sockets, options, &mut notes));
        wanted.push(unit);
    }
    for socket in &openings.sockets {
        let unit = format!("{name}-sock-{}.socket", socket.name);
        let at = format!("{}:{}", socket.address.0, socket.address.1);
        let service = format!("{name}-app-{}.service", socket.app);
        let text = listen(options, socket.protocol, &at, &service, Some(socket.name.as_str()));
        units.insert(unit.clone(), text);
        wanted.push(unit);
    }
    for forward in &openings.forwards {
        if forward.protocol == Protocol::Udp {
            let told = "systemd-socket-proxyd passes on TCP only";
            notes.push(Note::ignored(format!("port {}/udp", forward.host_port), told));
            continue;
        }
        let unit = format!("{name}-port-{}", forward.host_port);
        let at = format!("{}:{}", forward.address, forward.host_port);
        let service = format!("{unit}.service");
        units.insert(format!("{unit}.socket"), listen(options, Protocol::Tcp, &at, &service, None));
        units.insert(service, proxy(options, forward.port));
        wanted.push(format!("{unit}.socket"));
    }
    units.insert(format!("{name}.target"), target(options, &wanted));
    (units, notes)
}

fn target(options: &UnitOptions<'_>, wanted: &[String]) -> String {
    format!(
        "[Unit]\nDescription=The pod {}\nWants={}\n\n[Install]\nWantedBy=multi-user.target\n",
        options.pod,
        wanted.join(" ")
    )
}

fn sandbox(options: &UnitOptions<'_>) -> String {
    let mut text = head(&format!("The namespaces of the pod {}", options.pod), options);
    text.push_str("\n[Service]\nType=exec\nExecStart=/bin/sleep infinity\n");
    let _ = writeln!(text, "Slice={}.slice", options.pod);
    text.push_str(&shared(options));
    text
}

fn head(description: &str, options: &UnitOptions<'_>) -> String {
    format!("[Unit]\nDescription={}\nPartOf={}.target\n", percent(description), options.pod)
}

/// After the sandbox, and in its namespaces.
fn joined(options: &UnitOptions<'_>) -> String {
    let sandbox = format!("{}-sandbox.service", options.pod);
    format!("BindsTo={sandbox}\nAfter={sandbox}\nJoinsNamespaceOf={sandbox}\n")
}

fn shared(options: &UnitOptions<'_>) -> String {
    let network = if options.network == Network::Host { "" } else { "PrivateNetwork=yes\n" };
    format!("{network}PrivateIPC=yes\n")
}

fn listen(
    options: &UnitOptions<'_>,
    protocol: Protocol,
    at: &str,
    service: &str,
    name: Option<&str>,
) -> String {
    let mut text = head(&format!("A port of the pod {}", options.pod), options);
    let key = if protocol == Protocol::Tcp { "ListenStream" } else { "ListenDatagram" };
    let _ = writeln!(text, "\n[Socket]\n{key}={at}\nService={service}");
    if let Some(name) = name {
        let _ = writeln!(text, "FileDescriptorName={name}");
    }
    text
}

fn proxy(options: &UnitOptions<'_>, port: u16) -> String {
    let mut text = head(&format!("The way to port {port} of the pod {}", options.pod), options);
    text.push_str(&joined(options));
    let program = options.proxy.display();
    let _ = writeln!(text, "\n[Service]\nType=notify\nExecStart={program} 127.0.0.1:{port}");
    let _ = writeln!(text, "Slice={}.slice\nDynamicUser=yes", options.pod);
    text.push_str(&shared(options));
    text
}

fn slice(
    pod: &Pod,
    written: &[Written],
    options: &UnitOptions<'_>,
    notes: &mut Vec<Note>,
) -> String {
    let mut text =
        format!("[Unit]\nDescription=The limits of the pod {}\n\n[Slice]\n", options.pod);
    let limits = crate::bundle::limits(&pod.manifest().isolators).unwrap_or_default();
    for (name, value) in limits {
        let _ = writeln!(text, "{name}={value}");
    }
    let parameters = written.first().map(|one| &one.bundle.config().linux.sysctl);
    if parameters.is_some_and(|parameters| !parameters.is_empty()) {
        let told = "units have no property for kernel parameters of a network of their own";
        notes.push(Note::ignored("os/unix/sysctl", told));
    }
    text
}

fn app(
    one: &Written,
    sockets: &[String],
    options: &UnitOptions<'_>,
    notes: &mut Vec<Note>,
) -> String {
    let (bundle, config) = (&one.bundle, one.bundle.config());
    let folder = options.folder.join("apps").join(one.name.as_str());
    let mut text = head(&format!("The app {} of the pod {}", one.name, options.pod), options);
    text.push_str(&joined(options));
    if !sockets.is_empty() {
        let list = sockets.join(" ");
        let _ = writeln!(text, "Requires={list}\nAfter={list}");
    }
    text.push_str("\n[Service]\nType=exec\n");
    let _ = writeln!(text, "Slice={}.slice", options.pod);
    let _ = writeln!(text, "Restart={}", options.restart);
    commands(&mut text, bundle);
    if !sockets.is_empty() {
        let _ = writeln!(text, "Sockets={}", sockets.join(" "));
    }
    let root = folder.join("rootfs");
    let _ = writeln!(text, "RootDirectory={}", percent(&root.display().to_string()));
    text.push_str("MountAPIVFS=yes\nPrivateDevices=yes\nDevicePolicy=closed\n");
    text.push_str("ProtectKernelTunables=yes\nProtectKernelLogs=yes\nProtectControlGroups=yes\n");
    text.push_str(&shared(options));
    identity(&mut text, config);
    mounts(&mut text, config, &folder);
    limits(&mut text, config);
    seccomp(&mut text, config);
    if config.process.terminal {
        notes.push(Note::ignored(format!("app {}", one.name), "a unit has no terminal"));
    }
    text
}

/// The program between its event handlers.
fn commands(text: &mut String, bundle: &Bundle) {
    let config = bundle.config();
    let _ = writeln!(text, "ExecStart={}", command(bundle.program(), &config.process.args));
    for (event, key) in [(Event::PreStart, "ExecStartPre"), (Event::PostStop, "ExecStopPost")] {
        if let Some((program, args)) = bundle.handler(event) {
            let _ = writeln!(text, "{key}={}", command(program, args));
        }
    }
    for variable in &config.process.env {
        // systemd says these itself.
        if !variable.starts_with("LISTEN_") {
            let _ = writeln!(text, "Environment={}", quoted(variable));
        }
    }
    let _ = writeln!(text, "WorkingDirectory={}", percent(&config.process.cwd));
}

/// `:` so that `$` is left alone; `@` so that the first argument is the image's own.
fn command(program: &str, args: &[String]) -> String {
    let words: Vec<String> = args.iter().map(|word| quoted(word)).collect();
    format!(":@{} {}", quoted(program), words.join(" "))
}

fn identity(text: &mut String, config: &Config) {
    let process = &config.process;
    let _ = writeln!(text, "User={}\nGroup={}", process.user.uid, process.user.gid);
    if !process.user.additional_gids.is_empty() {
        let groups: Vec<String> =
            process.user.additional_gids.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "SupplementaryGroups={}", groups.join(" "));
    }
    let _ = writeln!(text, "CapabilityBoundingSet={}", process.capabilities.bounding.join(" "));
    if process.no_new_privileges {
        text.push_str("NoNewPrivileges=yes\n");
    }
    if let Some(adjustment) = process.oom_score_adj {
        let _ = writeln!(text, "OOMScoreAdjust={adjustment}");
    }
    if let Some(profile) = &process.apparmor_profile {
        let _ = writeln!(text, "AppArmorProfile={}", percent(profile));
    }
    if let Some(label) = &process.selinux_label {
        let _ = writeln!(text, "SELinuxContext={}", percent(label));
    }
}

fn mounts(text: &mut String, config: &Config, folder: &Path) {
    if config.root.readonly {
        text.push_str("ReadOnlyPaths=/\n");
    }
    // What systemd mounts by itself.
    let own = ["/dev/console", "/sys"];
    let binds = config.mounts.iter().filter(|mount| mount.kind == "bind");
    for mount in binds.filter(|mount| !own.contains(&mount.destination.as_str())) {
        let has = |option: &str| mount.options.iter().any(|found| found == option);
        let key = if has("ro") { "BindReadOnlyPaths" } else { "BindPaths" };
        let kind = if has("rbind") { "rbind" } else { "norbind" };
        // From apps/NAME, `..` is the pod's own folder.
        let source =
            crate::bundle::volumes::tidy(&folder.join(&mount.source).display().to_string());
        let colons = |path: &str| path.replace('\\', "\\\\").replace(':', "\\:");
        let (source, destination) =
            (colons(&source.display().to_string()), colons(&mount.destination));
        let _ = writeln!(text, "{key}={}", quoted(&format!("{source}:{destination}:{kind}")));
        if config.root.readonly && !has("ro") {
            let _ = writeln!(text, "ReadWritePaths={}", quoted(&mount.destination));
        }
    }
}

fn limits(text: &mut String, config: &Config) {
    let Some(resources) = &config.linux.resources else { return };
    for (name, value) in crate::bundle::properties(resources) {
        let _ = writeln!(text, "{name}={value}");
    }
}

fn seccomp(text: &mut String, config: &Config) {
    let Some(filter) = &config.linux.seccomp else { return };
    let _ = writeln!(text, "SystemCallArchitectures=native{}", architectures());
    let allows = filter.default_action != "SCMP_ACT_ALLOW";
    if let Some(errno) = filter.default_errno_ret {
        let _ = writeln!(text, "SystemCallErrorNumber={errno}");
    }
    for rule in &filter.syscalls {
        let suffix = match rule.errno_ret {
            Some(errno) => format!(":{errno}"),
            None if allows => String::new(),
            None => ":kill".to_owned(),
        };
        let names: Vec<String> = rule.names.iter().map(|name| format!("{name}{suffix}")).collect();
        let sign = if allows { "" } else { "~" };
        let _ = writeln!(text, "SystemCallFilter={sign}{}", percent(&names.join(" ")));
    }
}

fn architectures() -> &'static str {
    if std::env::consts::ARCH == "x86_64" { " x86 x32" } else { "" }
}

/// `%` begins a specifier.
fn percent(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace('%', "%%")
}

/// One word (systemd.syntax(7), "Quoting").
fn quoted(text: &str) -> String {
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '\n' => word.push_str("\\n"),
            '\t' => word.push_str("\\t"),
            '%' => word.push_str("%%"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(word, "\\x{byte:02x}");
                }
            }
            c => word.push(c),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_so_that_nothing_in_them_is_special() {
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("\"%\\\n"), "\"\\\"%%\\\\\\n\"");
        assert_eq!(quoted("\u{1}"), "\"\\x01\"");
        let args = ["probe".to_owned(), "$HOME".to_owned(), ";".to_owned()];
        assert_eq!(command("/bin/probe", &args), ":@\"/bin/probe\" \"probe\" \"$HOME\" \";\"");
        assert_eq!(percent("a%b\nc"), "a%%b c");
    }
}
