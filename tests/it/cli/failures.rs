//! What can fail outside of lakebed: objects, folders, disks. The rest goes on, nothing is half-made, and the next run heals it.

use std::process::Command;

use lakebed::generate::Settings;

use super::super::support::{AT, Answer, LAKEBED, Lake, files};
use super::{RUN, gzip, hex, ids, one_message, refused, snapshot};

/// An object that the disk refuses to give to whoever has no privileges.
fn land_unreadable(lake: &Lake, name: &str) {
    let path = lake.land("10", name, b"secret");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
}

/// A command without the privileges that root has on Linux, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: file permissions count for everyone.
pub(super) fn unprivileged(lake: &Lake, arguments: &[&str]) -> Answer {
    let script = "import ctypes, os, sys\n\
                  prctl = getattr(ctypes.CDLL(None), 'prctl', None)\n\
                  PR_CAPBSET_DROP = 24\n\
                  for capability in (1, 2) if prctl else ():\n    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)\n\
                  os.execv(sys.argv[1], sys.argv[1:])";
    let mut python = Command::new("python3");
    python.args(["-c", script, LAKEBED]).args(arguments).arg("--config").arg(lake.path("lakebed.toml"));
    Answer::of(python.output().unwrap())
}

/// Puts a readable object in its place.
fn land_again(lake: &Lake, name: &str, body: &[u8]) {
    std::fs::remove_file(lake.path("landing/2026/11/19/10").join(name)).unwrap();
    lake.land("10", name, body);
}

#[test]
fn an_object_that_cannot_be_read_costs_only_itself() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    land_unreadable(&lake, "b");
    let answer = unprivileged(&lake, &RUN);
    assert_eq!(answer.code, 3, "{}", answer.stderr);
    one_message(&answer.stderr, &["hour=10", "object 2026/11/19/10/b", "make it readable"]);
    assert!(answer.stdout.contains("1 row in 1 file") && answer.stdout.contains("incomplete"), "{}", answer.stdout);
    assert_eq!(ids(&lake), ["a"]);

    land_again(&lake, "b", b"{\"id\":\"b\"}");
    let run = lake.run(0);
    assert_eq!(
        (&run["tables"][0]["partitions"][0]["action"], &run["tables"][0]["partitions"][0]["complete"]),
        (&"amended".into(), &true.into())
    );
    assert_eq!(ids(&lake), ["a", "b"]);
    assert_eq!(lake.partitions()[0]["state"], "amended(1)");
}

#[test]
fn an_hour_is_not_good_again_while_an_object_is_gone_that_was_never_read() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    land_unreadable(&lake, "b");
    assert_eq!(unprivileged(&lake, &RUN).code, 3);
    let failing = || lake.lakebed(&["status", "shop.clicks", "--output", "json"]).json(0)[0]["hours"][0]["failing"].clone();
    assert_eq!(failing()["attempts"], 1);
    assert_eq!(unprivileged(&lake, &["repair", "shop.clicks", "2026-11-19T10"]).code, 3);
    assert_eq!(failing()["attempts"], 1, "a repair that cannot read it makes nothing good");
    std::fs::remove_file(lake.path("landing/2026/11/19/10/b")).unwrap();
    for _ in 0..2 {
        let run = lake.run(0);
        let warnings = run["tables"][0]["warnings"].to_string();
        assert!(warnings.contains("object 2026/11/19/10/b could not be read") && warnings.contains("lakebed repair"), "{warnings}");
        assert_eq!(failing()["attempts"], 1, "its ledger still lists the object as missing");
    }
    lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10", "--output", "json"]).json(0);
    assert_eq!((failing(), ids(&lake)), (serde_json::Value::Null, vec!["a".to_string()]));
    assert_eq!(lake.run(0)["tables"][0]["warnings"], serde_json::json!([]));
}

