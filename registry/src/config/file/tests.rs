use serde_json::Value;

use super::super::{Challenge, Clock, Tls};
use super::*;

/// The example that is in the documents.
const EXAMPLE: &str = include_str!("../../../../docs/registry.toml");
const FILE: &str = "/etc/registry.toml";

fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
    ConfigFile::parse(text, Path::new(FILE))
}

/// The example with everything in it that stands behind a `#` without a space.
fn whole_example() -> String {
    EXAMPLE
        .lines()
        .map(|line| {
            format!(
                "{}\n",
                line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
            )
        })
        .collect()
}

fn keys_without_a_value(value: &Value, path: &str, missing: &mut Vec<String>) {
    match value {
        Value::Null => missing.push(path.to_owned()),
        Value::Object(fields) => {
            for (key, value) in fields {
                keys_without_a_value(value, &format!("{path}.{key}"), missing);
            }
        }
        _ => {}
    }
}

#[test]
fn example_can_be_used_as_it_is() {
    let config = parse(EXAMPLE).unwrap().resolve(Clock::system()).unwrap();
    assert_eq!(config.domains.to_string(), "example.com");
}

#[test]
fn example_has_every_key() {
    let file = parse(&whole_example()).unwrap();
    let mut missing = Vec::new();
    keys_without_a_value(&serde_json::to_value(&file).unwrap(), "", &mut missing);
    assert!(missing.is_empty(), "docs/registry.toml does not show {missing:?}");
}

#[test]
fn example_shows_the_defaults() {
    let shown = parse(&whole_example()).unwrap();
    let defaults = ConfigFile::defaults();
    assert_eq!(shown.limits, defaults.limits);
    // Without a notice, there is none.
    let timeouts = TimeoutsSection { drain_notice: None, ..shown.timeouts };
    assert_eq!(timeouts, defaults.timeouts);
    assert_eq!(shown.access.requests_per_second, defaults.access.requests_per_second);
    assert_eq!(shown.access.request_burst, defaults.access.request_burst);
}

#[test]
fn fault_names_file_line_column_and_what_was_wanted() {
    for (text, at, words) in [
        (
            "[server]\ndata = \"/d\"\ndomain = \"a\"\n",
            ":3:1;",
            "unknown field `domain`, expected one of `data`",
        ),
        ("[sevrer]\n", ":1:2;", "unknown field `sevrer`"),
        ("[server]\ndata = \"here\"\n", ":2:8;", "not absolute"),
        ("[server]\ndomains = [\"Example.com\"]\n", ":2:11;", "bare host name"),
        ("[server]\nlisten = [\"443\"]\n", ":2:11;", "socket address"),
        ("[limits]\nimage-size = \"2 gigs\"\n", ":2:14;", "2GiB"),
        ("[limits]\nimage-size = 0\n", ":2:14;", "at least 1"),
        ("[limits]\nimage-size = true\n", ":2:14;", "2GiB"),
        ("[timeouts]\ndrain = 30\n", ":2:9;", "expected a string"),
        ("[timeouts]\ndrain = \"soon\"\n", ":2:9;", "30s"),
        ("[server]\ntrusted-proxies = [\"10.0.0.1/8\"]\n", ":2:19;", "is it 10.0.0.0/8?"),
        ("[server]\nproxy-header = \"Via\"\n", ":2:16;", "X-Forwarded-For or Forwarded"),
        ("[acme]\ndirectory = \"http://a.example\"\n", ":2:13;", "https URL"),
        ("[acme]\nchallenge = \"dns-01\"\n", ":2:13;", "expected `tls-alpn-01` or `http-01`"),
        ("[server\n", ":1:8;", "expected"),
    ] {
        let error = parse(text).unwrap_err();
        let refusal = error.refusal();
        assert!(refusal.next.contains(&format!("{FILE}{at}")), "{text:?}: {refusal:?}");
        assert!(refusal.found.contains(words), "{text:?}: {refusal:?}");
    }
}

