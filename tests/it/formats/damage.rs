//! Bombs and damage: what can be read of an object is read, and nothing else suffers.

use serde_json::json;

use super::codecs::{COLUMNS, check_rows, encoded, records, text};
use super::{counted, counts, gzip, hex, lake, rejects};
use crate::support::seeded::Seeded;

#[test]
fn objects_that_were_cut_keep_their_good_part_in_every_codec() {
    let records = records();
    let lake = lake(COLUMNS, "");
    let mut cut = encoded(&text(&records));
    cut.retain(|name, _| !name.starts_with("raw"));
    cut.values_mut().for_each(|bytes| bytes.truncate(bytes.len() * 3 / 5));
    for (name, bytes) in &cut {
        lake.land("10", name, bytes);
    }
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": cut.len(), "merged": cut.len(), "rejected": 0, "pending": 0}));
    let counts = counts(&lake);
    let merged: Vec<u64> = counts.values().map(|counts| counts["merged"].as_u64().unwrap()).collect();
    assert!(merged.iter().all(|merged| (records.len() as u64 / 3..records.len() as u64).contains(merged)), "{counts:?}");
    check_rows(&lake, &records, &merged);
    let missing = run["failures"].as_array().unwrap();
    assert_eq!(missing.len(), cut.len(), "{missing:?}");
    let kept = lake.query("SELECT object, raw FROM shop.clicks_quarantine WHERE reason = 'damaged_object' ORDER BY object");
    assert_eq!(kept.len(), cut.len());
    for (row, (name, bytes)) in kept.iter().zip(&cut) {
        assert_eq!((&row["object"], row["raw"] == hex(bytes)), (&json!(format!("2026/11/19/10/{name}")), true));
        let failure = missing.iter().map(|failure| failure["error"].as_str().unwrap()).find(|error| error.contains(&format!("/{name} ")));
        assert!(failure.is_some_and(|error| error.contains("the records before that are in the table")), "{name}: {missing:?}");
    }
    // Beside the object itself at most the one record that the cut went through.
    for (name, counts) in counts {
        let quarantined = counts["quarantined"].as_u64().unwrap();
        assert!((1..=2).contains(&quarantined), "{name}: {counts}");
    }
}

#[test]
fn objects_that_were_changed_are_damaged() {
    let lake = lake("id string, n bigint", "[table.quarantine]\nmax_ratio = 1");
    let whole = gzip(b"{\"id\":\"a\"}{\"id\":\"b\"}");
    let end = whole.len();
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    lake.land("10", "checksum", &changed(end - 8));
    lake.land("10", "length", &changed(end - 1));
    lake.land("10", "behind", &[&whole[..], b"what is this"].concat());
    lake.land("10", "header", &changed(3));
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 4, "merged": 1, "rejected": 3, "pending": 0}));
    let counts = counts(&lake);
    // What was read before a wrong checksum may be wrong itself; what was read before something foreign is right.
    for name in ["checksum", "length"] {
        assert_eq!(counts[name], counted(3, 0, 3, 0), "{name}");
    }
    assert_eq!(counts["behind"], counted(3, 2, 1, 0));
    assert_eq!(counts["header"], counted(1, 0, 1, 0));
    let reasons: Vec<String> = rejects(&lake).into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "damaged_object").count(), 4, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| *reason == "object_set_aside").count(), 4, "{reasons:?}");
    let errors: Vec<&str> = run["failures"].as_array().unwrap().iter().map(|failure| failure["error"].as_str().unwrap()).collect();
    for words in ["the checksum is wrong", "the length is wrong", "what follows its member 1 is not gzip"] {
        assert!(errors.iter().any(|error| error.contains(words)), "{words}: {errors:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit_and_costs_only_itself() {
    let lake = lake("id string, n bigint", "");
    lake.limit_memory("128MiB");
    lake.land("10", "good", b"{\"id\":\"a\"}");
    // One layer is read to its end: 256 MiB of what is no JSON. Of two layers 2,000 times the size of the object come out.
    let zeros = gzip(&vec![0; 256 << 20]);
    lake.land("10", "one", &zeros);
    let two = gzip(&zeros);
    lake.land("10", "two", &two);
    let (run, peak) = lake.measured_run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 3, "merged": 1, "rejected": 2, "pending": 0}));
    assert_eq!(run["tables"][0]["records"]["merged"], 1);
    let errors: Vec<&str> = run["failures"].as_array().unwrap().iter().map(|failure| failure["error"].as_str().unwrap()).collect();
    let said = |name: &str, words: &str| errors.iter().any(|error| error.contains(name) && error.contains(words));
    assert!(said("10/one", "max_ratio") && said("10/two", "more than 2000 times as long when decompressed"), "{errors:?}");
    assert!(peak < (128 + 160) << 20, "the run had {} MB", peak >> 20);
    let bytes =
        "SELECT object, sum(byte_length) AS bytes FROM shop.clicks_quarantine WHERE reason = 'malformed_json' GROUP BY object ORDER BY 1";
    let all = |name: &str, bytes: u64| json!({"object": format!("2026/11/19/10/{name}"), "bytes": bytes});
    assert_eq!(
        lake.query(bytes),
        [all("one", 256 << 20), all("two", 2_000 * two.len() as u64)],
        "every byte that came out is accounted for"
    );
}

#[test]
fn nothing_and_noise_are_objects_too() {
    let lake = lake("id string, n bigint", "");
    let mut random = Seeded(5);
    let noise: Vec<u8> = (0..200_000).map(|_| random.below(256) as u8).collect();
    lake.land("10", "a-good", b"{\"id\":\"a\"}");
    lake.land("10", "empty", b"");
    lake.land("10", "empty.gz", &gzip(b""));
    lake.land("10", "noise", &noise);
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 4, "merged": 1, "rejected": 3, "pending": 0}));
    let missing: Vec<&str> = run["failures"].as_array().unwrap().iter().map(|failure| failure["error"].as_str().unwrap()).collect();
    assert!(missing.len() == 1 && missing[0].contains("noise"), "nothing is missing of an empty object: {missing:?}");
    let counts = counts(&lake);
    assert_eq!(
        (&counts["empty"], &counts["empty.gz"], &counts["noise"]["merged"]),
        (&counted(0, 0, 0, 0), &counted(0, 0, 0, 0), &json!(0))
    );
    let kept: String = rejects(&lake).into_iter().map(|(_, raw)| raw).collect();
    // White space at the ends of what is broken, and between, may be left out.
    assert!(kept.len() * 100 > noise.len() * 2 * 99, "{} of {}", kept.len() / 2, noise.len());
    // What was empty when it was found is taken in once it is there.
    lake.land("10", "empty", b"{\"id\":\"b\"}");
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 4, "merged": 2, "rejected": 2, "pending": 0}));
}
