//! Jobs that show ID tokens, from an issuer that signs for real.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use aci::push::Upload;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode as Status;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use registry::{Action, Grant, Rule, admin};
use reqwest::{Response, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use ring::{hmac, signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::fixture::*;

const AUDIENCE: &str = "https://example.com";

/// A key of the issuer's.
enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    /// Made once: it takes its time, and ring makes none.
    fn rsa() -> Self {
        static PEM: OnceLock<Vec<u8>> = OnceLock::new();
        let pem = PEM.get_or_init(|| {
            let mut openssl = Command::new("openssl");
            openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
            let made = openssl.output().expect("openssl is missing: apt-get install openssl");
            assert!(made.status.success(), "{made:?}");
            made.stdout
        });
        let der = PrivateKeyDer::from_pem_slice(pem).unwrap();
        Self::Rsa(RsaKeyPair::from_pkcs8(der.secret_der()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn public(&self, id: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256",
                    "n": base64url(&public.n), "e": base64url(&public.e)})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": id,
                    "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "kid": id,
                "x": base64url(pair.public_key().as_ref())}),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signed).unwrap();
                signed
            }
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "kid": id, "typ": "JWT"});
        signed(&header, claims, |message| self.sign(message))
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = base64url(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// What the issuer answers with.
#[derive(Default)]
struct Answers {
    url: String,
    calls_itself: Option<String>,
    keys: Vec<Value>,
    down: bool,
    asked: u32,
}

/// An issuer that listens on a port of its own, over TLS.
struct Issuer {
    answers: Arc<Mutex<Answers>>,
    ca_file: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

async fn configuration(State(answers): State<Arc<Mutex<Answers>>>) -> Result<Json<Value>, Status> {
    let mut answers = answers.lock().unwrap();
    answers.asked += 1;
    if answers.down {
        return Err(Status::INTERNAL_SERVER_ERROR);
    }
    let issuer = answers.calls_itself.as_ref().unwrap_or(&answers.url);
    Ok(Json(json!({"issuer": issuer, "jwks_uri": format!("{}/keys", answers.url)})))
}

async fn keys(State(answers): State<Arc<Mutex<Answers>>>) -> Json<Value> {
    // A key of a kind nobody knows is no reason to take none.
    let mut keys = vec![json!({"kty": "of tomorrow", "kid": "x"})];
    keys.extend(answers.lock().unwrap().keys.clone());
    Json(json!({ "keys": keys }))
}

impl Issuer {
    async fn start() -> Self {
        provider();
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let ca_file = folder.path().join("issuer.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let certificate = CertificateDer::from_pem_file(&ca_file).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(Answers { url, ..Answers::default() }));
        let router = axum::Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = TowerToHyperService::new(router);
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { answers, ca_file, _folder: folder }
    }

    fn url(&self) -> String {
        self.answers.lock().unwrap().url.clone()
    }

    fn publish(&self, keys: &[(&str, &Key)]) {
        let keys = keys.iter().map(|(id, key)| key.public(id)).collect();
        self.answers.lock().unwrap().keys = keys;
    }

    fn asked(&self) -> u32 {
        self.answers.lock().unwrap().asked
    }
}

struct World {
    registry: Registry,
    issuer: Issuer,
}

impl World {
    async fn start() -> Self {
        let issuer = Issuer::start().await;
        let ca_file = issuer.ca_file.clone();
        let registry = Registry::start_with(|config| config.issuer_ca = Some(ca_file)).await;
        registry.add_key("example.com", team_key()).await;
        let world = Self { registry, issuer };
        world.rule("releases", &[("repository", "team/hello"), ("ref", "refs/tags/*")]).await;
        world
    }

    async fn rule(&self, name: &str, claims: &[(&str, &str)]) {
        let claims: BTreeMap<_, _> = claims
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.parse().unwrap()))
            .collect();
        let grant = Grant::new(vec!["example.com/team".parse().unwrap()], vec![Action::Push]);
        let (name, url) = (name.parse().unwrap(), self.issuer.url().parse().unwrap());
        let rule = Rule::new(name, url, AUDIENCE.to_owned(), claims, grant).unwrap();
        let place = self.registry.place().await;
        assert!(admin::add_rule(&place, rule, SystemTime::now()).await.unwrap().is_some());
    }

    /// Claims that the rule fits, with these in their places.
    fn claims(&self, other: &[(&str, Value)]) -> Value {
        let now = *self.registry.time.lock().unwrap();
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer.url(), "aud": AUDIENCE, "sub": "repo:team/hello:ref:refs/tags/v1",
            "iat": now, "nbf": now, "exp": now + 300,
            "repository": "team/hello", "ref": "refs/tags/v1",
        });
        for (name, value) in other {
            claims[*name] = value.clone();
        }
        claims
    }

    async fn create(&self, token: &str) -> Response {
        self.registry.create(token, &sign(team_key(), &hello().bytes)).await
    }

    async fn assert_good(&self, token: &str) {
        assert_eq!(self.create(token).await.status(), StatusCode::CREATED);
    }

    async fn assert_refused(&self, token: &str, code: &str) {
        assert_eq!(refused(self.create(token).await).await, (401, code.to_owned()));
    }
}

