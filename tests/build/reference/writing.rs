//! `write`, and images that are edited in one go.

pub(super) const SCENES: &str = r#"
== images are written
$ acbuild begin && acbuild copy tree /t
write x.aci => 1 says name was never set
? sh ! test -e x.aci
$ acbuild set-name example.com/a
write x.aci => 0 says set-exec
? sh acbuild write y.aci | grep -q "^sha512-$(gzip -dc x.aci | sha512sum | cut -d' ' -f1)$"
write x.aci => 1
write x.aci --overwrite => 0
? sh cmp x.aci y.aci
write x.aci --overwrite=true => 0
write x.aci --overwrite=false => 1
write x.aci --overwrite=maybe => 3
write absent/x.aci => 1
write absent/x.aci --overwrite => 1
write folder --overwrite => 1
write => 1
write a.aci b.aci => 1
? sh ! test -e a.aci
write any-name => 0

== how images are written
$ acbuild begin && acbuild set-name example.com/a && acbuild set-exec /a && acbuild copy tree /t
write g.aci --compression gzip => 0
write n.aci --compression none => 0
? sh gzip -dc g.aci | cmp - n.aci
write b.aci --compression bzip2 => 0
? sh bzip2 -dc b.aci | cmp - n.aci
write x.aci --compression xz => 0
? sh xz -dc x.aci | cmp - n.aci
write z.aci --compression zstd => 0
write n.aci --compression none => 1
write q.aci --compression zip => 3
write q.aci --compression => 3
write t.aci --threads 2 => 0
? sh cmp t.aci g.aci
write t.aci --threads 2 => 1
write q.aci --threads 0 => 3
write q.aci --threads x => 3
write e.aci --source-date-epoch 7 => 0
? sh "$GANTRY" inspect --entries e.aci | grep -q '1970-01-01T00:00:07Z rootfs/t/kept'
write e.aci --source-date-epoch 7 => 1
write q.aci --source-date-epoch x => 3
write d.aci --digest-file d.id => 0
? sh test "$(cat d.id)" = "sha512-$(gzip -dc d.aci | sha512sum | cut -d' ' -f1)"
write q.aci --digest-file absent/id => 1
? sh ! test -e q.aci
write q.aci --digest-file => 3
write m.aci --metadata-file m.out => 0
? sh grep -q '"imageId"' m.out
write q.aci --metadata-file absent/m => 1
? sh ! test -e q.aci
write q.aci --metadata-file => 3
write s.aci --sbom --provenance => 0
? sh grep -q SPDX-2.3 s.aci.spdx.json && grep -q in-toto s.aci.intoto.json
write s.aci --sbom => 1
write s.aci --provenance => 1
write q.aci --sbom=1 => 3
write q.aci --provenance=1 => 3

== images are signed
$ acbuild begin && acbuild set-name example.com/a && acbuild set-exec /a && acbuild copy tree /t
write a.aci --sign ../key.asc => 0
? sh "$GANTRY" -q verify a.aci
write b.aci --sign ../key.asc --sbom --provenance => 0
? sh test -e b.aci.asc && test -e b.aci.spdx.json.asc && test -e b.aci.intoto.json.asc
write c.aci --sign ../locked.asc --passphrase-file pass => 0
? sh "$GANTRY" -q verify c.aci
write d.aci --sign ../locked.asc --passphrase-fd 3 3< pass => 0
? sh "$GANTRY" -q verify d.aci
write a.aci --sign ../key.asc --overwrite => 0
write a.aci --sign ../key.asc => 1
write q.aci --sign absent.key => 1
write q.aci --sign file => 1
write q.aci --sign ../locked.asc => 1
write q.aci --sign ../locked.asc --passphrase-file other => 1
write q.aci --sign ../locked.asc --passphrase-file absent => 1
write q.aci --sign ../locked.asc --passphrase-fd 9 => 1
write q.aci --sign => 3
write q.aci --passphrase-file => 3
write q.aci --passphrase-fd x => 3
write q.aci --sign ../key.asc -- --armor => 3
? sh ! test -e q.aci && ! test -e q.aci.asc

