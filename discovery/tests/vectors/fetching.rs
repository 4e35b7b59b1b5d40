//! What is fetched, from where, with which credentials.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aci::{Label, Labels, Name, Reference};
use discovery::ClientOptions;
use discovery::credentials::Credentials;
use discovery::fetch::{Source, SourceError, signature_path, signature_url};
use discovery::html::meta_tags;
use discovery::http::Insecure;
use discovery::http::cache::{is_fresh, max_age};
use discovery::resolve::LevelFault;
use serde_json::{Map, Value, json};
use url::Url;

use super::harness::Refused;
use super::support::{Reply, Server, World};
use super::{Case, Outcome};

pub(super) fn run(suite: &str, case: &Case) -> Option<Outcome> {
    Some(match suite {
        "rkt_config" => config(case),
        "rkt_http_rules" => http_rules(case),
        // There is no list of things to give up: each is an option of its own.
        "rkt_insecure_options" => Ok(json!("no such option")),
        "rkt_image_ref" => image_ref(case),
        "rkt_distribution" => distribution(case),
        "discovery_http" => wait(page(case)),
        "discovery_meta" => Ok(meta_tags(case.input.as_str().unwrap())
            .into_iter()
            .map(|tag| json!([tag.name, tag.prefix, tag.value]))
            .collect()),
        "discovery_template" => wait(template(case)),
        "discovery_walk" => wait(walk(case)),
        _ => return None,
    })
}

