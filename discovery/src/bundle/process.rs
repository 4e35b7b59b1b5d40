//! The program, its arguments, its environment and where it starts
//! (spec: aci.md, "app"; ace.md, "Execution Environment").

use std::path::{Path, PathBuf};

use aci::manifest::App;

use super::BundleError;
use super::mounts::Occupied;
use super::users::Identity;
use aci::root::{Root, clean, is_file, is_folder};

/// The spec's PATH for apps that bring none.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program and its arguments, or an event handler's.
pub(super) fn arguments(exec: &[String]) -> Result<Vec<String>, BundleError> {
    if exec.first().is_none_or(String::is_empty) {
        return Err(BundleError::NoProgram);
    }
    match exec.iter().find(|argument| argument.contains('\0')) {
        Some(argument) => Err(BundleError::Nul(format!("the argument {argument:?}"))),
        None => Ok(exec.to_vec()),
    }
}

/// What the executor says of itself and the app to every process of the app.
pub(super) struct Executor<'a> {
    pub(super) app_name: &'a str,
    /// The kind of the terminal, where there is one.
    pub(super) terminal: Option<&'a str>,
    pub(super) metadata_url: Option<&'a str>,
}

/// The environment: the image's own, in its order; then what the spec and rkt add
/// where the image has no word of it; then what the executor says of itself.
pub(super) fn environment(
    app: &App,
    identity: &Identity,
    executor: &Executor<'_>,
) -> Result<Vec<(String, String)>, BundleError> {
    let mut environment = Vec::<(String, String)>::new();
    for variable in &app.environment {
        if variable.name.is_empty() || variable.name.contains('=') {
            return Err(BundleError::VariableName(variable.name.clone()));
        }
        if variable.name.contains('\0') || variable.value.contains('\0') {
            return Err(BundleError::Nul(format!("the environment variable {:?}", variable.name)));
        }
        set(&mut environment, &variable.name, &variable.value);
    }
    let account = identity.account.as_ref();
    let root = identity.uid == 0;
    let field = |field: Option<&str>, other: &str| match field {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => other.to_owned(),
    };
    let name = field(account.map(|a| a.name.as_str()), if root { "root" } else { "" });
    let home = field(account.map(|a| a.home.as_str()), if root { "/root" } else { "/" });
    let shell = field(account.map(|a| a.shell.as_str()), "/bin/sh");
    let defaults = [
        ("PATH", PATH),
        ("SHELL", &shell),
        ("USER", &name),
        ("LOGNAME", &name),
        ("HOME", &home),
        ("TERM", executor.terminal.unwrap_or_default()),
    ];
    for (name, value) in defaults {
        if !value.is_empty() && value_of(&environment, name).is_none() {
            set(&mut environment, name, value);
        }
    }
    set(&mut environment, "AC_APP_NAME", executor.app_name);
    if let Some(url) = executor.metadata_url {
        set(&mut environment, "AC_METADATA_URL", url);
    }
    set(&mut environment, "container", "gantry");
    Ok(environment)
}

fn set(environment: &mut Vec<(String, String)>, name: &str, value: &str) {
    environment.retain(|(known, _)| known != name);
    environment.push((name.to_owned(), value.to_owned()));
}

/// The value of a variable.
pub(super) fn value_of<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Where the program starts; it has to exist.
pub(super) fn working_directory(
    root: &Root,
    app: &App,
    volumes: &[Occupied],
) -> Result<String, BundleError> {
    let Some(wanted) = app.working_directory.as_deref().filter(|path| !path.is_empty()) else {
        return Ok("/".to_owned());
    };
    let fault = |fault| BundleError::WorkingDirectory { path: wanted.to_owned(), fault };
    let path = clean(wanted).ok_or_else(|| fault("is not absolute, or holds \"..\""))?;
    let text = path.to_str().map(str::to_owned).ok_or_else(|| fault("is not UTF-8"))?;
    // The spec's own file systems are there when the program starts.
    if ["/proc", "/sys", "/dev"].iter().any(|own| path.starts_with(own)) {
        return Ok(text);
    }
    let io = |source| BundleError::Io { path: path.clone(), source };
    let resolved = root.resolved(&path).map_err(io)?;
    let hidden = volumes.iter().find_map(|volume| volume.stat(&resolved));
    let in_volume = hidden.is_some();
    match hidden.unwrap_or_else(|| root.stat(&path)).map_err(io)? {
        Some(stat) if is_folder(&stat) => Ok(text),
        Some(_) => Err(fault("is no folder")),
        None if in_volume => Err(fault("lies in a volume that does not have it")),
        None => Err(fault("is not in the image")),
    }
}

