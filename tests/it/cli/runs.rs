//! `run`: again, dry, for another time, late objects; and the JSON documents of all commands.

use lakebed::generate::{Part, Settings};
use serde_json::{Value, json};

use super::super::support::{AT, Lake};
use super::{RUN, ids, keys, snapshot};

#[test]
fn the_second_run_has_nothing_to_do_and_writes_nothing() {
    let lake = Lake::new("[table.merge]\nsort_by = [\"collector_tstamp\"]\ndeduplicate_by = [\"event_id\"]");
    lake.generate(&Settings { hours: 2, records: 400, bad: 0.05, duplicates: 0.05, ..Settings::default() });
    lake.run(0);
    let before = snapshot(lake.folder.path());
    let again = lake.lakebed(&RUN);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
    assert_eq!(again.stdout, "shop.clicks: nothing to do, of 24 landed objects: 24 merged\n");
    for command in
        [&["status"][..], &["partitions", "shop.clicks"], &["query", "SELECT count(*) FROM shop.clicks"], &["run", "--dry-run", "--at", AT]]
    {
        assert_eq!(lake.lakebed(command).code, 0);
    }
    let after = snapshot(lake.folder.path());
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(after, before);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    let before = snapshot(lake.folder.path());
    let dry = lake.lakebed(&["run", "--dry-run", "--at", AT]);
    assert_eq!((dry.code, dry.stderr.as_str()), (0, ""));
    assert!(dry.stdout.contains("would create year=2026/month=11/day=19/hour=10 from 1 object (new)\n"), "{}", dry.stdout);
    assert!(dry.stdout.contains("the table does not exist yet and would be created"), "{}", dry.stdout);
    let document = lake.lakebed(&["run", "--dry-run", "--at", AT, "--output", "json"]).json(0);
    assert_eq!((&document["dry_run"], &document["tables"][0]["objects"]["pending"]), (&true.into(), &1.into()));
    assert_eq!(snapshot(lake.folder.path()), before);

    lake.run(0);
    lake.land("10", "b", b"{\"id\":\"b\"}");
    let before = snapshot(lake.folder.path());
    let dry = lake.lakebed(&["run", "--dry-run", "--at", AT]);
    let lines: Vec<&str> = dry.stdout.lines().collect();
    let file = "shop.clicks:   appended to (less than half a row group): 1 live file, ";
    assert!(lines.len() == 3 && lines[1].starts_with(file), "{lines:?}");
    assert!(lines[1].ends_with(" bytes: part-00000.parquet; 1 row group copied, 0 encoded again"), "{lines:?}");
    assert_eq!(lines[0], "shop.clicks: would amend year=2026/month=11/day=19/hour=10 from 1 object (late)");
    assert_eq!(lines[2], "shop.clicks: left (already merged): 1 landed object: 2026/11/19/10/a");
    assert_eq!(snapshot(lake.folder.path()), before);
}

#[test]
fn the_document_of_a_run_has_what_the_design_shows() {
    let lake = Lake::small("[table.merge]\ndeduplicate_by = [\"id\"]");
    lake.land("10", "a", b"{\"id\":\"a\"}{\"id\":\"a\"}{\"id\":\"b\"}{\"id\":\"c\",\"n\":\"x\"}");
    lake.land("19", "b", b"{\"id\":\"d\"}");
    let answer = lake.lakebed(&["run", "--at", AT, "--output", "json"]);
    let run = answer.json(0);
    assert_eq!(answer.stderr, "");
    assert_eq!(run["run"].as_str().unwrap().len(), 26);
    assert_eq!((&run["at"], &run["failures"]), (&json!("2026-11-19T20:00:00Z"), &json!([])));
    let table = &run["tables"][0];
    assert_eq!(table["table"], "shop.clicks");
    assert_eq!(table["objects"], json!({"landed": 2, "merged": 1, "rejected": 0, "pending": 1}));
    assert_eq!(table["records"], json!({"read": 4, "merged": 2, "quarantined": 1, "duplicates": 1, "dropped": 0}));
    let partition = &table["partitions"][0];
    assert_eq!(partition["values"], json!({"year": "2026", "month": "11", "day": "19", "hour": "10"}));
    assert_eq!((&partition["action"], &partition["ledger_version"], &partition["complete"]), (&"created".into(), &1.into(), &true.into()));
    assert_eq!((&partition["rows"], &partition["files"]), (&2.into(), &1.into()));
    let [file] = lake.live_files().try_into().unwrap();
    assert_eq!(partition["bytes"], std::fs::metadata(&file).unwrap().len());
    let generation = partition["generation"].as_str().unwrap();
    assert!(generation.starts_with("g00000001-") && file.parent().unwrap().ends_with(generation), "{generation}");
}

