//! `sweep`: what it removes, what it leaves, and that it goes on where it was cut off.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lakebed::catalog::TableName;
use lakebed::generate::{Part, Settings};
use lakebed::layout;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::support::outcome::leftovers;
use super::super::support::{Lake, files};
use super::{ids, refused, snapshot};

/// An attempt of 2024.
const DEAD: &str = "01J00000000000000000000000";
const PARTITION: &str = "year=2026/month=11/day=19/hour=14";

/// An hour that was amended, in a lake with this grace.
fn amended(grace: &str) -> Lake {
    let lake = Lake::small("");
    lake.set("grace", grace);
    for name in ["a", "b"] {
        lake.land("14", name, format!("{{\"id\":\"{name}\"}}{{\"id\":\"{name}{name}\"}}{{\"id\":\"x\",\"n\":\"x\"}}").as_bytes());
        lake.run(0);
    }
    lake
}

fn sweep(lake: &Lake) -> Value {
    lake.lakebed(&["sweep", "--output", "json"]).json(0)
}

/// What was removed: kinds, in order.
fn kinds(summary: &Value) -> Vec<&str> {
    summary["removed"].as_array().unwrap().iter().map(|removed| removed["kind"].as_str().unwrap()).collect()
}

fn write(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "12345").unwrap();
}

/// The files of the first generations, of the data and the quarantine.
fn first(lake: &Lake) -> Vec<(PathBuf, Vec<u8>)> {
    let all = files(&lake.path("lake")).into_iter().chain(files(&lake.path(".lakebed/quarantine")));
    all.filter(|(path, _)| path.to_string_lossy().contains("/g00000001-")).collect()
}

#[test]
fn retired_generations_past_their_grace_are_removed() {
    let lake = amended("0s");
    let bytes: usize = first(&lake).iter().map(|(_, bytes)| bytes.len()).sum();
    let before = snapshot(lake.folder.path());
    let dry = lake.lakebed(&["sweep", "--dry-run", "--output", "json"]).json(0);
    assert_eq!((kinds(&dry), &dry["freed_bytes"]), (vec!["retired", "retired"], &json!(bytes)));
    assert_eq!(dry["removed"][0]["table"], "shop.clicks");
    assert_eq!(dry["removed"][0]["partition"], PARTITION);
    let text = lake.lakebed(&["sweep", "shop.clicks", "--dry-run"]).stdout;
    assert!(text.starts_with("would remove retired generation file://"), "{text}");
    assert!(text.ends_with(&format!("would free {bytes} bytes (retired generation: 2, {bytes} bytes)\n")), "{text}");
    assert_eq!(snapshot(lake.folder.path()), before);

    let waiting = lake.lakebed(&["status", "--output", "json"]).json(0);
    assert_eq!(waiting[0]["retired_bytes"], json!(bytes));
    let done = sweep(&lake);
    assert_eq!((&done["removed"], &done["freed_bytes"]), (&dry["removed"], &json!(bytes)));
    assert_eq!((first(&lake), leftovers(&lake)), (vec![], vec![]));
    assert_eq!(ids(&lake), ["a", "aa", "b", "bb"]);
    let partition = &lake.partitions()[0];
    assert_eq!(
        (&partition["ledger_version"], &partition["in_catalog"], &partition["state"]),
        (&json!(3), &json!(true), &json!("amended(1)"))
    );

    let before: Vec<PathBuf> = snapshot(lake.folder.path()).into_keys().collect();
    assert_eq!(lake.lakebed(&["sweep"]).stdout, "nothing to remove\n");
    assert_eq!(lake.run(0)["tables"][0]["registered"], false);
    assert_eq!(snapshot(lake.folder.path()).into_keys().collect::<Vec<_>>(), before);
    let back = |more: &[&str]| lake.lakebed(&[&["rollback", "shop.clicks", "2026-11-19T14"], more].concat());
    refused(&back(&[]), 1, &["none was retired, or all were swept"]);
    refused(&back(&["--to", "g00000001"]), 2, &["it was swept, or there never was one"]);
}

