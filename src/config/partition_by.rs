//! `partition_by`: the table's partition keys, and the expression that gives each its value.

use std::collections::BTreeSet;

use super::choices::later;
use crate::error::{Error, Result};
use crate::landing::prefix::{Prefix, TimeField};
use crate::schema::is_name;

/// Year, month, day and hour, as Firehose's users have them.
const DEFAULT: &str = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}";

const FORM: &str = "write partition_by like year=!{timestamp:yyyy}/page=!{partitionKeyFromQuery:page}";

/// Reads `k=expression/k=expression`; `prefix` is where values of partition keys come from.
pub(super) fn resolve(text: Option<&str>, prefix: &Prefix) -> Result<Vec<(String, Prefix)>> {
    let text = text.unwrap_or(DEFAULT);
    let mut keys: Vec<(String, Prefix)> = Vec::new();
    for part in split(text) {
        let (key, expression) =
            part.split_once('=').ok_or_else(|| Error::config(format!("`{part}` in partition_by has no key; {FORM}")))?;
        if !is_name(key) {
            return Err(Error::config(format!("partition key `{key}` must be of lower-case letters, digits and `_`; {FORM}")));
        }
        if keys.iter().any(|(other, _)| other == key) {
            return Err(Error::config(format!("partition key `{key}` is in partition_by twice; give one of them another name")));
        }
        if expression.is_empty() {
            return Err(Error::config(format!("partition key `{key}` has no value; {FORM}")));
        }
        let value = Prefix::parse(expression)?;
        check(key, &value, prefix)?;
        keys.push((key.to_string(), value));
    }
    check_hour(&keys)?;
    Ok(keys)
}

fn check(key: &str, value: &Prefix, prefix: &Prefix) -> Result<()> {
    let wrong = |clause: String| Err(Error::config(format!("partition key `{key}`: {clause}")));
    if let Some(place) = value.columns().into_iter().find(|place| !is_place(place)) {
        return wrong(format!("`!{{column:{place}}}` names no column; write a column's name, and behind dots a struct's fields"));
    }
    if value.has_random() || value.has_error_type() {
        return wrong(
            "its value can be of !{timestamp:…}, !{column:…} and partition keys of `prefix` only; leave !{firehose:…} out".to_string(),
        );
    }
    if let Some(missing) = value.path_keys().difference(&prefix.path_keys()).next() {
        return wrong(format!("`prefix` has no partition key `{missing}`; use one that it has, or correct `prefix`"));
    }
    if value.time_fields().contains(&TimeField::WeekYear) {
        return wrong("`YYYY` is the year of the week, which is wrong around New Year; write `yyyy`".to_string());
    }
    if value.time_fields().iter().any(|field| *field > TimeField::Hour) {
        return wrong("an hour is the smallest partition; leave minutes and seconds out".to_string());
    }
    if value.example().contains('/') {
        return wrong("a value must not hold a `/`; use another character, or one key for each folder".to_string());
    }
    Ok(())
}

/// True for a column's name, and for a field of a struct column with dots between the names.
pub(super) fn is_place(text: &str) -> bool {
    text.split('.').all(is_name)
}

/// A partition that holds more than an hour could never be complete when its first hour is merged.
fn check_hour(keys: &[(String, Prefix)]) -> Result<()> {
    let fields: BTreeSet<TimeField> = keys.iter().flat_map(|(_, value)| value.time_fields()).collect();
    let has = |field| fields.contains(&field);
    let day = has(TimeField::DayOfYear) || (has(TimeField::Month) && has(TimeField::Day));
    if has(TimeField::Year) && day && has(TimeField::Hour) {
        return Ok(());
    }
    Err(later(
        "a partition_by that does not fix the hour",
        "have year, month, day and hour in it, for example year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}",
    ))
}

/// Splits at slashes that are not inside an expression.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => inside = true,
            b'}' => inside = false,
            b'/' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
