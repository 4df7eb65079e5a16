//! Stored formats that must stay readable for ever, and that must not change by accident.

use chrono::TimeDelta;
use lakebed::catalog::{FileFormat, Table, TableName};
use lakebed::error::Kind;
use lakebed::events::{Event, Failed};
use lakebed::failing::Record;
use lakebed::layout::{GenerationId, PartitionId};
use lakebed::ledger::{Counts, DataFile, Generation, LedgerVersion, Missing, Operation, RedrivenFile, Retired, RolledBack, Source};
use lakebed::rollback::history::history;
use lakebed::scatter::intake::{Intake, Taken};
use lakebed::scatter::moves::{Anew, Move, Moved, State};
use lakebed::schema::{Column, HiveType};

const FIRST_ATTEMPT: &str = "01JBN4ZHE0AAAAAAAAAAAAAAAA";
const SECOND_ATTEMPT: &str = "01JBN8EBE0BBBBBBBBBBBBBBBB";

fn generation(root: &str, number: u64, attempt: &str, rows: &[u64]) -> Generation {
    let id = GenerationId { number, attempt: attempt.into() };
    let file = |(index, rows): (usize, &u64)| DataFile { name: format!("part-{index:05}.parquet"), rows: *rows, bytes: 1000 + rows };
    let files = rows.iter().enumerate().map(file).collect();
    Generation { location: format!("{root}/day=2026-11-19/page=a%2Fb/{id}/"), id, files }
}

fn counts(read: u64, merged: u64, quarantined: u64, duplicates: u64, dropped: u64) -> Counts {
    Counts { read, merged, quarantined, duplicates, dropped, resolved: 0, moved: 0 }
}

fn source(key: &str, hour: &str, late: bool, counts: Counts, rejected: Option<&str>) -> Source {
    let (hour, rejected) = (hour.parse().unwrap(), rejected.map(str::to_string));
    Source { key: key.into(), hour, etag: format!("\"{}-e\"", key.len()), size: 4096, late, counts, rejected, came: None }
}

/// The first version of a partition, without anything that is optional.
fn created() -> LedgerVersion {
    let column = |name: &str, hive: &str, comment: Option<&str>| Column {
        name: name.into(),
        hive: HiveType::parse(hive).unwrap(),
        comment: comment.map(str::to_string),
    };
    LedgerVersion {
        format: 2,
        table: TableName { database: "shop".into(), name: "clicks".into() },
        partition: PartitionId::new([("day".into(), "2026-11-19".into()), ("page".into(), "a/b".into())]),
        version: 1,
        attempt: FIRST_ATTEMPT.into(),
        run: "01JBN4ZH00RRRRRRRRRRRRRRRR".into(),
        at: "2026-11-19T15:20:00Z".parse().unwrap(),
        operation: Operation::Create,
        generation: generation("s3://lake/shop/clicks", 1, FIRST_ATTEMPT, &[95]),
        from_merged: false,
        rolled_back: None,
        quarantine: None,
        columns: vec![
            column("event_id", "string", Some("UUID; says \"once\"")),
            column("items", "array<struct<sku:string,price:decimal(10,2)>>", None),
            column("rescued", "map<string,string>", None),
        ],
        schema: "e0c41080ca8e4124".into(),
        sources: vec![source("2026/11/19/14/a.gz", "2026-11-19T14", false, counts(100, 95, 0, 4, 1), None)],
        counts: counts(100, 95, 0, 4, 1),
        held: vec![],
        amended: 0,
        missing: vec![],
        retired: vec![],
        redriven: vec![],
    }
}

