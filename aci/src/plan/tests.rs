use serde_json::json;

use super::*;
use crate::labels::{Label, Labels};

/// An image with what a [`PlanImage`] borrows.
#[derive(Debug)]
pub(super) struct Made {
    id: ImageId,
    pub(super) manifest: ImageManifest,
    file_bytes: Option<u64>,
    pub(super) entries: Vec<PlanEntry>,
}

impl Made {
    pub(super) fn image(&self) -> PlanImage<'_> {
        PlanImage {
            image_id: &self.id,
            manifest: &self.manifest,
            file_bytes: self.file_bytes,
            entries: &self.entries,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut ImageManifest)) -> Self {
        change(&mut self.manifest);
        self
    }

    fn known_by(mut self, digit: u8) -> Self {
        self.id = ImageId::of([digit; 64]);
        self
    }
}

/// `d` is a directory, `f` a file, `l` a symlink, `h:TARGET` a hard link.
fn entry(path: &str, kind: &str) -> PlanEntry {
    let kind = match kind.split_once(':') {
        Some((_, target)) => EntryKind::HardLink { target: target.into() },
        None if kind == "d" => EntryKind::Directory,
        None if kind == "l" => EntryKind::Symlink { target: "/etc".into() },
        None => EntryKind::File { size: 1 },
    };
    PlanEntry { path: path.into(), kind }
}

/// An image; its image ID is made of its name's letters.
pub(super) fn image(
    name: &str,
    depends: &[&str],
    whitelist: &[&str],
    entries: &[(&str, &str)],
) -> Made {
    let depends: Vec<_> = depends.iter().map(|name| json!({"imageName": name})).collect();
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": name,
        "dependencies": depends,
    });
    let mut manifest = ImageManifest::from_json(manifest.to_string().as_bytes()).unwrap();
    // No manifest that was read has relative paths, but whoever makes one may.
    manifest.path_whitelist = whitelist.iter().map(|&path| path.to_owned()).collect();
    let mut id = [0; 64];
    id[..name.len()].copy_from_slice(name.as_bytes());
    Made {
        id: ImageId::of(id),
        manifest,
        file_bytes: None,
        entries: entries.iter().map(|(path, kind)| entry(path, kind)).collect(),
    }
}

/// Each path with where it comes from: `rootfs/etc/config base`, `rootfs/tmp (made)`,
/// `rootfs/ls = rootfs/busybox`, `rootfs/ls base of rootfs/busybox`. The rootfs is left out
/// where it is made.
fn shown(images: &[Made]) -> Vec<String> {
    let all: Vec<PlanImage<'_>> = images.iter().map(Made::image).collect();
    let planned = plan(&all[0], &all[1..], &Limits::default()).unwrap();
    let text = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
    let by_id = |id: &ImageId| all.iter().find(|image| image.image_id == id).unwrap();
    let show = |file: &PlannedFile<'_>| {
        let path = text(file.path);
        match file.source {
            Source::Made => format!("{path} (made)"),
            Source::Link { target, .. } => format!("{path} = {}", text(target)),
            Source::Entry { image_id, entry, content } => {
                let image = by_id(image_id);
                let name = image.manifest.name.last_segment();
                if entry == content {
                    format!("{path} {name}")
                } else {
                    format!("{path} {name} of {}", image.entries[content].path)
                }
            }
        }
    };
    planned.files.iter().map(show).filter(|line| line != "rootfs (made)").collect()
}

fn failure(images: &[Made]) -> PlanError {
    failure_within(images, &Limits::default())
}

fn failure_within(images: &[Made], limits: &Limits) -> PlanError {
    let all: Vec<PlanImage<'_>> = images.iter().map(Made::image).collect();
    plan(&all[0], &all[1..], limits).unwrap_err()
}

