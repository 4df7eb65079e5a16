//! A rollback takes rows out that nobody reads from the landing again: a sweep keeps the generation that has them, and says so.

use serde_json::{Value, json};

use super::super::support::{AT, Lake};
use super::moved::{RULES, document, record};
use super::scatter::{BY_PAGE, lake, rows, told};

const X: &str = "2026-11-19T10/p=x";

/// A lake without grace, in which a redrive moved two records into a partition of one row, and a late object came there after it.
fn redriven() -> Lake {
    let lake = lake(RULES);
    lake.set("grace", "0s");
    let bad = [record("a", "10", "x", "7"), record("b", "10", "x", "8")].concat();
    lake.land("12", "a", &[rows(&[("1", "10", "x"), ("2", "12", "y"), ("3", "12", "y")]), bad.into_bytes()].concat());
    lake.run(0);
    lake.configure(BY_PAGE);
    lake.set("grace", "0s");
    document(&lake, &[]);
    lake.land("12", "late", &rows(&[("4", "10", "x")]));
    lake.run(0);
    assert_eq!(told(&lake).0[0], "x 2026-11-19-10: 1 4 a b");
    lake
}

fn of_x(lake: &Lake) -> String {
    told(lake).0.remove(0)
}

fn rollback(lake: &Lake, to: &str) -> String {
    let done = lake.lakebed(&["rollback", "shop.clicks", X, "--to", to]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    done.stdout
}

/// What a sweep, or a dry run of it, says of generations that stay.
fn kept(lake: &Lake, more: &[&str]) -> Vec<String> {
    let done = lake.lakebed(&[&["sweep", "shop.clicks", "--output", "json"], more].concat()).json(0);
    done["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap().to_string()).collect()
}

#[test]
fn a_sweep_keeps_what_alone_has_rows_that_a_rollback_took_out_until_they_are_back() {
    let lake = redriven();
    let said = rollback(&lake, "g00000001");
    assert!(said.contains("g00000003"), "{said}");
    let way = format!("`lakebed repair shop.clicks {X}` or `lakebed rollback shop.clicks {X} --to g00000003`");
    assert!(
        said.contains(&format!("objects that stay out of it until {way}:\n  2026/11/19/12/a: records that a redrive moved here\n")),
        "{said}"
    );
    assert!(!said.contains("//") && said.ends_with("\n  2026/11/19/12/late\n"), "{said}");
    assert_eq!(of_x(&lake), "x 2026-11-19-10: 1");

    let planned = kept(&lake, &["--dry-run"]);
    let [one] = planned.as_slice() else { panic!("{planned:?}") };
    assert!(one.starts_with("shop.clicks p=x/at_hour=2026-11-19-10: g00000003-"), "{one}");
    assert!(one.contains("stays past its grace: 2 records that a rollback took out are in it alone"), "{one}");
    for way in way.split(" or ") {
        assert!(one.contains(way), "{one}");
    }
    assert_eq!(kept(&lake, &[]), planned);
    assert_eq!(kept(&lake, &[]), planned, "the next sweep too");
    lake.run(0);
    document(&lake, &[]);
    assert_eq!((kept(&lake, &[]), of_x(&lake)), (planned, "x 2026-11-19-10: 1".to_string()), "no run and no redrive brings them back");
    // The one before it, which has fewer of them, is gone.
    let refused = lake.lakebed(&["rollback", "shop.clicks", X, "--to", "g00000002"]);
    assert!(refused.code == 2 && refused.stderr.contains("there is g00000003-"), "{}", refused.stderr);

    rollback(&lake, "g00000003");
    assert_eq!(of_x(&lake), "x 2026-11-19-10: 1 4 a b");
    assert_eq!(kept(&lake, &[]), Vec::<String>::new());
    let left = lake.lakebed(&["rollback", "shop.clicks", X]);
    assert!(left.code == 1 && left.stderr.contains("none was retired, or all were swept"), "{}", left.stderr);
    assert_eq!(of_x(&lake), "x 2026-11-19-10: 1 4 a b");
}

#[test]
fn what_came_behind_a_rollback_takes_nothing_of_it_away() {
    let lake = redriven();
    rollback(&lake, "g00000001");
    lake.land("12", "later", &rows(&[("5", "10", "x")]));
    lake.run(0);
    assert_eq!(of_x(&lake), "x 2026-11-19-10: 1 5");
    assert_eq!(kept(&lake, &[]).len(), 1);
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    let hours = status[0]["hours"].as_array().unwrap();
    let of_x: Vec<&Value> = hours.iter().filter(|hour| hour["partition"] == "p=x/at_hour=2026-11-19-10").collect();
    assert_eq!((&of_x[0]["held"], &of_x[0]["state"]), (&json!(2), &json!("rolled back")));
    let run = lake.lakebed(&["run", "--at", AT, "--output", "json"]).json(0);
    let warnings = run["tables"][0]["warnings"].to_string();
    assert!(
        warnings.contains("its rows of 2 objects stay out of it until `lakebed repair`, or until it is rolled forward again"),
        "{warnings}"
    );
    rollback(&lake, "g00000003");
    assert_eq!(told(&lake).0[0], "x 2026-11-19-10: 1 4 a b", "what came later is held now");
    // A repair reads it where it landed.
    assert_eq!(kept(&lake, &[]), Vec::<String>::new());
}

#[test]
fn a_plain_hour_keeps_nothing_past_its_grace() {
    let lake = Lake::small("");
    lake.set("grace", "0s");
    for name in ["a", "b"] {
        lake.land("14", name, format!("{{\"id\":\"{name}\"}}").as_bytes());
        lake.run(0);
    }
    let said = lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T14"]).stdout;
    let ways = "until `lakebed repair shop.clicks 2026-11-19T14` or `lakebed rollback shop.clicks 2026-11-19T14 --to g00000002`:\n";
    assert!(said.contains(ways), "{said}");
    assert_eq!(kept(&lake, &[]), Vec::<String>::new());
    let said = lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T14", "--to", "g00000001"]).stdout;
    assert!(said.contains("until `lakebed repair shop.clicks 2026-11-19T14`:\n  2026/11/19/14/b\n"), "{said}");
    assert_eq!(lake.lakebed(&["repair", "shop.clicks", "2026-11-19T14"]).code, 0);
    assert_eq!(super::ids(&lake), ["a", "b"]);
}
