//! Every path that lakebed writes, formatted and parsed in one place.
//!
//! Paths are relative to the table's location or to the state location and already in the form that object stores use.

mod redriven;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
pub use redriven::{
    moving_folder, moving_key, moving_root, parse_moving_key, parse_redriven_file, parse_redriven_key, redriven_folder, redriven_key,
    redriven_root,
};

/// The name of the embedded catalog's file in the state location.
pub const CATALOG_FILE: &str = "catalog.db";

/// The value that Hive writes in paths for null and for the empty text.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// One partition: its keys and their values, in path order. Text form: `year=2026/month=11`, values escaped as Hive does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(Vec<PartitionValue>);

/// One key of a partition and its unescaped value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionValue {
    /// The partition key, lower case.
    pub key: String,
    /// The value, unescaped.
    pub value: String,
}

impl PartitionId {
    /// A partition from its keys and values; an empty value becomes [`DEFAULT_PARTITION`], as in Hive.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let stored = |value: String| if value.is_empty() { DEFAULT_PARTITION.to_string() } else { value };
        Self(values.into_iter().map(|(key, value)| PartitionValue { key, value: stored(value) }).collect())
    }

    /// Keys and values, in path order.
    pub fn entries(&self) -> &[PartitionValue] {
        &self.0
    }

    /// The values alone, in the order of the table's keys, as catalogs store them.
    pub fn values(&self) -> Vec<String> {
        self.0.iter().map(|entry| entry.value.clone()).collect()
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, PartitionValue { key, value }) in self.0.iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            write!(f, "{slash}{}", folder_name(key, value))?;
        }
        Ok(())
    }
}

impl FromStr for PartitionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let entry = |part: &str| {
            let (key, value) = part.split_once('=')?;
            (!key.is_empty()).then(|| Some(PartitionValue { key: key.to_string(), value: unescape(value)? }))?
        };
        let values: Option<Vec<_>> = text.split('/').map(entry).collect();
        values.map(Self).ok_or_else(|| Error::data(format!("`{text}` is not a partition path; it has the form key=value/key=value")))
    }
}

/// One complete, immutable set of files of a partition. Text form: `g00000003-<attempt>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationId {
    /// The ledger version that the generation was written for.
    pub number: u64,
    /// The ULID of the attempt that wrote it.
    pub attempt: String,
}

impl GenerationId {
    /// Its name without the attempt, which tells it apart from the partition's others.
    pub fn short(&self) -> String {
        format!("g{:08}", self.number)
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{:08}-{}", self.number, self.attempt)
    }
}

impl FromStr for GenerationId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.strip_prefix('g').and_then(|rest| rest.split_once('-'));
        let parsed = parts.and_then(|(digits, attempt)| {
            let well_formed = digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit()) && attempt.len() == 26;
            well_formed.then(|| digits.parse().ok())?.map(|number| Self { number, attempt: attempt.to_string() })
        });
        parsed.ok_or_else(|| Error::data(format!("`{text}` is not the name of a generation; it has the form g00000001-<attempt>")))
    }
}

impl Serialize for GenerationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GenerationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The name of the folder of a partition key's value.
pub fn folder_name(key: &str, value: &str) -> String {
    format!("{key}={}", escape(value))
}

/// The folder of a generation, below the table's location.
pub fn generation_folder(partition: &PartitionId, generation: &GenerationId) -> String {
    format!("{partition}/{generation}/")
}

/// The folder of a generation of the quarantine, below the state location.
pub fn quarantine_folder(table: &TableName, partition: &PartitionId, generation: &GenerationId) -> String {
    format!("quarantine/{table}/{partition}/{generation}/")
}

/// The partition and the generation whose folder a path below a table's location, or below its quarantine, leads into; `None` for
/// what lies elsewhere.
pub fn parse_generation_path(path: &str) -> Option<(PartitionId, GenerationId)> {
    let (at, id) = path.match_indices('/').find_map(|(slash, _)| {
        let start = path[..slash].rfind('/')?;
        Some((start, path[start + 1..slash].parse::<GenerationId>().ok()?))
    })?;
    let partition: PartitionId = path[..at].parse().ok()?;
    path.starts_with(&generation_folder(&partition, &id)).then_some((partition, id))
}

