//! What lies in a location, also what listings of objects do not show, and the removal of it: for those who clean up.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::s3::Unfinished;
use super::{Root, parse};
use crate::error::{Error, Result};

/// Something in a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the location. An empty folder of a local disk ends in a slash.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, UTC.
    pub changed: DateTime<Utc>,
}

/// The locations that the files of a table are in.
#[derive(Debug, Clone)]
pub struct Places(Vec<Root>);

impl Places {
    /// Files in these locations, and in no other.
    pub fn new(roots: Vec<Root>) -> Self {
        Self(roots)
    }

    /// The location that a URL lies in, and its path there.
    ///
    /// # Errors
    /// `Config` if it lies in none of them.
    pub fn of<'u>(&self, url: &'u str) -> Result<(&Root, &'u str)> {
        self.0.iter().find_map(|root| Some((root, root.path_of(url)?))).ok_or_else(|| {
            Error::config(format!(
                "{url} is neither in the table's location nor in the state location, and is left alone; was `location` or `state` changed?"
            ))
        })
    }
}

/// What is free once files are gone. On a local disk a file may have several names, as what goes on into the next generation whole has;
/// its bytes are free with the last of them.
#[derive(Debug, Default)]
pub struct Freeing {
    /// Names that would be gone by now, by file: of a dry run all, else nothing, as the disk itself counts those that are left.
    gone: Option<BTreeMap<Names, u64>>,
}

/// A file of the local disk, by device and number.
type Names = (u64, u64);

impl Freeing {
    /// Of files that go, or would go if it is not dry.
    pub fn new(dry_run: bool) -> Self {
        Self { gone: dry_run.then(BTreeMap::new) }
    }

    /// The bytes that are free once these files of a location are gone, too, which are there now, with so many bytes each.
    pub fn of<'p>(&mut self, root: &Root, files: impl Iterator<Item = (&'p str, u64)>) -> u64 {
        let mut at_once = BTreeMap::new();
        let gone = self.gone.as_mut().unwrap_or(&mut at_once);
        let frees = |(path, bytes): (&str, u64)| match root.names(path) {
            Some((file, names, bytes)) => {
                let gone = gone.entry(file).or_insert(0);
                *gone += 1;
                if *gone == names { bytes } else { 0 }
            }
            None => bytes,
        };
        files.map(frees).sum()
    }
}

/// Which file that is, how many names it has, and its bytes.
#[cfg(unix)]
fn names_of(metadata: &std::fs::Metadata) -> Option<(Names, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some(((metadata.dev(), metadata.ino()), metadata.nlink(), metadata.len()))
}

/// Elsewhere a file counts as if it had one name.
#[cfg(not(unix))]
fn names_of(_: &std::fs::Metadata) -> Option<(Names, u64, u64)> {
    None
}

impl Root {
    /// Which file of the local disk that is, how many names it has, and its bytes. `None` where an object has one name, and of one that is not there.
    fn names(&self, path: &str) -> Option<(Names, u64, u64)> {
        names_of(&std::fs::symlink_metadata(self.folder()?.join(path)).ok()?)
    }

    /// True for a folder of the local disk.
    pub fn is_local(&self) -> bool {
        self.folder().is_some()
    }

