//! What all databases of an image say, put together.

use std::collections::BTreeMap;

use super::collect::{
    COPYRIGHT, Collected, DOCUMENTATION, DPKG_DIVERSIONS, DPKG_INFO, DPKG_LIST, DPKG_PARTS,
    DPKG_SUMS, Kept, OS_RELEASE, RPM_LOG, Role,
};
use super::fault::{DatabaseFault, SbomWarning, Warnings};
use super::files::{Claims, FileRecord, Files};
use super::limits::SbomLimits;
use super::os_release::OsRelease;
use super::package::Package;
use super::{apk, dpkg, rpm};

/// The packages and files of an image, in order.
pub(super) struct Inventory {
    pub(super) system: OsRelease,
    /// Each once, though two databases have it.
    pub(super) packages: Vec<Package>,
    /// `None` where they are not listed.
    pub(super) files: Option<Files>,
    /// For each package, by its place, the places of its files.
    owned: BTreeMap<u32, Vec<u32>>,
    /// Whether a file belongs to a package, by its place.
    has_owner: Vec<bool>,
    pub(super) warnings: Vec<SbomWarning>,
}

/// What one database says.
struct Found {
    packages: Vec<Package>,
    /// File and package, by their places.
    owned: Vec<(u32, u32)>,
}

impl Inventory {
    pub(super) fn of(collected: Collected, limits: &SbomLimits) -> Self {
        let Collected { files, kept, warnings } = collected;
        let mut reader = Reader { files: files.as_ref(), kept: &kept, limits, warnings };
        let found = reader.databases();
        let warnings = reader.warnings.finish();
        let release = OS_RELEASE.iter().find_map(|path| kept.get(*path));
        let system = release.map(|kept| OsRelease::parse(&kept.content)).unwrap_or_default();
        let count = files.as_ref().map_or(0, |files| files.all().len());
        let (packages, owned, has_owner) = merged(found, count);
        Self { system, packages, files, owned, has_owner, warnings }
    }

    /// All regular files.
    pub(super) fn files(&self) -> &[FileRecord] {
        self.files.as_ref().map_or(&[], Files::all)
    }

    /// The places of the files of the package at this place.
    pub(super) fn files_of(&self, package: usize) -> &[u32] {
        let package = u32::try_from(package).ok();
        package.and_then(|package| self.owned.get(&package)).map_or(&[], Vec::as_slice)
    }

    /// The files that belong to no package.
    pub(super) fn files_of_nobody(&self) -> impl Iterator<Item = &FileRecord> {
        self.files().iter().zip(&self.has_owner).filter(|(_, owner)| !**owner).map(|(file, _)| file)
    }
}

/// One order for the packages of all databases, whatever theirs is, and the files with them.
fn merged(found: Vec<Found>, files: usize) -> (Vec<Package>, BTreeMap<u32, Vec<u32>>, Vec<bool>) {
    let mut places: BTreeMap<&Package, u32> = BTreeMap::new();
    for package in found.iter().flat_map(|found| &found.packages) {
        places.insert(package, 0);
    }
    for (place, at) in places.values_mut().zip(0..) {
        *place = at;
    }
    let mut owned: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut has_owner = vec![false; files];
    for found in &found {
        for (file, package) in &found.owned {
            let place = found.packages.get(*package as usize).and_then(|one| places.get(one));
            if let (Some(place), Some(owner)) = (place, has_owner.get_mut(*file as usize)) {
                owned.entry(*place).or_default().push(*file);
                *owner = true;
            }
        }
    }
    for files in owned.values_mut() {
        files.sort_unstable();
        files.dedup();
    }
    (places.into_keys().cloned().collect(), owned, has_owner)
}

struct Reader<'a> {
    files: Option<&'a Files>,
    kept: &'a BTreeMap<Vec<u8>, Kept>,
    limits: &'a SbomLimits,
    warnings: Warnings,
}

