//! Tells from a key alone what a landed object is and which hour it arrived in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use regex::Regex;

use super::path_time::hour_of;
use super::prefix::Prefix;
use crate::hour::Hour;

/// What a key says of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Data.
    Landed {
        /// When Firehose received the oldest record, UTC.
        hour: Hour,
        /// The partition keys that the path holds.
        values: BTreeMap<String, String>,
    },
    /// Firehose's own report of records that it could not deliver; never data.
    ErrorOutput,
    /// Neither prefix makes such a key, or nothing in it tells the hour.
    Unknown,
}

/// The end of every name that Firehose gives: `-<version>-<time>-<uuid><extension>`. The version is missing in some of AWS's
/// own examples. Read from the right, because stream names may hold dashes and digits themselves.
static SUFFIX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"-([0-9]{4})-([0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})-([0-9]{2})",
        r"-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?:\.[0-9a-z!\-_.*'()]+)?$",
    ))
    .expect("a constant pattern")
});

/// The time in an object's name, in the stream's own zone; `None` for names that Firehose does not give.
pub fn object_time(name: &str) -> Option<NaiveDateTime> {
    let found = SUFFIX.captures(name)?;
    let number = |index: usize| found.get(index)?.as_str().parse::<u32>().ok();
    let year = i32::try_from(number(1)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(2)?, number(3)?)?.and_hms_opt(number(4)?, number(5)?, number(6)?)
}

/// The time in an object's name, UTC, `zone` being the stream's.
pub fn object_instant(name: &str, zone: Tz) -> Option<DateTime<Utc>> {
    Some(zone.from_local_datetime(&object_time(name)?).earliest()?.with_timezone(&Utc))
}

/// Reads a key, relative to the landing location.
///
/// The hour is the path's where the path fixes one, else that of the object's name; `zone` is the stream's, for both.
pub fn arrival(key: &str, prefix: &Prefix, error_prefix: Option<&Prefix>, zone: Tz) -> Arrival {
    if is_error_output(key, prefix, error_prefix) {
        return Arrival::ErrorOutput;
    }
    let Some(found) = prefix.match_key(key) else { return Arrival::Unknown };
    let named = || object_time(found.rest).and_then(|local| hour_of(local, zone));
    match found.time.arrival_hour(zone).or_else(named) {
        Some(hour) => Arrival::Landed { hour, values: found.values },
        None => Arrival::Unknown,
    }
}

/// The hour of an error object: that of its name, else that of its path where the error prefix has one; `zone` is the stream's. The name
/// comes first because it stays what it is: the error prefix may be changed, and an object is then in the same hour as before.
pub fn error_hour(key: &str, error_prefix: &Prefix, zone: Tz) -> Option<Hour> {
    let of_name = object_time(key).and_then(|local| hour_of(local, zone));
    of_name.or_else(|| error_prefix.match_key(key)?.time.arrival_hour(zone))
}

