//! The suite `acirenderer`: dependencies and path whitelists, against `aci::plan`.
//!
//! [`run`] gives what the plan says of a case, in every form that a case may ask for:
//!
//! ```text
//! {"listed": […], "disk": […],              `expected`
//!  "regular_files": {…}, "dir_modes": {…}}   `spec_expected`
//! ```
//!
//! A case asks for some of them, so it is compared with [`agrees`].

use aci::archive::EntryKind;
use aci::plan::{Plan, PlanEntry, PlanImage, PlannedFile, Source, plan};
use aci::{ImageId, ImageManifest, Limits, Refuse};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    Some(match (suite, op) {
        ("acirenderer", "render") => render(input),
        ("acirenderer", "upper_whitelist") => upper_whitelist(input),
        _ => return None,
    })
}

/// Whether what [`run`] gave is what a case wants: the forms that it names, those that name files
/// to the last one, but of modes only those that are given.
///
/// Which image `rootfs` itself comes from is not compared: the reference lists the weakest one,
/// and a `spec_expected` says that the strongest is right.
pub(super) fn agrees(ours: &Value, wanted: &Value) -> bool {
    let Some(forms) = wanted.as_object() else { return ours == wanted };
    forms.iter().all(|(form, wanted)| match (form.as_str(), &ours[form]) {
        ("dir_modes", ours) => {
            wanted.as_object().is_some_and(|w| w.iter().all(|(path, mode)| ours[path] == *mode))
        }
        ("listed" | "disk", ours) => same_files(ours) == same_files(wanted),
        (_, ours) => ours == wanted,
    })
}

/// The list by path, without what is not compared.
fn same_files(list: &Value) -> Option<Vec<Value>> {
    let mut files = list.as_array()?.clone();
    for file in &mut files {
        if file["path"] == "rootfs"
            && let Some(file) = file.as_object_mut()
        {
            file.remove("from");
        }
    }
    files.sort_by(|one, other| one["path"].as_str().cmp(&other["path"].as_str()));
    Some(files)
}

/// An image of a case, as it is in the case and as the plan takes it.
struct Image<'c> {
    case: &'c Value,
    id: ImageId,
    manifest: ImageManifest,
    entries: Vec<PlanEntry>,
}

impl Image<'_> {
    fn planned(&self) -> PlanImage<'_> {
        PlanImage {
            image_id: &self.id,
            manifest: &self.manifest,
            file_bytes: None,
            entries: &self.entries,
        }
    }
}

fn render(input: &Value) -> Outcome {
    let images = images(input["images"].as_array().unwrap());
    let top = &images[index(&input["top"])];
    // The reference prefers what was imported last.
    let others: Vec<PlanImage<'_>> = images.iter().rev().map(Image::planned).collect();
    let planned = planned(&top.planned(), &others)?;
    Ok(in_all_forms(&planned, top, &images))
}

fn planned<'a>(top: &PlanImage<'a>, others: &[PlanImage<'a>]) -> Result<Plan<'a>, Refused> {
    plan(top, others, &Limits::default())
        .map_err(|error| Refused::new(&error.refusal().code, &error))
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn images(cases: &[Value]) -> Vec<Image<'_>> {
    // No archive is made of a case's image, so its ID is that of its description.
    let id = |case: &Value| ImageId::of(Sha512::digest(case.to_string().as_bytes()).into());
    let ids: Vec<ImageId> = cases.iter().map(id).collect();
    cases.iter().zip(&ids).map(|(case, id)| image(case, id.clone(), &ids)).collect()
}

/// `ids` are those of all images of the case, which `{id:N}` in a dependency stands for.
fn image<'c>(case: &'c Value, id: ImageId, ids: &[ImageId]) -> Image<'c> {
    let mut manifest =
        json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": case["name"]});
    for field in ["labels", "dependencies"] {
        manifest[field] = case[field].clone();
    }
    let mut manifest = manifest.to_string();
    for (number, id) in ids.iter().enumerate() {
        manifest = manifest.replace(&format!("{{id:{number}}}"), id.as_str());
    }
    let mut manifest = ImageManifest::from_json(manifest.as_bytes()).unwrap();
    // Not through the manifest's reader, which refuses the relative paths of some cases: what
    // rendering makes of them is asked here.
    let whitelist = case["pathWhitelist"].as_array().into_iter().flatten();
    manifest.path_whitelist = whitelist.map(|path| path.as_str().unwrap().to_owned()).collect();
    let entries = case["entries"].as_array().into_iter().flatten();
    Image { case, id, manifest, entries: entries.map(entry).collect() }
}

fn entry(case: &Value) -> PlanEntry {
    let text = |field: &str| case[field].as_str().unwrap_or_default();
    let kind = match text("type") {
        "file" => EntryKind::File { size: text("data").len() as u64 },
        "dir" => EntryKind::Directory,
        "symlink" => EntryKind::Symlink { target: text("link").into() },
        "hardlink" => EntryKind::HardLink { target: text("link").into() },
        "fifo" => EntryKind::Fifo,
        "char" => EntryKind::Character { device: (0, 0) },
        "block" => EntryKind::Block { device: (0, 0) },
        other => panic!("a kind of entry that the suite did not have: {other}"),
    };
    PlanEntry { path: text("name").into(), kind }
}

