//! What people and discovery clients see.

use reqwest::StatusCode;

use crate::fixture::*;

async fn page(registry: &Registry, path: &str) -> String {
    let response = registry.get(path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.text().await.unwrap()
}

fn tags(html: &str) -> Vec<String> {
    html.split("<meta name=\"ac-")
        .skip(1)
        .map(|rest| rest.split("\">").next().unwrap().replace("\" content=\"", " "))
        .collect()
}

const TAGS: [&str; 2] = [
    "discovery example.com https://example.com/-/images/{name}:{version},os={os},arch={arch}.{ext}",
    "discovery example.com https://example.com/-/images/{name}:{version}.{ext}",
];

#[tokio::test]
async fn pages_have_all_tags_for_every_name_and_parent() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    registry.publish(&token, &image("example.com/team/sub/hello:1", b"a"), team_key()).await;
    for (path, name) in [
        ("/", "example.com"),
        ("/team", "example.com/team"),
        ("/team/sub", "example.com/team/sub"),
        ("/team/sub/hello", "example.com/team/sub/hello"),
        // A push of a new name asks the same question.
        ("/new/name", "example.com/new/name"),
    ] {
        let asked = page(&registry, &format!("{path}?ac-discovery=1")).await;
        let wanted = [
            TAGS[0].to_owned(),
            TAGS[1].to_owned(),
            format!("discovery-pubkeys example.com https://example.com/-/pubkeys/{name}.asc"),
            "push-discovery example.com https://example.com/-/acpush/{name}".to_owned(),
        ];
        assert_eq!(tags(&asked), wanted, "{path}");
        if name != "example.com/new/name" {
            assert_eq!(tags(&page(&registry, path).await), wanted, "{path}");
        }
    }
}

#[tokio::test]
async fn pages_of_nothing_are_404_without_tags() {
    let registry = Registry::start().await;
    for path in
        ["/nothing", "/a/b/c", "/UPPER?ac-discovery=1", "/a//b?ac-discovery=1", "/a?ac-discovery=2"]
    {
        let response = registry.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        assert_eq!(tags(&response.text().await.unwrap()), [""; 0], "{path}");
    }
}

