//! Sample files of public projects, landed and run: what stands in them is counted, kept and typed as promised.

mod events;
mod framing;
mod json;
mod parquet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::Value;

use super::support::{Lake, files};

/// A table that keeps every field as it landed.
const KEEP: &str = "CREATE EXTERNAL TABLE ${table} (rescued map<string,string>) \
                    PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'";

/// However many records of an object are bad, the others count.
const ALL: &str = "[table.quarantine]\nmax_ratio = 1\n";

/// The files of one set by their path in it. Where the samples are not, it says so, and the test has nothing to do.
pub(crate) fn samples(set: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let root = std::env::var_os("LAKEBED_SAMPLES").map_or_else(beside, PathBuf::from);
    let folder = root.join(set);
    if !folder.is_dir() {
        eprintln!("SKIPPED: there are no samples in {}; set LAKEBED_SAMPLES to the folder that has them", folder.display());
        return None;
    }
    let relative = |path: PathBuf| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_string();
    Some(files(&folder).into_iter().map(|(path, bytes)| (relative(path), bytes)).collect())
}

/// What became of one landed file.
#[derive(Debug)]
struct Outcome {
    /// Its bytes, decompressed.
    bytes: Vec<u8>,
    read: u64,
    merged: u64,
    /// Offset, reason and bytes of its quarantined records, in their order.
    rejects: Vec<(usize, String, Vec<u8>)>,
}

impl Outcome {
    fn count(&self, reason: &str) -> usize {
        self.rejects.iter().filter(|(_, is, _)| is == reason).count()
    }

    /// Reason and text of the quarantined records.
    fn reasons(&self) -> Vec<(&str, &str)> {
        self.rejects.iter().map(|(_, reason, raw)| (reason.as_str(), std::str::from_utf8(raw).unwrap())).collect()
    }
}

/// A lake in which these files have landed in hour 10, one object each, with the table of `migration`.
fn land<'f>(settings: &str, migration: &str, landed: impl IntoIterator<Item = (&'f String, &'f Vec<u8>)>) -> Lake {
    let lake = Lake::small(settings);
    lake.migration(migration);
    for (name, bytes) in landed {
        lake.land("10", &name.replace('/', "-"), bytes);
    }
    lake
}

/// As [`land`], with the table that `infer` makes of the files.
fn land_inferred<'f>(settings: &str, unwrap: Option<&str>, landed: impl IntoIterator<Item = (&'f String, &'f Vec<u8>)>) -> Lake {
    let settings = unwrap.map_or_else(|| settings.to_string(), |field| format!("unwrap = \"{field}\"\n{settings}"));
    let lake = land(&settings, KEEP, landed);
    let landing = lake.path("landing");
    let mut arguments = vec!["infer", landing.to_str().unwrap()];
    arguments.extend(unwrap.iter().flat_map(|field| ["--unwrap", *field]));
    let answer = lake.lakebed(&arguments);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{}", answer.stdout);
    lake.migration(&answer.stdout);
    lake
}

/// Runs the lake and says what became of each file, by its path in the set. Every count balances, and every byte of every file is in a
/// row, in the quarantine, or between two records.
fn run<'f>(lake: &Lake, landed: impl IntoIterator<Item = (&'f String, &'f Vec<u8>)>) -> BTreeMap<&'f str, Outcome> {
    let run = lake.run(0);
    let mut told = counted(lake);
    let mut outcomes = BTreeMap::new();
    for (name, bytes) in landed {
        let (read, merged) = told.remove(&name.replace('/', "-")).unwrap_or_else(|| panic!("{name} is no source"));
        outcomes.insert(name.as_str(), Outcome { bytes: unzip(bytes), read, merged, rejects: Vec::new() });
    }
    assert!(told.is_empty(), "{told:?}");
    let records = &run["tables"][0]["records"];
    if records["quarantined"] != 0 {
        quarantined(lake, &mut outcomes);
    }
    let sum = |count: fn(&Outcome) -> u64| outcomes.values().map(count).sum::<u64>();
    assert_eq!(records["read"], sum(|outcome| outcome.read), "{run}");
    assert_eq!(records["merged"], sum(|outcome| outcome.merged), "{run}");
    assert_eq!(records["quarantined"], sum(|outcome| outcome.rejects.len() as u64), "{run}");
    assert_eq!(lake.query("SELECT count(*) AS n FROM shop.clicks")[0]["n"], records["merged"]);
    outcomes.iter().for_each(|(name, outcome)| balance(name, outcome));
    outcomes
}

