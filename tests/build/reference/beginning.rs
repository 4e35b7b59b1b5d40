//! `begin` and `end`.

pub(super) const SCENES: &str = r#"
== begin with nothing
begin => 0 /name "acbuild-unnamed"
? /acKind "ImageManifest"
? /app none
? /labels/1 {"name":"os","value":"linux"}
? /labels/0/name "arch"
begin => 1 says end
end => 0
? sh ! test -e .acbuild
end => 1 says no build in progress
begin a b => 1
? sh ! test -e .acbuild
begin --build-mode appc => 0
? sh test "$(cat .acbuild/buildMode)" = appc

== begin with what there is not, or is not for this
begin ./absent => 1
begin /absent => 1
begin --build-mode oci => 1 says OCI
begin --build-mode other => 1
begin --build-mode => 3
begin docker://example.com/x => 1
begin ./oci.tar => 1
begin ./file => 1
begin ./broken.json => 1
begin ./sockets => 1
begin ./absent --skip-sockets => 1
begin --skip-sockets=1 => 3
begin ./absent --insecure => 1
begin --insecure=maybe => 3
begin UPPER => 1
? sh ! test -e .acbuild

== begin with a folder
begin ./tree => 0 has deep/left.log
? /name "acbuild-unnamed"
end => 0
begin "$PWD/tree" --insecure => 0 has kept
end => 0
begin ./sockets --skip-sockets => 0 has file
? no socket

== begin with a tar of a root
begin ./tree.tar => 0 has kept
end => 0
begin ./tree.tar.gz => 0 has deep/left.log
end => 0
begin ./tree.tar.bz2 => 0 has kept
end => 0
begin ./tree.tar.xz => 0 has kept
? /name "acbuild-unnamed"
end => 0

== begin with an image
begin ../base.aci => 0 has keep
? /name "example.com/base"
? /labels/0/value "1"

== begin with an image by its name
begin example.com/base:1 --pull never => 0 has keep
end => 0
begin example.com/base,version=1 --pull never --insecure => 0 /name "example.com/base"
end => 0
begin example.com/base --pull new => 0
begin example.com/base:1 --pull never => 1
end => 0
begin example.com/base:1 --pull => 3
begin example.com/base:1 --pull sometimes => 3
begin example.com/base:2 --pull never => 4
begin example.com/base:2 --insecure --pull never => 4
begin example.com/base:1 --trust-dir none --pull never => 5
begin example.com/base:1 --trust-dir none --insecure --pull never => 5
begin example.invalid/base => 7
begin example.invalid/base --insecure --pull update => 7
? sh ! test -e .acbuild
"#;