/// Where the program is inside the rootfs: as it is with a slash in it, else sought
/// in the app's PATH.
pub(super) fn program(
    root: &Root,
    program: &str,
    environment: &[(String, String)],
    directory: &str,
    volumes: &[Occupied],
) -> Result<String, BundleError> {
    let directory = Path::new(directory);
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![directory.join(program)]
    } else {
        // An empty entry is the current directory (environ(7)).
        let path = value_of(environment, "PATH").unwrap_or(PATH);
        path.split(':').map(|entry| directory.join(entry).join(program)).collect()
    };
    let mut unfit = None;
    for candidate in &candidates {
        let io = |source| BundleError::Io { path: candidate.clone(), source };
        let resolved = root.resolved(candidate).map_err(io)?;
        let hidden = volumes.iter().find_map(|volume| volume.stat(&resolved));
        match hidden.unwrap_or_else(|| root.stat(candidate)).map_err(io)? {
            Some(stat) if is_file(&stat) && stat.st_mode & 0o111 != 0 => {
                return Ok(candidate.display().to_string());
            }
            Some(_) => unfit = unfit.or_else(|| Some(candidate.display().to_string())),
            None => {}
        }
    }
    if let Some(path) = unfit {
        return Err(BundleError::NotExecutable(path));
    }
    let searched = candidates.iter().map(|candidate| candidate.display().to_string()).collect();
    Err(BundleError::ProgramMissing { program: program.to_owned(), searched })
}

