//! What a dry run says of each file, beside what the run then does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use lakebed::generate::{Part, Settings};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde_json::{Value, json};

use super::super::support::outcome::Ledgers;
use super::super::support::{AT, Lake, files};
use super::snapshot;

/// What is known of a partition: its objects by key, with their contents and whether they were late, and the files of its live folder.
struct Known {
    sources: BTreeMap<String, (String, bool)>,
    held: BTreeSet<String>,
    files: BTreeMap<String, PathBuf>,
    bytes: BTreeMap<String, (Vec<u8>, u64)>,
}

/// All partitions, by their paths.
fn known(lake: &Lake) -> BTreeMap<String, Known> {
    let of = |head: &lakebed::ledger::LedgerVersion| {
        let folder = PathBuf::from(head.generation.location.strip_prefix("file://").unwrap());
        let files: BTreeMap<String, PathBuf> =
            head.generation.files.iter().map(|file| (file.name.clone(), folder.join(&file.name))).collect();
        let bytes = files.iter().map(|(name, path)| (name.clone(), (std::fs::read(path).unwrap(), inode(path)))).collect();
        let sources = head.sources.iter().map(|source| (source.key.clone(), (source.etag.clone(), source.late))).collect();
        Known { sources, held: head.held.iter().map(|source| source.key.clone()).collect(), files, bytes }
    };
    Ledgers::of(lake).heads().map(|head| (head.partition.to_string(), of(head))).collect()
}

fn inode(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

fn about(bytes: &[u8]) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::copy_from_slice(bytes)).unwrap()
}

/// The bytes of the pages of a row group.
fn row_group(bytes: &[u8], metadata: &ParquetMetaData, number: usize) -> Vec<Vec<u8>> {
    let columns = metadata.row_group(number).columns().iter().map(|column| column.byte_range());
    columns.map(|(start, length)| bytes[start as usize..(start + length) as usize].to_vec()).collect()
}

/// Runs as if, then runs, and holds each sentence of the plan against what became of its file. Returns the plan.
fn done_as_planned(lake: &Lake, code: i32) -> Value {
    let (before, disk) = (known(lake), snapshot(lake.folder.path()));
    let dry = lake.lakebed(&["run", "--at", AT, "--dry-run", "--output", "json"]).json(0);
    assert_eq!(snapshot(lake.folder.path()), disk, "a dry run changes nothing");
    lake.run(code);
    let (plan, after) = (dry["tables"][0]["plan"].clone(), known(lake));
    let landed: BTreeSet<String> = files(&lake.path("landing")).into_keys().map(|path| key(lake, &path)).collect();
    let objects = plan["objects"].as_array().unwrap();
    assert_eq!(objects.iter().map(|object| object["key"].as_str().unwrap().to_string()).collect::<BTreeSet<_>>(), landed);
    assert_eq!(objects.len(), landed.len(), "each object once");
    for object in objects {
        check_object(object, &before, &after);
    }
    let changed: BTreeSet<&String> =
        after.iter().filter(|(partition, known)| before.get(*partition).is_some_and(|b| b.bytes != known.bytes)).map(|(p, _)| p).collect();
    let planned: BTreeSet<String> = plan["files"].as_array().unwrap().iter().map(|file| text(file, "partition")).collect();
    assert!(changed.iter().all(|partition| planned.contains(*partition)), "{changed:?} changed, and in the plan are {planned:?}");
    for partition in planned {
        let of: Vec<&Value> = plan["files"].as_array().unwrap().iter().filter(|file| file["partition"] == *partition).collect();
        assert_eq!(
            of.iter().map(|file| text(file, "file")).collect::<Vec<_>>(),
            before[&partition].files.keys().cloned().collect::<Vec<_>>()
        );
        of.iter().for_each(|file| check_file(file, &before[&partition], &after[&partition]));
    }
    plan
}

