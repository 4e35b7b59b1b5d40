//! Every route, asked by everybody.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use registry::{Action, Grant, PolicyEntry, ReadPolicy, admin};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use crate::document::{operations, told};
use crate::fixture::*;

const PASSWORD: &str = "correct horse battery";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Nobody,
    Garbage,
    Expired,
    Revoked,
    WrongPassword,
    UnknownUser,
    ReaderElsewhere,
    PusherElsewhere,
    Pusher,
    Deleter,
    Yanker,
    Admin,
    Reader,
    UserReader,
}

use Role::*;

const ROLES: [Role; 14] = [
    Nobody,
    Garbage,
    Expired,
    Revoked,
    WrongPassword,
    UnknownUser,
    ReaderElsewhere,
    PusherElsewhere,
    Pusher,
    Deleter,
    Yanker,
    Admin,
    Reader,
    UserReader,
];

impl Role {
    /// Whether what it gives is good at all.
    fn is_known(self) -> bool {
        !matches!(self, Nobody | Garbage | Expired | Revoked | WrongPassword | UnknownUser)
    }

    fn reads(self) -> bool {
        matches!(self, Reader | UserReader)
    }

    /// Anywhere.
    fn pushes(self) -> bool {
        matches!(self, Pusher | PusherElsewhere)
    }
}

/// What is answered to whom.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The same to everybody.
    All(u16),
    /// This to readers; to others why not.
    Named(u16),
    /// This to readers; to others as if it were not there.
    Found(u16),
    /// This to one; to others why not.
    By(Role, u16),
    /// This to whoever may push something; to others why not.
    Pushed(u16),
}

impl Rule {
    fn status(self, role: Role) -> u16 {
        let refused = if role.is_known() { 403 } else { 401 };
        match self {
            Self::All(status) => status,
            Self::Named(status) => {
                if role.reads() {
                    status
                } else {
                    refused
                }
            }
            Self::Found(status) => {
                if role.reads() {
                    status
                } else {
                    404
                }
            }
            Self::By(one, status) => {
                if role == one {
                    status
                } else {
                    refused
                }
            }
            Self::Pushed(status) => {
                if role.pushes() {
                    status
                } else {
                    refused
                }
            }
        }
    }
}

struct Scene {
    registry: Registry,
    secrets: Vec<(Role, String)>,
    hidden: Image,
    open: Image,
}

impl Scene {
    async fn start() -> Self {
        // Wrong passwords are given here all the time.
        let registry =
            Registry::start_with(|config| config.rates.user_delay = Duration::ZERO).await;
        registry.add_key("example.com", team_key()).await;
        let place = registry.place().await;
        let entry = PolicyEntry {
            prefix: "example.com/private".parse().unwrap(),
            read: Some(ReadPolicy::Token),
            overwrite: None,
        };
        admin::set_policy(&place, &entry, SystemTime::now()).await.unwrap();
        let publisher = registry.token("example.com").await;
        let hidden = image("example.com/private/secret:1.0.0", b"hidden");
        let open = image("example.com/open/a:1.0.0", b"open");
        registry.publish(&publisher, &hidden, team_key()).await;
        registry.publish(&publisher, &open, team_key()).await;
        let mut secrets = Vec::new();
        for (role, prefix, action) in [
            (ReaderElsewhere, "example.com/open", Action::Read),
            (PusherElsewhere, "example.com/open", Action::Push),
            (Pusher, "example.com", Action::Push),
            (Deleter, "example.com", Action::Delete),
            (Yanker, "example.com", Action::Yank),
            (Admin, "example.com", Action::Admin),
            (Reader, "example.com/private", Action::Read),
            (Revoked, "example.com", Action::Read),
        ] {
            let (token, id) = registry.token_that(prefix, vec![action], None).await;
            if role == Revoked {
                assert!(admin::revoke_token(&place, &id, SystemTime::now()).await.unwrap());
            }
            secrets.push((role, token));
        }
        let soon = Some(Duration::from_secs(60));
        let all = vec![Action::Read, Action::Push];
        secrets.push((Expired, registry.token_that("example.com", all, soon).await.0));
        secrets.push((Garbage, format!("gantry_{}", "0".repeat(64))));
        let grant = Grant::new(vec!["example.com/private".parse().unwrap()], vec![Action::Read]);
        let (name, password) = ("alice".parse().unwrap(), PASSWORD.parse().unwrap());
        let added = admin::add_user(&place, name, &password, grant, SystemTime::now()).await;
        assert!(added.unwrap().is_some());
        *registry.time.lock().unwrap() += Duration::from_secs(3600);
        Self { registry, secrets, hidden, open }
    }

