//! Servers with ports, volumes and limits, event handlers, and pods: as root and as another user,
//! through every runtime that works here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use support::containers::{
    Who, free_port, image, install, nothing_left, probe_image, sandbox, say, ways,
};
use support::{Sandbox, tool};

/// A child of the test that is killed with it.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn end(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn plain(words: &[&str]) -> Value {
    let exec: Vec<&str> = [&["probe"], words].concat();
    json!({"exec": exec, "user": "0", "group": "0"})
}

/// A folder of the host that everybody may write.
fn shared_folder(sandbox: &Sandbox, name: &str) -> String {
    let folder = sandbox.path(name);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    folder.canonicalize().unwrap().display().to_string()
}

#[test]
fn server_of_a_distribution_answers_with_a_volume_a_port_and_a_limit() {
    if !tool("nginx") {
        return;
    }
    for way in ways() {
        let sandbox = sandbox();
        let rootfs = sandbox.path("image/rootfs");
        fs::create_dir_all(rootfs.join("tmp")).unwrap();
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        fs::copy(support::probe::probe(), rootfs.join("bin/probe")).unwrap();
        install("/usr/sbin/nginx", &rootfs);
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path /tmp/{kind};"))
            .join(" ");
        let configuration = format!(
            "user root root; daemon off; master_process off; pid /tmp/pid; events {{}} \
            http {{ access_log off; {paths} server {{ listen 8080; root /srv/www; }} }}"
        );
        sandbox.write("image/rootfs/etc/nginx.conf", configuration);
        sandbox.write("image/rootfs/etc/passwd", "root:x:0:0::/:/bin/sh\n");
        sandbox.write("image/rootfs/etc/group", "root:x:0:\n");
        let app = json!({"exec": ["nginx", "-e", "stderr", "-c", "/etc/nginx.conf"],
            "user": "0", "group": "0", "mountPoints": [{"name": "www", "path": "/srv/www"}],
            "ports": [{"name": "http", "protocol": "tcp", "port": 8080}]});
        image(&sandbox, "web", &app, "image");
        let www = shared_folder(&sandbox, "www");
        sandbox.write("www/index.html", format!("served through {way:?}"));
        if !way.works(&sandbox, "example.com/web") {
            continue;
        }
        let port = free_port();
        let volume = format!("www,kind=host,source={www},readOnly=true");
        let at = format!("http:127.0.0.1:{port}");
        let words = [
            "run",
            "example.com/web",
            "--runtime",
            way.runtime,
            "--port",
            &at,
            "--volume",
            &volume,
            "--memory",
            "64Mi",
        ];
        let server = Running(way.command(&sandbox, &words).spawn().unwrap());
        let answer = say(port, "GET / HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(&format!("served through {way:?}")), "{answer}");
        assert_eq!(server.end(), Some(0), "{way:?}");
        nothing_left(&sandbox);
    }
}

#[test]
fn memory_limit_holds_or_is_said_to_hold_otherwise() {
    for way in ways() {
        let sandbox = sandbox();
        probe_image(&sandbox, "probe", &plain(&["eat", "100", "1"]));
        if !way.works(&sandbox, "example.com/probe") {
            continue;
        }
        let run = |limit: &str| {
            way.gantry(
                &sandbox,
                &["run", "example.com/probe", "--runtime", way.runtime, "--memory", limit],
            )
        };
        assert_eq!(run("300Mi").code, 0, "{way:?}");
        let ended = run("32Mi");
        match way.who {
            // Killed by the kernel.
            Who::Root => assert_eq!(ended.code, 137, "{way:?}: {ended:?}"),
            Who::Nobody => {
                assert_eq!(ended.code, 1, "{way:?}: {ended:?}");
                assert!(ended.stderr.contains("RLIMIT_DATA"), "{ended:?}");
                assert!(!ended.stderr.contains("could not be started"), "{ended:?}");
            }
        }
        nothing_left(&sandbox);
    }
}

#[test]
fn options_change_what_the_image_says() {
    let root = ways().into_iter().filter(|way| way.who == Who::Root);
    for way in root {
        let sandbox = sandbox();
        let mut app =
            plain(&["cat", "/proc/self/status", "/proc/self/environ", "/proc/sys/kernel/hostname"]);
        app["environment"] = json!([{"name": "A", "value": "image"}, {"name": "B", "value": "image"},
            {"name": "C", "value": "image"}]);
        probe_image(&sandbox, "probe", &app);
        if !way.works(&sandbox, "example.com/probe") {
            continue;
        }
        sandbox.write("variables", "# a comment\n\nA=file\nB=file\n");
        let run = |words: &[&str]| {
            let first = ["-q", "run", "example.com/probe", "--runtime", way.runtime];
            way.gantry(&sandbox, &[&first, words].concat())
        };
        let found = run(&[
            "--user",
            "12",
            "--group",
            "34",
            "--supplementary-gids",
            "56,78",
            "--env",
            "A=given",
            "--env-file",
            "variables",
            "--hostname",
            "there",
            "--name",
            "other",
            "--caps-retain",
            "CAP_KILL",
            "--no-new-privileges",
            "--metadata-url",
            "http://m/t",
        ])
        .ok();
        for part in [
            "Uid:\t12\t12\t12\t12",
            "Gid:\t34\t34\t34\t34",
            "Groups:\t56 78",
            "CapBnd:\t0000000000000020",
            "NoNewPrivs:\t1",
            "A=given\0",
            "B=file\0",
            "C=image\0",
            "AC_APP_NAME=other\0",
            "AC_METADATA_URL=http://m/t\0",
        ] {
            assert!(found.contains(part), "{way:?}: {part:?} in {found:?}");
        }
        assert!(found.ends_with("there"), "{found}");
        let exec = |words: &[&str]| run(&[&["--exec", "/bin/probe"], words].concat());
        assert_eq!(exec(&["--working-dir", "/bin", "--", "cwd"]).ok(), "/bin");
        assert_eq!(exec(&["--", "write", "/new"]).code, 0);
        assert_eq!(exec(&["--read-only", "--", "write", "/new"]).code, 1);
        let volume = [
            "--volume",
            "v,kind=empty,mode=0711,uid=5,gid=6",
            "--mount",
            "volume=v,target=/v",
            "--read-only",
            "--",
        ];
        assert_eq!(exec(&[&volume[..], &["stat", "/v"]].concat()).ok(), "/v 40711 5:6");
        assert_eq!(exec(&[&volume[..], &["write", "/v/new"]].concat()).code, 0);
        let seccomp = ["--seccomp", "mode=remove,errno=E2BIG,mount", "--", "mount"];
        assert!(exec(&seccomp).stderr.contains("Argument list too long"));
        let dangling = exec(&["--mount", "volume=none,target=/v", "--", "cwd"]).refused(1);
        assert!(dangling.stderr.contains("\"none\""), "{dangling:?}");
        run(&["--port", "http:80"]).refused(3);
        run(&["--user", "4294967296"]).refused(1);
        nothing_left(&sandbox);
    }
}

#[test]
fn event_handlers_run_before_and_after_as_the_app_does() {
    for way in ways() {
        let sandbox = sandbox();
        let handler = |word: &str| json!(["probe", "append", "/log/events", word]);
        let mut app = plain(&["append", "/log/events", "app"]);
        app["mountPoints"] = json!([{"name": "log", "path": "/log"}]);
        app["eventHandlers"] = json!([{"name": "post-stop", "exec": handler("after")},
            {"name": "pre-start", "exec": handler("before")}]);
        let user = if way.who == Who::Root { "7" } else { "0" };
        app["user"] = json!(user);
        probe_image(&sandbox, "probe", &app);
        app["eventHandlers"][1]["exec"] = json!(["probe", "exit", "9"]);
        probe_image(&sandbox, "refusing", &app);
        probe_image(&sandbox, "plain", &plain(&["cwd"]));
        let log = shared_folder(&sandbox, "log");
        if !way.works(&sandbox, "example.com/plain") {
            continue;
        }
        let volume = format!("log,kind=host,source={log}");
        let run = |image: &str, words: &[&str]| {
            let _ = fs::remove_file(sandbox.path("log/events"));
            let first = ["run", image, "--runtime", way.runtime, "--volume", &volume];
            let ended = way.gantry(&sandbox, &[&first, words].concat());
            nothing_left(&sandbox);
            (ended.code, fs::read_to_string(sandbox.path("log/events")).unwrap_or_default())
        };
        let all = format!("before {user}\napp {user}\nafter {user}\n");
        assert_eq!(run("example.com/probe", &[]), (0, all), "{way:?}");
        let failed = format!("before {user}\nafter {user}\n");
        let exit = ["--exec", "/bin/probe", "--", "exit", "3"];
        assert_eq!(run("example.com/probe", &exit), (3, failed), "{way:?}");
        // Without its beginning there is no app, and an end all the same.
        let after = format!("after {user}\n");
        assert_eq!(run("example.com/refusing", &[]), (9, after), "{way:?}");
    }
}

#[test]
fn socket_is_handed_to_an_app_that_expects_it() {
    for way in ways() {
        let sandbox = sandbox();
        let mut app = plain(&["inherit"]);
        app["ports"] =
            json!([{"name": "web", "protocol": "tcp", "port": 80, "socketActivated": true}]);
        probe_image(&sandbox, "probe", &app);
        if !way.works(&sandbox, "example.com/probe") {
            continue;
        }
        let port = free_port();
        let at = format!("web:127.0.0.1:{port}");
        let words = ["run", "example.com/probe", "--runtime", way.runtime, "--port", &at];
        let server = Running(way.command(&sandbox, &words).spawn().unwrap());
        assert_eq!(say(port, "x"), "web", "{way:?}");
        assert_eq!(server.end(), Some(55), "{way:?}");
        nothing_left(&sandbox);
    }
}

/// A pod manifest of a server and of a second app, which asks it.
fn pod(sandbox: &Sandbox, second: &[&str]) -> Value {
    let mut server = plain(&["serve", "8080", "hello"]);
    server["ports"] = json!([{"name": "web", "protocol": "tcp", "port": 8080}]);
    let one = probe_image(sandbox, "server", &server);
    let other = probe_image(sandbox, "client", &plain(second));
    json!({"acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [{"name": "server", "image": {"id": one, "name": "example.com/server"}},
            {"name": "client", "image": {"id": other,
                "labels": [{"name": "version", "value": "1.0.0"}]}}]})
}

