//! Copies of objects, whole or as the beginning of others, that the store makes itself: their bytes do not pass through here.

use std::io::Read;

use object_store::ObjectStoreExt;
use tokio::io::AsyncWriteExt;

use super::parts::{self, Parts};
use super::{Root, parse};
use crate::error::{Error, Result};

/// An object that is being written and begins as another one does.
#[derive(Debug)]
pub enum Begun {
    /// On a local disk.
    File(tokio::fs::File),
    /// In a bucket.
    Parts(Parts),
}

impl Begun {
    /// Appends bytes.
    ///
    /// # Errors
    /// What failed.
    pub async fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes).await,
            Self::Parts(parts) => parts.put(bytes).await.map_err(std::io::Error::other),
        }
    }

    /// Ends the object. On a local disk it is not flushed yet.
    ///
    /// # Errors
    /// What failed.
    pub async fn finish(self) -> std::io::Result<()> {
        match self {
            Self::File(mut file) => file.flush().await,
            Self::Parts(parts) => parts.finish().await.map_err(std::io::Error::other),
        }
    }
}

impl Root {
    /// Begins the object `to`, which does not exist, with the first `bytes` bytes of `from`. `None` where only whole objects can be copied:
    /// in memory, and in a bucket where that is less than a part may have.
    ///
    /// # Errors
    /// `Unavailable` if the one cannot be read or the other not be written.
    pub async fn begin_with(&self, from: &str, bytes: u64, to: &str) -> Result<Option<Begun>> {
        if let Some(folder) = self.folder().filter(|_| bytes > 0) {
            let (from_file, to_file) = (folder.join(parse(from)?.as_ref()), folder.join(parse(to)?.as_ref()));
            let copied = tokio::task::spawn_blocking(move || begin_file(&from_file, bytes, &to_file)).await;
            let copied = copied.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            return copied.map(|file| Some(Begun::File(tokio::fs::File::from_std(file)))).map_err(|e| self.not_copied(from, to, &e));
        }
        match self.uploads.as_ref().filter(|_| bytes >= parts::LEAST) {
            Some(uploads) => {
                let failed = |e: String| self.not_copied(from, to, &e);
                let mut parts = Parts::begin(uploads, to).await.map_err(failed)?;
                parts.copy(from, 0..bytes).await.map_err(failed)?;
                Ok(Some(Begun::Parts(parts)))
            }
            None => Ok(None),
        }
    }

    /// Copies an object of so many bytes to another name of this location. In a bucket the bucket does it, a large one in parts; on a
    /// local disk it is a second name of the same file, for objects are never changed. The copy is persisted.
    ///
    /// # Errors
    /// `Unavailable` if the one cannot be read or the other not be written.
    pub async fn copy(&self, from: &str, bytes: u64, to: &str) -> Result<()> {
        if self.uploads.is_some() && bytes > parts::COPIED {
            let Some(copy) = self.begin_with(from, bytes, to).await? else { return Err(self.not_copied(from, to, &"it is too small")) };
            return copy.finish().await.map_err(|e| self.not_copied(from, to, &e));
        }
        match (self.store.copy(&parse(from)?, &parse(to)?).await, self.folder()) {
            (Ok(()), _) => {}
            // Not every disk has second names, and not everybody may give one to a file of somebody else.
            (Err(e), Some(folder)) if !matches!(e, object_store::Error::NotFound { .. }) => {
                std::fs::copy(folder.join(from), folder.join(to)).map_err(|e| self.not_copied(from, to, &e))?;
            }
            (Err(e), _) => return Err(self.not_copied(from, to, &e)),
        }
        self.persist(to)
    }

    fn not_copied(&self, from: &str, to: &str, e: &dyn std::fmt::Display) -> Error {
        let next = if self.is_local() { "free space or fix permissions, then run again" } else { "run again" };
        self.failed(&format!("cannot copy {} to", self.url_of(from)), to, e, next)
    }
}

/// A new file that begins as another one does. From file to file the system copies without handing the bytes out, and shares them where
/// the file system can.
fn begin_file(from: &std::path::Path, bytes: u64, to: &std::path::Path) -> std::io::Result<std::fs::File> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::File::create_new(to)?;
    let copied = std::io::copy(&mut std::fs::File::open(from)?.take(bytes), &mut file)?;
    if copied == bytes { Ok(file) } else { Err(std::io::Error::other(format!("it has {copied} bytes, not {bytes}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;
    use crate::store::Stores;

    #[tokio::test]
    async fn a_file_begins_as_another_one_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let root = Stores::default().existing(&Location::of_folder(folder.path()).unwrap(), "the folder").unwrap();
        std::fs::write(folder.path().join("from"), "rows and a footer").unwrap();
        let mut begun = root.begin_with("from", 4, "k=a%2Fb/to").await.unwrap().unwrap();
        begun.put(b" that ").await.unwrap();
        begun.put(b"are late").await.unwrap();
        begun.finish().await.unwrap();
        assert_eq!(root.read("k=a%2Fb/to").await.unwrap().unwrap(), "rows that are late");
        for (from, bytes, to, expected) in
            [("from", 4, "k=a%2Fb/to", "exists"), ("from", 18, "other", "it has 17 bytes, not 18"), ("none", 1, "third", "No such file")]
        {
            let refused = root.begin_with(from, bytes, to).await.unwrap_err().to_string();
            assert!(refused.contains(expected) && refused.contains("run again"), "{refused}");
        }
        assert!(root.begin_with("from", 0, "nothing").await.unwrap().is_none());
        assert!(Root::in_memory().begin_with("from", 4, "to").await.unwrap().is_none());
    }
}