#[tokio::test]
async fn pages_offer_templates_for_the_labels_in_use() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    for reference in ["example.com/a:1", "example.com/a:1,channel=beta", "example.com/b:1,x=y"] {
        registry.publish(&token, &image(reference, reference.as_bytes()), team_key()).await;
    }
    let discovery: Vec<_> = tags(&page(&registry, "/a").await)
        .into_iter()
        .filter_map(|tag| {
            tag.strip_prefix("discovery example.com https://example.com").map(str::to_owned)
        })
        .collect();
    assert_eq!(
        discovery,
        [
            "/-/images/{name}:{version},os={os},arch={arch},channel={channel}.{ext}",
            "/-/images/{name}:{version},channel={channel}.{ext}",
            "/-/images/{name}:{version},os={os},arch={arch}.{ext}",
            "/-/images/{name}:{version}.{ext}",
        ]
    );
    // What a client makes of it leads to the image.
    let reference = "example.com/a:1,channel=beta".parse().unwrap();
    let path = aci::Template::new(&discovery[1]).render(&reference, aci::Extension::Image).unwrap();
    assert_eq!(registry.get(&path).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_choose_among_domains_and_write_no_other_host() {
    let registry = Registry::start_with(|config| {
        config.domains =
            ["example.com", "example.org"].map(|d| d.parse().unwrap()).to_vec().try_into().unwrap();
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    registry.add_key("example.org", team_key()).await;
    let token = registry.token("example.com").await;
    registry.publish(&token, &image("example.com/a:1", b"a"), team_key()).await;
    let token = registry.token("example.org").await;
    registry.publish(&token, &image("example.org/b:1", b"b"), team_key()).await;
    let get = async |host: &str, path: &str| {
        let response = registry.client.get(registry.url_of(host, path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (_, com) = get("example.com", "/").await;
    assert!(com.contains("example.com/a") && !com.contains("example.org"), "{com}");
    assert!(!com.contains(&format!(":{}", registry.address.port())), "no port in a page");
    let (_, org) = get("example.org", "/").await;
    assert!(org.contains("example.org/b") && !org.contains("example.com"), "{org}");
    assert_eq!(get("example.org", "/a").await.0, 404);
    let (_, local) = get("localhost", "/").await;
    assert_eq!(tags(&local).len(), 8);
    assert!(local.contains("href=\"/a\"") && local.contains("href=\"https://example.org/b\""));
    let (status, local) = get("127.0.0.1", "/b").await;
    assert_eq!(status, 200);
    assert!(local.contains("gantry fetch example.org/b"), "{local}");
}

#[tokio::test]
async fn pages_are_not_given_to_other_hosts() {
    let registry = Registry::start().await;
    for http1 in [true, false] {
        // The certificate is for example.com: the attack goes through the Host header.
        let client = client(registry.address, &registry.data().join("tls/ca.pem"), http1);
        let request = client.get(registry.url("/?ac-discovery=1")).header("host", "evil.example");
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        // In HTTP/2 the host stands in the URL as well, and the two differ.
        let wanted = if http1 { StatusCode::MISDIRECTED_REQUEST } else { StatusCode::BAD_REQUEST };
        assert_eq!(status, wanted);
        assert_eq!(tags(&text), [""; 0]);
    }
}

#[tokio::test]
async fn pages_escape_whatever_an_image_says() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let hostile = r#""><script>alert(1)</script><meta name="ac-discovery" content="x y">"#;
    let labels =
        [("version", hostile), ("channel", "$(reboot)\u{202e}"), ("quote", "' onload='alert(1)")];
    let image = image_with("example.com/a", &labels, b"a");
    registry.publish(&token, &image, team_key()).await;
    let html = page(&registry, "/a").await;
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("content=\"x y\""), "{html}");
    assert!(!html.contains('\u{202e}'), "{html}");
    assert!(html.contains("&#60;script&#62;"), "{html}");
    // Names cannot hold markup, so the message of a 404 cannot either.
    let response = registry.get("/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!response.text().await.unwrap().contains("<script"));
    let version = response_header(&registry, &format!("/-/blobs/{}.aci", image.id)).await;
    assert_eq!(version.as_deref(), Some(hostile));
}

async fn response_header(registry: &Registry, path: &str) -> Option<String> {
    let response = registry.get(path).await;
    Some(response.headers().get("gantry-version")?.to_str().ok()?.to_owned())
}

#[tokio::test]
async fn pages_are_locked_down_and_use_our_own_assets() {
    let registry = Registry::start().await;
    let response = registry.get("/").await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let style = registry.get("/-/assets/style.css").await;
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
    assert_eq!(registry.get("/-/assets/icon.svg").await.status(), StatusCode::OK);
    assert_eq!(refused(registry.get("/-/assets/x").await).await.0, 404);
}

#[tokio::test]
async fn name_page_tells_all_about_its_images() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let first = image("example.com/a:1.9.0,os=linux,arch=amd64", b"a");
    let second = image("example.com/a:1.10.0,os=linux,arch=amd64", b"b");
    let below = image("example.com/a/plugin:1", b"c");
    for image in [&second, &first, &below] {
        registry.publish(&token, image, team_key()).await;
    }
    let html = page(&registry, "/a").await;
    for text in [
        "gantry fetch example.com/a:1.9.0,os=linux,arch=amd64".to_owned(),
        format!("--prefix example.com/a --fingerprint {}", team_key().fingerprint),
        format!("/-/blobs/{}.aci.asc", first.id),
        "href=\"/a/plugin\"".to_owned(),
        "/-/pubkeys/example.com/a.asc".to_owned(),
    ] {
        assert!(html.contains(&text), "{text}\n{html}");
    }
    let place = |text: &str| html.find(text).unwrap();
    assert!(place("<h3>1.10.0</h3>") < place("<h3>1.9.0</h3>"), "newest first");
}

#[tokio::test]
async fn reserved_paths_that_are_nothing_say_so() {
    let registry = Registry::start().await;
    for (path, code) in [("/-/x", "path-unknown"), ("/-/api/v1/x", "path-unknown")] {
        assert_eq!(refused(registry.get(path).await).await, (404, code.to_owned()), "{path}");
    }
    let posted = registry.client.post(registry.url("/team")).send().await.unwrap();
    assert_eq!(posted.headers()["allow"], "GET,HEAD");
    assert_eq!(refused(posted).await, (405, "method-not-allowed".to_owned()));
    for path in ["/-/healthz", "/-/readyz"] {
        assert_eq!(registry.get(path).await.text().await.unwrap(), "ok\n");
    }
}
