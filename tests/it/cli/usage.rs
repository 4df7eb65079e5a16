//! Wrong usage and wrong configuration: exit code 2, one sentence that says what to do, and nothing made.

use lakebed::clock::{Clock, SystemClock};
use lakebed::hour::Hour;
use serde_json::{Value, json};

use super::super::support::Lake;
use super::{RUN, ids, keys, refused, scatter, snapshot};

/// One object in hour 10, and a configuration that ends in `extra`.
fn lake(extra: &str) -> Lake {
    let lake = Lake::small(extra);
    lake.land("10", "a", b"{\"id\":\"a\",\"n\":1}");
    lake
}

/// The run is refused with exit code 2, and no table, ledger or data exists after it.
fn nothing_made(lake: &Lake, words: &[&str]) {
    refused(&lake.lakebed(&RUN), 2, words);
    assert!(!lake.path("lake").exists() && !lake.path(".lakebed/ledger").exists());
    let tables = lake.lakebed(&["query", "SHOW TABLES", "--format", "csv"]);
    assert!(!tables.stdout.contains("clicks"), "{}", tables.stdout);
}

#[test]
fn a_configuration_that_is_wrong_names_the_place() {
    nothing_made(&lake("loockback = \"1h\""), &["unknown key `table.loockback` on line 8", "did you mean `lookback`?"]);
    nothing_made(&lake("lookback = "), &["lakebed.toml: not valid TOML on line 8"]);
    nothing_made(&lake("[table.columns.id]\npattern = \"([\""), &["column `id`", "not a regular expression"]);
    nothing_made(&lake("lookback = \"two days\""), &["`table.lookback` on line 8", "two days", "such as 90s"]);
    nothing_made(&lake("[table.merge]\nsort_by = [\"nope\"]"), &["[table.merge] names column nope", "shop.clicks"]);
    nothing_made(&lake("[table.columns.idd]\nrequired = true"), &["the table has no column idd", "its columns are id, n"]);
}

#[test]
fn a_configuration_that_is_missing_is_asked_for() {
    let lake = lake("");
    std::fs::remove_file(lake.path("lakebed.toml")).unwrap();
    let before = snapshot(lake.folder.path());
    for command in [&RUN[..], &["status"], &["partitions", "shop.clicks"], &["query", "SELECT 1"]] {
        refused(&lake.lakebed(command), 2, &["there is no `", "lakebed.toml", "--config"]);
    }
    assert_eq!(snapshot(lake.folder.path()), before);
}

#[test]
fn a_table_that_does_not_exist_is_told_before_anything_is_made() {
    let lake = lake("");
    let before = snapshot(lake.folder.path());
    let wrong = "shop.click";
    for command in [&["run", "--table", wrong][..], &["run", "--table", wrong, "--dry-run"], &["partitions", wrong], &["status", wrong]] {
        refused(&lake.lakebed(command), 2, &["there is no table `shop.click`", "did you mean `shop.clicks`?"]);
    }
    assert_eq!(snapshot(lake.folder.path()), before);
    refused(&lake.lakebed(&["partitions", "shop.clicks"]), 2, &["shop.clicks is not in the catalog yet", "`lakebed run` creates it"]);
    refused(&lake.lakebed(&["query", "SELECT * FROM shop.clicks"]), 2, &["`shop.clicks`", "no tables yet", "`lakebed run`"]);
    assert_eq!(lake.run(0)["tables"][0]["created"], true);
    refused(&lake.lakebed(&["query", "SELECT * FROM shop.click"]), 2, &["there is no table `shop.click`", "did you mean `shop.clicks`?"]);
}

#[test]
fn places_that_are_missing_or_overlap() {
    let no_landing = lake("");
    std::fs::remove_dir_all(no_landing.path("landing")).unwrap();
    nothing_made(&no_landing, &["the landing of shop.clicks", "is not a folder; create it or correct the configuration"]);
    refused(&no_landing.lakebed(&["status"]), 2, &["the landing of shop.clicks", "is not a folder"]);

    let same = lake("");
    let text = std::fs::read_to_string(same.path("lakebed.toml")).unwrap();
    std::fs::write(same.path("lakebed.toml"), text.replace("\"lake\"", "\"landing/\"")).unwrap();
    let before = snapshot(same.folder.path());
    refused(&same.lakebed(&RUN), 2, &["its location", "its landing", "overlap", "a folder of its own"]);
    assert_eq!(snapshot(same.folder.path()), before);
}

