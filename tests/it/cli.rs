//! The command line as a new user meets it: the built binary, its answers, its exit codes, and what it leaves on disk.

mod failures;
mod history;
mod infer;
mod kept;
mod limits;
mod moved;
mod placements;
mod places;
mod privacy;
mod query;
mod records;
mod redrive;
mod repair;
mod reports;
mod rollback;
mod runs;
mod scatter;
mod sweep;
mod unended;
mod usage;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::support::{AT, Answer, Lake};

/// `run --at AT`, for people.
const RUN: [&str; 3] = ["run", "--at", AT];

/// Folders (`None`) and files below a folder, with content and time of change.
type Snapshot = BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)>;

fn snapshot(folder: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.symlink_metadata().unwrap().modified().unwrap();
        let content = if path.is_dir() { None } else { Some(std::fs::read(&path).unwrap()) };
        if path.is_dir() {
            found.append(&mut snapshot(&path));
        }
        found.insert(path, (content, changed));
    }
    found
}

/// The command was refused: this exit code, nothing on standard output, and one line on standard error that has all these words.
fn refused(answer: &Answer, code: i32, words: &[&str]) {
    let told = format!("{}\nstdout: {}\nstderr: {}", answer.code, answer.stdout, answer.stderr);
    assert_eq!(answer.code, code, "{told}");
    assert_eq!(answer.stdout, "", "{told}");
    one_message(&answer.stderr, words);
}

/// One line that has all these words, begins with the program's name and ends in no detail for programmers.
fn one_message(stderr: &str, words: &[&str]) {
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("lakebed: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("Error {") && !stderr.contains("Some("), "{stderr}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// As `raw` of a quarantine is printed.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The ids of a small table, in order.
fn ids(lake: &Lake) -> Vec<String> {
    let rows = lake.query("SELECT id FROM shop.clicks ORDER BY id");
    rows.iter().map(|row| row["id"].as_str().unwrap().to_string()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
