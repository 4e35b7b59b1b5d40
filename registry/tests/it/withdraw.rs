//! Deleting images, withdrawing them, and what the audit log has of it.

use std::time::{Duration, SystemTime};

use aci::yank::{SignedYank, Yank, YankTaken};
use keys::Generated;
use registry::admin;
use registry::{Action, AuditAction, AuditVerdict, TokenId};
use reqwest::{Response, StatusCode};

use crate::fixture::*;

struct Scene {
    registry: Registry,
    push: String,
    all: String,
    /// The IDs of the two tokens.
    ids: [TokenId; 2],
}

impl Scene {
    async fn new() -> Self {
        let registry = Registry::start().await;
        registry.add_key("example.com/team", team_key()).await;
        let (push, first) = registry.token_for("example.com/team", None).await;
        let actions = vec![Action::Delete, Action::Yank];
        let (all, second) = registry.token_that("example.com/team", actions, None).await;
        Self { registry, push, all, ids: [first, second] }
    }

    async fn delete(&self, token: Option<&str>, image: &Image) -> Response {
        let url = self.registry.url(&format!("/-/api/v1/images/{}", image.id));
        let mut request = self.registry.client.delete(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    }

    async fn say(&self, token: &str, image: &Image, said: &SignedYank) -> Response {
        let url = self.registry.url(&format!("/-/api/v1/images/{}/yank", image.id));
        self.registry.client.put(url).bearer_auth(token).json(said).send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.registry.get(path).await.status().as_u16()
    }
}

pub(crate) fn said(
    image: &Image,
    yanked: bool,
    reason: &str,
    at: u64,
    key: &Generated,
) -> SignedYank {
    let (name, _) = image.reference.split_once([':', ',']).unwrap();
    let issued = (SystemTime::UNIX_EPOCH + Duration::from_secs(at)).try_into().unwrap();
    let yank =
        Yank::new(name.parse().unwrap(), image.id.clone(), yanked, reason.to_owned(), issued);
    signed(yank.unwrap().to_json().unwrap(), key)
}

fn signed(statement: String, key: &Generated) -> SignedYank {
    let signature = String::from_utf8(sign(key, statement.as_bytes())).unwrap();
    SignedYank { statement, signature }
}

#[tokio::test]
async fn deleted_image_is_gone_by_every_path_and_never_another() {
    let scene = Scene::new().await;
    let kept = image("example.com/team/hello:0.9.0", b"older");
    let image = hello();
    for image in [&kept, &image] {
        scene.registry.publish(&scene.push, image, team_key()).await;
    }
    let gone = scene.delete(Some(&scene.all), &image).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    for path in [
        format!("/-/blobs/{}.aci", image.id),
        format!("/-/blobs/{}.aci.asc", image.id),
        format!("/-/images/{}.aci", image.reference),
        format!("/-/images/{}.aci.asc", image.reference),
        // By this one it was served as one for any platform.
        format!("/-/images/{},os=linux,arch=amd64.aci", image.reference),
    ] {
        let (status, code) = refused(scene.registry.get(&path).await).await;
        assert_eq!((status, code.as_str()), (410, "image-deleted"), "{path}");
    }
    for never in ["hello:1.0.0,channel=beta", "hello:1.0.1", "hello:1.0.0,os=linux,channel=x"] {
        let path = format!("/-/images/example.com/team/{never}.aci");
        assert_eq!(scene.status(&path).await, 404, "{path}");
    }
    // What was the newest before it is so again.
    let newest = scene.registry.get("/-/images/example.com/team/hello.aci").await;
    assert_eq!(newest.headers()["gantry-version"], "0.9.0");
    let page = scene.registry.get("/team/hello").await.text().await.unwrap();
    assert!(page.contains(kept.id.as_str()) && !page.contains(image.id.as_str()));
    let again = scene.delete(Some(&scene.all), &image).await;
    assert_eq!(refused(again).await, (410, "image-deleted".to_owned()));
    // Neither the same bytes nor others take its place.
    let other = self::image(&image.reference, b"other bytes");
    for image in [&image, &other] {
        let signature = sign(team_key(), &image.bytes);
        let pushed = scene.registry.push(&scene.push, image, &signature).await;
        assert_eq!(refused(pushed).await, (409, "version-deleted".to_owned()));
    }
    // The next version does.
    let next = self::image("example.com/team/hello:1.0.1", b"next");
    scene.registry.publish(&scene.push, &next, team_key()).await;
    // The files of what is gone are kept for a while, and nothing of those that were refused.
    let blobs = scene.registry.data().join("blobs");
    assert_eq!(other.files(&blobs).len(), 0);
}

#[tokio::test]
async fn only_who_may_deletes() {
    let scene = Scene::new().await;
    let image = hello();
    scene.registry.publish(&scene.push, &image, team_key()).await;
    let actions = vec![Action::Delete, Action::Yank];
    let (elsewhere, _) = scene.registry.token_that("example.com/other", actions, None).await;
    let statement = said(&image, true, "", 1, team_key());
    for (token, wanted) in [
        (None, (401, "credentials-missing")),
        (Some("gantry_0"), (401, "token-unknown")),
        (Some(scene.push.as_str()), (403, "action-not-allowed")),
        (Some(elsewhere.as_str()), (403, "name-not-allowed")),
    ] {
        let (status, code) = refused(scene.delete(token, &image).await).await;
        assert_eq!((status, code.as_str()), wanted, "{token:?}");
        let said = scene.say(token.unwrap_or(""), &image, &statement).await;
        let (status, code) = refused(said).await;
        if token.is_some() {
            assert_eq!((status, code.as_str()), wanted, "{token:?}");
        }
        assert!(status == 401 || status == 403);
    }
    assert_eq!(scene.status(&format!("/-/blobs/{}.aci", image.id)).await, 200);
    let unknown = self::image("example.com/team/hello:7.0.0", b"never pushed");
    let gone = scene.delete(Some(&scene.all), &unknown).await;
    assert_eq!(refused(gone).await, (404, "image-unknown".to_owned()));
    for path in ["/-/api/v1/images/x", "/-/api/v1/images/sha512-00"] {
        assert_eq!(scene.status(path).await, 405, "{path}");
    }
}

#[tokio::test]
async fn withdrawn_image_is_no_longer_the_newest_and_pins_go_on() {
    let scene = Scene::new().await;
    let older = image("example.com/team/hello:0.9.0", b"older");
    let image = hello();
    for image in [&older, &image] {
        scene.registry.publish(&scene.push, image, team_key()).await;
    }
    let newest = "/-/images/example.com/team/hello.aci";
    let version = async || {
        scene.registry.get(newest).await.headers()["gantry-version"].to_str().unwrap().to_owned()
    };
    assert_eq!(version().await, "1.0.0");
    let told = format!("/-/api/v1/images/{}/yank", image.id);
    assert_eq!(refused(scene.registry.get(&told).await).await, (404, "yank-unknown".to_owned()));

    let first = said(&image, true, "a <b>hole</b> in its library", 100, team_key());
    let taken: YankTaken = scene.say(&scene.all, &image, &first).await.json().await.unwrap();
    assert_eq!((taken.yanked, taken.new), (true, true));
    assert_eq!(version().await, "0.9.0");
    // A pin goes on, and is told.
    for path in [format!("/-/images/{}.aci", image.reference), format!("/-/blobs/{}.aci", image.id)]
    {
        let pinned = scene.registry.get(&path).await;
        assert_eq!(pinned.headers()["gantry-yanked"], told.as_str());
        assert_eq!(pinned.bytes().await.unwrap(), image.bytes);
    }
    let handed: SignedYank = scene.registry.get(&told).await.json().await.unwrap();
    assert_eq!(handed, first, "as it was signed");
    let page = scene.registry.get("/team/hello").await.text().await.unwrap();
    assert!(page.contains("a &#60;b&#62;hole&#60;/b&#62; in its library"), "{page}");

    // The same once more is fine, an older one is not, and a later one counts.
    let again: YankTaken = scene.say(&scene.all, &image, &first).await.json().await.unwrap();
    assert!(!again.new);
    for at in [99, 100] {
        let older = said(&image, false, "never mind", at, team_key());
        let stale = scene.say(&scene.all, &image, &older).await;
        assert_eq!(refused(stale).await, (409, "yank-stale".to_owned()));
    }
    let both = said(&older, true, "", 101, team_key());
    assert!(scene.say(&scene.all, &older, &both).await.status().is_success());
    let none = scene.registry.get(newest).await;
    assert_eq!(refused(none).await, (410, "image-yanked".to_owned()));
    let back = said(&image, false, "", 102, team_key());
    let taken: YankTaken = scene.say(&scene.all, &image, &back).await.json().await.unwrap();
    assert_eq!((taken.yanked, taken.new), (false, true));
    assert_eq!(version().await, "1.0.0");
    let pinned = scene.registry.get(&format!("/-/blobs/{}.aci", image.id)).await;
    assert!(!pinned.headers().contains_key("gantry-yanked"));
    // With the image goes what was said of it.
    assert_eq!(scene.delete(Some(&scene.all), &image).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(scene.status(&told).await, 404);
}

#[tokio::test]
async fn statement_counts_by_a_key_of_the_name_alone() {
    let scene = Scene::new().await;
    let image = hello();
    scene.registry.publish(&scene.push, &image, team_key()).await;
    let other = self::image("example.com/team/hello:2.0.0", b"other");
    scene.registry.publish(&scene.push, &other, team_key()).await;
    scene.registry.add_key("example.com/elsewhere", other_key()).await;
    let good = said(&image, true, "x", 100, team_key());
    let stranger = said(&image, true, "x", 100, &key(None));
    let elsewhere = said(&image, true, "x", 100, other_key());
    let changed =
        SignedYank { statement: good.statement.replace("\"x\"", "\"y\""), ..good.clone() };
    let foreign = said(&other, true, "x", 100, team_key());
    let malformed = signed("{}".to_owned(), team_key());
    let big = signed(" ".repeat(aci::yank::MAX_BYTES + 1), team_key());
    let renamed = good.statement.replace("team/hello", "elsewhere");
    let renamed = signed(renamed, other_key());
    for (statement, wanted) in [
        (stranger, (422, "signer-not-trusted")),
        (elsewhere, (422, "signer-wrong-prefix")),
        (changed, (422, "signature-invalid")),
        (foreign, (422, "yank-of-another")),
        (renamed, (422, "yank-of-another")),
        (malformed, (422, "yank-malformed")),
        (big, (422, "yank-malformed")),
    ] {
        let (status, code) = refused(scene.say(&scene.all, &image, &statement).await).await;
        assert_eq!((status, code.as_str()), wanted, "{}", statement.statement);
    }
    let url = scene.registry.url(&format!("/-/api/v1/images/{}/yank", image.id));
    for (body, wanted) in [("", 400), ("{\"statement\": 1}", 400), (&*"x".repeat(1 << 20), 413)] {
        let request = scene.registry.client.put(&url).bearer_auth(&scene.all);
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), wanted);
    }
    let newest = scene.registry.get("/-/images/example.com/team/hello:1.0.0.aci").await;
    assert!(!newest.headers().contains_key("gantry-yanked"), "none of them counted");
}