#[test]
fn a_repair_that_cannot_read_an_object_whose_rows_are_there_changes_nothing() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.land("10", "b", b"{\"id\":\"b\"}");
    lake.run(0);
    lake.land("10", "c", b"{\"id\":\"c\"}");
    land_unreadable(&lake, "b");
    let before = files(&lake.path("lake"));
    let answer = unprivileged(&lake, &["repair", "shop.clicks", "2026-11-19T10"]);
    refused(&answer, 1, &["hour=10", "object 2026/11/19/10/b", "make it readable", "nothing was changed"]);
    assert_eq!(files(&lake.path("lake")), before);
    assert_eq!(ids(&lake), ["a", "b"]);
    land_again(&lake, "b", b"{\"id\":\"B\"}");
    assert_eq!(lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10"]).code, 0);
    assert_eq!(ids(&lake), ["B", "a", "c"]);
}

#[test]
fn damaged_gzip_is_quarantined_and_taken_in_once_it_is_whole() {
    let lake = Lake::small("");
    lake.land("10", "a.gz", &gzip(b"{\"id\":\"a\"}"));
    let whole = gzip(b"{\"id\":\"b\",\"n\":2}{\"id\":\"c\",\"n\":3}");
    lake.land("10", "b.gz", &whole[..12]);
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], serde_json::json!({"landed": 2, "merged": 1, "rejected": 1, "pending": 0}));
    assert_eq!(run["tables"][0]["partitions"][0]["complete"], false);
    let error = run["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("2026/11/19/10/b.gz") && error.contains("gzip") && error.contains("land it again"), "{error}");
    let kept = lake.query("SELECT object, raw FROM shop.clicks_quarantine WHERE reason = 'damaged_object'");
    assert_eq!(kept, [serde_json::json!({"object": "2026/11/19/10/b.gz", "raw": hex(&whole[..12])})]);
    let text = lake.lakebed(&RUN);
    assert!(text.code == 0 && text.stdout.contains("nothing to do, of 2 landed objects: 1 merged, 1 set aside"), "{}", text.stdout);

    lake.land("10", "b.gz", &whole);
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["partitions"][0]["action"], "amended");
    assert_eq!(run["tables"][0]["partitions"][0]["complete"], true);
    assert_eq!(ids(&lake), ["a", "b", "c"]);
    assert!(lake.query("SELECT * FROM shop.clicks_quarantine").is_empty(), "what came in must not stay in the quarantine");
}

#[test]
fn an_object_that_was_read_in_part_is_not_taken_in_twice() {
    let lake = Lake::small("[table.quarantine]\nmax_ratio = 1");
    let records = (0..20_000).map(|n| format!("{{\"id\":\"{n}\",\"n\":{}}}", n * 7919 % 20_011)).collect::<Vec<_>>().concat();
    let whole = gzip(records.as_bytes());
    lake.land("10", "a.gz", &whole[..whole.len() / 2]);
    lake.run(3);
    let rows = ids(&lake).len();
    assert!(rows > 1_000 && rows < 20_000, "{rows}");
    lake.land("10", "a.gz", &whole);
    let answer = lake.lakebed(&RUN);
    assert!(
        answer.code == 0 && answer.stdout.contains("object 2026/11/19/10/a.gz was written again since it was merged"),
        "{}",
        answer.stdout
    );
    assert_eq!(ids(&lake).len(), rows);
}

#[test]
fn an_hour_of_which_nothing_can_be_read_is_not_committed() {
    let lake = Lake::small("");
    land_unreadable(&lake, "a");
    land_unreadable(&lake, "b");
    let answer = unprivileged(&lake, &RUN);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    one_message(&answer.stderr, &["hour=10", "cannot read object 2026/11/19/10/a", "then run again"]);
    assert!(answer.stdout.contains("nothing was merged, of 2 landed objects: 2 failed"), "{}", answer.stdout);
    assert!(lake.partitions().is_empty());
    assert!(files(&lake.path("lake")).is_empty() && !lake.path(".lakebed/ledger").exists());
    land_again(&lake, "a", b"{\"id\":\"a\"}");
    land_again(&lake, "b", b"{\"id\":\"b\"}");
    lake.run(0);
    assert_eq!(ids(&lake), ["a", "b"]);
}

