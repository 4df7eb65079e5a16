//! `[[table]]`: one managed table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::choices::{COMPRESSION, CONSUMERS, FORMAT, KEEP_RAW, NEW_COLUMNS, TYPE_CONFLICT};
use super::keys::nearest;
use super::raw::{RawMerge, RawQuarantine, RawTable};
use super::units::Duration;
use super::{ColumnRules, Compression, Consumer, Format, HmacKey, KeepRaw, Location, Merge, Privacy, TableConfig, partition_by, rules};
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::landing::prefix::Prefix;
use crate::schema::is_name;

/// Firehose's own, and the only one that a stream has without an error prefix.
const PREFIX: &str = "!{timestamp:yyyy/MM/dd/HH}/";
const TARGET_FILE_SIZE: u64 = 512 << 20;
const ROW_GROUP_SIZE: u64 = 128 << 20;

pub(super) fn resolve(raw: &RawTable, base: &Path, key: Option<&HmacKey>) -> Result<TableConfig> {
    let name = TableName::parse(&raw.name)?;
    let prefix = prefix(raw.prefix.as_deref().unwrap_or(PREFIX))?;
    let consumers = consumers(raw.consumers.as_deref())?;
    refuse_later(raw)?;
    let rules = rules::resolve(&raw.columns, key)?;
    let time = time(raw.time.as_deref())?;
    let partition_by = partition_by::resolve(raw.partition_by.as_deref(), &prefix)?;
    refuse_private(time.as_deref(), &partition_by, &rules)?;
    let format = FORMAT.or_first(raw.format.as_deref())?;
    Ok(TableConfig {
        landing: Location::parse(&raw.landing, base).map_err(|e| Error::config(format!("`landing`: {e}")))?,
        error_prefix: raw.error_prefix.as_deref().map(|text| error_prefix(text, &prefix)).transpose()?,
        timezone: timezone(raw.timezone.as_deref().unwrap_or("UTC"))?,
        format,
        unwrap: unwrap(raw.unwrap.as_deref(), format)?,
        location: Location::parse(&raw.location, base).map_err(|e| Error::config(format!("`location`: {e}")))?,
        migrations: base.join(raw.migrations.clone().unwrap_or_else(|| format!("migrations/{name}"))),
        partition_by,
        time,
        close_after: positive("close_after", raw.close_after)?.unwrap_or(TimeDelta::minutes(20)),
        lookback: positive("lookback", raw.lookback)?.unwrap_or(TimeDelta::hours(48)),
        expect_every: positive("expect_every", raw.expect_every)?,
        new_columns: NEW_COLUMNS.or_first(raw.evolution.new_columns.as_deref())?,
        merge: merge(&raw.merge, &consumers, &rules)?,
        max_ratio: max_ratio(raw.quarantine.max_ratio)?,
        keep_raw: keep_raw(&raw.quarantine, &rules)?,
        rules,
        name,
        prefix,
        consumers,
    })
}

fn refuse_later(raw: &RawTable) -> Result<()> {
    TYPE_CONFLICT.or_first(raw.evolution.type_conflict.as_deref())
}

/// The column whose time says which hour a row belongs to, if one does.
fn time(text: Option<&str>) -> Result<Option<String>> {
    match text {
        None | Some("arrival") => Ok(None),
        Some(place) if partition_by::is_place(place) => Ok(Some(place.to_string())),
        Some(other) => Err(Error::config(format!(
            "time = \"{other}\" names no column; write \"arrival\", or a timestamp column's name, and behind dots a struct's fields"
        ))),
    }
}

/// What stands in the names of folders and in the catalog is read by many more than the table is.
fn refuse_private(time: Option<&str>, partition_by: &[(String, Prefix)], rules: &BTreeMap<String, ColumnRules>) -> Result<()> {
    let keys = partition_by
        .iter()
        .flat_map(|(key, value)| value.columns().into_iter().map(move |place| (format!("partition key `{key}`"), place)));
    for (who, place) in keys.chain(time.map(|place| ("`time`".to_string(), place))) {
        let column = place.split('.').next().unwrap_or(place);
        if rules.get(column).is_some_and(|rule| rule.privacy.is_some()) {
            return Err(Error::config(format!(
                "{who} is made of column `{column}`, whose values are private, and partitions are named in paths and in the catalog; use \
                 another column"
            )));
        }
    }
    Ok(())
}

fn prefix(text: &str) -> Result<Prefix> {
    let wrong = |clause: String| Err(Error::config(format!("`prefix` \"{text}\" {clause}")));
    let prefix = Prefix::parse(text).map_err(|e| Error::config(format!("`prefix`: {e}")))?;
    if !prefix.columns().is_empty() {
        return wrong("has !{column:…}, which is for partition_by: a path holds no values of records; leave it out".to_string());
    }
    if prefix.has_error_type() {
        return wrong("has !{firehose:error-output-type}, which is for `error_prefix`; leave it out".to_string());
    }
    if let Some(key) = prefix.key_without_end() {
        return wrong(format!("has nothing behind the partition key `{key}` that ends its value; put a `/` there, in Firehose too"));
    }
    Ok(prefix)
}