fn order(images: &[Made]) -> String {
    let all: Vec<PlanImage<'_>> = images.iter().map(Made::image).collect();
    let planned = plan(&all[0], &all[1..], &Limits::default()).unwrap();
    let name = |id: &ImageId| {
        let image = all.iter().find(|image| image.image_id == id).unwrap();
        image.manifest.name.as_str().to_owned()
    };
    let visit = |visit: &Visit<'_>| {
        let above: Vec<String> = visit.limited_by.iter().map(|id| name(id)).collect();
        format!("{}({})", name(visit.image_id), above.join(""))
    };
    planned.order.iter().map(visit).collect::<Vec<_>>().join(" ").replace("()", "")
}

#[test]
fn order_is_that_of_the_specs_examples() {
    let one = [
        image("a", &["b", "c"], &[], &[]),
        image("b", &[], &[], &[]),
        image("c", &["d"], &[], &[]),
    ];
    let d = || image("d", &[], &[], &[]);
    let [a, b, c] = one;
    assert_eq!(order(&[a, b, c, d()]), "b d c a");

    // Twice through D: the first time is without effect, unless B's whitelist lets other files
    // of it through than C's.
    let diamond = |list: &[&str]| {
        let b = image("b", &["d"], list, &[]);
        let c = image("c", &["d"], list, &[]);
        order(&[image("a", &["b", "c"], &[], &[]), b, c, d()])
    };
    assert_eq!(diamond(&[]), "b d c a");
    assert_eq!(diamond(&["/x"]), "d(b) b d(c) c a");
}

#[test]
fn later_dependency_overrides_and_the_image_overrides_all() {
    let file = |path| [(path, "f"), ("rootfs/all", "f")];
    let images = [
        image("a", &["b", "c"], &[], &file("rootfs/1")),
        image("b", &["d"], &[], &[("rootfs/2", "f"), ("rootfs/all", "f"), ("rootfs/deps", "f")]),
        image("c", &["d"], &[], &file("rootfs/3")),
        image("d", &[], &[], &[("rootfs/2", "f"), ("rootfs/deps", "f"), ("rootfs/4", "f")]),
    ];
    // D through C is stronger than B.
    assert_eq!(
        shown(&images),
        ["rootfs/1 a", "rootfs/2 d", "rootfs/3 c", "rootfs/4 d", "rootfs/all a", "rootfs/deps d"]
    );
}

#[test]
fn directories_merge_and_the_strongest_says_what_they_are_like() {
    let images = [
        image("a", &["b"], &[], &[("rootfs", "d"), ("rootfs/p", "d"), ("rootfs/q/new", "f")]),
        image(
            "b",
            &[],
            &[],
            &[
                ("rootfs", "d"),
                ("rootfs/p", "d"),
                ("rootfs/p/f", "f"),
                ("rootfs/q", "d"),
                ("rootfs/q/f", "f"),
            ],
        ),
    ];
    assert_eq!(
        shown(&images),
        ["rootfs a", "rootfs/p a", "rootfs/p/f b", "rootfs/q b", "rootfs/q/f b", "rootfs/q/new a"]
    );
}

#[test]
fn overridden_means_gone_with_all_below_it() {
    let over = |upper: &[(&str, &str)], middle: &[(&str, &str)], lower: &[(&str, &str)]| {
        shown(&[
            image("a", &["b"], &[], upper),
            image("b", &["c"], &[], middle),
            image("c", &[], &[], lower),
        ])
    };
    let full = [("rootfs/p", "d"), ("rootfs/p/f", "f")];
    for kind in ["f", "l"] {
        assert_eq!(over(&[("rootfs/p", kind)], &full, &[]), ["rootfs/p a"]);
        assert_eq!(over(&full, &[("rootfs/p", kind)], &[]), ["rootfs/p a", "rootfs/p/f a"]);
        // A folder that has no entry of its own replaces it too.
        let implied = [("rootfs/p/x", "f")];
        assert_eq!(over(&implied, &[("rootfs/p", kind)], &[]), ["rootfs/p (made)", "rootfs/p/x a"]);
        // The file in the middle has taken away the folder below it, and its mode with it.
        assert_eq!(
            over(&implied, &[("rootfs/p", kind)], &full),
            ["rootfs/p (made)", "rootfs/p/x a"]
        );
        assert_eq!(over(&[("rootfs/p", "d")], &[("rootfs/p", kind)], &full), ["rootfs/p a"]);
    }
}

