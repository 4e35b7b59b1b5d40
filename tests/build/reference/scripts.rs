//! `script`.

pub(super) const SCENES: &str = r#"
== scripts
$ printf 'begin\nset-name example.com/s\nlabel add a ${V}\ncopy file /f\nwrite x.aci\nend\n' > s.acb
script s.acb --set V=1 => 0
? sh ! test -e .acbuild && "$GANTRY" inspect --json x.aci | grep -q example.com/s
script s.acb --set V=1 => 1
$ rm x.aci
script s.acb => 1 says s.acb:3:13: ${V} is not set
script s.acb --set V => 3
script s.acb --set => 3
script s.acb --set V=1 --work-dir . => 0
script s.acb --set V=1 --work-dir absent => 1
script s.acb --work-dir => 3
script absent.acb => 1
script => 1
script s.acb extra => 1
script folder => 1
? sh test -z "$(find . -name '.gantry*')"

== what a script ends with
$ printf 'begin\nlabel rm absent\n' > absent.acb
script absent.acb => 2
script absent.acb --set V=1 --work-dir . => 2
$ printf 'begin\nset-name UPPER\n' > wrong.acb
script wrong.acb => 1
$ printf 'begin\nlabl add a b\n  label add x\n' > bad.acb
script bad.acb => 3 says bad.acb:2:1:
? says bad.acb:3:3:
$ printf 'begin\nset-name example.com/a\nwrite x.aci\nlabel rm absent\n' > late.acb
script late.acb => 2
? sh ! test -e x.aci && ! test -e .acbuild
$ printf 'label add a b\n' > none.acb
script none.acb => 1
$ printf '' > empty.acb
script empty.acb => 0

== commands in scripts [run]
$ printf 'begin ../bb\nrun sh -c "exit 7"\n' > c.acb
script c.acb => 7
script c.acb --set V=1 --work-dir . => 7
$ printf 'begin ../bb\nrun --env A=b sh -c "echo $A"\n' > d.acb
script d.acb => 0 out b

== lines of scripts
$ printf '# no\nbegin # no\nset-name example.com/s\n' > q.acb
$ printf 'set-exec /a#b --f "x \\"y" '"''"' \\\n z\n' >> q.acb
$ printf 'anno add k v\nwrite q.aci\n' >> q.acb
script q.acb => 0
? sh "$GANTRY" inspect --json q.aci | tr -d ' \n' | grep -qF '"exec":["/a#b","--f","x\"y","","z"]'
$ printf 'begin\nset-name example.com/s\nwrite w.aci\n--work-path . label add a b\n' > w.acb
script w.acb => 1 says w.acb:4:1:
$ printf 'begin\nset-name example.com/s\nwrite w.aci\nlabel add a b --modify x.aci\n' > m.acb
script m.acb => 1 says m.acb:4:1:
$ printf 'begin\nset-name example.com/s\nwrite w.aci\n--modify-oci x label add a b\n' > o.acb
script o.acb => 1 says o.acb:4:1:
? sh ! test -e w.aci && ! test -e .acbuild
$ printf '#!/usr/bin/env acbuild-script\nbegin\nset-name example.com/s\nwrite e.aci\n' > e.acb
$ chmod +x e.acb && ./e.acb && test -e e.aci
$ printf 'label add in ner\n' > inner.acb
$ printf 'begin\nset-name example.com/s\nscript inner.acb\nwrite n.aci\n' > outer.acb
script outer.acb => 0
? sh "$GANTRY" inspect --json n.aci | grep -q ner
$ printf 'begin\nbegin\n' > twice.acb
script twice.acb => 1
$ printf 'begin\nend\nbegin\nend\n' > ends.acb
script ends.acb => 0
$ printf 'begin\nset-name "example.com/a\n' > open.acb
script open.acb => 1 says open.acb:2:10:

== lines of scripts that are not noted [plain]
$ printf 'begin\nset-name example.com/s\nlabel add --no-history a b\n' > h.acb
$ printf 'set-user 1\nwrite h.aci\n' >> h.acb
script h.acb => 0
? sh "$GANTRY" inspect --json h.aci | grep -q 'acbuild set-user'
? sh ! "$GANTRY" inspect --json h.aci | grep -q 'acbuild label'

== options of scripts on lines
$ printf 'begin --build-mode appc\nset-name example.com/s\n' > o.acb
$ printf 'copy tree /t --owner 3:4 --merge\n' >> o.acb
$ printf 'port add p tcp 80 --count 3 --socket-activated\nchmod -R 700 /t\n' >> o.acb
$ printf 'isolator add resource/memory limit.json\nwrite o.aci --compression none\n' >> o.acb
script o.acb --debug => 0
? sh "$GANTRY" inspect --entries o.aci | grep rootfs/t/kept | grep 3:4 | grep -q rwx------
? sh "$GANTRY" inspect --json o.aci | grep -q '"count": *3'
"#;