/// What was taken in of an arrival hour: an object that is done, one that is not, and one that was set aside.
fn taken_in() -> Intake {
    let home = PartitionId::new([("page".into(), String::new()), ("day".into(), "2026-11-19".into())]);
    let shares = |shares: &[(&str, u64)]| shares.iter().map(|(partition, rows)| (format!("{partition}/day=2026-11-19"), *rows)).collect();
    let taken = |name: &str, rows: &[(&str, u64)], rejected: u64| Taken {
        key: format!("2026/11/19/14/{name}.gz"),
        etag: "\"e\"".into(),
        size: 4096,
        read: rows.iter().map(|(_, rows)| rows).sum::<u64>() + rejected,
        rejected,
        dropped: 0,
        untimed: 0,
        shares: shares(rows),
        placement: "0123456789abcdef".into(),
        home: home.clone(),
        staged: format!("queue/shop.clicks/2026-11-19T14/{name}.parquet"),
        set_aside: None,
        memory: 0,
        withdrawn: None,
        moving: None,
        done: false,
    };
    let none = "page=__HIVE_DEFAULT_PARTITION__";
    Intake {
        format: 1,
        table: TableName { database: "shop".into(), name: "clicks".into() },
        hour: "2026-11-19T14".parse().unwrap(),
        version: 1,
        attempt: FIRST_ATTEMPT.into(),
        run: "01JBN4ZH00RRRRRRRRRRRRRRRR".into(),
        at: "2026-11-19T15:20:00Z".parse().unwrap(),
        objects: vec![
            Taken { done: true, untimed: 2, dropped: 1, read: 101, ..taken("a", &[(none, 0), ("page=a%2Fb", 60), ("page=c", 35)], 5) },
            taken("b", &[("page=c", 7)], 0),
            Taken { done: true, set_aside: Some("5 of its 6 records are bad".into()), ..taken("c", &[(none, 0)], 6) },
        ],
    }
}

#[test]
fn intake_format_1() {
    let json = taken_in().to_json();
    let stored = include_str!("golden/intake-format-1.json");
    assert_eq!(String::from_utf8(json).unwrap(), stored.trim_end(), "give it a new format number and keep reading this one");
    assert_eq!(Intake::from_json(include_bytes!("golden/intake-format-1.json"), "it").unwrap(), taken_in());
    taken_in().check(None).unwrap();
}

/// The same, while a repair moves rows of the first object.
fn moving() -> Intake {
    let mut intake = Intake { format: 2, version: 2, attempt: SECOND_ATTEMPT.into(), ..taken_in() };
    intake.objects[0].moving = Some(SECOND_ATTEMPT.into());
    intake
}

#[test]
fn intake_format_2() {
    let stored = include_str!("golden/intake-format-2.json");
    assert_eq!(String::from_utf8(moving().to_json()).unwrap(), stored.trim_end(), "give it a new format number and keep reading this one");
    assert_eq!(Intake::from_json(stored.as_bytes(), "it").unwrap(), moving());
    moving().check(Some(&taken_in())).unwrap();
    let newer = Intake::from_json(b"{\"format\": 3}", "intake/x").unwrap_err().to_string();
    assert!(newer.contains("intake/x has format 3, this lakebed reads up to 2; update lakebed"), "{newer}");
}

/// A later version of it, with everything there is.
fn amended() -> LedgerVersion {
    let first = created();
    let quarantine = |number, attempt, rows: &[u64]| generation("file:///state/quarantine/shop.clicks", number, attempt, rows);
    let old = [quarantine(1, FIRST_ATTEMPT, &[1]), first.generation];
    let retired = |old: Generation| Retired { location: old.location, files: old.files, at: "2026-11-19T16:20:00.5Z".parse().unwrap() };
    LedgerVersion {
        version: 2,
        attempt: SECOND_ATTEMPT.into(),
        run: "01JBN8EB00SSSSSSSSSSSSSSSS".into(),
        at: "2026-11-19T16:20:00.5Z".parse().unwrap(),
        operation: Operation::Amend,
        amended: 1,
        generation: generation("s3://lake/shop/clicks", 2, SECOND_ATTEMPT, &[100, 14]),
        quarantine: Some(quarantine(2, SECOND_ATTEMPT, &[7])),
        sources: vec![
            source("2026/11/19/14/a.gz", "2026-11-19T14", false, counts(100, 95, 0, 4, 1), None),
            source("2026/11/19/14/b.gz", "2026-11-19T14", true, counts(20, 19, 1, 0, 0), None),
            source("2026/11/19/15/c.gz", "2026-11-19T15", true, counts(6, 0, 6, 0, 0), Some("5 of its 6 records are bad")),
        ],
        counts: counts(126, 114, 7, 4, 1),
        missing: vec![
            Missing { key: "2026/11/19/14/d.gz".into(), reason: "gzip: corrupt deflate stream".into() },
            Missing { key: "2026/11/19/15/c.gz".into(), reason: "5 of its 6 records are bad".into() },
        ],
        retired: old.map(retired).into(),
        ..created()
    }
}