/// The root of a table's quarantine, below the state location.
pub fn quarantine_root(table: &TableName) -> String {
    format!("quarantine/{table}/")
}

/// The name of the table that the quarantine of `table` is registered as.
pub fn quarantine_table(table: &TableName) -> TableName {
    TableName { database: table.database.clone(), name: format!("{}_quarantine", table.name) }
}

/// The name of a generation's file, counted from 0.
pub fn part_file(index: usize) -> String {
    format!("part-{index:05}.parquet")
}

/// The folder of all ledgers of a table, below the state location.
pub fn ledger_root(table: &TableName) -> String {
    format!("ledger/{table}/")
}

/// The key of one ledger version, below the state location.
pub fn ledger_key(table: &TableName, partition: &PartitionId, version: u64) -> String {
    format!("ledger/{table}/{partition}/{version:020}.json")
}

/// The partition and version that a ledger key names, or `None` for other objects (a dead attempt's, for example).
pub fn parse_ledger_key(table: &TableName, key: &str) -> Option<(PartitionId, u64)> {
    let (partition, file) = key.strip_prefix(&ledger_root(table))?.rsplit_once('/')?;
    let digits = file.strip_suffix(".json")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((partition.parse().ok()?, digits.parse().ok()?))
}

/// The attempt whose version of a ledger, an intake or a move was on the way to this name's place when it was cut off, or `None` for other objects.
pub fn parse_left_version<'k>(table: &TableName, key: &'k str) -> Option<&'k str> {
    // Local disks write a file under `<name>#<number>` first.
    let (version, attempt) = key.split('#').next()?.rsplit_once('.')?;
    let of_others = || parse_intake_key(table, version).map(drop).or_else(|| parse_move_key(table, version).map(drop));
    parse_ledger_key(table, version).map(drop).or_else(of_others)?;
    is_id(attempt).then_some(attempt)
}

/// The folder of all staged files of a table, below the state location.
pub fn queue_root(table: &TableName) -> String {
    format!("queue/{table}/")
}

/// The key of a staged file, below the state location: `source` names the landed object, `variant` its content and what was made of it.
pub fn staged_key(table: &TableName, hour: Hour, source: &str, variant: &str) -> String {
    format!("queue/{table}/{hour}/{source}-{variant}.parquet")
}

/// The key of the rejects that belong to the staged file of that key, written by one attempt.
pub fn staged_rejects_key(staged: &str, attempt: &str) -> String {
    format!("{}.{attempt}.rejects.parquet", staged.trim_end_matches(".parquet"))
}

/// The key that says that a landed object waits of which nothing is staged, below the state location: `source` names the object, `content`
/// what it is.
pub fn waiting_key(table: &TableName, hour: Hour, source: &str, content: &str) -> String {
    format!("queue/{table}/{hour}/{source}-{content}-waits")
}

/// The arrival hour and the source that a key of the queue names, or `None` for other objects.
pub fn parse_queue_key<'k>(table: &TableName, key: &'k str) -> Option<(Hour, &'k str)> {
    let (hour, name) = key.strip_prefix(&queue_root(table))?.split_once('/')?;
    let (source, _) = name.split_once('-')?;
    let well_formed = source.len() == 32 && source.bytes().all(|b| b.is_ascii_hexdigit()) && !name.contains('/');
    well_formed.then(|| Some((hour.parse().ok()?, source)))?
}

/// The folder of all intakes of a table, below the state location.
pub fn intake_root(table: &TableName) -> String {
    format!("intake/{table}/")
}

/// The key of one version of what was taken in of an arrival hour, below the state location.
pub fn intake_key(table: &TableName, hour: Hour, version: u64) -> String {
    format!("intake/{table}/{hour}/{version:020}.json")
}

/// The arrival hour and version that the key of an intake names, or `None` for other objects.
pub fn parse_intake_key(table: &TableName, key: &str) -> Option<(Hour, u64)> {
    let (hour, file) = key.strip_prefix(&intake_root(table))?.split_once('/')?;
    let digits = file.strip_suffix(".json").filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some((hour.parse().ok()?, digits.parse().ok()?))
}

