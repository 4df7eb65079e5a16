//! `history`, and what is told of rollbacks that took no object out.

use serde_json::{Value, json};

use super::super::support::{AT, Lake};
use super::{ids, refused};

const HOUR: &str = "2026-11-19T14";

fn most(n: u32) -> String {
    format!("[table.columns.n]\nmax = {n}")
}

/// An hour with one row, and another one that a redrive put there after a rule was corrected.
fn redriven() -> Lake {
    let lake = Lake::small(&most(5));
    lake.land("14", "a", b"{\"id\":\"a\",\"n\":1}{\"id\":\"b\",\"n\":9}");
    lake.run(0);
    lake.configure(&most(50));
    done(&lake, &["redrive", "shop.clicks"]);
    assert_eq!(ids(&lake), ["a", "b"]);
    lake
}

fn done(lake: &Lake, arguments: &[&str]) -> Value {
    lake.lakebed(&[arguments, &["--output", "json"]].concat()).json(0)
}

fn history(lake: &Lake) -> Value {
    done(lake, &["history", "shop.clicks", HOUR])
}

/// The state of the hour, the generations of the rollback that stands, and what a run says of it.
fn standing(lake: &Lake) -> (String, Option<(String, String)>, usize) {
    let hour = done(lake, &["status"])[0]["hours"][0].clone();
    let name = |of: &str| hour["rolled_back"][of].as_str().map(|id| id.split('-').next().unwrap().to_string());
    let warnings = lake.run(0)["tables"][0]["warnings"].as_array().unwrap().clone();
    let told = warnings.iter().filter(|warning| warning.as_str().unwrap().contains("hour=14: it was rolled back from g0")).count();
    (hour["state"].as_str().unwrap().to_string(), name("from").zip(name("to")), told)
}

fn rolled_back(from: &str, to: &str) -> (String, Option<(String, String)>, usize) {
    ("rolled back".into(), Some((from.into(), to.into())), 1)
}

#[test]
fn a_rollback_of_a_redrive_is_told_until_a_redrive_undoes_it() {
    let lake = redriven();
    assert_eq!(standing(&lake), ("closed".into(), None, 0));
    done(&lake, &["rollback", "shop.clicks", HOUR]);
    assert_eq!(standing(&lake), rolled_back("g00000002", "g00000001"));
    let text = lake.lakebed(&["status"]).stdout;
    assert!(text.contains("\n  rolled back from g00000002-") && !text.contains("objects that a rollback took out"), "{text}");
    let dry = lake.lakebed(&["run", "--at", AT, "--dry-run"]).stdout;
    assert!(dry.contains("to g00000001-") && dry.contains("which no run undoes: a repair does, a redrive"), "{dry}");
    assert_eq!(lake.partitions()[0]["state"], "rolled back");

    // What comes later does not undo it, and what is swept neither.
    lake.land("14", "c", b"{\"id\":\"c\"}");
    lake.run(0);
    assert_eq!((ids(&lake), standing(&lake)), (vec!["a".to_string(), "c".into()], rolled_back("g00000002", "g00000001")));
    lake.set("grace", "0s");
    assert!(!done(&lake, &["sweep", "shop.clicks"])["removed"].as_array().unwrap().is_empty());
    assert_eq!(standing(&lake), rolled_back("g00000002", "g00000001"));

    done(&lake, &["redrive", "shop.clicks"]);
    assert_eq!((ids(&lake), standing(&lake)), (vec!["a".to_string(), "b".into(), "c".into()], ("amended(1)".into(), None, 0)));
}

#[test]
fn a_rollback_is_told_until_the_hour_is_forward_again_or_made_anew() {
    let lake = redriven();
    done(&lake, &["rollback", "shop.clicks", HOUR]);
    done(&lake, &["rollback", "shop.clicks", HOUR, "--to", "g00000002"]);
    assert_eq!((ids(&lake), standing(&lake)), (vec!["a".to_string(), "b".into()], ("closed".into(), None, 0)));

    // Of rows that were only written once more.
    lake.configure(&format!("{}\n[table.merge]\ncompression = \"snappy\"", most(50)));
    assert_eq!(done(&lake, &["repair", "shop.clicks", HOUR, "--from-merged"])["action"], "repaired");
    done(&lake, &["rollback", "shop.clicks", HOUR]);
    assert_eq!(standing(&lake), rolled_back("g00000005", "g00000002"));
    // Written once more they are as they are, so that does not undo it.
    assert_eq!(done(&lake, &["repair", "shop.clicks", HOUR, "--from-merged"])["action"], "repaired");
    assert_eq!(standing(&lake), rolled_back("g00000005", "g00000002"));
    assert_eq!(done(&lake, &["repair", "shop.clicks", HOUR])["action"], "repaired");
    assert_eq!(standing(&lake), ("closed".into(), None, 0));
    assert_eq!(done(&lake, &["repair", "shop.clicks", HOUR])["action"], "nothing to repair");
}