#[test]
fn symlink_is_replaced_and_never_followed() {
    let lower = [("rootfs/e", "d"), ("rootfs/e/f", "f"), ("rootfs/d", "l")];
    let images = [image("a", &["b"], &[], &[("rootfs/d/g", "f")]), image("b", &[], &[], &lower)];
    assert_eq!(shown(&images), ["rootfs/d (made)", "rootfs/d/g a", "rootfs/e b", "rootfs/e/f b"]);
    // Within one image, which its archive's reader refuses.
    let odd = [("rootfs/d/f", "f"), ("rootfs/d", "l"), ("rootfs/d/g", "f")];
    assert_eq!(shown(&[image("a", &[], &[], &odd)]), ["rootfs/d a"]);
}

#[test]
fn whitelist_limits_an_image_and_all_below_it() {
    let files = [("rootfs/x", "f"), ("rootfs/y", "f"), ("rootfs/z", "f")];
    let chain = |upper: &[&str], middle: &[&str], lower: &[&str]| {
        shown(&[
            image("a", &["b"], upper, &[("rootfs/own", "f")]),
            image("b", &["c"], middle, &[]),
            image("c", &[], lower, &files),
        ])
    };
    assert_eq!(chain(&["/x", "/y"], &["/x", "/z"], &[]), ["rootfs/x c"]);
    assert_eq!(chain(&[], &["/x"], &["/x", "/z"]), ["rootfs/own a", "rootfs/x c"]);
    assert_eq!(chain(&["/own"], &[], &["/z"]), ["rootfs/own a"]);
    // It does not limit what stands beside it.
    let images = [
        image("a", &["b", "c"], &[], &[]),
        image("b", &[], &["/x"], &files),
        image("c", &[], &["/y"], &files),
    ];
    assert_eq!(shown(&images), ["rootfs/x b", "rootfs/y c"]);
}

#[test]
fn whitelist_of_each_way_to_an_image_counts_for_that_way() {
    let images = [
        image("a", &["b", "c"], &[], &[]),
        image("b", &["d"], &["/x", "/both"], &[("rootfs/both", "f")]),
        image("c", &["d"], &["/y", "/both"], &[]),
        image("d", &[], &[], &[("rootfs/x", "f"), ("rootfs/y", "f"), ("rootfs/both", "f")]),
    ];
    assert_eq!(shown(&images), ["rootfs/both d", "rootfs/x d", "rootfs/y d"]);
}

#[test]
fn whitelist_entry_for_a_folder_stands_for_itself() {
    let entries = [("rootfs/c", "d"), ("rootfs/c/f", "f"), ("rootfs/d", "d"), ("rootfs/d/f", "f")];
    assert_eq!(
        shown(&[image("a", &[], &["/c/", "/d/f"], &entries)]),
        ["rootfs/c a", "rootfs/d a", "rootfs/d/f a"]
    );
    // Of a dependency, only what is named is taken: the folder is made anew.
    let images = [image("a", &["b"], &["/c/", "/d/f"], &[]), image("b", &[], &[], &entries)];
    assert_eq!(shown(&images), ["rootfs/c b", "rootfs/d (made)", "rootfs/d/f b"]);
}

#[test]
fn whitelist_keeps_an_unnamed_folder_for_what_a_dependency_has_in_it() {
    let images = [
        image("a", &["b"], &["/d/f"], &[("rootfs/d", "d"), ("rootfs/e", "d")]),
        image("b", &[], &[], &[("rootfs/d", "d"), ("rootfs/d/f", "f")]),
    ];
    assert_eq!(shown(&images), ["rootfs/d a", "rootfs/d/f b"]);
    // What stands beside it is not in it.
    let images = [
        image("t", &["z", "a"], &[], &[]),
        image("a", &[], &["/other"], &[("rootfs/d", "d")]),
        image("z", &[], &[], &[("rootfs/d/f", "f")]),
    ];
    assert_eq!(shown(&images), ["rootfs/d (made)", "rootfs/d/f z"]);
}