    fn asks(&self, role: Role, method: Method, path: &str) -> RequestBuilder {
        let request = self.registry.client.request(method, self.registry.url(path));
        match role {
            Nobody => request,
            WrongPassword => request.basic_auth("alice", Some("another password")),
            UnknownUser => request.basic_auth("mallory", Some(PASSWORD)),
            UserReader => request.basic_auth("alice", Some(PASSWORD)),
            _ => {
                let secret = self.secrets.iter().find(|(of, _)| *of == role);
                request.bearer_auth(&secret.unwrap().1)
            }
        }
    }
}

/// One route, with requests on it: the method, the path, a body, and what is answered.
type Row = (&'static str, Vec<(Method, String, &'static str, Rule)>);

fn table(scene: &Scene) -> Vec<Row> {
    let (hidden, open) = (&scene.hidden.id, &scene.open.id);
    let absent = format!("sha512-{}", "0".repeat(128));
    let upload = "0".repeat(64);
    let get = |path: &str, rule| (Method::GET, path.to_owned(), "", rule);
    let admin = |method: Method, path: &str, body, status| {
        (method, format!("/-/api/v1/admin/{path}"), body, Rule::By(Admin, status))
    };
    let head = |path: &str, rule| (Method::HEAD, path.to_owned(), "", rule);
    let (post, put) = (Method::POST, Method::PUT);
    vec![
        ("/", vec![get("/", Rule::All(200)), head("/", Rule::All(200))]),
        (
            "/{*path}",
            vec![
                get("/open/a", Rule::All(200)),
                get("/open", Rule::All(200)),
                get("/absent", Rule::All(404)),
                get("/private/secret", Rule::Named(200)),
                head("/private/secret", Rule::Named(200)),
                get("/private", Rule::Named(200)),
                get("/private/secretbsent", Rule::Named(404)),
                // Where images would be is no secret: a push begins with the question.
                get("/private/secret?ac-discovery=1", Rule::All(200)),
                get("/private/secretbsent?ac-discovery=1", Rule::All(200)),
            ],
        ),
        ("/-/assets/{file}", vec![get("/-/assets/absent", Rule::All(404))]),
        ("/-/healthz", vec![get("/-/healthz", Rule::All(200))]),
        ("/-/readyz", vec![get("/-/readyz", Rule::All(200))]),
        // By the address alone: here it is this machine's.
        ("/-/metrics", vec![get("/-/metrics", Rule::All(200))]),
        (
            "/-/images/{*reference}",
            vec![
                get("/-/images/example.com/open/a:1.0.0.aci", Rule::All(200)),
                get("/-/images/example.com/open/a:2.0.0.aci", Rule::All(404)),
                get("/-/images/example.com/private/secret:1.0.0.aci", Rule::Named(200)),
                head("/-/images/example.com/private/secret:1.0.0.aci", Rule::Named(200)),
                get("/-/images/example.com/private/secret:1.0.0.aci.asc", Rule::Named(200)),
                get("/-/images/example.com/private/secret.aci", Rule::Named(200)),
                get("/-/images/example.com/private/secret:2.0.0.aci", Rule::Named(404)),
                get("/-/images/example.com/private/secretbsent.aci", Rule::Named(404)),
            ],
        ),
        (
            "/-/blobs/{file}",
            vec![
                get(&format!("/-/blobs/{open}.aci"), Rule::All(200)),
                get(&format!("/-/blobs/{hidden}.aci"), Rule::Found(200)),
                head(&format!("/-/blobs/{hidden}.aci"), Rule::Found(200)),
                get(&format!("/-/blobs/{hidden}.aci.asc"), Rule::Found(200)),
                get(&format!("/-/blobs/{absent}.aci"), Rule::All(404)),
            ],
        ),
        // Who may sign is no secret: without the keys nobody could check an image.
        (
            "/-/pubkeys/{*prefix}",
            vec![get("/-/pubkeys/example.com/private/secret.asc", Rule::All(200))],
        ),
        (
            "/-/api/v1/uploads",
            vec![(post.clone(), "/-/api/v1/uploads".to_owned(), "{}", Rule::Pushed(400))],
        ),
        (
            "/-/api/v1/uploads/{id}",
            [put.clone(), Method::PATCH, Method::GET, Method::DELETE]
                .map(|method| {
                    (method, format!("/-/api/v1/uploads/{upload}"), "x", Rule::Pushed(404))
                })
                .to_vec(),
        ),
        (
            "/-/api/v1/uploads/{id}/commit",
            vec![(
                post.clone(),
                format!("/-/api/v1/uploads/{upload}/commit"),
                "{}",
                Rule::Pushed(404),
            )],
        ),
        (
            "/-/api/v1/commits",
            vec![(post.clone(), "/-/api/v1/commits".to_owned(), "{}", Rule::Pushed(400))],
        ),
        ("/-/api/v1/openapi.json", vec![get("/-/api/v1/openapi.json", Rule::All(200))]),
        // Answered over HTTP on the port of challenges alone.
        (
            "/.well-known/acme-challenge/{token}",
            vec![get("/.well-known/acme-challenge/x", Rule::All(404))],
        ),
        (
            "/-/api/v1/images/{id}",
            vec![(
                Method::DELETE,
                format!("/-/api/v1/images/{absent}"),
                "",
                Rule::By(Deleter, 404),
            )],
        ),
        (
            "/-/api/v1/images/{id}/yank",
            vec![
                (
                    put.clone(),
                    format!("/-/api/v1/images/{hidden}/yank"),
                    "{}",
                    Rule::By(Yanker, 400),
                ),
                (
                    put.clone(),
                    format!("/-/api/v1/images/{absent}/yank"),
                    "{}",
                    Rule::By(Yanker, 404),
                ),
                get(&format!("/-/api/v1/images/{hidden}/yank"), Rule::All(404)),
                get(&format!("/-/api/v1/images/{absent}/yank"), Rule::All(404)),
            ],
        ),
        (
            "/-/api/v1/admin/tokens",
            vec![admin(Method::GET, "tokens", "", 200), admin(Method::POST, "tokens", "{}", 400)],
        ),
        ("/-/api/v1/admin/tokens/{id}", vec![admin(Method::DELETE, "tokens/00000000", "", 404)]),
        (
            "/-/api/v1/admin/tokens/{id}/rotate",
            vec![admin(Method::POST, "tokens/00000000/rotate", "{\"graceSeconds\":0}", 404)],
        ),
        (
            "/-/api/v1/admin/users",
            vec![admin(Method::GET, "users", "", 200), admin(Method::POST, "users", "{}", 400)],
        ),
        ("/-/api/v1/admin/users/{name}", vec![admin(Method::DELETE, "users/nobody", "", 404)]),
        (
            "/-/api/v1/admin/users/{name}/password",
            vec![admin(Method::PUT, "users/nobody/password", "{\"password\":\"x\"}", 404)],
        ),
        (
            "/-/api/v1/admin/keys",
            vec![admin(Method::GET, "keys", "", 200), admin(Method::POST, "keys", "{}", 400)],
        ),
        (
            "/-/api/v1/admin/keys/{fingerprint}",
            vec![
                admin(Method::DELETE, &format!("keys/{}", "0".repeat(40)), "", 400),
                admin(
                    Method::DELETE,
                    &format!("keys/{}?prefix=example.com/x", "0".repeat(40)),
                    "",
                    404,
                ),
            ],
        ),
        (
            "/-/api/v1/admin/policies",
            vec![
                admin(Method::GET, "policies", "", 200),
                admin(Method::PUT, "policies", "{}", 400),
                admin(Method::DELETE, "policies?prefix=example.com/absent", "", 404),
            ],
        ),
        (
            "/-/api/v1/admin/oidc",
            vec![admin(Method::GET, "oidc", "", 200), admin(Method::POST, "oidc", "{}", 400)],
        ),
        ("/-/api/v1/admin/oidc/{name}", vec![admin(Method::DELETE, "oidc/absent", "", 404)]),
        ("/-/api/v1/admin/audit", vec![admin(Method::GET, "audit?last=2", "", 200)]),
        ("/-/api/v1/admin/audit/verify", vec![admin(Method::GET, "audit/verify", "", 200)]),
        ("/-/api/v1/admin/usage", vec![admin(Method::GET, "usage", "", 200)]),
        ("/-/api/v1/admin/scrub", vec![admin(Method::GET, "scrub", "", 200)]),
        (
            "/-/api/v1/admin/read-only",
            vec![
                admin(Method::GET, "read-only", "", 200),
                admin(Method::PUT, "read-only", "{\"readOnly\":false}", 200),
            ],
        ),
        ("/-/api/v1/admin/gc", vec![admin(Method::POST, "gc", "{\"dryRun\":true}", 200)]),
        (
            "/-/api/v1/admin/retain",
            // Who may not delete may not have images deleted.
            vec![admin(
                Method::POST,
                "retain",
                "{\"prefix\":\"example.com\",\"keepNewest\":1,\"dryRun\":true}",
                403,
            )],
        ),
        (
            "/-/acpush/{*name}",
            vec![(
                post.clone(),
                "/-/acpush/example.com/private/secret".to_owned(),
                "",
                Rule::Pushed(200),
            )],
        ),
        (
            "/-/acpush/-/{id}/manifest",
            vec![(put.clone(), format!("/-/acpush/-/{upload}/manifest"), "x", Rule::Pushed(404))],
        ),
        (
            "/-/acpush/-/{id}/signature",
            vec![(put.clone(), format!("/-/acpush/-/{upload}/signature"), "x", Rule::Pushed(404))],
        ),
        (
            "/-/acpush/-/{id}/aci",
            vec![(put.clone(), format!("/-/acpush/-/{upload}/aci"), "x", Rule::Pushed(404))],
        ),
        (
            "/-/acpush/-/{id}/complete",
            vec![(post.clone(), format!("/-/acpush/-/{upload}/complete"), "x", Rule::Pushed(404))],
        ),
        (
            "/-/{*rest}",
            vec![get("/-/absent", Rule::All(404)), (post, "/-/x".to_owned(), "", Rule::All(404))],
        ),
    ]
}

