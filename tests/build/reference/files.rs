//! Commands that change files of the image.

pub(super) const SCENES: &str = r#"
== one file or folder is copied
$ acbuild begin && acbuild set-name example.com/a && ln -s /absent link
copy file /bin/a => 0 has bin/a
copy file /bin/a => 0
copy file bin/relative => 0 has bin/relative
copy file /bin => 1
copy file /bin/a/b => 1
copy file /to/ => 1 no to
copy absent /x => 1
copy '' /x => 1
copy file '' => 1
copy file ../../x => 1
copy file /a/../../x => 1
copy file / => 1
copy folder /folder => 0 has folder/in
copy folder /folder => 1
copy folder/ /slash => 0 has slash/in
copy folder /folder --merge => 0
copy tree / --merge => 0 has deep/left.log
copy folder /folder --merge=1 => 3
copy file /folder --merge => 1
copy link /link => 0 entry rootfs/link /absent
copy file => 1
copy => 1
copy file /a /b => 1
copy sockets /s => 1 no s

== how files are copied
$ acbuild begin && acbuild set-name example.com/a
copy folder /o --owner 33:44 => 0 entry rootfs/o/in 33:44
copy folder /m --mode '*=0600' => 0 entry rootfs/m/in -rw-------
copy folder /x --xattr '*:user.note=text' => 0 entry rootfs/x/in user.note
copy file /c --cap '*=cap_net_raw+ep' => 0 entry rootfs/c security.capability
copy tree /i --ignore '*.log' => 0 no i/deep/left.log
? has i/kept
copy tree /j --ignore-file ignore => 0 no j/deep/left.log
copy folder /t --mtime 7 => 0 entry rootfs/t/in 1970-01-01T00:00:07Z
copy folder /n --owner-map map => 0 entry rootfs/n/in 5000:5000
copy folder /p --one-file-system => 0 has p/in
copy sockets /s --skip-sockets => 0 has s/file
? no s/socket
copy folder /d => 0 entry rootfs/d/in 0:0
copy absent /y --owner 1:1 --mode '*=0600' --xattr '*:user.a=b' --cap '*=cap_net_raw+ep' => 1
copy absent /y --ignore x --ignore-file ignore --skip-sockets --merge --mtime 7 => 1
copy absent /y --owner-map map --one-file-system => 1
copy folder /y --owner-map absent => 1
copy folder /y --owner-map broken.json => 1
copy folder /y --owner-map map --owner 1:1 => 1
copy folder /y --ignore-file absent => 1 no y
copy folder /y --owner root => 3
copy folder /y --owner => 3
copy folder /y --owner-map => 3
copy folder /y --mode 0600 => 3
copy folder /y --xattr user.a => 3
copy folder /y --cap '*=cap_fly+ep' => 3
copy folder /y --ignore => 3
copy folder /y --ignore-file => 3
copy folder /y --mtime soon => 3
copy folder /y --skip-sockets=1 => 3
copy folder /y --one-file-system=1 => 3
? no y

== files are copied into a folder
$ acbuild begin && acbuild set-name example.com/a && mkdir twice && cp file twice && ln -s /d l
copy-to-dir file folder/ /new/place => 0 has new/place/folder/in
? has new/place/file
copy-to-dir file /new/place => 0
copy-to-dir file /new/place/ => 0
copy-to-dir file new/other => 0 has new/other/file
copy-to-dir file => 1
copy-to-dir => 1
copy-to-dir file /new/place/file => 1
copy-to-dir absent /d => 1
copy-to-dir file absent /d => 1 no d
copy-to-dir file twice/file /d => 1 no d
copy-to-dir file ../../d => 1
copy-to-dir folder /new/place => 1
copy-to-dir folder /new/place --merge => 0
copy-to-dir sockets /d => 1
copy l /l => 0
copy-to-dir file /l => 1

== how files are copied into a folder
$ acbuild begin && acbuild set-name example.com/a
copy-to-dir file /o --owner 33:44 => 0 entry rootfs/o/file 33:44
copy-to-dir file /m --mode '*=0600' => 0 entry rootfs/m/file -rw-------
copy-to-dir file /x --xattr '*:user.note=text' => 0 entry rootfs/x/file user.note
copy-to-dir file /c --cap '*=cap_net_raw+ep' => 0 entry rootfs/c/file security.capability
copy-to-dir tree /i --ignore '*.log' => 0 no i/tree/deep/left.log
copy-to-dir tree /j --ignore-file ignore => 0 no j/tree/deep/left.log
copy-to-dir file /t --mtime 7 => 0 entry rootfs/t/file 1970-01-01T00:00:07Z
copy-to-dir file /n --owner-map map => 0 entry rootfs/n/file 5000:5000
copy-to-dir folder /p --one-file-system => 0 has p/folder/in
copy-to-dir sockets /s --skip-sockets => 0 has s/sockets/file
copy-to-dir absent /y --owner 1:1 --mode '*=0600' --xattr '*:user.a=b' --cap '*=cap_chown+ep' => 1
copy-to-dir absent /y --ignore x --ignore-file ignore --skip-sockets --one-file-system => 1
copy-to-dir absent /y --merge --mtime 7 --owner-map map => 1
copy-to-dir file /y --owner-map absent => 1
copy-to-dir file /y --ignore-file absent => 1
copy-to-dir file /y --owner root => 3
copy-to-dir file /y --owner-map => 3
copy-to-dir file /y --mode 0600 => 3
copy-to-dir file /y --xattr user.a => 3
copy-to-dir file /y --cap '*=cap_fly+ep' => 3
copy-to-dir file /y --ignore => 3
copy-to-dir file /y --ignore-file => 3
copy-to-dir file /y --mtime soon => 3
copy-to-dir file /y --skip-sockets=1 => 3
copy-to-dir file /y --one-file-system=1 => 3
copy-to-dir file /y --merge=1 => 3
? no y

