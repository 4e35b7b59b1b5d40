//! A registry as its owner runs it, and requests to it as any client could make them.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Sandbox;
use super::server::Server;

/// A server for one domain, and a token to push anything to it.
pub struct Registry {
    server: Server,
    token: String,
}

/// What the registry answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Registry {
    /// Serves `domain` from the sandbox's folder `data`, with a token to push anything.
    pub fn start(sandbox: &Sandbox, domain: &str) -> Self {
        let server = Server::start(sandbox, &[domain]);
        let token = server.token(sandbox, domain);
        Self { server, token }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The token that may push anything.
    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn data(&self) -> PathBuf {
        self.server.data()
    }

    /// A request by curl, as a client of any make would send it.
    pub fn curl(&self, sandbox: &Sandbox, host: &str, path: &str, more: &[&str]) -> Reply {
        let mut command = sandbox.command("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "60", "--path-as-is"])
            .arg("--cacert")
            .arg(self.server.ca_file())
            .args(["--connect-to", &format!("{host}:443:{}", self.address())])
            .args(["--write-out", "\n%{http_code}"])
            .args(more)
            .arg(format!("https://{host}{path}"));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        Reply { status: status.parse().unwrap(), body: body.to_owned() }
    }

    /// Pushes an image file and its signature without looking at either.
    pub fn push(&self, sandbox: &Sandbox, host: &str, image: &str) -> Reply {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let signature = std::fs::read(sandbox.path(format!("{image}.asc"))).unwrap();
        let body = serde_json::json!({ "signature": String::from_utf8_lossy(&signature) });
        let body = sandbox.write("upload.json", body.to_string());
        let body = format!("@{}", body.display());
        let json = "Content-Type: application/json";
        let created = self.curl(
            sandbox,
            host,
            "/-/api/v1/uploads",
            &["-H", &bearer, "-H", json, "--data-binary", &body],
        );
        if created.status != 201 {
            return created;
        }
        let upload: serde_json::Value = serde_json::from_str(&created.body).unwrap();
        let path = upload["path"].as_str().unwrap();
        self.curl(sandbox, host, path, &["-H", &bearer, "--upload-file", image])
    }
}
