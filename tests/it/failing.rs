//! What others are told of hours that fail: once when they begin to, and once when they do not any more.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::clock::SystemClock;
use lakebed::error::{Error, Result};
use lakebed::events::{Event, EventSink};
use lakebed::pipeline::{self, Request};
use serde_json::{Value, json};

use crate::support::Lake;

/// A bus that keeps what it is sent, or takes nothing, or never what has this in it.
#[derive(Default)]
struct Bus {
    broken: bool,
    refused: &'static str,
    events: Mutex<Vec<(String, Value)>>,
}

#[async_trait]
impl EventSink for Bus {
    async fn send(&self, events: &[Event]) -> Result<()> {
        if self.broken {
            return Err(Error::unavailable("the bus is broken"));
        }
        if !self.refused.is_empty() && events.iter().any(|event| event.detail().contains(self.refused)) {
            return Err(Error::config("the bus does not take such an event"));
        }
        let told = events.iter().map(|event| (event.name().to_string(), serde_json::from_str(&event.detail()).unwrap()));
        self.events.lock().unwrap().extend(told);
        Ok(())
    }
}

/// Runs at 20:`minutes` and returns what was told.
async fn run(lake: &Lake, minutes: u32, broken: bool) -> Vec<(String, Value)> {
    let config = lakebed::config::read(&lake.path("lakebed.toml")).unwrap();
    let mut app = App::new(config, Access::Write, Arc::new(SystemClock), ProgressBar::hidden()).await.unwrap();
    let bus = Arc::new(Bus { broken, ..Bus::default() });
    app.events = bus.clone();
    let at = format!("2026-11-19T20:{minutes:02}:00Z").parse().unwrap();
    pipeline::run(&app, &Request { table: None, at, since: None, dry_run: false, until: None }).await.unwrap();
    let told = bus.events.lock().unwrap();
    told.clone()
}

fn names(told: &[(String, Value)]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "SchemaEvolved").collect()
}

/// A lake of which nothing can be written until the file is removed that is returned.
fn blocked() -> (Lake, std::path::PathBuf) {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    std::fs::create_dir_all(lake.path("lake")).unwrap();
    let file = lake.path("lake/year=2026");
    std::fs::write(&file, "").unwrap();
    (lake, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_is_told_of_once_when_it_fails_and_once_when_it_heals() {
    let (lake, file) = blocked();
    let told = run(&lake, 0, false).await;
    assert_eq!(names(&told), ["RunFailed"]);
    let failed = &told.iter().find(|(name, _)| name == "RunFailed").unwrap().1;
    assert_eq!((&failed["failure_count"], &failed["still_failing"]), (&json!(1), &json!(0)));
    for minutes in [0, 1, 5] {
        assert!(run(&lake, minutes, false).await.is_empty(), "it fails as before, tried or not");
    }
    // Another hour fails too.
    lake.land("11", "b", b"{\"id\":\"b\"}");
    let told = run(&lake, 6, false).await;
    let failed = &told[0].1;
    assert_eq!((names(&told), &failed["failure_count"], &failed["still_failing"]), (vec!["RunFailed"], &json!(1), &json!(1)));
    assert!(failed["failures"][0]["partition"].as_str().unwrap().ends_with("hour=11"), "{failed}");

    std::fs::remove_file(file).unwrap();
    let told = run(&lake, 59, false).await;
    assert_eq!(names(&told), ["HourMerged", "HourMerged", "HourHealed", "HourHealed"]);
    let healed = &told[2].1;
    assert_eq!((&healed["partition"]["hour"], &healed["since"]), (&json!("10"), &json!("2026-11-19T20:00:00Z")));
    assert_eq!((&healed["attempts"], &healed["at"]), (&json!(3), &json!("2026-11-19T20:59:00Z")));
    assert!(run(&lake, 59, false).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bus_did_not_take_of_a_failing_hour_is_told_by_a_later_run() {
    let (lake, file) = blocked();
    for minutes in [0, 0, 1] {
        assert!(run(&lake, minutes, true).await.is_empty());
    }
    assert_eq!(names(&run(&lake, 2, false).await), ["RunFailed"], "it is not tried now, and still not known");
    assert!(run(&lake, 3, false).await.is_empty());
    std::fs::remove_file(file).unwrap();
    run(&lake, 30, true).await;
    assert_eq!(names(&run(&lake, 31, false).await), ["HourMerged", "HourHealed"]);
    assert!(run(&lake, 32, false).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_bus_never_takes_holds_up_no_other() {
    let lake = Lake::small("");
    // Twenty hours are told of ten at a time.
    for hour in 0..20 {
        lake.land(&format!("{hour:02}"), "a", b"{\"id\":\"a\"}");
    }
    let config = lakebed::config::read(&lake.path("lakebed.toml")).unwrap();
    let mut app = App::new(config, Access::Write, Arc::new(SystemClock), ProgressBar::hidden()).await.unwrap();
    let bus = Arc::new(Bus { refused: "\"hour\":\"00\"", ..Bus::default() });
    app.events = bus.clone();
    let request = Request { table: None, at: "2026-11-19T21:00:00Z".parse().unwrap(), since: None, dry_run: false, until: None };
    let summary = pipeline::run(&app, &request).await.unwrap();
    assert_eq!(summary.exit_code(), 3, "what was not told is no success");
    let told = bus.events.lock().unwrap().iter().filter(|(name, _)| name == "HourMerged").count();
    assert!((1..20).contains(&told), "the others are told: {told}");
}
