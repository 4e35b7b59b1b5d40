//! What the reference lists: commands, their options, their exit codes; and files for the rows.

/// A command, one of its options or none, and an exit code.
pub(super) type Triple = (String, String, i32);

/// acbuild's commands, in the reference's words: `COMMAND [OPTION]: CODES`. 0 is done, 1 any error,
/// 2 the removal of something absent, 3 an unknown command or option. 7 is what the command of run,
/// shell or script ended with; for begin, dependency add and run, 4, 5 and 7 are those of
/// `gantry fetch`.
const ACBUILD: &str = "
: 0 1 3
--debug: 0 1 2 3
--work-path: 0 1 2 3
--no-history: 0 1 2 3
--modify: 0 1 2 3 7
--modify-appc: 0 1 2 3
--modify-oci: 1 3
begin: 0 1 3 4 5 7
begin --build-mode: 0 1 3
begin --insecure: 0 1 3 4 5 7
copy: 0 1 3
copy-to-dir: 0 1 3
annotation: 0 1 3
annotation add: 0 1 3
annotation remove: 0 1 2 3
label: 0 1 3
label add: 0 1 3
label remove: 0 1 2 3
environment: 0 1 3
environment add: 0 1 3
environment remove: 0 1 2 3
mount: 0 1 3
mount add: 0 1 3
mount add --read-only: 0 1 3
mount remove: 0 1 2 3
port: 0 1 3
port add: 0 1 3
port add --count: 0 1 3
port add --socket-activated: 0 1 3
port remove: 0 1 2 3
isolator: 0 1 3
isolator add: 0 1 3
isolator remove: 0 1 2 3
dependency: 0 1 3
dependency add: 0 1 3 5 7
dependency add --image-id: 0 1 3
dependency add --label: 0 1 3
dependency add --size: 0 1 3
dependency remove: 0 1 2 3
set-name: 0 1 3
set-tag: 0 1 3
set-exec: 0 1 3
set-user: 0 1 3
set-group: 0 1 3
set-supp-groups: 0 1 3
set-working-directory: 0 1 3
set-event-handler: 0 1 2 3
replace-manifest: 0 1 3
cat-manifest: 0 1 3
cat-manifest --pretty-print: 0 1 3
cat-manifest --file: 0 1 3
layer: 1 3
run: 0 1 3 5 7
run --engine: 0 1 3 7
run --working-dir: 0 1 3 7
run --insecure: 0 1 3 5 7
write: 0 1 3
write --overwrite: 0 1 3
write --sign: 0 1 3
end: 0 1 3
script: 0 1 2 3 7
version: 0 1 3
help: 0 3
";