#[cfg(unix)]
#[test]
fn a_link_does_not_lead_a_table_into_its_landing() {
    let lake = lake("");
    std::os::unix::fs::symlink("landing", lake.path("lake")).unwrap();
    let before = snapshot(&lake.path("landing"));
    refused(&lake.lakebed(&RUN), 2, &["by a link", "never writes into a landing", "folder of its own"]);
    assert_eq!(snapshot(&lake.path("landing")), before);
}

#[test]
fn migrations_that_are_missing_or_do_not_fit() {
    let missing = lake("");
    std::fs::remove_dir_all(missing.path("migrations")).unwrap();
    nothing_made(&missing, &["cannot read its migrations", "migrations/shop.clicks", "`lakebed infer`"]);
    std::fs::create_dir_all(missing.path("migrations/shop.clicks")).unwrap();
    nothing_made(&missing, &["has no migration such as 0001_create.sql", "`lakebed infer`"]);
    missing.migration("CREATE EXTERNAL");
    nothing_made(&missing, &["migration 0001_create.sql", "line 1"]);
    missing.migration(
        "CREATE EXTERNAL TABLE ${table} (id string, rescued map<string,string>) PARTITIONED BY (year string, month string, day string) \
         STORED AS PARQUET LOCATION '${location}'",
    );
    nothing_made(&missing, &["PARTITIONED BY (year, month, day)", "partition_by gives year, month, day, hour", "the same"]);
}

#[test]
fn a_migration_is_not_changed_after_it_was_applied() {
    let lake = lake("");
    lake.run(0);
    let file = lake.path("migrations/shop.clicks/0001_create.sql");
    let applied = std::fs::read_to_string(&file).unwrap();
    lake.migration(&applied.replace("n bigint", "n int"));
    lake.land("11", "b", b"{\"id\":\"b\"}");
    refused(&lake.lakebed(&RUN), 2, &["migration 0001_create.sql was changed after it was applied", "restore the file"]);
    std::fs::rename(&file, lake.path("migrations/shop.clicks/0002_other.sql")).unwrap();
    refused(&lake.lakebed(&RUN), 2, &["migration 0002_other.sql is not applied"]);
    assert_eq!(ids(&lake), ["a"]);
    std::fs::remove_file(lake.path("migrations/shop.clicks/0002_other.sql")).unwrap();
    lake.migration(&applied);
    lake.run(0);
    assert_eq!(ids(&lake), ["a", "b"]);
}

#[test]
fn times_and_hours_are_asked_for_in_their_form() {
    let lake = lake("");
    let usage = |arguments: &[&str], words: &str| {
        let answer = lake.lakebed(arguments);
        assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{}", answer.stderr);
        assert!(answer.stderr.contains(words), "{}", answer.stderr);
    };
    usage(&["run", "--at", "yesterday"], "write it in UTC like 2026-11-19T15:20:00Z");
    usage(&["run", "--since", "2026-11-19"], "write it in UTC like 2026-11-19T14");
    usage(&["run", "--at", "2026-11-19T20:00:00Z", "--since", "2026-11-20T00"], "is after the time of the run, 2026-11-19T20:00:00Z");
    usage(&["run", "--tabel", "x"], "'--table'");
    usage(&["rnu"], "unrecognized subcommand");
}

/// The error of the one document that a refused command prints; people read the same sentence.
fn refused_document(lake: &Lake, arguments: &[&str], code: i32) -> Value {
    let answer = lake.lakebed(&[arguments, &["--output", "json"]].concat());
    let document = answer.json(code);
    assert_eq!(keys(&document), ["error"], "{document}");
    let error = document["error"].clone();
    assert!(answer.stderr.contains(error["message"].as_str().unwrap()), "{error} is not in: {}", answer.stderr);
    error
}