/// The target `plan` found the folder made anew.
#[test]
fn whitelist_keeps_an_unnamed_folder_for_a_dependency_that_was_met_before() {
    let images = [
        image("t", &["a", "z"], &[], &[]),
        image("a", &["z"], &["/d/f"], &[("rootfs/d", "d"), ("rootfs/e", "d")]),
        image("z", &[], &[], &[("rootfs/d/f", "f")]),
    ];
    assert_eq!(shown(&images), ["rootfs/d a", "rootfs/d/f z"]);
    assert_eq!(order(&images), "a z t");
}

#[test]
fn whitelist_keeps_no_unnamed_folder_for_what_is_overridden() {
    let images = [
        image("t", &["a"], &["a/b/c", "a"], &[("rootfs/a/b", "d")]),
        image("a", &["z"], &[], &[("rootfs/a", "f")]),
        image("z", &[], &[], &[("rootfs/a/b/c", "d")]),
    ];
    assert_eq!(shown(&images), ["rootfs/a a"]);
}

#[test]
fn whitelist_paths_have_one_form() {
    let files: Vec<(String, &str)> = (1..6).map(|n| (format!("rootfs/f{n}"), "f")).collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
    let list = ["f1", "/f2/", "//x/../f3", "./f4"];
    assert_eq!(
        shown(&[image("a", &[], &list, &files)]),
        ["rootfs/f1 a", "rootfs/f2 a", "rootfs/f3 a", "rootfs/f4 a"]
    );
    for only_the_root in ["", "/", "..", "none"] {
        let images = [image("a", &[], &[only_the_root], &[("rootfs", "d"), ("rootfs/f", "f")])];
        assert_eq!(shown(&images), ["rootfs a"], "{only_the_root:?}");
    }
}

#[test]
fn hard_link_keeps_its_content_when_its_target_is_overridden() {
    let lower = [("rootfs/f", "f"), ("rootfs/g", "h:rootfs/f"), ("rootfs/h", "h:rootfs/g")];
    assert_eq!(
        shown(&[image("a", &[], &[], &lower)]),
        ["rootfs/f a", "rootfs/g = rootfs/f", "rootfs/h = rootfs/f"]
    );
    let images = [image("a", &["b"], &[], &[("rootfs/f", "f")]), image("b", &[], &[], &lower)];
    assert_eq!(shown(&images), ["rootfs/f a", "rootfs/g b of rootfs/f", "rootfs/h = rootfs/g"]);
    // The name that goes is the link's.
    let images = [image("a", &["b"], &[], &[("rootfs/g", "f")]), image("b", &[], &[], &lower)];
    assert_eq!(shown(&images), ["rootfs/f b", "rootfs/g a", "rootfs/h = rootfs/f"]);
}

#[test]
fn hard_link_keeps_its_content_when_its_target_is_whitelisted_away() {
    let entries = [
        ("rootfs/z", "f"),
        ("rootfs/y", "h:rootfs/z"),
        ("rootfs/a", "h:./rootfs/y"),
        ("rootfs/l", "l"),
        ("rootfs/m", "h:rootfs/l"),
    ];
    assert_eq!(
        shown(&[image("a", &[], &["/a", "/y", "/m"], &entries)]),
        ["rootfs/a = rootfs/y", "rootfs/m a of rootfs/l", "rootfs/y a of rootfs/z"]
    );
}

#[test]
fn hard_link_to_anything_but_an_earlier_file_is_refused() {
    for (target, word) in [
        ("../../../etc/passwd", "no earlier file"),
        ("/etc/passwd", "no earlier file"),
        ("manifest", "no earlier file"),
        ("rootfs/later", "no earlier file"),
        ("rootfs/link", "no earlier file"),
        ("rootfs/dir", "is a directory"),
        ("rootfs", "is a directory"),
    ] {
        let link = format!("h:{target}");
        let entries = [
            ("manifest", "f"),
            ("rootfs", "d"),
            ("rootfs/dir", "d"),
            ("rootfs/link", link.as_str()),
            ("rootfs/later", "f"),
        ];
        // Even where the link is not on the whitelist.
        for list in [&[][..], &["/later"]] {
            let error = failure(&[image("a", &[], list, &entries)]);
            assert!(matches!(error, PlanError::HardLink { .. }), "{target}: {error}");
            assert!(error.to_string().contains(word), "{target}: {error}");
        }
    }
}

