//! Gaps in the rhythm in which a stream's objects land.

use chrono::{NaiveDateTime, TimeDelta};

use super::LandedObject;
use super::arrival::object_time;
use crate::hour::Hour;

/// The spans between two objects, by the times in their names, that are longer than `every`; oldest first.
pub fn gaps(objects: &[LandedObject], every: TimeDelta) -> Vec<(NaiveDateTime, NaiveDateTime)> {
    let name = |object: &LandedObject| object_time(object.key.rsplit('/').next().unwrap_or_default());
    let mut times: Vec<NaiveDateTime> = objects.iter().filter_map(name).collect();
    times.sort_unstable();
    times.windows(2).filter(|pair| pair[1] - pair[0] > every).map(|pair| (pair[0], pair[1])).collect()
}

/// What to say of spans in which nothing landed from that hour on although Firehose should have.
pub fn missing_beats(objects: &[LandedObject], from: Hour, every: TimeDelta) -> Option<String> {
    // Of before it only some hours are known.
    let known: Vec<LandedObject> = objects.iter().filter(|object| object.hour >= from).cloned().collect();
    let gaps = gaps(&known, every);
    let (from, to) = gaps.first()?;
    Some(format!(
        "nothing landed for longer than `expect_every` {} times, first between {from} and {to}; look at the stream's delivery",
        gaps.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> LandedObject {
        let key = format!("2026/11/19/14/clicks-1-2026-11-19-{time}-0f0e0d0c-0b0a-0908-0706-050403020100.gz");
        let hour = "2026-11-19T14".parse().unwrap();
        LandedObject { key, etag: String::new(), size: 1, hour, path_values: std::collections::BTreeMap::new() }
    }

    #[test]
    fn only_spans_longer_than_the_rhythm_are_gaps() {
        let objects = [at("14-10-01"), at("14-00-00"), at("14-05-00"), at("14-30-00")];
        let found = gaps(&objects, TimeDelta::minutes(6));
        let found: Vec<String> = found.iter().map(|(from, to)| format!("{} {}", from.time(), to.time())).collect();
        assert_eq!(found, ["14:10:01 14:30:00"]);
        assert_eq!(gaps(&objects[..1], TimeDelta::minutes(1)), []);
    }
}
