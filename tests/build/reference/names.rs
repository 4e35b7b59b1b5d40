//! Commands by their names, by other names, and by the beginnings of names.

pub(super) const SCENES: &str = r#"
== no command, or none that there is
=> 1
--help => 0
help => 0
help begin => 0
help nothing => 3 says nothing
help --nothing => 3
nothing => 3 says nothing
--nothing => 3
--nothing begin => 3
? sh ! test -e .acbuild
labl add a b => 3
BEGIN => 3
begin-nothing => 3

== beginnings that could be several
c => 3 says Did you mean
cop file /x => 3 says copy-to-dir
e => 3 says environment
l => 3 says layer
la add a b => 3 says label
r => 3 says run
s => 3 says script
set => 3 says set-tag
set- => 3 says set-user
set-e /a => 3 says set-exec
v => 3 says volume
ch => 3 says chown

== beginnings and other names that mean one
b => 0
set-n example.com/a => 0 /name "example.com/a"
a add x y => 0 in {"name":"x","value":"y"}
anno rm x => 0 not {"name":"x"
env add A b => 0 /app/environment/0/value "b"
lab add c d => 0 /labels/2/name "c"
lab rem c => 0 /labels/2 none
lab r c => 2
lab a c d => 0 /labels/2/name "c"
lay => 1
m add data /d => 0 /app/mountPoints/0/name "data"
volume rm data => 0 /app/mountPoints/0 none
vol add data /d => 0 /app/mountPoints/0/path "/d"
volume nothing => 3
p add http tcp 80 => 0 /app/ports/0/port 80
iso add resource/memory limit.json => 0 /app/isolators/0/name "resource/memory"
i rm resource/memory => 0 /app/isolators/0 none
dep add example.com/b => 0 /dependencies/0/imageName "example.com/b"
d rm example.com/b => 0 /dependencies/0 none
set-t 3 => 0 /labels/3/value "3"
set-ex /bin/a => 0 /app/exec ["/bin/a"]
set-u 1 => 0 /app/user "1"
set-g 2 => 0 /app/group "2"
set-s 3 => 0 /app/supplementaryGIDs [3]
set-w /w => 0 /app/workingDirectory "/w"
set-wd /x => 0 /app/workingDirectory "/x"
set-ev pre-start /a => 0 /app/eventHandlers/0/exec ["/a"]
set-eh post-stop /b => 0 /app/eventHandlers/1/exec ["/b"]
copy file /f => 0 has f
copy- file /d => 0 has d/file
rem /d => 0 no d
rm /f => 0 no f
copy file /f => 0
cho 1:1 /f => 0
chm 600 /f => 0
setc cap_net_raw+ep /f => 0
x /f user.a=b => 0
ca => 0
cat => 0
wr x.aci => 0
w x.aci => 1
re m.json => 0 /name "example.com/new"
rep m.json => 0
ru => 1
sh --nothing => 3
sq => 0
rec => 1
scr => 1
he => 0
ver => 0
end => 0
b ./tree => 0 has kept

== before a build
cat-manifest => 1 says no build in progress
cat-manifest --pretty-print => 1
cat-manifest --file manifest => 1
end => 1 says no build in progress
copy file /f => 1
copy-to-dir file /d => 1
remove /f => 1
chown 1:1 /f => 1
chmod 600 /f => 1
setcap cap_net_raw+ep /f => 1
xattr /f user.a=b => 1
run /bin/a => 1
shell => 1
squash => 1
squash --insecure => 1
annotation add a b => 1
annotation rm a => 1
label add a b => 1 says no build in progress
label rm a => 1
environment add A b => 1
environment rm A => 1
mount add a /a => 1
mount rm a => 1
port add a tcp 80 => 1
port rm a => 1
isolator add resource/memory limit.json => 1
isolator rm resource/memory => 1
dependency add example.com/a => 1
dependency rm example.com/a => 1
set-name example.com/a => 1
set-tag 1 => 1
set-exec /a => 1
set-user 1 => 1
set-group 1 => 1
set-supp-groups 1 => 1
set-working-directory /a => 1
set-event-handler pre-start /a => 1
replace-manifest m.json => 1
write x.aci => 1 says no build in progress
? sh ! test -e .acbuild && ! test -e x.aci
layer => 1
version => 0
? sh acbuild version | grep -c . | grep -qx 2
version extra => 1
end extra => 1
layer extra => 1

== options that there are not
begin --nothing => 3
copy --nothing a /a => 3
copy-to-dir --nothing a /a => 3
remove --nothing /a => 3
chown --nothing 1:1 /a => 3
chmod --nothing 600 /a => 3
setcap --nothing a /a => 3
xattr --nothing /a a=b => 3
run --nothing /bin/a => 3
shell --nothing => 3
squash --nothing => 3
annotation --nothing => 3
annotation add --nothing a b => 3
annotation rm --nothing a => 3
label --nothing => 3
label add --nothing a b => 3
label rm --nothing a => 3
environment --nothing => 3
environment add --nothing a b => 3
environment rm --nothing a => 3
mount --nothing => 3
mount add --nothing a /b => 3
mount rm --nothing a => 3
port --nothing => 3
port add --nothing a tcp 80 => 3
port rm --nothing a => 3
isolator --nothing => 3
isolator add --nothing a b => 3
isolator rm --nothing a => 3
dependency --nothing => 3
dependency add --nothing a => 3
dependency rm --nothing a => 3
set-name --nothing a => 3
set-tag --nothing a => 3
set-exec --nothing /a => 3
set-user --nothing a => 3
set-group --nothing a => 3
set-supp-groups --nothing 1 => 3
set-working-directory --nothing /a => 3
set-event-handler --nothing pre-start /a => 3
replace-manifest --nothing m.json => 3
cat-manifest --nothing => 3
layer --nothing => 3
write --nothing x.aci => 3
end --nothing => 3
script --nothing x => 3
recipe --nothing x => 3
version --nothing => 3

== help of each command
annotation --help => 0
label --help => 0
environment --help => 0
mount --help => 0
port --help => 0
isolator --help => 0
dependency --help => 0

== commands of commands
annotation => 1
label => 1
environment => 1
mount => 1
port => 1
isolator => 1
dependency => 1
annotation nothing a => 3
label nothing a => 3
environment nothing a => 3
mount nothing a => 3
port nothing a => 3
isolator nothing a => 3
dependency nothing a => 3

== options of all commands [plain]
--work-path absent cat-manifest => 1
--work-path absent begin => 1
$ mkdir elsewhere
--work-path elsewhere begin => 0
? sh test -d elsewhere/.acbuild && ! test -e .acbuild
label --work-path elsewhere add a b => 0
label rm a --work-path=elsewhere => 0
label rm a --work-path elsewhere => 2
end --work-path elsewhere => 0
? sh ! test -e elsewhere/.acbuild
--work-path => 3
begin --debug => 0
--debug=true cat-manifest => 0
--debug=false cat-manifest => 0
--debug=maybe cat-manifest => 3
--debug label rm a => 2
--debug begin => 1
--no-history label add a b => 0 not label add a b
label add --no-history a c => 0 not label add a c
--no-history=true label add a d => 0 not label add a d
--no-history=false label add a e => 0 in label add a e
--no-history label rm absent => 2
--no-history begin => 1
--no-history=maybe label add a b => 3

== arguments that are no text
$ acbuild begin
label add a "$(printf '\377')" => 1
label add "$(printf '\377')" a => 1
set-name "$(printf '\377')" => 1
environment add A "$(printf '\377')" => 1
set-exec /a "$(printf '\377')" => 1
"$(printf '\377')" => 3
begin "$(printf '\377')" => 1
"#;