/// The stored bytes read to the value, and the value is written as these bytes.
fn check(stored: &str, value: &LedgerVersion, previous: Option<&LedgerVersion>) {
    value.check(previous).expect("a golden version is one that could be committed");
    let written = String::from_utf8(value.to_json()).unwrap();
    assert_eq!(written, stored.trim_end(), "the ledger's stored form changed: give it a new format number and keep reading this one");
    assert_eq!(&LedgerVersion::from_json(stored.as_bytes(), "golden").unwrap(), value);
}

/// The amended version, rolled back.
fn rolled_back() -> LedgerVersion {
    let (first, second) = (created(), amended());
    let replaced = [second.quarantine.clone().unwrap(), second.generation.clone()];
    let retired = |old: Generation| Retired { location: old.location, files: old.files, at: "2026-11-19T17:00:00Z".parse().unwrap() };
    let still = second.retired.iter().filter(|old| old.location != first.generation.location).cloned();
    LedgerVersion {
        version: 3,
        attempt: "01JBNBT7E0CCCCCCCCCCCCCCCC".into(),
        at: "2026-11-19T17:00:00Z".parse().unwrap(),
        operation: Operation::Rollback,
        amended: 1,
        held: second.sources[1..].to_vec(),
        missing: vec![],
        retired: still.chain(replaced.map(retired)).collect(),
        ..first
    }
}

/// The amended version, of whose quarantine a redrive moved some records into the table and into other partitions.
fn redriven() -> LedgerVersion {
    let (third, second) = ("01JBNBT7E0CCCCCCCCCCCCCCCC", amended());
    let retired = |old: Generation| Retired { location: old.location, files: old.files, at: "2026-11-19T17:00:00Z".parse().unwrap() };
    let replaced = [second.quarantine.clone().unwrap(), second.generation.clone()];
    let moved = |counts: Counts| Counts { resolved: 3, moved: 2, ..counts };
    let in_place = source("2026/11/19/15/c.gz", "2026-11-19T15", true, moved(counts(6, 1, 3, 0, 0)), None);
    LedgerVersion {
        format: 3,
        version: 3,
        attempt: third.into(),
        at: "2026-11-19T17:00:00Z".parse().unwrap(),
        operation: Operation::Redrive,
        generation: generation("s3://lake/shop/clicks", 3, third, &[100, 15]),
        quarantine: Some(generation("file:///state/quarantine/shop.clicks", 3, third, &[7])),
        sources: second.sources.iter().take(2).cloned().chain([in_place]).collect(),
        counts: moved(counts(126, 115, 4, 4, 1)),
        missing: second.missing[..1].to_vec(),
        retired: second.retired.iter().cloned().chain(replaced.map(retired)).collect(),
        redriven: vec![RedrivenFile {
            name: "part-00000.parquet".into(),
            object: "2026/11/19/15/c.gz".into(),
            shares: [("day=2026-11-18/page=a%2Fb", 1), ("day=2026-11-19/page=c", 1)].map(|(path, rows)| (path.to_string(), rows)).into(),
        }],
        ..second
    }
}

#[test]
fn ledger_format_1_is_still_read() {
    let of_format = |value: LedgerVersion| LedgerVersion { format: 1, ..value };
    let read = |stored: &str| LedgerVersion::from_json(stored.as_bytes(), "golden").unwrap();
    assert_eq!(read(include_str!("golden/ledger-format-1-create.json")), of_format(created()));
    assert_eq!(read(include_str!("golden/ledger-format-1.json")), of_format(amended()));
}