    /// All that lies in a folder (empty for the whole location), ordered by path. On a local disk also files that were not written to
    /// their end, and folders with nothing in them.
    ///
    /// # Errors
    /// `Unavailable` if the location cannot be read.
    pub async fn everything(&self, folder: &str) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        if let Some(local) = self.folder() {
            walk(&local, &local.join(folder), &mut found).map_err(|e| self.unlisted(folder, &e))?;
        } else {
            let prefix = parse(folder.trim_end_matches('/'))?;
            let objects: Vec<_> = self.store().list(Some(&prefix)).try_collect().await.map_err(|e| self.unlisted(folder, &e))?;
            found.extend(objects.into_iter().map(|o| Entry { path: o.location.to_string(), bytes: o.size, changed: o.last_modified }));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// The names in the location itself: of objects, with their size, and of folders, which end in a slash.
    ///
    /// # Errors
    /// `Unavailable` if the location cannot be read.
    pub async fn top(&self) -> Result<Vec<(String, u64)>> {
        let listed = self.store().list_with_delimiter(None).await.map_err(|e| self.unlisted("", &e))?;
        let objects = listed.objects.into_iter().map(|object| (object.location.to_string(), object.size));
        Ok(objects.chain(listed.common_prefixes.into_iter().map(|folder| (format!("{folder}/"), 0))).collect())
    }

    /// The size of an object, or `None` if there is none.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read.
    pub async fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.store().head(&parse(path)?).await {
            Ok(object) => Ok(Some(object.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("cannot read", path, &e, "run again once it can be read")),
        }
    }

    /// Removes an entry of [`Self::everything`]; one that is not there any more is no error.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written.
    pub async fn remove_entry(&self, path: &str) -> Result<()> {
        let Some(local) = self.folder() else { return self.remove(path).await };
        // The store does not know files that were not written to their end.
        self.gone(path, std::fs::remove_file(local.join(parse(path)?.as_ref())))
    }

    /// Removes a folder of the local disk that is empty; one with anything in it stays.
    ///
    /// # Errors
    /// `Unavailable` if the disk cannot be written.
    pub fn remove_empty(&self, folder: &str) -> Result<()> {
        if !self.remove_if_empty(folder)? {
            tracing::warn!("{} has files that no ledger names, and stays", self.url_of(folder));
        }
        Ok(())
    }

    /// As [`Self::remove_empty`], where it is nothing special that something is in it; false then.
    ///
    /// # Errors
    /// As [`Self::remove_empty`].
    pub fn remove_if_empty(&self, folder: &str) -> Result<bool> {
        match self.folder().map(|local| std::fs::remove_dir(local.join(folder))) {
            Some(Err(e)) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => self.gone(folder, removed.unwrap_or(Ok(()))).map(|()| true),
        }
    }

    /// Removes the folders around what was there, as far as nothing else is in them.
    ///
    /// # Errors
    /// As [`Self::remove_empty`].
    pub fn remove_empty_around(&self, path: &str) -> Result<()> {
        let path = path.trim_end_matches('/');
        path.rmatch_indices('/').try_for_each(|(slash, _)| self.remove_if_empty(&path[..slash]).map(drop))
    }

    /// The uploads in parts below a folder that were neither ended nor given up; a local disk has none.
    ///
    /// # Errors
    /// `Unavailable` if the bucket does not answer.
    pub async fn unfinished(&self, folder: &str) -> Result<Vec<Unfinished>> {
        match &self.uploads {
            Some(uploads) => uploads.list(folder).await,
            None => Ok(Vec::new()),
        }
    }

    /// Gives up one of [`Self::unfinished`].
    ///
    /// # Errors
    /// `Unavailable` if the bucket does not answer.
    pub async fn give_up(&self, upload: &Unfinished) -> Result<()> {
        match &self.uploads {
            Some(uploads) => uploads.give_up(upload).await,
            None => Ok(()),
        }
    }

    /// Why a folder cannot be listed.
    pub fn unlisted(&self, folder: &str, error: &dyn std::fmt::Display) -> Error {
        self.failed("cannot list", folder, error, "run again once it can be read")
    }

    fn gone(&self, path: &str, removed: std::io::Result<()>) -> Result<()> {
        match removed {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::unavailable(format!("cannot remove {}: {e}", self.url_of(path))))
            }
            _ => Ok(()),
        }
    }
}