/// True for a key, or for all keys below a `/`-ended folder, that the error prefix makes.
///
/// A folder that is the error prefix's own holds errors only, whatever their type is called. In one that it shares with the
/// data, only the types that AWS documents are errors: a folder of any other name may be data.
pub(super) fn is_error_output(path: &str, prefix: &Prefix, error_prefix: Option<&Prefix>) -> bool {
    error_prefix.is_some_and(|errors| {
        let folder = errors.literal_folder();
        let own = !folder.is_empty() && !prefix.literal_folder().starts_with(folder);
        (own && path.starts_with(folder)) || errors.covers(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "a9fa96af-e4e4-409f-bac3-1f804714faaa";

    #[test]
    fn names_tell_their_time() {
        let check = |name: &str, expected: &str| {
            let time = object_time(&name.replace("UUID", UUID)).map_or("none".to_string(), |time| time.to_string());
            assert_eq!(time, expected, "{name}");
        };
        check("clicks-1-2026-11-19-14-05-09-UUID", "2026-11-19 14:05:09");
        check("clicks-1-2026-11-19-14-05-09-UUID.gz", "2026-11-19 14:05:09");
        check("my-delivery-stream-2019-08-09-23-55-09-UUID", "2019-08-09 23:55:09");
        check("s.2020-01-01-00-00-00-x-12-2026-11-19-14-05-09-UUID.json.gz", "2026-11-19 14:05:09");
        check("2026-01-01-00-00-00-7-2026-11-19-14-05-09-UUID.snappy", "2026-11-19 14:05:09");
        check("clicks-1-2026-13-19-14-05-09-UUID", "none");
        check("clicks-1-2026-11-19-14-05-09-UUID.GZ", "none");
        check("clicks-1-2026-11-19-14-05-09", "none");
        check("clicks-1-2026-11-19-14-05-UUID", "none");
    }

    fn check(prefix: &str, errors: Option<&str>, zone: Tz, key: &str, expected: &str) {
        let prefix = Prefix::parse(prefix).unwrap();
        let errors = errors.map(|text| Prefix::parse(text).unwrap());
        let told = match arrival(&key.replace("UUID", UUID), &prefix, errors.as_ref(), zone) {
            Arrival::Landed { hour, values } => {
                format!("{hour} {}", values.into_values().collect::<Vec<_>>().join(",")).trim_end().to_string()
            }
            Arrival::ErrorOutput => "error".to_string(),
            Arrival::Unknown => "unknown".to_string(),
        };
        assert_eq!(told, expected, "{key}");
    }

    #[test]
    fn the_path_says_the_hour_else_the_name() {
        let name = "clicks-1-2026-11-19-14-05-09-UUID";
        check("!{timestamp:yyyy/MM/dd/HH}/", None, Tz::UTC, &format!("2026/11/19/13/{name}"), "2026-11-19T13");
        check("!{timestamp:yyyy/MM/dd/HH}/", None, Tz::UTC, "2026/11/19/13/any", "2026-11-19T13");
        check("!{timestamp:yyyy/MM/dd}/", None, Tz::UTC, &format!("2026/11/19/{name}"), "2026-11-19T14");
        check("!{timestamp:yyyy/MM/dd}/", None, Tz::UTC, "2026/11/19/any", "unknown");
        check("!{partitionKeyFromQuery:c}/", None, Tz::UTC, &format!("7/{name}"), "2026-11-19T14 7");
        check("!{partitionKeyFromQuery:c}/", None, Tz::Asia__Tokyo, &format!("7/{name}"), "2026-11-19T05 7");
        check("!{timestamp:YYYY/MM/dd/HH}/", None, Tz::UTC, "2027/12/29/10/clicks-1-2026-12-29-10-00-00-UUID", "2026-12-29T10");
        check("!{timestamp:yyyy/MM/dd/HH}/", None, Tz::UTC, "other/file", "unknown");
    }

    #[test]
    fn an_error_object_has_the_hour_of_its_name_whatever_the_error_prefix_or_else_of_its_path() {
        let check = |errors: &str, key: &str, expected: &str| {
            let hour = error_hour(&key.replace("UUID", UUID), &Prefix::parse(errors).unwrap(), Tz::UTC);
            assert_eq!(hour.map_or("none".to_string(), |hour| hour.to_string()), expected, "{key}");
        };
        let dated = "e/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/";
        check(dated, "e/processing-failed/2026/11/19/13/clicks-1-2026-11-19-14-05-09-UUID", "2026-11-19T14");
        check(dated, "e/processing-failed/2026/11/19/13/other", "2026-11-19T13");
        check("e/!{firehose:error-output-type}/", "e/processing-failed/clicks-1-2026-11-19-14-05-09-UUID", "2026-11-19T14");
        check("e/", "e/processing-failed/2026/11/19/14/clicks-1-2026-11-19-14-05-09-UUID", "2026-11-19T14");
        check("e/", "e/processing-failed/other", "none");
    }

    #[test]
    fn errors_are_told_from_data() {
        let hours = "!{timestamp:yyyy/MM/dd/HH}/";
        let typed = Some("errors/!{firehose:error-output-type}/");
        check(hours, typed, Tz::UTC, "errors/processing-failed/clicks-1", "error");
        check(hours, typed, Tz::UTC, "errors/a-type-of-tomorrow/clicks-1", "error");
        check(
            "!{partitionKeyFromQuery:a}/!{partitionKeyFromQuery:b}/!{timestamp:yyyyMMddHH}/",
            typed,
            Tz::UTC,
            "errors/x/2026111914/c",
            "error",
        );
        check("raw/!{timestamp:yyyy/MM/dd/HH}/", Some("raw/!{firehose:error-output-type}/"), Tz::UTC, "raw/splunk-failed/c", "error");
        let event = "!{partitionKeyFromQuery:event}/!{timestamp:yyyy/MM/dd/HH}/";
        let bare = Some("!{firehose:error-output-type}/");
        check(event, bare, Tz::UTC, "payment-failed/2026/11/19/14/c", "2026-11-19T14 payment-failed");
        check(event, bare, Tz::UTC, "format-conversion-failed/2026/11/19/14/c", "error");
    }
}