#[test]
fn entries_outside_the_rootfs_are_passed_over() {
    let entries = [
        ("manifest", "f"),
        ("rootfs", "d"),
        ("rootfs/f", "f"),
        ("other", "f"),
        ("rootfs2/z", "f"),
        ("/rootfs/abs", "f"),
        ("rootfs/../evil", "f"),
        ("rootfs/./same", "f"),
        ("rootfs//double", "f"),
        ("rootfs/nul\0", "f"),
        ("./rootfs/dot/", "d"),
    ];
    assert_eq!(
        shown(&[image("a", &[], &[], &entries)]),
        ["rootfs a", "rootfs/dot a", "rootfs/f a"]
    );
    assert_eq!(shown(&[image("a", &[], &[], &[("manifest", "f")])]), Vec::<String>::new());
}

#[test]
fn order_of_files_is_that_of_profile_v1() {
    let entries =
        [("rootfs/a-b", "f"), ("rootfs/a/b", "f"), ("rootfs/a.b", "f"), ("rootfs/B", "f")];
    assert_eq!(
        shown(&[image("a", &[], &[], &entries)]),
        ["rootfs/B a", "rootfs/a (made)", "rootfs/a/b a", "rootfs/a-b a", "rootfs/a.b a"]
    );
}

#[test]
fn sound_archive_is_required() {
    let twice = [("rootfs/f", "f"), ("rootfs/g", "f"), ("./rootfs/f", "l")];
    let error = failure(&[image("a", &[], &["/g"], &twice)]);
    assert!(matches!(error, PlanError::Duplicate { .. }), "{error}");
    let error = failure(&[image("a", &[], &[], &[("rootfs", "l")])]);
    assert!(matches!(error, PlanError::Rootfs { .. }), "{error}");
}

/// The example of `docs/dependencies.md`.
#[test]
fn worked_example_is_true() {
    let images = |more: &[&str]| {
        let list = ["/bin/app", "/bin/ls", "/bin/busybox", "/etc/app.conf", "/lib/libc.so"];
        let list = [&list[..], more].concat();
        let app = [
            ("rootfs", "d"),
            ("rootfs/bin/app", "f"),
            ("rootfs/etc", "d"),
            ("rootfs/etc/app.conf", "f"),
        ];
        let tools = [
            ("rootfs", "d"),
            ("rootfs/bin", "d"),
            ("rootfs/bin/busybox", "f"),
            ("rootfs/bin/ls", "h:rootfs/bin/busybox"),
            ("rootfs/bin/vi", "h:rootfs/bin/busybox"),
            ("rootfs/lib", "d"),
            ("rootfs/lib/libc.so", "f"),
        ];
        let base = [
            ("rootfs", "d"),
            ("rootfs/bin", "d"),
            ("rootfs/bin/busybox", "l"),
            ("rootfs/etc", "d"),
            ("rootfs/etc/app.conf", "f"),
            ("rootfs/etc/passwd", "f"),
            ("rootfs/lib", "l"),
        ];
        [
            image("example.com/app", &["example.com/tools", "example.com/base"], &list, &app),
            image("example.com/tools", &[], &["/bin/ls", "/bin/vi", "/lib/libc.so"], &tools),
            image("example.com/base", &[], &[], &base),
        ]
    };
    let mut wanted = [
        "rootfs app",
        "rootfs/bin (made)",
        "rootfs/bin/app app",
        "rootfs/bin/busybox base",
        "rootfs/bin/ls tools of rootfs/bin/busybox",
        "rootfs/etc app",
        "rootfs/etc/app.conf app",
        "rootfs/lib (made)",
        "rootfs/lib/libc.so tools",
    ];
    assert_eq!(shown(&images(&[])), wanted);
    wanted[7] = "rootfs/lib base";
    assert_eq!(shown(&images(&["/lib"])), wanted[..8]);
}

