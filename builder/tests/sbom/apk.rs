//! A database in the form that apk's documentation describes, as a small Alpine has it.

use crate::support::{Document, write};

const INSTALLED: &str = "\
C:Q1AAECAwQFBgcICQoLDA0ODxAREhM=
P:busybox
V:1.36.1-r29
A:x86_64
S:501718
I:798720
T:Size optimized toolbox of many common UNIX utilities
U:https://example.com/
L:GPL-2.0-only
o:busybox
m:Example Maintainer <maintainer@example.com>
t:1718200000
c:0123456789abcdef0123456789abcdef01234567
D:so:libc.musl-x86_64.so.1
p:/bin/sh cmd:busybox=1.36.1-r29
F:bin
R:busybox
a:0:0:755
Z:Q1EhMUFRYXGBkaGxwdHh8gISIjJCU=
F:etc
R:securetty
F:var/cache/misc
M:0:0:1777

C:Q1AAECAwQFBgcICQoLDA0ODxAREhQ=
P:zlib
V:1.3.1-r1
A:x86_64
S:53000
I:110592
L:Zlib
o:zlib
F:lib
R:libz.so.1.3.1

";

#[test]
fn apk_packages_are_those_of_its_database() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(root, "lib/apk/db/installed", INSTALLED);
    write(root, "etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.1\n");
    for path in ["bin/busybox", "etc/securetty", "lib/libz.so.1.3.1", "etc/motd"] {
        write(root, path, path);
    }
    let document = Document::of(root);
    assert_eq!(document.versions(), ["busybox 1.36.1-r29", "zlib 1.3.1-r1"]);
    let busybox = document.files_of("busybox").into_iter().collect::<Vec<_>>();
    assert_eq!(busybox, ["./bin/busybox", "./etc/securetty"]);
    assert_eq!(document.files_of("zlib").len(), 1);
    assert!(document.files_of("example.com/system").contains("./etc/motd"));
    let purl = "pkg:apk/alpine/busybox@1.36.1-r29?arch=x86_64&distro=alpine-3.20.1";
    assert_eq!(document.purl("busybox"), purl);
    let supplier = &document.package("busybox")["supplier"];
    assert_eq!(supplier, "Person: Example Maintainer (maintainer@example.com)");
}