#[test]
fn apps_of_a_pod_share_network_processes_host_name_and_volumes() {
    for way in ways() {
        let sandbox = sandbox();
        let mut pod = pod(&sandbox, &["ask", "8080"]);
        pod["volumes"] = json!([{"name": "work", "kind": "empty", "mode": "0777"}]);
        let mounts = json!([{"volume": "work", "path": "/work"}]);
        let mut third = pod["apps"][1].clone();
        third["name"] = json!("writer");
        third["mounts"] = mounts.clone();
        third["app"] = plain(&["append", "/work/file", "written"]);
        pod["apps"][0]["mounts"] = mounts;
        pod["apps"].as_array_mut().unwrap().push(third);
        // The server ends with what it was asked to: the failing app ends all.
        let mut last = pod["apps"][1].clone();
        last["name"] = json!("last");
        last["app"] = plain(&["cat", "/proc/sys/kernel/hostname", "/none"]);
        sandbox.write("shop.json", pod.to_string());
        if !way.works(&sandbox, "example.com/client") {
            continue;
        }
        let words = ["pod", "run", "shop.json", "--runtime", way.runtime, "--keep"];
        let mut command = way.command(&sandbox, &words);
        command.stdout(std::process::Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(running.0.stdout.take().unwrap()));
        // runc passes on what each app says by a pipe of its own, so either may come first.
        let mut heard: Vec<String> = (0..2).map(|_| lines.next().unwrap().unwrap()).collect();
        heard.sort();
        assert_eq!(heard, ["hello", "ready"], "{way:?}");
        let file = || {
            let runs = fs::read_dir(sandbox.path("store/run")).unwrap().flatten();
            runs.map(|run| run.path().join("bundle/volumes/work/file"))
                .find_map(|path| fs::read_to_string(path).ok())
        };
        for _ in 0..500 {
            if file().is_some_and(|text| text.ends_with('\n')) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(file().unwrap(), "written 0\n");
        // Who has said its last line is about to end by itself, and would be ended by the signal.
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(running.end(), Some(55), "{way:?}");
        let rest: String = lines.map_while(Result::ok).collect();
        assert!(rest.contains("signal 15"), "{way:?}: {rest}");
        let kept = fs::read_dir(sandbox.path("store/run")).unwrap().flatten();
        assert!(kept.map(|it| it.file_name()).any(|it| it.to_string_lossy().starts_with("kept-")));
        // One that fails ends the others, and its code is the pod's.
        pod["apps"][1] = last;
        sandbox.write("shop.json", pod.to_string());
        let ended = way.gantry(&sandbox, &words[..5]);
        assert_eq!(ended.code, 1, "{way:?}: {ended:?}");
        assert!(ended.stdout.contains("shop") && ended.stderr.contains("last ended"), "{ended:?}");
    }
}

#[test]
fn pod_publishes_a_port_and_nothing_outlives_a_kill() {
    for way in ways() {
        let sandbox = sandbox();
        let word = format!("orphan-{}", std::process::id());
        let mut pod = pod(&sandbox, &["wait", &word]);
        let port = free_port();
        pod["ports"] = json!([{"name": "web", "hostPort": port, "hostIP": "127.0.0.1"}]);
        sandbox.write("pod.json", pod.to_string());
        if !way.works(&sandbox, "example.com/client") {
            continue;
        }
        let words = ["-q", "pod", "run", "pod.json", "--runtime", way.runtime];
        let mut running = Running(way.command(&sandbox, &words).spawn().unwrap());
        assert_eq!(say(port, "x"), "hello", "{way:?}");
        let alive = || {
            let pause = std::time::Duration::from_millis(20);
            (0..500).any(|_| {
                lives(&word) || {
                    std::thread::sleep(pause);
                    false
                }
            })
        };
        assert!(alive());
        running.signal(Signal::KILL);
        running.0.wait().unwrap();
        // The kernel ends what is in the pod; nobody has to be there for it.
        for _ in 0..500 {
            if !lives(&word) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(!lives(&word), "{way:?}");
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        assert_eq!(fs::read_dir(sandbox.path("store/run")).unwrap().count(), 2);
        assert!(way.works(&sandbox, "example.com/client"));
        nothing_left(&sandbox);
    }
}

/// Whether a process with this word among its arguments lives.
fn lives(word: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = arguments.split(|&byte| byte == 0);
        words.next() == Some(b"probe") && words.any(|argument| argument == word.as_bytes())
    })
}

