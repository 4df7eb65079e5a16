//! A repair that an event asks for: done in the bucket, shown by Glue, told on the bus, and harmless when the event comes twice.

use lakebed::generate::Settings;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;

use super::{Bucketed, late_key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_asks_for_a_repair_and_may_come_twice() {
    let lake = Bucketed::with("\n[events]\nbus = \"lake\"\n").await;
    lake.lake.generate(&Settings { hours: 1, objects_per_hour: 2, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.run(0);
    let count = || lake.query("SELECT count(*) AS n FROM shop.clicks")[0]["n"].as_u64().unwrap();
    let before = count();
    lake.account.events();
    let late = "{\"event_id\":\"x\"}";
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(late.as_bytes())).await.unwrap();
    let event = |detail| json!({"version": "0", "source": "shop.ops", "detail-type": "RepairRequested", "detail": detail}).to_string();
    let asked = event(json!({"table": "shop.clicks", "hour": "2026-11-19T10"}));
    let never = event(json!({"table": "shop.clicks", "hour": "2026-11-19T11"}));
    let answers = lake.function("300", &[&asked, &asked, &never]);
    assert_eq!(
        (&answers[0]["response"]["action"], &answers[0]["response"]["objects"]["new"]),
        (&json!("repaired"), &json!(1)),
        "{answers}"
    );
    assert_eq!(answers[1]["response"]["action"], "nothing to repair", "{answers}");
    assert!(answers[2].to_string().contains("was never merged"), "{answers}");
    assert_eq!(count(), before + 1);
    let told: Vec<(String, u64)> =
        lake.account.events().into_iter().map(|(name, detail)| (name, detail["ledger_version"].as_u64().unwrap())).collect();
    assert_eq!(told, [("HourAmended".to_string(), 2)]);
}