#[test]
fn the_other_documents() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let [partition] = lake.partitions().try_into().unwrap();
    let expected = ["bytes", "files", "generation", "in_catalog", "ledger_version", "location", "rows", "state", "values"];
    assert_eq!(keys(&partition), expected);
    assert_eq!((&partition["state"], &partition["in_catalog"], &partition["rows"]), (&"closed".into(), &true.into(), &1.into()));
    let folder = url::Url::parse(partition["location"].as_str().unwrap()).unwrap().to_file_path().unwrap();
    assert!(folder.is_absolute() && folder.join("part-00000.parquet").is_file(), "{}", folder.display());

    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    assert_eq!((&status[0]["table"], &status[0]["rows"], &status[0]["in_catalog"]), (&"shop.clicks".into(), &1.into(), &true.into()));
    assert_eq!(status[0]["fresh_until"], "2026-11-19T11:00:00Z");
    let hour = &status[0]["hours"][0];
    assert_eq!((&hour["hour"], &hour["state"], &hour["complete"]), (&"2026-11-19T10".into(), &"closed".into(), &true.into()));

    let rows = lake.lakebed(&["query", "SELECT id FROM shop.clicks", "--output", "json"]).json(0);
    assert_eq!(rows, json!([{"id": "a"}]));
    let to = lake.path("generated");
    let generated = lake.lakebed(&["generate", "--to", to.to_str().unwrap(), "--records", "24", "--output", "json"]).json(0);
    assert_eq!((&generated["objects"], &generated["records"]), (&12.into(), &24.into()));
}

#[test]
fn open_hours_wait_and_at_decides() {
    let lake = Lake::small("");
    for (hour, name) in [("10", "a"), ("11", "b"), ("12", "c")] {
        lake.land(hour, name, format!("{{\"id\":\"{name}\"}}").as_bytes());
    }
    let run = |at: &str| lake.lakebed(&["run", "--at", at, "--output", "json"]).json(0)["tables"][0]["objects"].clone();
    // Hour 12 is not looked at: at 11:19 it lies ahead.
    assert_eq!(run("2026-11-19T11:19:59Z"), json!({"landed": 2, "merged": 0, "rejected": 0, "pending": 2}));
    assert_eq!(lake.partitions().len(), 0);
    assert_eq!(run("2026-11-19T11:20:00Z"), json!({"landed": 2, "merged": 1, "rejected": 0, "pending": 1}));
    assert_eq!(ids(&lake), ["a"]);
    let text = lake.lakebed(&["run", "--at", "2026-11-19T11:20:00Z"]).stdout;
    assert_eq!(text, "shop.clicks: nothing to do, of 2 landed objects: 1 merged, 1 in hours that are still open\n");
    run("2026-11-19T13:20:00Z");
    assert_eq!(ids(&lake), ["a", "b", "c"]);
}

#[test]
fn since_reaches_beyond_the_look_back() {
    let lake = Lake::small("lookback = \"2h\"");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    let text = lake.lakebed(&RUN).stdout;
    assert!(text.ends_with("shop.clicks: nothing to do, no object landed in the hours looked at\n"), "{text}");
    assert_eq!(lake.lakebed(&["run", "--at", AT, "--since", "2026-11-19T10"]).code, 0);
    assert_eq!(ids(&lake), ["a"]);
}

#[test]
fn late_objects_end_as_if_they_had_been_on_time() {
    let rules = "[table.merge]\nsort_by = [\"collector_tstamp\"]\ndeduplicate_by = [\"event_id\"]";
    let all = Settings { hours: 2, records: 1_200, late: 0.25, bad: 0.02, duplicates: 0.03, ..Settings::default() };
    let (late, at_once) = (Lake::new(rules), Lake::new(rules));
    at_once.generate(&all);
    at_once.run(0);
    late.generate(&Settings { part: Part::OnTime, ..all.clone() });
    late.run(0);
    assert!(late.rows().len() < at_once.rows().len());
    late.generate(&Settings { part: Part::Late, ..all });
    late.run(0);
    assert_eq!(late.rows(), at_once.rows());
    assert!(late.partitions().iter().any(|partition| partition["state"] == "amended(1)"));
    let quarantine = "SELECT object, byte_offset, raw FROM shop.clicks_quarantine ORDER BY object, byte_offset";
    assert_eq!(late.query(quarantine), at_once.query(quarantine));
}