#[test]
fn what_is_refused_is_one_document_for_programs() {
    let lake = lake("");
    assert_eq!(lake.lakebed(&RUN).code, 0);
    std::fs::remove_file(lake.path("landing/2026/11/19/10/a")).unwrap();
    let (ten, eleven) = ("year=2026/month=11/day=19/hour=10", "year=2026/month=11/day=19/hour=11");
    let error = refused_document(&lake, &["repair", "shop.clicks", "2026-11-19T10"], 1);
    assert_eq!((&error["kind"], &error["running_again_may_help"]), (&json!("data"), &json!(false)));
    assert_eq!((&error["partitions"], &error["objects"]), (&json!([ten]), &json!(["2026/11/19/10/a"])));
    let error = refused_document(&lake, &["repair", "shop.clicks", "2026-11-19T11"], 2);
    assert_eq!((&error["kind"], &error["partitions"], &error["objects"]), (&json!("config"), &json!([eleven]), &Value::Null));
    let error = refused_document(&lake, &["rollback", "shop.clicks", "2026-11-19T10"], 1);
    assert_eq!((&error["kind"], &error["partitions"]), (&json!("data"), &json!([ten])));
    for wrong in [
        &["redrive", "shop.clicks", "--hour", "2026-11-19T12"][..],
        &["status", "shop.clacks"],
        &["run", "--at", "noon"],
        &["rollback", "shop.clicks"],
        &["query", "DROP TABLE shop.clicks"],
    ] {
        assert_eq!(refused_document(&lake, wrong, 2)["kind"], "config", "{wrong:?}");
    }
    std::fs::write(lake.path("lakebed.toml"), "").unwrap();
    refused_document(&lake, &["run"], 2);
    let help = lake.lakebed(&["run", "--help", "--output", "json"]);
    assert!(help.code == 0 && help.stdout.contains("Usage: ") && !help.stdout.contains('{'), "{}", help.stdout);
}

#[test]
fn an_hour_that_was_never_merged_is_told_apart_by_why() {
    let lake = lake("");
    assert_eq!(lake.lakebed(&RUN).code, 0);
    let now = Hour::of(SystemClock.now()).to_string();
    for verb in ["repair", "rollback"] {
        let refuse = |hour: &str, words: &[&str]| refused(&lake.lakebed(&[verb, "shop.clicks", hour]), 2, words);
        refuse(&now, &["it was never merged, so there is nothing to", "that hour is still open, and `lakebed run` merges it from "]);
        refuse("2099-01-01T00", &["that hour has not begun yet"]);
        refuse("2026-11-19T11", &["`lakebed run --since 2026-11-19T11` merges what landed in it, if anything did"]);
    }
}

#[test]
fn partitions_of_an_hour_are_named_to_who_names_none_of_them() {
    let lake = scatter::lake("");
    lake.land("12", "a", &scatter::rows(&[("1", "10", "x"), ("2", "10", "y"), ("3", "11", "y")]));
    lake.run(0);
    for verb in ["repair", "rollback"] {
        let refuse = |place: &str, words: &[&str]| refused(&lake.lakebed(&[verb, "shop.clicks", place]), 2, words);
        let there = "in that hour there are 2026-11-19T10/p=x, 2026-11-19T10/p=y";
        refuse("2026-11-19T10", &["is named like 2026-11-19T10/p=…", there]);
        refuse("2026-11-19T10/p=z", &["p=z/at_hour=2026-11-19-10: it was never merged", there]);
        refuse("2026-11-19T11/p=z", &["in that hour there is 2026-11-19T11/p=y"]);
    }
    let nothing = lake.lakebed(&["redrive", "shop.clicks", "--hour", "2026-11-19T10/p=x"]);
    let told = "no record is in the quarantine of 2026-11-19T10/p=x; records are in quarantine in the hour in which they arrived";
    assert!(nothing.code == 0 && nothing.stdout.contains(told), "{} {}", nothing.stdout, nothing.stderr);
}

#[test]
fn a_sweep_takes_its_table_as_a_run_does() {
    let lake = lake("");
    assert_eq!(lake.lakebed(&RUN).code, 0);
    for arguments in [&["sweep", "shop.clicks"][..], &["sweep", "--table", "shop.clicks"]] {
        assert_eq!(lake.lakebed(arguments).stdout, "nothing to remove\n", "{arguments:?}");
    }
    refused(&lake.lakebed(&["sweep", "--table", "shop.click"]), 2, &["did you mean `shop.clicks`?"]);
}
