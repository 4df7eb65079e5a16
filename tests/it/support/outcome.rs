//! What a lake holds, whichever way it came there, and what lies in it that nothing accounts for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lakebed::catalog::TableName;
use lakebed::layout::{parse_begun_key, parse_intake_key, parse_ledger_key, parse_move_key};
use lakebed::ledger::{DataFile, LedgerVersion};
use serde_json::Value;

use super::{Lake, files};

/// All that a user can see of the table and that must not depend on kills, races and faults.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// The rows, as text.
    pub rows: Vec<String>,
    /// The quarantined records, as text.
    pub quarantine: Vec<String>,
    /// What `lakebed status` says.
    pub status: Value,
    /// What `lakebed partitions` says, without what is named after attempts.
    pub partitions: Vec<Value>,
}

impl Outcome {
    /// What the lake holds now. Every partition must be in the catalog as its ledger has it.
    pub fn of(lake: &Lake) -> Self {
        let rejects = lake.query(
            "SELECT * EXCEPT (resolved), resolved IS NOT NULL AS is_resolved FROM shop.clicks_quarantine ORDER BY object, byte_offset",
        );
        let mut partitions = lake.partitions();
        for partition in &mut partitions {
            assert_eq!(partition["in_catalog"], true, "{partition}");
            let partition = partition.as_object_mut().unwrap();
            assert!(partition.remove("location").is_some() && partition.remove("generation").is_some());
        }
        let mut status = lake.lakebed(&["status", "--output", "json"]).json(0);
        for table in status.as_array_mut().unwrap() {
            // How old it is, and what lies beside it.
            table.as_object_mut().unwrap().retain(|field, _| !["fresh_for", "retired_bytes"].contains(&field.as_str()));
            // When an object came is when the test landed it.
            for hour in table["hours"].as_array_mut().unwrap() {
                hour.as_object_mut().unwrap().remove("late_by");
            }
        }
        Self { rows: lake.rows(), quarantine: rejects.iter().map(Value::to_string).collect(), status, partitions }
    }

    /// Fails with the first thing that differs, not with all rows.
    pub fn assert_same(&self, expected: &Self, context: &str) {
        assert_eq!(self.partitions, expected.partitions, "{context}");
        assert_eq!(self.status, expected.status, "{context}");
        assert_eq!(self.quarantine.len(), expected.quarantine.len(), "{context}: quarantined records");
        assert_eq!(self.rows.len(), expected.rows.len(), "{context}: rows");
        let pairs = self.rows.iter().zip(&expected.rows).chain(self.quarantine.iter().zip(&expected.quarantine));
        for (own, wanted) in pairs {
            assert_eq!(own, wanted, "{context}");
        }
    }
}

/// The ledgers of the lake's one table, every version, read from their files, and the files of its intakes and moves.
pub struct Ledgers(pub BTreeMap<PathBuf, LedgerVersion>, pub BTreeSet<PathBuf>);

impl Ledgers {
    /// Reads them; each partition's versions must be numbered from 1 without a gap.
    pub fn of(lake: &Lake) -> Self {
        let table = TableName::parse("shop.clicks").unwrap();
        let state = lake.path(".lakebed");
        let key = |path: &Path| path.strip_prefix(&state).unwrap().to_str().unwrap().to_string();
        let versions = files(&state.join("ledger")).into_iter().filter(|(path, _)| parse_ledger_key(&table, &key(path)).is_some());
        let read = |(path, bytes): (PathBuf, Vec<u8>)| {
            let version = LedgerVersion::from_json(&bytes, &key(&path)).unwrap();
            (path, version)
        };
        let beside = files(&state.join("intake")).into_keys().chain(files(&state.join("moves")).into_keys());
        let intakes = beside.filter(|path| {
            let key = key(path);
            parse_intake_key(&table, &key).is_some() || parse_begun_key(&table, &key).is_some() || parse_move_key(&table, &key).is_some()
        });
        let ledgers = Self(versions.map(read).collect(), intakes.collect());
        let mut before: Option<&LedgerVersion> = None;
        for version in ledgers.0.values() {
            version.check(before.filter(|before| before.partition == version.partition)).unwrap();
            before = Some(version);
        }
        ledgers
    }

    /// The newest version of each partition.
    pub fn heads(&self) -> impl Iterator<Item = &LedgerVersion> {
        // Files are in the order of their names: the last of a folder is the newest.
        let newest: BTreeMap<_, _> = self.0.iter().map(|(path, version)| (path.parent(), version)).collect();
        newest.into_values()
    }