#[test]
fn ledger_format_2() {
    check(include_str!("golden/ledger-format-2-create.json"), &created(), None);
    check(include_str!("golden/ledger-format-2-amend.json"), &amended(), Some(&created()));
    check(include_str!("golden/ledger-format-2-rollback.json"), &rolled_back(), Some(&amended()));
}

#[test]
fn ledger_format_3() {
    check(include_str!("golden/ledger-format-3-redriven-files.json"), &redriven(), Some(&amended()));
    // As it was written before a version named its files.
    let without = LedgerVersion::from_json(include_bytes!("golden/ledger-format-3-redrive.json"), "golden").unwrap();
    assert_eq!(without, LedgerVersion { redriven: vec![], ..redriven() });
}

/// The amended version, closed, and then made anew without the objects whose rows moved.
fn made_anew() -> (LedgerVersion, LedgerVersion) {
    let [third, fourth] = ["01JBNBT7E0CCCCCCCCCCCCCCCC", "01JBNBT7E0DDDDDDDDDDDDDDDD"];
    let (at, second) = ("2026-11-19T17:00:00Z".parse().unwrap(), amended());
    let closed = LedgerVersion { format: 4, ..second.swept(second.retired.clone(), third.into(), second.run.clone(), at) };
    let retired = |old: Generation| Retired { location: old.location, files: old.files, at };
    let replaced = [second.generation.clone(), second.quarantine.clone().unwrap()];
    let next = LedgerVersion {
        version: 4,
        attempt: fourth.into(),
        operation: Operation::Move,
        generation: generation("s3://lake/shop/clicks", 4, fourth, &[95]),
        quarantine: Some(generation("file:///state/quarantine/shop.clicks", 4, fourth, &[])),
        sources: second.sources[..1].to_vec(),
        counts: counts(100, 95, 0, 4, 1),
        missing: vec![],
        retired: second.retired.iter().cloned().chain(replaced.map(retired)).collect(),
        ..closed.clone()
    };
    (closed, next)
}

#[test]
fn ledger_format_4() {
    let (closed, next) = made_anew();
    closed.check(Some(&amended())).unwrap();
    check(include_str!("golden/ledger-format-4-move.json"), &next, Some(&closed));
    check(include_str!("golden/ledger-format-4-rollback.json"), &standing(), Some(&amended()));
    let again = LedgerVersion { format: 4, version: 2, operation: Operation::Repair, from_merged: true, ..created() };
    check(include_str!("golden/ledger-format-4-from-merged.json"), &again, Some(&created()));
}

/// The rollback, as it is written since a version says that one stands, and when its objects came.
fn standing() -> LedgerVersion {
    let (second, back) = (amended(), rolled_back());
    let (from, to, at) = (second.generation.id, back.generation.id.clone(), back.at);
    let came = Some("2026-11-19T16:05:00Z".parse().unwrap());
    let held = back.held.iter().map(|source| Source { came, ..source.clone() }).collect();
    LedgerVersion { format: 4, rolled_back: Some(RolledBack { from, to, at }), held, ..back }
}

/// The document is this one, and stays it: programs read it.
#[test]
fn the_history_of_an_hour() {
    let versions = [created(), amended(), standing()];
    let history = history(&versions, "file:///state/quarantine/shop.clicks/", TimeDelta::hours(24)).unwrap();
    let written = serde_json::to_string_pretty(&history).unwrap();
    assert_eq!(written, include_str!("golden/history.json").trim_end());
    let text = history.to_text("2026-11-20T16:30:00Z".parse().unwrap());
    assert_eq!(text, include_str!("golden/history.txt"));
}

