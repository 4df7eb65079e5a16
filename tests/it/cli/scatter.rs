//! Rows that belong elsewhere: one landed object feeds several partitions, by the time and the columns of its rows, exactly once each.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::clock::FixedClock;
use lakebed::landing::discover;
use lakebed::pipeline;
use lakebed::queue::stage::{Staging, stage};
use serde_json::{Value, json};

use super::super::support::outcome::{Ledgers, Outcome, assert_leftovers_are_of_dead_attempts, leftovers};
use super::super::support::{AT, Answer, Lake, files};
use super::failures::unprivileged;
use super::snapshot;

const NOTHING: [String; 0] = [];

pub(super) const BY_PAGE: &str = "time = \"at\"\npartition_by = \"p=!{column:page}/at_hour=!{timestamp:yyyy-MM-dd-HH}\"\n";

/// A lake whose rows scatter by their time and their page.
pub(super) fn lake(extra: &str) -> Lake {
    let lake = Lake::new(&format!("{BY_PAGE}{extra}"));
    lake.migration(
        "CREATE EXTERNAL TABLE ${table} (event_id string, sequence bigint, collector_tstamp timestamp, at timestamp, page string, \
         rescued map<string,string>) PARTITIONED BY (p string, at_hour string) STORED AS PARQUET LOCATION '${location}'",
    );
    lake
}

pub(super) fn row(id: &str, at: &str, page: &str) -> String {
    json!({"event_id": id, "sequence": 1, "at": at, "page": page}).to_string()
}

/// An hour of 2026-11-19 and a page, for each row.
pub(super) fn rows(rows: &[(&str, &str, &str)]) -> Vec<u8> {
    rows.iter().map(|(id, hour, page)| row(id, &format!("2026-11-19T{hour}:30:00Z"), page)).collect::<String>().into_bytes()
}

/// `partition: ids` of all rows as queries see them, and of all ledgers `partition: object=records`.
pub(super) fn told(lake: &Lake) -> (Vec<String>, Vec<String>) {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in lake.query("SELECT event_id, p, at_hour FROM shop.clicks ORDER BY event_id") {
        let text = |name: &str| row[name].as_str().unwrap_or("null").to_string();
        seen.entry(format!("{} {}", text("p"), text("at_hour"))).or_default().push(text("event_id"));
    }
    let mut ledgers = Vec::new();
    for head in Ledgers::of(lake).heads() {
        let sources = head.sources.iter().map(|source| format!("{}={}", source.key.rsplit('/').next().unwrap(), source.counts.read));
        ledgers.push(format!("{}: {}", head.partition, sources.collect::<Vec<_>>().join(" ")));
    }
    (seen.into_iter().map(|(partition, ids)| format!("{partition}: {}", ids.join(" "))).collect(), ledgers)
}

pub(super) fn objects(run: &Value) -> String {
    let count = |name: &str| run["tables"][0]["objects"][name].as_u64().unwrap_or(0);
    format!(
        "{} landed {} merged {} rejected {} held {} pending",
        count("landed"),
        count("merged"),
        count("rejected"),
        count("held"),
        count("pending")
    )
}

/// Writes other bytes of the same number over a file, so that nothing but its content tells.
fn spoil(file: &Path) {
    let (bytes, changed) = (std::fs::read(file).unwrap(), file.metadata().unwrap().modified().unwrap());
    std::fs::write(file, vec![b'x'; bytes.len()]).unwrap();
    std::fs::File::options().write(true).open(file).unwrap().set_modified(changed).unwrap();
}

