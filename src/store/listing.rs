//! Lists what others put into a location: a name that no path of a store can have is told, and keeps nothing else from being found.

use std::path::Path as File;

use aws_sdk_s3::error::DisplayErrorContext;
use chrono::DateTime;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt, Result};

use super::Root;
use super::s3::Uploads;

/// What lies in a folder.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that have a path.
    pub objects: Vec<ObjectMeta>,
    /// Folders at the first level, if only that was wanted.
    pub folders: Vec<Path>,
    /// Names that no path can have, such as one with `//` or a control character in it, which is shown escaped: nobody can read what they name.
    pub odd: Vec<String>,
}

impl Root {
    /// What lies in a folder, or in the location itself, at its first level.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn level(&self, folder: Option<&Path>) -> Result<Listed> {
        match self.store().list_with_delimiter(folder).await {
            Ok(listed) => Ok(Listed { objects: listed.objects, folders: listed.common_prefixes, odd: Vec::new() }),
            Err(Error::InvalidPath { .. }) => self.one_by_one(folder, true).await,
            Err(e) => Err(e),
        }
    }

    /// Gives all objects that lie below a folder to `take`, and returns the names of those that no path can have.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn below<T: Default>(&self, folder: Option<&Path>, take: impl Fn(&mut T, &ObjectMeta)) -> Result<(T, Vec<String>)> {
        let (mut taken, mut objects) = (T::default(), self.store().list(folder));
        loop {
            match objects.try_next().await {
                Ok(Some(object)) => take(&mut taken, &object),
                Ok(None) => return Ok((taken, Vec::new())),
                Err(Error::InvalidPath { .. }) => break,
                Err(e) => return Err(e),
            }
        }
        let (mut taken, listed) = (T::default(), self.one_by_one(folder, false).await?);
        listed.objects.iter().for_each(|object| take(&mut taken, object));
        Ok((taken, listed.odd))
    }

    /// Lists without the store, which lists nothing of a folder where one name is no path.
    async fn one_by_one(&self, folder: Option<&Path>, first_level: bool) -> Result<Listed> {
        if let Some(uploads) = &self.uploads {
            return uploads.listed(folder, first_level).await;
        }
        let (Some(local), mut found) = (self.folder(), Listed::default()) else { return Ok(Listed::default()) };
        let start = folder.map_or(local.clone(), |folder| local.join(folder.as_ref()));
        let mut files = Vec::new();
        read(&local, &start, first_level, &mut files, &mut found).map_err(|e| Error::Generic { store: "local", source: Box::new(e) })?;
        for file in files {
            match self.store().head(&file).await {
                Ok(object) => found.objects.push(object),
                Err(Error::NotFound { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}

/// The path of that name, if a path can have it.
fn path_of(name: &str) -> Option<Path> {
    let name = name.strip_suffix('/').unwrap_or(name);
    Path::parse(name).ok().filter(|path| path.as_ref() == name && !name.is_empty())
}

/// Reads a folder of the local disk, with all that is below it unless only its first level is wanted. Links are followed.
fn read(root: &File, folder: &File, first_level: bool, files: &mut Vec<Path>, found: &mut Listed) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let place = entry?.path();
        let is_folder = place.is_dir();
        let name = place.strip_prefix(root).unwrap_or(&place);
        match name.to_str().and_then(path_of) {
            None => found.odd.push(name.to_string_lossy().escape_debug().to_string()),
            Some(_) if is_folder && !first_level => read(root, &place, first_level, files, found)?,
            Some(path) if is_folder => found.folders.push(path),
            Some(path) => files.push(path),
        }
    }
    Ok(())
}

impl Uploads {
    async fn listed(&self, folder: Option<&Path>, first_level: bool) -> Result<Listed> {
        let prefix = folder.map_or(self.prefix.clone(), |folder| format!("{}{folder}/", self.prefix));
        let call = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let call = call.set_delimiter(first_level.then(|| "/".to_string()));
        let mut pages = call.into_paginator().send();
        let mut found = Listed::default();
        while let Some(page) = pages.next().await {
            let failed = |e| Error::Generic { store: "S3", source: format!("{}", DisplayErrorContext(&e)).into() };
            let page = page.map_err(failed)?;
            let name = |key: &str| key.strip_prefix(&self.prefix).unwrap_or(key).to_string();
            for object in page.contents() {
                let name = name(object.key().unwrap_or_default());
                let Some(location) = path_of(&name) else {
                    found.odd.push(name.escape_debug().to_string());
                    continue;
                };
                let changed = object.last_modified().and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos()));
                let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                let e_tag = object.e_tag().map(str::to_string);
                found.objects.push(ObjectMeta { location, last_modified: changed.unwrap_or_default(), size, e_tag, version: None });
            }
            for folder in page.common_prefixes() {
                let name = name(folder.prefix().unwrap_or_default());
                match path_of(&name) {
                    Some(path) => found.folders.push(path),
                    None => found.odd.push(name.escape_debug().to_string()),
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;
    use crate::store::Stores;

    #[test]
    fn a_name_is_a_path_or_odd() {
        for (name, expected) in [("a/b", Some("a/b")), ("a/", Some("a")), ("日本", Some("日本"))] {
            assert_eq!(path_of(name).as_ref().map(Path::as_ref), expected, "{name}");
        }
        for odd in ["", "/", "/a", "a//", "a//b", "..", "a/./b", "a\tb", "a\nb"] {
            assert_eq!(path_of(odd), None, "{odd:?}");
        }
    }

    #[tokio::test]
    async fn a_file_with_an_odd_name_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = Stores::default().existing(&Location::of_folder(folder.path()).unwrap(), "the landing").unwrap();
        let put = |name: &str| {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, name).unwrap();
        };
        put("day/good");
        put("day/deeper/good too");
        let below = async |folder: &str| {
            let folder = path_of(folder);
            let names = |all: &mut Vec<(String, Option<String>)>, object: &ObjectMeta| {
                all.push((object.location.to_string(), object.e_tag.clone()))
            };
            let (mut found, odd) = root.below(folder.as_ref(), names).await.unwrap();
            found.sort();
            (found, odd)
        };
        let (before, odd) = below("day").await;
        assert_eq!((before.len(), odd.len()), (2, 0));
        put("day/a\tb");
        assert_eq!(below("day").await, (before.clone(), vec!["day/a\\tb".to_string()]), "objects are as the store tells of them");
        put("c\nd/e");
        let (found, mut odd) = below("").await;
        odd.sort();
        assert_eq!((found, odd), (before, vec!["c\\nd".to_string(), "day/a\\tb".to_string()]));
        let level = root.level(None).await.unwrap();
        assert_eq!((level.objects.len(), level.folders, level.odd), (0, vec![Path::from("day")], vec!["c\\nd".to_string()]));
    }
}
