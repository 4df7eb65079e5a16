//! Where every object and every record of a clickstream stands: arithmetic over indexes, so that any of them can be made alone.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use super::bad::BadKind;
use super::random::Random;
use super::settings::{Compression, Settings};
use crate::hour::Hour;

const HOUR_MS: u64 = 3_600_000;
/// A duplicate repeats one of this many records before it: retries follow soon, in the same object or the next ones.
const DUPLICATE_REACH: u64 = 5_000;

/// A checked [`Settings`] with its shares turned into whole numbers. Records and objects are numbered from 0 through all hours.
#[derive(Debug)]
pub(super) struct Plan {
    settings: Settings,
    base: u64,
    late: Spread,
    odd: Spread,
    bad: u64,
    duplicates: u64,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Its own event.
    Good,
    /// No table can take it.
    Bad(BadKind),
    /// The same bytes as the good record of this index.
    CopyOf(u64),
}

/// Separate sequences of random numbers, so that none depends on how many another one used.
#[derive(Clone, Copy)]
enum Purpose {
    Record = 1,
    Time,
    Object,
    Original,
    Late,
    Odd,
}

impl Plan {
    pub(super) fn new(settings: &Settings) -> Self {
        let base = Random::of(&[settings.seed, settings.first_hour.start().timestamp() as u64]).bits();
        let (bad, duplicates) = (settings.bad_records(), settings.duplicate_records());
        let reserved = if duplicates > 0 { u64::from(settings.hours) } else { 0 };
        let spread = |purpose, of, chosen| Spread { of, chosen, seed: Random::of(&[base, purpose as u64]).bits() };
        Self {
            base,
            late: spread(Purpose::Late, settings.objects(), settings.late_objects()),
            odd: spread(Purpose::Odd, settings.records - reserved, bad + duplicates),
            bad,
            duplicates,
            settings: settings.clone(),
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The records of an object.
    pub(super) fn records_of(&self, object: u64) -> Range<u64> {
        let first = |object| scale(object, self.settings.records, self.settings.objects());
        first(object)..first(object + 1)
    }

    pub(super) fn is_late(&self, object: u64) -> bool {
        self.late.rank(object).is_some()
    }

    pub(super) fn hour_of(&self, object: u64) -> Hour {
        Hour::of(self.hour_start(object))
    }

    /// The object's key: Firehose's default prefix, and the name that ends in the second of the oldest record.
    pub(super) fn key(&self, object: u64) -> String {
        let start = self.hour_start(object) + TimeDelta::milliseconds(self.window(object).start as i64);
        let extension = if self.settings.compression == Compression::None { "" } else { ".gz" };
        format!(
            "{}/{}-1-{}-{}{extension}",
            start.format("%Y/%m/%d/%H"),
            self.settings.stream,
            start.format("%Y-%m-%d-%H-%M-%S"),
            self.random(Purpose::Object, object).uuid()
        )
    }

    /// What a record is. After a bad record of the same object only kinds follow that are whole JSON objects: a reader that
    /// looks for the next whole object loses exactly the bad one.
    pub(super) fn nature(&self, record: u64) -> Nature {
        let Some(odd) = self.odd_rank(record) else { return Nature::Good };
        let Some(rank) = self.bad_rank(odd) else { return Nature::CopyOf(self.original(record)) };
        let first = self.records_of(self.object_of(record)).start;
        let kinds = if record > first && self.is_bad(record - 1) { BadKind::WHOLE_OBJECTS } else { BadKind::ALL };
        Nature::Bad(kinds[(rank % kinds.len() as u64) as usize])
    }

    /// The random numbers that a record's event is made of.
    pub(super) fn event_random(&self, record: u64) -> Random {
        self.random(Purpose::Record, record)
    }

    /// When the collector took a record: in step with its place in the object, give or take two seconds.
    pub(super) fn collected_at(&self, record: u64) -> DateTime<Utc> {
        const JITTER_MS: u64 = 2_000;
        let object = self.object_of(record);
        let (window, records) = (self.window(object), self.records_of(object));
        let (length, count) = (window.end - window.start, records.end - records.start);
        let jitter = self.random(Purpose::Time, record).below(2 * JITTER_MS);
        let in_step = window.start + scale(record - records.start, length, count);
        let at = (in_step + jitter).saturating_sub(JITTER_MS).clamp(window.start, window.end - 1);
        self.hour_start(object) + TimeDelta::milliseconds(at as i64)
    }

    /// The milliseconds of its hour that an object covers: two slots, so that neighbours overlap as parallel channels do.
    fn window(&self, object: u64) -> Range<u64> {
        let slots = u64::from(self.settings.objects_per_hour);
        let slot = object % slots;
        let start = scale(slot, HOUR_MS, slots).min(HOUR_MS - 1);
        start..scale(slot + 2, HOUR_MS, slots).clamp(start + 1, HOUR_MS)
    }

    fn hour_start(&self, object: u64) -> DateTime<Utc> {
        let hours = object / u64::from(self.settings.objects_per_hour);
        self.settings.first_hour.start() + TimeDelta::hours(hours as i64)
    }

    fn object_of(&self, record: u64) -> u64 {
        owner(record, self.settings.objects(), self.settings.records)
    }

    fn is_bad(&self, record: u64) -> bool {
        self.odd_rank(record).is_some_and(|odd| self.bad_rank(odd).is_some())
    }

    /// Which of the bad records and duplicates a record is. Where there are duplicates, an hour's first record is none of them, so
    /// that every duplicate has something to repeat.
    fn odd_rank(&self, record: u64) -> Option<u64> {
        if self.duplicates == 0 {
            return self.odd.rank(record);
        }
        let hour = self.object_of(record) / u64::from(self.settings.objects_per_hour);
        if record == self.first_of_hour(hour) { None } else { self.odd.rank(record - hour - 1) }
    }

    fn first_of_hour(&self, hour: u64) -> u64 {
        self.records_of(hour * u64::from(self.settings.objects_per_hour)).start
    }

    /// Which bad record an odd one is, or `None` for a duplicate: the two take turns in proportion.
    fn bad_rank(&self, odd: u64) -> Option<u64> {
        let before = scale(odd, self.bad, self.odd.chosen);
        (scale(odd + 1, self.bad, self.odd.chosen) > before).then_some(before)
    }

    /// The good record of the same hour that a duplicate repeats.
    fn original(&self, duplicate: u64) -> u64 {
        let first = self.first_of_hour(self.object_of(duplicate) / u64::from(self.settings.objects_per_hour));
        let mut candidate = duplicate;
        while candidate > first {
            let reach = (candidate - first).min(DUPLICATE_REACH);
            candidate -= 1 + self.random(Purpose::Original, candidate).below(reach);
            if self.odd_rank(candidate).is_none() {
                break;
            }
        }
        candidate
    }

    fn random(&self, purpose: Purpose, index: u64) -> Random {
        Random::of(&[self.base, purpose as u64, index])
    }
}

/// `chosen` of `of` indexes, one at random in each of `chosen` equal stretches.
#[derive(Debug)]
struct Spread {
    of: u64,
    chosen: u64,
    seed: u64,
}

impl Spread {
    /// How many chosen indexes come before this one, if it is chosen itself.
    fn rank(&self, index: u64) -> Option<u64> {
        if self.chosen == 0 {
            return None;
        }
        let stretch = owner(index, self.chosen, self.of);
        let (start, end) = (scale(stretch, self.of, self.chosen), scale(stretch + 1, self.of, self.chosen));
        let place = start + Random::of(&[self.seed, stretch]).below(end - start);
        (index == place).then_some(stretch)
    }
}

/// `part / whole` of `total`, rounded down.
fn scale(part: u64, total: u64, whole: u64) -> u64 {
    (u128::from(part) * u128::from(total) / u128::from(whole)) as u64
}

/// Which of `owners` equal shares of `total` an index lies in: the inverse of `scale(owner, total, owners)`.
fn owner(index: u64, owners: u64, total: u64) -> u64 {
    (((u128::from(index) + 1) * u128::from(owners) - 1) / u128::from(total)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_lies_in_the_object_that_lists_it() {
        let plan = Plan::new(&Settings { hours: 3, objects_per_hour: 7, records: 1_000, ..Settings::default() });
        let mut next = 0;
        for object in 0..21 {
            for record in plan.records_of(object) {
                assert_eq!((record, plan.object_of(record)), (next, object));
                next += 1;
            }
        }
        assert_eq!(next, 1_000);
    }

    #[test]
    fn a_spread_chooses_as_many_as_it_says() {
        for (of, chosen) in [(10, 0), (10, 1), (10, 10), (1_000, 333), (1_000, 999), (7, 3)] {
            let spread = Spread { of, chosen, seed: 9 };
            let ranks: Vec<u64> = (0..of).filter_map(|index| spread.rank(index)).collect();
            assert_eq!(ranks, (0..chosen).collect::<Vec<_>>(), "{chosen} of {of}");
        }
    }

    #[test]
    fn duplicates_repeat_good_records_of_their_own_hour() {
        let plan = Plan::new(&Settings { hours: 2, records: 2_000, bad: 0.2, duplicates: 0.6, ..Settings::default() });
        let mut copies = 0;
        for record in 0..2_000 {
            if let Nature::CopyOf(original) = plan.nature(record) {
                assert!(original < record && original / 1_000 == record / 1_000, "{record} repeats {original}");
                assert_eq!(plan.nature(original), Nature::Good);
                copies += 1;
            }
        }
        assert_eq!(copies, 1_200);
    }

    #[test]
    fn broken_records_are_never_neighbours() {
        let settings = Settings { records: 1_200, bad: 1.0, ..Settings::default() };
        let plan = Plan::new(&settings);
        for object in 0..settings.objects() {
            for record in plan.records_of(object).skip(1) {
                let Nature::Bad(kind) = plan.nature(record) else { panic!("{record} is not bad") };
                assert!(BadKind::WHOLE_OBJECTS.contains(&kind), "{record} is {kind}");
            }
        }
    }

    #[test]
    fn keys_are_named_as_firehose_names_them() {
        let plan = Plan::new(&Settings::default());
        let key = plan.key(3);
        assert!(key.starts_with("2026/11/19/10/clicks-1-2026-11-19-10-15-00-"), "{key}");
        assert!(key.ends_with(".gz") && key.len() == "2026/11/19/10/clicks-1-2026-11-19-10-15-00-.gz".len() + 36, "{key}");
    }

    #[test]
    fn records_lie_in_their_hour_and_objects_overlap() {
        let plan = Plan::new(&Settings { hours: 2, records: 4_800, ..Settings::default() });
        for object in 0..24 {
            for record in plan.records_of(object) {
                assert_eq!(Hour::of(plan.collected_at(record)), plan.hour_of(object));
            }
        }
        let last_of_first = plan.collected_at(plan.records_of(0).end - 1);
        assert!(last_of_first > plan.collected_at(plan.records_of(1).start) + TimeDelta::minutes(4));
    }
}