/// The routes that the source registers and no document has.
fn routes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routes(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for after in text.split(".route(").skip(1).filter(|after| !after.starts_with(')')) {
            let route = after.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (route, _) = route.unwrap_or_else(|| panic!("a route without a text in {path:?}"));
            found.insert(route.to_owned());
        }
    }
}

#[tokio::test]
async fn access_to_every_route_is_as_the_table_has_it() {
    let scene = Scene::start().await;
    let table = table(&scene);
    let mut registered = BTreeSet::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut registered);
    let plain = ["/-/{*rest}", "/.well-known/acme-challenge/{token}"];
    assert_eq!(
        registered,
        plain.map(str::to_owned).into(),
        "what is a route of ours is documented"
    );
    let tabled = table.iter().filter(|(route, _)| !plain.contains(route));
    let tabled: BTreeSet<(String, String)> = tabled
        .flat_map(|(route, rows)| rows.iter().map(|(method, ..)| (told(route), method.to_string())))
        // GET stands for both.
        .filter(|(_, method)| method != "HEAD")
        .collect();
    let documented: BTreeSet<(String, String)> = operations()
        .map(|(method, path, _)| (path.to_owned(), method.to_ascii_uppercase()))
        .collect();
    assert_eq!(tabled, documented, "each operation has its row, and no other has one");
    for (route, requests) in table {
        for (method, path, body, rule) in requests {
            for role in ROLES {
                let request = scene.asks(role, method.clone(), &path).body(body);
                let request = request.header("content-type", "application/json");
                let response = request.send().await.unwrap();
                let (status, wanted) = (response.status().as_u16(), rule.status(role));
                assert_eq!(status, wanted, "{route}: {method} {path} by {role:?}");
                let challenges = response.headers().contains_key("www-authenticate");
                assert_eq!(challenges, status == 401, "{method} {path} by {role:?}");
                let private = matches!(rule, Rule::Named(_) | Rule::Found(_)) && status == 200;
                let caching = response.headers().get("cache-control");
                let caching = caching.map_or("", |value| value.to_str().unwrap());
                assert!(!private || caching.contains("private"), "{path}: {caching}");
                assert!(!private || !caching.contains("public"), "{path}: {caching}");
            }
        }
    }
}