#[test]
fn places_may_be_written_in_any_way() {
    let lake = Lake::small("");
    let odd = lake.path("mein Lake ü %20 #1/jobs");
    std::fs::create_dir_all(odd.join("../landing/2026/11/19/10")).unwrap();
    std::fs::write(odd.join("../landing/2026/11/19/10/a b"), "{\"id\":\"a\"}").unwrap();
    let migrations = lake.path("migrations/shop.clicks").display().to_string();
    let text = format!(
        "[[table]]\nname = \"shop.clicks\"\nlanding = \"..//landing//\"\nlocation = \"./x/../lake\"\nmigrations = \"{migrations}\"\n"
    );
    std::fs::write(odd.join("etl.toml"), text).unwrap();
    let lakebed = |arguments: &[&str]| {
        let mut command = std::process::Command::new(super::super::support::LAKEBED);
        super::Answer::of(command.current_dir(odd.parent().unwrap()).args(arguments).output().unwrap())
    };
    assert_eq!(lakebed(&["--config", "jobs/etl.toml", "run", "--at", AT]).code, 0);
    assert_eq!(lakebed(&["query", "SELECT id FROM shop.clicks", "--format", "csv", "--config", "./jobs/etl.toml"]).stdout, "id\na\n");
    assert!(odd.join("lake").is_dir() && odd.join(".lakebed").is_dir());
}

#[test]
fn partitions_of_more_keys_are_told_apart() {
    let keys = "year string, month string, day string, hour string, page string";
    let lake = Lake::small(
        "prefix = \"!{partitionKeyFromQuery:page}/!{timestamp:yyyy/MM/dd/HH}/\"\npartition_by = \"year=!{timestamp:yyyy}/\
         month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/page=!{partitionKeyFromQuery:page}\"",
    );
    lake.migration(&format!(
        "CREATE EXTERNAL TABLE ${{table}} (id string, rescued map<string,string>) PARTITIONED BY ({keys}) STORED AS PARQUET LOCATION '${{location}}'"
    ));
    for page in ["books", "50%", "x=y ü"] {
        let folder = lake.path(&format!("landing/{page}/2026/11/19/10"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a"), "{\"id\":\"a\"}").unwrap();
    }
    lake.run(0);
    let rows = lake.query("SELECT page FROM shop.clicks ORDER BY page");
    assert_eq!(rows, [json!({"page": "50%"}), json!({"page": "books"}), json!({"page": "x=y ü"})]);
    assert_eq!(lake.query("SELECT id FROM shop.clicks WHERE page = '50%'").len(), 1);
    let status = lake.lakebed(&["status"]).stdout;
    for name in ["2026-11-19T10/page=books ", "2026-11-19T10/page=50% ", "2026-11-19T10/page=x=y ü "] {
        assert!(status.contains(name), "{status}");
    }
}

#[test]
fn how_late_objects_came_and_when_none_did_is_told() {
    let lake = Lake::small("lookback = \"1000000h\"\nexpect_every = \"10m\"");
    let land = |time: &str, came: &str| {
        let name = format!("s-1-2026-11-19-{time}-a9fa96af-e4e4-409f-bac3-1f804714faaa");
        let file = lake.land("14", &name, format!("{{\"id\":\"{time}\"}}").as_bytes());
        let came: chrono::DateTime<chrono::Utc> = format!("2026-11-19T{came}:00Z").parse().unwrap();
        std::fs::File::options().write(true).open(file).unwrap().set_modified(came.into()).unwrap();
    };
    let told = || {
        let status = lake.lakebed(&["status", "--output", "json"]).json(0)[0].clone();
        (status["hours"][0]["late_by"].clone(), status["silences"].as_array().unwrap().len())
    };
    land("14-00-00", "16:00");
    land("14-05-00", "14:07");
    lake.run(0);
    assert_eq!(told(), (Value::Null, 0), "nothing was merged before they came");
    // Firehose tried it again for a while, so its name is of before.
    land("14-20-00", "17:00");
    assert_eq!(told(), (json!(7200), 1));
    let run = lake.run(0);
    let warning = run["tables"][0]["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("nothing landed for longer than `expect_every` once: 2026-11-19T14:05:00Z to 14:20:00Z; look at"), "{run}");
    assert_eq!(told(), (json!(7200), 1), "the ledger knows it");
    lake.lakebed(&["repair", "shop.clicks", "2026-11-19T14"]);
    assert_eq!(told(), (json!(7200), 1));
}
