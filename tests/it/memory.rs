//! Promise P10 in figures: objects and records of a size that does not fit, within the cap that `[lake] memory` sets.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde_json::{Value, json};

use super::support::Lake;

/// Bytes of the large objects.
const LARGE: usize = 1 << 30;

/// Bytes of each of their records.
const RECORD: usize = 1 << 10;

/// Writes the records of a large object.
fn write_records(out: impl Write) {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    for number in 0..LARGE / RECORD {
        let head = format!("{{\"id\":\"{number:08}\",\"n\":{},\"pad\":\"", number * 7);
        let pad = format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).repeat(RECORD / 16);
        write!(out, "{head}{}\"}}", &pad[..RECORD - head.len() - 2]).unwrap();
    }
    out.flush().unwrap();
}

fn within(lake: &Lake, cap: u64, code: i32) -> Value {
    let (run, peak) = lake.measured_run(code);
    assert!(peak < cap, "the run had {} MB, and the cap is {}", peak >> 20, cap >> 20);
    run["tables"][0].clone()
}

#[test]
fn objects_of_a_gigabyte_are_read_within_half_of_that() {
    let lake = Lake::small("");
    lake.limit_memory("512MiB");
    write_records(File::create(lake.land("10", "plain", b"")).unwrap());
    let gzip = File::create(lake.land("11", "gzip", b"")).unwrap();
    write_records(flate2::write::GzEncoder::new(gzip, flate2::Compression::fast()));
    let table = within(&lake, 512 << 20, 0);
    let records = 2 * LARGE / RECORD;
    assert_eq!(table["records"], json!({"read": records, "merged": records, "quarantined": 0, "duplicates": 0, "dropped": 0}));
    let sums = lake.query("SELECT count(distinct id) AS ids, sum(cast(id as bigint)) AS ids_sum, count(*) AS n FROM shop.clicks");
    let count = (LARGE / RECORD) as u64;
    assert_eq!(sums, [json!({"ids": count, "ids_sum": count * (count - 1), "n": 2 * count})]);
}

#[test]
fn a_record_of_64_mebibytes_is_a_row_within_a_gibibyte() {
    let lake = Lake::small("");
    lake.limit_memory("1GiB");
    let head = "{\"id\":\"";
    let longest = format!("{head}{}\"}}", "x".repeat((64 << 20) - head.len() - 2));
    assert_eq!(longest.len(), 64 << 20);
    lake.land("10", "one", format!("{{\"id\":\"a\"}}{longest}{{\"id\":\"b\"}}").as_bytes());
    lake.land("11", "longer", format!("{{\"id\":\"c\"}}{} {{\"id\":\"d\"}}", longest.replacen("{\"", "{ \"", 1)).as_bytes());
    let table = within(&lake, 1 << 30, 3);
    assert_eq!(table["records"], json!({"read": 6, "merged": 5, "quarantined": 1, "duplicates": 0, "dropped": 0}));
    let lengths = lake.query("SELECT length(id) AS n FROM shop.clicks ORDER BY n DESC LIMIT 2");
    assert_eq!(lengths, [json!({"n": (64 << 20) - head.len() - 2}), json!({"n": 1})]);
}

#[test]
fn long_records_in_quarantine_are_read_a_few_at_a_time() {
    let lake = Lake::small("[table.columns.n]\nmax = 5\n[table.quarantine]\nmax_ratio = 1.0");
    lake.limit_memory("512MiB");
    let pad = "x".repeat(4 << 20);
    let record = |id: usize, n: usize| format!("{{\"id\":\"{id:03}\",\"n\":{n},\"pad\":\"{pad}\"}}");
    let mut object = flate2::write::GzEncoder::new(File::create(lake.land("10", "a.gz", b"")).unwrap(), flate2::Compression::fast());
    (0..200).for_each(|id| object.write_all(record(id, 7).as_bytes()).unwrap());
    object.finish().unwrap();
    within(&lake, 512 << 20, 0);
    lake.land("10", "b", b"{\"id\":\"b\",\"n\":8}");
    within(&lake, 512 << 20, 0);
    lake.configure("[table.columns.n]\nmax = 7\n[table.quarantine]\nmax_ratio = 1.0");
    lake.limit_memory("512MiB");
    for more in [&["--dry-run"][..], &[]] {
        let (done, peak) = lake.measured(&[&["redrive", "shop.clicks", "--output", "json"], more].concat(), 0);
        assert!(peak < 512 << 20, "the redrive had {} MB", peak >> 20);
        assert_eq!((&done["total"]["passes"], &done["total"]["fails"]), (&json!(200), &json!(1)));
    }
    assert_eq!(lake.query("SELECT count(*) AS n, count(distinct id) AS ids FROM shop.clicks"), [json!({"n": 200, "ids": 200})]);
}
