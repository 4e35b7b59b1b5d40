use std::path::Path;

use aci::Refuse;

use super::*;

fn sent(credentials: &Credentials, url: &str) -> Option<String> {
    let value = credentials.authorization(&url.parse().unwrap()).unwrap();
    value.map(|value| value.to_str().unwrap().to_owned())
}

fn write(folder: &Path, path: &str, text: &str) -> PathBuf {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn entries(text: &str) -> Result<Vec<CredentialEntry>, toml::de::Error> {
    #[derive(Deserialize)]
    struct File {
        credentials: Vec<CredentialEntry>,
    }
    toml::from_str::<File>(text).map(|file| file.credentials)
}

#[test]
fn credentials_are_for_exactly_one_host_and_port() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "auth.d/a.json",
        r#"{"rktKind":"auth","rktVersion":"v1","domains":["Example.com:443","example.com:8443"],
            "type":"oauth","credentials":{"token":"t0k3n"}}"#,
    );
    let (credentials, warnings) = Credentials::of_folders(&[folder.path().to_owned()]).unwrap();
    assert_eq!(warnings.len(), 1, "everybody can read it");
    for url in ["https://example.com/a", "https://example.com:443/", "https://example.com:8443/"] {
        assert_eq!(sent(&credentials, url).as_deref(), Some("Bearer t0k3n"), "{url}");
    }
    for url in
        ["https://example.com:8444/", "https://sub.example.com/", "https://example.com.evil.org/"]
    {
        assert_eq!(sent(&credentials, url), None, "{url}");
    }
}

#[test]
fn credentials_never_show_their_secret() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"rktKind":"auth","rktVersion":"v1","domains":["a.com"],"type":"basic",
        "credentials":{"user":"me","password":"hunter2"}}"#;
    let path = write(folder.path(), "auth.d/a.json", text);
    let (credentials, _) = Credentials::of_file(&path).unwrap();
    assert!(sent(&credentials, "https://a.com/").unwrap().starts_with("Basic "));
    let shown = format!("{credentials:?} {:?}", Secret("hunter2".to_owned()));
    assert!(!shown.contains("hunter2") && !shown.contains("Basic"), "{shown}");
    let value = credentials.authorization(&"https://a.com/".parse().unwrap()).unwrap().unwrap();
    assert!(!format!("{value:?}").contains("Basic"), "{value:?}");
    // Broken files say where, and not what.
    for broken in [
        text.replace("hunter2\"", "hunter2"),
        text.replace(r#""basic""#, r#""aws""#),
        text.replace(r#""basic""#, r#""oauth""#)
            .replace("password", "token")
            .replace(r#"2""#, r#"2\n""#),
        text.replace("\"password\"", "\"pass\""),
    ] {
        write(folder.path(), "auth.d/a.json", &broken);
        let error = Credentials::of_file(&path).unwrap_err();
        let said = format!("{error} {error:?} {}", error.refusal());
        assert!(!said.contains("hunter2"), "{said}");
    }
    let config = "[[credentials]]\nhost = \"a.com\"\ntoken = \"hunter2\"\n";
    let entries = entries(config).unwrap();
    assert!(entries[0].holds_secret());
    assert!(!format!("{entries:?}").contains("hunter2"));
}

#[test]
fn credentials_of_later_folders_count_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = |token: &str| {
        format!(
            r#"{{"rktKind":"auth","rktVersion":"v1","domains":["a.com"],"type":"oauth","credentials":{{"token":"{token}"}}}}"#
        )
    };
    write(folder.path(), "system/auth.d/a.json", &file("one"));
    write(folder.path(), "local/auth.d/a.json", &file("two"));
    let folders = ["system", "local", "absent"].map(|name| folder.path().join(name));
    let (mut credentials, _) = Credentials::of_folders(&folders).unwrap();
    assert_eq!(sent(&credentials, "https://a.com/").as_deref(), Some("Bearer two"));
    write(folder.path(), "local/auth.d/b.json", &file("three"));
    let error = Credentials::of_folders(&folders).unwrap_err();
    assert!(matches!(error, CredentialsError::Twice { .. }), "{error:?}");

    let path = write(folder.path(), "token", "four\n");
    let text = format!("[[credentials]]\nhost = \"a.com\"\ntoken-file = {path:?}\n");
    let (own, _) = Credentials::of_entries(&entries(&text).unwrap(), &|_| None).unwrap();
    credentials.extend(own);
    assert_eq!(sent(&credentials, "https://a.com/").as_deref(), Some("Bearer four"));
}

#[test]
fn entries_say_one_place_of_the_secret() {
    let one = |rest: &str| entries(&format!("[[credentials]]\nhost = \"a.com\"\n{rest}\n"));
    let from = |rest: &str| {
        let variable = |name: &str| match name {
            "SET" => Some("s3cret".into()),
            "LINE" => Some("s3cret\r\n".into()),
            _ => None,
        };
        Credentials::of_entries(&one(rest).unwrap(), &variable).map(|(credentials, _)| credentials)
    };
    let sent_by = |rest: &str| sent(&from(rest).unwrap(), "https://a.com/").unwrap();
    assert_eq!(sent_by("token-env = \"SET\""), "Bearer s3cret");
    assert_eq!(sent_by("token-env = \"LINE\""), "Bearer s3cret");
    assert_eq!(sent_by("user = \"u\"\npassword-env = \"SET\""), "Basic dTpzM2NyZXQ=");
    assert!(matches!(from("token-env = \"UNSET\""), Err(CredentialsError::Unset { .. })));
    for bad in [
        "",
        "user = \"u\"",
        "user = \"u\"\ntoken-env = \"SET\"",
        "password-env = \"SET\"",
        "token-env = \"SET\"\ntoken-file = \"/x\"",
        "token-file = \"x\"",
        "secret = \"x\"",
    ] {
        assert!(one(bad).is_err(), "{bad}");
    }
}