#[tokio::test]
async fn job_pushes_with_its_id_token() {
    let world = World::start().await;
    let all = [("rsa", Key::rsa()), ("p256", Key::p256()), ("ed", Key::ed25519())];
    let published: Vec<(&str, &Key)> = all.iter().map(|(id, key)| (*id, key)).collect();
    world.issuer.publish(&published);
    for (id, key) in &all {
        let token = key.token(id, &world.claims(&[]));
        let image = image(&format!("example.com/team/{id}:1"), id.as_bytes());
        world.registry.publish(&token, &image, team_key()).await;
        // As often as it likes, and as a password too.
        world.assert_good(&token).await;
        let basic = format!("Basic {}", STANDARD.encode(format!("job:{token}")));
        let url = world.registry.url("/-/acpush/example.com/team/hello");
        let asked = world.registry.client.post(url).header("authorization", basic).send().await;
        assert_eq!(asked.unwrap().status(), StatusCode::OK);
    }
    // The issuer was asked once for all of it.
    assert_eq!(world.issuer.asked(), 1);
    let key = &all[1].1;
    // One of several audiences; names that the rule is not for.
    let several = world.claims(&[("aud", json!(["x", AUDIENCE]))]);
    world.assert_good(&key.token("p256", &several)).await;
    let image = image("example.com/other:1", b"x");
    let token = key.token("p256", &world.claims(&[]));
    let pushed = world.registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
    assert_eq!(refused(pushed).await, (403, "name-not-allowed".to_owned()));
}

#[tokio::test]
async fn job_that_is_none_of_a_rules_is_refused() {
    let world = World::start().await;
    let (key, stranger) = (Key::p256(), Key::p256());
    world.issuer.publish(&[("a", &key)]);
    let now = world.claims(&[])["iat"].as_u64().unwrap();
    for (name, value, code) in [
        ("aud", json!("https://example.org"), "job-audience"),
        ("aud", json!([]), "job-audience"),
        ("aud", json!(null), "job-audience"),
        ("iss", json!("https://evil.example"), "job-issuer"),
        ("iss", json!(format!("{}/", world.issuer.url())), "job-issuer"),
        ("iss", json!(null), "job-malformed"),
        ("repository", json!("team/hello2"), "job-rule"),
        ("repository", json!("eam/hello"), "job-rule"),
        ("repository", json!(["team/hello"]), "job-rule"),
        ("repository", json!(null), "job-rule"),
        ("ref", json!("refs/heads/refs/tags/v1"), "job-rule"),
        ("exp", json!(now - 61), "job-expired"),
        ("exp", json!(null), "job-malformed"),
        ("exp", json!("soon"), "job-malformed"),
        ("exp", json!(1e300), "job-malformed"),
        ("nbf", json!(now + 62), "job-early"),
        ("iat", json!(now + 62), "job-early"),
        ("sub", json!(""), "job-malformed"),
        ("sub", json!("a\nb"), "job-malformed"),
        ("sub", json!("x".repeat(256)), "job-malformed"),
    ] {
        let token = key.token("a", &world.claims(&[(name, value)]));
        world.assert_refused(&token, code).await;
    }
    // The clocks may differ a little.
    for (name, value) in [("exp", now - 30), ("nbf", now + 30), ("iat", now + 30)] {
        world.assert_good(&key.token("a", &world.claims(&[(name, json!(value))]))).await;
    }
    // By another key of the same name; changed behind the signature; and cut.
    world.assert_refused(&stranger.token("a", &world.claims(&[])), "job-signature").await;
    let good = key.token("a", &world.claims(&[]));
    let parts: Vec<&str> = good.split('.').collect();
    let others = world.claims(&[("ref", json!("refs/tags/v2"))]);
    let changed = base64url(others.to_string().as_bytes());
    world.assert_refused(&[parts[0], &changed, parts[2]].join("."), "job-signature").await;
    world.assert_refused(&[parts[0], parts[1], ""].join("."), "job-signature").await;
    world.assert_refused(&[parts[0], parts[1], "!"].join("."), "job-malformed").await;
    let long = world.claims(&[("x", json!("x".repeat(9_000)))]);
    world.assert_refused(&key.token("a", &long), "job-malformed").await;
    // And it ends.
    let token = key.token("a", &world.claims(&[]));
    world.assert_good(&token).await;
    *world.registry.time.lock().unwrap() += Duration::from_secs(361);
    world.assert_refused(&token, "job-expired").await;
}