#[tokio::test]
async fn prefix_may_let_an_image_take_the_place_of_another() {
    let scene = Scene::new().await;
    let first = image("example.com/team/nightly:1.0.0", b"first");
    scene.registry.publish(&scene.push, &first, team_key()).await;
    let second = image(&first.reference, b"second");
    let signature = sign(team_key(), &second.bytes);
    let refusal = scene.registry.push(&scene.push, &second, &signature).await;
    assert_eq!(refused(refusal).await, (409, "version-exists".to_owned()));
    let place = scene.registry.place().await;
    allow_overwriting(&scene.registry, "example.com/team/nightly").await;
    // What a policy says is known within a second.
    let start = std::time::Instant::now();
    while scene.registry.push(&scene.push, &second, &signature).await.status() != 201 {
        assert!(start.elapsed() < Duration::from_secs(30), "the policy does not count");
    }
    let path = format!("/-/images/{}.aci", first.reference);
    assert_eq!(scene.registry.get(&path).await.bytes().await.unwrap(), second.bytes);
    assert_eq!(scene.status(&format!("/-/blobs/{}.aci", first.id)).await, 404);
    // Back and forth, and only below that prefix.
    scene.registry.publish(&scene.push, &first, team_key()).await;
    assert_eq!(scene.registry.get(&path).await.bytes().await.unwrap(), first.bytes);
    let elsewhere = hello();
    scene.registry.publish(&scene.push, &elsewhere, team_key()).await;
    let other = image(&elsewhere.reference, b"other");
    let refusal = scene.registry.push(&scene.push, &other, &sign(team_key(), &other.bytes)).await;
    assert_eq!(refused(refusal).await, (409, "version-exists".to_owned()));
    let records = admin::audit_records(&place, 100).await.unwrap();
    let gone: Vec<_> = records
        .iter()
        .filter(|record| record.action == AuditAction::Overwrite)
        .map(|record| record.image_id.clone().unwrap())
        .collect();
    assert_eq!(gone, [first.id, second.id]);
    // It is counted once.
    let usage = admin::usage(&place, Some(&"example.com/team/nightly".parse().unwrap())).await;
    assert_eq!(usage.unwrap().names.iter().map(|usage| usage.images).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn withdrawal_outlives_the_image() {
    let scene = Scene::new().await;
    allow_overwriting(&scene.registry, "example.com/team").await;
    let [first, second] = [b"first", b"other"].map(|content| image(&hello().reference, content));
    scene.registry.publish(&scene.push, &first, team_key()).await;
    let gone = said(&first, true, "broken", 1_000, team_key());
    assert_eq!(scene.say(&scene.all, &first, &gone).await.status(), StatusCode::OK);
    scene.registry.publish(&scene.push, &second, team_key()).await;
    scene.registry.publish(&scene.push, &first, team_key()).await;
    assert_eq!(scene.status("/-/images/example.com/team/hello.aci").await, 410);
    let pinned = scene.registry.get(&format!("/-/images/{}.aci", first.reference)).await;
    assert!(pinned.headers().contains_key("gantry-yanked"));
    assert_eq!(scene.status(&format!("/-/api/v1/images/{}/yank", first.id)).await, 200);
    // And a later word counts.
    let back = said(&first, false, "", 2_000, team_key());
    assert_eq!(scene.say(&scene.all, &first, &back).await.status(), StatusCode::OK);
    assert_eq!(scene.status("/-/images/example.com/team/hello.aci").await, 200);
}

#[tokio::test]
async fn statement_of_a_time_to_come_is_refused() {
    let scene = Scene::new().await;
    let image = hello();
    scene.registry.publish(&scene.push, &image, team_key()).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let early = said(&image, true, "", now + 3600, team_key());
    let refused = refused(scene.say(&scene.all, &image, &early).await).await;
    assert_eq!(refused, (422, "yank-malformed".to_owned()));
    assert_eq!(scene.status("/-/images/example.com/team/hello.aci").await, 200);
}

/// Who has only a date to compare with, as rkt, is never told that an older image is the one it has.
#[tokio::test]
async fn newest_image_never_has_an_earlier_date() {
    let scene = Scene::new().await;
    let later = |seconds| *scene.registry.time.lock().unwrap() += Duration::from_secs(seconds);
    let all: Vec<Image> = (1..4)
        .map(|version| image(&format!("example.com/team/hello:{version}.0.0"), &[version]))
        .collect();
    for image in &all {
        scene.registry.publish(&scene.push, image, team_key()).await;
        later(5);
    }
    let path = "/-/images/example.com/team/hello.aci";
    for (version, gone) in [("3.0.0", 2), ("2.0.0", 1)] {
        later(5);
        // What a reference means is remembered for a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let newest = scene.registry.get(path).await;
        assert_eq!(newest.headers()["gantry-version"], version);
        let date = newest.headers()["last-modified"].to_str().unwrap().to_owned();
        let since = [("if-modified-since", date.as_str())];
        assert_eq!(scene.registry.get_with(path, &since).await.status(), 304);
        later(5);
        let image = &all[gone];
        if gone == 2 {
            let gone = said(image, true, "broken", 1_000, team_key());
            assert_eq!(scene.say(&scene.all, image, &gone).await.status(), StatusCode::OK);
        } else {
            assert_eq!(scene.delete(Some(&scene.all), image).await.status(), 204);
        }
        assert_eq!(scene.registry.get_with(path, &since).await.status(), 200);
        let resumed = [("range", "bytes=10-"), ("if-unmodified-since", &date)];
        assert_eq!(scene.registry.get_with(path, &resumed).await.status(), 412);
        let resumed = [("range", "bytes=10-"), ("if-range", &date)];
        assert_eq!(scene.registry.get_with(path, &resumed).await.status(), 200);
    }
    // Two in one second: what is told soon after the first does not speak of the second.
    let ninth = image("example.com/team/hello:9.0.0", b"nine");
    scene.registry.publish(&scene.push, &ninth, team_key()).await;
    let first = scene.registry.get(path).await;
    let date = first.headers()["last-modified"].to_str().unwrap().to_owned();
    let tenth = image("example.com/team/hello:10.0.0", b"ten");
    scene.registry.publish(&scene.push, &tenth, team_key()).await;
    for conditions in [
        vec![("if-modified-since", date.as_str())],
        vec![("range", "bytes=10-"), ("if-range", &date)],
    ] {
        let answer = scene.registry.get_with(path, &conditions).await;
        assert_eq!(answer.status(), 200, "{conditions:?}");
        assert_eq!(answer.bytes().await.unwrap(), tenth.bytes);
    }
    later(5);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let settled = scene.registry.get(path).await.headers()["last-modified"].clone();
    let since = [("if-modified-since", settled.to_str().unwrap())];
    assert_eq!(scene.registry.get_with(path, &since).await.status(), 304);
    // Nor has one without a version, which is the newest again.
    let scene = Scene::new().await;
    let later = |seconds| *scene.registry.time.lock().unwrap() += Duration::from_secs(seconds);
    let (none, two) =
        (image("example.com/team/y", b"none"), image("example.com/team/y:2.0.0", b"two"));
    for image in [&none, &two] {
        scene.registry.publish(&scene.push, image, team_key()).await;
        later(9);
    }
    let path = "/-/images/example.com/team/y.aci";
    let date = scene.registry.get(path).await.headers()["last-modified"].clone();
    assert_eq!(scene.delete(Some(&scene.all), &two).await.status(), 204);
    let since = [("if-modified-since", date.to_str().unwrap())];
    let older = scene.registry.get_with(path, &since).await;
    assert_eq!((older.status().as_u16(), older.bytes().await.unwrap()), (200, none.bytes.into()));
    // One that takes the place of another in the same second has a later date.
    let scene = Scene::new().await;
    allow_overwriting(&scene.registry, "example.com/team").await;
    let [first, second] = [b"first", b"other"].map(|content| image(&hello().reference, content));
    let path = format!("/-/images/{}.aci", first.reference);
    let mut dates = Vec::new();
    for image in [&first, &second, &first] {
        scene.registry.publish(&scene.push, image, team_key()).await;
        let date = scene.registry.get(&path).await.headers()["last-modified"].clone();
        dates.push(httpdate::parse_http_date(date.to_str().unwrap()).unwrap());
    }
    assert!(dates.is_sorted_by(|before, after| before < after), "{dates:?}");
}

#[tokio::test]
async fn audit_log_tells_who_did_what_from_where() {
    let scene = Scene::new().await;
    let image = hello();
    scene.registry.publish(&scene.push, &image, team_key()).await;
    // The same again changes nothing, and neither does what is refused.
    let signature = sign(team_key(), &image.bytes);
    scene.registry.push(&scene.push, &image, &signature).await;
    let other = self::image(&image.reference, b"other bytes");
    scene.registry.push(&scene.push, &other, &sign(team_key(), &other.bytes)).await;
    let yank = said(&image, true, "a hole", 100, team_key());
    scene.say(&scene.all, &image, &yank).await;
    scene.say(&scene.all, &image, &said(&image, false, "", 101, team_key())).await;
    scene.delete(Some(&scene.push), &image).await;
    scene.delete(Some(&scene.all), &image).await;

    let place = scene.registry.place().await;
    let records = admin::audit_records(&place, 100).await.unwrap();
    let told: Vec<(AuditAction, &str)> =
        records.iter().map(|record| (record.action, record.actor.who.as_str())).collect();
    let (push, all) = (format!("token:{}", scene.ids[0]), format!("token:{}", scene.ids[1]));
    assert_eq!(
        told,
        [
            (AuditAction::KeysAdd, "admin"),
            (AuditAction::TokenCreate, "admin"),
            (AuditAction::TokenCreate, "admin"),
            (AuditAction::Publish, &*push),
            (AuditAction::Yank, &*all),
            (AuditAction::Unyank, &*all),
            (AuditAction::Delete, &*all),
        ]
    );
    for record in &records[3..] {
        assert_eq!(record.actor.address, "127.0.0.1".parse().ok());
        assert_eq!(record.image_id.as_ref(), Some(&image.id));
        assert_eq!(record.name.as_ref().unwrap().as_str(), "example.com/team/hello");
    }
    assert_eq!(records[3].detail.as_deref(), Some("example.com/team/hello:1.0.0"));
    assert_eq!(records[4].detail.as_deref(), Some("a hole"));
    assert!(admin::revoke_token(&place, &scene.ids[0], SystemTime::now()).await.unwrap());
    let verdict =
        admin::verify_audit(&place, Some(&records[6].hash.parse().unwrap())).await.unwrap();
    let AuditVerdict::Whole { records: 8, head } = verdict else { panic!("{verdict:?}") };
    let last = admin::audit_records(&place, 1).await.unwrap();
    assert_eq!((last[0].action, &last[0].hash), (AuditAction::TokenRevoke, &head));
}

#[tokio::test]
async fn audit_log_of_many_at_once_is_one_chain() {
    let scene = Scene::new().await;
    let images: Vec<_> =
        (0..24).map(|at| image(&format!("example.com/team/a:{at}.0.0"), &[at])).collect();
    let pushes = images.iter().map(|image| scene.registry.publish(&scene.push, image, team_key()));
    futures_util::future::join_all(pushes).await;
    let deletes = images.iter().step_by(2).map(|image| scene.delete(Some(&scene.all), image));
    for gone in futures_util::future::join_all(deletes).await {
        assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    }
    let place = scene.registry.place().await;
    let verdict = admin::verify_audit(&place, None).await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Whole { records: 39, .. }), "{verdict:?}");
}
