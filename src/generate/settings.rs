//! What the user may choose about a generated clickstream, and the check of it.

use std::str::FromStr;

use chrono::{Datelike, TimeDelta};

use crate::error::{Error, Result};
use crate::hour::Hour;

/// Everything that decides a generated clickstream: equal settings make equal bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Another seed makes another clickstream.
    pub seed: u64,
    /// The first hour that has objects.
    pub first_hour: Hour,
    /// How many hours, at least 1.
    pub hours: u32,
    /// How many objects land in each hour, at least 1.
    pub objects_per_hour: u32,
    /// Records in all, bad ones and duplicates included; at least one for each object.
    pub records: u64,
    /// The Firehose stream's name, which is part of every object's name.
    pub stream: String,
    /// Share of the objects that arrive after their hour has closed. 0 to 1.
    pub late: f64,
    /// Share of the records that no table can take. 0 to 1.
    pub bad: f64,
    /// Share of the records that repeat an earlier one of their hour. 0 to 1; with `bad` at most 1.
    pub duplicates: f64,
    /// What stands between two records.
    pub framing: Framing,
    /// How an object is compressed.
    pub compression: Compression,
    /// Which of the objects are made.
    pub part: Part,
}

/// What stands between two records of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Nothing, which is what Firehose does unless told otherwise.
    #[default]
    Concatenated,
    /// A line feed after every record.
    Newline,
    /// A carriage return and a line feed after every record.
    Crlf,
}

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// One gzip member.
    #[default]
    Gzip,
    /// Many gzip members, cut without regard to records, as where compressed pieces are concatenated.
    GzipMembers,
    /// Not at all; the object's name has no extension.
    None,
}

/// Which of a clickstream's objects are made. All parts together are what `All` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// Every object.
    #[default]
    All,
    /// Those that arrive before their hour closes.
    OnTime,
    /// Those that arrive after.
    Late,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            first_hour: Hour::of(chrono::DateTime::from_timestamp(1_795_082_400, 0).expect("2026-11-19T10, a constant")),
            hours: 1,
            objects_per_hour: 12,
            records: 12_000,
            stream: "clicks".to_string(),
            late: 0.0,
            bad: 0.0,
            duplicates: 0.0,
            framing: Framing::default(),
            compression: Compression::default(),
            part: Part::default(),
        }
    }
}

impl Settings {
    /// How many objects all parts have together.
    pub fn objects(&self) -> u64 {
        u64::from(self.hours) * u64::from(self.objects_per_hour)
    }

    /// How many objects arrive after their hour has closed.
    pub fn late_objects(&self) -> u64 {
        share_of(self.late, self.objects())
    }

    /// How many records are bad.
    pub fn bad_records(&self) -> u64 {
        share_of(self.bad, self.records)
    }