#[cfg(unix)]
#[test]
fn a_landing_that_cannot_be_listed_names_the_file_at_fault() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    let link = lake.path("landing/2026/11/19/10/loop");
    std::os::unix::fs::symlink("loop", &link).unwrap();
    refused(&lake.lakebed(&RUN), 1, &["cannot list", "landing", "10/loop", "move it away, then run again"]);
    std::fs::remove_file(link).unwrap();
    lake.run(0);
    assert_eq!(ids(&lake), ["a"]);
}

#[test]
fn a_file_where_a_folder_should_be() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    std::fs::write(lake.path(".lakebed"), "").unwrap();
    refused(&lake.lakebed(&RUN), 1, &["cannot create the state location", ".lakebed", "check its path and permissions"]);
    for command in [&["status"][..], &["partitions", "shop.clicks"], &["query", "SELECT 1"], &["run", "--dry-run"]] {
        refused(&lake.lakebed(command), 2, &["the state location", ".lakebed", "is not a folder"]);
    }
    std::fs::remove_file(lake.path(".lakebed")).unwrap();
    std::fs::write(lake.path("lake"), "").unwrap();
    refused(&lake.lakebed(&RUN), 1, &["cannot create the location of shop.clicks", "check its path and permissions"]);
    std::fs::remove_file(lake.path("lake")).unwrap();
    lake.run(0);
    assert_eq!(ids(&lake), ["a"]);
}

#[test]
fn a_catalog_that_is_something_else_is_left_alone() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    std::fs::create_dir_all(lake.path(".lakebed")).unwrap();
    std::fs::write(lake.path(".lakebed/catalog.db"), "what somebody else wrote, and wants to keep").unwrap();
    let before = snapshot(lake.folder.path());
    refused(&lake.lakebed(&RUN), 2, &["catalog.db` is not a lakebed catalog", "move the file away"]);
    assert_eq!(snapshot(lake.folder.path()), before);
}

/// A run that can write no file of more than `bytes`, as on a disk that is full.
fn run_limited(lake: &Lake, bytes: u64) -> Answer {
    let script = "import os, resource, signal, sys\n\
                  signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n\
                  limit = int(sys.argv[1])\n\
                  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n\
                  os.execv(sys.argv[2], sys.argv[2:])";
    let mut python = Command::new("python3");
    python.args(["-c", script, &bytes.to_string(), LAKEBED]).args(RUN).arg("--config").arg(lake.path("lakebed.toml"));
    Answer::of(python.output().unwrap())
}

#[test]
fn a_full_disk_commits_nothing_and_the_next_run_has_all() {
    let lake = Lake::new("");
    lake.generate(&Settings { records: 4_000, objects_per_hour: 4, ..Settings::default() });
    let answer = run_limited(&lake, 1_000);
    refused(&answer, 1, &["catalog", "catalog.db` could not be read or written", "check its disk, then run again"]);
    let answer = run_limited(&lake, 100_000);
    assert_eq!(answer.code, 1, "{}\n{}", answer.stdout, answer.stderr);
    one_message(&answer.stderr, &["hour=10", "cannot write to file://", "File too large", "nothing was committed: free space"]);
    assert!(files(&lake.path("lake")).is_empty(), "a partial generation is left");
    assert_eq!((files(&lake.path(".lakebed")).len(), noted(&lake)), (2, 1), "more is left than the catalog and what is known of the hour");
    assert_eq!(lake.rows().len(), 0);
    lake.run(0);
    assert_eq!(lake.rows().len(), 4_000);
}