/// The app's name: the last segment of the image's, as an AC Name (types.md).
pub fn app_name(image_name: &str) -> String {
    let last = image_name.rsplit('/').next().unwrap_or_default();
    let named = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = last.to_ascii_lowercase().chars().map(named).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use aci::manifest::EnvironmentVariable;

    use super::*;
    use crate::bundle::mounts::Content;
    use crate::bundle::tests::{app, vectors};

    const ROOT: Identity = Identity { uid: 0, gid: 0, account: None };

    fn named(app_name: &str) -> Executor<'_> {
        Executor { app_name, terminal: None, metadata_url: None }
    }

    fn variables(pairs: &[(&str, &str)]) -> App {
        let mut app = app(&["/x"]);
        for (name, value) in pairs {
            app.environment.push(EnvironmentVariable {
                name: (*name).into(),
                value: (*value).into(),
                extra: Default::default(),
            });
        }
        app
    }

    #[test]
    fn environment_agrees_with_the_reference_vectors() {
        let Some(all) = vectors("rkt_app_environment") else { return };
        for vector in &all {
            let pairs: Vec<(&str, &str)> = vector["input"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                .collect();
            let mut found: Vec<String> = environment(&variables(&pairs), &ROOT, &named("a"))
                .unwrap()
                .iter()
                .filter(|(name, _)| name != "AC_APP_NAME" && name != "container")
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            found.sort();
            assert_eq!(serde_json::json!(found), vector["expected"], "{vector}");
        }
        assert!(!all.is_empty());
    }

    #[test]
    fn environment_last_entry_wins_and_the_executor_has_the_last_word() {
        let app = variables(&[("A", "1"), ("AC_APP_NAME", "mine"), ("A", "2=3,\"x\" \n")]);
        let executor = Executor {
            terminal: Some("xterm"),
            metadata_url: Some("http://127.0.0.1:1/t"),
            ..named("hello")
        };
        let found = environment(&app, &ROOT, &executor).unwrap();
        assert_eq!(value_of(&found, "AC_METADATA_URL"), Some("http://127.0.0.1:1/t"));
        assert_eq!(value_of(&found, "A"), Some("2=3,\"x\" \n"));
        assert_eq!(value_of(&found, "AC_APP_NAME"), Some("hello"));
        assert_eq!(value_of(&found, "TERM"), Some("xterm"));
        assert_eq!(found.iter().filter(|(name, _)| name == "A").count(), 1);
        assert!(environment(&variables(&[("A=B", "1")]), &ROOT, &named("x")).is_err());
        assert!(environment(&variables(&[("A", "1\0B=2")]), &ROOT, &named("x")).is_err());
    }

    #[test]
    fn app_name_agrees_with_the_reference_vectors() {
        let Some(all) = vectors("rkt_app_name") else { return };
        for vector in all.iter().filter(|v| v["expect"] == "ok") {
            assert_eq!(app_name(vector["input"].as_str().unwrap()), vector["expected"], "{vector}");
        }
        assert!(all.len() > 5);
    }

    #[test]
    fn program_is_sought_in_the_images_path_inside_the_rootfs() {
        let rootfs = tempfile::tempdir().unwrap();
        let at = |name: &str| rootfs.path().join(name);
        fs::create_dir_all(at("opt/bin")).unwrap();
        fs::create_dir_all(at("bin")).unwrap();
        for (file, mode) in [("opt/bin/tool", 0o755), ("bin/tool", 0o755), ("bin/data", 0o644)] {
            fs::write(at(file), "").unwrap();
            fs::set_permissions(at(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        // On the host this would lead to a program.
        symlink("/bin/sh", at("bin/outside")).unwrap();
        symlink("/opt/bin/tool", at("bin/inside")).unwrap();
        let root = Root::open(rootfs.path()).unwrap();
        let find = |name: &str, path: &str, volumes: &[Occupied]| {
            let environment = [("PATH".to_owned(), path.to_owned())];
            program(&root, name, &environment, "/opt", volumes)
        };
        assert_eq!(find("tool", "/none:/opt/bin:/bin", &[]).unwrap(), "/opt/bin/tool");
        assert_eq!(find("tool", "bin", &[]).unwrap(), "/opt/bin/tool");
        assert_eq!(find("./bin/tool", "/bin", &[]).unwrap(), "/opt/./bin/tool");
        assert_eq!(find("/bin/inside", "", &[]).unwrap(), "/bin/inside");
        let missing = |found| matches!(found, Err(BundleError::ProgramMissing { .. }));
        assert!(missing(find("/bin/outside", "", &[])));
        assert!(missing(find("sh", "/bin", &[])));
        assert!(matches!(find("data", "/bin", &[]), Err(BundleError::NotExecutable(_))));
        assert!(matches!(find("/bin", "", &[]), Err(BundleError::NotExecutable(_))));
        let volume = |content| [Occupied { path: "/opt/bin".into(), content }];
        let path = "/opt/bin:/bin";
        assert_eq!(find("tool", path, &volume(Content::Nothing)).unwrap(), "/bin/tool");
        assert_eq!(find("tool", path, &volume(Content::Image)).unwrap(), "/opt/bin/tool");
        let host = Content::Host(at("bin"));
        assert_eq!(find("tool", path, &volume(host)).unwrap(), "/opt/bin/tool");
    }

    #[test]
    fn working_directory_has_to_exist() {
        let rootfs = tempfile::tempdir().unwrap();
        fs::create_dir_all(rootfs.path().join("srv/www")).unwrap();
        fs::write(rootfs.path().join("file"), "").unwrap();
        let root = Root::open(rootfs.path()).unwrap();
        let volumes = [Occupied { path: "/srv".into(), content: Content::Nothing }];
        let find = |path: &str, volumes: &[Occupied]| {
            let app = App { working_directory: Some(path.into()), ..app(&["/x"]) };
            working_directory(&root, &app, volumes)
        };
        assert_eq!(find("/srv/www/", &[]).unwrap(), "/srv/www");
        assert_eq!(find("/srv", &volumes).unwrap(), "/srv");
        for bad in ["/none", "/file", "srv", "/srv/../srv"] {
            assert!(matches!(find(bad, &[]), Err(BundleError::WorkingDirectory { .. })), "{bad}");
        }
        assert!(find("/srv/www", &volumes).is_err());
    }
}