    /// How many records repeat an earlier one.
    pub fn duplicate_records(&self) -> u64 {
        share_of(self.duplicates, self.records)
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// `Config`, naming the setting and what it may be.
    pub fn check(&self) -> Result<()> {
        let least = [("hours", u64::from(self.hours)), ("objects per hour", u64::from(self.objects_per_hour))];
        if let Some((name, _)) = least.iter().find(|(_, number)| *number == 0) {
            return Err(Error::config(format!("{name} is 0; ask for at least 1")));
        }
        if self.records < self.objects() {
            return Err(Error::config(format!(
                "{} records cannot fill {} objects ({} hours with {} each); ask for at least one record for each object",
                self.records,
                self.objects(),
                self.hours,
                self.objects_per_hour
            )));
        }
        let last = self.first_hour.start().checked_add_signed(TimeDelta::hours(i64::from(self.hours)));
        if last.is_none_or(|last| last.year() > 9999) || self.first_hour.start().year() < 1970 {
            return Err(Error::config(format!("{} hours from {} leave the years 1970 to 9999", self.hours, self.first_hour)));
        }
        self.check_shares()?;
        self.check_stream()
    }

    fn check_shares(&self) -> Result<()> {
        for (name, share) in [("late objects", self.late), ("bad records", self.bad), ("duplicates", self.duplicates)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::config(format!("the share of {name} is {share}; give a number from 0 to 1")));
            }
        }
        if self.bad + self.duplicates > 1.0 {
            return Err(Error::config(format!(
                "the shares of bad records ({}) and duplicates ({}) are more than 1 together; lower one of them",
                self.bad, self.duplicates
            )));
        }
        let unlike = self.records - u64::from(self.hours);
        if self.duplicate_records() > 0 && self.bad_records() + self.duplicate_records() > unlike {
            return Err(Error::config(format!(
                "{} bad records and {} duplicates leave no good record to repeat in some of the {} hours; ask for fewer of them",
                self.bad_records(),
                self.duplicate_records(),
                self.hours
            )));
        }
        Ok(())
    }

    /// Firehose's own rule for a stream's name: 1 to 64 characters of `[a-zA-Z0-9_.-]` (CreateDeliveryStream, DeliveryStreamName).
    fn check_stream(&self) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if self.stream.is_empty() || self.stream.len() > 64 || !self.stream.chars().all(allowed) {
            return Err(Error::config(format!(
                "`{}` is not a Firehose stream's name; use 1 to 64 letters, digits, `_`, `.` and `-`",
                self.stream
            )));
        }
        Ok(())
    }
}

impl FromStr for Framing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named(text, "framing", &[("concatenated", Self::Concatenated), ("newline", Self::Newline), ("crlf", Self::Crlf)])
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named(text, "compression", &[("gzip", Self::Gzip), ("gzip-members", Self::GzipMembers), ("none", Self::None)])
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named(text, "part", &[("all", Self::All), ("on-time", Self::OnTime), ("late", Self::Late)])
    }
}

/// A share as a whole number, rounded.
fn share_of(share: f64, of: u64) -> u64 {
    ((share * of as f64).round() as u64).min(of)
}

fn named<T: Copy>(text: &str, what: &str, values: &[(&str, T)]) -> Result<T> {
    values.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        Error::config(format!("`{text}` is not a {what}; use one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_default_is_allowed_and_starts_where_the_example_does() {
        Settings::default().check().unwrap();
        assert_eq!(Settings::default().first_hour.to_string(), "2026-11-19T10");
    }

    #[test]
    fn settings_that_cannot_be_met_are_refused() {
        assert!(refused(|s| s.hours = 0).contains("hours is 0"));
        assert!(refused(|s| s.objects_per_hour = 0).contains("objects per hour is 0"));
        assert!(refused(|s| s.records = 11).contains("at least one record"));
        assert!(refused(|s| s.late = 1.1).contains("late objects is 1.1"));
        assert!(refused(|s| s.bad = f64::NAN).contains("bad records is NaN"));
        assert!(refused(|s| s.duplicates = -0.1).contains("duplicates is -0.1"));
        assert!(refused(|s| (s.bad, s.duplicates) = (0.6, 0.6)).contains("more than 1"));
        assert!(refused(|s| s.duplicates = 1.0).contains("no good record to repeat"));
        assert!(refused(|s| s.stream = "a/b".to_string()).contains("stream's name"));
        assert!(refused(|s| (s.hours, s.objects_per_hour, s.records) = (u32::MAX, 1, u64::MAX)).contains("9999"));
    }

    #[test]
    fn choices_are_read_by_name() {
        assert_eq!("crlf".parse::<Framing>().unwrap(), Framing::Crlf);
        assert_eq!("gzip-members".parse::<Compression>().unwrap(), Compression::GzipMembers);
        assert_eq!("on-time".parse::<Part>().unwrap(), Part::OnTime);
        assert_eq!(
            "zip".parse::<Compression>().unwrap_err().to_string(),
            "`zip` is not a compression; use one of gzip, gzip-members, none"
        );
    }
}
