//! Finds an image by its name, fetches and verifies it, and makes a folder of its files.
//!
//! ```sh
//! cargo run --package discovery --example fetch_verified -- \
//!     example.com/team/hello /etc/gantry/trustedkeys ./hello
//! ```
//!
//! The trusted keys are a folder in the layout of `gantry trust`. Below the target are `store/`
//! and `image/`. A fourth argument is a configuration of `gantry`, for mirrors and private CAs.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use discovery::render::{Files, Shape, render};
use discovery::{Client, ClientOptions, Config, Limits, Store, Trust, TrustStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, trusted, target, config @ ..] = &arguments[..] else {
        return Err("usage: fetch_verified NAME TRUSTED-KEYS TARGET [CONFIG]".into());
    };
    let Config { overrides, ca_file, .. } = match config {
        [path, ..] => Config::read(path.as_ref())?,
        [] => Config::default(),
    };
    let client = Client::new(ClientOptions { overrides, ca_file, ..ClientOptions::default() });
    let (limits, target) = (Limits::default(), Path::new(target));
    let trusted = TrustStore::open(trusted.as_ref());
    let (trust, _passed_over) = Trust::read(&trusted, SystemTime::now(), &limits)?;
    let store = Store::open(target.join("store"))?;
    let record = client.fetch(&name.parse()?, &store, &trust).await?.imported.record;
    let image = store.open_image(&record.image_id)?.ok_or("the image was just removed")?;
    render(&image, &target.join("image"), Files::Rendered, Shape::Image, &limits)?;
    writeln!(io::stdout(), "{} signed by {}", record.image_id, record.signer)?;
    Ok(())
}
