//! The folder behind a location in the catalog, and the data files in it.

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use url::{Position, Url};

use crate::error::Error;

/// A folder in an object store.
#[derive(Debug)]
pub(super) struct Folder {
    store: ObjectStoreUrl,
    path: Path,
}

impl Folder {
    /// The folder of an absolute URL.
    pub(super) fn of(location: &str) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| {
            let text = format!("location `{location}` in the catalog is not the URL of a folder: {e}; correct it in the catalog");
            DataFusionError::External(Box::new(Error::data(text)))
        };
        let url = Url::parse(location).map_err(|e| wrong(&e))?;
        let path = Path::from_url_path(url.path()).map_err(|e| wrong(&e))?;
        let store = ObjectStoreUrl::parse(&url[..Position::BeforePath]).map_err(|e| wrong(&e))?;
        Ok(Self { store, path })
    }

    /// The store that the folder is in.
    pub(super) fn store(&self) -> &ObjectStoreUrl {
        &self.store
    }

    /// The folder of the partition at `location`, `self` being that of the table at `root`.
    ///
    /// Below the table's root a location is the object's key as it is: the `%2F` of an escaped partition value is in the
    /// folder's name, and must not be decoded once more.
    pub(super) fn below(&self, root: &str, location: &str) -> Result<Self> {
        let Some(rest) = location.strip_prefix(root).filter(|_| root.ends_with('/')) else {
            let folder = Self::of(location)?;
            return if folder.store == self.store { Ok(folder) } else { Err(elsewhere(root, location)) };
        };
        let path = Path::parse(format!("{}/{rest}", self.path))?;
        Ok(Self { store: self.store.clone(), path })
    }

    /// The data files, ordered by path: `*.parquet`, but nothing whose name, or whose folder's name, begins with `_` or `.`,
    /// which Athena does not read either.
    pub(super) async fn parquet_files(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
        let mut files: Vec<ObjectMeta> = store.list(Some(&self.path)).try_collect().await?;
        files.retain(|file| self.is_data(&file.location));
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(files)
    }

    fn is_data(&self, path: &Path) -> bool {
        let Some(mut parts) = path.prefix_match(&self.path) else { return false };
        path.as_ref().ends_with(".parquet") && parts.all(|part| !part.as_ref().starts_with(['_', '.']))
    }
}

fn elsewhere(root: &str, location: &str) -> DataFusionError {
    let text = format!("partition at `{location}` is in another store than its table at `{root}`; correct its location in the catalog");
    DataFusionError::External(Box::new(Error::data(text)))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    fn check(root: &str, location: &str, path: &str) {
        assert_eq!(Folder::of(root).unwrap().below(root, location).unwrap().path.as_ref(), path);
    }

    #[test]
    fn escapes_of_the_root_are_of_the_url_and_those_below_are_of_the_folder() {
        check("file:///my%20lake/clicks/", "file:///my%20lake/clicks/page=a%2Fb/g1/", "my lake/clicks/page=a%2Fb/g1");
        check("file:///lake/clicks/", "file:///other/day=1/", "other/day=1");
        check("s3://acme/clicks/", "s3://acme/clicks/day=1/", "clicks/day=1");
        let root = "s3://acme/clicks/";
        assert!(Folder::of(root).unwrap().below(root, "s3://other/clicks/day=1/").is_err());
        assert!(Folder::of("clicks").is_err());
    }

    #[tokio::test]
    async fn hidden_files_and_other_formats_are_no_data() {
        let store = InMemory::new();
        for name in ["b.parquet", "a.parquet", "_a.parquet", ".a.parquet", "_temporary/a.parquet", "a.json", "a.parquet.crc"] {
            store.put(&Path::from(format!("t/{name}")), PutPayload::new()).await.unwrap();
        }
        let files = Folder::of("memory:///t/").unwrap().parquet_files(&store).await.unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.location.as_ref()).collect();
        assert_eq!(names, ["t/a.parquet", "t/b.parquet"]);
    }
}