#[test]
fn dependency_is_found_by_name_and_labels() {
    let labels = |texts: &[&str]| -> Labels {
        let labels: Vec<Label> = texts.iter().map(|text| text.parse().unwrap()).collect();
        labels.try_into().unwrap()
    };
    let base = |texts: &[&str], id| {
        let labels = labels(texts);
        image("base", &[], &[], &[("rootfs/f", "f")]).known_by(id).with(|m| m.labels = labels)
    };
    let app = |texts: &[&str]| {
        let labels = labels(texts);
        image("app", &["base"], &[], &[]).with(|m| m.dependencies[0].labels = labels)
    };
    let chosen = |app: Made, others: [Made; 2]| {
        let all = [app.image(), others[0].image(), others[1].image()];
        let planned = plan(&all[0], &all[1..], &Limits::default()).unwrap();
        all.iter().position(|image| image.image_id == planned.order[0].image_id).unwrap()
    };
    let both = || [base(&["version=1", "os=linux"], 1), base(&["version=2"], 2)];
    assert_eq!(chosen(app(&["version=2"]), both()), 2);
    assert_eq!(chosen(app(&["version=1"]), both()), 1, "labels it does not name match");
    assert_eq!(chosen(app(&[]), both()), 1, "the preferred one stands first");

    let [one, two] = both();
    let error = failure(&[app(&["version=3"]), one, two]);
    assert!(matches!(&error, PlanError::Missing { found, .. } if found.len() == 2), "{error}");
    assert!(error.to_string().contains("base,version=3"), "{error}");
    assert!(error.to_string().contains("base,version=1,os=linux"), "{error}");
    let error = failure(&[app(&[]), image("other", &[], &[], &[])]);
    assert!(matches!(&error, PlanError::Missing { found, .. } if found.is_empty()), "{error}");
}

#[test]
fn dependency_with_an_image_id_is_that_image_and_has_that_name() {
    let pin = |digit: u8| Some(ImageId::of([digit; 64]));
    let app = |name, digit| {
        image("app", &[name], &[], &[]).with(|m| m.dependencies[0].image_id = pin(digit))
    };
    let base = |digit| image("base", &[], &[], &[("rootfs/f", "f")]).known_by(digit);
    let images = [app("base", 2), base(1), base(2)];
    let all: Vec<_> = images.iter().map(Made::image).collect();
    let planned = plan(&all[0], &all[1..], &Limits::default()).unwrap();
    assert_eq!(planned.order[0].image_id, &images[2].id);

    let error = failure(&[app("base", 3), base(1)]);
    assert!(matches!(&error, PlanError::ImageId { found, .. } if found.digits().starts_with("01")));
    let error = failure(&[app("other", 1), base(1)]);
    assert!(matches!(error, PlanError::Missing { .. }), "{error}");
}

#[test]
fn dependency_with_a_size_has_that_size() {
    let app = |size| image("app", &["base"], &[], &[]).with(|m| m.dependencies[0].size = size);
    let base = |file_bytes| Made { file_bytes, ..image("base", &[], &[], &[]) };
    for (size, bytes) in [(Some(9), Some(9)), (Some(9), None), (None, Some(9)), (Some(0), Some(9))]
    {
        let (app, base) = (app(size), base(bytes));
        assert!(plan(&app.image(), &[base.image()], &Limits::default()).is_ok());
    }
    let error = failure(&[app(Some(9)), base(Some(8))]);
    assert!(matches!(error, PlanError::Size { size: 9, found: 8, .. }), "{error}");
}

#[test]
fn circle_of_dependencies_is_refused() {
    let error = failure(&[image("a", &["a"], &[], &[])]);
    assert_eq!(error.to_string(), "the dependencies go round in a circle: a → a");
    let error = failure(&[
        image("t", &["b", "a"], &[], &[]),
        image("a", &["b"], &[], &[]),
        image("b", &["c"], &[], &[]),
        image("c", &["a"], &[], &[]),
    ]);
    assert_eq!(error, PlanError::Cycle(["a", "b", "c", "a"].map(String::from).to_vec()));
}

