use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let all: Vec<aci::Label> = pairs
        .iter()
        .map(|(name, value)| aci::Label { name: name.parse().unwrap(), value: (*value).to_owned() })
        .collect();
    all.try_into().unwrap()
}

fn discovery() -> Discovery {
    Discovery::for_name(
        vec![("example.com".parse().unwrap(), "example.com/team/hello".parse().unwrap())],
        [["channel".parse().unwrap()].into()],
    )
}

fn image(pairs: &[(&str, &str)]) -> ImageEntry {
    ImageEntry {
        labels: labels(pairs),
        image_id: ImageId::of([0xab; 64]),
        file_digest: FileDigest::of([0xcd; 64]),
        file_bytes: 18_140_160,
        signer: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        pushed: "2026-11-03".to_owned(),
        withdrawn: None,
    }
}

fn entry(name: &str) -> NameEntry {
    let name: Name = name.parse().unwrap();
    let href = format!("/{}", name.path());
    NameEntry { name, href, images: 2, pushed: "2026-11-03".to_owned() }
}

fn name_page(images: Vec<ImageEntry>, children: Vec<NameEntry>) -> NamePage {
    let name = "example.com/team/hello".parse().unwrap();
    NamePage { discovery: discovery(), name, images, left_out: 0, children, more_after: None }
}

fn home(names: Vec<NameEntry>, more_after: Option<Name>) -> HomePage {
    let domains = vec!["example.com".parse().unwrap(), "example.org".parse().unwrap()];
    HomePage { discovery: Discovery::for_home(&domains), domains, names, more_after }
}

/// Every page with every kind of content.
fn samples() -> Vec<(&'static str, String)> {
    let usual = [("version", "1.0.0"), ("os", "linux"), ("arch", "amd64")];
    let mut cut =
        name_page(vec![image(&usual), image(&[])], vec![entry("example.com/team/hello/x")]);
    cut.left_out = 7;
    let more = Some("example.com/z".parse().unwrap());
    let error = ErrorPage { status: 404, message: "no such".into(), next: "look at /".into() };
    vec![
        ("home empty", home(Vec::new(), None).render().unwrap()),
        ("home full", home(vec![entry("example.com/team/hello")], more).render().unwrap()),
        ("name empty", name_page(Vec::new(), Vec::new()).render().unwrap()),
        ("name full", cut.render().unwrap()),
        ("error", error.render().unwrap()),
    ]
}

#[test]
fn pages_render_and_load_nothing_from_elsewhere() {
    for (what, html) in samples() {
        assert!(html.starts_with("<!doctype html>"), "{what}");
        assert!(html.trim_end().ends_with("</html>"), "{what}");
        for forbidden in ["<script", "src=\"http", "href=\"http", "style=\"", "onclick"] {
            assert!(!html.contains(forbidden), "{what} has {forbidden}");
        }
        assert!(html.contains("<title>"), "{what}");
    }
}

#[test]
fn pages_carry_all_three_tags_and_errors_none() {
    for (what, html) in samples() {
        for tag in ["ac-discovery", "ac-discovery-pubkeys", "ac-push-discovery"] {
            let there =
                html.contains(&format!("<meta name=\"{tag}\" content=\"example.com https://"));
            assert_eq!(there, what != "error", "{what}: {tag}");
        }
    }
}