#[test]
fn the_history_tells_each_verb_and_what_there_is_to_go_back_to() {
    let lake = redriven();
    lake.land("14", "c", b"{\"id\":\"c\"}");
    lake.run(0);
    lake.configure(&format!("{}\n[table.merge]\ncompression = \"snappy\"", most(50)));
    done(&lake, &["repair", "shop.clicks", HOUR, "--from-merged"]);
    lake.configure(&most(5));
    done(&lake, &["repair", "shop.clicks", HOUR]);
    done(&lake, &["rollback", "shop.clicks", HOUR, "--to", "g00000001"]);
    lake.set("grace", "1h");
    let document = history(&lake);
    let told = |document: &Value| -> Vec<String> {
        let versions = document["versions"].as_array().unwrap().iter();
        versions
            .map(|done| format!("{} {} {} {}: {}", done["version"], done["operation"], done["from_merged"], done["rows"], done["why"]))
            .collect()
    };
    let generation = |version: usize| document["versions"][version - 1]["generation"].as_str().unwrap().to_string();
    let expected = [
        "1 \"create\" false 1: \"landed: 1 new object\"".to_string(),
        "2 \"redrive\" false 2: \"quarantined records tried once more: 1 record fits\"".into(),
        "3 \"amend\" false 3: \"came later: 1 new object\"".into(),
        "4 \"repair\" true 3: \"its rows written once more as they were\"".into(),
        "5 \"repair\" false 2: \"made anew from what landed: the same objects\"".into(),
        format!("6 \"rollback\" false 1: \"back from {} to {}: 1 object taken out\"", generation(5), generation(1)),
    ];
    assert_eq!(told(&document), expected);
    assert_eq!((&document["state"], &document["gone"]), (&json!("rolled back"), &json!([])));
    let there: Vec<_> = document["generations"].as_array().unwrap().iter().collect();
    let names: Vec<_> = there.iter().map(|there| there["generation"].as_str().unwrap().to_string()).collect();
    assert_eq!(names, [1, 5, 4, 3, 2].map(generation));
    assert_eq!((&there[0]["live"], &there[0]["stays_until"], &there[1]["refusal"]), (&json!(true), &Value::Null, &Value::Null));
    // Each of them can be gone to, and the text says so.
    let text = lake.lakebed(&["history", "shop.clicks", HOUR]).stdout;
    assert!(text.starts_with("shop.clicks year=2026/month=11/day=19/hour=14: rolled back\n"), "{text}");
    assert!(text.contains(" repair --from-merged ") && text.contains(&format!("\n{}: 3 rows in 1 file, ", names[2])), "{text}");
    assert!(text.contains(" bytes, stays until 20") && text.ends_with("with the same table and hour\n"), "{text}");
    for to in &names[1..] {
        done(&lake, &["rollback", "shop.clicks", HOUR, "--to", to]);
    }
    assert_eq!(ids(&lake), ["a", "b"]);

    lake.configure(&most(5));
    lake.set("grace", "0s");
    done(&lake, &["sweep", "shop.clicks"]);
    let text = lake.lakebed(&["history", "shop.clicks", HOUR]).stdout;
    assert!(text.contains("past their grace: ") && !text.contains("with the same table and hour"), "{text}");
    assert_eq!(history(&lake)["generations"].as_array().unwrap().len(), 1);
    std::fs::remove_file(lake.path(".lakebed/ledger/shop.clicks/year=2026/month=11/day=19/hour=14/00000000000000000002.json")).unwrap();
    let text = lake.lakebed(&["history", "shop.clicks", HOUR]).stdout;
    assert!(text.contains("ledger version 2 is gone; restore"), "{text}");
}

#[test]
fn there_is_no_history_of_what_was_never_merged() {
    let lake = redriven();
    let asked = |hour: &str| lake.lakebed(&["history", "shop.clicks", hour]);
    refused(&asked("2026-11-19T13"), 2, &["hour=13: it was never merged"]);
    refused(&asked("2026-11-19T14/page=a"), 2, &["a partition of this table is named like 2026-11-19T14"]);
}
