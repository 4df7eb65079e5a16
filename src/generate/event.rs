//! One click event as compact JSON text, good or bad in a chosen way.

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};

use super::bad::BadKind;
use super::random::Random;
use super::vocabulary::{ATTRIBUTES, BROKEN_TITLES, COLLECTORS, DEVICES, EVENT_NAMES, NOT_OBJECTS, PAGES, PLACES, PRODUCTS, REFERRERS};

/// Formats onto the end of a byte vector.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { write!($out, $($text)*).expect("writing to memory cannot fail") };
}

/// Appends the event that `random` makes, taken by the collector at `at`.
///
/// A record that is bad as [`BadKind::Truncated`] ends in `}` like every other: what follows it starts behind a `}`.
pub(super) fn write(out: &mut Vec<u8>, mut random: Random, at: DateTime<Utc>, bad: Option<BadKind>) {
    let random = &mut random;
    if bad == Some(BadKind::NotAnObject) {
        return out.extend_from_slice(random.pick(NOT_OBJECTS).as_bytes());
    }
    write_id(out, random, bad);
    let event = *random.pick(EVENT_NAMES);
    put!(out, ",\"event_name\":\"{event}\"");
    write_visitor(out, random);
    write_times(out, random, at);
    write_page(out, random, bad);
    let cut_early = random.chance(50);
    if bad == Some(BadKind::Truncated) && cut_early {
        return;
    }
    write_geo(out, random);
    let agent = write_device(out, random);
    if bad == Some(BadKind::Truncated) {
        return;
    }
    write_items(out, random, event, bad == Some(BadKind::WrongType));
    write_attributes(out, random);
    write_metadata(out, random);
    write_rest(out, random, agent);
    out.push(b'}');
}

fn write_id(out: &mut Vec<u8>, random: &mut Random, bad: Option<BadKind>) {
    let id = random.uuid();
    match bad {
        Some(BadKind::MissingId) => put!(out, "{{\"event_id\":null"),
        Some(BadKind::NotAUuid) => put!(out, "{{\"event_id\":\"evt-{}\"", &id[..8]),
        _ => put!(out, "{{\"event_id\":\"{id}\""),
    }
}

/// Signed in, signed out (null) or never known (missing); a few visitors come often.
fn write_visitor(out: &mut Vec<u8>, random: &mut Random) {
    let user = random.below(60_000).min(random.below(60_000));
    match random.below(10) {
        0..7 => put!(out, ",\"user_id\":\"u-{user:06}\""),
        7..9 => put!(out, ",\"user_id\":null"),
        _ => {}
    }
    put!(out, ",\"session_id\":\"{:016x}\"", Random::of(&[user, random.below(3)]).bits());
}

