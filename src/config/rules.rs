//! `[table.columns.<name>]`: what a column's values must be.

use std::collections::BTreeMap;

use regex::Regex;

use super::choices::{ON_FAIL, PRIVACY};
use super::raw::RawColumn;
use super::{ColumnRules, HmacKey, OnFail};
use crate::error::{Error, Result};
use crate::schema::is_name;

/// Resolves the rules of all columns; `key` is the lake's.
pub(super) fn resolve(raw: &BTreeMap<String, RawColumn>, key: Option<&HmacKey>) -> Result<BTreeMap<String, ColumnRules>> {
    let one = |(name, raw): (&String, &RawColumn)| {
        let rules = column(raw, key).map_err(|e| Error::config(format!("column `{name}`: {e}")))?;
        if is_name(name) {
            Ok((name.clone(), rules))
        } else {
            Err(Error::config(format!(
                "column `{name}` must be of lower-case letters, digits and `_`, as in the table; name the record's field with `from`"
            )))
        }
    };
    raw.iter().map(one).collect()
}

fn column(raw: &RawColumn, key: Option<&HmacKey>) -> Result<ColumnRules> {
    check_numbers(raw)?;
    let allowed: Option<Vec<String>> = raw.allowed.as_ref().map(|all| all.iter().map(|one| one.0.clone()).collect());
    if allowed.as_ref().is_some_and(Vec::is_empty) || raw.max_length == Some(0) {
        return Err(Error::config("its rules let no value through; give `allowed` a value and `max_length` at least 1"));
    }
    Ok(ColumnRules {
        from: raw.from.as_deref().map(from).transpose()?,
        required: raw.required,
        min: raw.min,
        max: raw.max,
        pattern: raw.pattern.as_deref().map(pattern).transpose()?,
        allowed,
        max_length: raw.max_length,
        on_fail: raw.on_fail.as_deref().map_or(Ok(OnFail::default()), |word| ON_FAIL.choose(word))?,
        privacy: raw.privacy.as_deref().map(|word| PRIVACY.choose(word)?(key)).transpose()?,
    })
}

fn check_numbers(raw: &RawColumn) -> Result<()> {
    let finite = |number: Option<f64>| number.is_none_or(f64::is_finite);
    if !finite(raw.min) || !finite(raw.max) {
        return Err(Error::config("`min` and `max` must be numbers; leave one out where there is no limit"));
    }
    match (raw.min, raw.max) {
        (Some(min), Some(max)) if min > max => Err(Error::config(format!("`min` {min} is above `max` {max}; exchange them"))),
        _ => Ok(()),
    }
}

fn from(text: &str) -> Result<Vec<String>> {
    let keys: Vec<String> = text.split('.').map(str::to_string).collect();
    if keys.iter().any(String::is_empty) {
        return Err(Error::config(format!("`from` \"{text}\" has an empty key; write the keys from the top, like \"page.url\"")));
    }
    Ok(keys)
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|e| {
        let told = e.to_string();
        let reason = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Error::config(format!("`pattern` \"{text}\" is not a regular expression: {reason}"))
    })
}
