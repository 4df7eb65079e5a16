//! `query`: the three forms, a reader that goes away, mistakes, and statements that would write.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::super::support::{Answer, Lake};
use super::{refused, snapshot};

fn lake() -> Lake {
    let lake = Lake::small("");
    lake.land("10", "a", "{\"id\":\"a, b\",\"n\":1}{\"id\":\"ü\",\"n\":null}".as_bytes());
    lake.run(0);
    lake
}

#[test]
fn rows_as_table_csv_and_json() {
    let lake = lake();
    let sql = "SELECT id, n FROM shop.clicks ORDER BY id";
    let print = |format: &str| {
        let answer = lake.lakebed(&["query", sql, "--format", format]);
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
        answer.stdout
    };
    assert_eq!(print("csv"), "id,n\n\"a, b\",1\nü,\n");
    assert_eq!(print("json").trim_end(), "[{\"id\":\"a, b\",\"n\":1},{\"id\":\"ü\",\"n\":null}]");
    let table = print("table");
    assert_eq!(table, lake.lakebed(&["query", sql]).stdout);
    assert!(table.contains("| a, b | 1    |") && table.contains("| ü    | NULL |"), "{table}");
    assert_eq!(lake.lakebed(&["query", "SELECT id FROM shop.clicks WHERE n > 5", "--format", "json"]).stdout.trim_end(), "[]");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let lake = lake();
    for format in ["table", "csv", "json"] {
        let sql = "SELECT value FROM generate_series(1, 300000)";
        let mut child = lake.command(&["query", sql, "--format", format]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0u8; 1];
        std::io::Read::read_exact(&mut BufReader::with_capacity(1, child.stdout.take().unwrap()), &mut first).unwrap();
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{format}");
    }
    let mut child =
        lake.command(&["query", "SELECT value FROM generate_series(1, 9)", "--format", "csv"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert_eq!((lines.len(), child.wait().unwrap().code()), (10, Some(0)));
}

#[test]
fn a_mistake_is_one_sentence() {
    let lake = lake();
    refused(&lake.lakebed(&["query", "SELEC 1"]), 2, &["the query cannot be run", "SQL statement"]);
    refused(&lake.lakebed(&["query", "SELECT * FROM shop.clicks WHERE"]), 2, &["the query cannot be run", "an expression"]);
    refused(&lake.lakebed(&["query", "SELECT nope FROM shop.clicks"]), 2, &["no field named nope", "shop.clicks.id"]);
    refused(&lake.lakebed(&["query", "SELECT 1; SELECT 2"]), 2, &["the query cannot be run", "single SQL statement"]);
    refused(&lake.lakebed(&["query", ""]), 2, &["the query cannot be run", "no SQL statement"]);
}

#[test]
fn statements_that_write_are_refused() {
    let lake = lake();
    let out = lake.path("out.csv");
    let copy = format!("COPY shop.clicks TO '{}'", out.display());
    let statements = [
        "INSERT INTO shop.clicks VALUES (1)",
        "INSERT INTO shop.clicks SELECT * FROM shop.clicks",
        "UPDATE shop.clicks SET n = 1",
        "DELETE FROM shop.clicks",
        "DROP TABLE shop.clicks",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE y STORED AS CSV LOCATION '/'",
        "SET x = 1",
        copy.as_str(),
    ];
    let before = snapshot(lake.folder.path());
    for sql in statements {
        refused(&lake.lakebed(&["query", sql]), 2, &["would change something", "SELECT"]);
    }
    refused(&lake.lakebed(&["query", "SELECT * FROM '/etc/hostname'"]), 2, &["there is no table"]);
    assert_eq!(snapshot(lake.folder.path()), before);
}