/// The device's clock is a little behind the collector's, or wrong, or not told.
fn write_times(out: &mut Vec<u8>, random: &mut Random, at: DateTime<Utc>) {
    put!(out, ",\"collector_tstamp\":\"{}\"", at.format("%Y-%m-%dT%H:%M:%S%.3fZ"));
    let behind_ms = if random.chance(2) { random.below(86_400_000) } else { 40 + random.below(3_000) };
    let device = at - TimeDelta::milliseconds(behind_ms as i64);
    match random.below(50) {
        0 => put!(out, ",\"device_tstamp\":null"),
        1 => {}
        _ => put!(out, ",\"device_tstamp\":\"{}\"", device.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
    }
}

fn write_page(out: &mut Vec<u8>, random: &mut Random, bad: Option<BadKind>) {
    let (path, title) = *random.pick(PAGES);
    put!(out, ",\"page\":{{\"url\":\"https://shop.example{path}");
    if random.chance(15) {
        put!(out, "?ref={:x}&page={}", random.below(1 << 24), 1 + random.below(9));
    }
    out.extend_from_slice(b"\",\"title\":\"");
    let title = match bad {
        Some(BadKind::InvalidUtf8) => *random.pick(BROKEN_TITLES),
        _ => title.as_bytes(),
    };
    out.extend_from_slice(title);
    if random.chance(60) {
        put!(out, "\",\"referrer\":null");
    } else {
        put!(out, "\",\"referrer\":\"{}\"", random.pick(REFERRERS));
    }
    put!(out, ",\"path\":\"{path}\"}}");
}

fn write_geo(out: &mut Vec<u8>, random: &mut Random) {
    if random.chance(3) {
        return;
    }
    let (country, city, lat, lon) = *random.pick(PLACES);
    put!(out, ",\"geo\":{{\"country\":\"{country}\"");
    if random.chance(5) {
        put!(out, ",\"city\":null");
    } else {
        put!(out, ",\"city\":\"{city}\"");
    }
    for (name, degrees) in [("lat", lat), ("lon", lon)] {
        let near = degrees + random.below(1_001) as i64 - 500;
        let sign = if near < 0 { "-" } else { "" };
        put!(out, ",\"{name}\":{sign}{}.{:04}", near.abs() / 10_000, near.abs() % 10_000);
    }
    out.push(b'}');
}

/// Returns the user agent that goes with the device.
fn write_device(out: &mut Vec<u8>, random: &mut Random) -> &'static str {
    let (kind, system, browser, width, height, agent) = *random.pick(DEVICES);
    put!(out, ",\"device\":{{\"type\":\"{kind}\",\"os\":\"{system}\",\"browser\":\"{browser}\"");
    if width > 0 && random.chance(70) {
        put!(out, ",\"screen\":{{\"width\":{width},\"height\":{height}}}");
    }
    out.push(b'}');
    agent
}

fn write_items(out: &mut Vec<u8>, random: &mut Random, event: &str, wrong_type: bool) {
    let count = match event {
        "product_view" | "add_to_cart" | "remove_from_cart" => 1,
        "begin_checkout" | "purchase" => 1 + random.below(4),
        _ if wrong_type => 1,
        _ if random.chance(50) => return,
        _ => 0,
    };
    out.extend_from_slice(b",\"items\":[");
    for number in 0..count {
        let (sku, name, cents) = *random.pick(PRODUCTS);
        let comma = if number > 0 { "," } else { "" };
        put!(out, "{comma}{{\"sku\":\"{sku}\",\"name\":\"{name}\",\"price\":{}.{:02},\"quantity\":", cents / 100, cents % 100);
        if wrong_type && number == 0 {
            put!(out, "\"many\"}}");
        } else {
            put!(out, "{}}}", 1 + random.below(5));
        }
    }
    out.push(b']');
}

/// None to eight of the keys, mostly few, in the order of the list.
fn write_attributes(out: &mut Vec<u8>, random: &mut Random) {
    out.extend_from_slice(b",\"attributes\":{");
    let count = random.below(9).min(random.below(9)).min(random.below(9));
    let mut wanted = count;
    for (place, (key, values)) in ATTRIBUTES.iter().enumerate() {
        let left = (ATTRIBUTES.len() - place) as u64;
        if random.below(left) < wanted {
            let comma = if wanted < count { "," } else { "" };
            put!(out, "{comma}\"{key}\":\"{}\"", random.pick(values));
            wanted -= 1;
        }
    }
    out.push(b'}');
}

fn write_metadata(out: &mut Vec<u8>, random: &mut Random) {
    let (minor, shard) = (random.below(3), random.below(16));
    put!(
        out,
        ",\"metadata\":{{\"ingest\":{{\"version\":\"2.{minor}.0\",\"shard\":{shard}}},\"collector\":\"{}\"}}",
        random.pick(COLLECTORS)
    );
}

