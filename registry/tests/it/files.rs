//! Images, signatures and keys over HTTP.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use crate::fixture::*;

/// A registry with these images, in this order.
async fn with(references: &[&str]) -> (Registry, Vec<Image>) {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let mut images = Vec::new();
    for (at, reference) in references.iter().enumerate() {
        let image = image(reference, format!("content {at}").as_bytes());
        registry.publish(&token, &image, team_key()).await;
        images.push(image);
    }
    (registry, images)
}

#[tokio::test]
async fn file_headers_let_others_check_and_keep_it() {
    let (registry, images) = with(&["example.com/a:1.0.0"]).await;
    let image = &images[0];
    let blob = format!("/-/blobs/{}.aci", image.id);
    let response = registry.get(&blob).await;
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["content-length"], image.bytes.len().to_string().as_str());
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["gantry-image-id"], image.id.as_str());
    assert_eq!(headers["gantry-version"], "1.0.0");
    assert!(headers["etag"].to_str().unwrap().starts_with("\"sha512-"));
    let named = registry.get("/-/images/example.com/a.aci").await;
    assert_eq!(named.headers()["cache-control"], "no-cache");
    assert_eq!(named.headers()["content-location"], blob.as_str());
    assert_eq!(named.headers()["etag"], headers["etag"]);
    // Soon after, what a name means has an earlier date than the file.
    let date = |headers: &HeaderMap| {
        httpdate::parse_http_date(headers["last-modified"].to_str().unwrap()).unwrap()
    };
    assert!(date(named.headers()) < date(&headers));
    let asc = registry.get(&format!("{blob}.asc")).await;
    assert_ne!(asc.headers()["etag"], headers["etag"]);
}