#[test]
fn pod_of_a_user_with_subordinate_ids_has_other_users() {
    let files = ["/etc/subuid", "/etc/subgid"].iter().all(|file| fs::exists(file).unwrap());
    let tools = ["runc", "setpriv", "unshare", "nsenter", "newuidmap"].iter().all(|it| tool(it));
    if !rustix::process::geteuid().is_root() || !files || !tools {
        println!(
            "skipped: it takes root, and files for subordinate IDs to put others in their place"
        );
        return;
    }
    let sandbox = sandbox();
    let mut pod = pod(&sandbox, &["cat", "/proc/self/status"]);
    pod["apps"][0]["app"] = plain(&["exit", "0"]);
    pod["apps"][1]["app"] = plain(&["cat", "/proc/self/status"]);
    pod["apps"][1]["app"]["user"] = json!("1000");
    pod["apps"][1]["app"]["group"] = json!("50");
    sandbox.write("pod.json", pod.to_string());
    sandbox.write("ranges", "65534:100000:65536\n");
    sandbox.shell("chown -R 65534:65534 . && chmod 755 . && chmod 644 ranges").ok();
    let line = "mount --bind ranges /etc/subuid && mount --bind ranges /etc/subgid && \
        exec setpriv --reuid=65534 --regid=65534 --clear-groups ./gantry -q pod run pod.json \
        --runtime runc";
    let mut command = sandbox.command("unshare");
    let output = command.args(["--mount", "sh", "-c", line]).output().unwrap();
    let status = support::Ended::of(output).ok();
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000"), "{status}");
    assert!(status.contains("Gid:\t50\t50\t50\t50"), "{status}");
    nothing_left(&sandbox);
}