fn error_prefix(text: &str, prefix: &Prefix) -> Result<Prefix> {
    let wrong = |clause: &str| Err(Error::config(format!("`error_prefix` \"{text}\" {clause}")));
    let errors = Prefix::parse(text).map_err(|e| Error::config(format!("`error_prefix`: {e}")))?;
    if text.is_empty() {
        return wrong("is empty; leave it out, or write where Firehose puts errors");
    }
    if !errors.is_of_time() {
        return wrong("has a partition key, which Firehose does not allow there; leave it out");
    }
    if !errors.is_literal() && !errors.has_error_type() {
        return wrong("has expressions without !{firehose:error-output-type}, which Firehose demands there; add it");
    }
    if errors.covers(&prefix.example()) {
        return wrong(&format!(
            "covers what `prefix` \"{}\" lands, so that all data would be taken for errors; correct one of them",
            prefix.text()
        ));
    }
    Ok(errors)
}

fn timezone(text: &str) -> Result<Tz> {
    text.parse().map_err(|_| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint =
            nearest(text, names).map_or("write one such as UTC or Europe/Berlin".to_string(), |name| format!("did you mean `{name}`?"));
        Error::config(format!("timezone \"{text}\" is not an IANA time zone; {hint}"))
    })
}

fn unwrap(text: Option<&str>, format: Format) -> Result<Option<String>> {
    match text {
        Some(_) if format != Format::Json => {
            Err(Error::config("`unwrap` names the array of a JSON document that holds the records; leave it out, or set format = \"json\""))
        }
        Some("") => Err(Error::config("`unwrap` is empty; name the field that holds the records, or leave it out")),
        text => Ok(text.map(str::to_string)),
    }
}

fn positive(key: &str, duration: Option<Duration>) -> Result<Option<TimeDelta>> {
    match duration {
        Some(Duration(span)) if span <= TimeDelta::zero() => {
            Err(Error::config(format!("`{key}` must be longer than nothing, such as \"1m\"")))
        }
        other => Ok(other.map(|duration| duration.0)),
    }
}

fn consumers(words: Option<&[String]>) -> Result<BTreeSet<Consumer>> {
    words.map_or(Ok(BTreeSet::from([Consumer::Athena])), |words| words.iter().map(|word| CONSUMERS.choose(word)).collect())
}

fn merge(raw: &RawMerge, consumers: &BTreeSet<Consumer>, rules: &BTreeMap<String, ColumnRules>) -> Result<Merge> {
    let target_file_size = raw.target_file_size.map_or(TARGET_FILE_SIZE, |size| size.0);
    let row_group_size = raw.row_group_size.map_or(ROW_GROUP_SIZE.min(target_file_size), |size| size.0);
    if row_group_size > target_file_size {
        return Err(Error::config(format!(
            "merge.row_group_size ({row_group_size} bytes) is above merge.target_file_size ({target_file_size} bytes); make it smaller"
        )));
    }
    Ok(Merge {
        target_file_size,
        row_group_size,
        sort_by: columns("merge.sort_by", &raw.sort_by)?,
        deduplicate_by: deduplicate_by(&raw.deduplicate_by, rules)?,
        compression: compression(raw.compression.as_deref(), consumers)?,
    })
}

fn columns(key: &str, names: &[String]) -> Result<Vec<String>> {
    for (index, name) in names.iter().enumerate() {
        if !is_name(name) {
            return Err(Error::config(format!("{key} names `{name}`; columns have lower-case letters, digits and `_` only")));
        }
        if names[..index].contains(name) {
            return Err(Error::config(format!("{key} names `{name}` twice; leave one out")));
        }
    }
    Ok(names.to_vec())
}

/// Events are compared by what stands in the table, where most privacy rules leave values that no longer tell them apart.
fn deduplicate_by(names: &[String], rules: &BTreeMap<String, ColumnRules>) -> Result<Vec<String>> {
    let privacy = |name: &&String| rules.get(*name).and_then(|rule| rule.privacy.as_ref());
    if let Some(name) = names.iter().find(|name| matches!(privacy(name), Some(Privacy::Drop | Privacy::Redact | Privacy::TruncateIp))) {
        return Err(Error::config(format!(
            "merge.deduplicate_by names `{name}`, whose privacy makes different events look the same, so that they would be lost; use \
             \"hmac-sha256\" for it, or another column"
        )));
    }
    columns("merge.deduplicate_by", names)
}

fn compression(word: Option<&str>, consumers: &BTreeSet<Consumer>) -> Result<Compression> {
    let spectrum = consumers.contains(&Consumer::Spectrum);
    let chosen = word.map(|word| COMPRESSION.choose(word)).transpose()?;
    match (chosen, spectrum) {
        (Some(Compression::Zstd), true) => Err(Error::config(
            "merge.compression = \"zstd\" does not go with the consumer \"spectrum\": Redshift Spectrum documents gzip, snappy and bzip2 \
             only; use \"snappy\" or leave it out",
        )),
        (Some(chosen), _) => Ok(chosen),
        (None, true) => Ok(Compression::Snappy),
        (None, false) => Ok(Compression::Zstd),
    }
}

fn max_ratio(ratio: Option<f64>) -> Result<f64> {
    let ratio = ratio.unwrap_or(0.5);
    if (0.0..=1.0).contains(&ratio) {
        return Ok(ratio);
    }
    Err(Error::config(format!("quarantine.max_ratio is {ratio}; it is a share, from 0 to 1")))
}

fn keep_raw(raw: &RawQuarantine, rules: &BTreeMap<String, ColumnRules>) -> Result<KeepRaw> {
    match &raw.keep_raw {
        Some(word) => KEEP_RAW.choose(&word.0),
        None if rules.values().any(|rule| rule.privacy.is_some()) => Ok(KeepRaw::Redacted),
        None => Ok(KeepRaw::Whole),
    }
}