fn key(lake: &Lake, path: &std::path::Path) -> String {
    path.strip_prefix(lake.path("landing")).unwrap().to_str().unwrap().to_string()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}")).to_string()
}

fn check_object(object: &Value, before: &BTreeMap<String, Known>, after: &BTreeMap<String, Known>) {
    let (key, why) = (text(object, "key"), text(object, "why"));
    let Some(partition) = object["partition"].as_str() else {
        assert_eq!((text(object, "action").as_str(), why.as_str()), ("left", "hour still open"));
        assert!(after.values().all(|known| !known.sources.contains_key(&key)), "{object}");
        return;
    };
    let was = before.get(partition).and_then(|known| known.sources.get(&key));
    let (is, held) = (after[partition].sources.get(&key), after[partition].held.contains(&key));
    let (was_etag, is_etag) = (was.map(|was| &was.0), is.map(|is| &is.0));
    let expected = match why.as_str() {
        "new" => was.is_none() && is.is_some_and(|is| !is.1),
        "late" => was.is_none() && is.is_some_and(|is| is.1),
        "set aside before, and written again since" => was.is_some() && was_etag != is_etag,
        "taken out by a rollback" => is.is_none() && held,
        "already merged" | "changed since it was merged" | "set aside before" => was.is_some() && was == is,
        _ => panic!("{object}"),
    };
    assert!(expected, "{object}: before {was:?}, after {is:?}");
    let taken = was_etag != is_etag;
    assert_eq!(text(object, "action"), if taken { "taken" } else { "left" }, "{object}");
}

fn check_file(file: &Value, before: &Known, after: &Known) {
    let (name, action) = (text(file, "file"), text(file, "action"));
    let (old, old_inode) = &before.bytes[&name];
    assert_eq!(file["bytes"], json!(old.len()));
    let old_about = about(old);
    assert_eq!(file["rows"], json!(old_about.file_metadata().num_rows()));
    let same_file = after.bytes.values().any(|(_, inode)| inode == old_inode);
    assert_eq!(same_file, action == "copied", "{file}: the same file is in the new folder: {same_file}");
    assert_eq!(file["row_groups"].is_null(), action != "appended to", "{file}");
    if action != "appended to" {
        assert!(["copied", "encoded again"].contains(&action.as_str()), "{file}");
        return;
    }
    let (new, new_about) = (&after.bytes[&name].0, about(&after.bytes[&name].0));
    let count = |field: &str| usize::try_from(file["row_groups"][field].as_u64().unwrap()).unwrap();
    let (copied, again) = (count("copied"), count("encoded_again"));
    assert_eq!(copied + again, old_about.num_row_groups(), "{file}");
    for number in 0..copied {
        assert_eq!(row_group(new, &new_about, number), row_group(old, &old_about, number), "{file}: row group {number}");
    }
    assert!(new_about.num_row_groups() > copied, "{file}: late rows are behind what was copied");
    if again > 0 {
        let rows = |about: &ParquetMetaData, number: usize| about.row_group(number).num_rows();
        let together: i64 = (copied..old_about.num_row_groups()).map(|number| rows(&old_about, number)).sum();
        assert!(rows(&new_about, copied) > together, "{file}: they are one row group now, with the late rows");
    }
}

/// The reasons of a plan, each with what is done and how often.
fn reasons(plan: &Value, of: &str) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in plan[of].as_array().unwrap() {
        *counts.entry(format!("{}: {}", text(one, "action"), text(one, "why"))).or_default() += 1;
    }
    counts.iter().map(|(why, count)| format!("{count} {why}")).collect()
}

