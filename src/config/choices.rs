//! Settings that are one word out of a few: what this version takes, and what later versions will.

use super::keys::proposal;
use super::{CatalogKind, Compression, Consumer, Format, HmacKey, KeepRaw, NewColumns, OnFail, Privacy};
use crate::error::{Error, Result};

/// The words of one setting.
pub(super) struct Words<T: 'static> {
    /// The setting's key.
    key: &'static str,
    now: &'static [(&'static str, T)],
    /// Words of later versions, and what to do until then.
    later: &'static [(&'static str, &'static str)],
}

impl<T: Copy> Words<T> {
    /// The meaning of `word`.
    pub(super) fn choose(&self, word: &str) -> Result<T> {
        let key = self.key;
        if let Some((_, meaning)) = self.now.iter().find(|(name, _)| *name == word) {
            return Ok(*meaning);
        }
        if let Some((_, instead)) = self.later.iter().find(|(name, _)| *name == word) {
            return Err(later(&format!("{key} = \"{word}\""), instead));
        }
        let names: Vec<&str> = self.now.iter().map(|(name, _)| *name).collect();
        Err(Error::config(format!("{key} = \"{word}\" is not known; {}", proposal(word, &names))))
    }

    /// The meaning of what the user wrote, or of the first word.
    pub(super) fn or_first(&self, word: Option<&str>) -> Result<T> {
        self.choose(word.unwrap_or(self.now[0].0))
    }
}

/// The refusal of what a later version will do.
pub(super) fn later(what: &str, instead: &str) -> Error {
    Error::config(format!("{what} is not in this version yet; {instead}"))
}

pub(super) const CATALOG: Words<CatalogKind> =
    Words { key: "catalog", now: &[("local", CatalogKind::Local), ("glue", CatalogKind::Glue)], later: &[] };

pub(super) const FORMAT: Words<Format> = Words {
    key: "format",
    now: &[
        ("json", Format::Json),
        ("snowplow-tsv", Format::SnowplowTsv),
        ("cloudwatch-logs", Format::CloudwatchLogs),
        ("parquet", Format::Parquet),
    ],
    later: &[],
};

pub(super) const NEW_COLUMNS: Words<NewColumns> = Words {
    key: "evolution.new_columns",
    now: &[("rescue", NewColumns::Rescue), ("ignore", NewColumns::Ignore), ("reject", NewColumns::Reject)],
    later: &[("add", "use \"rescue\", and add the column with a migration")],
};

pub(super) const TYPE_CONFLICT: Words<()> = Words {
    key: "evolution.type_conflict",
    now: &[("quarantine", ())],
    later: &[
        ("widen", "use \"quarantine\", widen the column with a migration and redrive"),
        ("rescue", "use \"quarantine\", and redrive after a migration"),
    ],
};

pub(super) const COMPRESSION: Words<Compression> =
    Words { key: "merge.compression", now: &[("zstd", Compression::Zstd), ("snappy", Compression::Snappy)], later: &[] };

pub(super) const CONSUMERS: Words<Consumer> = Words {
    key: "consumers",
    now: &[("athena", Consumer::Athena), ("quicksight", Consumer::QuickSight), ("spectrum", Consumer::Spectrum)],
    later: &[],
};

pub(super) const ON_FAIL: Words<OnFail> =
    Words { key: "on_fail", now: &[("quarantine", OnFail::Quarantine), ("null", OnFail::Null), ("warn", OnFail::Warn)], later: &[] };

/// Makes a rule, from the lake's key if the rule needs one.
pub(super) type MakePrivacy = fn(Option<&HmacKey>) -> Result<Privacy>;

pub(super) const PRIVACY: Words<MakePrivacy> = Words {
    key: "privacy",
    now: &[
        ("drop", |_| Ok(Privacy::Drop)),
        ("redact", |_| Ok(Privacy::Redact)),
        ("truncate-ip", |_| Ok(Privacy::TruncateIp)),
        ("hmac-sha256", hmac),
    ],
    later: &[],
};

fn hmac(key: Option<&HmacKey>) -> Result<Privacy> {
    key.cloned().map(Privacy::HmacSha256).ok_or_else(|| {
        Error::config(
            "privacy = \"hmac-sha256\" needs a key; write `hmac_key = \"${LAKEBED_HMAC_KEY}\"` into [lake], and set that environment \
             variable to at least 16 random bytes, as text",
        )
    })
}

pub(super) const KEEP_RAW: Words<KeepRaw> = Words {
    key: "quarantine.keep_raw",
    now: &[("true", KeepRaw::Whole), ("false", KeepRaw::Never), ("redacted", KeepRaw::Redacted)],
    later: &[],
};
