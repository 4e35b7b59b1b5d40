//! A registry, an author who may push to it, and somebody who trusts her.

use super::server::Server;
use super::{Ended, Sandbox};

/// All of them in one sandbox. `author.key` and `author.pub` are hers, `token` is to push to
/// the first domain, `token-DOMAIN` to the others; the configuration sends requests here.
pub struct World {
    pub server: Server,
    pub sandbox: Sandbox,
}

impl World {
    /// A registry for these domains. The author may sign for all of each, here and there.
    pub fn new(domains: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let server = Server::start(&sandbox, domains);
        server.configure(&sandbox);
        let world = Self { server, sandbox };
        world.key("author");
        for (at, domain) in domains.iter().enumerate() {
            world.allow("author", domain);
            let token = world.server.token(&world.sandbox, domain);
            let file = if at == 0 { "token".to_owned() } else { format!("token-{domain}") };
            world.sandbox.write(&file, token + "\n");
        }
        world
    }

    /// Runs `gantry` with these words.
    pub fn gantry(&self, line: &str) -> Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    /// Runs `gantry --json` with these words, which must succeed and print one document.
    #[track_caller]
    pub fn json(&self, line: &str) -> serde_json::Value {
        let text = self.gantry(&format!("--json {line}")).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// Makes a key: `WHO.key` and `WHO.pub`.
    pub fn key(&self, who: &str) {
        let files = format!("--secret {who}.key --public {who}.pub");
        self.gantry(&format!("key generate --user-id {who}@example.com {files}")).ok();
    }

    /// Lets a key sign for a prefix, in the eyes of the registry and of the client.
    pub fn allow(&self, who: &str, prefix: &str) {
        let public = format!("{who}.pub");
        self.server.add_key(&self.sandbox, prefix, &public);
        self.gantry(&format!("trust add --prefix {prefix} {public}")).ok();
    }

    /// Packs a small tree of its own for every name and version, and signs it: `FILE.aci`,
    /// `FILE.aci.asc`. Gives the image ID.
    pub fn image(&self, file: &str, name: &str, version: &str, more: &str) -> String {
        self.sandbox.write(&format!("{file}/etc/greeting"), format!("{name} {version}\n"));
        let what = format!("{file} -o {file}.aci --name {name} --version {version} {more}");
        let id = self.gantry(&format!("pack {what}")).ok();
        self.gantry(&format!("sign {file}.aci --key author.key")).ok();
        id
    }

    /// Pushes with the token of the first domain.
    pub fn push(&self, file: &str) -> Ended {
        self.gantry(&format!("push {file}.aci --token-file token"))
    }
}
