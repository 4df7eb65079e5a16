//! Opens the object stores behind locations, and creates objects that tell by name which attempt they belong to.

pub mod cleaning;
pub mod copies;
pub mod listing;
mod parts;
mod patience;
pub mod refusal;
mod s3;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{CopyMode, CopyOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
pub use s3::{Aws, Unfinished};
use url::Url;

use crate::config::Location;
use crate::error::{Error, Result};

/// A location opened: its store, and the URL its objects have. Paths are relative to the location.
#[derive(Debug, Clone)]
pub struct Root {
    store: Arc<dyn ObjectStore>,
    url: Url,
    /// In a bucket.
    uploads: Option<s3::Uploads>,
}

/// What [`Root::create`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object did not exist; now it does.
    Yes,
    /// Somebody created it before.
    AlreadyThere,
}

/// Attempts to create an object whose answer was lost, and the pause before the second one; each is twice as long as the one before.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// No other attempt is begun after so long: each is made again by the store itself for a minute and a half.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens locations: local folders, and buckets.
#[derive(Debug, Clone, Default)]
pub struct Stores {
    /// Where buckets are; not needed for folders.
    aws: Option<Aws>,
}

impl Stores {
    /// Opens buckets too, those of `aws`.
    pub fn with_buckets(aws: Aws) -> Self {
        Self { aws: Some(aws) }
    }

    /// Where buckets are, if any are needed.
    pub fn aws(&self) -> Option<&Aws> {
        self.aws.as_ref()
    }

    /// Opens a location that is read only. A folder must exist; whether a bucket does shows with the first request.
    ///
    /// # Errors
    /// `Config` if there is no such folder, or the bucket cannot be reached as it is configured.
    pub fn existing(&self, location: &Location, what: &str) -> Result<Root> {
        match location.folder() {
            None => self.bucket(location, what),
            Some(folder) if folder.is_dir() => Root::local(location, &folder),
            Some(folder) => {
                Err(Error::config(format!("{what} `{}` is not a folder; create it or correct the configuration", folder.display())))
            }
        }
    }

    /// Opens a location that is written to; a missing local folder is made.
    ///
    /// # Errors
    /// `Config` if the bucket cannot be reached as it is configured, `Unavailable` if the folder cannot be made.
    pub fn created(&self, location: &Location, what: &str) -> Result<Root> {
        let Some(folder) = location.folder() else { return self.bucket(location, what) };
        std::fs::create_dir_all(&folder)
            .map_err(|e| Error::unavailable(format!("cannot create {what} `{}`: {e}; check its path and permissions", folder.display())))?;
        Root::local(location, &folder)
    }

    /// The whole bucket that a location is in; `None` for a folder, and where no buckets are configured.
    ///
    /// # Errors
    /// `Config` if the bucket cannot be reached as it is configured.
    pub fn whole_bucket(&self, location: &Location) -> Result<Option<Root>> {
        match (&self.aws, location.whole_bucket()) {
            (Some(aws), Some(bucket)) => aws.open(&bucket, "the bucket").map(Some),
            _ => Ok(None),
        }
    }

    fn bucket(&self, location: &Location, what: &str) -> Result<Root> {
        let aws = self.aws.as_ref();
        aws.ok_or_else(|| Error::internal(format!("{what} `{location}`: AWS's configuration was not read")))?.open(location, what)
    }
}

impl Root {
    /// A store in memory, for tests.
    pub fn in_memory() -> Self {
        Self::of_store(Arc::new(InMemory::new()), Url::parse("memory:///").expect("a constant URL"))
    }

    /// A location whose store is open already; `url` is that of the store's root, with a trailing slash.
    pub fn of_store(store: Arc<dyn ObjectStore>, url: Url) -> Self {
        Self { store, url, uploads: None }
    }