#[test]
fn a_dry_run_says_of_each_object_what_the_run_then_does() {
    let lake = Lake::small("");
    let bad = b"{\"id\":\"x\",\"n\":\"x\"}{\"id\":\"y\",\"n\":\"y\"}";
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.land("10", "b", b"{\"id\":\"b\"}");
    lake.land("11", "good", b"{\"id\":\"c\"}");
    for aside in ["again", "aside"] {
        lake.land("11", aside, bad);
    }
    lake.land("12", "first", b"{\"id\":\"d\"}");
    lake.land("19", "open", b"{\"id\":\"o\"}");
    let plan = done_as_planned(&lake, 3);
    assert_eq!(
        (reasons(&plan, "objects"), &plan["files"]),
        (vec!["1 left: hour still open".to_string(), "6 taken: new".into()], &json!([]))
    );

    lake.land("12", "second", b"{\"id\":\"e\"}");
    done_as_planned(&lake, 0);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T12"]).code, 0);
    lake.land("10", "a", b"{\"id\":\"other\"}");
    lake.land("10", "late", b"{\"id\":\"l\"}");
    lake.land("11", "again", b"{\"id\":\"fine\"}");
    lake.land("13", "new", b"{\"id\":\"n\"}");
    let text = lake.lakebed(&["run", "--at", AT, "--dry-run"]).stdout;
    let plan = done_as_planned(&lake, 0);
    assert_eq!(
        reasons(&plan, "objects"),
        [
            "3 left: already merged",
            "1 left: changed since it was merged",
            "1 left: hour still open",
            "1 left: set aside before",
            "1 left: taken out by a rollback",
            "1 taken: late",
            "1 taken: new",
            "1 taken: set aside before, and written again since",
        ]
    );
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "shop.clicks: would amend year=2026/month=11/day=19/hour=10 from 1 object (late)",
        "shop.clicks: would amend year=2026/month=11/day=19/hour=11 from 1 object (set aside before, and written again since)",
        "shop.clicks: would create year=2026/month=11/day=19/hour=13 from 1 object (new)",
        "shop.clicks: left (already merged): 3 landed objects: 2026/11/19/10/b and 2 more",
        "shop.clicks: left (taken out by a rollback): 1 landed object: 2026/11/19/12/second",
        "shop.clicks: left (hour still open): 1 landed object: 2026/11/19/19/open",
    ];
    assert!(expected.iter().all(|line| lines.contains(line)), "{text}");
}

/// A lake whose hour came in two parts of which the second did not land yet.
fn in_parts(merge: &str) -> Lake {
    let lake = Lake::new(merge);
    let all = Settings { records: 4_000, objects_per_hour: 8, late: 0.25, duplicates: 0.03, ..Settings::default() };
    lake.generate(&Settings { part: Part::OnTime, ..all.clone() });
    lake.run(0);
    lake.generate(&Settings { part: Part::Late, ..all });
    lake
}

#[test]
fn a_dry_run_says_of_each_live_file_what_the_run_then_does() {
    let small = "[table.merge]\ntarget_file_size = \"64KiB\"\nrow_group_size = \"16KiB\"";
    let plan = done_as_planned(&in_parts(""), 0);
    assert_eq!(reasons(&plan, "files"), ["1 appended to: less than half a row group"]);
    let plan = done_as_planned(&in_parts(small), 0);
    assert!(reasons(&plan, "files").iter().any(|reason| reason.ends_with(" copied: full") && !reason.starts_with("1 ")), "{plan}");

    // The last file is not full by what a row group is now.
    let lake = in_parts(small);
    lake.configure("[table.merge]\nrow_group_size = \"1MiB\"");
    let plan = done_as_planned(&lake, 0);
    let files = plan["files"].as_array().unwrap().len();
    let behind = format!("{} copied: not the last file", files - 1);
    assert_eq!(reasons(&plan, "files")[1], behind, "{plan}");
    assert!(reasons(&plan, "files")[0].starts_with("1 appended to: "), "{plan}");

    let plan = done_as_planned(&in_parts("[table.merge]\nsort_by = [\"collector_tstamp\"]"), 0);
    assert_eq!(reasons(&plan, "files"), ["1 encoded again: sort_by orders the whole hour"]);
    let lake = in_parts("");
    lake.configure("[table.merge]\ncompression = \"snappy\"");
    let plan = done_as_planned(&lake, 0);
    assert_eq!(reasons(&plan, "files"), ["1 encoded again: other types or codec than new files have"]);

    let lake = in_parts("[table.merge]\ndeduplicate_by = [\"event_id\"]");
    let told = lake.lakebed(&["run", "--at", AT, "--dry-run"]).stdout;
    assert!(told.contains("shop.clicks:   appended to (less than half a row group): 1 live file, "), "{told}");
    assert!(told.contains("shop.clicks:   read of 1 live file, to find duplicates: event_id\n"), "{told}");
    let plan = done_as_planned(&lake, 0);
    assert_eq!(plan["files"][0]["compared"], json!(["event_id"]));
}

