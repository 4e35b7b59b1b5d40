//! The example `fetch_verified`, as another program would be run.

use std::path::{Path, PathBuf};
use std::process::Output;

use keys::{Scope, TrustStore};
use tokio::process::Command;

use super::support::{Author, Authority, World, signed};

const NAME: &str = "example.com/team/hello";

/// Cargo builds examples with the tests, next to their folder.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/fetch_verified");
    assert!(program.is_file(), "cargo build --package discovery --examples: {}", program.display());
    program
}

async fn run(world: &World, target: &str) -> Output {
    let folder = world.folder.path();
    let config = folder.join("config.toml");
    let text = format!(
        "ca-file = {:?}\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
        Authority::get().ca_file(),
        world.server.address
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(program());
    command.arg(format!("{NAME}:1.0.0")).arg(folder.join("trusted"));
    command.arg(folder.join(target)).arg(&config).output().await.unwrap()
}

#[tokio::test]
async fn example_renders_what_somebody_trusted_has_signed_and_nothing_else() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, &format!("{NAME}:1.0.0"), b"hello");
    world.serve(NAME, "1.0.0", &image, &signature);

    let refused = run(&world, "early").await;
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&author.fingerprint().to_string()), "{said}");
    assert!(!world.folder.path().join("early/image").exists());

    let trusted = TrustStore::open(&world.folder.path().join("trusted"));
    let scope = Scope::Prefix("example.com/team".parse().unwrap());
    trusted.add(&scope, &author.certificate, &aci::Limits::default()).unwrap();
    let done = run(&world, "target").await;
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.ends_with(&format!("signed by {}\n", author.fingerprint())), "{said}");
    let file = world.folder.path().join("target/image/rootfs/file");
    assert_eq!(std::fs::read(file).unwrap(), b"hello");
}
