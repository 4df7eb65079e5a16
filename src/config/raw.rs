//! What the user may write in `lakebed.toml`, key by key, before anything is decided about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::HmacKey;
use super::units::{Duration, Size};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawConfig {
    pub(super) lake: RawLake,
    pub(super) table: Vec<RawTable>,
    pub(super) athena: RawAthena,
    pub(super) events: RawEvents,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawAthena {
    pub(super) workgroup: Option<String>,
    pub(super) output: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLake {
    pub(super) state: Option<String>,
    pub(super) catalog: Option<String>,
    pub(super) memory: Option<Size>,
    pub(super) threads: Option<usize>,
    pub(super) grace: Option<Duration>,
    pub(super) hmac_key: Option<HmacKey>,
    pub(super) kms_key: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawTable {
    pub(super) name: String,
    pub(super) landing: String,
    pub(super) prefix: Option<String>,
    pub(super) error_prefix: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) format: Option<String>,
    pub(super) unwrap: Option<String>,
    pub(super) location: String,
    pub(super) migrations: Option<String>,
    pub(super) partition_by: Option<String>,
    pub(super) time: Option<String>,
    pub(super) close_after: Option<Duration>,
    pub(super) lookback: Option<Duration>,
    pub(super) expect_every: Option<Duration>,
    pub(super) consumers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) evolution: RawEvolution,
    #[serde(default)]
    pub(super) merge: RawMerge,
    #[serde(default)]
    pub(super) columns: BTreeMap<String, RawColumn>,
    #[serde(default)]
    pub(super) quarantine: RawQuarantine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEvolution {
    pub(super) new_columns: Option<String>,
    pub(super) type_conflict: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawMerge {
    pub(super) target_file_size: Option<Size>,
    pub(super) row_group_size: Option<Size>,
    pub(super) sort_by: Vec<String>,
    pub(super) deduplicate_by: Vec<String>,
    pub(super) compression: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawColumn {
    pub(super) from: Option<String>,
    pub(super) required: bool,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) pattern: Option<String>,
    pub(super) allowed: Option<Vec<Scalar>>,
    pub(super) max_length: Option<usize>,
    pub(super) on_fail: Option<String>,
    pub(super) privacy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawQuarantine {
    pub(super) max_ratio: Option<f64>,
    pub(super) keep_raw: Option<Word>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEvents {
    pub(super) bus: Option<String>,
}

/// A text or a number, as text.
#[derive(Debug)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }
}

/// A text, or true or false as text.
#[derive(Debug)]
pub(super) struct Word(pub(super) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor)
    }
}

struct WordVisitor;

impl Visitor<'_> for WordVisitor {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
        Ok(Word(text.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Word, E> {
        Ok(Word(value.to_string()))
    }
}