    fn local(location: &Location, folder: &std::path::Path) -> Result<Self> {
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|e| Error::unavailable(format!("cannot open folder `{}`: {e}", folder.display())))?;
        Ok(Self::of_store(Arc::new(store), location.url().clone()))
    }

    /// The store; paths in it are relative to the location.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The absolute URL of a path in this location.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The path of a URL that lies in this location.
    pub fn path_of<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(self.url.as_str())
    }

    /// Creates an object if there is none of that name. Its bytes must be of this attempt alone.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written. The object may be there nevertheless, if only the answer was lost.
    pub async fn create(&self, path: &str, bytes: Vec<u8>, attempt: &str) -> Result<Created> {
        match self.folder() {
            Some(_) => self.link(path, bytes, attempt).await,
            None => self.put_new(path, bytes.into()).await,
        }
    }

    /// Creates an object in a bucket. If the answer is lost, or says that the object is there, what is there says whose it is.
    async fn put_new(&self, path: &str, bytes: bytes::Bytes) -> Result<Created> {
        let target = parse(path)?;
        let (mut attempt, begun) = (0, Instant::now());
        loop {
            let put = self.store.put_opts(&target, PutPayload::from(bytes.clone()), PutMode::Create.into()).await;
            let Err(failure) = put else { return Ok(Created::Yes) };
            if refusal::advice(&failure.to_string()).is_some() {
                return Err(self.failed("cannot write", path, &failure, ""));
            }
            match (self.read(path).await?, failure) {
                (Some(there), _) if there == bytes => return Ok(Created::Yes),
                (Some(_), _) => return Ok(Created::AlreadyThere),
                (None, failure) if attempt + 1 == ATTEMPTS || begun.elapsed() > PATIENCE => {
                    return Err(self.failed("cannot write", path, &failure, "run again once it can be written"));
                }
                (None, _) => tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await,
            }
            attempt += 1;
        }
    }

    /// Creates a file. The bytes are first written under the name of `attempt` and then linked into place, so that what a killed
    /// process leaves says whose it is.
    async fn link(&self, path: &str, bytes: Vec<u8>, attempt: &str) -> Result<Created> {
        let target = parse(path)?;
        let own = parse(&format!("{path}.{attempt}"))?;
        let failed = |e: object_store::Error| {
            Error::unavailable(format!("cannot write {}: {e}; free space or fix permissions, then run again", self.url_of(path)))
        };
        self.store.put(&own, PutPayload::from(bytes)).await.map_err(failed)?;
        // Its bytes are safe before its name is there; the folders have to be only then.
        self.flush(&format!("{path}.{attempt}"), |object, place| place == object)?;
        let linked = self.store.copy_opts(&own, &target, CopyOptions::new().with_mode(CopyMode::Create)).await;
        // The answer is about the target; what is left of the way there says by its name whose it is.
        if let Err(e) = self.store.delete(&own).await {
            tracing::warn!("cannot remove {}.{attempt}: {e}", self.url_of(path));
        }
        match linked {
            Ok(()) => self.flush(path, |object, place| place != object).map(|()| Created::Yes),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::AlreadyThere),
            Err(e) => Err(failed(e)),
        }
    }

    /// Makes sure that an object survives a power cut: on a local disk its bytes and the folders that lead to it are flushed,
    /// elsewhere that is the store's promise.
    ///
    /// # Errors
    /// `Unavailable` if the disk cannot be written.
    pub fn persist(&self, path: &str) -> Result<()> {
        self.flush(path, |_, _| true)
    }

    /// Flushes those of an object's file and the folders that lead to it that `wanted` names, all at the same time: a file system takes
    /// them together, which costs little more than one.
    fn flush(&self, path: &str, wanted: impl Fn(&std::path::Path, &std::path::Path) -> bool) -> Result<()> {
        let Some(folder) = self.folder() else { return Ok(()) };
        let object = folder.join(path);
        let places = object.ancestors().take_while(|place| place.starts_with(&folder)).filter(|place| wanted(&object, place));
        let flush = |place: &std::path::Path| std::fs::File::open(place).and_then(|file| file.sync_all());
        let flushed: std::io::Result<()> = std::thread::scope(|scope| {
            let threads: Vec<_> = places.map(|place| scope.spawn(move || flush(place))).collect();
            let stopped = || Err(std::io::Error::other("a thread stopped"));
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| stopped()))
        });
        flushed.map_err(|e| Error::unavailable(format!("cannot flush {} to disk: {e}; run again", self.url_of(path))))
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&parse(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("cannot remove", path, &e, "run again")),
        }
    }

    /// Removes objects, a bucket up to a thousand with one request; those that are not there are no error. Returns why others stay.
    ///
    /// # Errors
    /// `Data` if one of these cannot be the path of an object; nothing is removed then.
    pub async fn remove_all(&self, paths: &[&str]) -> Result<Vec<Error>> {
        let parsed: Vec<_> = paths.iter().map(|path| parse(path).map(Ok)).collect::<Result<_>>()?;
        let mut removed = self.store.delete_stream(futures::stream::iter(parsed).boxed());
        let mut failures = Vec::new();
        while let Some(one) = removed.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => failures.push(self.failed("cannot remove objects below", "", &e, "run again")),
            }
        }
        Ok(failures)
    }

    /// Removes all objects of a folder and unfinished uploads, and on a local disk the folder itself. Only for folders that one attempt alone wrote.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read or written.
    pub async fn remove_folder(&self, folder: &str) -> Result<()> {
        let prefix = parse(folder.trim_end_matches('/'))?;
        let failed = |e: object_store::Error| self.failed("cannot remove", folder, &e, "run again");
        let objects: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
        for object in objects {
            self.store.delete(&object.location).await.map_err(failed)?;
        }
        if let Some(uploads) = &self.uploads {
            uploads.abort(folder).await?;
        }
        if let Some(local) = self.folder() {
            // An upload that was cut off leaves a file that listings do not show.
            match std::fs::remove_dir_all(local.join(folder)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::unavailable(format!("cannot remove {}: {e}", self.url_of(folder))));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder on the local disk, if the location is one. `to_file_path` alone takes any URL without a host for one.
    fn folder(&self) -> Option<std::path::PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok())?
    }

    /// True if there is such an object.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        match self.store.head(&parse(path)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.unread(path, &e)),
        }
    }

    /// The whole object, or `None` if there is none.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read.
    pub async fn read(&self, path: &str) -> Result<Option<bytes::Bytes>> {
        let failed = |e| self.unread(path, &e);
        match self.store.get(&parse(path)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            // A bucket that is not there is no empty one.
            Err(e @ object_store::Error::NotFound { .. }) if refusal::advice(&e.to_string()).is_none() => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    /// As [`Self::read`], of a file of the local disk and on this thread: for many small files that is several times as fast, because no other
    /// thread is waited for.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be read.
    pub fn read_file(&self, path: &str) -> Result<Option<bytes::Bytes>> {
        let file = self.folder().unwrap_or_default().join(parse(path)?.as_ref());
        match std::fs::read(file) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failed("cannot read", path, &e, "run again once it can be read")),
        }
    }

    fn unread(&self, path: &str, error: &object_store::Error) -> Error {
        self.failed("cannot read", path, error, "run again once it can be read")
    }

    /// As [`refusal::failed`], of what lies at `path`.
    pub fn failed(&self, what: &str, path: &str, error: &dyn std::fmt::Display, next: &str) -> Error {
        refusal::failed(&format!("{what} {}", self.url_of(path)), error, next)
    }
}

/// True if, all links followed, one of two local folders lies in the other or both are the same.
pub fn same_place(one: &Location, other: &Location) -> bool {
    let real = |location: &Location| location.folder().map(|folder| real_folder(&folder));
    match (real(one), real(other)) {
        (Some(one), Some(other)) => one.starts_with(&other) || other.starts_with(&one),
        _ => one.overlaps(other),
    }
}

/// The folder with all links followed, as far as it exists.
fn real_folder(folder: &std::path::Path) -> std::path::PathBuf {
    match (folder.canonicalize(), folder.parent(), folder.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => real_folder(parent).join(name),
        _ => folder.to_path_buf(),
    }
}

/// A path as object stores know it, from text that is already in that form (`Path::from` would escape it a second time).
///
/// # Errors
/// `Data` if the text has empty, `.` or `..` parts or control characters.
pub fn parse(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|e| Error::data(format!("`{path}` cannot be the key of an object: {e}")))
}