#[test]
fn limits_are_kept() {
    let line = |length: usize| {
        let one = |number: usize| {
            let next = format!("i{}", number + 1);
            let depends: &[&str] = if number + 1 < length { &[&next] } else { &[] };
            image(&format!("i{number}"), depends, &[], &[])
        };
        (0..length).map(one).collect::<Vec<_>>()
    };
    let small = Limits {
        dependency_depth: 3,
        dependencies: 4,
        plan_entries: 6,
        path_bytes: 10,
        ..Limits::default()
    };
    let planned = |images: &[Made]| {
        let all: Vec<_> = images.iter().map(Made::image).collect();
        plan(&all[0], &all[1..], &small).map(|plan| plan.files.len())
    };
    assert!(planned(&line(3)).is_ok());
    assert!(failure_within(&line(4), &small).to_string().ends_with("in one line"));

    let wide = ["i1", "i1", "i1", "i1", "i1"];
    let wide = |count| [image("i0", &wide[..count], &[], &[]), image("i1", &[], &[], &[])];
    assert!(planned(&wide(4)).is_ok());
    assert!(failure_within(&wide(5), &small).to_string().ends_with("4 dependencies"));

    let one = |path| [image("a", &[], &[], &[(path, "f")])];
    assert_eq!(planned(&one("rootfs/a/b/c/d/e")), Ok(6));
    assert!(
        failure_within(&one("rootfs/a/b/c/d/e/"), &Limits { plan_entries: 5, ..small.clone() })
            .to_string()
            .ends_with("5 paths and folders above them")
    );
    assert!(failure_within(&one("rootfs/12345678901"), &small).to_string().ends_with("one path"));
    let many: Vec<String> = (0..7).map(|number| format!("rootfs/{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|path| (path.as_str(), "f")).collect();
    let error = failure_within(&[image("a", &[], &[], &many)], &small);
    assert!(error.to_string().ends_with("6 entries"), "{error}");
}

#[test]
fn diamonds_upon_diamonds_are_not_gone_through_again_and_again() {
    // 2^60 ways lead to the last one.
    let name = |number: usize| format!("i{number}");
    let twice = |number: usize, whitelist: &[&str]| {
        let next = name(number + 1);
        image(&name(number), &[&next, &next], whitelist, &[("rootfs/f", "f")])
    };
    for list in [&[][..], &["/f"]] {
        let mut images: Vec<Made> = (0..60).map(|number| twice(number, list)).collect();
        images.push(image("i60", &[], list, &[("rootfs/f", "f")]));
        assert_eq!(shown(&images), ["rootfs/f i0"]);
    }
}

#[test]
fn every_refusal_says_what_to_do_next() {
    let depends = |name| image("a", &[name], &[], &[]);
    for (error, code) in [
        (failure(&[depends("b")]), "dependency-missing"),
        (failure(&[depends("a")]), "dependency-cycle"),
        (failure(&[image("a", &[], &[], &[("rootfs", "f")])]), "image-layout"),
    ] {
        use crate::refusal::Refuse;
        let refusal = error.refusal();
        assert_eq!(refusal.code, code);
        assert_eq!(refusal.found, error.to_string());
        assert!(!refusal.next.is_empty() && !refusal.wanted.is_empty());
    }
}

#[test]
fn plan_of_many_files_takes_near_linear_time() {
    let entries = |count: usize| -> Vec<PlanEntry> {
        let path =
            |at: usize| format!("rootfs/usr/share/d{:03}/e{:02}/file{at}", at % 997, at % 89);
        (0..count).map(|at| entry(&path(at), "f")).collect()
    };
    let took = |count: usize| {
        let made = Made { entries: entries(count), ..image("a", &[], &[], &[]) };
        let once = |_| {
            let begun = std::time::Instant::now();
            let planned = plan(&made.image(), &[], &Limits::default()).unwrap();
            assert!(planned.files.len() > count);
            begun.elapsed()
        };
        (0..3).map(once).min().unwrap()
    };
    let (small, large) = (took(5_000), took(80_000));
    assert!(large < 80 * small, "16 times the files took {small:?} → {large:?}");
}
