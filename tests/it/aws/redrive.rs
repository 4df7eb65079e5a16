//! A redrive that an event asks for: done in the bucket, shown by Glue, told on the bus, and harmless when the event comes twice.

use lakebed::generate::Settings;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;

use super::{Bucketed, late_key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_asks_for_a_redrive_and_may_come_twice() {
    let lake = Bucketed::with("[table.columns.event_id]\nmax_length = 40\n\n[events]\nbus = \"lake\"\n").await;
    lake.lake.generate(&Settings { hours: 1, objects_per_hour: 2, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    let long = format!("{{\"event_id\":\"x\"}}{{\"event_id\":\"{}\"}}", "y".repeat(60));
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from(long.into_bytes())).await.unwrap();
    lake.run(0);
    let count = || lake.query("SELECT count(*) AS n FROM shop.clicks")[0]["n"].as_u64().unwrap();
    let before = count();
    lake.account.events();
    let file = lake.lake.path("lakebed.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, settings.replace("max_length = 40", "max_length = 80")).unwrap();
    let event = |detail| json!({"version": "0", "source": "shop.ops", "detail-type": "RedriveRequested", "detail": detail}).to_string();
    let other = event(json!({"table": "shop.clicks", "reason": "type_mismatch"}));
    let asked = event(json!({"table": "shop.clicks", "hour": "2026-11-19T10", "reason": "rule_broken"}));
    let never = event(json!({"table": "shop.clicks", "hour": "2026-11-19T11"}));
    let answers = lake.function("300", &[&other, &asked, &asked, &never]);
    assert_eq!(answers[0]["response"]["partitions"], json!([]), "{answers}");
    let done = &answers[1]["response"];
    assert_eq!((&done["partitions"][0]["action"], &done["total"]["passes"]), (&json!("redriven"), &json!(1)), "{answers}");
    let done = &answers[2]["response"];
    assert_eq!((&done["partitions"][0]["action"], &done["total"]["resolved"]), (&json!("nothing to redrive"), &json!(1)), "{answers}");
    assert!(answers[3].to_string().contains("nothing was merged for 2026-11-19T11"), "{answers}");
    assert_eq!(count(), before + 1);
    let told: Vec<(String, u64)> =
        lake.account.events().into_iter().map(|(name, detail)| (name, detail["ledger_version"].as_u64().unwrap())).collect();
    assert_eq!(told, [("HourAmended".to_string(), 2)]);
}
