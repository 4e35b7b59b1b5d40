use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn tools(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn folders(runs: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(runs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn runtimes_are_found_in_their_order_and_by_name() {
    // Programs of this machine outside of PATH must not count: only known names are asked for.
    let path = tools(&["crun", "runc", "systemd-nspawn"]);
    let found = installed(path.path().as_os_str(), None, &Host::root()).unwrap();
    let kinds: Vec<Kind> = found.iter().map(Runtime::kind).collect();
    assert_eq!(kinds, [Kind::Crun, Kind::Runc, Kind::Nspawn]);
    let only = installed(path.path().as_os_str(), Some(Kind::Runc), &Host::root()).unwrap();
    assert_eq!(only.len(), 1);
    assert_eq!(only[0].program(), path.path().join("runc"));
    let found = installed(path.path().as_os_str(), None, &Host::user(1, 1)).unwrap();
    assert!(found.iter().all(|runtime| runtime.kind() != Kind::Nspawn));
}

#[test]
fn absent_runtime_is_told_with_the_way_out() {
    let error = installed(OsStr::new("/none"), Some(Kind::Nspawn), &Host::user(1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let refusal = error.refusal();
    assert!(refusal.next.contains("gantry image bundle"), "{refusal}");
    assert!("docker".parse::<Kind>().is_err());
}

#[test]
fn run_folder_is_private_and_leaves_nothing() {
    let runs = tempfile::tempdir().unwrap();
    let runs = runs.path().join("run");
    let one = RunFolder::new(&runs, &Host::root(), None).unwrap();
    let other = RunFolder::new(&runs, &Host::root(), None).unwrap();
    assert_eq!(fs::metadata(&runs).unwrap().permissions().mode() & 0o777, 0o700);
    assert_ne!(one.id(), other.id());
    assert_eq!(folders(&runs).len(), 3);
    one.remove().unwrap();
    drop(other);
    assert_eq!(folders(&runs), ["lock"]);
}

#[test]
fn run_folder_of_a_killed_process_is_cleared_and_a_living_one_stays() {
    let runs = tempfile::tempdir().unwrap();
    let living = RunFolder::new(runs.path(), &Host::root(), None).unwrap();
    let dead = runs.path().join("gantry-0000000000000000");
    fs::create_dir_all(dead.join("bundle/rootfs/shut")).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    fs::write(dead.join("bundle/rootfs/shut/file"), "").unwrap();
    fs::set_permissions(dead.join("bundle/rootfs/shut"), fs::Permissions::from_mode(0o0)).unwrap();
    let mut sleeper = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let runtime = Runtime { kind: Kind::Nspawn, program: "/none".into() };
    living.record(&runtime, Some(sleeper.id())).unwrap();
    fs::copy(living.path().join("runner.json"), dead.join("runner.json")).unwrap();
    fs::create_dir(runs.path().join("something-else")).unwrap();

    let new = RunFolder::new(runs.path(), &Host::root(), None).unwrap();
    assert!(!dead.exists());
    assert!(living.path().exists() && runs.path().join("something-else").exists());
    // Its runner was stopped: waiting for it ends.
    assert!(!sleeper.wait().unwrap().success());
    drop((living, new));
}

#[test]
fn runner_of_another_time_is_left_alone() {
    let runs = tempfile::tempdir().unwrap();
    let living = RunFolder::new(runs.path(), &Host::root(), None).unwrap();
    let dead = runs.path().join("gantry-0000000000000000");
    fs::create_dir_all(&dead).unwrap();
    let mut sleeper = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let runtime = Runtime { kind: Kind::Nspawn, program: "/none".into() };
    living.record(&runtime, Some(sleeper.id())).unwrap();
    // The same number, another process: it began at another time.
    let mut runner: serde_json::Value =
        serde_json::from_slice(&fs::read(living.path().join("runner.json")).unwrap()).unwrap();
    runner["processes"][0]["started"] = "1".into();
    fs::write(dead.join("runner.json"), runner.to_string()).unwrap();
    drop(RunFolder::new(runs.path(), &Host::root(), None).unwrap());
    assert!(!dead.exists());
    assert!(sleeper.try_wait().unwrap().is_none());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}