#[test]
fn name_page_tells_how_to_trust_and_fetch() {
    let html = name_page(vec![image(&[("version", "1.0.0"), ("os", "linux")])], Vec::new())
        .render()
        .unwrap();
    for text in [
        "gantry trust add --prefix example.com/team/hello --fingerprint 0123456789abcdef0123456789abcdef01234567",
        "gantry fetch example.com/team/hello:1.0.0,os=linux",
        &format!("href=\"/-/blobs/{}.aci\"", ImageId::of([0xab; 64])),
        &format!("href=\"/-/blobs/{}.aci.asc\"", ImageId::of([0xab; 64])),
        "17.2 MiB",
        "2026-11-03",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
}

/// The commands of a page, but for the one that fetches by the name alone.
fn commands(html: &str) -> Vec<String> {
    let all = html.split("<pre>gantry fetch ").skip(1);
    let all = all.map(|rest| rest.split("</pre>").next().unwrap().to_owned());
    all.filter(|command| command != "example.com/team/hello").collect()
}

#[test]
fn name_page_fetches_the_image_that_it_stands_beside() {
    let with = |id: u8, pairs: &[(&str, &str)]| ImageEntry {
        image_id: ImageId::of([id; 64]),
        ..image(pairs)
    };
    let by_id = |id: u8| format!("https://example.com/-/blobs/{}.aci", ImageId::of([id; 64]));
    let platform = [("version", "1"), ("os", "linux"), ("arch", "amd64")];
    let images = vec![
        with(1, &[("version", "2")]),
        with(2, &[]),
        with(3, &[("os", "linux")]),
        with(4, &[("version", "")]),
        with(5, &[("version", " ")]),
        with(6, &[("version", "latest")]),
        with(7, &platform),
        // It is part of what the one before has.
        with(8, &[("version", "1")]),
        // To one is added what the other has, on a machine that has both.
        with(9, &[("version", "5"), ("os", "linux")]),
        with(10, &[("version", "5"), ("arch", "amd64")]),
        with(11, &[("version", "6"), ("os", "linux")]),
        // Of these no template makes a URL.
        with(12, &[("version", "7/../8"), ("os", "linux")]),
    ];
    let html = name_page(images, Vec::new()).render().unwrap();
    let name = "example.com/team/hello";
    let wanted = [
        format!("{name}:2"),
        by_id(2),
        by_id(3),
        by_id(4),
        format!("&#39;{name}: &#39;"),
        by_id(6),
        format!("{name}:1,os=linux,arch=amd64"),
        by_id(8),
        by_id(9),
        by_id(10),
        format!("{name}:6,os=linux"),
        by_id(12),
    ];
    assert_eq!(commands(&html), wanted);
    for heading in ["no version", "an empty version", "a version of blanks"] {
        assert!(html.contains(&format!("<h3><em>{heading}</em></h3>")), "{html}");
    }
    assert!(html.contains("<h3>latest</h3>"), "{html}");
    // What is not listed may be of the same version.
    let mut page = name_page(vec![with(1, &[("version", "2")]), with(2, &platform)], Vec::new());
    page.left_out = 1;
    let html = page.render().unwrap();
    assert_eq!(commands(&html), [by_id(1), format!("{name}:1,os=linux,arch=amd64")]);
}

#[test]
fn name_page_says_no_command_that_finds_nothing() {
    let alone = "<pre>gantry fetch example.com/team/hello</pre>";
    let withdrawn =
        ImageEntry { withdrawn: Some("broken".to_owned()), ..image(&[("version", "1")]) };
    let html = name_page(vec![withdrawn.clone()], Vec::new()).render().unwrap();
    assert!(!html.contains(alone), "{html}");
    assert_eq!(commands(&html), ["example.com/team/hello:1"]);
    let html = name_page(vec![withdrawn, image(&[])], Vec::new()).render().unwrap();
    assert!(html.contains(alone), "{html}");
}

#[test]
fn name_page_escapes_hostile_labels() {
    let hostile = r#"<script>alert(1)</script>"'&"#;
    let page =
        name_page(vec![image(&[("version", hostile), ("channel", "$(reboot)")])], Vec::new());
    let html = page.render().unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
    // The command is one word to a shell, whatever the version says.
    assert!(html.contains("gantry fetch &#39;example.com/team/hello:"), "{html}");
    let unseen = name_page(vec![image(&[("version", "1\u{202e}0\n")])], Vec::new());
    let html = unseen.render().unwrap();
    assert!(html.contains("1\\u{202e}0\\u{a}"), "{html}");
    assert!(!html.contains('\u{202e}'), "{html}");
}

#[test]
fn sizes_are_in_the_unit_a_person_would_use() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (18_140_160, "17.2 MiB"),
        (u64::MAX, "17179869183.9 GiB"),
    ] {
        assert_eq!(human(bytes), text);
    }
}
