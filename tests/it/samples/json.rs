//! What is JSON and what is not: the JSONTestSuite, and the files of the old JSON checker.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{ALL, KEEP, Outcome, judged, kept, land, run, samples, sorted};
use crate::support::Lake;

/// The files of the suite whose names begin like this.
fn suite(begin: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut files = samples("jsontestsuite/test_parsing")?;
    assert_eq!(files.len(), 318);
    files.retain(|name, _| name.starts_with(begin));
    Some(files)
}

/// The records of valid files are those that serde_json reads: objects are rows with all their fields, others are kept in the quarantine.
/// The elements of a top-level array are the records.
fn check_valid(lake: &Lake, outcomes: &BTreeMap<&str, Outcome>) {
    let mut rows = Vec::new();
    for (name, outcome) in outcomes {
        let records = judged(&outcome.bytes).unwrap_or_else(|| panic!("{name} is not valid"));
        let (objects, others): (Vec<Value>, Vec<Value>) = records.into_iter().partition(Value::is_object);
        assert_eq!((outcome.merged, outcome.count("not_an_object")), (objects.len() as u64, others.len()), "{name}");
        assert_eq!(outcome.rejects.len(), others.len(), "{name}: {:?}", outcome.rejects);
        let raw = |(_, _, raw): &(usize, String, Vec<u8>)| serde_json::from_slice::<Value>(raw).unwrap();
        assert_eq!(outcome.rejects.iter().map(raw).collect::<Vec<_>>(), others, "{name}");
        rows.extend(objects);
    }
    assert_eq!(sorted(lake.query("SELECT rescued FROM shop.clicks").iter().map(kept)), sorted(rows));
}

// Holds once the elements of a top-level array are its records.
#[test]
fn valid_documents_are_rows_or_kept() {
    let Some(files) = suite("y_") else { return };
    assert_eq!(files.len(), 95);
    let lake = land(ALL, KEEP, &files);
    check_valid(&lake, &run(&lake, &files));
}

/// Invalid documents that are, as a stream of documents one behind the other, partly or wholly records: the number of rows, and reason
/// and bytes of the others.
type Partly = (&'static str, u64, &'static [(&'static str, &'static str)]);

const STREAMS: &[Partly] = &[
    // No document at all is no record.
    ("n_structure_no_data.json", 0, &[]),
    ("n_single_space.json", 0, &[]),
    ("n_structure_UTF8_BOM_no_data.json", 0, &[]),
    // Two arrays without elements: two documents without records.
    ("n_structure_double_array.json", 0, &[]),
    // A comma may stand between documents.
    ("n_array_comma_after_close.json", 0, &[("not_an_object", "\"\"")]),
    // A whole document, and something that is none behind it.
    ("n_multidigit_number_then_00.json", 0, &[("not_an_object", "123"), ("malformed_json", "\0")]),
    ("n_string_with_trailing_garbage.json", 0, &[("not_an_object", "\"\""), ("malformed_json", "x")]),
    ("n_structure_close_unopened_array.json", 0, &[("not_an_object", "1"), ("malformed_json", "]")]),
    ("n_structure_number_with_trailing_garbage.json", 0, &[("not_an_object", "2"), ("malformed_json", "@")]),
    ("n_object_trailing_comment.json", 1, &[("malformed_json", "/**/")]),
    ("n_object_trailing_comment_open.json", 1, &[("malformed_json", "/**//")]),
    ("n_object_trailing_comment_slash_open.json", 1, &[("malformed_json", "//")]),
    ("n_object_trailing_comment_slash_open_incomplete.json", 1, &[("malformed_json", "/")]),
    ("n_object_with_trailing_garbage.json", 1, &[("malformed_json", "#")]),
    ("n_structure_object_followed_by_closing_object.json", 1, &[("malformed_json", "}")]),
    // The object behind the mark does not follow a record or a line break, so it belongs to what is broken.
    ("n_structure_trailing_#.json", 1, &[("malformed_json", "#{}")]),
    // Two documents with white space between them.
    ("n_structure_object_with_trailing_garbage.json", 1, &[("not_an_object", "\"x\"")]),
];

// Holds once the elements of a top-level array are its records.
#[test]
fn invalid_documents_are_malformed_with_all_their_bytes() {
    let Some(files) = suite("n_") else { return };
    assert_eq!(files.len(), 188);
    let lake = land(ALL, KEEP, &files);
    for (name, outcome) in run(&lake, &files) {
        if let Some((_, rows, rejects)) = STREAMS.iter().find(|(stream, _, _)| *stream == name) {
            assert_eq!((outcome.merged, outcome.reasons()), (*rows, rejects.to_vec()), "{name}");
            continue;
        }
        assert_eq!(outcome.count("malformed_json"), 1, "{name}: {:?}", outcome.rejects);
        let text = outcome.bytes.trim_ascii();
        if text.first() == Some(&b'[') {
            // The elements before the broken one are records; `run` has seen that no byte is missing.
            assert_eq!(outcome.rejects.last().unwrap().1, "malformed_json", "{name}");
        } else {
            let [(_, _, raw)] = outcome.rejects.as_slice() else { panic!("{name}: {:?}", outcome.rejects) };
            assert_eq!((outcome.merged, raw.as_slice()), (0, text), "{name}");
        }
    }
}