#[tokio::test]
async fn file_is_not_sent_to_who_has_it() {
    let (registry, images) = with(&["example.com/a:1.0.0"]).await;
    let path = "/-/images/example.com/a:1.0.0.aci";
    let first = registry.get(path).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let modified = first.headers()["last-modified"].to_str().unwrap().to_owned();
    for (header, value) in [("if-none-match", etag.as_str()), ("if-modified-since", &modified)] {
        let again = registry.get_with(path, &[(header, value)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{header}");
        assert_eq!(again.headers()["etag"], etag.as_str());
        assert!(again.bytes().await.unwrap().is_empty());
    }
    let other = registry.get_with(path, &[("if-none-match", "\"other\"")]).await;
    assert_eq!(other.bytes().await.unwrap(), images[0].bytes);
    let failed = registry.get_with(path, &[("if-match", "\"other\"")]).await;
    assert_eq!(failed.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn file_can_be_had_in_parts() {
    let (registry, images) = with(&["example.com/a:1.0.0"]).await;
    let bytes = &images[0].bytes;
    let path = "/-/images/example.com/a:1.0.0.aci";
    let etag = registry.get(path).await.headers()["etag"].to_str().unwrap().to_owned();
    let part = registry.get_with(path, &[("range", "bytes=10-19")]).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let total = bytes.len();
    assert_eq!(part.headers()["content-range"], format!("bytes 10-19/{total}").as_str());
    assert_eq!(part.headers()["content-length"], "10");
    assert_eq!(part.bytes().await.unwrap(), bytes[10..20]);
    // The way rkt and curl -C resume.
    let rest = [("range", "bytes=10-"), ("if-range", etag.as_str())];
    let rest = registry.get_with(path, &rest).await;
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.bytes().await.unwrap(), bytes[10..]);
    let other = [("range", "bytes=10-"), ("if-range", "\"other\"")];
    let other = registry.get_with(path, &other).await;
    assert_eq!(other.status(), StatusCode::OK);
    assert_eq!(other.bytes().await.unwrap(), *bytes);
    let none = registry.get_with(path, &[("range", &format!("bytes={total}-"))]).await;
    assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(none.headers()["content-range"], format!("bytes */{total}").as_str());
}

#[tokio::test]
async fn file_can_be_had_in_several_parts() {
    let (registry, images) = with(&[]).await;
    assert!(images.is_empty());
    // Large enough that parts are cheaper than the whole, and that a part takes many reads.
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", &noise(900 << 10));
    registry.publish(&token, &image, team_key()).await;
    let bytes = &image.bytes;
    let total = bytes.len();
    let path = format!("/-/blobs/{}.aci", image.id);
    let etag = registry.get(&path).await.headers()["etag"].to_str().unwrap().to_owned();
    let last = total - 1;
    let asked = "bytes=500-600009, 0-9, -5";
    let mut boundaries = Vec::new();
    for http1 in [true, false] {
        let client = client(registry.address, &registry.data().join("tls/ca.pem"), http1);
        let request = client.get(registry.url(&path)).header("range", asked);
        let response = request.header("if-range", &etag).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        let headers = response.headers().clone();
        assert_eq!(headers["etag"], etag.as_str());
        assert!(!headers.contains_key("content-range"), "it stands in the parts");
        let kind = headers["content-type"].to_str().unwrap();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let head = |first: usize, end: usize| {
            format!(
                "--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {first}-{end}/{total}\r\n\r\n"
            )
            .into_bytes()
        };
        let wanted = [
            &head(500, 600_009),
            &bytes[500..600_010],
            b"\r\n",
            &head(0, 9),
            &bytes[..10],
            b"\r\n",
            &head(last - 4, last),
            &bytes[last - 4..],
            format!("\r\n--{boundary}--\r\n").as_bytes(),
        ]
        .concat();
        assert_eq!(headers["content-length"], wanted.len().to_string().as_str());
        boundaries.push(boundary.to_owned());
        assert!(response.bytes().await.unwrap() == wanted, "the parts as they were asked for");
    }
    assert_ne!(boundaries[0], boundaries[1], "nobody knows the next");
}

#[tokio::test]
async fn file_in_parts_costs_no_more_than_the_whole() {
    let (registry, images) = with(&["example.com/a:1.0.0"]).await;
    let total = images[0].bytes.len();
    let path = format!("/-/blobs/{}.aci", images[0].id);
    let many: Vec<String> = (0..17).map(|at| format!("{at}-{at}")).collect();
    let apart: Vec<String> = (0..16).map(|at| format!("{0}-{0}", at * 2)).collect();
    for (range, status, content_range) in [
        // One is left.
        ("bytes=0-9,5-19".to_owned(), 206, Some(format!("bytes 0-19/{total}"))),
        ("bytes=0-9,10-19".to_owned(), 206, Some(format!("bytes 0-19/{total}"))),
        (format!("bytes=0-9,{total}-"), 206, Some(format!("bytes 0-9/{total}"))),
        ("bytes=0-,0-,0-,-1".to_owned(), 206, Some(format!("bytes 0-{}/{total}", total - 1))),
        // Too many; more than the file; no ranges; ranges of another copy.
        (format!("bytes={}", many.join(",")), 200, None),
        (format!("bytes={}", apart.join(",")), 200, None),
        ("bytes=0-1,5-4".to_owned(), 200, None),
        (format!("bytes={total}-,-0"), 416, Some(format!("bytes */{total}"))),
    ] {
        let response = registry.get_with(&path, &[("range", &range)]).await;
        assert_eq!(response.status().as_u16(), status, "{range}");
        let found = response.headers().get("content-range").map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(found, content_range, "{range}");
        let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let body = response.bytes().await.unwrap();
        assert!(body.len() <= total && body.len() == length, "{range}");
        if status == 200 {
            assert_eq!(body, images[0].bytes, "{range}");
        }
    }
    let other = [("range", "bytes=0-1,10-11"), ("if-range", "\"other\"")];
    assert_eq!(registry.get_with(&path, &other).await.status(), StatusCode::OK);
    let url = registry.url(&path);
    let head = registry.client.head(url).header("range", "bytes=0-1,10-11").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], total.to_string().as_str());
}

#[tokio::test]
async fn file_that_is_small_is_served_from_memory_and_a_large_one_from_disk() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let small = image("example.com/small:1", b"small");
    let large = image("example.com/large:1", &noise(100 << 10));
    for image in [&small, &large] {
        registry.publish(&token, image, team_key()).await;
    }
    let blob = |image: &Image| format!("/-/blobs/{}.aci", image.id);
    for image in [&small, &large] {
        assert_eq!(registry.get(&blob(image)).await.bytes().await.unwrap(), image.bytes);
    }
    for file in files_below(&registry.data().join("blobs")) {
        std::fs::remove_file(file).unwrap();
    }
    for path in [blob(&small), "/-/images/example.com/small:1.aci".to_owned()] {
        assert_eq!(registry.get(&path).await.bytes().await.unwrap(), small.bytes, "{path}");
        let part = registry.get_with(&path, &[("range", "bytes=5-9")]).await;
        assert_eq!(part.bytes().await.unwrap(), small.bytes[5..10], "{path}");
    }
    let lost = registry.get(&blob(&large)).await;
    assert_eq!(refused(lost).await, (503, "file-lost".to_owned()));
}

