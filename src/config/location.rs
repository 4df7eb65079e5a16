//! A place that objects are kept in: a local folder or a bucket prefix, as an absolute URL.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Error, Result};

/// An absolute `file://` or `s3://` URL that ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location(Url);

impl Location {
    /// Reads what the user wrote: a URL, or a folder, relative ones from `base`.
    ///
    /// # Errors
    /// A `Config` error for other schemes and for paths that cannot be a URL.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::config("a location is empty; write a folder or an s3:// prefix"));
        }
        match text.split_once("://") {
            Some(("s3" | "file", _)) => {
                let slashed = if text.ends_with('/') { text.to_string() } else { format!("{text}/") };
                let url = Url::parse(&slashed).map_err(|e| Error::config(format!("location `{text}` is not a URL: {e}")))?;
                // A catalog's readers take a location as it stands, and others would look for another key than the one that is written.
                if url.scheme() == "s3" && url.path().contains('%') {
                    return Err(Error::config(format!(
                        "location `{text}` has spaces, `%` or letters that a URL must escape, and Athena would not find it; use letters, \
                         digits, `-`, `_`, `.` and `=`"
                    )));
                }
                let named = if url.scheme() == "s3" { url.has_host() } else { url.to_file_path().is_ok() };
                if !named || url.query().is_some() || url.fragment().is_some() {
                    return Err(Error::config(format!(
                        "location `{text}` must be like s3://bucket/folder/ or file:///folder/, without ? and #"
                    )));
                }
                Ok(Self(url))
            }
            Some((scheme, _)) => Err(Error::config(format!("location `{text}` has the scheme `{scheme}`; use a folder, file:// or s3://"))),
            None => Self::of_folder(&base.join(text)),
        }
    }

    /// The location of a local folder.
    ///
    /// # Errors
    /// A `Config` error if the folder's path cannot be made absolute.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let wrong = || Error::config(format!("folder `{}` has no absolute path", folder.display()));
        let absolute = normal(&std::path::absolute(folder).map_err(|_| wrong())?);
        Url::from_directory_path(absolute).map(Self).map_err(|()| wrong())
    }

    /// The local folder, or `None` for a bucket.
    pub fn folder(&self) -> Option<PathBuf> {
        if self.0.scheme() == "file" { self.0.to_file_path().ok() } else { None }
    }

    /// The bucket and the prefix in it, which is empty or ends in a slash; `None` for a local folder.
    pub fn bucket(&self) -> Option<(&str, String)> {
        let bucket = self.0.host_str().filter(|_| self.0.scheme() == "s3")?;
        Some((bucket, self.0.path().trim_start_matches('/').to_string()))
    }

    /// The bucket that it is in, as a location; `None` for a local folder.
    pub fn whole_bucket(&self) -> Option<Self> {
        let (bucket, _) = self.bucket()?;
        Url::parse(&format!("s3://{bucket}/")).ok().map(Self)
    }

    /// The URL, ending in a slash.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// True if one of the two lies inside the other, or both are the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_str(), other.0.as_str());
        a.starts_with(b) || b.starts_with(a)
    }
}

/// The path without `.` and `..` parts, without looking at the disk.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                parts.pop();
            }
            std::path::Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_absolute_urls_that_end_in_a_slash() {
        let at = |text| Location::parse(text, Path::new("/etl/jobs")).unwrap().to_string();
        assert_eq!(at("landed"), "file:///etl/jobs/landed/");
        assert_eq!(at("../lake/./clicks/"), "file:///etl/lake/clicks/");
        assert_eq!(at("s3://acme-raw/clicks"), "s3://acme-raw/clicks/");
        for wrong in [
            "",
            "gs://acme",
            "s3:///clicks",
            "file://clicks/",
            "s3://acme/a?b",
            "s3://acme/a#1",
            "s3://acme/a b",
            "s3://acme/a%20b",
            "s3://acme/ü",
        ] {
            assert!(Location::parse(wrong, Path::new("/")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn overlap_is_by_whole_folders() {
        let of = |text| Location::parse(text, Path::new("/")).unwrap();
        assert!(of("/a/b").overlaps(&of("/a")));
        assert!(!of("/a/bc").overlaps(&of("/a/b")));
    }
}