fn in_all_forms(plan: &Plan<'_>, top: &Image<'_>, images: &[Image<'_>]) -> Value {
    let mut forms = Forms::default();
    let mut manifest = json!({"path": "manifest", "type": "file", "mode": "0644"});
    forms.disk.push(manifest.clone());
    manifest["from"] = top.case["name"].clone();
    forms.listed.push(manifest);
    for file in &plan.files {
        forms.add(file, images);
    }
    json!({
        "listed": forms.listed,
        "disk": forms.disk,
        "regular_files": forms.regular_files,
        "dir_modes": forms.dir_modes,
    })
}

#[derive(Default)]
struct Forms {
    listed: Vec<Value>,
    disk: Vec<Value>,
    regular_files: Map<String, Value>,
    dir_modes: Map<String, Value>,
}

impl Forms {
    fn add(&mut self, file: &PlannedFile<'_>, images: &[Image<'_>]) {
        let path = text(file.path);
        let (image_id, entry, content) = match file.source {
            Source::Made => {
                self.dir_modes.insert(path.clone(), json!("0755"));
                self.disk.push(json!({"path": path, "type": "dir", "mode": "0755"}));
                return;
            }
            Source::Entry { image_id, entry, content } => (image_id, entry, content),
            Source::Link { image_id, entry, .. } => (image_id, entry, entry),
        };
        let image = images.iter().find(|image| image.id == *image_id).unwrap();
        let mut listed = described(&path, &image.case["entries"][entry]);
        let mut disk = described(&path, &image.case["entries"][content]);
        if let Source::Link { target, .. } = file.source {
            // On disk a link is the file it is another name of, which stands before it in the
            // archive and so may stand behind it here.
            let of = &image.case["entries"][self.file_of(target, image)];
            disk = described(&path, of);
            disk["hardlink_of"] = json!(text(target));
        }
        if disk["type"] == "file" {
            self.regular_files.insert(path.clone(), disk["data"].clone());
        } else if disk["type"] == "dir" {
            self.dir_modes.insert(path, disk["mode"].clone());
        }
        listed["from"] = image.case["name"].clone();
        self.listed.push(listed);
        self.disk.push(disk);
    }

    /// The number of the entry with the content of a path, through as many links as there are.
    fn file_of(&self, target: &[u8], image: &Image<'_>) -> usize {
        let mut target = aci::archive::PathBytes::from(target);
        loop {
            let at = image.entries.iter().position(|entry| entry.path == target).unwrap();
            let EntryKind::HardLink { target: further } = &image.entries[at].kind else {
                return at;
            };
            target = further.clone();
        }
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8(path.to_vec()).unwrap()
}

/// An entry of a case as the suite lists it.
fn described(path: &str, entry: &Value) -> Value {
    let kind = &entry["type"];
    let mut file = json!({"path": path, "type": kind});
    let default = if kind == "dir" { "0755" } else { "0644" };
    if kind != "symlink" {
        file["mode"] = entry.get("mode").cloned().unwrap_or_else(|| json!(default));
    }
    for field in ["data", "link"] {
        if let Some(value) = entry.get(field) {
            file[field] = value.clone();
        }
    }
    file
}

/// The whitelists that limit an image are all of those above it; the suite asks for one, the
/// outermost. The list is made into images that depend on each other by their levels.
fn upper_whitelist(input: &Value) -> Outcome {
    let list = input["list"].as_array().unwrap();
    let pos = index(&input["pos"]);
    let level = |at: usize| list[at]["level"].as_u64().unwrap();
    let above = |at: usize| (0..at).rev().find(|&other| level(other) < level(at));
    let name = |at: usize| format!("example.com/i{at}");
    let case = |at: usize| {
        let below = (at + 1..list.len()).filter(|&other| above(other) == Some(at));
        let below: Vec<Value> = below.map(|other| json!({"imageName": name(other)})).collect();
        let whitelist = &list[at]["pathWhitelist"];
        json!({"name": name(at), "dependencies": below, "pathWhitelist": whitelist})
    };
    let cases: Vec<Value> = (0..list.len()).map(case).collect();
    let images = images(&cases);
    let others: Vec<PlanImage<'_>> = images.iter().map(Image::planned).collect();
    let top = std::iter::successors(Some(pos), |&at| above(at)).last().unwrap();
    let planned = planned(&images[top].planned(), &others)?;
    let visit = planned.order.iter().find(|visit| visit.image_id == &images[pos].id).unwrap();
    let Some(outermost) = visit.limited_by.first() else { return Ok(Value::Null) };
    let image = images.iter().find(|image| image.id == **outermost).unwrap();
    Ok(json!(image.manifest.path_whitelist))
}
