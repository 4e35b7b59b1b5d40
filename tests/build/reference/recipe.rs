//! `recipe`: its exit codes; what it makes is tried in recipes.rs.

pub(super) const SCENES: &str = r#"
== recipes
$ printf 'name = "example.com/r"\nepoch = 7\n[[step]]\ncopy = "file"\nto = "/f"\n' > r.toml
$ printf '[[output]]\nfile = "r.aci"\n' >> r.toml
$ printf '[[step]]\ncopy = "absent"\nto = "/f"\n' | cat r.toml - > a.toml
$ printf '[base]\nimage = "example.com/base:1"\n' | cat r.toml - > b.toml
$ printf '[base]\ntar = "absent.tar"\n' | cat r.toml - > t.toml
$ printf 'nothing = 1\n' | cat - r.toml > n.toml
recipe r.toml => 0
? sh test -e r.aci
recipe r.toml --no-cache => 0
recipe absent.toml => 4
recipe n.toml => 3 says nothing
recipe => 1
recipe r.toml extra => 1
recipe a.toml => 1
? sh ! test -e a.aci
recipe t.toml => 4
recipe b.toml --trust-dir none => 5
$ mkdir out
recipe r.toml --output-dir out => 0
? sh cmp r.aci out/r.aci
recipe r.toml --output-dir file => 1
recipe r.toml --output-dir => 3
recipe r.toml --lock --source-date-epoch 9 --engine namespaces --secret t=other => 0
recipe a.toml --lock --source-date-epoch 9 --engine namespaces --secret t=other => 1
recipe r.toml --lock=1 => 3
recipe r.toml --source-date-epoch x => 3
recipe r.toml --engine rkt => 3
recipe r.toml --secret t => 3
recipe r.toml --no-cache=1 => 3
recipe a.toml --no-cache => 1
recipe r.toml --sign ../locked.asc --passphrase-file pass --sbom --provenance => 0
? sh "$GANTRY" -q verify r.aci && test -e r.aci.spdx.json.asc
recipe r.toml --sign ../locked.asc --passphrase-fd 3 3< pass => 0
recipe r.toml --sign ../locked.asc --passphrase-file other => 1
recipe r.toml --sign ../locked.asc --passphrase-fd 9 => 1
recipe a.toml --sbom --provenance --no-sign => 1
recipe r.toml --no-sign => 0
recipe r.toml --sign ../key.asc --no-sign => 3
recipe r.toml --sign => 3
recipe r.toml --passphrase-file => 3
recipe r.toml --passphrase-fd x => 3
recipe r.toml --sbom=1 => 3
recipe r.toml --provenance=1 => 3
recipe r.toml --digest-file id --metadata-file m.out => 0
? sh grep -q sha512- id && grep -q sha512- m.out
recipe r.toml --digest-file absent/id => 1
recipe r.toml --metadata-file absent/m => 1
recipe r.toml --digest-file => 3
recipe r.toml --metadata-file => 3
"#;