/// The bytes of all files of the table, of a file with several names once.
fn on_disk(lake: &Lake) -> u64 {
    let all = files(&lake.path("lake")).into_keys().map(|path| std::fs::metadata(path).unwrap());
    let by_file: BTreeMap<(u64, u64), u64> = all.map(|file| ((file.dev(), file.ino()), file.len())).collect();
    by_file.values().sum()
}

#[test]
fn what_other_generations_have_too_does_not_count_as_freed() {
    for all_anew in [false, true] {
        let merge = "[table.merge]\ntarget_file_size = \"64KiB\"\nrow_group_size = \"16KiB\"";
        let lake = Lake::new(merge);
        let all = Settings { records: 4_000, objects_per_hour: 8, late: 0.5, ..Settings::default() };
        lake.generate(&Settings { part: Part::OnTime, ..all.clone() });
        lake.run(0);
        lake.generate(&Settings { part: Part::Late, ..all });
        lake.run(0);
        let full: Vec<u64> = lake
            .live_files()
            .iter()
            .map(|file| std::fs::metadata(file).unwrap())
            .filter(|file| file.nlink() == 2)
            .map(|file| file.len())
            .collect();
        assert!(full.len() > 1, "the first generation has {full:?} of the second");
        if all_anew {
            lake.configure(&format!("{merge}\ncompression = \"snappy\""));
            let again = lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10", "--from-merged", "--output", "json"]).json(0);
            assert_eq!(again["action"], "repaired");
        }
        lake.set("grace", "0s");
        let dry = lake.lakebed(&["sweep", "--dry-run", "--output", "json"]).json(0);
        let waiting = lake.lakebed(&["status", "--output", "json"]).json(0)[0]["retired_bytes"].clone();
        let (before, done) = (on_disk(&lake), sweep(&lake));
        let freed = before - on_disk(&lake);
        assert_eq!((&done["removed"], &done["freed_bytes"]), (&dry["removed"], &json!(freed)), "{all_anew}");
        assert_eq!((&dry["freed_bytes"], &waiting), (&json!(freed), &json!(freed)));
        let named: u64 = done["removed"].as_array().unwrap().iter().map(|removed| removed["bytes"].as_u64().unwrap()).sum();
        assert_eq!((named, kinds(&done).len(), freed > full.iter().sum()), (freed, 1 + usize::from(all_anew), all_anew));
    }
}

#[test]
fn what_was_retired_just_now_stays_whatever_time_the_run_was_made_for() {
    let lake = amended("24h");
    let before = first(&lake);
    assert_eq!(kinds(&sweep(&lake)), Vec::<&str>::new());
    assert_eq!((first(&lake), before.len()), (before, 2));
}

#[test]
fn a_generation_that_was_gone_back_to_is_live() {
    let lake = amended("0s");
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T14"]).code, 0);
    let done = sweep(&lake);
    assert!(done["removed"].as_array().unwrap().iter().all(|gone| gone["location"].as_str().unwrap().contains("/g00000002-")), "{done}");
    assert_eq!((kinds(&done).len(), first(&lake).len(), ids(&lake)), (2, 2, vec!["a".to_string(), "aa".into()]));
    assert_eq!(leftovers(&lake), Vec::<String>::new());
}