/// What is new: commands, and options of acbuild's commands.
const NEW: &str = "
begin --skip-sockets: 0 1 3
begin --pull: 0 1 3 4 5 7
copy --owner: 0 1 3
copy --owner-map: 0 1 3
copy --mode: 0 1 3
copy --xattr: 0 1 3
copy --cap: 0 1 3
copy --ignore: 0 1 3
copy --ignore-file: 0 1 3
copy --skip-sockets: 0 1 3
copy --one-file-system: 0 1 3
copy --merge: 0 1 3
copy --mtime: 0 1 3
copy-to-dir --owner: 0 1 3
copy-to-dir --owner-map: 0 1 3
copy-to-dir --mode: 0 1 3
copy-to-dir --xattr: 0 1 3
copy-to-dir --cap: 0 1 3
copy-to-dir --ignore: 0 1 3
copy-to-dir --ignore-file: 0 1 3
copy-to-dir --skip-sockets: 0 1 3
copy-to-dir --one-file-system: 0 1 3
copy-to-dir --merge: 0 1 3
copy-to-dir --mtime: 0 1 3
remove: 0 1 2 3
chown: 0 1 3
chown --recursive: 0 1 3
chown -R: 0 1 3
chmod: 0 1 3
chmod --recursive: 0 1 3
chmod -R: 0 1 3
setcap: 0 1 2 3
setcap --remove: 0 1 2 3
xattr: 0 1 2 3
xattr --remove: 0 1 2 3
dependency add --local: 0 1 3
squash: 0 1 3 5 7
squash --insecure: 0 1 3 5 7
dependency add --pin: 0 1 3 5 7
dependency add --another: 0 1 3
set-event-handler --remove: 0 1 2 3
run --net: 0 1 3 7
run --cache: 0 1 3 7
run --secret: 0 1 3 7
run --mount: 0 1 3 7
run --env: 0 1 3 7
shell: 0 1 3 7
shell --shell: 0 1 3 7
shell --discard: 0 1 3 7
shell --net: 0 1 3 7
shell --cache: 0 1 3 7
shell --secret: 0 1 3 7
shell --mount: 0 1 3 7
shell --env: 0 1 3 7
write --passphrase-file: 0 1 3
write --passphrase-fd: 0 1 3
write --sbom: 0 1 3
write --provenance: 0 1 3
write --compression: 0 1 3
write --threads: 0 1 3
write --source-date-epoch: 0 1 3
write --digest-file: 0 1 3
write --metadata-file: 0 1 3
script --set: 0 1 2 3 7
script --work-dir: 0 1 2 3 7
recipe: 0 1 3 4 5
recipe --secret: 0 1 3
recipe --no-cache: 0 1 3
recipe --engine: 0 1 3
recipe --source-date-epoch: 0 1 3
recipe --lock: 0 1 3
recipe --output-dir: 0 1 3
recipe --sign: 0 1 3
recipe --no-sign: 0 1 3
recipe --passphrase-file: 0 1 3
recipe --passphrase-fd: 0 1 3
recipe --sbom: 0 1 3
recipe --provenance: 0 1 3
recipe --digest-file: 0 1 3
recipe --metadata-file: 0 1 3
";

/// Other names of commands, and beginnings of their names.
const OTHER: &[(&str, &str)] = &[
    ("rm", "remove"),
    ("volume", "mount"),
    ("set-eh", "set-event-handler"),
    ("set-wd", "set-working-directory"),
    ("a", "annotation"),
    ("anno", "annotation"),
    ("b", "begin"),
    ("ca", "cat-manifest"),
    ("cat", "cat-manifest"),
    ("copy-", "copy-to-dir"),
    ("d", "dependency"),
    ("dep", "dependency"),
    ("en", ""),
    ("env", "environment"),
    ("he", "help"),
    ("i", "isolator"),
    ("iso", "isolator"),
    ("lab", "label"),
    ("lay", "layer"),
    ("m", "mount"),
    ("p", "port"),
    ("re", "replace-manifest"),
    ("rep", "replace-manifest"),
    ("ru", "run"),
    ("scr", "script"),
    ("set-ev", "set-event-handler"),
    ("set-ex", "set-exec"),
    ("set-g", "set-group"),
    ("set-n", "set-name"),
    ("set-s", "set-supp-groups"),
    ("set-t", "set-tag"),
    ("set-u", "set-user"),
    ("set-w", "set-working-directory"),
    ("ver", "version"),
    ("vol", "mount"),
    ("w", "write"),
    ("wr", "write"),
    ("chm", "chmod"),
    ("cho", "chown"),
    ("rec", "recipe"),
    ("rem", "remove"),
    ("setc", "setcap"),
    ("sh", "shell"),
    ("sq", "squash"),
    ("x", "xattr"),
    ("r", "remove"),
];

/// Options of all commands.
const GLOBAL: [&str; 6] =
    ["--debug", "--work-path", "--no-history", "--modify", "--modify-appc", "--modify-oci"];

/// All that the lists hold.
pub(super) fn triples() -> impl Iterator<Item = Triple> {
    let lines = ACBUILD.lines().chain(NEW.lines()).filter(|line| !line.is_empty());
    lines.flat_map(|line| {
        let (what, codes) = line.split_once(':').unwrap();
        let (command, option) = match what.rfind(" -") {
            Some(at) => (&what[..at], what[at..].trim()),
            None if what.starts_with('-') => ("", what),
            None => (what, ""),
        };
        let (command, option) = (command.to_owned(), option.to_owned());
        codes
            .split_whitespace()
            .map(move |code| (command.clone(), option.clone(), code.parse().unwrap()))
    })
}