/// The table of `docs/values.md` on these files: name, what becomes of the file, what becomes of its value in a column.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/values.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `i_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
        let [name, stands, value] = cells.as_slice() else { panic!("{line}") };
        (format!("i_{}.json", name.trim_end_matches('`')), (stands.to_string(), value.to_string()))
    };
    rows.map(row).collect()
}

#[test]
fn documents_on_which_readers_may_differ_are_read_as_documented() {
    let Some(files) = suite("i_") else { return };
    let documented = documented();
    assert_eq!(documented.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
    let lake = land(ALL, KEEP, &files);
    for (name, outcome) in run(&lake, &files) {
        let stands = match outcome.rejects.as_slice() {
            [] => format!("{} row", outcome.merged),
            [(_, reason, _)] => format!("quarantined: `{reason}`"),
            more => panic!("{name}: {more:?}"),
        };
        assert_eq!((stands, outcome.read), (documented[name].0.clone(), 1), "{name}");
    }
}

/// The kinds of files, and the column that the value is for.
const COLUMNS: [(&str, &str); 4] =
    [("i_number", "array<double>"), ("i_string", "array<string>"), ("i_object", "map<string,int>"), ("i_structure", "string")];

#[test]
fn values_on_which_readers_may_differ_are_read_as_documented() {
    let Some(files) = suite("i_") else { return };
    let documented = documented();
    let wrap = |(name, bytes): (&String, &Vec<u8>)| {
        let (column, _) = COLUMNS.iter().find(|(begin, _)| name.starts_with(begin)).unwrap();
        (name.clone(), [format!("{{\"file\":\"{name}\",\"{column}\":").as_bytes(), bytes, b"}"].concat())
    };
    let wrapped: BTreeMap<String, Vec<u8>> = files.iter().map(wrap).collect();
    let columns: Vec<String> = COLUMNS.iter().map(|(name, hive)| format!("{name} {hive}")).collect();
    let lake = land(ALL, &KEEP.replace("(rescued", &format!("(`file` string, {}, rescued", columns.join(", "))), &wrapped);
    let outcomes = run(&lake, &wrapped);
    let rows = lake.query("SELECT * FROM shop.clicks");
    for (name, (_, said)) in &documented {
        let outcome = &outcomes[name.as_str()];
        match outcome.rejects.as_slice() {
            [] => {
                let row = rows.iter().find(|row| row["file"] == **name).unwrap();
                let value = COLUMNS.iter().map(|(column, _)| &row[column]).find(|value| !value.is_null()).unwrap();
                assert_eq!(serde_json::from_str::<Value>(said.trim_matches('`')).unwrap(), *value, "{name}");
            }
            [(_, reason, _)] => assert_eq!(&format!("quarantined: `{reason}`"), said, "{name}"),
            more => panic!("{name}: {more:?}"),
        }
    }
}

/// Files of the checker that are named as failures and are valid all the same: a text for a document, a depth that is allowed here, and
/// two equal names.
const CHECKER_VALID: &[&str] = &["fail01_EXCLUDE.json", "fail18_EXCLUDE.json", "fail39_EXCLUDE.json"];

/// Files of the checker in which nothing is malformed for a stream of documents that are not looked into: rows, and records that are no
/// objects.
const CHECKER_STREAMS: &[(&str, u64, usize)] = &[
    // A comma behind an array.
    ("fail07.json", 0, 1),
    ("fail51.json", 0, 0),
    // A text behind an object.
    ("fail10.json", 1, 1),
    // Bytes that are no UTF-8, in a text that is no object: it is in the quarantine for that already.
    ("fail34.json", 0, 1),
    ("fail71.json", 0, 1),
    // Numbers that are too large for a double. They are JSON.
    ("fail41_toolarge.json", 0, 1),
    ("fail60.json", 0, 1),
    ("fail73.json", 0, 1),
    // Nothing but white space.
    ("fail70.json", 0, 0),
];

/// The files of the checker that are valid, or those that are not.
fn checker(valid: bool) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut files = samples("simdjson/jsonchecker")?;
    assert_eq!(files.len(), 111);
    files.retain(|name, _| (name.starts_with("pass") || CHECKER_VALID.contains(&name.as_str())) == valid);
    Some(files)
}

// Holds once the elements of a top-level array are its records.
#[test]
fn the_checkers_good_files_are_read() {
    let Some(files) = checker(true) else { return };
    let lake = land(ALL, KEEP, &files);
    check_valid(&lake, &run(&lake, &files));
}

// Holds once the elements of a top-level array are its records.
#[test]
fn the_checkers_bad_files_are_malformed() {
    let Some(files) = checker(false) else { return };
    let lake = land(ALL, KEEP, &files);
    for (name, outcome) in run(&lake, &files) {
        match CHECKER_STREAMS.iter().find(|(stream, _, _)| *stream == name) {
            Some((_, rows, others)) => {
                assert_eq!((outcome.merged, outcome.rejects.len(), outcome.count("not_an_object")), (*rows, *others, *others), "{name}");
            }
            None => assert!(outcome.count("malformed_json") > 0, "{name}: {outcome:?}"),
        }
    }
}
