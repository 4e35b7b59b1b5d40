//! The manifest as a whole, and `layer`.

pub(super) const SCENES: &str = r#"
== the manifest is shown
$ acbuild begin
cat-manifest => 0
? sh acbuild cat-manifest | cmp - .acbuild/currentaci/manifest || test $? = 1
? sh acbuild cat-manifest | grep -q '^{"acKind":"ImageManifest"'
cat-manifest --pretty-print => 0
? sh acbuild cat-manifest --pretty-print | grep -q '^    "name": "acbuild-unnamed"'
cat-manifest --pretty-print=false => 0
? sh acbuild cat-manifest --pretty-print=false | grep -c . | grep -qx 1
cat-manifest --pretty-print=maybe => 3
cat-manifest --file manifest => 0
cat-manifest --file config => 3
cat-manifest --file => 3
cat-manifest extra => 1
? /annotations none

== a file takes the manifest's place
$ acbuild begin && acbuild label add a b && acbuild set-exec /a && acbuild annotation add x y
replace-manifest m.json --no-history => 0 /name "example.com/new"
? /labels none
? /app none
? /annotations none
? in "x":1.50
? sh test "$(acbuild cat-manifest)" = "$(cat m.json)"
replace-manifest absent.json => 1
replace-manifest broken.json => 1
replace-manifest kind.json => 1
replace-manifest folder => 1
replace-manifest => 1
replace-manifest a b => 1
? in "x":1.50

== layers are another format's
$ acbuild begin
layer => 1
"#;