/// Adds the records of the quarantine to the outcomes of their files.
fn quarantined(lake: &Lake, outcomes: &mut BTreeMap<&str, Outcome>) {
    let names: BTreeMap<String, &str> = outcomes.keys().map(|name| (name.replace('/', "-"), *name)).collect();
    for row in lake.query("SELECT object, byte_offset, reason, raw FROM shop.clicks_quarantine ORDER BY object, byte_offset") {
        let object = row["object"].as_str().unwrap().strip_prefix("2026/11/19/10/").unwrap();
        let offset = usize::try_from(row["byte_offset"].as_u64().unwrap()).unwrap();
        let reject = (offset, row["reason"].as_str().unwrap().to_string(), unhex(row["raw"].as_str().unwrap()));
        outcomes.get_mut(names[object]).unwrap().rejects.push(reject);
    }
}

/// Records read and merged of every object, by its name, as the ledger has them.
fn counted(lake: &Lake) -> BTreeMap<String, (u64, u64)> {
    let ledgers = files(&lake.path(".lakebed/ledger"));
    let text = ledgers.iter().rfind(|(path, _)| path.extension().is_some_and(|extension| extension == "json")).unwrap().1;
    let head: Value = serde_json::from_slice(text).unwrap();
    let of = |source: &Value| {
        let name = source["key"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
        (name, (source["counts"]["read"].as_u64().unwrap(), source["counts"]["merged"].as_u64().unwrap()))
    };
    head["sources"].as_array().unwrap().iter().map(of).collect()
}

/// Every byte of a file is accounted for: quarantined bytes stand where they are said to stand, and are what the reason says; between
/// them stand the objects that became rows, and what may stand between records.
fn balance(name: &str, outcome: &Outcome) {
    assert_eq!(outcome.read, outcome.merged + outcome.rejects.len() as u64, "{name}");
    let (mut rows, mut end) = (0, 0);
    for (offset, reason, raw) in &outcome.rejects {
        assert_eq!(&outcome.bytes[*offset..][..raw.len()], raw, "{name}");
        rows += objects(name, &outcome.bytes[end..*offset]);
        end = offset + raw.len();
        let is_json = serde_json::from_slice::<IgnoredAny>(raw).is_ok();
        // A number at the end of an array that was cut is malformed: more digits may have followed.
        let is_cut = end == outcome.bytes.trim_ascii_end().len();
        assert!(is_json != (reason == "malformed_json") || is_json && is_cut, "{name}: {reason} {}", String::from_utf8_lossy(raw));
        let begins = raw.first().is_some_and(|first| *first == b'{');
        assert!(reason != "not_an_object" || !begins, "{name}: {}", String::from_utf8_lossy(raw));
    }
    rows += objects(name, &outcome.bytes[end..]);
    assert_eq!(outcome.merged, rows, "{name}");
}

/// How many objects stand in `bytes`, one after the other, with only what may stand between records between them.
fn objects(name: &str, bytes: &[u8]) -> u64 {
    let (mut found, mut pos) = (0, 0);
    while pos < bytes.len() {
        match bytes[pos..] {
            [b' ' | b'\n' | b'\r' | b'\t' | b',' | b'[' | b']', ..] => pos += 1,
            [b'\\', b'n' | b'r' | b't', ..] => pos += 2,
            [0xEF, 0xBB, 0xBF, ..] => pos += 3,
            [b'{', ..] => {
                let mut stream = serde_json::Deserializer::from_slice(&bytes[pos..]).into_iter::<IgnoredAny>();
                assert!(stream.next().is_some_and(|object| object.is_ok()), "{name}: a row of {}", String::from_utf8_lossy(&bytes[pos..]));
                pos += stream.byte_offset();
                found += 1;
            }
            _ => panic!("{name}: bytes that are nowhere: {}", String::from_utf8_lossy(&bytes[pos..])),
        }
    }
    found
}

/// The documents of a text as serde_json reads them, those of an array each on its own: what the records are.
fn judged(bytes: &[u8]) -> Option<Vec<Value>> {
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().collect::<Result<Vec<_>, _>>().ok()?;
    let of = |document| match document {
        Value::Array(elements) => elements,
        other => vec![other],
    };
    Some(documents.into_iter().flat_map(of).collect())
}

/// The fields of a row of a table [`KEEP`], as the object that they were.
fn kept(row: &Value) -> Value {
    let mut object = serde_json::Map::new();
    for (name, text) in row["rescued"].as_object().unwrap() {
        // The second of two equal names; serde_json has the last one too, in the place of the first.
        let name = name.strip_suffix("#2").filter(|first| object.contains_key(*first)).unwrap_or(name).to_string();
        object.insert(name, serde_json::from_str(text.as_str().unwrap()).unwrap());
    }
    object.into()
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out).unwrap();
    out
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Values as texts, ordered, so that two lists are equal if they hold the same.
fn sorted(values: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut texts: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    texts.sort_unstable();
    texts
}