#[test]
fn a_disk_that_fills_up_leaves_the_hour_as_it_was() {
    let lake = Lake::new("");
    let all = Settings { records: 4_000, objects_per_hour: 4, late: 0.5, ..Settings::default() };
    lake.generate(&Settings { part: lakebed::generate::Part::OnTime, ..all.clone() });
    lake.run(0);
    let (rows, live) = (lake.rows(), lake.partitions());
    lake.generate(&Settings { part: lakebed::generate::Part::Late, ..all });
    let answer = run_limited(&lake, 100_000);
    assert_eq!(answer.code, 1, "{}\n{}", answer.stdout, answer.stderr);
    assert_eq!((lake.rows(), lake.partitions()), (rows, live));
    assert_eq!(lake.lakebed(&["run", "--at", AT]).code, 0);
    assert_eq!(lake.rows().len(), 4_000);
}

/// A file where the folder of hour 10 has to be: nothing can be written there, whoever writes.
fn block(lake: &Lake) -> std::path::PathBuf {
    let folder = lake.path("lake/year=2026/month=11/day=19");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("hour=10"), "").unwrap();
    folder.join("hour=10")
}

fn run_at(lake: &Lake, minutes: u32, more: &[&str], code: i32) -> serde_json::Value {
    let at = format!("2026-11-19T20:{minutes:02}:00Z");
    lake.lakebed(&[&["run", "--at", &at, "--output", "json"], more].concat()).json(code)
}

/// Files in the state folder that say which hours fail.
fn noted(lake: &Lake) -> usize {
    files(&lake.path(".lakebed")).into_keys().filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("failing-")).count()
}

#[test]
fn an_hour_that_fails_again_waits_is_tried_when_it_is_due_and_is_as_if_it_had_never_failed() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.land("11", "b", b"{\"id\":\"b\"}");
    let blocked = block(&lake);
    for attempts in [1, 2] {
        let run = run_at(&lake, 0, &[], 3);
        let failure = &run["failures"][0];
        assert!(failure["error"].as_str().unwrap().contains("cannot write"), "the next run tries what failed once: {failure}");
        assert!(failure["error"].as_str().unwrap().contains("a file is where a folder has to be: move it away"), "{failure}");
        assert_eq!((&failure["since"], &failure["attempts"]), (&"2026-11-19T20:00:00Z".into(), &attempts.into()));
        assert_eq!(noted(&lake), 1);
    }
    std::fs::remove_file(&blocked).unwrap();
    let early = lake.lakebed(&["run", "--at", "2026-11-19T20:04:59Z"]);
    assert_eq!((early.code, ids(&lake)), (3, vec!["b".to_string()]), "{}", early.stderr);
    let said =
        ["hour=10: cannot write", "not tried by this run", "failing since 2026-11-19T20:00Z, 2 attempts", "from 2026-11-19T20:05Z on"];
    one_message(&early.stderr, &[&said[..], &["`lakebed run --since 2026-11-19T10` tries at once"]].concat());
    let status = lake.lakebed(&["status"]).stdout;
    assert!(
        status.contains("\n  failing since 2026-11-19T20:00Z, 2 attempts, the next one from 2026-11-19T20:05Z on: cannot write"),
        "{status}"
    );
    let dry = run_at(&lake, 4, &["--dry-run"], 3);
    assert_eq!((&dry["tables"][0]["partitions"], &dry["failures"][0]["attempts"]), (&serde_json::json!([]), &2.into()));

    let run = run_at(&lake, 5, &[], 0);
    assert_eq!((&run["tables"][0]["partitions"][0]["action"], ids(&lake)), (&"created".into(), vec!["a".to_string(), "b".to_string()]));
    assert!(!lake.lakebed(&["status"]).stdout.contains("failing"));
    assert_eq!(noted(&lake), 0);
}