#[tokio::test]
async fn job_signs_with_a_key_in_the_keys_own_way_alone() {
    let world = World::start().await;
    let (rsa, p256) = (Key::rsa(), Key::p256());
    world.issuer.publish(&[("rsa", &rsa), ("p256", &p256)]);
    let claims = world.claims(&[]);
    for algorithm in ["none", "None", "nOnE"] {
        let header = json!({"alg": algorithm, "kid": "rsa"});
        world.assert_refused(&signed(&header, &claims, |_| Vec::new()), "job-algorithm").await;
    }
    // What everybody knows as a secret that two share: the key as it is published, and as PEM.
    let public = rsa.public("rsa");
    let der = URL_SAFE_NO_PAD.decode(public["n"].as_str().unwrap()).unwrap();
    for secret in [public.to_string().into_bytes(), der] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let header = json!({"alg": algorithm, "kid": "rsa"});
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let token = signed(&header, &claims, |m| hmac::sign(&key, m).as_ref().to_vec());
            world.assert_refused(&token, "job-algorithm").await;
        }
    }
    // An algorithm of another key's kind, and one that is not taken.
    for (algorithm, id) in
        [("ES256", "rsa"), ("RS256", "p256"), ("EdDSA", "p256"), ("PS256", "rsa")]
    {
        let header = json!({"alg": algorithm, "kid": id});
        let token = signed(&header, &claims, |message| rsa.sign(message));
        world.assert_refused(&token, "job-algorithm").await;
    }
    // No key's name; an extension that would have to be understood.
    let header = json!({"alg": "ES256"});
    world.assert_refused(&signed(&header, &claims, |m| p256.sign(m)), "job-key").await;
    let header = json!({"alg": "ES256", "kid": "p256", "crit": ["x"], "x": 1});
    world.assert_refused(&signed(&header, &claims, |m| p256.sign(m)), "job-malformed").await;
    // A key that is for encryption.
    let mut other = p256.public("enc");
    other["use"] = json!("enc");
    world.issuer.answers.lock().unwrap().keys.push(other);
    world.assert_refused(&p256.token("enc", &claims), "job-algorithm").await;
}

#[tokio::test]
async fn job_of_an_issuer_whose_keys_change_is_known_by_the_new_ones() {
    let world = World::start().await;
    let (old, new) = (Key::p256(), Key::ed25519());
    world.issuer.publish(&[("old", &old)]);
    world.assert_good(&old.token("old", &world.claims(&[]))).await;
    world.issuer.publish(&[("new", &new)]);
    // Its name is new, so it is asked for; and the old one is not there any more.
    world.assert_good(&new.token("new", &world.claims(&[]))).await;
    assert_eq!(world.issuer.asked(), 2);
    world.assert_refused(&old.token("old", &world.claims(&[])), "job-key").await;
    // Whatever names come now, the issuer is left alone.
    for id in 0..20 {
        let token = new.token(&format!("unknown-{id}"), &world.claims(&[]));
        world.assert_refused(&token, "job-key").await;
    }
    assert_eq!(world.issuer.asked(), 2);
    world.assert_good(&new.token("new", &world.claims(&[]))).await;
}