#[tokio::test]
async fn file_that_is_lost_or_cut_off_is_told_to_be() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let blobs = registry.data().join("blobs");
    for (at, bytes) in [5, 100 << 10].into_iter().enumerate() {
        for is_cut in [true, false] {
            let image =
                image(&format!("example.com/a:{at}.{is_cut}"), &noise(bytes + usize::from(is_cut)));
            registry.publish(&token, &image, team_key()).await;
            for file in image.files(&blobs) {
                match is_cut {
                    true => {
                        std::fs::File::options().write(true).open(file).unwrap().set_len(4).unwrap()
                    }
                    false => std::fs::remove_file(file).unwrap(),
                }
            }
            let path = format!("/-/blobs/{}.aci", image.id);
            let head = registry.client.head(registry.url(&path)).send().await.unwrap();
            assert_eq!(head.status(), 503, "{path}");
            let get = registry.get(&path).await;
            assert_eq!(refused(get).await, (503, "file-lost".to_owned()), "{path}");
        }
    }
}

#[tokio::test]
async fn file_head_has_the_headers_alone() {
    let (registry, images) = with(&["example.com/a:1.0.0"]).await;
    for path in [
        "/-/images/example.com/a.aci".to_owned(),
        "/-/images/example.com/a.aci.asc".to_owned(),
        format!("/-/blobs/{}.aci", images[0].id),
    ] {
        let url = registry.url(&path);
        let head = registry.client.request(Method::HEAD, &url).send().await.unwrap();
        let get = registry.client.get(&url).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        for header in ["content-length", "etag", "last-modified", "accept-ranges", "content-type"] {
            assert_eq!(head.headers()[header], get.headers()[header], "{path} {header}");
        }
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn image_latest_is_the_newest_release_and_says_which() {
    let references = [
        "example.com/a:1.10.0",
        "example.com/a:1.9.0",
        "example.com/a:2.0.0-rc.1",
        "example.com/a",
    ];
    let (registry, images) = with(&references).await;
    for path in ["/-/images/example.com/a.aci", "/-/images/example.com/a:latest.aci"] {
        let response = registry.get(path).await;
        assert_eq!(response.headers()["gantry-version"], "1.10.0");
        assert_eq!(response.bytes().await.unwrap(), images[0].bytes);
    }
    let token = registry.token("example.com").await;
    registry.publish(&token, &image("example.com/a:1.11.0", b"new"), team_key()).await;
    let response = registry.get("/-/images/example.com/a:latest.aci").await;
    assert_eq!(response.headers()["gantry-version"], "1.11.0");
}

#[tokio::test]
async fn image_latest_is_the_newest_that_runs_there() {
    let (registry, images) = with(&[
        "example.com/a:1.0.0,os=linux,arch=amd64",
        "example.com/a:2.0.0-rc.1,os=linux,arch=amd64",
        "example.com/a:2.0.0,os=linux,arch=aarch64",
        "example.com/b:1.0.0+z",
        "example.com/b:1.0.0+a",
        "example.com/b:0.9.0,os=linux,arch=amd64",
        "example.com/c:first",
        "example.com/c:second",
    ])
    .await;
    for (reference, wanted) in [
        ("example.com/a:latest,os=linux,arch=amd64", 0),
        ("example.com/a,os=linux,arch=amd64", 0),
        ("example.com/a:latest,os=linux,arch=aarch64", 2),
        ("example.com/a", 2),
        ("example.com/a:2.0.0-rc.1,os=linux,arch=amd64", 1),
        ("example.com/b:latest,os=linux,arch=amd64", 4),
        ("example.com/b:latest", 4),
        ("example.com/b:0.9.0,os=linux,arch=amd64", 5),
        ("example.com/c:latest,os=linux,arch=amd64", 7),
    ] {
        for (extension, len) in [("aci", Some(images[wanted].bytes.len())), ("aci.asc", None)] {
            let response = registry.get(&format!("/-/images/{reference}.{extension}")).await;
            assert_eq!(response.status(), StatusCode::OK, "{reference}");
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            let version = images[wanted].reference.split([':', ',']).nth(1).unwrap();
            assert_eq!(header("gantry-version"), version, "{reference}");
            assert_eq!(header("gantry-image-id"), images[wanted].id.as_str(), "{reference}");
            let place = format!("/-/blobs/{}.{extension}", images[wanted].id);
            assert_eq!(header("content-location"), place, "{reference}");
            let body = response.bytes().await.unwrap();
            assert!(len.is_none_or(|len| len == body.len()), "{reference}");
        }
    }
    let none = registry.get("/-/images/example.com/a:latest,os=freebsd,arch=amd64.aci").await;
    assert_eq!(refused(none).await, (404, "image-unknown".to_owned()));
    // What a client makes of the templates of an image without a platform leads to it.
    let page = registry.get("/b?ac-discovery=1").await.text().await.unwrap();
    let templates = page.split("content=\"example.com https://example.com").skip(1);
    let templates: Vec<_> = templates.map(|rest| rest.split('"').next().unwrap()).collect();
    let reference = "example.com/b:latest,os=linux,arch=amd64".parse().unwrap();
    let mut followed = 0;
    for template in templates.iter().filter(|template| template.starts_with("/-/images/")) {
        let path = aci::Template::new(*template).render(&reference, aci::Extension::Image).unwrap();
        assert_eq!(registry.get(&path).await.bytes().await.unwrap(), images[4].bytes, "{path}");
        followed += 1;
    }
    assert_eq!(followed, 2);
}

/// More images than a look-up or a page reads.
#[tokio::test]
async fn image_is_found_among_many_of_its_name() {
    let mut references: Vec<String> =
        (1..=203).map(|at| format!("example.com/a:{at}.0.0,os=linux,arch=amd64")).collect();
    let others = [
        "example.com/a:1.0.0,os=linux,arch=aarch64",
        "example.com/a:1.1.0-rc.1,os=linux,arch=aarch64",
        "example.com/a:1.0.0,os=linux,arch=amd64,channel=beta",
        "example.com/a-b:1.0.0",
        "example.com/a/b:1.0.0",
    ];
    references.extend(others.map(str::to_owned));
    let (registry, _) = with(&references.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (reference, wanted) in [
        ("example.com/a,os=linux,arch=amd64", Some("203.0.0")),
        ("example.com/a:latest", Some("203.0.0")),
        ("example.com/a:latest,os=linux,arch=aarch64", Some("1.0.0")),
        ("example.com/a,channel=beta,os=linux,arch=amd64", Some("1.0.0")),
        ("example.com/a:17.0.0,os=linux,arch=amd64", Some("17.0.0")),
        ("example.com/a,os=linux,arch=i386", None),
        ("example.com/a:17.0.0,os=linux,arch=aarch64", None),
    ] {
        let response = registry.get(&format!("/-/images/{reference}.aci")).await;
        match wanted {
            Some(version) => assert_eq!(response.headers()["gantry-version"], version),
            None => assert_eq!(refused(response).await, (404, "image-unknown".to_owned())),
        }
    }
    // The page has the newest, and says how many more there are.
    let page = registry.get("/a").await.text().await.unwrap();
    assert_eq!(page.matches("<h3>").count(), 200);
    assert!(page.contains("<h3>203.0.0</h3>") && !page.contains("<h3>1.0.0</h3>"));
    assert!(page.contains("6 older images are not listed"), "{page}");
    assert!(page.contains("channel={channel}"), "the labels of an image that is not listed");
    assert!(page.contains("href=\"/a/b\"") && !page.contains("a-b"));
    // What is gone is not the newest any more.
    let token = registry.token("example.com").await;
    let late = image("example.com/a:9.0.0-rc.1,os=linux,arch=aarch64", b"late");
    registry.publish(&token, &late, team_key()).await;
    let latest = "/-/images/example.com/a,os=linux,arch=aarch64.aci";
    assert_eq!(registry.get(latest).await.headers()["gantry-version"], "1.0.0");
    let actions = vec![registry::Action::Delete];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    let first =
        registry.get(latest).await.headers()["gantry-image-id"].to_str().unwrap().to_owned();
    let url = registry.url(&format!("/-/api/v1/images/{first}"));
    assert_eq!(registry.client.delete(url).bearer_auth(&token).send().await.unwrap().status(), 204);
    assert_eq!(registry.get(latest).await.headers()["gantry-version"], "9.0.0-rc.1");
}

#[tokio::test]
async fn image_for_any_platform_serves_for_one_without_its_own() {
    let references = ["example.com/a:1", "example.com/a:1,os=linux,arch=amd64", "example.com/b:1"];
    let (registry, images) = with(&references).await;
    for (path, wanted) in [
        ("example.com/a:1,os=linux,arch=amd64", 1),
        ("example.com/a:1,os=linux,arch=aarch64", 0),
        ("example.com/a:1", 0),
        ("example.com/b:latest,os=linux,arch=amd64", 2),
    ] {
        let response = registry.get(&format!("/-/images/{path}.aci")).await;
        let id = response.headers()["gantry-image-id"].to_str().unwrap().to_owned();
        assert_eq!(id, images[wanted].id.as_str(), "{path}");
    }
}

#[tokio::test]
async fn image_that_is_none_or_several_is_said_to_be() {
    let references =
        ["example.com/a:1,os=linux,arch=amd64", "example.com/a:1,os=linux,arch=aarch64"];
    let (registry, _) = with(&references).await;
    let several = registry.get("/-/images/example.com/a:1.aci").await;
    let (status, refusal) = refusal(several).await;
    assert_eq!((status, refusal.code.as_str()), (404, "image-ambiguous"));
    for reference in references {
        assert!(refusal.found.contains(reference), "{refusal}");
    }
    for (path, status, code) in [
        ("/-/images/example.com/a:2.aci", 404, "image-unknown"),
        ("/-/images/example.com/b.aci", 404, "image-unknown"),
        ("/-/images/example.com/a:1,channel=x.aci.asc", 404, "image-unknown"),
        ("/-/images/example.com/a:1", 404, "path-unknown"),
        ("/-/images/example.com/a:1,os=linux,arch=arm64.aci", 400, "reference-malformed"),
        ("/-/images/EXAMPLE.com/a.aci", 400, "reference-malformed"),
        ("/-/images/example.com/a:1%FF.aci", 404, "path-unknown"),
        ("/-/images/example.com/../../etc/passwd.aci", 404, "path-unknown"),
        ("/-/images/example.com%2F..%2Fa.aci", 400, "reference-malformed"),
        ("/-/blobs/sha512-00.aci", 404, "path-unknown"),
        ("/-/blobs/..%2F..%2Fgantry.db", 404, "path-unknown"),
    ] {
        assert_eq!(refused(registry.get(path).await).await, (status, code.to_owned()), "{path}");
    }
    let none = format!("/-/blobs/sha512-{}.aci", "0".repeat(128));
    assert_eq!(refused(registry.get(&none).await).await, (404, "image-unknown".to_owned()));
}

#[tokio::test]
async fn image_with_any_label_value_can_be_asked_for() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let version = "1.0 ä?#%2f";
    let image = image_with("example.com/a", &[("version", version)], b"a");
    registry.publish(&token, &image, team_key()).await;
    let reference = format!("example.com/a:{version}").parse().unwrap();
    let template = aci::Template::new("/-/images/{name}:{version}.{ext}");
    let path = template.render(&reference, aci::Extension::Image).unwrap();
    let response = registry.get(&path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(response.bytes().await.unwrap(), image.bytes);
}

#[tokio::test]
async fn pubkeys_are_those_of_the_prefix_and_its_parents() {
    let registry = Registry::start().await;
    let none = registry.get("/-/pubkeys/example.com/team.asc").await;
    assert_eq!(refused(none).await, (404, "keys-unknown".to_owned()));
    registry.add_key("example.com", other_key()).await;
    registry.add_key("example.com/team", team_key()).await;
    registry.add_key("example.net", team_key()).await;
    let (team, other) = (team_key().fingerprint, other_key().fingerprint);
    for (prefix, wanted) in [
        ("example.com/team", vec![team, other]),
        ("example.com/team/hello", vec![team, other]),
        ("example.com", vec![other]),
        ("example.com/teamwork", vec![other]),
    ] {
        let response = registry.get(&format!("/-/pubkeys/{prefix}.asc")).await;
        assert_eq!(response.headers()["content-type"], "application/pgp-keys");
        let keys = response.bytes().await.unwrap();
        let found = keys::Certificate::read_all(&keys, &aci::Limits::default()).unwrap();
        let mut found: Vec<_> = found.iter().map(|key| *key.fingerprint()).collect();
        let mut wanted = wanted;
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{prefix}");
    }
    for path in ["/-/pubkeys/example.net.asc", "/-/pubkeys/example.org/a.asc"] {
        assert_eq!(refused(registry.get(path).await).await.1, "keys-unknown", "{path}");
    }
}