== images are edited in one go [plain]
$ cp ../base.aci a.aci && cp a.aci old.aci && acbuild begin && acbuild set-name example.com/here
--modify a.aci label add channel x => 0 /name "example.com/here"
? /labels/2 none
? sh acbuild --modify a.aci cat-manifest | grep -q '{"name":"channel","value":"x"}'
--modify-appc a.aci label rm channel => 0
? sh ! acbuild --modify a.aci cat-manifest | grep -q '{"name":"channel"'
label --modify=a.aci add channel y => 0
label add channel z --modify a.aci => 0
$ cp a.aci old.aci
--modify a.aci label rm absent => 2
--modify-appc a.aci label rm absent => 2
--modify a.aci remove /absent => 2
--modify a.aci annotation rm absent => 2
--modify a.aci environment rm absent => 2
--modify a.aci mount rm absent => 2
--modify a.aci port rm absent => 2
--modify a.aci isolator rm absent => 2
--modify a.aci dependency rm example.com/absent => 2
--modify a.aci set-event-handler --remove pre-start => 2
--modify a.aci cat-manifest => 0
--modify-appc a.aci cat-manifest --pretty-print => 0
--modify a.aci label add UPPER x => 1
--modify-appc a.aci label add UPPER x => 1
--modify a.aci label add x => 1
--modify a.aci label nothing => 3
--modify-appc a.aci label nothing => 3
--modify a.aci copy absent /x => 1
--modify a.aci begin => 1
--modify a.aci write x.aci => 1
--modify a.aci end => 1
--modify a.aci script x => 1
--modify a.aci recipe x => 1
--modify a.aci version => 1
--modify a.aci layer => 1
--modify a.aci => 1
--modify => 3
--modify-appc => 3
--modify absent.aci cat-manifest => 1
--modify absent.aci label add a b => 1
--modify file cat-manifest => 1
--modify tree.tar label add a b => 1
--modify-oci a.aci cat-manifest => 1
--modify-oci => 3
? sh cmp a.aci old.aci
? sh test -z "$(find . -name '.gantry*')"

== each command edits an image in one go [plain]
$ acbuild begin && acbuild set-name example.com/a && acbuild write a.aci && acbuild end
--modify a.aci copy file /f => 0
--modify a.aci copy-to-dir folder /d => 0
--modify a.aci chown 1:1 /f => 0
--modify a.aci chmod 4755 /f => 0
--modify a.aci xattr /f user.a=b => 0
? sh "$GANTRY" inspect --entries a.aci | grep rootfs/f | grep rwsr | grep 1:1 | grep -q user.a
--modify a.aci setcap cap_net_raw+ep /f => 0
--modify a.aci remove /d => 0
? sh ! "$GANTRY" inspect --entries a.aci | grep -q rootfs/d
--modify a.aci annotation add a b => 0
--modify a.aci annotation rm a => 0
--modify a.aci environment add A b => 0
--modify a.aci environment rm A => 0
--modify a.aci mount add a /a => 0
--modify a.aci mount rm a => 0
--modify a.aci port add a tcp 80 --count 2 => 0
--modify a.aci port rm a => 0
--modify a.aci isolator add resource/memory limit.json => 0
--modify a.aci isolator rm resource/memory => 0
--modify a.aci set-name example.com/b => 0
--modify a.aci set-tag 4 => 0
--modify a.aci set-exec /a => 0
--modify a.aci set-user 1 => 0
--modify a.aci set-group 1 => 0
--modify a.aci set-supp-groups 1 => 0
--modify a.aci set-working-directory /w => 0
--modify a.aci set-event-handler pre-start /a => 0
--modify a.aci dependency add example.com/base => 0
--modify a.aci dependency rm example.com/base => 0
--modify a.aci replace-manifest m.json => 0
? sh "$GANTRY" inspect --json a.aci | grep -q example.com/new
? sh ! test -e .acbuild

== commands run in an image that is edited in one go [plain run]
$ cp ../base.aci a.aci
--modify a.aci run -- sh -c 'echo told; echo x > /made' => 0 out told
? sh "$GANTRY" inspect --entries a.aci | grep -q rootfs/made
$ cp a.aci old.aci
--modify a.aci run -- sh -c 'echo x > /unmade; exit 7' => 7
? sh cmp a.aci old.aci
--modify a.aci shell < make.sh => 0
"#;