/// A status, and what is said where there are words, without what the request itself named.
async fn answer(response: Response, named: &str) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.text().await.unwrap().replace(named, "…"))
}

#[tokio::test]
async fn access_tells_nobody_what_is_there() {
    let scene = Scene::start().await;
    let blob = scene.hidden.id.to_string();
    let absent = format!("sha512-{}", "0".repeat(128));
    let etag = format!("\"sha512-{}\"", scene.hidden.file_digits());
    for role in ROLES.into_iter().filter(|role| !role.reads()) {
        for (there, not_there, head, tail) in [
            (blob.as_str(), absent.as_str(), "/-/blobs/", ".aci"),
            (&blob, &absent, "/-/blobs/", ".aci.asc"),
            ("secret:1.0.0", "absent:1.0.0", "/-/images/example.com/private/", ".aci"),
            ("secret:1.0.0", "secret:1.0.1", "/-/images/example.com/private/", ".aci"),
            ("secret", "absent", "/private/", ""),
            ("secret", "absent", "/private/", "?ac-discovery=1"),
        ] {
            for (name, value) in [
                ("accept", "*/*"),
                ("range", "bytes=0-0"),
                ("range", "bytes=999999999-"),
                ("if-none-match", etag.as_str()),
                ("if-none-match", "*"),
                ("if-match", "\"x\""),
                ("if-modified-since", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ] {
                let ask = async |what: &str| {
                    let request = scene.asks(role, Method::GET, &format!("{head}{what}{tail}"));
                    let response = request.header(name, value).send().await.unwrap();
                    let mut headers: Vec<String> =
                        response.headers().keys().map(ToString::to_string).collect();
                    headers.sort();
                    let (status, text) = answer(response, what).await;
                    let name = what.split(':').next().unwrap();
                    (status, headers, text.replace(&format!("private/{name}"), "…"))
                };
                let (there, not_there) = (ask(there).await, ask(not_there).await);
                assert_eq!(there, not_there, "{role:?} {head}{tail} {name}: {value}");
            }
        }
    }
}

/// Nor does who may delete or withdraw elsewhere learn of it, nor that it was there.
#[tokio::test]
async fn access_tells_who_may_do_things_elsewhere_nothing() {
    let scene = Scene::start().await;
    let actions = vec![Action::Delete, Action::Yank];
    let (elsewhere, _) = scene.registry.token_that("example.com/open", actions, None).await;
    let (here, _) = scene.registry.token_that("example.com", vec![Action::Delete], None).await;
    let absent = format!("sha512-{}", "0".repeat(128));
    let hidden = scene.hidden.id.to_string();
    let ask = async |token: &str, method: Method, id: &str, tail: &str| {
        let url = scene.registry.url(&format!("/-/api/v1/images/{id}{tail}"));
        let request = scene.registry.client.request(method, url).bearer_auth(token).body("{}");
        answer(request.send().await.unwrap(), id).await
    };
    for there in [true, false] {
        let not_there = ask(&elsewhere, Method::DELETE, &absent, "").await;
        assert_eq!(ask(&elsewhere, Method::DELETE, &hidden, "").await, not_there);
        assert_eq!(not_there.0, 404);
        let not_there = ask(&elsewhere, Method::PUT, &absent, "/yank").await;
        assert_eq!(ask(&elsewhere, Method::PUT, &hidden, "/yank").await, not_there);
        let blob = async |id: &str| {
            let response = scene.registry.get(&format!("/-/blobs/{id}.aci")).await;
            answer(response, id).await
        };
        assert_eq!(blob(&hidden).await, blob(&absent).await);
        let wanted = if there { 204 } else { 410 };
        assert_eq!(ask(&here, Method::DELETE, &hidden, "").await.0, wanted);
    }
    let request = scene.asks(Reader, Method::GET, &format!("/-/blobs/{hidden}.aci"));
    let (_, code) = refused(request.send().await.unwrap()).await;
    assert_ne!(code, "image-unknown", "readers are told that it was deleted");
}

#[tokio::test]
async fn access_decides_what_lists_show() {
    let scene = Scene::start().await;
    for role in ROLES {
        for path in ["/", "/open", "/?after=example.com/open"] {
            let response = scene.asks(role, Method::GET, path).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let private = response.headers()["cache-control"].to_str().unwrap().contains("private");
            assert!(private, "{path} shows different things to different people");
            let text = response.text().await.unwrap();
            let shows = path != "/open" && role.reads();
            assert_eq!(text.contains("private/secret"), shows, "{path} to {role:?}");
        }
    }
    // A label that only images have tells of them.
    let publisher = scene.registry.token("example.com").await;
    let odd = image_with("example.com/private/secret", &[("oddity", "x")], b"y");
    scene.registry.publish(&publisher, &odd, team_key()).await;
    let ask = async |role| {
        let request = scene.asks(role, Method::GET, "/private/secret?ac-discovery=1");
        request.send().await.unwrap().text().await.unwrap()
    };
    assert!(!ask(Nobody).await.contains("oddity"));
    assert!(ask(Reader).await.contains("oddity"));
}

#[tokio::test]
async fn access_lists_what_may_be_seen_behind_much_that_may_not() {
    let scene = Scene::start().await;
    let place = scene.registry.place().await;
    // What is open below what is not has to be looked for name by name.
    let entry = PolicyEntry {
        prefix: "example.com/private/open".parse().unwrap(),
        read: Some(ReadPolicy::Public),
        overwrite: None,
    };
    admin::set_policy(&place, &entry, SystemTime::now()).await.unwrap();
    let publisher = scene.registry.token("example.com").await;
    for name in ["private", "private-not", "private/open/a", "private/z", "zz"] {
        let image = image(&format!("example.com/{name}:1"), name.as_bytes());
        scene.registry.publish(&publisher, &image, team_key()).await;
    }
    let home = async || scene.registry.get("/").await.text().await.unwrap();
    // What a policy says is known within a second.
    let start = std::time::Instant::now();
    while !home().await.contains("example.com/private/open/a<") {
        assert!(start.elapsed() < Duration::from_secs(30), "the policy does not count");
    }
    let home = home().await;
    for (name, shown) in [
        ("example.com/open/a<", true),
        ("example.com/private<", false),
        ("example.com/private-not<", true),
        ("example.com/private/secret<", false),
        ("example.com/private/open/a<", true),
        ("example.com/private/z<", false),
        ("example.com/zz<", true),
    ] {
        assert_eq!(home.contains(name), shown, "{name} in {home}");
    }
    // A page of what is not open shows what is below it, and nothing of itself.
    let page = scene.registry.get("/private").await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(page.contains("private/open/a") && !page.contains("private/z"), "{page}");
}

#[tokio::test]
async fn access_lists_pass_what_is_hidden_by_prefix() {
    let registry = Registry::start().await;
    let place = registry.place().await;
    for (prefix, read) in
        [("example.com", ReadPolicy::Token), ("example.com/zdocs", ReadPolicy::Public)]
    {
        let prefix = prefix.parse().unwrap();
        let entry = PolicyEntry { prefix, read: Some(read), overwrite: None };
        admin::set_policy(&place, &entry, SystemTime::now()).await.unwrap();
    }
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    // More than one list holds, before, between and behind what may be seen.
    let hidden = (0..520).map(|at| format!("a{at}")).chain((0..520).map(|at| format!("u{at}")));
    let seen = ["team", "team-not", "team/x", "zdocs", "zdocs/y", "zz"].map(str::to_owned);
    for name in hidden.chain(seen) {
        let image = image(&format!("example.com/{name}:1"), name.as_bytes());
        registry.publish(&token, &image, team_key()).await;
    }
    let (reader, _) = registry.token_that("example.com/team", vec![Action::Read], None).await;
    let home = async |token: &str| {
        let request = registry.client.get(registry.url("/"));
        let text = request.bearer_auth(token).send().await.unwrap().text().await.unwrap();
        let names = ["team", "team-not", "team/x", "zdocs", "zdocs/y", "zz", "a1"];
        names.map(|name| text.contains(&format!("example.com/{name}<")))
    };
    let nobodys = registry.get("/").await.text().await.unwrap();
    assert!(nobodys.contains("example.com/zdocs/y<") && !nobodys.contains("example.com/team"));
    assert_eq!(home(&reader).await, [true, false, true, true, true, false, false]);
}

#[tokio::test]
async fn access_changes_while_the_server_runs() {
    let (registry, token) = started().await;
    let image = hello();
    registry.publish(&token, &image, team_key()).await;
    let path = "/-/images/example.com/team/hello:1.0.0.aci";
    assert_eq!(registry.get(path).await.status(), StatusCode::OK);
    let place = registry.place().await;
    let prefix: aci::Name = "example.com/team".parse().unwrap();
    let entry =
        PolicyEntry { prefix: prefix.clone(), read: Some(ReadPolicy::Token), overwrite: None };
    admin::set_policy(&place, &entry, SystemTime::now()).await.unwrap();
    let becomes = async |wanted: StatusCode| {
        let start = Instant::now();
        while registry.get(path).await.status() != wanted {
            assert!(start.elapsed() < Duration::from_secs(30), "it stays as it was");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    becomes(StatusCode::UNAUTHORIZED).await;
    assert!(admin::remove_policy(&place, &prefix, SystemTime::now()).await.unwrap());
    assert!(!admin::remove_policy(&place, &prefix, SystemTime::now()).await.unwrap());
    becomes(StatusCode::OK).await;
}