    /// The files of these ledgers and all that their newest versions list, live or retired.
    fn accounted(&self) -> BTreeSet<PathBuf> {
        let mut paths: BTreeSet<PathBuf> = self.0.keys().cloned().chain(self.1.iter().cloned()).collect();
        for head in self.heads() {
            let live = std::iter::once(&head.generation).chain(&head.quarantine);
            live.for_each(|generation| paths.extend(local(&generation.location, &generation.files)));
            head.retired.iter().for_each(|retired| paths.extend(local(&retired.location, &retired.files)));
        }
        paths
    }
}

fn local(location: &str, files: &[DataFile]) -> Vec<PathBuf> {
    let folder = url::Url::parse(location).unwrap().to_file_path().unwrap();
    files.iter().map(|file| folder.join(&file.name)).collect()
}

/// What lies in the lake or its state and is neither in the ledgers nor the catalog: files, and folders (with a `/` at their end)
/// that are empty. Paths are relative to the lake's folder.
pub fn leftovers(lake: &Lake) -> Vec<String> {
    let mut accounted = Ledgers::of(lake).accounted();
    for path in &accounted {
        assert!(path.is_file(), "{} is in a ledger and not there", path.display());
    }
    accounted.insert(lake.path(".lakebed/catalog.db"));
    let mut found = Vec::new();
    for root in ["lake", ".lakebed"] {
        collect(&lake.path(root), &accounted, &mut found);
    }
    let relative = |path: &PathBuf| {
        let slash = if path.is_dir() { "/" } else { "" };
        format!("{}{slash}", path.strip_prefix(lake.folder.path()).unwrap().display())
    };
    found.iter().map(relative).collect()
}

/// Adds what is below a folder, which itself is never a leftover.
fn collect(folder: &Path, accounted: &BTreeSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if std::fs::read_dir(&path).unwrap().next().is_none() {
                // A run that is cut off may leave an empty folder of the queue: it holds nothing, and is used again.
                let of_queue = path.components().any(|part| part.as_os_str() == "queue");
                found.extend(Some(path).filter(|_| !of_queue));
            } else {
                collect(&path, accounted, found);
            }
        } else if !accounted.contains(&path) {
            found.push(path);
        }
    }
}

/// Every leftover must tell by its name which attempt it belongs to, and no ledger may know that attempt (promise P9). The one
/// exception is the copy that a version was linked from: it has the name of the version's own attempt, and its bytes.
pub fn assert_leftovers_are_of_dead_attempts(lake: &Lake, context: &str) {
    let ledgers = Ledgers::of(lake);
    let committed: BTreeSet<&str> = ledgers.0.values().map(|version| version.attempt.as_str()).collect();
    for path in leftovers(lake) {
        // What is on the way to its place says by its end who was bringing it there.
        let way = path.rsplit_once('.').map(|(_, end)| attempts_in(end)).filter(|end| !end.is_empty());
        let attempts = way.unwrap_or_else(|| attempts_in(&path));
        assert!(!attempts.is_empty(), "{context}: {path} does not say which attempt left it");
        for attempt in attempts {
            if !committed.contains(attempt) {
                continue;
            }
            let version = path.strip_suffix(&format!(".{attempt}")).map(|version| lake.path(version));
            let known = version.as_ref().and_then(|version| ledgers.0.get(version));
            assert!(known.is_some_and(|known| known.attempt == attempt), "{context}: {path} is of a committed attempt");
            assert_eq!(std::fs::read(version.unwrap()).unwrap(), std::fs::read(lake.path(&path)).unwrap(), "{context}: {path}");
        }
    }
}

/// The ULIDs in a path: 26 digits of Crockford's base 32.
pub fn attempts_in(path: &str) -> Vec<&str> {
    let digit = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() == 26 && word.bytes().all(digit)).collect()
}

/// The lake's and its state's files, to be put back later: URLs in the ledgers hold only in the same place.
pub struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    pub fn of(lake: &Lake) -> Self {
        Self(files(&lake.path("lake")).into_iter().chain(files(&lake.path(".lakebed"))).collect())
    }

    /// Makes the lake what it was.
    pub fn restore(&self, lake: &Lake) {
        for root in ["lake", ".lakebed"] {
            match std::fs::remove_dir_all(lake.path(root)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("cannot remove {root}: {e}"),
                _ => {}
            }
        }
        for (path, bytes) in &self.0 {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}