#[test]
fn pod_that_is_not_what_it_says_is_refused() {
    let sandbox = sandbox();
    let good = pod(&sandbox, &["cwd"]);
    let run = |change: &dyn Fn(&mut Value)| {
        let mut pod = good.clone();
        change(&mut pod);
        sandbox.write("pod.json", pod.to_string());
        sandbox.gantry(["pod", "bundle", "pod.json", "out"])
    };
    let name = run(&|pod| pod["apps"][0]["image"]["name"] = json!("example.com/other"));
    assert!(name.refused(5).stderr.contains("example.com/other"));
    let label = json!([{"name": "version", "value": "2.0.0"}]);
    run(&|pod| pod["apps"][0]["image"]["labels"] = label.clone()).refused(5);
    let absent = format!("sha512-{}", "0".repeat(128));
    run(&|pod| pod["apps"][0]["image"]["id"] = json!(absent)).refused(4);
    let port = run(&|pod| pod["ports"] = json!([{"name": "nope", "hostPort": 8080}])).refused(3);
    assert!(port.stderr.contains("\"nope\" was not found in any app"), "{port:?}");
    run(&|pod| pod["apps"][0]["mounts"] = json!([{"volume": "none", "path": "/x"}])).refused(1);
    run(&|pod| pod["apps"][1]["name"] = json!("server")).refused(3);
    assert!(!sandbox.path("out").exists());
}

