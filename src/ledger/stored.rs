//! The stored form of a ledger version, and what older forms mean.

use serde::Deserialize;

use super::{FORMAT, LedgerVersion};
use crate::error::{Error, Result};

impl LedgerVersion {
    /// The stored form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a ledger version has only text keys")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Data` if it is no ledger version or of a newer format than [`FORMAT`].
    pub fn from_json(bytes: &[u8], key: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let broken = |e: serde_json::Error| {
            Error::data(format!("ledger version {key} cannot be read: {e}; restore it from a backup of the state folder"))
        };
        let head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        if head.format > FORMAT {
            return Err(Error::config(format!(
                "ledger version {key} has format {}, this lakebed reads up to {FORMAT}; update lakebed",
                head.format
            )));
        }
        let version: Self = serde_json::from_slice(bytes).map_err(broken)?;
        // Format 1 knew merges alone: each version after the first was an amendment. Format 2 knew no moved records, format 3 no rows that moved.
        let amended = if head.format == 1 { version.version.saturating_sub(1) } else { version.amended };
        Ok(Self { amended, ..version })
    }
}