#[test]
fn move_format_1() {
    let (closed, version) = made_anew();
    let [before, _, _] = taken_in().objects.try_into().unwrap();
    let now = Taken {
        read: 100,
        dropped: 1,
        rejected: 4,
        shares: [(closed.partition.to_string(), 95)].into(),
        home: closed.partition,
        ..before.clone()
    };
    let LedgerVersion { table, run, at, .. } = version.clone();
    let begun = Move {
        format: 1,
        table,
        version: 1,
        attempt: SECOND_ATTEMPT.into(),
        id: SECOND_ATTEMPT.into(),
        run,
        at,
        state: State::Begun,
        partitions: vec![Anew { closed_by: closed.attempt, version }],
        objects: vec![Moved { hour: "2026-11-19T14".parse().unwrap(), before, now }],
    };
    let stored = include_str!("golden/move-format-1.json");
    assert_eq!(String::from_utf8(begun.to_json()).unwrap(), stored.trim_end(), "give it a new format number and keep reading this one");
    assert_eq!(Move::from_json(stored.as_bytes(), "it").unwrap(), begun);
    begun.check(None).unwrap();
    let newer = Move::from_json(b"{\"format\": 2}", "moves/x").unwrap_err().to_string();
    assert!(newer.contains("moves/x has format 2, this lakebed reads up to 1; update lakebed"), "{newer}");
}

#[test]
fn fields_that_a_later_version_may_add_do_not_hide_the_ledger() {
    let more = include_str!("golden/ledger-format-2-amend.json").replacen("\"format\": 2,", "\"format\": 2, \"later\": {\"x\": [1]},", 1);
    assert_eq!(LedgerVersion::from_json(more.as_bytes(), "golden").unwrap(), amended());
}

/// The event's detail is this document, and stays it: receivers read it.
fn check_event(stored: &str, event: &Event, name: &str) {
    let written: serde_json::Value = serde_json::from_str(&event.detail()).unwrap();
    let written = serde_json::to_string_pretty(&written).unwrap();
    assert_eq!(written, stored.trim_end(), "the form of an event changed: a field that means another thing needs a new format number");
    assert_eq!(event.name(), name);
}

#[test]
fn events_of_hours() {
    let merged = Event::of_version(&created(), None);
    assert_eq!(merged.len(), 1);
    check_event(include_str!("golden/event-hour-merged.json"), &merged[0], "HourMerged");
    let amended = Event::of_version(&amended(), Some(&created()));
    check_event(include_str!("golden/event-hour-amended.json"), &amended[0], "HourAmended");
    check_event(include_str!("golden/event-records-quarantined.json"), &amended[1], "RecordsQuarantined");
    assert_eq!(amended.len(), 2);
}

#[test]
fn events_of_tables_and_runs() {
    let keys = ["day", "page"].map(|name| Column { name: name.into(), hive: HiveType::String, comment: None });
    let table = Table {
        name: TableName { database: "shop".into(), name: "clicks".into() },
        columns: created().columns,
        partition_keys: keys.into(),
        location: "s3://lake/shop/clicks/".into(),
        parameters: [].into(),
        version: 1,
        format: FileFormat::Parquet,
        external: true,
    };
    check_event(include_str!("golden/event-schema-evolved.json"), &Event::of_table(&table), "SchemaEvolved");
    let failed = |partition: Option<&str>, error: &str| Failed {
        table: table.name.clone(),
        partition: partition.map(str::to_string),
        error: error.to_string(),
    };
    let failures = [failed(Some("day=2026-11-19/page=a%2Fb"), "object x is not wholly in the table: gzip: cut off"), failed(None, "no")];
    let event = Event::of_failures("01JBN4ZH00RRRRRRRRRRRRRRRR", "2026-11-19T15:20:00Z", 3, failures.into_iter(), 2);
    check_event(include_str!("golden/event-run-failed.json"), &event, "RunFailed");
    let known = Record {
        partition: created().partition,
        hour: "2026-11-19T14".parse().unwrap(),
        since: "2026-11-19T15:20:00Z".parse().unwrap(),
        attempts: 3,
        at: "2026-11-19T17:20:00Z".parse().unwrap(),
        next: "2026-11-19T17:30:00Z".parse().unwrap(),
        kind: Kind::Unavailable,
        reason: "no".into(),
        tried: "0123456789abcdef".into(),
        version: 0,
        told: true,
        refused: false,
    };
    let event = Event::of_healed(&table.name, "01JBNBT700TTTTTTTTTTTTTTTT", "2026-11-19T18:20:00Z".parse().unwrap(), &known);
    check_event(include_str!("golden/event-hour-healed.json"), &event, "HourHealed");
}