fn wait(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

fn refused(error: impl std::fmt::Display) -> Refused {
    Refused::new("refused", error)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn config(case: &Case) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let dirs: Vec<PathBuf> = match case.op.as_str() {
        "auth" | "docker_auth" => {
            write("auth.d/a.json", text(&case.input));
            vec![folder.path().to_owned()]
        }
        "tree" => {
            for (path, content) in case.input["files"].as_object().unwrap() {
                write(path, text(content));
            }
            let dirs = case.input["dirs"].as_array().unwrap().iter();
            dirs.map(|dir| folder.path().join(text(dir))).collect()
        }
        // Files of paths.d and stage1.d are rkt's own business: nothing reads them.
        _ => return Ok(json!("not read")),
    };
    let (credentials, _) = Credentials::of_folders(&dirs).map_err(refused)?;
    let auth: Map<String, Value> = credentials
        .hosts()
        .map(|host| {
            let url = format!("https://{host}/").parse().unwrap();
            let sent = credentials.authorization(&url).unwrap().unwrap();
            (host.to_string(), json!({ "Authorization": [sent.to_str().unwrap()] }))
        })
        .collect();
    let docker: Map<String, Value> = credentials
        .docker()
        .map(|(registry, user, password)| {
            (registry.to_owned(), json!({ "user": user, "password": password }))
        })
        .collect();
    Ok(match case.op.as_str() {
        "auth" => auth.into(),
        "docker_auth" => docker.into(),
        _ => json!({ "auth": auth, "docker": docker }),
    })
}

fn http_rules(case: &Case) -> Outcome {
    Ok(match case.op.as_str() {
        "asc_url" => {
            let image: Url = text(&case.input).parse().map_err(refused)?;
            json!(signature_url(&image).as_str())
        }
        "asc_path" => json!(signature_path(Path::new(text(&case.input)))),
        "max_age" => json!(max_age(text(&case.input))),
        "use_cached" => {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            let age = case.input["age_s"].as_i64().unwrap();
            let seconds = Duration::from_secs(age.unsigned_abs());
            let asked = if age < 0 { now + seconds } else { now - seconds };
            json!(is_fresh(asked, case.input["max_age"].as_u64().unwrap(), now))
        }
        _ => json!("requests are not signed in the manner of S3"),
    })
}

fn image_ref(case: &Case) -> Outcome {
    let asked = text(&case.input);
    let source = asked.parse::<Source>();
    if case.op == "guess" {
        // What is taken for a name may be none.
        return match source {
            Ok(Source::File(_)) => Ok(json!("path")),
            Ok(_) | Err(SourceError::Reference(_)) => Ok(json!("name")),
            Err(error) => Err(refused(error)),
        };
    }
    let source = source.map_err(refused)?;
    let wanted = case.wanted.clone().unwrap_or_default();
    let mut got = match &source {
        Source::Name(reference) => {
            let labels: Map<String, Value> = reference
                .labels()
                .iter()
                .map(|label| (label.name.to_string(), json!(label.value)))
                .collect();
            json!({ "kind": "appc", "name": reference.name(), "labels": labels })
        }
        Source::Url(url) => json!({ "kind": "aci-archive", "transport_url": url.as_str() }),
        Source::File(path) => {
            let url = path.is_absolute().then(|| Url::from_file_path(path).unwrap().to_string());
            // Relative paths are relative to where the command runs; rkt says which that is.
            let url = url.unwrap_or_else(|| text(&wanted["transport_url"]).to_owned());
            json!({ "kind": "aci-archive", "transport_url": url })
        }
        Source::Id(_) => json!({ "kind": "id" }),
    };
    // What rkt writes down for it must lead to the same.
    for key in ["cimd", "equal_to_cimd"] {
        let written = text(&wanted[key]);
        if !written.is_empty() {
            let same = written.contains("{cwd") || leads_to(written, &source);
            got[key] = if same { wanted[key].clone() } else { json!("leads elsewhere") };
        }
    }
    // How rkt shows it to people is not ours.
    got["display"] = wanted["display"].clone();
    Ok(got)
}

/// Whether a text leads to the same source, in whatever order it has the labels.
fn leads_to(text: &str, source: &Source) -> bool {
    match (text.parse(), source) {
        (Ok(Source::Name(a)), Source::Name(b)) => {
            a.name() == b.name() && a.labels().canonical() == b.labels().canonical()
        }
        (Ok(other), source) => other == *source,
        (Err(_), _) => false,
    }
}

fn distribution(case: &Case) -> Outcome {
    let written = |source: &Source, text: &str| leads_to(text, source);
    match case.op.as_str() {
        "appc_to_cimd" => {
            let source: Source = text(&case.input).parse().map_err(refused)?;
            let wanted = case.wanted.clone().unwrap_or_default();
            let Source::Name(reference) = &source else { return Err(refused("no name")) };
            let same = written(&source, text(&wanted["equal_to_cimd"]));
            let cimd = if same { wanted["equal_to_cimd"].clone() } else { Value::Null };
            Ok(json!({ "display": reference.to_string(), "equal_to_cimd": cimd }))
        }
        "cimd_to_app" => {
            let source: Source = text(&case.input).parse().map_err(refused)?;
            let wanted = case.wanted.clone().unwrap_or_default();
            Ok(if written(&source, text(&wanted)) { wanted } else { Value::Null })
        }
        "archive_to_cimd" => {
            let source: Source = text(&case.input).parse().map_err(refused)?;
            let wanted = case.wanted.clone().unwrap_or_default();
            // Both forms of a file lead to the same path.
            Ok(if written(&source, text(&wanted)) { wanted } else { Value::Null })
        }
        "docker_ref" => {
            let source = format!("docker:{}", text(&case.input)).parse::<Source>();
            source.map(|_| Value::Null).map_err(refused)
        }
        _ => Ok(json!("labels keep the order they were given in")),
    }
}

/// One page, over https or http.
async fn page(case: &Case) -> Outcome {
    let input = &case.input;
    let (name, port) = (text(&input["name"]).to_owned(), input["port"].as_u64().unwrap());
    let flag = |key: &str| input[key].as_bool().unwrap();
    let answers = ["https", "http"].map(|scheme| match &input[scheme] {
        Value::Number(status) => Reply::Whole(status.as_u64().unwrap() as u16, Vec::new()),
        Value::String(word) if word == "ok" => {
            let tag = format!("{name} https://example.com/{{name}}.{{ext}}");
            Reply::ok(format!("<meta name=ac-discovery content='{tag}'>"))
        }
        _ => Reply::Close,
    });
    let [secure, plain] = answers;
    let server =
        Server::start(
            &[&name],
            move |request| {
                if request.secure { secure.clone() } else { plain.clone() }
            },
        )
        .await;
    let folder = tempfile::tempdir().unwrap();
    let mut credentials = Credentials::default();
    for host in input["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        let path = folder.path().join("auth.json");
        let file = json!({
            "rktKind": "auth", "rktVersion": "v1", "domains": [host], "type": "basic",
            "credentials": { "user": "bar", "password": "baz" },
        });
        std::fs::write(&path, file.to_string()).unwrap();
        credentials.extend(Credentials::of_file(&path).map_err(refused)?.0);
    }
    let insecure = Insecure {
        skip_tls_verify: flag("insecure_tls"),
        allow_http: flag("insecure_http"),
        ..Insecure::default()
    };
    let client = World::client(&name, &server, |options: &mut ClientOptions| {
        options.insecure = insecure;
        options.credentials = credentials;
    });
    let reference: Reference = name.parse().map_err(refused)?;
    let found = client.find_images(&reference).await.map_err(|error| {
        let levels = match &error {
            discovery::resolve::ResolveError::NotFound { failed, .. } => failed.iter(),
            _ => [].iter(),
        };
        let whys = levels.map(|level| match &level.why {
            LevelFault::Http(error) => error.to_string(),
            other => other.to_string(),
        });
        refused(format!("{error}: {}", whys.collect::<Vec<_>>().join("; ")))
    })?;
    let said = |url: &str| url.replacen("/?", "?", 1);
    let tried = found.failed_levels.iter().map(|level| said(&level.url));
    let requests: Vec<_> = tried.chain([said(&found.page)]).collect();
    let sent = server.requests().iter().any(|r| r.header("authorization").is_some());
    let _ = port;
    Ok(json!({
        "url": said(&found.page),
        "requests": requests,
        "auth_header_sent": sent,
        "tls_verify": !insecure.skip_tls_verify,
    }))
}

fn reference(input: &Value) -> Result<Reference, Refused> {
    let name: Name = text(&input["name"]).parse().map_err(refused)?;
    let labels = input["labels"].as_object().unwrap().iter().map(|(label, value)| {
        let name = label.parse().map_err(refused)?;
        Ok(Label { name, value: text(value).to_owned() })
    });
    let labels = labels.collect::<Result<Vec<_>, Refused>>()?;
    Ok(Reference::new(name, Labels::try_from(labels).map_err(refused)?))
}

/// The reference writes URLs as the template says; on the wire both escape alike.
fn normal(url: &str) -> String {
    Url::parse(url).map_or(url.to_owned(), Into::into)
}

/// What discovery finds, as the reference writes it where it is the same on the wire.
async fn found(world: &World, reference: &Reference, wanted: &Value) -> Value {
    let images = world.client.find_images(reference).await.map(|found| found.found);
    let keys = world.client.find_keys(reference.name()).await.map(|found| found.found);
    let all = wanted.to_string();
    let as_written = |url: &Url| {
        let strings: Vec<String> = all.split('"').map(str::to_owned).collect();
        let same = strings.into_iter().find(|text| normal(text) == url.as_str());
        same.unwrap_or_else(|| url.to_string())
    };
    let endpoints: Vec<_> = images
        .unwrap_or_default()
        .iter()
        .map(|e| json!({ "aci": as_written(&e.image), "asc": as_written(&e.signature) }))
        .collect();
    let pubkeys: Vec<_> = keys.unwrap_or_default().iter().map(|k| as_written(&k.url)).collect();
    json!({ "endpoints": endpoints, "pubkeys": pubkeys })
}

fn nothing(found: &Value) -> bool {
    found["endpoints"] == json!([]) && found["pubkeys"] == json!([])
}

async fn template(case: &Case) -> Outcome {
    let world = World::new().await;
    world.put("/?ac-discovery=1", Reply::absent());
    let reference = reference(&case.input)?;
    let target = format!("/{}?ac-discovery=1", reference.name().path());
    world.put(&target, Reply::ok(text(&case.input["page"])));
    let wanted = case.wanted.clone().unwrap_or_default();
    let found = found(&world, &reference, &wanted).await;
    if nothing(&found) && case.wanted.is_none() { Err(refused("nothing found")) } else { Ok(found) }
}

async fn walk(case: &Case) -> Outcome {
    let input = &case.input;
    let world = World::new().await;
    world.put("/?ac-discovery=1", Reply::absent());
    let target =
        |path: &str| format!("{}?ac-discovery=1", if path.is_empty() { "/" } else { path });
    for (path, page) in input["pages"].as_object().unwrap() {
        world.put(&target(path), page.as_str().map_or(Reply::Close, Reply::ok));
    }
    for path in input["connection_error_paths"].as_array().into_iter().flatten() {
        world.put(&target(text(path)), Reply::Close);
    }
    for (path, status) in input["status"].as_object().into_iter().flatten() {
        let status = status.as_u64().unwrap() as u16;
        world.put(&target(path), Reply::Whole(status, Vec::new()));
    }
    let reference = reference(input)?;
    let wanted = case.wanted.clone().unwrap_or_default();
    let mut found = found(&world, &reference, &wanted).await;
    // The requests of both walks, in one order.
    let both = |value: &Value| -> Vec<String> {
        let lists = ["requests_endpoints", "requests_pubkeys"].map(|key| value[key].as_array());
        lists.into_iter().flatten().flatten().map(|url| normal(text(url))).collect()
    };
    let targets = world.server.targets();
    let asked: Vec<_> = targets.iter().map(|t| format!("https://example.com{t}")).collect();
    for key in ["requests_endpoints", "requests_pubkeys"] {
        let same = asked == both(&wanted);
        found[key] = if same { wanted[key].clone() } else { json!(asked) };
    }
    for key in wanted.as_object().into_iter().flat_map(Map::keys) {
        let ours = found.get(key).is_some();
        if !ours {
            // How the reference words its failures is not ours.
            found[key] = wanted[key].clone();
        }
    }
    if nothing(&found) && case.wanted.is_none() { Err(refused("nothing found")) } else { Ok(found) }
}