#[test]
fn pod_sets_the_parameters_of_its_own_network() {
    let root = ways().into_iter().filter(|way| way.who == Who::Root);
    for way in root {
        let sandbox = sandbox();
        let mut pod = pod(&sandbox, &["cat", "/proc/sys/net/core/somaxconn"]);
        pod["apps"].as_array_mut().unwrap().remove(0);
        pod["isolators"] = json!([{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "77"}},
            {"name": "resource/memory", "value": {"limit": "64Mi"}}]);
        sandbox.write("pod.json", pod.to_string());
        if !way.works(&sandbox, "example.com/client") {
            continue;
        }
        let run =
            || way.gantry(&sandbox, &["-q", "pod", "run", "pod.json", "--runtime", way.runtime]);
        assert_eq!(run().ok(), "77", "{way:?}");
        pod["isolators"] = json!([{"name": "os/unix/sysctl", "value": {"vm.swappiness": "1"}}]);
        sandbox.write("pod.json", pod.to_string());
        assert!(run().refused(1).stderr.contains("vm.swappiness"));
        nothing_left(&sandbox);
    }
}

#[test]
fn pod_manifest_is_made_of_images_as_rkt_makes_it() {
    let sandbox = sandbox();
    let mut app = plain(&["cwd"]);
    app["ports"] = json!([{"name": "http", "protocol": "tcp", "port": 8080}]);
    app["mountPoints"] = json!([{"name": "data", "path": "/data"}]);
    let id = probe_image(&sandbox, "my.app", &app);
    let create = |words: &[&str]| {
        let first = ["pod", "create", "example.com/my.app"];
        sandbox.gantry([&first[..], words].concat())
    };
    let text = create(&["--port", "http:9090", "--env", "A=b", "--", "more"]).ok();
    let pod: Value = serde_json::from_str(&text).unwrap();
    let one = &pod["apps"][0];
    assert_eq!((&one["name"], &one["image"]["id"]), (&json!("my-app"), &json!(id)));
    assert_eq!(one["image"]["name"], "example.com/my.app");
    assert_eq!(one["app"]["exec"], json!(["probe", "cwd", "more"]));
    assert_eq!(one["app"]["environment"], json!([{"name": "A", "value": "b"}]));
    assert_eq!(pod["ports"], json!([{"name": "http", "hostPort": 9090}]));
    assert!(
        create(&["--port", "nope:9090"]).refused(3).stderr.contains("was not found in any app")
    );
    let own = create(&["--user-annotation", "k=v", "--user-label", "l=w"]).ok();
    let own = &serde_json::from_str::<Value>(&own).unwrap()["apps"][0]["app"];
    assert_eq!(own["userAnnotations"], json!({"k": "v"}));
    assert_eq!(own["userLabels"], json!({"l": "w"}));
    create(&["example.com/my.app"]).refused(3);
    create(&["--mount", "volume=none,target=/x"]).refused(1);
    create(&["-o", "pod.json"]).ok();
    sandbox.gantry(["validate", "pod.json"]).ok();
}