/// User agent, address, flags, numbers, and a `consent` that not every event has.
fn write_rest(out: &mut Vec<u8>, random: &mut Random, agent: &str) {
    put!(out, ",\"user_agent\":\"{agent}\"");
    if random.chance(15) {
        put!(out, ",\"ip\":\"2001:db8:{:x}::{:x}\"", random.below(0xffff), 1 + random.below(0xfffe));
    } else {
        put!(out, ",\"ip\":\"203.0.{}.{}\"", random.below(256), 1 + random.below(254));
    }
    put!(out, ",\"is_bot\":{},\"is_logged_in\":{}", agent.contains("bot"), random.chance(35));
    let sequence = if random.chance(1) { beyond_doubles(random) } else { random.below(5_000) };
    put!(out, ",\"sequence\":{sequence},\"engagement\":{}.{:03}", random.below(90), random.below(1_000));
    if random.chance(12) {
        put!(out, ",\"consent\":{{\"analytics\":{},\"ads\":{}}}", random.chance(80), random.chance(30));
    }
}

/// An odd integer above 2^53, which a 64-bit float cannot hold.
fn beyond_doubles(random: &mut Random) -> u64 {
    (1 << 53) + 1 + 2 * random.below(1 << 61)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, bad: Option<BadKind>) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, Random::of(&[number]), DateTime::from_timestamp_millis(1_795_082_400_127).unwrap(), bad);
        out
    }

    #[test]
    fn good_events_are_json_of_about_800_bytes_with_everything_in_some_of_them() {
        let texts: Vec<Vec<u8>> = (0..5_000).map(|number| event(number, None)).collect();
        let mean = texts.iter().map(Vec::len).sum::<usize>() / texts.len();
        assert!((760..=850).contains(&mean), "{mean}");
        let events: Vec<serde_json::Value> = texts.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
        assert!(events.iter().all(|e| e["collector_tstamp"] == "2026-11-19T10:00:00.127Z"));
        let some = |what: &str, test: &dyn Fn(&serde_json::Value) -> bool| assert!(events.iter().any(test), "no event with {what}");
        some("no user", &|e| e.get("user_id").is_none());
        some("user null", &|e| e.get("user_id").is_some_and(serde_json::Value::is_null));
        some("an integer beyond doubles", &|e| e["sequence"].as_u64().is_some_and(|n| n as f64 as u64 != n && n <= i64::MAX as u64));
        some("a quote in the title", &|e| e["page"]["title"].as_str().unwrap().contains('"'));
        some("an emoji", &|e| e["page"]["title"].as_str().unwrap().contains('🔒'));
        some("no attributes", &|e| e["attributes"].as_object().unwrap().is_empty());
        some("eight attributes", &|e| e["attributes"].as_object().unwrap().len() == 8);
        some("four items", &|e| e["items"].as_array().is_some_and(|items| items.len() == 4));
        some("consent", &|e| e.get("consent").is_some());
        some("a southern place", &|e| e["geo"]["lat"].as_f64().is_some_and(|lat| lat < 0.0));
    }

    #[test]
    fn only_a_truncated_record_and_its_neighbour_meet_in_brace_and_brace() {
        for number in 0..2_000 {
            for bad in [None, Some(BadKind::Truncated), Some(BadKind::InvalidUtf8), Some(BadKind::WrongType)] {
                let text = event(number, bad);
                assert!(text.starts_with(b"{") && text.ends_with(b"}"));
                assert!(!text.windows(2).any(|pair| pair == b"}{"), "{bad:?} {number}");
            }
        }
    }

    #[test]
    fn bad_events_are_bad_in_the_way_that_was_asked_for() {
        for number in 0..200 {
            let parsed = |kind| serde_json::from_slice::<serde_json::Value>(&event(number, Some(kind)));
            assert!(parsed(BadKind::Truncated).unwrap_err().is_eof());
            assert!(std::str::from_utf8(&event(number, Some(BadKind::InvalidUtf8))).is_err());
            assert!(!parsed(BadKind::NotAnObject).unwrap().is_object());
            assert_eq!(parsed(BadKind::WrongType).unwrap()["items"][0]["quantity"], "many");
            assert!(parsed(BadKind::MissingId).unwrap()["event_id"].is_null());
            assert_eq!(parsed(BadKind::NotAUuid).unwrap()["event_id"].as_str().unwrap().len(), 12);
        }
    }
}