/// Enters what lies in `folder`, with paths relative to `root`. What goes away meanwhile is left out, and so are names that are no text.
fn walk(root: &Path, folder: &Path, found: &mut Vec<Entry>) -> std::io::Result<()> {
    let absent = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    let entries = match std::fs::read_dir(folder) {
        Err(e) if absent(&e) => return Ok(()),
        entries => entries?,
    };
    let mut empty = true;
    for entry in entries {
        empty = false;
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(e) if absent(&e) => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() {
            walk(root, &entry.path(), found)?;
        } else if let Some(path) = relative(root, &entry.path()) {
            found.push(Entry { path, bytes: metadata.len(), changed: metadata.modified()?.into() });
        }
    }
    match relative(root, folder).filter(|path| empty && !path.is_empty()) {
        Some(path) => {
            let changed = std::fs::metadata(folder).and_then(|metadata| metadata.modified())?.into();
            found.push(Entry { path: format!("{path}/"), bytes: 0, changed });
            Ok(())
        }
        None => Ok(()),
    }
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.strip_prefix(root).ok()?.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;
    use crate::store::Stores;

    #[tokio::test]
    async fn everything_is_also_what_a_listing_does_not_show() {
        let folder = tempfile::tempdir().unwrap();
        let root = Stores::default().existing(&Location::of_folder(folder.path()).unwrap(), "the folder").unwrap();
        for (path, text) in [("a/page=a%2Fb/g1/part#1", "12"), ("a/x", "1"), ("b/y", "1")] {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        std::fs::create_dir_all(folder.path().join("a/empty")).unwrap();
        let found = async |at: &str| root.everything(at).await.unwrap().into_iter().map(|e| format!("{} {}", e.path, e.bytes)).collect();
        let all: Vec<String> = found("a/").await;
        assert_eq!(all, ["a/empty/ 0", "a/page=a%2Fb/g1/part#1 2", "a/x 1"]);
        let none: Vec<String> = found("nowhere").await;
        assert!(none.is_empty());
        assert_eq!(root.size("a/x").await.unwrap(), Some(1));
        root.remove_entry("a/page=a%2Fb/g1/part#1").await.unwrap();
        root.remove_entry("a/page=a%2Fb/g1/part#1").await.unwrap();
        for folder in ["a/page=a%2Fb/g1/", "a/empty", "a/", "nowhere"] {
            root.remove_empty(folder).unwrap();
        }
        let left: Vec<String> = found("").await;
        assert_eq!(left, ["a/page=a%2Fb/ 0", "a/x 1", "b/y 1"]);
        assert_eq!(root.size("a/y").await.unwrap(), None);
        assert_eq!(root.top().await.unwrap(), [("a/".to_string(), 0), ("b/".to_string(), 0)]);
    }

    #[test]
    fn the_bytes_of_a_file_are_free_with_its_last_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = Stores::default().existing(&Location::of_folder(folder.path()).unwrap(), "the folder").unwrap();
        for (name, text) in [("a", "12345"), ("b", "123")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for name in ["a2", "a3"] {
            std::fs::hard_link(folder.path().join("a"), folder.path().join(name)).unwrap();
        }
        let of = |freeing: &mut Freeing, names: &[&str]| freeing.of(&root, names.iter().map(|name| (*name, 5)));
        let mut dry = Freeing::new(true);
        let told = [&["a"][..], &["b", "a2"], &["a3"]].map(|names| of(&mut dry, names));
        assert_eq!(told, [0, 3, 5], "each once, with the last name");
        assert_eq!(of(&mut Freeing::new(false), &["a", "a2", "a3"]), 5);
        let mut freeing = Freeing::new(false);
        for (name, expected) in [("a", 0), ("a2", 0), ("a3", 5)] {
            assert_eq!(of(&mut freeing, &[name]), expected, "{name}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert_eq!(Freeing::new(true).of(&Root::in_memory(), [("a", 5), ("a", 6)].into_iter()), 11, "there each name is an object");
    }

    #[test]
    fn a_file_elsewhere_is_refused() {
        let places = Places::new(vec![Root::in_memory()]);
        assert_eq!(places.of("memory:///a/b").unwrap().1, "a/b");
        assert!(places.of("file:///a/b").unwrap_err().to_string().contains("left alone"));
    }
}
