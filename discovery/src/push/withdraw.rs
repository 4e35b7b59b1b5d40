//! Taking images back: what an author says of an image afterwards, and deleting one.

use aci::yank::{SignedYank, YankTaken};
use aci::{ImageId, Name};
use reqwest::Method;
use url::Url;

use super::server::Server;
use super::{PushError, Token};
use crate::Client;

/// Which image, and who asks.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// Its name, which says where it is.
    pub name: &'a Name,
    /// Its ID.
    pub image_id: &'a ImageId,
    /// The registry's base URL; where none is given, `https://` and the host of the name.
    pub registry: Option<&'a Url>,
    /// Who asks.
    pub token: &'a Token,
}

impl Client {
    /// Hands in what an author says of an image.
    pub async fn yank(
        &self,
        image: Published<'_>,
        said: &SignedYank,
    ) -> Result<YankTaken, PushError> {
        let registry = self.registry_of(image.registry, image.name)?;
        let server = self.server_of(&image, &registry);
        let url = server.url(&format!("-/api/v1/images/{}/yank", image.image_id))?;
        let request = server.request(Method::PUT, &url).await?.json(said);
        server.small(&url, request, self.http.timeouts().document).await
    }

    /// Deletes an image from its registry.
    pub async fn unpublish(&self, image: Published<'_>) -> Result<(), PushError> {
        let registry = self.registry_of(image.registry, image.name)?;
        let server = self.server_of(&image, &registry);
        let url = server.url(&format!("-/api/v1/images/{}", image.image_id))?;
        let request = server.request(Method::DELETE, &url).await?;
        server.small(&url, request, self.http.timeouts().document).await
    }

    fn server_of<'a>(&'a self, image: &Published<'a>, registry: &'a Url) -> Server<'a> {
        Server { client: self, route: self.route(image.name), registry, token: image.token }
    }
}
