//! Gaps in the rhythm in which a stream's objects land.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::arrival::object_instant;

/// A span in which nothing landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// The time of the object before it, UTC.
    pub from: DateTime<Utc>,
    /// That of the object after it.
    pub to: DateTime<Utc>,
}

/// The spans between two objects of these keys, by the times in their names, that are longer than `every`; oldest first. `zone` is the
/// stream's.
pub fn silences<'k>(keys: impl Iterator<Item = &'k str>, zone: Tz, every: TimeDelta) -> Vec<Silence> {
    let times: BTreeSet<DateTime<Utc>> = keys.filter_map(|key| object_instant(key, zone)).collect();
    let pairs = times.iter().zip(times.iter().skip(1)).map(|(from, to)| Silence { from: *from, to: *to });
    pairs.filter(|silence| silence.to - silence.from > every).collect()
}

/// What to say of them; `None` if there are none. The newest `most` are named.
pub fn told(silences: &[Silence], most: usize) -> Option<String> {
    let named: Vec<String> = silences.iter().skip(silences.len().saturating_sub(most)).map(|silence| silence.to_text()).collect();
    let more = if silences.len() > most { "earlier ones, " } else { "" };
    let times = if silences.len() == 1 { "once".to_string() } else { format!("{} times", silences.len()) };
    (!named.is_empty()).then(|| format!("nothing landed for longer than `expect_every` {times}: {more}{}", named.join(", ")))
}

impl Silence {
    /// It for people; the day is said once.
    fn to_text(self) -> String {
        let to = if self.from.date_naive() == self.to.date_naive() { "%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
        format!("{} to {}", self.from.format("%Y-%m-%dT%H:%M:%SZ"), self.to.format(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(time: &str) -> String {
        format!("2026/11/19/14/clicks-1-2026-11-{time}-0f0e0d0c-0b0a-0908-0706-050403020100.gz")
    }

    fn of(times: &[&str], zone: Tz, minutes: i64) -> Option<String> {
        let keys: Vec<String> = times.iter().copied().map(key).collect();
        told(&silences(keys.iter().map(String::as_str), zone, TimeDelta::minutes(minutes)), 2)
    }

    #[test]
    fn only_spans_longer_than_the_rhythm_are_told() {
        let times = ["19-14-10-01", "19-14-00-00", "19-14-05-00", "19-14-30-00"];
        let once = "nothing landed for longer than `expect_every` once: 2026-11-19T14:10:01Z to 14:30:00Z";
        assert_eq!(of(&times, Tz::UTC, 6).as_deref(), Some(once));
        assert_eq!(of(&times[..1], Tz::UTC, 1), None);
        let all = of(&["19-22-00-00", "19-23-00-00", "20-01-00-00", "20-02-00-00"], Tz::UTC, 6).unwrap();
        assert_eq!(
            all,
            "nothing landed for longer than `expect_every` 3 times: earlier ones, \
             2026-11-19T23:00:00Z to 2026-11-20T01:00:00Z, 2026-11-20T01:00:00Z to 02:00:00Z"
        );
    }

    #[test]
    fn times_are_told_in_utc_and_a_name_without_one_tells_nothing() {
        let told = of(&["19-10-00-00", "19-11-00-00"], Tz::Europe__Berlin, 6).unwrap();
        assert!(told.ends_with("once: 2026-11-19T09:00:00Z to 10:00:00Z"), "{told}");
        assert_eq!(silences(["a", "b"].into_iter(), Tz::UTC, TimeDelta::minutes(1)), []);
    }
}
