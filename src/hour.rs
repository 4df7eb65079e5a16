//! An hour in UTC, the unit that lakebed lands, merges and repairs.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// One hour, UTC. Text form: `2026-11-19T14`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

const SECONDS: i64 = 3600;

impl Hour {
    /// The hour that holds `instant`.
    pub fn of(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp().div_euclid(SECONDS))
    }

    /// The first instant of the hour.
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0 * SECONDS, 0).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    /// The first instant after the hour.
    pub fn end(self) -> DateTime<Utc> {
        self.start() + TimeDelta::hours(1)
    }

    /// The hour after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// True once `close_after` has passed since the hour's end: an hour closes only once.
    pub fn is_closed(self, at: DateTime<Utc>, close_after: TimeDelta) -> bool {
        self.end() + close_after <= at
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start().format("%Y-%m-%dT%H"))
    }
}

impl FromStr for Hour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::config(format!("`{text}` is not an hour; write it in UTC like 2026-11-19T14"));
        if text.len() != 13 {
            return Err(wrong());
        }
        NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").map(|t| Self::of(t.and_utc())).map_err(|_| wrong())
    }
}

/// A partition as people name it: its hour, and for tables with more partition keys their values. Text form: `2026-11-19T14`,
/// `2026-11-19T14/page=books`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The arrival hour, UTC.
    pub hour: Hour,
    /// The other partition keys and their values, unescaped, in the order that they were given.
    pub beside: Vec<(String, String)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside: String = self.beside.iter().map(|(key, value)| format!("/{key}={value}")).collect();
        write!(f, "{}{beside}", self.hour)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (hour, beside) = text.split_once('/').map_or((text, None), |(hour, rest)| (hour, Some(rest)));
        let entry = |part: &str| part.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()));
        let beside: Option<Vec<_>> = beside.map_or(Some(Vec::new()), |rest| rest.split('/').map(entry).collect());
        let beside =
            beside.ok_or_else(|| Error::config(format!("`{text}` is no hour; write 2026-11-19T14, or 2026-11-19T14/page=books")))?;
        Ok(Self { hour: hour.parse()?, beside })
    }
}

impl Serialize for Hour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_prints_and_refuses_the_rest() {
        let hour: Hour = "2026-11-19T14".parse().unwrap();
        assert_eq!(hour.to_string(), "2026-11-19T14");
        assert_eq!(hour.next().start(), hour.end());
        for wrong in ["2026-11-19", "2026-11-19T24", "2026-11-19T14:00", "2026-11-19T1", "yesterday"] {
            assert!(wrong.parse::<Hour>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_an_hour_and_what_tells_its_partitions_apart() {
        let place: Place = "2026-11-19T14/page=a=b/event=view".parse().unwrap();
        assert_eq!((place.hour.to_string(), place.to_string()), ("2026-11-19T14".into(), "2026-11-19T14/page=a=b/event=view".into()));
        assert_eq!(place.beside, [("page", "a=b"), ("event", "view")].map(|(key, value)| (key.to_string(), value.to_string())));
        assert!("2026-11-19T14".parse::<Place>().unwrap().beside.is_empty());
        for wrong in ["2026-11-19T14/", "2026-11-19T14/page", "page=books"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_hour_closes_when_its_grace_is_over() {
        let hour: Hour = "2026-11-19T14".parse().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert!(!hour.is_closed(at("2026-11-19T15:19:59Z"), TimeDelta::minutes(20)));
        assert!(hour.is_closed(at("2026-11-19T15:20:00Z"), TimeDelta::minutes(20)));
    }
}