#[test]
fn a_dry_run_says_when_many_small_row_groups_become_one() {
    let lake = Lake::small("");
    let mut seen = BTreeSet::new();
    for at in 0..14 {
        lake.land("14", &format!("{at:02}"), format!("{{\"id\":\"{at}\",\"n\":{at}}}").as_bytes());
        seen.extend(reasons(&done_as_planned(&lake, 0), "files"));
    }
    let again = ["1 appended to: less than half a row group", "1 appended to: many small row groups become one"];
    assert!(again.iter().all(|why| seen.contains(*why)), "{seen:?}");
}

#[test]
fn a_hundred_objects_are_a_few_lines() {
    let lake = Lake::small("");
    for at in 0..100 {
        lake.land("10", &format!("{at:03}"), b"{\"id\":\"a\"}");
        lake.land("19", &format!("{at:03}"), b"{\"id\":\"a\"}");
    }
    let told = lake.lakebed(&["run", "--at", AT, "--dry-run"]).stdout;
    assert_eq!(
        told,
        "shop.clicks: would create year=2026/month=11/day=19/hour=10 from 100 objects (new)\n\
         shop.clicks: left (hour still open): 100 landed objects: 2026/11/19/19/000 and 99 more\n\
         shop.clicks: the table does not exist yet and would be created\n"
    );
}

#[test]
fn an_hour_that_could_not_be_amended_is_said_to_fail() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    lake.land("10", "b", b"{\"id\":\"b\"}");
    std::fs::remove_file(&lake.live_files()[0]).unwrap();
    let dry = lake.lakebed(&["run", "--at", AT, "--dry-run", "--output", "json"]).json(1);
    let failure = dry["failures"][0]["error"].as_str().unwrap();
    assert!(failure.contains("which the ledger names"), "{dry}");
    assert_eq!(lake.run(1)["failures"][0]["error"], dry["failures"][0]["error"]);
    assert_eq!(reasons(&dry["tables"][0]["plan"], "objects"), ["1 left: already merged", "1 left: hour fails, and is tried again later"]);
}

#[test]
fn the_plan_of_a_repair_names_each_file() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.land("10", "b", b"{\"id\":\"b\"}");
    lake.run(0);
    lake.land("10", "b", b"{\"id\":\"B\"}");
    lake.land("10", "c", b"{\"id\":\"c\"}");
    let planned = |more: &[&str]| {
        let repair = ["repair", "shop.clicks", "2026-11-19T10", "--dry-run", "--output", "json"];
        lake.lakebed(&[&repair, more].concat()).json(0)["plan"].clone()
    };
    let plan = planned(&[]);
    assert_eq!(reasons(&plan, "objects"), ["1 taken: changed", "1 taken: new", "1 taken: unchanged"]);
    assert_eq!(reasons(&plan, "files"), ["1 left: its rows come from what landed"]);
    let plan = planned(&["--from-merged"]);
    assert_eq!(
        (reasons(&plan, "objects"), reasons(&plan, "files")),
        (vec![], vec!["1 encoded again: written once more, as asked".to_string()])
    );
}