/// The key of the object that says that an arrival hour was begun, whatever becomes of its intake. It stands behind all hours in a listing.
pub fn begun_key(table: &TableName, hour: Hour) -> String {
    format!("intake/{table}/begun/{hour}")
}

/// The arrival hour that was begun by an object of that key, or `None` for other objects.
pub fn parse_begun_key(table: &TableName, key: &str) -> Option<Hour> {
    key.strip_prefix(&intake_root(table))?.strip_prefix("begun/")?.parse().ok()
}

/// The folder of what is written down of a table's repairs that move rows, below the state location.
pub fn moves_root(table: &TableName) -> String {
    format!("moves/{table}/")
}

/// The key of one version of that, below the state location.
pub fn move_key(table: &TableName, version: u64) -> String {
    format!("moves/{table}/{version:020}.json")
}

/// The version that the key of a move names, or `None` for other objects.
pub fn parse_move_key(table: &TableName, key: &str) -> Option<u64> {
    let digits = key.strip_prefix(&moves_root(table))?.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What a note says is about to happen to a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The table gets the columns with this fingerprint.
    Columns(String),
    /// An attempt commits a version of a partition.
    Version {
        /// The partition.
        partition: PartitionId,
        /// The version's number.
        version: u64,
        /// ULID of the attempt.
        attempt: String,
    },
}

/// The key of a note, in the state location itself: it has no folder around it that would stay behind. Which partition it is about is in it.
pub fn note_key(table: &TableName, note: &Note) -> String {
    match note {
        Note::Columns(schema) => format!("note-{table}-schema-{schema}"),
        Note::Version { version, attempt, .. } => format!("note-{table}-{version:020}-{attempt}"),
    }
}

/// The note whose key this is, from the text that it holds; `None` for other objects.
pub fn parse_note(table: &TableName, key: &str, text: &str) -> Option<Note> {
    let rest = key.strip_prefix(&format!("note-{table}-"))?;
    if let Some(schema) = rest.strip_prefix("schema-") {
        return schema.bytes().all(|b| b.is_ascii_hexdigit()).then(|| Note::Columns(schema.to_string()));
    }
    let (digits, attempt) = rest.split_once('-')?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()) && attempt.len() == 26;
    let (partition, version) = (text.parse().ok()?, digits.parse().ok().filter(|_| well_formed)?);
    Some(Note::Version { partition, version, attempt: attempt.to_string() })
}

/// True if an object of that key may be a note of the table.
pub fn is_note(table: &TableName, key: &str) -> bool {
    key.strip_prefix("note-").and_then(|rest| rest.strip_prefix(&table.to_string())).is_some_and(|rest| rest.starts_with('-'))
}

/// The key of a table's records of failing hours, in the state location itself as the notes are. `id` is the ULID of this writing.
pub fn failing_key(table: &TableName, id: &str) -> String {
    format!("failing-{table}-{id}")
}

/// True if an object of that key holds the table's records of failing hours.
pub fn is_failing(table: &TableName, key: &str) -> bool {
    key.strip_prefix(&format!("failing-{table}-")).is_some_and(is_id)
}

/// The key of the object that shows, under one attempt's name, whether a state location refuses to create a key twice.
pub fn probe_key(attempt: &str) -> String {
    format!("probe-{attempt}")
}

/// The folder that a merge of one attempt may spill to, in a local state location. It has no folder around it that would stay
/// behind, or that one run could remove while another makes its own in it.
pub fn spill_folder(attempt: &str) -> String {
    format!("spill-{attempt}/")
}

/// The attempt that made a probe or a spill folder of this name, or was on the way to a note, or `None` for other names in the state
/// location.
pub fn parse_passing(name: &str) -> Option<&str> {
    if name.starts_with("note-") {
        // A note itself stays until a run has told of it.
        return name.split('#').next()?.rsplit_once('.').map(|(_, attempt)| attempt).filter(|attempt| is_id(attempt));
    }
    let rest = name.strip_prefix("probe-").or_else(|| name.strip_prefix("spill-")?.strip_suffix('/'))?;
    let attempt = rest.get(..26)?;
    let ends = rest.len() == 26 || rest[26..].starts_with(['.', '#']);
    (ends && is_id(attempt)).then_some(attempt)
}

fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// True for the characters that Hive's `FileUtils.makePartName` escapes (reference: Trino's `Partitions`, the same list).
fn needs_escape(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '\x7f' | '{' | '[' | ']' | '^')
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if needs_escape(c) {
            out.push_str(&format!("%{:02X}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> TableName {
        TableName { database: "shop".into(), name: "clicks".into() }
    }

    fn partition() -> impl Strategy<Value = PartitionId> {
        proptest::collection::vec(("[a-z_][a-z0-9_]{0,8}", any::<String>()), 1..5).prop_map(PartitionId::new)
    }

    proptest! {
        #[test]
        fn a_partition_reads_back_from_its_path(id in partition()) {
            let path = id.to_string();
            prop_assert!(object_store::path::Path::parse(&path).is_ok(), "{}", path);
            prop_assert_eq!(path.parse::<PartitionId>().unwrap(), id);
        }

        #[test]
        fn a_ledger_key_reads_back(id in partition(), version in any::<u64>()) {
            let key = ledger_key(&table(), &id, version);
            prop_assert_eq!(parse_ledger_key(&table(), &key), Some((id, version)));
        }

        #[test]
        fn the_files_of_a_source_in_the_queue_tell_it(hours in 0i64..500_000, source in any::<u128>(), attempt in any::<u128>()) {
            let hour = Hour::of(chrono::DateTime::from_timestamp(hours * 3600, 0).unwrap());
            let source = format!("{source:032x}");
            let staged = staged_key(&table(), hour, &source, "0123456789abcdef");
            let rejects = staged_rejects_key(&staged, &ulid::Ulid::from(attempt).to_string());
            for key in [&staged, &rejects] {
                prop_assert_eq!(parse_queue_key(&table(), key), Some((hour, source.as_str())));
            }
        }

        #[test]
        fn an_intake_key_reads_back(hours in 0i64..500_000, version in any::<u64>()) {
            let hour = Hour::of(chrono::DateTime::from_timestamp(hours * 3600, 0).unwrap());
            let (key, begun) = (intake_key(&table(), hour, version), begun_key(&table(), hour));
            prop_assert_eq!(parse_intake_key(&table(), &key), Some((hour, version)));
            prop_assert_eq!((parse_begun_key(&table(), &begun), parse_begun_key(&table(), &key)), (Some(hour), None));
            prop_assert!(parse_intake_key(&table(), &begun).is_none() && begun > key, "a listing from an hour on has it");
            let left = format!("{key}.01J00000000000000000000000");
            prop_assert_eq!(parse_left_version(&table(), &left), Some("01J00000000000000000000000"));
            let (moved, begun) = (move_key(&table(), version), key);
            prop_assert_eq!((parse_move_key(&table(), &moved), parse_move_key(&table(), &begun)), (Some(version), None));
            let left = format!("{moved}.01J00000000000000000000000");
            prop_assert_eq!((parse_left_version(&table(), &left), parse_move_key(&table(), &left)), (Some("01J00000000000000000000000"), None));
        }

        #[test]
        fn what_a_redrive_moved_reads_back(
            id in partition(), number in any::<u64>(), attempt in any::<u128>(), index in 0usize..2_000_000, object in "[a-z/ ]{0,9}[a-z]"
        ) {
            let generation = GenerationId { number, attempt: ulid::Ulid::from(attempt).to_string() };
            let file = format!("{}{}", redriven_folder(&table(), &id, &generation), part_file(index));
            let key = redriven_key(&object, &generation, index);
            let moving = moving_key(&table(), &id, &generation);
            prop_assert_eq!(parse_moving_key(&table(), &moving), Some((id.clone(), generation.clone())));
            prop_assert_eq!((parse_moving_key(&table(), &file), parse_moving_key(&table(), &format!("{moving}.x"))), (None, None));
            prop_assert_eq!(parse_redriven_file(&table(), &file), Some((id, generation, index)));
            prop_assert_eq!(parse_redriven_key(&key), Some(object.as_str()));
            prop_assert!(object_store::path::Path::parse(&key).is_err(), "it could be a landed object's");
            prop_assert_eq!(parse_redriven_key(&object), None);
        }

        #[test]
        fn a_note_reads_back(partition in partition(), version in any::<u64>(), attempt in any::<u128>()) {
            let text = partition.to_string();
            let note = Note::Version { partition, version, attempt: ulid::Ulid::from(attempt).to_string() };
            prop_assert!(is_note(&table(), &note_key(&table(), &note)));
            prop_assert_eq!(parse_note(&table(), &note_key(&table(), &note), &text), Some(note));
            let note = Note::Columns(format!("{version:016x}"));
            prop_assert_eq!(parse_note(&table(), &note_key(&table(), &note), ""), Some(note));
        }

        #[test]
        fn the_records_of_failing_hours_are_those_of_one_table(id in any::<u128>()) {
            let key = failing_key(&table(), &ulid::Ulid::from(id).to_string());
            let other = TableName { database: "shop".into(), name: "click".into() };
            prop_assert!(is_failing(&table(), &key) && !is_failing(&other, &key) && !is_note(&table(), &key));
            let left = format!("{key}.01J00000000000000000000000");
            prop_assert!(!is_failing(&table(), &left));
        }

        #[test]
        fn a_generation_reads_back(number in any::<u64>(), id in any::<u128>()) {
            let generation = GenerationId { number, attempt: ulid::Ulid::from(id).to_string() };
            prop_assert_eq!(generation.to_string().parse::<GenerationId>().unwrap(), generation);
        }
    }

    proptest! {
        #[test]
        fn a_generation_is_found_in_the_paths_of_its_files(id in partition(), number in any::<u64>(), attempt in any::<u128>()) {
            let generation = GenerationId { number, attempt: ulid::Ulid::from(attempt).to_string() };
            let folder = generation_folder(&id, &generation);
            for path in [folder.clone(), format!("{folder}part-00000.parquet#1")] {
                prop_assert_eq!(parse_generation_path(&path), Some((id.clone(), generation.clone())));
            }
            prop_assert_eq!(parse_generation_path(folder.trim_end_matches('/')), None);
            prop_assert_eq!(parse_generation_path(&format!("x/{folder}")), None);
        }
    }

    #[test]
    fn what_an_attempt_left_on_its_way_names_it() {
        let attempt = "01J00000000000000000000000";
        let version = ledger_key(&table(), &"day=1".parse().unwrap(), 1);
        assert_eq!(parse_left_version(&table(), &format!("{version}.{attempt}")), Some(attempt));
        assert_eq!(parse_left_version(&table(), &format!("{version}.{attempt}#1")), Some(attempt));
        assert_eq!(parse_left_version(&table(), &version), None);
        assert_eq!(parse_left_version(&table(), &format!("{version}.bak")), None);
        let probe = probe_key(attempt);
        let note = |attempt: &str| {
            note_key(&table(), &Note::Version { partition: PartitionId::new([]), version: 1, attempt: attempt.to_string() })
        };
        let way = format!("{}.{attempt}", note("01J00000000000000000000001"));
        for name in [&probe, &format!("{probe}.{attempt}"), &spill_folder(attempt), &way, &format!("{way}#1")] {
            assert_eq!(parse_passing(name), Some(attempt), "{name}");
        }
        let note = note(attempt);
        for name in ["catalog.db", "probe-1", "spill-01J00000000000000000000000", "probe-01J00000000000000000000000x", &note, "note-a.b"] {
            assert_eq!(parse_passing(name), None, "{name}");
        }
    }

    #[test]
    fn escapes_as_hive_does() {
        let id = PartitionId::new([("page".to_string(), "a/b=c é}".to_string()), ("hour".to_string(), String::new())]);
        assert_eq!(id.to_string(), "page=a%2Fb%3Dc é}/hour=__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn what_a_dead_attempt_left_is_no_version() {
        for key in ["ledger/shop.clicks/day=1/00000000000000000001.json.01J00000000000000000000000", "ledger/shop.clicks/day=1/1.json"] {
            assert_eq!(parse_ledger_key(&table(), key), None, "{key}");
        }
    }
}
