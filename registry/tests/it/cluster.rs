//! A PostgreSQL cluster for this process: made when first asked for, and gone with it.
//!
//! A shell holds it, and waits for the end of its input, which is a pipe of this process: whatever
//! becomes of the tests, the cluster is stopped and its folder removed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use registry::DatabaseUrl;

/// Nothing here outlives a test, so nothing is synced; a registry is killed, never the cluster.
const SCRIPT: &str = r#"
cleanup() { kill -INT "$server" 2>/dev/null; wait "$server"; rm -rf "$1"; }
"$2/initdb" -D "$1/data" -U gantry -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$1/log" 2>&1 || exit 1
"$2/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c max_connections=500 -c shared_buffers=32MB >>"$1/log" 2>&1 </dev/null &
server=$!
trap 'cleanup "$1"' EXIT
read -r _
"#;

struct Cluster {
    folder: PathBuf,
    tools: PathBuf,
    _holder: Child,
}

/// A database of its own for a registry in this folder.
pub(crate) async fn database(folder: &Path) -> DatabaseUrl {
    let name: String = folder.file_name().unwrap().to_string_lossy().to_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    tokio::task::spawn_blocking(move || {
        let cluster = cluster();
        let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
        if cluster.ask(&exists).is_empty() {
            cluster.ask(&format!("CREATE DATABASE {name}"));
        }
        // A path that begins with a slash is a socket's folder.
        let host = cluster.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://gantry@{host}/{name}").parse().unwrap()
    })
    .await
    .unwrap()
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

impl Cluster {
    fn start() -> Self {
        let tools = tools();
        let folder = tempfile::Builder::new().prefix("gantry-pg").tempdir().unwrap().keep();
        let mut holder = Command::new("sh");
        holder.args(["-c", SCRIPT, "sh"]).args([&folder, &tools]);
        if rustix::process::geteuid().is_root() {
            // PostgreSQL does not run as root.
            let (user, group) = user();
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
            holder.uid(user).gid(group);
        }
        let holder = holder.current_dir("/").stdin(Stdio::piped()).spawn().unwrap();
        let mut cluster = Self { folder, tools, _holder: holder };
        let start = Instant::now();
        while !cluster.is_ready() {
            let ended = cluster._holder.try_wait().unwrap();
            let log = || std::fs::read_to_string(cluster.folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "PostgreSQL does not start:\n{}", log());
            assert!(start.elapsed() < Duration::from_secs(120), "PostgreSQL is slow:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    fn is_ready(&self) -> bool {
        let mut asked = Command::new(self.tools.join("pg_isready"));
        asked.arg("-q").arg("-h").arg(&self.folder).status().unwrap().success()
    }

    fn ask(&self, sql: &str) -> String {
        let mut psql = Command::new(self.tools.join("psql"));
        psql.args(["-X", "-A", "-t", "-U", "gantry", "-d", "postgres", "-c", sql]);
        let answer = psql.arg("-h").arg(&self.folder).output().unwrap();
        assert!(answer.status.success(), "{sql}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    }
}

/// Where Debian keeps the newest version's programs.
fn tools() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(number);
    newest.expect("PostgreSQL is missing: apt-get install postgresql").join("bin")
}

/// The IDs of the user whom the package makes.
fn user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).unwrap();
    let field = |at: usize| line.split(':').nth(at).unwrap().parse().unwrap();
    (field(2), field(3))
}