/// What a row is a row of: its command, and each of its options.
pub(super) fn triples_of(line: &str, code: i32) -> Vec<Triple> {
    let own = line.split(" -- ").next().unwrap_or_default().split([';', '<', '>', '|']).next();
    let words: Vec<&str> = own.unwrap_or_default().split_whitespace().collect();
    let command = command_of(&words);
    let mut triples = vec![(command.clone(), String::new(), code)];
    let is_option = |word: &&str| word.starts_with('-') && word.len() > 1 && *word != "--";
    for word in words.iter().copied().filter(is_option) {
        let option = word.split('=').next().unwrap_or_default().to_owned();
        // Not of this command: those that there are not, and those of gantry.
        let listed = self::triples().any(|one| one.0 == command && one.1 == option);
        let foreign = !listed && (code == 3 || ["--help", "--trust-dir"].contains(&&*option));
        if GLOBAL.contains(&option.as_str()) {
            triples.push((String::new(), option, code));
        } else if !foreign {
            triples.push((command.clone(), option, code));
        }
    }
    triples
}

/// The command of a line, written out.
fn command_of(words: &[&str]) -> String {
    let mut left = words.iter().copied();
    let mut names: Vec<&str> = Vec::new();
    while let Some(word) = left.next() {
        if GLOBAL[1..].contains(&word) && word != "--no-history" {
            left.next();
        } else if !word.starts_with('-') {
            names.push(OTHER.iter().find(|(short, _)| *short == word).map_or(word, |(_, it)| it));
        }
    }
    let all: Vec<String> = triples().map(|(command, ..)| command).collect();
    let two = names.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let two = if names.get(1) == Some(&"a") { format!("{} add", names[0]) } else { two };
    let one = names.first().copied().unwrap_or_default().to_owned();
    [two, one].into_iter().find(|name| all.contains(name)).unwrap_or_default()
}

/// Files that the rows use.
pub(super) const FILES: &[(&str, &str)] = &[
    ("file", "#!/bin/a\n"),
    ("other", "y\n"),
    ("folder/in", "x\n"),
    ("tree/kept", "x\n"),
    ("tree/deep/left.log", "x\n"),
    ("passwd", "root:x:0:0::/:/bin/sh\nwww:x:33:34::/:/bin/sh\n"),
    ("limit.json", "{\"limit\": \"512M\"}"),
    ("larger.json", "{\"limit\": \"1G\"}"),
    ("sysctl.json", "{\"net.core.somaxconn\": \"1024\"}"),
    ("broken.json", "{"),
    (
        "m.json",
        "{\"acKind\":\"ImageManifest\",\"acVersion\":\"0.8.11\",\"name\":\"example.com/new\",\
         \"x\":1.50}",
    ),
    ("kind.json", "{\"acKind\":\"PodManifest\",\"acVersion\":\"0.8.11\"}"),
    ("map", "0 5000 1\n65534 5000 1\n"),
    ("ignore", "*.log\n"),
    ("pass", "open sesame\n"),
    ("make.sh", "echo x > /by-shell\n"),
    ("fail.sh", "echo x > /by-shell; exit 7\n"),
];

/// A key that is trusted for example.com, an image in the store that it has signed, one that was
/// signed by nobody, archives of each kind.
pub(super) const PREPARE: &str = r#"
echo '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/base",' > base/manifest
echo '"labels":[{"name":"version","value":"1"}]}' >> base/manifest
cp files/pass .
$GANTRY -q key generate --user-id 'CI <ci@example.com>' --secret key.asc --public key.pub.asc
$GANTRY -q key generate --user-id ci --secret locked.asc --public l.pub.asc --passphrase-file pass
$GANTRY -q trust add --prefix example.com key.pub.asc l.pub.asc
$GANTRY -q pack base -o base.aci --compression none
$GANTRY -q sign base.aci --key key.asc
$GANTRY -q fetch ./base.aci
sed -i s/base/stranger/ base/manifest
$GANTRY -q pack base -o stranger.aci --compression none
sed -i s/stranger/base/ base/manifest
cd files
tar -cf tree.tar -C tree .
gzip -k tree.tar
bzip2 -k tree.tar
xz -k tree.tar
mkdir oci
echo '{}' > oci/oci-layout
tar -cf oci.tar -C oci .
"#;
