//! Firehose's error objects: reports in, rows and rejects of the wanted hours out.

use super::*;
use crate::hour::Hour;
use crate::standardize::errors::{hours, standardize as standardize_errors};
use base64::Engine;

fn report(hour: Option<u32>, record: &[u8]) -> String {
    let raw = base64::engine::general_purpose::STANDARD.encode(record);
    let millis = |hour| format!("2026-11-19T{hour:02}:30:00Z").parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_millis();
    let arrival = hour.map_or_else(String::new, |hour| format!("\"arrivalTimestamp\":{},", millis(hour)));
    format!("{{\"attemptsMade\":1,{arrival}\"errorCode\":\"X\",\"rawData\":\"{raw}\"}}\n")
}

fn stored(object: &str) -> Arc<dyn Stored> {
    Arc::new(Bytes::copy_from_slice(object.as_bytes()))
}

/// The lines of [`lines`] for the reports of one hour, or of those that do not tell theirs.
fn of_hour(plan: &Plan, object: &str, hour: Option<&str>) -> Vec<String> {
    let (mut batches, mut rejects) = (Vec::new(), Vec::new());
    let hour: Option<Hour> = hour.map(|hour| format!("2026-11-19T{hour}").parse().unwrap());
    let mut emit = |piece| {
        match piece {
            Piece::Rows(batch) => batches.push(batch),
            Piece::Rejects(some) => rejects.extend(some),
        }
        Ok(())
    };
    let outcome = standardize_errors(plan, &stored(object), Limits::within(1 << 30, 1 << 30), &|of| of == hour, &mut emit).unwrap();
    let Outcome { tally, damage } = outcome;
    let done = Standardized { batches, rejects, read: tally.read - tally.dropped, warned: tally.warned, damage };
    let mut out = lines(&done);
    out.extend((tally.dropped > 0).then(|| format!("dropped {}", tally.dropped)));
    out
}

#[test]
fn each_report_gives_its_record_to_its_hour() {
    let parts = [
        report(Some(10), br#"{"id":1}{"id":"x"}"#),
        report(Some(11), br#"[{"id":2}]"#),
        report(None, br#"{"id":3}"#),
        "{\"other\":1}\n{\"broken\"\n".to_string(),
        report(Some(10), b""),
    ];
    let (object, plan) = (parts.concat(), plan("id int", ""));
    let told: Vec<String> = hours(&stored(&object), Limits::within(1 << 30, 1 << 30))
        .unwrap()
        .into_iter()
        .map(|hour| hour.map_or("-".to_string(), |hour| hour.to_string()))
        .collect();
    assert_eq!(told, ["-", "2026-11-19T10", "2026-11-19T11"]);
    // A reject stands where the report does.
    assert_eq!(of_hour(&plan, &object, Some("10")), [r#"{"id":1}"#, r#"@0 type_mismatch id {"id":"x"}"#, "dropped 1"]);
    assert_eq!(of_hour(&plan, &object, Some("11")), [r#"{"id":2}"#]);
    let at = parts[..3].concat().len();
    let others = [
        r#"{"id":3}"#.to_string(),
        format!(r#"@{at} firehose_error  {{"other":1}}"#),
        format!(r#"@{} malformed_json  {{"broken""#, at + "{\"other\":1}\n".len()),
    ];
    assert_eq!(of_hour(&plan, &object, None), others);
    assert!(of_hour(&plan, &object, Some("12")).is_empty());
}

#[test]
fn what_stood_among_reports_never_becomes_data() {
    let (object, mut rejects) = (format!("{}{{\"other\":1}}", report(Some(10), b"{}")), Vec::new());
    let mut emit = |piece| {
        if let Piece::Rejects(some) = piece {
            rejects.extend(some);
        }
        Ok(())
    };
    let plan = plan("id int", "");
    standardize_errors(&plan, &stored(&object), Limits::within(1 << 30, 1 << 30), &|of| of.is_none(), &mut emit).unwrap();
    let batch = crate::standardize::reject::to_batch("o", &rejects).unwrap();
    let judged = crate::standardize::kept::judge(&plan, &batch, &Default::default()).unwrap();
    assert_eq!((judged.verdicts, judged.rows.len()), (vec![Some(crate::standardize::kept::Verdict::Left)], 0));
}

#[test]
fn what_has_no_report_is_none_and_what_is_cut_is_refused() {
    let limits = Limits::within(1 << 30, 1 << 30);
    assert!(hours(&stored(r#"{"entries":[{"url":"s3://x"}]}"#), limits).unwrap().is_empty(), "a manifest");
    let cut: Arc<dyn Stored> = Arc::new(Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]));
    assert!(hours(&cut, limits).unwrap_err().to_string().contains("cannot be read to its end"));
}

#[test]
fn a_record_that_cannot_be_read_to_its_end_is_kept_whole() {
    let object = report(Some(10), &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]);
    let found = of_hour(&plan("id int", ""), &object, Some("10"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("@0 damaged_object"), "{found:?}");
}
