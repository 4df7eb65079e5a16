//! The time that a path tells, possibly in part, and the UTC hours that it can mean.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::timestamp::TimeField;
use crate::hour::Hour;

/// The time fields found in a path, in the stream's own zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathTime {
    /// Calendar year.
    pub year: Option<i32>,
    /// Week year (`YYYY`); within a week of New Year the calendar's year may be the one before or after.
    pub week_year: Option<i32>,
    /// 1 to 12.
    pub month: Option<u32>,
    /// Day of the month, from 1.
    pub day: Option<u32>,
    /// Day of the year, from 1.
    pub day_of_year: Option<u32>,
    /// 0 to 23.
    pub hour: Option<u32>,
    /// 0 to 59.
    pub minute: Option<u32>,
    /// 0 to 59.
    pub second: Option<u32>,
}

impl PathTime {
    /// Notes a field; false if the value is none that the field can have, or contradicts what the path said before.
    pub(super) fn note(&mut self, field: TimeField, value: u32) -> bool {
        let (slot, low, high) = match field {
            TimeField::Year => return note_year(&mut self.year, value),
            TimeField::WeekYear => return note_year(&mut self.week_year, value),
            TimeField::Month => (&mut self.month, 1, 12),
            TimeField::Day => (&mut self.day, 1, 31),
            TimeField::DayOfYear => (&mut self.day_of_year, 1, 366),
            TimeField::Hour => (&mut self.hour, 0, 23),
            TimeField::Minute => (&mut self.minute, 0, 59),
            TimeField::Second => (&mut self.second, 0, 59),
        };
        (low..=high).contains(&value) && *slot.get_or_insert(value) == value
    }

    /// The fields of both; of a field that both have, this one's counts.
    pub fn and(self, other: Self) -> Self {
        Self {
            year: self.year.or(other.year),
            week_year: self.week_year.or(other.week_year),
            month: self.month.or(other.month),
            day: self.day.or(other.day),
            day_of_year: self.day_of_year.or(other.day_of_year),
            hour: self.hour.or(other.hour),
            minute: self.minute.or(other.minute),
            second: self.second.or(other.second),
        }
    }

    /// False for a date that no calendar has, such as 30 February.
    pub(super) fn is_possible(&self) -> bool {
        (self.year.is_none() && self.week_year.is_none()) || self.days().is_some()
    }

    /// True if the fields name one day (or, for a week year near New Year, that day in one of two years).
    pub fn fixes_day(&self) -> bool {
        let has_year = self.year.is_some() || self.week_year.is_some();
        has_year && (self.day_of_year.is_some() || (self.month.is_some() && self.day.is_some()))
    }

    /// The inclusive UTC hours that a path with these fields can mean; `None` without a year.
    ///
    /// A local hour that is repeated when clocks go back gives both UTC hours, and a local hour of a zone with a half-hour
    /// offset spans two. The first of the range is the one that counts (see [`PathTime::arrival_hour`]); the range is for
    /// deciding which folders to look into, so it is rather too wide than too narrow. A week year is widened by a week.
    pub fn hour_range(&self, zone: Tz) -> Option<(Hour, Hour)> {
        let (first, last) = self.days()?;
        let (mut from, mut to) = (NaiveTime::MIN, NaiveTime::from_hms_opt(23, 59, 59)?);
        if let (true, Some(hour)) = (first == last, self.hour) {
            from = NaiveTime::from_hms_opt(hour, self.minute.unwrap_or(0), self.second.unwrap_or(0))?;
            to = NaiveTime::from_hms_opt(hour, self.minute.unwrap_or(59), 59)?;
        }
        let earliest = instant(first.and_time(from), zone, |found| found.earliest())?;
        let latest = instant(last.and_time(to), zone, |found| found.latest())?;
        Some((Hour::of(earliest), Hour::of(latest)))
    }

    /// The one UTC hour that a path with these fields counts for, or `None` if the fields leave the hour open.
    ///
    /// Two rules make it one: of a local hour that clocks repeat it is the earlier, and of a local hour that spans two UTC
    /// hours it is the one that holds its start.
    pub fn arrival_hour(&self, zone: Tz) -> Option<Hour> {
        let (first, last) = self.days()?;
        let fixed = first == last && self.hour.is_some();
        if fixed { self.hour_range(zone).map(|(from, _)| from) } else { None }
    }