#[test]
fn one_object_feeds_several_hours_and_pages_once_each() {
    let lake = lake("");
    let first = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y"), ("3", "12", "x"), ("4", "10", "x"), ("5", "12", "y")]));
    let second = lake.land("12", "b", &rows(&[("6", "12", "x")]));
    let run = lake.run(0);
    assert_eq!(objects(&run), "2 landed 2 merged 0 rejected 0 held 0 pending");
    assert_eq!(run["tables"][0]["records"]["read"], 6);
    assert_eq!(run["tables"][0]["partitions"].as_array().unwrap().len(), 4);
    let (seen, ledgers) = told(&lake);
    assert_eq!(seen, ["x 2026-11-19-10: 1 4", "x 2026-11-19-12: 3 6", "y 2026-11-19-11: 2", "y 2026-11-19-12: 5"]);
    let hour = |page: &str, hour: &str, sources: &str| format!("p={page}/at_hour=2026-11-19-{hour}: {sources}");
    assert_eq!(ledgers, [hour("x", "10", "a=2"), hour("x", "12", "a=1 b=1"), hour("y", "11", "a=1"), hour("y", "12", "a=1")]);
    assert_eq!(leftovers(&lake), NOTHING);

    // A run with nothing to do reads no landed object.
    [&first, &second].into_iter().for_each(|file| spoil(file));
    let before = snapshot(lake.folder.path());
    assert_eq!(objects(&lake.run(0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
    assert_eq!(snapshot(lake.folder.path()), before);

    lake.land("12", "late", &rows(&[("7", "10", "x"), ("8", "12", "z")]));
    let run = lake.run(0);
    assert_eq!(objects(&run), "3 landed 3 merged 0 rejected 0 held 0 pending");
    assert_eq!(run["tables"][0]["records"]["read"], 2);
    let (seen, _) = told(&lake);
    assert_eq!(seen[0], "x 2026-11-19-10: 1 4 7");
    assert_eq!(seen[4], "z 2026-11-19-12: 8");
    let pruned = lake.lakebed(&["query", "EXPLAIN SELECT count(*) FROM shop.clicks WHERE p = 'z'"]).stdout;
    assert_eq!(pruned.matches(".parquet").count(), 1, "{pruned}");
}

#[test]
fn what_has_no_better_place_is_in_the_partition_of_the_arrival_hour() {
    let lake = lake("");
    let mut body = row("null", "", "x").replace("\"at\":\"\"", "\"at\":null").into_bytes();
    body.extend(row("old", "1970-01-01T00:00:00Z", "x").into_bytes());
    body.extend(row("next", "2099-01-01T00:00:00Z", "x").into_bytes());
    body.extend(b"{\"event_id\":\"nowhere\",\"at\":\"2026-11-19T11:00:00Z\"}{\"event_id\":\"bad\",\"sequence\":\"x\"}");
    lake.land("12", "a", &body);
    lake.land("13", "good", &rows(&[("good", "11", "x")]));
    lake.land("14", "empty", b"");
    let run = lake.run(0);
    assert_eq!(objects(&run), "3 landed 2 merged 1 rejected 0 held 0 pending");
    let warnings = run["tables"][0]["warnings"].to_string();
    assert!(
        warnings.contains(
            "of what arrived in 2026-11-19T12, 3 rows are in the partition of that hour, as at is null there, or more than 365 days before"
        ),
        "{warnings}"
    );
    let (seen, ledgers) = told(&lake);
    assert_eq!(seen, ["null 2026-11-19-11: nowhere", "x 2026-11-19-11: good", "x 2026-11-19-12: next null old"]);
    let none = "p=__HIVE_DEFAULT_PARTITION__/at_hour=2026-11-19";
    assert_eq!(
        ledgers,
        [
            format!("{none}-11: a=1"),
            format!("{none}-12: a=1"),
            format!("{none}-14: empty=0"),
            "p=x/at_hour=2026-11-19-11: good=1".to_string(),
            "p=x/at_hour=2026-11-19-12: a=3".to_string()
        ]
    );
    let bad = lake.query("SELECT object, at_hour, p FROM shop.clicks_quarantine");
    assert_eq!(bad, [json!({"object": "2026/11/19/12/a", "at_hour": "2026-11-19-12", "p": null})]);
    let kept = lake.query("SELECT at FROM shop.clicks WHERE event_id = 'old'");
    assert!(kept[0]["at"].as_str().unwrap().starts_with("1970-01-01"), "rows keep their values: {kept:?}");
}

#[test]
fn values_name_folders_as_hive_does() {
    let lake = lake("");
    let pages = ["a/b", "é", "a b", "x=y", "%", ""];
    let body: String = pages.iter().enumerate().map(|(n, page)| row(&n.to_string(), "2026-11-19T12:00:00Z", page)).collect();
    lake.land("12", "a", body.as_bytes());
    lake.run(0);
    for (n, page) in pages.iter().enumerate() {
        let wanted = if page.is_empty() { "p IS NULL".to_string() } else { format!("p = '{page}'") };
        let found = lake.query(&format!("SELECT event_id FROM shop.clicks WHERE {wanted}"));
        assert_eq!(found, [json!({"event_id": n.to_string()})], "{page}");
    }
    for folder in ["p=a%2Fb", "p=é", "p=a b", "p=x%3Dy", "p=%25", "p=__HIVE_DEFAULT_PARTITION__"] {
        assert!(lake.path("lake").join(folder).is_dir(), "{folder}");
    }
}

#[test]
fn events_are_compared_within_their_partition_and_every_record_counts() {
    let lake = lake("[table.merge]\ndeduplicate_by = [\"event_id\"]\nsort_by = [\"event_id\"]");
    lake.land("12", "a", &rows(&[("1", "11", "x"), ("1", "11", "x"), ("1", "12", "x"), ("0", "11", "x")]));
    lake.land("12", "b", &rows(&[("1", "11", "x"), ("2", "11", "x")]));
    let records = lake.run(0)["tables"][0]["records"].clone();
    assert_eq!(records, json!({"read": 6, "merged": 4, "quarantined": 0, "duplicates": 2, "dropped": 0}));
    assert_eq!(told(&lake).0, ["x 2026-11-19-11: 0 1 2", "x 2026-11-19-12: 1"]);
}

/// The newest intake of an hour that arrived.
pub(super) fn newest_intake(lake: &Lake) -> std::path::PathBuf {
    files(&lake.path(".lakebed/intake")).into_keys().rfind(|file| file.extension().is_some()).unwrap()
}

#[test]
fn what_a_crash_left_undone_is_done_by_the_next_run() {
    // `status` asks the clock.
    let lake = lake("lookback = \"1000000h\"");
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y"), ("3", "12", "x")]));
    lake.land("12", "b", b"{\"event_id\":\"4\",\"sequence\":\"x\"}");
    lake.run(3);
    lake.land("12", "b", &rows(&[("4", "10", "x")]));
    lake.run(0);
    let expected = Outcome::of(&lake);
    // The intake is lost: everything is read again, and nothing comes twice.
    std::fs::remove_dir_all(lake.path(".lakebed/intake")).unwrap();
    lake.run(0);
    Outcome::of(&lake).assert_same(&expected, "without intake");
    // Every partition has its share, and nobody wrote it down.
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    let status = lake.lakebed(&["status", "--output", "json"]).json(0)[0]["hours"].to_string();
    assert!(status.contains("\"pending\":2"), "{status}");
    lake.run(0);
    Outcome::of(&lake).assert_same(&expected, "not settled");
}

/// What the ledgers of [`cut_off`] hold.
const AS_CUT_OFF: [&str; 3] =
    ["p=__HIVE_DEFAULT_PARTITION__/at_hour=2026-11-19-09: bad=1", "p=x/at_hour=2026-11-19-09: bad=1", "p=x/at_hour=2026-11-19-10: a=1"];

/// A lake in which one of two partitions lacks its share of the only object, as a crash leaves it.
fn cut_off() -> (Lake, Outcome, std::path::PathBuf) {
    let lake = lake("");
    let object = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    lake.land("09", "bad", &[rows(&[("0", "09", "x")]), b"{\"event_id\":\"4\",\"sequence\":\"x\"}".to_vec()].concat());
    lake.run(0);
    let expected = Outcome::of(&lake);
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    std::fs::remove_dir_all(lake.path(".lakebed/ledger/shop.clicks/p=y")).unwrap();
    (lake, expected, object)
}

#[test]
fn a_partition_that_lacks_its_share_gets_it_from_the_object_as_it_was() {
    let (lake, expected, _) = cut_off();
    assert_eq!(lake.run(0)["tables"][0]["records"]["read"], 1);
    Outcome::of(&lake).assert_same(&expected, "one share");

    let (lake, _, object) = cut_off();
    std::fs::write(&object, rows(&[("9", "11", "y")])).unwrap();
    let run = lake.run(3);
    let failures = run["failures"].to_string();
    assert!(failures.contains("2026/11/19/12/a is in some of its partitions and not in others"), "{failures}");
    assert_eq!(objects(&run), "2 landed 1 merged 0 rejected 0 held 1 pending");
    assert_eq!(told(&lake).1, AS_CUT_OFF, "nothing is doubled and nothing mixed");
}

#[test]
fn rules_that_changed_in_between_move_no_row() {
    let (lake, expected, _) = cut_off();
    lake.configure(&format!("{BY_PAGE}[table.columns.sequence]\nmax = 100"));
    lake.run(0);
    Outcome::of(&lake).assert_same(&expected, "another rule, and the same places");

    let (lake, ..) = cut_off();
    lake.configure(&format!("{BY_PAGE}[table.columns.page]\nallowed = [\"x\"]\non_fail = \"null\""));
    let run = lake.run(3);
    assert!(run["failures"].to_string().contains("put them back and run again"), "{run}");
    assert_eq!(told(&lake).1, AS_CUT_OFF);
    lake.configure(BY_PAGE);
    lake.run(0);
    Outcome::of(&lake).assert_same(&expected, "with the rules of before");
}

/// Stages an object as a function does.
async fn staged(lake: &Lake, key: &str) -> Staging {
    let config = lakebed::config::read(&lake.path("lakebed.toml")).unwrap();
    let clock = Arc::new(FixedClock::at(AT.parse().unwrap()));
    let app = App::new(config, Access::Write, clock, ProgressBar::hidden()).await.unwrap();
    let table = pipeline::existing(&app, &app.config.tables[0]).await.unwrap().unwrap();
    let landed = discover::landed(&table.landing, &table.config, key).await.unwrap().unwrap();
    stage(&app.state, &table, &app.limits, &app.clock.new_id(), landed).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished_though_its_object_is_gone() {
    let lake = lake("");
    lake.land("11", "first", &rows(&[("0", "11", "x")]));
    lake.run(0);
    let object = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    staged(&lake, "2026/11/19/12/a").await;
    let queue = files(&lake.path(".lakebed/queue"));
    lake.run(0);
    let expected = told(&lake);
    // As a run leaves it that died before the last partition had its share.
    for (file, bytes) in &queue {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    std::fs::remove_dir_all(lake.path(".lakebed/ledger/shop.clicks/p=y")).unwrap();
    std::fs::remove_file(&object).unwrap();
    // One that looks at fewer hours finishes it too, and the file that it is finished with is not removed before.
    assert_eq!(lake.lakebed(&["run", "--at", AT, "--since", "2026-11-19T13"]).code, 0);
    assert_eq!(told(&lake), expected);
    lake.run(0);
    assert_eq!(told(&lake), expected);
    assert!(files(&lake.path(".lakebed/queue")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_staged_is_taken_share_by_share() {
    let lake = lake("");
    lake.land("11", "first", &rows(&[("0", "11", "x")]));
    lake.run(0);
    let object = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y"), ("3", "10", "x")]));
    assert_eq!(staged(&lake, "2026/11/19/12/a").await, Staging::Staged);
    assert_eq!(staged(&lake, "2026/11/19/12/a").await, Staging::AlreadyThere);
    // What landed is not read any more.
    spoil(&object);
    assert_eq!(objects(&lake.run(0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 3", "x 2026-11-19-11: 0", "y 2026-11-19-11: 2"]);
    assert_eq!(leftovers(&lake), NOTHING);
}

#[test]
fn a_partition_that_was_rolled_back_stays_so_and_its_objects_count_once() {
    let lake = lake("[table.columns.sequence]\nmax = 0\non_fail = \"warn\"");
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    let warnings = lake.run(0)["tables"][0]["warnings"].to_string();
    assert!(warnings.contains("2 values break a rule whose on_fail is warn or null"), "{warnings}");
    lake.land("12", "b", &rows(&[("3", "10", "x"), ("4", "11", "y")]));
    lake.run(0);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10/p=x"]).code, 0);
    let run = lake.run(0);
    assert_eq!(objects(&run), "2 landed 1 merged 0 rejected 1 held 0 pending");
    let warnings = run["tables"][0]["warnings"].to_string();
    assert!(warnings.contains("its rows of 1 object stay out of it until `lakebed repair`"), "{warnings}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1", "y 2026-11-19-11: 2 4"]);
}

#[test]
fn an_object_that_changed_after_it_was_merged_is_told() {
    let lake = lake("");
    let object = lake.land("12", "a", &rows(&[("1", "10", "x")]));
    lake.run(0);
    std::fs::write(&object, rows(&[("1", "10", "x"), ("2", "11", "y")])).unwrap();
    let run = lake.run(0);
    assert_eq!(objects(&run), "1 landed 1 merged 0 rejected 0 held 0 pending");
    assert!(run["tables"][0]["warnings"].to_string().contains("12/a was written again since it was merged"), "{run}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1"]);
}

#[test]
fn an_object_that_was_set_aside_is_taken_in_once_it_is_good() {
    let lake = lake("");
    let bad = b"{\"event_id\":\"1\",\"sequence\":\"x\"}".repeat(3);
    let object = lake.land("12", "a", &[rows(&[("1", "10", "x")]), bad].concat());
    assert_eq!(objects(&lake.run(3)), "1 landed 0 merged 1 rejected 0 held 0 pending");
    assert_eq!(lake.query("SELECT * FROM shop.clicks_quarantine").len(), 4);
    assert_eq!(objects(&lake.run(0)), "1 landed 0 merged 1 rejected 0 held 0 pending");
    std::fs::write(&object, rows(&[("1", "10", "x"), ("2", "11", "y")])).unwrap();
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending");
    assert_eq!(lake.query("SELECT * FROM shop.clicks_quarantine").len(), 0);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1", "y 2026-11-19-11: 2"]);
    assert_eq!(leftovers(&lake), NOTHING);
}

#[test]
fn objects_that_are_too_large_to_be_staged_or_cut_are_read_once_for_each_partition() {
    let lake = lake("");
    let many: Vec<u8> = (0..40_000)
        .flat_map(|n| {
            let hour = 10 + n % 3;
            let page = format!("{}-{}", n % 2, "x".repeat(100));
            row(&format!("{n:05}"), &format!("2026-11-19T{hour}:00:00Z"), &page).into_bytes()
        })
        .collect();
    lake.land("12", "large", &many);
    let mut cut = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut cut, &rows(&[("cut-1", "10", "x"), ("cut-2", "11", "y"), ("cut-3", "11", "y")])).unwrap();
    let cut = cut.finish().unwrap();
    lake.land("12", "cut.gz", &cut[..cut.len() - 30]);
    lake.limit_memory("16MiB");
    let run = lake.run(3);
    assert_eq!(objects(&run), "2 landed 2 merged 0 rejected 0 held 0 pending");
    assert!(run["failures"].to_string().contains("cut.gz is not wholly in the table"), "{run}");
    let found = lake.query("SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM shop.clicks WHERE event_id NOT LIKE 'cut%'");
    assert_eq!(found, [json!({"n": 40_000, "ids": 40_000})]);
    let wrong = lake.query("SELECT count(*) AS n FROM shop.clicks WHERE p <> page OR date_format(at, '%Y-%m-%d-%H') <> at_hour");
    assert_eq!(wrong, [json!({"n": 0})]);
    assert_eq!(lake.query("SELECT count(*) AS n FROM shop.clicks WHERE event_id LIKE 'cut%'"), [json!({"n": 2})]);
    assert_eq!(leftovers(&lake), NOTHING);
    assert_eq!(objects(&lake.run(0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
}

#[test]
fn runs_at_the_same_time_feed_every_partition_once() {
    let land = |lake: &Lake| {
        for hour in 10..14 {
            for name in ["a", "b", "c"] {
                let id = |n: usize| format!("{hour}{name}{n}");
                let ids: Vec<String> = (0..60).map(id).collect();
                let body: Vec<_> =
                    ids.iter().enumerate().map(|(n, id)| (id.as_str(), ["08", "09", "10"][n % 3], ["x", "y"][n % 2])).collect();
                let mut body = rows(&body);
                body.extend(b"{\"event_id\":\"bad\",\"sequence\":\"x\"}");
                lake.land(&hour.to_string(), name, &body);
            }
        }
    };
    let alone = lake("");
    land(&alone);
    alone.run(0);
    let expected = Outcome::of(&alone);
    assert_eq!(expected.rows.len(), 720);
    for round in 0..4 {
        let lake = lake("");
        land(&lake);
        let start =
            |_| lake.command(&["run", "--at", AT, "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let runs: Vec<_> = (0..3).map(start).collect();
        let runs: Vec<Value> = runs.into_iter().map(|run| Answer::of(run.wait_with_output().unwrap()).json(0)).collect();
        let read: u64 = runs.iter().map(|run| run["tables"][0]["records"]["read"].as_u64().unwrap()).sum();
        assert_eq!(read, 12 * 61, "round {round}: a share was merged twice, or by nobody");
        lake.run(0);
        let found = Outcome::of(&lake);
        assert_eq!((&found.rows, &found.quarantine), (&expected.rows, &expected.quarantine), "round {round}");
        assert_leftovers_are_of_dead_attempts(&lake, &format!("round {round}"));
    }
}

#[test]
fn a_dry_run_reads_nothing() {
    let lake = lake("");
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    let dry = lake.lakebed(&["run", "--dry-run", "--at", AT]);
    assert!(dry.stdout.contains("1 object would be read; which partitions they feed shows when they are"), "{}", dry.stdout);
    assert!(!lake.path(".lakebed").exists());
    lake.run(0);
    assert_eq!(lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10/p=x", "--from-merged"]).code, 0);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1", "y 2026-11-19-11: 2"]);
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    let hours: Vec<String> =
        status[0]["hours"].as_array().unwrap().iter().map(|hour| format!("{} {}", hour["hour"], hour["records"]["read"])).collect();
    assert_eq!(hours, ["\"2026-11-19T10\" 1", "\"2026-11-19T11\" 1"]);
    assert_eq!(status[0]["fresh_until"], "2026-11-19T13:00:00Z");
}

fn repair(lake: &Lake, more: &[&str]) -> Answer {
    lake.lakebed(&[&["repair", "shop.clicks", "2026-11-19T10/p=x", "--output", "json"], more].concat())
}

#[test]
fn a_repair_makes_one_partition_anew_and_touches_no_other() {
    let lake = lake("");
    let large = row("large", "2026-11-19T10:20:00Z", "x").replace("\"sequence\":1", "\"sequence\":1000");
    lake.land("12", "a", &[rows(&[("1", "10", "x"), ("2", "11", "y")]), large.into_bytes()].concat());
    lake.land("13", "b", &[rows(&[("3", "10", "x")]), b"{\"event_id\":\"bad\",\"sequence\":\"x\"}".to_vec()].concat());
    lake.run(0);
    let versions = |lake: &Lake| -> Vec<u64> { Ledgers::of(lake).heads().map(|head| head.version).collect() };
    assert_eq!(repair(&lake, &[]).json(0)["action"], "nothing to repair");
    assert_eq!(versions(&lake), [1, 1, 1]);

    // A rule that moves no row.
    lake.configure(&format!("{BY_PAGE}[table.columns.sequence]\nmax = 100\non_fail = \"null\""));
    let dry = repair(&lake, &["--dry-run"]).json(0);
    assert_eq!((&dry["action"], &dry["objects"]["unchanged"]), (&"would repair".into(), &2.into()));
    let repaired = repair(&lake, &[]).json(0);
    assert_eq!(repaired["action"], "repaired", "{repaired}");
    assert_eq!(repaired["rows"], json!({"only_before": 1, "only_after": 1}));
    assert_eq!(repaired["records"]["before"], repaired["records"]["after"]);
    assert_eq!(lake.query("SELECT event_id FROM shop.clicks WHERE sequence IS NULL"), [json!({"event_id": "large"})]);
    assert_eq!(versions(&lake), [1, 2, 1]);
    assert_eq!(repair(&lake, &[]).json(0)["action"], "nothing to repair");
    let expected = told(&lake);
    lake.run(0);
    assert_eq!(told(&lake), expected);

    // That of the arrival hour has what became no rows.
    let home = lake.lakebed(&["repair", "shop.clicks", "2026-11-19T13/p=__HIVE_DEFAULT_PARTITION__", "--output", "json"]).json(0);
    assert_eq!((&home["action"], &home["records"]["before"]["quarantined"]), (&"nothing to repair".into(), &1.into()));
}

#[test]
fn a_repair_takes_in_what_a_rollback_took_out() {
    let lake = lake("");
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    lake.run(0);
    lake.land("12", "b", &rows(&[("3", "10", "x"), ("4", "11", "y")]));
    lake.run(0);
    let expected = told(&lake);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10/p=x"]).code, 0);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1", "y 2026-11-19-11: 2 4"]);
    let repaired = repair(&lake, &[]).json(0);
    assert_eq!((&repaired["action"], &repaired["objects"]["held"]), (&"repaired".into(), &1.into()));
    assert_eq!(told(&lake), expected);
    assert_eq!(objects(&lake.run(0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
}

#[test]
fn a_partition_that_fails_again_waits_and_the_others_go_on() {
    let lake = lake("");
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    std::fs::create_dir_all(lake.path("lake")).unwrap();
    std::fs::write(lake.path("lake/p=y"), "").unwrap();
    let run_at =
        |minute: u32, code: i32| lake.lakebed(&["run", "--at", &format!("2026-11-19T20:{minute:02}:00Z"), "--output", "json"]).json(code);
    for attempts in [1, 2] {
        let failures = run_at(0, 3)["failures"].clone();
        assert_eq!((failures.as_array().unwrap().len(), &failures[0]["attempts"]), (1, &attempts.into()), "{failures}");
        assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1"]);
    }
    std::fs::remove_file(lake.path("lake/p=y")).unwrap();
    lake.land("12", "b", &rows(&[("3", "10", "x")]));
    let early = run_at(4, 3);
    assert!(early["failures"][0]["error"].as_str().unwrap().contains("not tried by this run"), "{early}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 3"]);
    let due = lake.command(&["run", "--at", "2026-11-19T20:05:00Z"]).env("LAKEBED_LOG", "info").output().unwrap();
    let told_of = String::from_utf8_lossy(&due.stderr).to_string();
    assert!(due.status.success() && told_of.contains("HourHealed"), "{told_of}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 3", "y 2026-11-19-11: 2"]);
    assert_eq!(objects(&run_at(6, 0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
}

#[test]
fn an_object_that_cannot_be_read_waits_and_the_others_of_its_hour_go_on() {
    let lake = lake("");
    lake.land("12", "a", &rows(&[("1", "10", "x")]));
    let path = lake.land("12", "b", &rows(&[("2", "10", "x"), ("3", "11", "y")]));
    let mode = |mode: u32| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o000);
    let run = |minute: &str| ["run", "--at", minute, "--output", "json"].map(str::to_string);
    for attempts in [1, 2] {
        let arguments = run(AT);
        let failed = unprivileged(&lake, &arguments.each_ref().map(String::as_str)).json(3);
        assert_eq!(
            (objects(&failed).as_str(), &failed["failures"][0]["attempts"]),
            ("2 landed 1 merged 0 rejected 0 held 1 pending", &attempts.into())
        );
        assert!(failed["failures"][0]["error"].as_str().unwrap().contains("cannot take in object 2026/11/19/12/b"), "{failed}");
    }
    mode(0o644);
    let waiting = lake.run(3);
    assert!(waiting["failures"][0]["error"].as_str().unwrap().contains("not tried by this run"), "{waiting}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1"]);
    let arguments = run("2026-11-19T20:05:00Z");
    lake.lakebed(&arguments.each_ref().map(String::as_str)).json(0);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 2", "y 2026-11-19-11: 3"]);
}