#[test]
fn a_sweep_that_was_cut_off_after_its_commit_is_ended_by_the_next() {
    let lake = amended("0s");
    let gone = first(&lake);
    sweep(&lake);
    for (path, bytes) in &gone {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let foreign = gone[0].0.with_file_name("notes.txt");
    write(&foreign);
    assert_eq!(kinds(&sweep(&lake)), ["retired", "retired"]);
    assert_eq!(leftovers(&lake), [foreign.strip_prefix(lake.folder.path()).unwrap().to_str().unwrap()]);
    assert_eq!(ids(&lake), ["a", "aa", "b", "bb"]);
}

#[test]
fn what_the_catalog_points_to_stays() {
    let lake = Lake::small("");
    lake.set("grace", "0s");
    lake.land("14", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let old = std::fs::read(lake.path(".lakebed/catalog.db")).unwrap();
    lake.land("14", "b", b"{\"id\":\"b\"}");
    lake.run(0);
    std::fs::write(lake.path(".lakebed/catalog.db"), old).unwrap();
    let done = sweep(&lake);
    assert_eq!((kinds(&done), first(&lake).len()), (vec![], 1));
    assert!(done["warnings"][0].as_str().unwrap().contains("the catalog still points to file://"), "{done}");
    assert_eq!(ids(&lake), ["a"]);
    lake.run(0);
    assert_eq!(kinds(&sweep(&lake)), ["retired"]);
    assert_eq!(ids(&lake), ["a", "b"]);
}

#[test]
fn what_dead_attempts_left_is_removed_and_nothing_else() {
    let lake = amended("24h");
    let run = lake.run(0);
    let young = run["run"].as_str().unwrap();
    let state = lake.path(".lakebed");
    let dead = [
        lake.path(&format!("lake/{PARTITION}/g00000002-{DEAD}/part-00000.parquet")),
        lake.path(&format!("lake/{PARTITION}/g00000002-{DEAD}/part-00001.parquet#1")),
        lake.path(&format!("lake/year=2026/month=11/day=19/hour=15/g00000001-{DEAD}/part-00000.parquet")),
        state.join(format!("quarantine/shop.clicks/{PARTITION}/g00000002-{DEAD}/part-00000.parquet")),
        state.join(format!("ledger/shop.clicks/{PARTITION}/00000000000000000002.json.{DEAD}")),
        state.join(format!("probe-{DEAD}")),
        state.join(format!("note-shop.clicks-00000000000000000002-{DEAD}.{DEAD}")),
        state.join(format!("spill-{DEAD}/sorted")),
    ];
    let kept = [
        lake.path(&format!("lake/{PARTITION}/g00000003-{young}/part-00000.parquet")),
        lake.path(&format!("lake/day=1/g00000001-{DEAD}/part-00000.parquet")),
        lake.path(&format!("lake/backup/{PARTITION}/g00000001-{DEAD}/part-00000.parquet")),
        lake.path("lake/notes.txt"),
        state.join(format!("ledger/shop.clicks/{PARTITION}/00000000000000000002.json.bak")),
        state.join(format!("probe-{young}")),
        state.join(format!("note-shop.clicks-00000000000000000003-{young}.{young}")),
    ];
    dead.iter().chain(&kept).for_each(|path| write(path));
    let dry = lake.lakebed(&["sweep", "--dry-run", "--output", "json"]).json(0);
    assert!(dead.iter().all(|path| path.exists()));
    let done = sweep(&lake);
    assert_eq!((&done["removed"], &done["freed_bytes"]), (&dry["removed"], &json!(40)));
    assert_eq!(kinds(&done), ["orphan", "orphan", "orphan", "unfinished", "unfinished", "unfinished", "unfinished"]);
    assert!(dead.iter().all(|path| !path.exists()) && !dead[0].parent().unwrap().exists() && kept.iter().all(|path| path.exists()));
    // The two first generations, and the two folders of others that look like one.
    assert_eq!((kinds(&sweep(&lake)).len(), first(&lake).len(), ids(&lake).len()), (0, 4, 4));
}

#[test]
fn staged_files_of_merged_objects_are_removed() {
    let lake = amended("0s");
    let table = TableName::parse("shop.clicks").unwrap();
    let staged = |key: &str| {
        let source: String = Sha256::digest(key).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        lake.path(".lakebed").join(layout::staged_key(&table, "2026-11-19T14".parse().unwrap(), &source, "0123456789abcdef"))
    };
    let (merged, waiting) = (staged("2026/11/19/14/a"), staged("2026/11/19/14/c"));
    [&merged, &waiting].into_iter().for_each(|path| write(path));
    let done = sweep(&lake);
    assert_eq!(kinds(&done), ["retired", "retired", "staged"]);
    assert!(!merged.exists() && waiting.exists());
}

#[test]
fn a_lake_that_does_not_exist_has_nothing() {
    let lake = Lake::small("");
    let before = snapshot(lake.folder.path());
    assert_eq!(lake.lakebed(&["sweep", "--dry-run"]).stdout, "nothing to remove\n");
    refused(&lake.lakebed(&["sweep", "shop.click"]), 2, &["did you mean `shop.clicks`?"]);
    assert_eq!(snapshot(lake.folder.path()), before);
}