    /// The first and last local day that the fields can mean.
    fn days(&self) -> Option<(NaiveDate, NaiveDate)> {
        if let Some(year) = self.year {
            return self.days_of(year);
        }
        let year = self.week_year?;
        let first = NaiveDate::from_ymd_opt(year, 1, 1)?.checked_sub_days(Days::new(7))?;
        let last = NaiveDate::from_ymd_opt(year, 12, 31)?.checked_add_days(Days::new(7))?;
        (year - 1..=year + 1)
            .filter_map(|year| self.days_of(year))
            .map(|(from, to)| (from.max(first), to.min(last)))
            .filter(|(from, to)| from <= to)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    fn days_of(&self, year: i32) -> Option<(NaiveDate, NaiveDate)> {
        let one = |date: NaiveDate| (date, date);
        match (self.day_of_year, self.month, self.day) {
            (Some(ordinal), month, day) => NaiveDate::from_yo_opt(year, ordinal)
                .filter(|date| month.is_none_or(|m| m == date.month()) && day.is_none_or(|d| d == date.day()))
                .map(one),
            (None, Some(month), Some(day)) => NaiveDate::from_ymd_opt(year, month, day).map(one),
            (None, Some(month), None) => {
                let first = NaiveDate::from_ymd_opt(year, month, 1)?;
                Some((first, first.checked_add_months(Months::new(1))?.pred_opt()?))
            }
            (None, None, _) => Some((NaiveDate::from_ymd_opt(year, 1, 1)?, NaiveDate::from_ymd_opt(year, 12, 31)?)),
        }
    }
}

fn note_year(slot: &mut Option<i32>, value: u32) -> bool {
    i32::try_from(value).is_ok_and(|year| *slot.get_or_insert(year) == year)
}

/// The UTC hour of a full local time, by the rules of [`PathTime::arrival_hour`].
pub(super) fn hour_of(local: NaiveDateTime, zone: Tz) -> Option<Hour> {
    instant(local, zone, |found| found.earliest()).map(Hour::of)
}

/// The instant of a local time. One that clocks skip is read as the first that exists after it, a quarter of an hour at a
/// time; the longest skip on record is one day (Samoa, 2011).
fn instant(local: NaiveDateTime, zone: Tz, pick: fn(chrono::LocalResult<DateTime<Tz>>) -> Option<DateTime<Tz>>) -> Option<DateTime<Utc>> {
    (0..=100)
        .filter_map(|quarters| local.checked_add_signed(TimeDelta::minutes(15 * quarters)))
        .find_map(|local| pick(zone.from_local_datetime(&local)))
        .map(|found| found.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::prefix::Prefix;

    /// Reads `key` through `prefix` and tells the range and the arrival hour.
    fn check(zone: Tz, prefix: &str, key: &str, expected: &str) {
        let time = Prefix::parse(prefix).unwrap().match_key(&format!("{key}x")).unwrap().time;
        let (from, to) = time.hour_range(zone).unwrap();
        let arrival = time.arrival_hour(zone).map_or("open".to_string(), |hour| hour.to_string());
        assert_eq!(format!("{from} {to} {arrival}"), expected, "{key} in {zone}");
    }

    #[test]
    fn partial_times_are_ranges() {
        let check = |prefix, key, expected| check(Tz::UTC, prefix, key, expected);
        check("!{timestamp:yyyy}/", "2026/", "2026-01-01T00 2026-12-31T23 open");
        check("!{timestamp:yyyy/MM}/", "2024/02/", "2024-02-01T00 2024-02-29T23 open");
        check("!{timestamp:yyyy/MM/dd}/", "2026/11/19/", "2026-11-19T00 2026-11-19T23 open");
        check("!{timestamp:yyyy/MM/dd/HH}/", "2026/11/19/14/", "2026-11-19T14 2026-11-19T14 2026-11-19T14");
        check("!{timestamp:yyyy/MM/DDD/HH}/", "2026/11/323/14/", "2026-11-19T14 2026-11-19T14 2026-11-19T14");
        check("!{timestamp:yyyy/HH}/", "2026/14/", "2026-01-01T00 2026-12-31T23 open");
    }

    #[test]
    fn local_hours_become_utc_hours_by_rule() {
        let hours = "!{timestamp:yyyy/MM/dd/HH}/";
        let days = "!{timestamp:yyyy/MM/dd}/";
        check(Tz::America__New_York, hours, "2026/11/19/14/", "2026-11-19T19 2026-11-19T19 2026-11-19T19");
        check(Tz::America__New_York, hours, "2026/11/01/01/", "2026-11-01T05 2026-11-01T06 2026-11-01T05");
        check(Tz::America__New_York, hours, "2026/03/08/02/", "2026-03-08T07 2026-03-08T07 2026-03-08T07");
        check(Tz::America__New_York, days, "2026/11/01/", "2026-11-01T04 2026-11-02T04 open");
        check(Tz::Asia__Kolkata, hours, "2026/11/19/14/", "2026-11-19T08 2026-11-19T09 2026-11-19T08");
        check(Tz::Asia__Kolkata, "!{timestamp:yyyy/MM/dd/HHmm}/", "2026/11/19/1445/", "2026-11-19T09 2026-11-19T09 2026-11-19T09");
        check(Tz::Pacific__Apia, days, "2011/12/30/", "2011-12-30T10 2011-12-30T10 open");
    }

    #[test]
    fn a_week_year_may_be_the_neighbour_near_new_year() {
        let check = |key, expected| check(Tz::UTC, "!{timestamp:YYYY/MM/dd/HH}/", key, expected);
        check("2026/06/15/10/", "2026-06-15T10 2026-06-15T10 2026-06-15T10");
        check("2027/12/29/10/", "2026-12-29T00 2027-12-29T23 open");
        check("2026/01/02/10/", "2026-01-02T00 2027-01-02T23 open");
    }
}