impl<'a> Reader<'a> {
    fn databases(&mut self) -> Vec<Found> {
        let mut all = Vec::new();
        for (path, kept) in self.kept {
            let claims = Claims::new(self.files, self.limits.owned_files);
            let read = match kept.role {
                Role::Dpkg => self.dpkg(path, &kept.content, claims),
                Role::Apk => self.apk(path, &kept.content, claims),
                Role::Rpm => self.rpm(path, &kept.content, claims),
                _ => continue,
            };
            match read {
                Ok(found) => all.push(found),
                Err(fault) => self.warnings.unread(path, fault),
            }
        }
        all
    }

    fn content(&self, path: &[u8]) -> Option<&'a [u8]> {
        self.kept.get(path).map(|kept| kept.content.as_slice())
    }

    fn apk(
        &mut self,
        path: &[u8],
        content: &[u8],
        mut claims: Claims<'_>,
    ) -> Result<Found, DatabaseFault> {
        let packages = apk::packages(content, &mut claims, self.limits)?;
        Ok(self.found(path, packages, claims))
    }

    fn rpm(
        &mut self,
        path: &[u8],
        content: &[u8],
        mut claims: Claims<'_>,
    ) -> Result<Found, DatabaseFault> {
        // rpm leaves an empty log behind; what is in one belongs to the database, and may take
        // packages away again.
        if self.content(&[path, RPM_LOG].concat()).is_some_and(|log| !log.is_empty()) {
            return Err(DatabaseFault::Open);
        }
        let packages = rpm::packages(content, &mut claims, self.limits)?;
        Ok(self.found(path, packages, claims))
    }

    fn dpkg(
        &mut self,
        path: &[u8],
        content: &[u8],
        mut claims: Claims<'_>,
    ) -> Result<Found, DatabaseFault> {
        let mut packages = dpkg::packages(content, self.limits)?;
        for package in &mut packages {
            let path = [DOCUMENTATION, package.name.as_bytes(), COPYRIGHT].concat();
            // They were made text when they were kept.
            let licenses = self.content(&path).map(<[u8]>::to_vec);
            package.license = licenses.and_then(|licenses| String::from_utf8(licenses).ok());
        }
        if claims.wanted() {
            if path.starts_with(DPKG_PARTS) {
                self.claim_sums(path, packages.len(), &mut claims);
            } else {
                self.claim_lists(&packages, &mut claims);
            }
        }
        Ok(self.found(path, packages, claims))
    }

    /// The files of the one package that has a file of its own.
    fn claim_sums(&mut self, part: &[u8], packages: usize, claims: &mut Claims<'_>) {
        let path = [part, DPKG_SUMS].concat();
        let Some(sums) = self.content(&path).filter(|_| packages == 1) else { return };
        if let Err(fault) = dpkg::claim_sums(claims, 0, sums, self.limits) {
            claims.give_up(fault);
        }
    }

    fn claim_lists(&mut self, packages: &[Package], claims: &mut Claims<'_>) {
        let limits = self.limits;
        let diversions = self.content(DPKG_DIVERSIONS).unwrap_or_default();
        let diversions = match dpkg::Diversions::parse(diversions, limits) {
            Ok(diversions) => diversions,
            Err(fault) => return claims.give_up(fault),
        };
        for (at, package) in packages.iter().enumerate() {
            let Some(list) = self.list(package) else { continue };
            let claimed = dpkg::claim_list(claims, (at, package), list, &diversions, limits);
            if let Err(fault) = claimed {
                return claims.give_up(fault);
            }
        }
    }

    /// The list of a package that may be installed for several architectures has its own in its
    /// name.
    fn list(&self, package: &Package) -> Option<&'a [u8]> {
        let list = |name: &str| self.content(&[DPKG_INFO, name.as_bytes(), DPKG_LIST].concat());
        let architecture = package.architecture.as_deref().unwrap_or_default();
        list(&format!("{}:{architecture}", package.name)).or_else(|| list(&package.name))
    }

    fn found(&mut self, path: &[u8], packages: Vec<Package>, claims: Claims<'_>) -> Found {
        let owned = claims.finish().unwrap_or_else(|fault| {
            self.warnings.unowned(path, fault);
            Vec::new()
        });
        Found { packages, owned }
    }
}
