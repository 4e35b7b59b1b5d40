//! The mark in a data directory whose catalogue is elsewhere.
//!
//! ```text
//! # The catalogue of this registry is in this database: commands on this folder take --database.
//! postgres://gantry@db.example.com:5432/gantry
//! ```
//!
//! Who forgets `--database` would otherwise work on a new and empty catalogue, and be told that all is
//! well: a token that the server does not know, a backup without images.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing};

use super::{DataDir, DataError};
use crate::catalog::{Catalog, CatalogError, Database};

const SAYS: &str = "# The catalogue of this registry is in this database: commands on this folder take --database.";

/// Where the mark is.
pub(super) fn file(data: &Path) -> PathBuf {
    data.join("database")
}

impl DataDir {
    /// Opens the catalogue: in the database that was given, or a file here. Where it is elsewhere, the
    /// directory says so from then on. One is made where there are no images yet: beside images it has
    /// to be there, as in an empty one every name would be free, and open to everybody.
    pub(crate) async fn open_catalog<E>(&self, given: Option<&Database>) -> Result<Catalog, E>
    where
        E: From<DataError> + From<CatalogError>,
    {
        self.agree(given).await?;
        let database = self.database(given);
        let gone = || E::from(CatalogError::Gone(self.0.clone()));
        if database.file().is_some_and(|file| !file.exists()) && self.has_images() {
            return Err(gone());
        }
        let catalog = Catalog::open(&database).await?;
        if catalog.is_blank().await? && self.has_images() {
            catalog.close().await;
            return Err(gone());
        }
        self.mark(given)?;
        Ok(catalog)
    }

    /// Whether the catalogue is where it is looked for.
    pub(crate) async fn agree(&self, given: Option<&Database>) -> Result<(), DataError> {
        let given = given.filter(|database| !self.is_here(database));
        let said = || given.map_or("no --database".to_owned(), |given| given.url.to_string());
        match (self.recorded()?, given) {
            (Some(recorded), given) if !given.is_some_and(|given| given.url.is_as(&recorded)) => {
                Err(DataError::Elsewhere { data: self.0.clone(), recorded, given: said() })
            }
            (Some(_), _) | (None, None) => Ok(()),
            (None, Some(_)) => {
                let file = self.catalogue();
                let found = match file.exists() {
                    false => return Ok(()),
                    true => match Catalog::has_images(&file).await {
                        Ok(false) => return Ok(()),
                        Ok(true) => "images".to_owned(),
                        Err(error) => format!("what cannot be read ({error})"),
                    },
                };
                Err(DataError::Here { data: self.0.clone(), found, given: said() })
            }
        }
    }

    /// Writes down that the catalogue is in this database, where it is not here.
    pub(crate) fn mark(&self, given: Option<&Database>) -> Result<(), DataError> {
        let Some(database) = given.filter(|database| !self.is_here(database)) else {
            return Ok(());
        };
        // A command that is given the same database by another name leaves it as it is.
        if self.recorded()?.is_some() {
            return Ok(());
        }
        let (path, text) = (file(&self.0), format!("{SAYS}\n{}\n", database.url));
        stage::write(&path, text.as_bytes(), 0o644, Existing::Replace)
            .map_err(|source| DataError::Io { path, source })
    }

    /// The database that the mark names.
    fn recorded(&self) -> Result<Option<String>, DataError> {
        let path = file(&self.0);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut lines = text.lines().map(str::trim);
                let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
                Ok(Some(line.unwrap_or("postgres://…").to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DataError::Io { path, source }),
        }
    }

    /// Whether a database is the file that is taken where none is given.
    fn is_here(&self, database: &Database) -> bool {
        let whole = |path: &Path| {
            let folder = stage::folder_of(path).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        };
        database.file().is_some_and(|path| whole(path) == whole(&self.catalogue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::AdminError;
    use crate::catalog::DatabaseUrl;

    /// The code that opening it is refused with; none where it is opened.
    async fn refused(data: &Path, given: Option<&Database>) -> Option<String> {
        let opened = DataDir::open(data).unwrap().open_catalog::<AdminError>(given).await;
        match opened {
            Ok(catalog) => {
                catalog.close().await;
                None
            }
            Err(AdminError::Data(error)) => Some(aci::Refuse::refusal(&error).code),
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn database_that_is_elsewhere_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let at = |name: &str| Database::from(DatabaseUrl::file(&folder.path().join(name)));
        // The file that is taken anyway is not elsewhere, whoever names it.
        assert_eq!(refused(&data, Some(&at("data/gantry.db"))).await, None);
        assert_eq!(refused(&data, None).await, None);
        assert!(!data.join("database").exists());
        // A catalogue here that was never used keeps nobody from another.
        assert_eq!(refused(&data, Some(&at("other.db"))).await, None);
        let text = fs::read_to_string(data.join("database")).unwrap();
        assert!(text.contains(&at("other.db").url.to_string()), "{text}");
        assert_eq!(refused(&data, None).await.unwrap(), "database-elsewhere");
        assert_eq!(refused(&data, Some(&at("third.db"))).await.unwrap(), "database-elsewhere");
        let postgres = "postgres://u:secret@localhost/d".parse::<DatabaseUrl>().unwrap().into();
        assert_eq!(refused(&data, Some(&postgres)).await.unwrap(), "database-elsewhere");
        assert!(!folder.path().join("third.db").exists(), "nothing is made");
        assert_eq!(refused(&data, Some(&at("other.db"))).await, None);

        // A server is one server by whatever name; its password is nowhere.
        let second = DataDir::open(&folder.path().join("second")).unwrap();
        second.mark(Some(&postgres)).unwrap();
        assert!(!fs::read_to_string(file(&second.0)).unwrap().contains("secret"));
        let other = "postgresql://u@db.example.com/d".parse::<DatabaseUrl>().unwrap().into();
        second.agree(Some(&other)).await.unwrap();
        let other = "postgres://u@localhost/e".parse::<DatabaseUrl>().unwrap().into();
        second.agree(Some(&other)).await.unwrap_err();
        second.agree(Some(&at("other.db"))).await.unwrap_err();
    }

    #[tokio::test]
    async fn catalogue_that_is_here_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let postgres = "postgres://u@localhost/d".parse::<DatabaseUrl>().unwrap().into();
        for content in ["damaged, as it is no database", ""] {
            fs::write(data.catalogue(), content).unwrap();
            assert_eq!(data.agree(Some(&postgres)).await.is_ok(), content.is_empty(), "{content}");
        }
    }
}
