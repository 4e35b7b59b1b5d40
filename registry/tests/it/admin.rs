//! Looking after a registry over its API: who may do what to whom, and what the audit log has of it.

use std::time::{Duration, SystemTime};

use registry::admin::{
    AuditPage, KeyList, PolicyList, RetainedImages, RuleList, TokenList, TokenMade, UsageReport,
    UserList,
};
use registry::{Action, AuditAction, AuditVerdict, Collected, Grant, admin};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::fixture::*;
use crate::wire::read_answer;

const PASSWORD: &str = "correct horse battery";

/// A registry with somebody who looks after all of it, and somebody who looks after the team's part:
/// `team` holds admin, read and push there, and nothing elsewhere.
struct Scene {
    registry: Registry,
    all: String,
    team: String,
    team_id: registry::TokenId,
}

impl Scene {
    async fn start() -> Self {
        let registry = Registry::start().await;
        let all = vec![Action::Admin, Action::Read, Action::Push, Action::Delete];
        let (all, _) = registry.token_that("example.com", all, None).await;
        let part = vec![Action::Admin, Action::Read, Action::Push];
        let (team, team_id) = registry.token_that("example.com/team", part, None).await;
        Self { registry, all, team, team_id }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Response {
        let url = self.registry.url(&format!("/-/api/v1/admin/{path}"));
        let method: Method = method.parse().unwrap();
        let request = self.registry.client.request(method, url).bearer_auth(token);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        response
    }

    /// What is answered to what must be done.
    async fn done<T: serde::de::DeserializeOwned>(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> T {
        let response = self.ask(token, method, path, body).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}"))
    }

    async fn user(&self, name: &str, prefix: &str, actions: &[Action]) {
        let grant = Grant::new(vec![prefix.parse().unwrap()], actions.to_vec());
        let (place, password) = (self.registry.place().await, PASSWORD.parse().unwrap());
        let name = name.parse().unwrap();
        admin::add_user(&place, name, &password, grant, SystemTime::now()).await.unwrap().unwrap();
    }

    async fn records(&self) -> Vec<registry::AuditRecord> {
        admin::audit_records(&self.registry.place().await, 1000).await.unwrap()
    }
}

fn token(prefixes: &[&str], allow: &[&str]) -> Option<Value> {
    Some(json!({ "prefixes": prefixes, "allow": allow, "lifetime": 3600 }))
}

fn user(name: &str, prefix: &str, allow: &[&str]) -> Option<Value> {
    Some(json!({ "name": name, "password": PASSWORD, "prefixes": [prefix], "allow": allow }))
}

fn rule(name: &str, prefix: &str, allow: &[&str]) -> Option<Value> {
    Some(json!({ "name": name, "issuer": "https://ci.example.com", "audience": "us",
        "claims": { "repository": "team/*" }, "prefixes": [prefix], "allow": allow }))
}

fn armored() -> String {
    let keys = keys::Certificate::read_all(&team_key().public, &aci::Limits::default()).unwrap();
    String::from_utf8(keys[0].armored()).unwrap()
}

fn fingerprint() -> String {
    let keys = keys::Certificate::read_all(&team_key().public, &aci::Limits::default()).unwrap();
    keys[0].fingerprint().to_string()
}

/// A secret that was taken away does nothing that is begun with it and not done.
#[tokio::test]
async fn admin_whose_secret_is_replaced_meanwhile_does_nothing() {
    let scene = Scene::start().await;
    let body = json!({ "prefixes": ["example.com/team"], "allow": ["push"], "lifetime": 3600 });
    let body = body.to_string();
    let (most, last) = body.split_at(body.len() - 1);
    let head = format!(
        "POST /-/api/v1/admin/tokens HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        scene.team,
        body.len()
    );
    for (grace, status) in [(60, 201), (0, 401)] {
        let mut stream = scene.registry.connect(&[b"http/1.1"]).await;
        stream.write_all(format!("{head}{most}").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // It is who it says when the body is waited for.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let path = format!("tokens/{}/rotate", scene.team_id);
        let rotate = Some(json!({ "graceSeconds": grace }));
        let _: Value = scene.done(&scene.all, "POST", &path, rotate).await;
        stream.write_all(last.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let answer = read_answer(&mut stream, true).await;
        assert_eq!(answer.status, status, "{grace}: {}", answer.text());
    }
    let made: TokenList = scene.done(&scene.all, "GET", "tokens", None).await;
    assert_eq!(made.tokens.len(), 3);
}

#[tokio::test]
async fn admin_makes_lists_rotates_and_revokes_tokens() {
    let scene = Scene::start().await;
    let made: TokenMade =
        scene.done(&scene.team, "POST", "tokens", token(&["example.com/team/a"], &["push"])).await;
    assert!(made.info.expires.is_some() && made.info.last_used.is_none());
    scene.registry.add_key("example.com/team", team_key()).await;
    let image = image("example.com/team/a/x:1.0.0", b"x");
    scene.registry.publish(&made.token, &image, team_key()).await;
    // Its maker sees what is below the prefix alone, and when it was used; never the secret.
    let url = scene.registry.url("/-/api/v1/admin/tokens");
    let listed = scene.registry.client.get(url).bearer_auth(&scene.team).send().await.unwrap();
    let text = listed.text().await.unwrap();
    assert!(!text.contains(&made.token[10..]), "{text}");
    let listed: TokenList = serde_json::from_str(&text).unwrap();
    let ids: Vec<_> = listed.tokens.iter().map(|token| token.id.clone()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains(&scene.team_id));
    let used = listed.tokens.iter().find(|token| token.id == made.info.id);
    assert!(used.unwrap().last_used.is_some());
    let all: TokenList = scene.done(&scene.all, "GET", "tokens", None).await;
    assert_eq!(all.tokens.len(), 3);
    // Another secret, at once.
    let path = format!("tokens/{}/rotate", made.info.id);
    let body = Some(json!({ "graceSeconds": 0, "lifetime": "never" }));
    let again: TokenMade = scene.done(&scene.team, "POST", &path, body).await;
    assert_eq!((again.info.id.clone(), again.info.expires), (made.info.id.clone(), None));
    let signature = sign(team_key(), b"x");
    let old = scene.registry.create(&made.token, &signature).await;
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(scene.registry.create(&again.token, &signature).await.status(), StatusCode::CREATED);
    let path = format!("tokens/{}", made.info.id);
    scene.done::<()>(&scene.team, "DELETE", &path, None).await;
    let gone = scene.ask(&scene.team, "DELETE", &path, None).await;
    assert_eq!(refused(gone).await, (404, "token-unknown".to_owned()));
    let gone = scene.registry.create(&again.token, &signature).await;
    assert_eq!(refused(gone).await, (401, "token-revoked".to_owned()));
}

#[tokio::test]
async fn admin_adds_users_rules_keys_and_policies() {
    let scene = Scene::start().await;
    let team = &scene.team;
    scene.done::<Value>(team, "POST", "users", user("bob", "example.com/team", &["read"])).await;
    let again = scene.ask(team, "POST", "users", user("bob", "example.com/team", &["read"])).await;
    assert_eq!(refused(again).await, (409, "user-exists".to_owned()));
    let body = Some(json!({ "password": "another horse battery" }));
    scene.done::<()>(team, "PUT", "users/bob/password", body).await;
    let users: UserList = scene.done(team, "GET", "users", None).await;
    assert_eq!(users.users[0].name.as_str(), "bob");
    scene.done::<()>(team, "DELETE", "users/bob", None).await;

    scene.done::<Value>(team, "POST", "oidc", rule("ci", "example.com/team", &["push"])).await;
    let again = scene.ask(team, "POST", "oidc", rule("ci", "example.com/team", &["push"])).await;
    assert_eq!(refused(again).await, (409, "rule-exists".to_owned()));
    let rules: RuleList = scene.done(team, "GET", "oidc", None).await;
    assert_eq!(rules.rules[0].name.as_str(), "ci");
    scene.done::<()>(team, "DELETE", "oidc/ci", None).await;

    let body = Some(json!({ "prefix": "example.com/team", "keys": armored() }));
    let added: Value = scene.done(team, "POST", "keys", body.clone()).await;
    assert_eq!(
        (&added["added"][0]["new"], &added["added"][0]["path"]),
        (&true.into(), &Value::Null)
    );
    let again: Value = scene.done(team, "POST", "keys", body).await;
    assert_eq!(again["added"][0]["new"], false);
    let keys: KeyList = scene.done(team, "GET", "keys", None).await;
    assert_eq!((keys.keys.len(), &keys.keys[0].path), (1, &None));
    let path = format!("keys/{}?prefix=example.com/team", fingerprint());
    scene.done::<()>(team, "DELETE", &path, None).await;
    let gone = scene.ask(team, "DELETE", &path, None).await;
    assert_eq!(refused(gone).await, (404, "key-unknown".to_owned()));
    let bad = Some(json!({ "prefix": "example.com/team", "keys": "no key" }));
    assert_eq!(refused(scene.ask(team, "POST", "keys", bad).await).await.0, 400);

    let body = Some(json!({ "prefix": "example.com/team/x", "read": "token" }));
    scene.done::<Value>(team, "PUT", "policies", body).await;
    let policies: PolicyList = scene.done(team, "GET", "policies", None).await;
    assert_eq!(policies.policies.len(), 1);
    scene.done::<()>(team, "DELETE", "policies?prefix=example.com/team/x", None).await;

    // Each change has its record: who, what, from where. Its secrets have none.
    let records = scene.records().await;
    let told: Vec<(AuditAction, Option<&str>)> = records[2..]
        .iter()
        .map(|record| (record.action, record.name.as_ref().map(|name| name.as_str())))
        .collect();
    let team = Some("example.com/team");
    assert_eq!(
        told,
        [
            (AuditAction::UserAdd, team),
            (AuditAction::UserPasswd, team),
            (AuditAction::UserRemove, team),
            (AuditAction::OidcAdd, team),
            (AuditAction::OidcRemove, team),
            (AuditAction::KeysAdd, team),
            (AuditAction::KeysAdd, team),
            (AuditAction::KeysRemove, team),
            (AuditAction::PolicySet, Some("example.com/team/x")),
            (AuditAction::PolicyRemove, Some("example.com/team/x")),
        ]
    );
    for record in &records[2..] {
        assert_eq!(record.actor.who, format!("token:{}", scene.team_id));
        assert_eq!(record.actor.address, "127.0.0.1".parse().ok());
        assert!(!record.detail.as_ref().unwrap().contains("horse"), "{record:?}");
    }
    assert_eq!(records[2].detail.as_deref(), Some("bob: read under example.com/team"));
    let verdict: AuditVerdict = scene.done(&scene.all, "GET", "audit/verify", None).await;
    let AuditVerdict::Whole { records: 12, head } = verdict else { panic!("{verdict:?}") };
    let again = format!("audit/verify?noted={head}");
    let AuditVerdict::Whole { .. } = scene.done(&scene.all, "GET", &again, None).await else {
        panic!("{again}");
    };
    let malformed = scene.ask(&scene.all, "GET", "audit/verify?noted=zzz", None).await;
    assert_eq!(refused(malformed).await, (400, "request-malformed".to_owned()));
}

/// Every way to more than one holds, and to what is others'.
#[tokio::test]
async fn admin_of_a_part_cannot_reach_beyond_it() {
    let scene = Scene::start().await;
    let place = scene.registry.place().await;
    // Below the team's prefix, with more than the team holds; and outside.
    let more = vec![Action::Admin, Action::Delete];
    let (_, stronger) = scene.registry.token_that("example.com/team", more.clone(), None).await;
    let (_, outside) =
        scene.registry.token_that("example.com/other", vec![Action::Push], None).await;
    let both = Grant::new(
        vec!["example.com/team".parse().unwrap(), "example.com/other".parse().unwrap()],
        vec![Action::Push],
    );
    let new = admin::NewToken { name: String::new(), grant: both, lifetime: None };
    let (_, both) = admin::create_token(&place, new, SystemTime::now()).await.unwrap();
    scene.user("strong", "example.com/team", &more).await;
    scene.user("outside", "example.com/other", &[Action::Read]).await;
    scene.user("above", "example.com", &[Action::Read]).await;
    for name in ["above", "beside"] {
        let prefix = if name == "above" { "example.com" } else { "example.com/teamwork" };
        scene.done::<Value>(&scene.all, "POST", "oidc", rule(name, prefix, &["push"])).await;
    }
    let body = |prefix: &str| Some(json!({ "prefix": prefix, "keys": armored() }));
    scene.done::<Value>(&scene.all, "POST", "keys", body("example.com")).await;
    let policy = |prefix: &str, read: &str| Some(json!({ "prefix": prefix, "read": read }));
    scene.done::<Value>(&scene.all, "PUT", "policies", policy("example.com/other", "token")).await;
    let overwrite = |word| Some(json!({ "prefix": "example.com/team", "overwrite": word }));
    scene.done::<Value>(&scene.all, "PUT", "policies", overwrite("never")).await;
    let dry = Some(json!({ "dryRun": true }));
    let retain = |prefix: &str| Some(json!({ "prefix": prefix, "keepNewest": 1, "dryRun": true }));
    let rotate = Some(json!({ "graceSeconds": 60 }));
    let password = Some(json!({ "password": "another horse battery" }));
    let before = scene.records().await.len();
    for (method, path, body, status, code) in [
        // More actions, other prefixes, one of several that is another.
        ("POST", "tokens", token(&["example.com/team"], &["delete"]), 403, "action-not-allowed"),
        (
            "POST",
            "tokens",
            token(&["example.com/team"], &["push", "yank"]),
            403,
            "action-not-allowed",
        ),
        ("POST", "tokens", token(&["example.com"], &["push"]), 403, "name-not-allowed"),
        ("POST", "tokens", token(&["example.com/teamwork"], &["push"]), 403, "name-not-allowed"),
        (
            "POST",
            "tokens",
            token(&["example.com/team", "example.org"], &["read"]),
            403,
            "name-not-allowed",
        ),
        ("POST", "tokens", token(&[], &["push"]), 400, "request-malformed"),
        ("POST", "tokens", token(&["example.com/team"], &[]), 400, "request-malformed"),
        // What is others' is not there; what is stronger is not taken over.
        ("DELETE", &format!("tokens/{outside}"), None, 404, "token-unknown"),
        ("DELETE", &format!("tokens/{}", both.id), None, 404, "token-unknown"),
        ("POST", &format!("tokens/{outside}/rotate"), rotate.clone(), 404, "token-unknown"),
        ("POST", &format!("tokens/{stronger}/rotate"), rotate, 403, "action-not-allowed"),
        ("POST", "users", user("eve", "example.com", &["read"]), 403, "name-not-allowed"),
        ("POST", "users", user("eve", "example.com/team", &["delete"]), 403, "action-not-allowed"),
        ("PUT", "users/outside/password", password.clone(), 404, "user-unknown"),
        ("PUT", "users/above/password", password.clone(), 404, "user-unknown"),
        ("PUT", "users/strong/password", password, 403, "action-not-allowed"),
        ("DELETE", "users/outside", None, 404, "user-unknown"),
        ("DELETE", "users/above", None, 404, "user-unknown"),
        ("POST", "oidc", rule("eve", "example.com", &["push"]), 403, "name-not-allowed"),
        ("POST", "oidc", rule("eve", "example.com/team", &["delete"]), 403, "action-not-allowed"),
        ("DELETE", "oidc/above", None, 404, "rule-unknown"),
        ("DELETE", "oidc/beside", None, 404, "rule-unknown"),
        ("POST", "keys", body("example.com"), 403, "name-not-allowed"),
        (
            "DELETE",
            &format!("keys/{}?prefix=example.com", fingerprint()),
            None,
            403,
            "name-not-allowed",
        ),
        ("PUT", "policies", policy("example.com/other", "public"), 403, "name-not-allowed"),
        ("DELETE", "policies?prefix=example.com/other", None, 403, "name-not-allowed"),
        // Who may not delete lets nobody else do so.
        ("PUT", "policies", overwrite("allowed"), 403, "action-not-allowed"),
        ("DELETE", "policies?prefix=example.com/team", None, 403, "action-not-allowed"),
        ("POST", "retain", retain("example.com/team"), 403, "action-not-allowed"),
        ("POST", "retain", retain("example.com"), 403, "name-not-allowed"),
        // What concerns all of the registry.
        ("PUT", "read-only", Some(json!({ "readOnly": true })), 403, "name-not-allowed"),
        ("POST", "gc", dry, 403, "name-not-allowed"),
        ("GET", "audit/verify", None, 403, "name-not-allowed"),
        ("GET", "usage?prefix=example.com", None, 403, "name-not-allowed"),
    ] {
        let answer = refused(scene.ask(&scene.team, method, path, body).await).await;
        assert_eq!(answer, (status, code.to_owned()), "{method} {path}");
    }
    assert_eq!(scene.records().await.len(), before, "nothing was changed");
    // Nor is it listed.
    let tokens: TokenList = scene.done(&scene.team, "GET", "tokens", None).await;
    let ids: Vec<_> = tokens.tokens.iter().map(|token| token.id.clone()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains(&scene.team_id) && ids.contains(&stronger));
    let users: UserList = scene.done(&scene.team, "GET", "users", None).await;
    assert_eq!(users.users.len(), 1);
    assert!(scene.done::<RuleList>(&scene.team, "GET", "oidc", None).await.rules.is_empty());
    assert!(scene.done::<KeyList>(&scene.team, "GET", "keys", None).await.keys.is_empty());
    let policies: PolicyList = scene.done(&scene.team, "GET", "policies", None).await;
    assert_eq!(policies.policies.len(), 1);
    // What is stronger may be ended: that gives nobody anything.
    scene.done::<()>(&scene.team, "DELETE", &format!("tokens/{stronger}"), None).await;
    scene.done::<()>(&scene.team, "DELETE", "users/strong", None).await;
}

#[tokio::test]
async fn admin_sees_the_records_of_what_is_looked_after_page_by_page() {
    let scene = Scene::start().await;
    for at in 0..12 {
        let prefix = if at % 3 == 0 { "example.com/team/a" } else { "example.com/other" };
        scene.done::<Value>(&scene.all, "POST", "tokens", token(&[prefix], &["read"])).await;
    }
    let page = async |token: &str, query: &str| -> AuditPage {
        scene.done(token, "GET", &format!("audit?{query}"), None).await
    };
    let all = scene.records().await;
    assert_eq!(all.len(), 14);
    let mut seen = Vec::new();
    let mut query = "last=5".to_owned();
    loop {
        let AuditPage { records, before } = page(&scene.all, &query).await;
        assert!(records.len() <= 5);
        seen.splice(0..0, records);
        let Some(before) = before else { break };
        query = format!("last=5&before={before}");
    }
    assert_eq!(seen, all);
    let ours = page(&scene.team, "").await;
    let names: Vec<_> = ours.records.iter().map(|record| record.name.clone().unwrap()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let team: aci::Name = "example.com/team".parse().unwrap();
    assert!(names.iter().all(|name| name.is_under(&team)) && ours.before.is_none());
    let two = page(&scene.team, "last=2").await;
    assert_eq!(two.records, ours.records[3..]);
    let rest = page(&scene.team, &format!("before={}", two.before.unwrap())).await;
    assert_eq!(rest.records, ours.records[..3]);
    let bad = scene.ask(&scene.all, "GET", "audit?last=x", None).await;
    assert_eq!(refused(bad).await.0, 400);
}

#[tokio::test]
async fn admin_keeps_a_registry() {
    let scene = Scene::start().await;
    let registry = &scene.registry;
    registry.add_key("example.com", team_key()).await;
    let images = ["1", "2", "3"]
        .map(|version| image(&format!("example.com/team/a:{version}"), version.as_bytes()));
    for image in &images {
        registry.publish(&scene.all, image, team_key()).await;
    }
    let other = image("example.com/other:1", b"x");
    registry.publish(&scene.all, &other, team_key()).await;
    let usage: UsageReport = scene.done(&scene.all, "GET", "usage", None).await;
    assert_eq!((usage.names.len(), usage.images), (2, 4));
    let ours: UsageReport = scene.done(&scene.team, "GET", "usage", None).await;
    assert_eq!((ours.names.len(), ours.images), (1, 3));

    // While nothing is taken in, nothing is deleted; what looks after the registry goes on.
    let read_only = |on: bool| Some(json!({ "readOnly": on }));
    scene.done::<Value>(&scene.all, "PUT", "read-only", read_only(true)).await;
    let state: admin::ReadOnly = scene.done(&scene.team, "GET", "read-only", None).await;
    assert!(state.read_only && state.since.is_some());
    let retain =
        |dry: bool| Some(json!({ "prefix": "example.com/team", "keepNewest": 1, "dryRun": dry }));
    let tried: RetainedImages = scene.done(&scene.all, "POST", "retain", retain(true)).await;
    assert_eq!((tried.deleted.len(), tried.stays.len()), (2, 1));
    assert_eq!(tried.stays[0].stays, ["of the newest 1 versions"]);
    let waits = scene.ask(&scene.all, "POST", "retain", retain(false)).await;
    assert_eq!(refused(waits).await, (503, "read-only".to_owned()));
    scene.done::<Value>(&scene.all, "POST", "tokens", token(&["example.com"], &["read"])).await;
    scene.done::<Value>(&scene.all, "PUT", "read-only", read_only(false)).await;
    // Once more changes nothing, and is no record.
    scene.done::<Value>(&scene.all, "PUT", "read-only", read_only(false)).await;

    let gone: RetainedImages = scene.done(&scene.all, "POST", "retain", retain(false)).await;
    assert_eq!((gone.deleted.len(), gone.stays.len(), gone.bytes), (2, 0, tried.bytes));
    let gc = |dry: bool| Some(json!({ "dryRun": dry }));
    *registry.time.lock().unwrap() += std::time::Duration::from_secs(3600);
    let would: Collected = scene.done(&scene.all, "POST", "gc", gc(true)).await;
    let freed: Collected = scene.done(&scene.all, "POST", "gc", gc(false)).await;
    assert_eq!((freed, freed.bytes), (would, gone.bytes));
    assert_eq!(freed.blobs, 4);
    let again: Collected = scene.done(&scene.all, "POST", "gc", gc(false)).await;
    assert_eq!(again.blobs, 0);
    let damaged: admin::DamagedList = scene.done(&scene.all, "GET", "scrub", None).await;
    assert!(damaged.damaged.is_empty());

    let records = scene.records().await;
    let told: Vec<_> = records.iter().map(|record| record.action).collect();
    let count = |action| told.iter().filter(|told| **told == action).count();
    assert_eq!(count(AuditAction::ReadOnly), 2);
    assert_eq!(count(AuditAction::Delete), 2);
    assert_eq!(count(AuditAction::Gc), 1);
    let gc = records.last().unwrap();
    assert!(gc.actor.who.starts_with("token:") && gc.actor.address.is_some(), "{gc:?}");
    assert_eq!(gc.detail, Some(format!("4 files, {} bytes", freed.bytes)));
}

/// A browser that knows a password sends it along with forms of foreign pages.
#[tokio::test]
async fn admin_is_not_asked_by_forms_of_foreign_pages() {
    let scene = Scene::start().await;
    scene.user("root", "example.com", &[Action::Admin, Action::Push]).await;
    let url = scene.registry.url("/-/api/v1/admin/tokens");
    let body = token(&["example.com"], &["push"]).unwrap().to_string();
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonp"),
    ] {
        let request = scene.registry.client.post(&url).basic_auth("root", Some(PASSWORD));
        let request = request.body(body.clone());
        let request =
            if let Some(kind) = kind { request.header("content-type", kind) } else { request };
        let answer = refused(request.send().await.unwrap()).await;
        assert_eq!(answer, (415, "media-type".to_owned()), "{kind:?}");
    }
    let request = scene.registry.client.post(&url).basic_auth("root", Some(PASSWORD));
    let made = request.header("content-type", "Application/JSON; charset=utf-8").body(body);
    assert_eq!(made.send().await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn admin_says_what_is_wrong_with_a_request_and_reads_only_so_much() {
    let scene = Scene::start().await;
    for (method, path, body) in [
        ("POST", "tokens", json!({ "prefixes": ["example.com"], "allow": ["push"] })),
        ("POST", "tokens", json!({ "prefixes": ["example.com"], "allow": ["fly"], "lifetime": 1 })),
        ("POST", "tokens", json!({ "prefixes": ["No Name"], "allow": ["push"], "lifetime": 1 })),
        (
            "POST",
            "tokens",
            json!({ "prefixes": ["example.com"], "allow": ["push"], "lifetime": u64::MAX }),
        ),
        (
            "POST",
            "tokens",
            json!({ "prefixes": ["example.com"], "allow": ["push"], "lifetime": 1, "x": 1 }),
        ),
        (
            "POST",
            "tokens",
            json!({ "name": "x".repeat(300), "prefixes": ["example.com"], "allow": ["push"], "lifetime": 1 }),
        ),
        (
            "POST",
            "users",
            json!({ "name": "bob", "password": "short", "prefixes": ["example.com"], "allow": ["push"] }),
        ),
        (
            "POST",
            "users",
            json!({ "name": "No User", "password": PASSWORD, "prefixes": ["example.com"], "allow": ["push"] }),
        ),
        (
            "POST",
            "oidc",
            json!({ "name": "ci", "issuer": "http://ci.example.com", "audience": "a", "claims": {"a": "b"}, "prefixes": ["example.com"], "allow": ["push"] }),
        ),
        (
            "POST",
            "oidc",
            json!({ "name": "ci", "issuer": "https://ci.example.com", "audience": "a", "claims": {}, "prefixes": ["example.com"], "allow": ["push"] }),
        ),
        ("PUT", "policies", json!({ "prefix": "example.com" })),
        ("POST", "retain", json!({ "prefix": "example.com", "dryRun": true })),
        ("POST", "gc", json!({})),
    ] {
        let answer = refused(scene.ask(&scene.all, method, path, Some(body.clone())).await).await;
        assert_eq!(answer, (400, "request-malformed".to_owned()), "{path} {body}");
    }
    let body = Some(json!({ "prefix": "example.com", "keys": "x".repeat(8 << 20) }));
    assert_eq!(refused(scene.ask(&scene.all, "POST", "keys", body).await).await.0, 413);
}

/// Whoever was revoked meanwhile does nothing more.
#[tokio::test]
async fn admin_who_was_revoked_changes_nothing() {
    let scene = Scene::start().await;
    let place = scene.registry.place().await;
    assert!(admin::revoke_token(&place, &scene.team_id, SystemTime::now()).await.unwrap());
    let refusal = scene.ask(&scene.team, "POST", "tokens", token(&["example.com/team"], &["push"]));
    assert_eq!(refused(refusal.await).await, (401, "token-revoked".to_owned()));
}