#[test]
fn pod_bundle_runs_in_namespaces_that_others_made() {
    if !rustix::process::geteuid().is_root() || !tool("runc") || !tool("ip") || !tool("unshare") {
        println!("skipped: it takes root, runc, ip and unshare");
        return;
    }
    let sandbox = sandbox();
    sandbox.write("pod.json", pod(&sandbox, &["ask", "8080"]).to_string());
    let namespaces = sandbox.path("ns").display().to_string();
    let words = ["--json", "pod", "bundle", "pod.json", "pod", "--namespaces", &namespaces];
    let value: Value = serde_json::from_str(&sandbox.gantry(words).ok()).unwrap();
    assert_eq!(value["apps"][1]["program"], "/bin/probe");
    let line = "mkdir ns && touch ns/net ns/ipc ns/uts
        unshare --net=ns/net --ipc=ns/ipc --uts=ns/uts ip link set lo up
        trap 'runc --root state delete --force s; umount ns/net ns/ipc ns/uts' EXIT
        runc --root state run --bundle pod/apps/server s >/dev/null 2>&1 &
        runc --root state run --bundle pod/apps/client c-$$";
    assert_eq!(sandbox.shell(line).ok(), "hello");
    sandbox.gantry(["pod", "bundle", "pod.json", "pod"]).refused(1);
}

#[test]
fn units_are_such_as_systemd_accepts() {
    if !rustix::process::geteuid().is_root() || !tool("systemd-analyze") {
        println!("skipped: it takes root and systemd-analyze");
        return;
    }
    let sandbox = sandbox();
    let mut pod = pod(&sandbox, &["cwd"]);
    let sleep = ["/bin/sleep", "1 \"%n\" $HOME"];
    let folder = sandbox.path("image-server/rootfs");
    // systemd-analyze looks for programs on the machine, where this one is as well.
    fs::copy(support::probe::probe(), folder.join("bin/sleep")).unwrap();
    let app = json!({"exec": sleep, "user": "7", "group": "8", "supplementaryGIDs": [9],
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/sleep", "0"]},
            {"name": "post-stop", "exec": ["/bin/sleep", "0"]}],
        "environment": [{"name": "ODD", "value": "a \"b\" %n $c"}],
        "mountPoints": [{"name": "data", "path": "/data"}],
        "ports": [{"name": "web", "protocol": "tcp", "port": 8080},
            {"name": "given", "protocol": "tcp", "port": 81, "socketActivated": true}],
        "isolators": [{"name": "resource/memory", "value": {"limit": "64Mi"}},
            {"name": "resource/cpu", "value": {"limit": "500m"}},
            {"name": "os/linux/seccomp-remove-set", "value": {"set": ["mkdir"], "errno": "EPERM"}}]});
    pod["apps"][0]["image"] = json!({"id": image(&sandbox, "sleeper", &app, "image-server")});
    pod["apps"].as_array_mut().unwrap().pop();
    pod["isolators"] = json!([{"name": "resource/memory", "value": {"limit": "1Gi"}}]);
    pod["ports"] = json!([{"name": "web", "hostPort": 8080}, {"name": "given", "hostPort": 8081}]);
    sandbox.write("shop.json", pod.to_string());
    let words = ["--json", "pod", "systemd", "shop.json", "-o", "units", "--restart", "always"];
    let value: Value = serde_json::from_str(&sandbox.gantry(words).ok()).unwrap();
    assert_eq!(value["target"], "shop.target");
    let text = fs::read_to_string(sandbox.path("units/shop-app-server.service")).unwrap();
    for line in [
        "JoinsNamespaceOf=shop-sandbox.service",
        "PrivateNetwork=yes",
        "User=7",
        "SupplementaryGroups=9",
        "Restart=always",
        "MemoryMax=67108864",
        "CPUQuota=50%",
        "ExecStart=:@\"/bin/sleep\" \"/bin/sleep\" \"1 \\\"%%n\\\" $HOME\"",
        "ExecStartPre=:@\"/bin/sleep\" \"/bin/sleep\" \"0\"",
        "ExecStopPost=:@\"/bin/sleep\" \"/bin/sleep\" \"0\"",
        "SystemCallFilter=~mkdir:1",
        "Environment=\"ODD=a \\\"b\\\" %%n $c\"",
        "Sockets=shop-sock-given.socket",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("/store/pods/shop/apps/server/volumes/data:/data:norbind\""), "{text}");
    let slice = fs::read_to_string(sandbox.path("units/shop.slice")).unwrap();
    assert!(slice.contains("MemoryMax=1073741824"), "{slice}");
    let verified = sandbox.shell("cd units && systemd-analyze verify --man=no ./shop* 2>&1");
    assert_eq!((verified.code, verified.stdout.as_str()), (0, ""), "{text}");
}
