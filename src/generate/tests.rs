//! What a whole generated clickstream promises.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use sha2::{Digest, Sha256};

use super::*;

fn small() -> Settings {
    Settings { seed: 42, hours: 2, objects_per_hour: 5, records: 3_000, late: 0.2, bad: 0.02, duplicates: 0.03, ..Settings::default() }
}

fn made(settings: &Settings) -> Vec<GeneratedObject> {
    objects(settings).unwrap().collect()
}

fn summed(objects: &[GeneratedObject]) -> Summary {
    let mut summary = Summary::default();
    objects.iter().for_each(|object| summary.add(object));
    summary
}

fn text_of(object: &GeneratedObject) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(object.body.as_slice()).read_to_end(&mut text).unwrap();
    text
}

fn digest(settings: &Settings) -> String {
    let mut hasher = Sha256::new();
    for object in made(settings) {
        hasher.update(object.key.as_bytes());
        hasher.update(&object.body);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Splits delimited text, where a bad record cannot hide its neighbours.
fn lines(settings: &Settings) -> Vec<Vec<u8>> {
    let made = made(&Settings { framing: Framing::Newline, compression: Compression::None, ..settings.clone() });
    made.iter().flat_map(|object| object.body.split_inclusive(|b| *b == b'\n').map(|line| line[..line.len() - 1].to_vec())).collect()
}

#[test]
fn equal_settings_make_equal_bytes_on_every_machine() {
    let plain = Settings { compression: Compression::None, ..small() };
    assert_eq!(digest(&plain), "e0510675d1584e22deee4bfac3f51db24a06121286ce10614be0c99811a6e685");
    assert_ne!(digest(&small()), digest(&Settings { seed: 43, ..small() }));
}

#[test]
fn every_good_record_is_json_with_an_id_of_its_own() {
    let lines = lines(&Settings { bad: 0.0, duplicates: 0.0, ..small() });
    let ids: BTreeSet<String> = lines
        .iter()
        .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["event_id"].as_str().unwrap().to_string())
        .collect();
    assert_eq!((lines.len(), ids.len()), (3_000, 3_000));
}

#[test]
fn the_shares_are_met_and_the_summary_says_what_the_bytes_hold() {
    let summary = summed(&made(&small()));
    assert_eq!((summary.objects, summary.records, summary.late_objects), (10, 3_000, 2));
    assert_eq!((summary.bad_records(), summary.duplicates), (60, 90));
    assert!(BadKind::ALL.iter().all(|kind| summary.bad[kind] == 10), "{:?}", summary.bad);
    let (mut seen, mut repeated, mut refused) = (BTreeSet::new(), 0, BTreeMap::new());
    for line in lines(&small()) {
        match refusal(&line) {
            Some(kind) => *refused.entry(kind).or_default() += 1,
            None => repeated += u64::from(!seen.insert(line)),
        }
    }
    assert_eq!((refused, repeated), (summary.bad, summary.duplicates));
}

/// Why a table of clicks refuses a record, told from its bytes alone.
fn refusal(line: &[u8]) -> Option<BadKind> {
    if std::str::from_utf8(line).is_err() {
        return Some(BadKind::InvalidUtf8);
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { return Some(BadKind::Truncated) };
    if !value.is_object() {
        return Some(BadKind::NotAnObject);
    }
    let Some(id) = value["event_id"].as_str() else { return Some(BadKind::MissingId) };
    if id.len() != 36 {
        return Some(BadKind::NotAUuid);
    }
    let items = value["items"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().any(|item| !item["quantity"].is_u64()).then_some(BadKind::WrongType)
}

#[test]
fn the_parts_are_the_whole() {
    let part = |part| made(&Settings { part, ..small() });
    let mut parts = [part(Part::OnTime), part(Part::Late)].concat();
    assert_eq!(summed(&part(Part::Late)).late_objects, 2);
    let mut all = part(Part::All);
    parts.sort_by(|a, b| a.key.cmp(&b.key));
    all.sort_by(|a, b| a.key.cmp(&b.key));
    assert!(parts == all, "on-time and late objects together are not all objects");
}

#[test]
fn a_bad_record_costs_one_record_even_where_nothing_stands_between_records() {
    for settings in [small(), Settings { bad: 0.5, ..small() }, Settings { bad: 1.0, duplicates: 0.0, ..small() }] {
        let expected = summed(&made(&settings));
        let (mut good, mut bad) = (0, 0);
        for object in made(&settings) {
            let (object_good, object_bad) = resynchronize(&text_of(&object));
            (good, bad) = (good + object_good, bad + object_bad);
        }
        assert_eq!((good, bad), (expected.records - expected.bad_records(), expected.bad_records()), "bad {}", settings.bad);
    }
}

/// Reads concatenated documents by the rule of lakebed's own reader: behind an error the next record is a `{` directly behind a
/// `}` from which a whole document parses. Returns accepted and refused records.
fn resynchronize(text: &[u8]) -> (u64, u64) {
    let (mut good, mut bad, mut at) = (0, 0, 0);
    while at < text.len() {
        if let Some(length) = document(&text[at..]) {
            match refusal(&text[at..at + length]) {
                None => good += 1,
                Some(_) => bad += 1,
            }
            at += length;
        } else {
            bad += 1;
            let next = (at + 1..text.len()).find(|i| text[i - 1] == b'}' && text[*i] == b'{' && document(&text[*i..]).is_some());
            at = next.unwrap_or(text.len());
        }
    }
    (good, bad)
}

fn document(text: &[u8]) -> Option<usize> {
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>();
    documents.next()?.ok()?;
    Some(documents.byte_offset())
}

#[test]
fn framing_and_compression_change_nothing_else() {
    let plain: Vec<u8> = made(&small()).iter().flat_map(text_of).collect();
    let members: Vec<u8> = made(&Settings { compression: Compression::GzipMembers, ..small() }).iter().flat_map(text_of).collect();
    assert!(plain == members, "multi-member gzip holds other text");
    assert!(plain == lines(&small()).concat(), "delimited records are other records");
    let crlf = made(&Settings { framing: Framing::Crlf, compression: Compression::None, ..small() });
    assert!(crlf.iter().all(|object| object.body.ends_with(b"\r\n") && !object.key.ends_with(".gz")));
}

#[test]
fn a_folder_holds_what_the_summary_says_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let summary = write_to(&folder.path().join("landing"), &small()).unwrap();
    let mut bytes = 0;
    for object in made(&small()) {
        let written = std::fs::read(folder.path().join("landing").join(&object.key)).unwrap();
        assert!(written == object.body, "{}", object.key);
        bytes += written.len() as u64;
    }
    assert_eq!((summary.objects, summary.bytes), (10, bytes));
    let top: Vec<_> = std::fs::read_dir(folder.path().join("landing")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(top, ["2026"]);
}

#[test]
fn settings_that_cannot_be_met_make_nothing() {
    assert!(objects(&Settings { hours: 0, ..small() }).is_err());
    assert!(write_to(std::path::Path::new("/nowhere"), &Settings { records: 1, ..small() }).is_err());
}

fn example() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clicks")
}

/// The settings that `examples/clicks/README.md` names.
fn example_settings() -> Settings {
    Settings {
        seed: 2026,
        first_hour: "2026-11-19T10".parse().unwrap(),
        hours: 4,
        objects_per_hour: 4,
        records: 8_000,
        bad: 0.005,
        duplicates: 0.01,
        ..Settings::default()
    }
}

#[test]
fn the_example_is_what_its_settings_make() {
    let objects = made(&example_settings());
    for object in &objects {
        let landed = std::fs::read(example().join("landing").join(&object.key)).unwrap_or_else(|e| panic!("{}: {e}", object.key));
        assert!(landed == object.body, "{} differs from what is generated", object.key);
    }
    let landed: usize = (10..14).map(|hour| std::fs::read_dir(example().join(format!("landing/2026/11/19/{hour}"))).unwrap().count()).sum();
    assert_eq!(landed, objects.len());
}

#[test]
fn the_example_table_has_a_column_for_every_field_but_one() {
    let ddl = std::fs::read_to_string(example().join("migrations/shop.clicks/0001_create.sql")).unwrap();
    let columns: BTreeSet<String> = ddl.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).map(str::to_string).collect();
    let mut fields = BTreeSet::from(["rescued".to_string()]);
    for line in lines(&Settings { bad: 0.0, ..small() }) {
        let event: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&line).unwrap();
        fields.extend(event.into_iter().map(|(field, _)| field));
    }
    assert!(columns.is_subset(&fields), "{columns:?}");
    assert_eq!(fields.difference(&columns).collect::<Vec<_>>(), ["consent"]);
}
