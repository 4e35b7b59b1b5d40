//! Commands that edit one thing of the manifest.

pub(super) const SCENES: &str = r#"
== names
$ acbuild begin
set-name example.com/a => 0 /name "example.com/a"
set-name example.com/a:1.0 => 1 /name "example.com/a"
set-name UPPER => 1
set-name '' => 1
set-name => 1
set-name a b => 1
set-tag 2.0 => 0 /labels/2 {"name":"version","value":"2.0"}
set-tag 2.1 => 0 /labels/2 {"name":"version","value":"2.1"}
set-tag => 1
set-tag a b => 1

== annotations
$ acbuild begin
annotation add homepage https://example.com => 0
? in {"name":"homepage","value":"https://example.com"}
annotation add homepage https://example.org => 0
? in {"name":"homepage","value":"https://example.org"}
? not {"name":"homepage","value":"https://example.com"}
annotation add created 2026-01-02T03:04:05Z => 0
annotation add created yesterday => 1 in 2026-01-02T03:04:05Z
annotation add homepage nonsense => 1
annotation add documentation ftp://example.com => 1
annotation add UPPER x => 1
annotation add x => 1
annotation add => 1
annotation add x y z => 1
annotation remove absent => 2
annotation rm homepage => 0 not {"name":"homepage"
annotation rm homepage => 2
annotation rm => 1
annotation rm a b => 1

== labels
$ acbuild begin
label add channel stable => 0 /labels/2 {"name":"channel","value":"stable"}
label add more 1 => 0 /labels/3/name "more"
label add channel beta => 0 /labels/2 {"name":"channel","value":"beta"}
label add empty '' => 0 /labels/4 {"name":"empty","value":""}
label add name x => 1
label add UPPER x => 1
label add arch amd65 => 1 /labels/0/name "arch"
label add os plan10 => 1
label add arch i386 => 0 /labels/0/value "i386"
label add x => 1
label add x y z => 1
label add a -b => 3
label add -- a -b => 0
label rm channel => 0 /labels/2/name "more"
label remove channel => 2
label rm => 1
label rm a b => 1

== environment
$ acbuild begin
environment add A 1,2 => 0 /app/environment/0 {"name":"A","value":"1,2"}
? /app/user "0"
? /app/group "0"
environment add A b=c => 0 /app/environment [{"name":"A","value":"b=c"}]
environment add B.c-d_1 '' => 0 /app/environment/1/value ""
environment add 9BAD x => 1
environment add A=B x => 1
environment add '' x => 1
environment add A => 1
environment add A b c => 1
environment rm A => 0 /app/environment/0/name "B.c-d_1"
environment remove A => 2
environment rm => 1
environment rm A B => 1

== mounts
$ acbuild begin
mount add data /data => 0 /app/mountPoints [{"name":"data","path":"/data"}]
mount add data /srv --read-only => 0
? /app/mountPoints [{"name":"data","path":"/srv","readOnly":true}]
mount add other /srv --read-only=false => 0 /app/mountPoints [{"name":"other","path":"/srv"}]
mount add third /third --read-only=true => 0 /app/mountPoints/1/readOnly true
mount add rel relative => 1
mount add rel relative --read-only => 1 /app/mountPoints/2 none
mount add empty '' => 1
mount add UPPER /x => 1
mount add x => 1
mount add x /y /z => 1
mount add x /y --read-only=maybe => 3
mount rm third => 0 /app/mountPoints/1 none
mount remove /srv => 0
mount remove other => 2
mount rm => 1
mount rm a b => 1

== ports
$ acbuild begin
port add http tcp 80 => 0 /app/ports [{"name":"http","protocol":"tcp","port":80}]
port add peers udp 7000 --count 3 => 0 /app/ports/1/count 3
port add web tcp 443 --socket-activated => 0 /app/ports/2/socketActivated true
port add http tcp 8080 --count=2 --socket-activated=true => 0
? /app/ports/0 {"name":"http","protocol":"tcp","port":8080,"count":2,"socketActivated":true}
port add plain tcp 81 --socket-activated=false --count 1 => 0
? /app/ports/3 {"name":"plain","protocol":"tcp","port":81}
port add last tcp 65535 => 0
port add bad tcp 0 => 1
port add bad tcp 65536 => 1
port add bad tcp -1 => 3
port add bad tcp http => 1
port add bad tcp http --count 2 --socket-activated => 1
port add UPPER tcp 80 => 1
port add bad tcp => 1
port add bad tcp 80 81 => 1
port add bad tcp 80 --count 0 => 3
port add bad tcp 80 --count x => 3
port add bad tcp 80 --count => 3
port add bad tcp 80 --socket-activated=maybe => 3
? not "bad"
port rm 8080 => 0 /app/ports/0/name "peers"
port rm 7000/tcp => 2
port rm 7000/udp => 0 /app/ports/0/name "web"
port rm web => 0 /app/ports/0/name "plain"
port remove web => 2
port rm 80 => 2
port rm => 1
port rm a b => 1

== isolators
$ acbuild begin
isolator add resource/memory limit.json => 0 /app/isolators/0/value {"limit":"512M"}
isolator add resource/memory larger.json => 0 /app/isolators/0/value/limit "1G"
? /app/isolators/1 none
isolator add resource/cpu - < limit.json => 0 /app/isolators/1/name "resource/cpu"
isolator add resource/cpu - < broken.json => 1
isolator add resource/memory broken.json => 1 /app/isolators/0/value/limit "1G"
isolator add resource/memory absent.json => 1
isolator add resource/memory folder => 1
isolator add os/unix/sysctl sysctl.json => 0 /app/isolators/2/name "os/unix/sysctl"
isolator add UPPER limit.json => 1
isolator add resource/memory => 1
isolator add a b c => 1
isolator rm resource/memory => 0 /app/isolators/0/name "resource/cpu"
isolator remove resource/memory => 2
isolator rm => 1
isolator rm a b => 1

== dependencies
$ acbuild begin
dependency add example.com/base:1.0,os=linux => 0 /dependencies/0/imageName "example.com/base"
? /dependencies/0/labels/1/value "linux"
dependency add example.com/base:2.0 --size 12 => 0 /dependencies/0/size 12
? /dependencies/0/labels [{"name":"version","value":"2.0"}]
? /dependencies/1 none
dependency add example.com/more --label version=1 --label os=linux => 0
? /dependencies/1/labels/1/value "linux"
dependency add example.com/more:2 --another => 0 /dependencies/2/labels/0/value "2"
dependency add example.com/more:3 --another=1 => 3
dependency add UPPER --another => 1
dependency add UPPER => 1
dependency add => 1
dependency add a b => 1
dependency add example.com/base --label a=1 --label a=2 => 1
dependency add example.com/base:1 --label version=1 => 1
dependency add example.com/base --label a => 1
dependency add example.com/base --label => 3
dependency add example.com/base --image-id sha256-00 => 1
dependency add example.com/base --image-id => 3
dependency add example.com/base --size x => 3
dependency add example.com/base --size => 3
dependency add UPPER --size 5 => 1
? /dependencies/0/size 12
dependency rm example.com/absent => 2
dependency rm UPPER => 1
dependency rm => 1
dependency rm a b => 1
dependency rm example.com/more:2 => 0 /dependencies/2 none
dependency remove example.com/base => 0 /dependencies/0/imageName "example.com/more"
$ echo sha512-$(sha512sum < ../base.aci | cut -d' ' -f1) > id
dependency add example.com/id --image-id $(cat id) => 0
? sh grep -q "imageID\":\"$(cat id)" .acbuild/currentaci/manifest

== dependencies on images that are here
$ acbuild begin
dependency add --local ../base.aci => 0 /dependencies/0/imageName "example.com/base"
? sh grep -q "\"size\":$(stat -c %s ../base.aci)" .acbuild/currentaci/manifest
? sh grep -q "sha512-$(sha512sum < ../base.aci | cut -d' ' -f1)" .acbuild/currentaci/manifest
? /dependencies/0/labels [{"name":"version","value":"1"}]
dependency add --local absent.aci => 1
dependency add --local file => 1
dependency add --local => 3
dependency add example.com/base --local ../base.aci => 3
dependency rm example.com/base => 0
dependency add example.com/base:1 --pin => 0
? sh grep -q "sha512-$(sha512sum < ../base.aci | cut -d' ' -f1)" .acbuild/currentaci/manifest
dependency add UPPER --pin => 1
dependency add example.com/base --pin=1 => 3
dependency add example.com/base:1 --pin --trust-dir none => 5
dependency add example.invalid/x --pin => 7

== the app
$ acbuild begin
set-exec -- /bin/a --flag 'two words' '' => 0 /app/exec ["/bin/a","--flag","two words",""]
set-exec /bin/b => 0 /app/exec ["/bin/b"]
set-exec /bin/a --flag => 3
set-exec b => 0 /app/exec ["b"]
set-exec => 1
set-user 1000 => 0 /app/user "1000"
set-user www => 0 /app/user "www"
set-user '' => 1
set-user => 1
set-user a b => 1
set-group www => 0 /app/group "www"
set-group '' => 1
set-group => 1
set-group a b => 1
set-supp-groups 1 2 => 0 /app/supplementaryGIDs [1,2]
set-supp-groups 3 => 0 /app/supplementaryGIDs [3]
set-supp-groups -1 => 3
set-supp-groups x => 1
set-supp-groups 4 x => 1 /app/supplementaryGIDs [3]
set-supp-groups => 1
set-working-directory /srv => 0 /app/workingDirectory "/srv"
set-working-directory relative => 1
set-working-directory => 1
set-working-directory /a /b => 1

== event handlers
$ acbuild begin
set-event-handler pre-start /bin/p => 0 /app/eventHandlers [{"name":"pre-start","exec":["/bin/p"]}]
set-event-handler post-stop -- /bin/c -a => 0 /app/eventHandlers/1/exec ["/bin/c","-a"]
set-event-handler pre-start /bin/q 1 => 0 /app/eventHandlers/0/exec ["/bin/q","1"]
set-event-handler never /bin/x => 1
set-event-handler pre-start => 1
set-event-handler => 1
set-event-handler post-stop /bin/c -a => 3
set-event-handler --remove => 1
set-event-handler --remove=1 pre-start => 3
set-event-handler --remove pre-start /bin/p => 3
set-event-handler --remove pre-start => 0 /app/eventHandlers/0/name "post-stop"
set-event-handler pre-start --remove => 2

== isolators of somebody's own
$ acbuild begin
isolator add example.com/own limit.json => 1
"#;
