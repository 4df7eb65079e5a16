//! What the lake holds, beside what the reference says that it has to hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lakebed::layout::GenerationId;
use lakebed::ledger::{DataFile, LedgerVersion};
use lakebed::{catalog, ledger};
use url::Url;

use super::reference::{Counts, Folder, Hour, Lake, Shown, Version};
use super::world::{Seen, World, hour_of, instant};
use crate::support::files;
use crate::support::outcome::Ledgers;

/// Every version of the lake's hours, in their order.
pub type Hours = BTreeMap<usize, Vec<LedgerVersion>>;

/// What a version says, in words that are easy to compare.
#[derive(Debug, PartialEq)]
struct Told {
    operation: String,
    generation: u64,
    quarantine: Option<(u64, bool)>,
    /// Key, late, set aside, counts.
    sources: Vec<(String, bool, bool, Counts)>,
    held: Vec<String>,
    missing: Vec<String>,
    amended: u64,
    rolled_back: Option<u64>,
    retired: Vec<(Folder, chrono::DateTime<chrono::Utc>)>,
    rows: u64,
}

/// Reads the ledgers from their files; each must follow the one before it.
pub fn ledgers(world: &World) -> Hours {
    let mut hours = Hours::new();
    for version in Ledgers::of(&world.lake).0.into_values() {
        hours.entry(hour_of(&version.partition.entries()[3].value)).or_default().push(version);
    }
    hours
}

/// Compares all that can be seen with what has to be there.
pub fn compare(model: &Lake, world: &World, seen: &Seen, ledgers: &Hours) {
    assert_eq!(seen.exists, model.exists, "the table is in the catalog");
    for (number, hour) in model.hours.iter().enumerate() {
        let none = Vec::new();
        let versions = ledgers.get(&number).unwrap_or(&none);
        assert_eq!(versions.len(), hour.versions.len(), "versions of hour {number}");
        if let (Some(head), Some(wanted)) = (versions.last(), hour.head()) {
            assert_eq!(told(head), wanted_of(wanted), "version {} of hour {number}", head.version);
        }
        compare_shown(number, hour, seen, versions);
    }
    let landed = model.hours.iter().flat_map(Hour::objects);
    let landed: BTreeMap<PathBuf, Vec<u8>> =
        landed.map(|(key, object)| (world.lake.path("landing").join(key), object.bytes.clone())).collect();
    assert!(landed == files(&world.lake.path("landing")), "the landing is as it was");
}

/// What the catalog shows of an hour, and what readers see of it.
fn compare_shown(number: usize, hour: &Hour, seen: &Seen, versions: &[LedgerVersion]) {
    assert_eq!(shown(seen, number), hour.shown, "the versions that the catalog shows of hour {number}");
    let (data, quarantine) = hour.shown;
    let of = |shown: usize| shown.checked_sub(1).map(|at| &versions[at]);
    check_folder(seen.data.get(&number), of(data).map(|version| &version.generation));
    check_folder(seen.quarantine.get(&number), of(quarantine).and_then(|version| version.quarantine.as_ref()));
    let rows = hour.version(data).map(|version| version.rows.as_slice()).unwrap_or_default();
    let read = seen.rows.get(&number).map(Vec::as_slice).unwrap_or_default();
    assert_eq!(read.len(), rows.len(), "rows of hour {number}");
    assert!(read == rows, "rows of hour {number}: {:?}", read.iter().zip(rows).find(|(one, other)| one != other));
    let sorted = |mut rejects: Vec<Shown>| {
        rejects.sort();
        rejects
    };
    let rejects = hour.version(quarantine).map(|version| sorted(version.quarantined())).unwrap_or_default();
    let read = seen.rejects.get(&number).map(|read| sorted(read.clone())).unwrap_or_default();
    assert_eq!(read.len(), rejects.len(), "quarantined records of hour {number}");
    assert!(read == rejects, "quarantined records of hour {number}: {:?}", read.iter().zip(&rejects).find(|(one, other)| one != other));
}

/// The versions that the catalog shows of an hour, by what it says itself.
pub fn shown(seen: &Seen, hour: usize) -> (usize, usize) {
    let version =
        |partition: Option<&catalog::Partition>| partition.map_or(0, |entry| entry.parameters["lakebed.ledger_version"].parse().unwrap());
    (version(seen.data.get(&hour)), version(seen.quarantine.get(&hour)))
}

/// The catalog's folder is that of the generation, and has exactly its files.
fn check_folder(entry: Option<&catalog::Partition>, generation: Option<&ledger::Generation>) {
    let (Some(entry), Some(generation)) = (entry, generation) else { return assert!(entry.is_none() && generation.is_none()) };
    assert_eq!(entry.location, generation.location);
    assert_eq!(there(&entry.location), sizes(&generation.files), "files of {}", entry.location);
}

fn sizes(files: &[DataFile]) -> BTreeMap<String, u64> {
    files.iter().map(|file| (file.name.clone(), file.bytes)).collect()
}

fn there(location: &str) -> BTreeMap<String, u64> {
    let folder = Url::parse(location).unwrap().to_file_path().unwrap();
    let name = |path: &Path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_string();
    files(&folder).into_iter().map(|(path, bytes)| (name(&path), bytes.len() as u64)).collect()
}

fn wanted_of(version: &Version) -> Told {
    let source = |(key, source): (&String, &super::reference::Source)| (key.clone(), source.late, source.rejected, source.counts);
    Told {
        operation: format!("{:?}", version.operation),
        generation: version.generation,
        quarantine: version.quarantine.map(|quarantine| (quarantine.generation, quarantine.has_files)),
        sources: version.sources.iter().map(source).collect(),
        held: version.held.keys().cloned().collect(),
        missing: version.missing.iter().cloned().collect(),
        amended: version.amended,
        rolled_back: version.rolled_back,
        retired: version.retired.iter().map(|retired| (retired.folder, instant(retired.at))).collect(),
        rows: version.rows.len() as u64,
    }
}

fn told(version: &LedgerVersion) -> Told {
    let counts = |counts: ledger::Counts| {
        assert_eq!(counts.dropped, 0);
        let ledger::Counts { read, merged, quarantined, duplicates, resolved, .. } = counts;
        Counts { read, merged, quarantined, duplicates, resolved }
    };
    let source = |source: &ledger::Source| (source.key.clone(), source.late, source.rejected.is_some(), counts(source.counts));
    let quarantine = version.quarantine.as_ref();
    Told {
        operation: format!("{:?}", version.operation),
        generation: version.generation.id.number,
        quarantine: quarantine.map(|quarantine| (quarantine.id.number, !quarantine.files.is_empty())),
        sources: version.sources.iter().map(source).collect(),
        held: version.held.iter().map(|held| held.key.clone()).collect(),
        missing: version.missing.iter().map(|missing| missing.key.clone()).collect(),
        amended: version.amended,
        rolled_back: version.rolled_back.as_ref().map(|back| back.from.number),
        retired: version.retired.iter().map(|retired| (folder_of(&retired.location), retired.at)).collect(),
        rows: version.generation.rows(),
    }
}

/// The folder of a URL.
pub fn folder_of(location: &str) -> Folder {
    let id: GenerationId = location.trim_end_matches('/').rsplit('/').next().unwrap().parse().unwrap();
    if location.contains("/.lakebed/quarantine/") { Folder::Quarantine(id.number) } else { Folder::Data(id.number) }
}

/// No file that was there before has another content now.
pub fn assert_unchanged(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in after {
        assert!(before.get(path).is_none_or(|old| old == bytes), "{} was written over", path.display());
    }
}