== files are removed
$ acbuild begin && acbuild copy tree /t && acbuild copy file /f && ln -s t l && acbuild copy l /l
remove /t/kept => 0 no t/kept
remove /t/kept => 2
remove /absent => 2
remove /f /absent => 2 has f
remove /l => 0 has t/deep
remove /f /t => 0 no t
? no f
remove / => 1
remove ../x => 1
remove '' => 1
remove => 1

== owners and modes are changed
$ acbuild begin && acbuild set-name example.com/a
$ acbuild copy tree /t && acbuild copy file /f && acbuild copy passwd /etc/passwd
chown 33:44 /t => 0 entry rootfs/t 33:44
? entry rootfs/t/kept 0:0
chown 33 /t --recursive => 0 entry rootfs/t/deep/left.log 33:0
chown :7 /t/deep /f -R => 0 entry rootfs/t/deep/left.log 33:7
? entry rootfs/f 0:7
chown www /etc/passwd => 0 entry rootfs/etc/passwd 33:0
chown nobody-here /f => 1
chown nobody-here /f --recursive => 1
chown nobody-here /f -R => 1
chown 1:1 => 1
chown => 1
chown '' /f => 1
chown 1:1 ../f => 1
chown 1:1 /f --recursive=1 => 3
chown -R=1 1:1 /f => 3
chmod 4755 /f => 0 entry rootfs/f -rwsr-xr-x
chmod 0700 /t --recursive => 0 entry rootfs/t/deep/left.log -rwx------
chmod 755 /t /f -R => 0 entry rootfs/t/deep drwxr-xr-x
chmod 9 /f => 1
chmod u+x /f => 1
chmod 9 /f --recursive => 1
chmod 9 /f -R => 1
chmod 10000 /f => 1
chmod 755 => 1
chmod => 1
chmod 1 ../f => 1
chmod 755 /f --recursive=1 => 3
chmod -R=1 755 /f => 3
? entry rootfs/f -rwxr-xr-x

== capabilities and attributes are given and taken
$ acbuild begin && acbuild set-name example.com/a && acbuild copy tree /t && acbuild copy file /f
setcap cap_net_raw+ep /f => 0 entry rootfs/f security.capability
setcap cap_fly+ep /f => 1
setcap cap_net_raw+ep => 1
setcap => 1
setcap cap_net_raw+ep /f /g => 1
setcap cap_net_raw+ep /t => 1
setcap cap_net_raw+ep ../f => 1
setcap --remove=1 /f => 3
setcap --remove cap_net_raw+ep /f => 1
setcap --remove /f => 0
? sh ! "$GANTRY" inspect --entries ../entry.aci | grep -q nothing
setcap --remove /absent => 2
xattr /f user.note=x user.more=0x00ff => 0 entry rootfs/f user.note
? entry rootfs/f user.more
xattr /f user.last=0sAA== --remove user.note => 0 entry rootfs/f user.last
xattr /f --remove user.more --remove user.last => 0
? sh acbuild write ../e.aci --overwrite && ! "$GANTRY" inspect --entries ../e.aci | grep user[.]
xattr /f user.note => 1
xattr /f => 1
xattr => 1
xattr ../f user.a=b => 1
xattr ../f --remove user.a => 1
xattr /absent --remove user.a => 2
xattr /f --remove => 3

== a build is not copied into itself
$ acbuild begin && acbuild set-name example.com/a
copy . /x --skip-sockets => 0 has x/file
? no x/.acbuild
copy-to-dir . /y => 1
copy-to-dir "$PWD" /y --skip-sockets => 0 has y/scene/file
? no y/scene/.acbuild
end => 0
begin . --skip-sockets => 0 has file
? no .acbuild

== files that are absent
$ acbuild begin
chown 1:1 /absent => 1
chmod 600 /absent => 1
setcap cap_net_raw+ep /absent => 1
xattr /absent user.a=b => 1

== the group of a user
$ acbuild begin && acbuild set-name example.com/a
$ acbuild copy file /f && acbuild copy passwd /etc/passwd
chown www: /f => 0 entry rootfs/f 33:34
"#;
