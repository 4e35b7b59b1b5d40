use std::fs;

use super::*;

const FILE: &str = "/somewhere/config.toml";

fn fault(text: &str) -> String {
    Config::parse(text, Path::new(FILE)).unwrap_err().to_string()
}

#[test]
fn config_all_keys() {
    let text = "store = \"/s\"\ntrust-dir = \"/t\"\nvendor-trust-dirs = [\"/v\", \"/w\"]\n\
        trust-refresh = \"36h\"\nca-file = \"/c.pem\"\n\
        [[override]]\nprefix = \"example.com\"\nconnect = \"127.0.0.1:8443\"\n\
        [[override]]\nprefix = \"example.com/team\"\nurl = \"https://mirror.example.net/base\"\n";
    let config = Config::parse(text, Path::new(FILE)).unwrap();
    assert_eq!(config.store.as_deref(), Some(Path::new("/s")));
    assert_eq!(config.trust_dir.as_deref(), Some(Path::new("/t")));
    assert_eq!(config.vendor_trust_dirs, [PathBuf::from("/v"), PathBuf::from("/w")]);
    assert_eq!(config.trust_refresh, Some("36h".parse().unwrap()));
    assert_eq!(config.ca_file.as_deref(), Some(Path::new("/c.pem")));
    assert_eq!(config.overrides.len(), 2);
}

#[test]
fn config_fault_names_file_line_and_key() {
    for (text, line, word) in [
        ("store = \"/s\"\nstoer = \"/s\"\n", "line 2", "stoer"),
        ("\n\n[[override]]\nprefix = \"example.com\"\nconect = \"a:1\"\n", "line 5", "conect"),
        ("[[override]]\nprefix = \"Example.com\"\nconnect = \"a:1\"\n", "line 2", "prefix"),
        ("[[override]]\nprefix = \"example.com\"\nconnect = \"a\"\n", "line 3", "connect"),
        ("[[override]]\nprefix = \"example.com\"\nurl = \"http://a\"\n", "line 3", "url"),
        ("\n[[override]]\nprefix = \"example.com\"\n", "line 2", "connect and url"),
        (
            "[[override]]\nprefix = \"a.example\"\nurl = \"https://a\"\nconnect = \"a:1\"\n",
            "line 1",
            "connect and url",
        ),
        ("[[override]]\nprefix = \"127.0.0.1/x\"\nconnect = \"a:1\"\n", "line 1", "use url"),
        ("store = \"images\"\n", "line 1", "store"),
        ("vendor-trust-dirs = [\"/a\", \"b\"]\n", "line 1", "absolute"),
        ("trust-refresh = \"often\"\n", "line 1", "never"),
        ("ca-file = 1\n", "line 1", "ca-file"),
        (
            "[[override]]\nprefix = \"a.example\"\nconnect = \"a:1\"\n\
             [[override]]\nprefix = \"a.example\"\nconnect = \"a:2\"\n",
            "line",
            "two overrides",
        ),
        ("store = ", "line 1", "store"),
    ] {
        let said = fault(text);
        for part in [FILE, line, word] {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    }
}

#[test]
fn config_merged_first_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let user = folder.path().join("user.toml");
    let system = folder.path().join("system.toml");
    fs::write(
        &user,
        "store = \"/user\"\n[[override]]\nprefix = \"example.com\"\nconnect = \"user:1\"\n",
    )
    .unwrap();
    fs::write(
        &system,
        "store = \"/system\"\nca-file = \"/ca\"\n\
         [[override]]\nprefix = \"example.com\"\nconnect = \"system:1\"\n\
         [[override]]\nprefix = \"example.org\"\nconnect = \"system:2\"\n",
    )
    .unwrap();
    let absent = folder.path().join("absent.toml");
    let config = Config::merged([absent.as_path(), &user, &system]).unwrap();
    assert_eq!(config.store.as_deref(), Some(Path::new("/user")));
    assert_eq!(config.ca_file.as_deref(), Some(Path::new("/ca")));
    assert_eq!(
        config.overrides,
        [("example.com", "user:1"), ("example.org", "system:2")].map(|(p, t)| Override::connect(
            p.parse().unwrap(),
            t.parse().unwrap()
        )
        .unwrap())
    );
}

#[test]
fn config_named_file_must_be_there_and_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    assert!(matches!(Config::read(&path), Err(ConfigError::Read { .. })));
    fs::write(&path, vec![b'#'; (MAX_BYTES + 1) as usize]).unwrap();
    assert!(matches!(Config::read(&path), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn config_faults_show_no_secret() {
    for text in [
        "[[credentials]]\nhost = \"a.com\"\ntoken = \"s3cret\" x\n",
        "[[credentials]]\nhost = \"a.com\"\npassword = [\"s3cret\"]\n",
        "proxy = \"http://u:s3cret@p\"\n",
    ] {
        let said = fault(text);
        assert!(said.contains("line") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn config_secret_in_the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, "[[credentials]]\nhost = \"a.com\"\ntoken = \"s3cret\"\n").unwrap();
    for (mode, good) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match Config::read(&path) {
            Ok(config) => assert!(good && !format!("{config:?}").contains("s3cret")),
            Err(error) => assert!(!good && matches!(error, ConfigError::Exposed { .. }), "{error}"),
        }
    }
}