#[tokio::test]
async fn job_of_an_issuer_that_does_not_answer_may_try_again() {
    let world = World::start().await;
    let key = Key::p256();
    world.issuer.publish(&[("a", &key)]);
    let token = key.token("a", &world.claims(&[]));
    world.issuer.answers.lock().unwrap().down = true;
    for _ in 0..3 {
        let down = refused(world.create(&token).await).await;
        assert_eq!(down, (503, "issuer-down".to_owned()));
    }
    assert_eq!(world.issuer.asked(), 1, "it is left alone for a moment");
    // Others are served meanwhile.
    let other = world.registry.token("example.com").await;
    world.assert_good(&other).await;
    world.issuer.answers.lock().unwrap().down = false;
    let start = std::time::Instant::now();
    while world.create(&token).await.status() != StatusCode::CREATED {
        assert!(start.elapsed() < Duration::from_secs(60), "it is never asked again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Known keys go on while it is down again.
    world.issuer.answers.lock().unwrap().down = true;
    world.assert_good(&token).await;
}

#[tokio::test]
async fn job_of_an_issuer_with_another_name_or_certificate_is_refused() {
    let world = World::start().await;
    let key = Key::p256();
    world.issuer.publish(&[("a", &key)]);
    world.issuer.answers.lock().unwrap().calls_itself = Some("https://evil.example".to_owned());
    let token = key.token("a", &world.claims(&[]));
    let refused_name = refused(world.create(&token).await).await;
    assert_eq!(refused_name, (503, "issuer-down".to_owned()));
    // A registry that does not know the issuer's root.
    let folder = world.registry.stop().await;
    let registry = Registry::start_in(folder, |_| {}).await;
    world.issuer.answers.lock().unwrap().calls_itself = None;
    let asked = world.issuer.asked();
    let response = registry.create(&token, &sign(team_key(), b"x")).await;
    assert_eq!(refused(response).await, (503, "issuer-down".to_owned()));
    assert_eq!(world.issuer.asked(), asked);
}

#[tokio::test]
async fn job_whose_rule_is_removed_publishes_nothing() {
    let world = World::start().await;
    let key = Key::p256();
    world.issuer.publish(&[("a", &key)]);
    let token = key.token("a", &world.claims(&[]));
    let image = hello();
    let upload: Upload = world.create(&token).await.json().await.unwrap();
    // Another job's upload is another's.
    let other = key.token("a", &world.claims(&[("sub", json!("repo:team/hello:ref:other"))]));
    let sent = world.registry.send(&other, &upload.path, image.bytes.clone()).await;
    assert_eq!(sent.status(), StatusCode::NOT_FOUND);
    let place = world.registry.place().await;
    assert!(
        admin::remove_rule(&place, &"releases".parse().unwrap(), SystemTime::now()).await.unwrap()
    );
    assert!(
        !admin::remove_rule(&place, &"releases".parse().unwrap(), SystemTime::now()).await.unwrap()
    );
    let sent = world.registry.send(&token, &upload.path, image.bytes.clone()).await;
    assert_eq!(refused(sent).await, (401, "job-issuer".to_owned()));
    // And where it is removed while the image arrives.
    world.rule("again", &[("repository", "team/*")]).await;
    let request = world.registry.client.put(world.registry.url(&upload.path)).bearer_auth(&token);
    let removed = async {
        let again = "again".parse().unwrap();
        assert!(admin::remove_rule(&place, &again, SystemTime::now()).await.unwrap());
    };
    let sent = send_and_meanwhile(request, &image, removed).await;
    assert_eq!(sent.status(), StatusCode::UNAUTHORIZED);
    world.registry.assert_absent(&image).await;
}