#[test]
fn a_failing_hour_is_tried_at_once_if_somebody_asks_or_something_changed() {
    let check = |change: &dyn Fn(&Lake), more: &[&str]| {
        let lake = Lake::small("");
        lake.land("10", "a", b"{\"id\":\"a\"}");
        let blocked = block(&lake);
        run_at(&lake, 0, &[], 1);
        run_at(&lake, 0, &[], 1);
        std::fs::remove_file(&blocked).unwrap();
        assert_eq!(run_at(&lake, 1, &[], 1)["failures"][0]["attempts"], 2);
        change(&lake);
        run_at(&lake, 1, more, 0);
        assert_eq!(ids(&lake).last().unwrap(), "a");
        assert_eq!(noted(&lake), 0);
    };
    check(&|_| (), &["--since", "2026-11-19T10"]);
    check(&|lake| drop(lake.land("10", "A", b"{\"id\":\"A\"}")), &[]);
    check(&|lake| lake.configure("[table.merge]\nsort_by = [\"id\"]"), &[]);
    check(&|lake| lake.limit_memory("300MiB"), &[]);
}

#[test]
fn an_object_that_cannot_be_read_is_not_tried_by_every_run() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    let path = lake.land("10", "b", b"{\"id\":\"b\"}");
    let mode = |mode: u32| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o000);
    // The run that leaves it out of the hour is the first attempt.
    assert_eq!(unprivileged(&lake, &RUN).code, 3);
    assert_eq!(unprivileged(&lake, &RUN).code, 1);
    // That it can be read now does not show in a listing.
    mode(0o644);
    let answer = lake.lakebed(&RUN);
    one_message(&answer.stderr, &["cannot read object 2026/11/19/10/b", "not tried by this run", "2 attempts"]);
    assert_eq!((ids(&lake), noted(&lake)), (vec!["a".to_string()], 1));
    assert_eq!(lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10"]).code, 0);
    assert_eq!((ids(&lake), noted(&lake)), (vec!["a".to_string(), "b".to_string()], 0));
    lake.run(0);
}

#[test]
fn an_hour_whose_failing_object_is_moved_away_does_not_fail_any_more() {
    let lake = Lake::small("");
    land_unreadable(&lake, "a");
    assert_eq!(unprivileged(&lake, &RUN).code, 1);
    assert_eq!(noted(&lake), 1);
    std::fs::remove_file(lake.path("landing/2026/11/19/10/a")).unwrap();
    // For this run the hour is not over, so it says nothing of it.
    assert_eq!(lake.lakebed(&["run", "--at", "2026-11-19T11:00:00Z"]).code, 0);
    assert_eq!(noted(&lake), 1);
    lake.run(0);
    assert_eq!(noted(&lake), 0);
}

#[test]
fn an_hour_that_still_fails_when_no_run_looks_at_it_any_more_is_not_forgotten() {
    let lake = Lake::small("lookback = \"2h\"");
    lake.land("19", "a", b"{\"id\":\"a\"}");
    std::fs::create_dir_all(lake.path("lake")).unwrap();
    std::fs::write(lake.path("lake/year=2026"), "").unwrap();
    assert_eq!(lake.lakebed(&["run", "--at", "2026-11-19T21:00:00Z"]).code, 1);
    std::fs::remove_file(lake.path("lake/year=2026")).unwrap();
    let later = lake.lakebed(&["run", "--at", "2026-11-20T09:00:00Z"]);
    assert_eq!(later.code, 0, "{}", later.stderr);
    assert!(
        later.stdout.contains("hour=19: it has been failing since 2026-11-19T21:00Z, and no run looks at it any more"),
        "{}",
        later.stdout
    );
    assert!(later.stdout.contains("`lakebed run --since 2026-11-19T19` does"), "{}", later.stdout);
    assert_eq!(lake.lakebed(&["run", "--at", "2026-11-20T09:00:00Z", "--since", "2026-11-19T19"]).code, 0);
    assert_eq!((ids(&lake), noted(&lake)), (vec!["a".to_string()], 0));
}