#[test]
fn settings_that_do_not_go_together_say_what_is_missing() {
    let server = "[server]\ndata = \"/d\"\ndomains = [\"example.com\"]\n";
    for (text, wanted) in [
        ("[server]\ndomains = [\"example.com\"]\n".to_owned(), SettingError::NoData),
        ("[server]\ndata = \"/d\"\n".to_owned(), SettingError::NoDomain),
        ("[server]\ndata = \"/d\"\ndomains = []\n".to_owned(), SettingError::NoDomain),
        (format!("{server}listen = []\n"), SettingError::NoListener),
        (
            format!("{server}listen = [\"127.0.0.1:8443\"]\nhttp = [\"127.0.0.1:8443\"]\n"),
            SettingError::ListensTwice("127.0.0.1:8443".parse().unwrap()),
        ),
        (
            format!(
                "{server}listen = [\"[::1]:80\"]\n[acme]\nterms-agreed = true\n\
                 challenge = \"http-01\"\nchallenge-listen = \"[::1]:80\"\n"
            ),
            SettingError::ListensTwice("[::1]:80".parse().unwrap()),
        ),
        (
            format!("{server}http = [\"0.0.0.0:80\"]\n"),
            SettingError::PlainHttp("0.0.0.0:80".parse().unwrap()),
        ),
        (
            format!("{server}[acme]\nterms-agreed = true\n[tls]\nkey = \"/k\"\n"),
            SettingError::TwoCertificates,
        ),
        (
            format!("{server}http = [\"127.0.0.1:80\"]\n[acme]\nterms-agreed = true\n"),
            SettingError::AcmeWithoutTls,
        ),
        (format!("{server}[acme]\n"), SettingError::TermsNotAgreed),
        (format!("{server}[acme]\nterms-agreed = false\n"), SettingError::TermsNotAgreed),
        (
            format!("{server}[acme]\nterms-agreed = true\ncontact = [\"a@example.com\"]\n"),
            SettingError::Contact("a@example.com".to_owned()),
        ),
        (
            format!("{server}[acme]\nterms-agreed = true\nchallenge-listen = \"[::]:80\"\n"),
            SettingError::ChallengeListen,
        ),
        (format!("{server}[tls]\ncertificate = \"/c\"\n"), SettingError::NoKey),
        (format!("{server}[tls]\nkey = \"/k\"\n"), SettingError::NoCertificate),
    ] {
        let error = parse(&text).unwrap().resolve(Clock::system()).unwrap_err();
        assert_eq!(error, wanted, "{text}");
        assert!(!error.wanted().is_empty() && error.next().contains('['), "{error}");
    }
}

#[test]
fn what_is_said_first_counts() {
    let flags =
        parse("[server]\ndata = \"/flag\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n").unwrap();
    let file = parse("[server]\ndata = \"/file\"\ndomains = [\"example.com\"]\n[limits]\nentries = 7\n[tls]\nkey = \"/other\"\n").unwrap();
    let config = flags.over(file).resolve(Clock::system()).unwrap();
    assert_eq!(config.data, Path::new("/flag"));
    assert_eq!(config.limits.entries, 7);
    assert_eq!(config.timeouts.drain.as_secs(), 30);
    let Tls::Files { certificates, key } = config.tls else { panic!("files were named") };
    assert_eq!((certificates, key), ("/c".into(), "/k".into()));
}

#[test]
fn acme_has_defaults_and_gives_way_to_files_of_the_command_line() {
    let acme = parse(
        "[server]\ndata = \"/d\"\ndomains = [\"example.com\"]\n[acme]\nterms-agreed = true\n\
         challenge = \"http-01\"\n",
    )
    .unwrap();
    let Tls::Acme(resolved) = acme.clone().resolve(Clock::system()).unwrap().tls else {
        panic!("ACME is configured");
    };
    assert_eq!(resolved.directory.as_str(), "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(resolved.challenge, Challenge::Http01 { listen: "[::]:80".parse().unwrap() });
    let flags = parse("[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n").unwrap();
    let config = flags.over(acme).resolve(Clock::system()).unwrap();
    assert!(matches!(config.tls, Tls::Files { .. }), "{config:?}");
}
