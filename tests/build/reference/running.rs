//! `run` and `shell`: the command's own exit code is 7 wherever there is one.

pub(super) const SCENES: &str = r#"
== commands that run [run]
$ acbuild begin ../bb && acbuild env add A 1,2
run -- /bin/sh -c 'echo hi' => 0 out hi
run -- sh -c 'echo "$A|$1|$2"' x 'a,b c' '' => 0 out 1,2|a,b c|
run echo hi => 0 out hi
run -- sh -c 'exit 7' => 7
run -- sh -c 'echo x > /made' => 0 has made
run -- sh -c 'echo x > /unmade; rm /made; exit 7' => 7 no unmade
? has made
run -- rm /made => 0 no made
run -- cat < file => 0 out #!/bin/a
run -- sh -c 'echo told >&2' => 0 out
? says told
run -- /absent => 1
run -- absent => 1
run => 1
run --nothing true => 3
run --help => 0
? not hi there

== how commands run [run]
$ acbuild begin ../bb && mkdir held && echo 1 > held/f
run --working-dir /tmp -- sh -c 'pwd' => 0 out /tmp
run --working-dir /tmp -- sh -c 'exit 7' => 7
run --working-dir /absent -- sh -c 'pwd' => 1
run --working-dir => 3
run --engine namespaces -- echo 1 => 0 out 1
run --engine chroot -- echo 1 => 0 out 1
run --engine systemd-nspawn -- echo 1 => 0 out 1
run --engine systemd-nspawn -- sh -c 'exit 7' => 7
run --engine chroot -- /absent => 1
run --engine rkt -- echo 1 => 3
run --engine => 3
run --insecure -- echo 1 => 0 out 1
run --insecure=false -- echo 1 => 0 out 1
run --insecure -- sh -c 'exit 7' => 7
run --insecure -- /absent => 1
run --insecure=maybe -- echo 1 => 3
run --net -- test -s /etc/resolv.conf => 0 no etc
run --net -- sh -c 'exit 7' => 7
run --net -- /absent => 1
run --net=1 -- echo 1 => 3
run -- test -e /etc/resolv.conf => 1
run --env B=c=d -- sh -c 'echo $B' => 0 out c=d
? /app none
run --env B= -- sh -c 'exit 7' => 7
run --env B=c -- /absent => 1
run --env B -- echo 1 => 3

== commands with something of this machine [run]
$ acbuild begin ../bb && mkdir held && echo 1 > held/f
run --cache /kept -- sh -c 'echo k > /kept/f' => 0 no kept
run --cache /kept -- cat /kept/f => 0 out k
run --cache /kept -- sh -c 'exit 7' => 7
run --cache /kept -- /absent => 1
run --cache relative -- echo 1 => 1
run --cache => 3
run --secret t=other -- cat /run/secrets/t => 0 out y
? no run
run --secret t=other -- sh -c 'exit 7' => 7
run --secret t=absent -- echo 1 => 1
run --secret ../t=other -- echo 1 => 1
run --secret t -- echo 1 => 3
run --mount "$PWD/held:/mnt" -- sh -c 'cat /mnt/f; echo 2 > /mnt/g' => 0 out 1
? sh test "$(cat held/g)" = 2
? no mnt
run --mount "$PWD/held:/mnt:ro" -- sh -c 'echo 3 > /mnt/g || exit 7' => 7
? sh test "$(cat held/g)" = 2
run --mount "$PWD/absent:/mnt" -- echo 1 => 1
run --mount "$PWD/held:mnt" -- echo 1 => 3
run --mount "$PWD/held" -- echo 1 => 3

== runtimes start commands [run root crun]
$ acbuild begin ../bb
run --engine crun -- sh -c 'echo x > /by-crun; echo $0' a,b => 0 out a,b
? has by-crun
run --engine crun -- sh -c 'exit 7' => 7

== runtimes start commands [run root runc]
$ acbuild begin ../bb
run --engine runc -- sh -c 'echo x > /by-runc; echo $0' a,b => 0 out a,b
? has by-runc
run --engine runc -- sh -c 'exit 7' => 7

== commands see dependencies [run]
$ acbuild begin && acbuild dependency add --local ../base.aci && acbuild set-name example.com/a
run -- cat /keep => 0 out k
run -- sh -c 'rm -r /gone; echo n > /new' => 0 has new
? no keep
run -- test -e /gone => 1
remove /keep => 0
remove /keep => 2
run -- test -e /keep => 1
$ acbuild dependency add example.com/base:1
run --trust-dir none -- echo 1 => 5
run --trust-dir none --insecure -- echo 1 => 5
$ acbuild dependency add example.com/other
run --cache /kept -- echo 1 => 7
run --insecure -- echo 1 => 7

== dependencies become the image's own
$ acbuild begin && acbuild set-name example.com/a
squash => 0 says nothing to do
squash --insecure => 0
$ acbuild dependency add --local ../base.aci && acbuild remove /gone
squash => 0 has keep
? no gone
? /dependencies none
? /pathWhitelist none
squash --insecure=maybe => 3
squash extra => 1
$ acbuild dependency add example.com/base:1
squash --trust-dir none => 5
squash --trust-dir none --insecure => 5
$ acbuild dependency add example.invalid/x
squash => 7 /dependencies/1/imageName "example.invalid/x"
squash --insecure => 7

== shells [run]
$ acbuild begin ../bb && mkdir held && echo 1 > held/f
shell < make.sh => 0 has by-shell
$ acbuild rm /by-shell
shell < fail.sh => 7 no by-shell
shell --discard < make.sh => 0 no by-shell
shell --discard < fail.sh => 7
shell --discard --shell /absent => 1
shell --discard=1 => 3
shell --shell /bin/sh < make.sh => 0 has by-shell
shell --shell /bin/sh < fail.sh => 7
shell --shell /absent => 1
shell --shell => 3
shell extra => 1
shell --net < make.sh => 0
shell --net < fail.sh => 7
shell --net --shell /absent => 1
shell --net=1 => 3
shell --cache /kept < make.sh => 0 no kept
shell --cache /kept < fail.sh => 7
shell --cache relative => 1
shell --cache => 3
shell --secret t=other < make.sh => 0 no run
shell --secret t=other < fail.sh => 7
shell --secret t=absent => 1
shell --secret t => 3
shell --mount "$PWD/held:/mnt:ro" < make.sh => 0 no mnt
shell --mount "$PWD/held:/mnt" < fail.sh => 7
shell --mount "$PWD/absent:/mnt" => 1
shell --mount mnt => 3
shell --env A=b < make.sh => 0
shell --env A=b < fail.sh => 7
shell --env A=b --shell /absent => 1
shell --env A => 3
"#;
