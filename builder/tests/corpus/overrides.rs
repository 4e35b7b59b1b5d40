//! Owners, modes, attributes and capabilities that are in the image and not on disk, by users who
//! could not set them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use builder::{Overrides, PackError, PackOptions, ProblemKind, Rule};

use crate::support::{
    as_somebody, entries, kinds, options, packed, problems, refusal, root_for, set_attribute, tree,
};

#[test]
fn overrides_need_no_root() {
    if !as_somebody(this_test!()) {
        return;
    }
    let tree = tree(&["bin/su", "bin/web", "srv/www/index", "etc/shadow"]);
    let (_, mut rules) =
        builder::read_owner_map("path /srv/www/** 33:34\npath /etc/* 0:42\n").unwrap();
    rules.extend([
        Rule::mode("/bin/*=0711").unwrap(),
        Rule::mode("/bin/su=4755").unwrap(),
        Rule::mode("/=0700").unwrap(),
        Rule::capability("/bin/web=cap_net_bind_service+ep").unwrap(),
        Rule::attribute("/bin/web:user.note=made").unwrap(),
        Rule::attribute("www/:trusted.overlay.opaque=0x79").unwrap(),
    ]);
    let overrides = Overrides(rules);
    let all = packed(&PackOptions { overrides: &overrides, ..options(tree.path()) });
    let seen = |path: &str| &all[format!("rootfs{path}").as_bytes()];
    assert_eq!(
        (seen("/bin/su").mode, seen("/bin/web").mode, seen("").mode),
        (0o4755, 0o711, 0o700)
    );
    assert_eq!(seen("/srv/www/index").real_owner(), (33, 34));
    assert_eq!(seen("/etc/shadow").real_owner(), (0, 42));
    assert_eq!(seen("/srv/www").real_owner(), (0, 0));
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(seen("/bin/web").attribute("security.capability"), Some(&capability[..]));
    assert_eq!(seen("/bin/web").attribute("user.note"), Some(&b"made"[..]));
    // Folders' names are patterns for folders.
    let www = seen("/srv/www").attribute("trusted.overlay.opaque");
    assert_eq!(www, Some(&b"y"[..]));
    assert_eq!(tree.path().join("bin/su").metadata().unwrap().permissions().mode() & 0o7000, 0);
}

#[test]
fn override_that_means_nothing_is_refused_by_its_text() {
    let tree = tree(&["f", "folder/"]);
    std::os::unix::fs::symlink("f", tree.path().join("link")).unwrap();
    let (_, mut rules) = builder::read_owner_map("path /nobody/* 1:1\n").unwrap();
    rules.extend([
        Rule::mode("/f=0600").unwrap(),
        Rule::mode("/link=0600").unwrap(),
        Rule::capability("/folder=cap_chown+p").unwrap(),
        Rule::attribute("/g:user.note=x").unwrap(),
    ]);
    let overrides = Overrides(rules);
    let error = refusal(&PackOptions { overrides: &overrides, ..options(tree.path()) });
    let PackError::Unmatched(rules) = &error else { panic!("{error}") };
    assert_eq!(rules.len(), 4);
    for text in ["/nobody/*", "--mode /link=0600", "--cap /folder=", "--xattr /g:user.note=x"] {
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn override_of_one_name_of_a_hard_link_is_refused() {
    let tree = tree(&["a"]);
    fs::hard_link(tree.path().join("a"), tree.path().join("b")).unwrap();
    let overrides = Overrides(vec![Rule::mode("/b=0600").unwrap()]);
    let with = PackOptions { overrides: &overrides, ..options(tree.path()) };
    let (a, b) = (tree.path().join("a"), tree.path().join("b"));
    let refused = problems(&with);
    assert_eq!(kinds(&refused), [(b.as_path(), &ProblemKind::OtherName(a))]);
    let overrides = Overrides(vec![Rule::mode("/[ab]=0600").unwrap()]);
    let all = packed(&PackOptions { overrides: &overrides, ..options(tree.path()) });
    assert_eq!(all[&b"rootfs/a"[..]].mode, 0o600);
    assert_eq!(all[&b"rootfs/b"[..]].kind, tar::EntryType::Link);
}

#[test]
fn override_takes_the_place_of_the_files_own_attribute() {
    let tree = tree(&["f"]);
    set_attribute(&tree.path().join("f"), "user.note", b"on disk").unwrap();
    set_attribute(&tree.path().join("f"), "user.other", b"kept").unwrap();
    let overrides = Overrides(vec![Rule::attribute("/f:user.note=0sAAE=").unwrap()]);
    let all = packed(&PackOptions { overrides: &overrides, ..options(tree.path()) });
    let seen = &all[&b"rootfs/f"[..]];
    assert_eq!(seen.attribute("user.note"), Some(&[0, 1][..]));
    assert_eq!(seen.attribute("user.other"), Some(&b"kept"[..]));
}

#[test]
fn override_of_capabilities_is_what_setcap_sets() {
    if !root_for("give files capabilities") {
        return;
    }
    if Command::new("setcap").arg("-h").output().is_err() {
        println!("skipped: setcap is not installed");
        return;
    }
    for text in [
        "cap_net_bind_service+ep",
        "cap_net_raw,cap_net_admin=ep",
        "=ep",
        "all=p cap_chown-p",
        "cap_bpf,cap_checkpoint_restore+p",
        "cap_chown=i",
        "cap_chown=eip cap_kill=ei",
    ] {
        let tree = tree(&["set", "said"]);
        let set = tree.path().join("set");
        let ended = Command::new("setcap").arg(text).arg(&set).output().unwrap();
        assert!(ended.status.success(), "{text}: {}", String::from_utf8_lossy(&ended.stderr));
        let overrides = Overrides(vec![Rule::capability(&format!("/said={text}")).unwrap()]);
        let with = PackOptions { overrides: &overrides, ..options(tree.path()) };
        let all: std::collections::BTreeMap<_, _> =
            entries(&crate::support::pack(&with).unwrap().0).into_iter().collect();
        let of = |name: &str| all[format!("rootfs/{name}").as_bytes()].pax.clone();
        assert_eq!(of("said"), of("set"), "{text}");
        assert_eq!(of("set").len(), 1);
    }
}
