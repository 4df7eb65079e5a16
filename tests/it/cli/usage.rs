//! Wrong usage and wrong configuration: exit code 2, one sentence that says what to do, and nothing made.

use super::super::support::Lake;
use super::{RUN, ids, refused, snapshot};

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
