//! Firehose's prefix expressions: parsed once, then used to read paths and to write partition values.

use std::collections::{BTreeMap, BTreeSet};

pub use super::matching::Matched;
use super::matching::Reading;
pub use super::path_time::PathTime;
pub use super::timestamp::TimeField;
use super::timestamp::{self, TimePiece};
use crate::error::{Error, Result};
use crate::hour::Hour;

/// A parsed expression such as `!{timestamp:yyyy/MM/dd/HH}/`.
///
/// The language is Firehose's own (<https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html>), plus
/// `!{column:a.b}` for a value of the record.
#[derive(Debug, Clone)]
pub struct Prefix {
    text: String,
    pieces: Vec<Piece>,
    /// The expression as it is written.
    pub(super) written: Reading,
    /// The expression with the time path that Firehose appends where none is written.
    pub(super) appended: Option<Reading>,
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Copied as it is.
    Text(String),
    /// A field of the arrival time, of at least so many digits.
    Time(TimeField, usize),
    /// `!{firehose:random-string}`.
    Random,
    /// `!{firehose:error-output-type}`.
    ErrorType,
    /// `!{partitionKeyFromQuery:…}` or `!{partitionKeyFromLambda:…}`, by name.
    Key(String),
    /// `!{column:…}`.
    Column(String),
}

/// What Firehose appends to a prefix without expressions, by plain concatenation.
const APPENDED: &str = "yyyy/MM/dd/HH/";

/// Most characters of an expression: as many as Firehose takes
/// (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_ExtendedS3DestinationConfiguration.html>). Each folder is matched on
/// its own, so that a text of any length would take any memory.
const LONGEST: usize = 1024;

const ALLOWED: &str = "!{timestamp:…}, !{firehose:random-string}, !{firehose:error-output-type}, !{partitionKeyFromQuery:…}, \
                       !{partitionKeyFromLambda:…} and, in partition_by, !{column:…}";

impl Prefix {
    /// Reads an expression.
    ///
    /// Where no `!{timestamp:…}` is written, Firehose's own rule holds when paths are read: a prefix without any expression
    /// gets `yyyy/MM/dd/HH/` appended; one with other expressions is read both with it and without, because AWS documents
    /// the one and was seen to do the other.
    ///
    /// # Errors
    /// `Config`, naming the expression that is wrong and what is allowed.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |clause: String| Error::config(format!("expression `{text}` {clause}"));
        if text.len() > LONGEST && text.chars().count() > LONGEST {
            let start: String = text.chars().take(40).collect();
            return Err(Error::config(format!("expression `{start}…` has more than {LONGEST} characters, Firehose's limit; shorten it")));
        }
        let pieces = pieces_of(text).map_err(wrong)?;
        check_folders(&pieces).map_err(|clause| wrong(clause.to_string()))?;
        let unreadable = |e: regex::Error| wrong(format!("is too long to be matched: {e}"));
        let has_time = pieces.iter().any(|piece| matches!(piece, Piece::Time(..)));
        let appended = if has_time {
            None
        } else {
            let time = timestamp::parse(APPENDED).map_err(wrong)?;
            Some(Reading::of(&[pieces.clone(), time.into_iter().map(Piece::from).collect()].concat()).map_err(unreadable)?)
        };
        let written = Reading::of(&pieces).map_err(unreadable)?;
        Ok(Self { text: text.to_string(), pieces, written, appended })
    }

    /// The expression as the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if it has no expression at all, only text.
    pub fn is_literal(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The names of the partition keys whose values a path holds.
    pub fn path_keys(&self) -> BTreeSet<&str> {
        self.pieces.iter().filter_map(|piece| if let Piece::Key(name) = piece { Some(name.as_str()) } else { None }).collect()
    }

    /// The places in the record that `!{column:…}` names.
    pub fn columns(&self) -> BTreeSet<&str> {
        self.pieces.iter().filter_map(|piece| if let Piece::Column(name) = piece { Some(name.as_str()) } else { None }).collect()
    }

    /// The fields of time that are written; the appended time path does not count.
    pub fn time_fields(&self) -> BTreeSet<TimeField> {
        self.pieces.iter().filter_map(|piece| if let Piece::Time(field, _) = piece { Some(*field) } else { None }).collect()
    }

    /// True if it is made of time and text alone.
    pub fn is_of_time(&self) -> bool {
        self.path_keys().is_empty() && self.columns().is_empty()
    }

    /// True if it has `!{firehose:error-output-type}`.
    pub fn has_error_type(&self) -> bool {
        self.pieces.contains(&Piece::ErrorType)
    }

    /// True if it has `!{firehose:random-string}`.
    pub fn has_random(&self) -> bool {
        self.pieces.contains(&Piece::Random)
    }

    /// A partition key whose value has no text behind it, so that its end in a path cannot be told.
    pub fn key_without_end(&self) -> Option<&str> {
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            if let (Piece::Key(name), false) = (piece, matches!(pieces.peek(), Some(Piece::Text(_)))) {
                return Some(name);
            }
        }
        None
    }

    /// The leading folders that are the same in every key, ending in a slash, or nothing.
    pub fn literal_folder(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => &text[..text.rfind('/').map_or(0, |slash| slash + 1)],
            _ => "",
        }
    }

    /// A text that the expression, as it is written, can make: for trying out how expressions go together.
    pub fn example(&self) -> String {
        let time = chrono::DateTime::UNIX_EPOCH;
        let written = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Time(field, width) => format!("{:0width$}", field.at(time), width = *width),
            Piece::Random => "046b6c7f-0b".to_string(),
            Piece::ErrorType => "processing-failed".to_string(),
            Piece::Key(name) | Piece::Column(name) => name.clone(),
        });
        written.collect()
    }

    /// The value of a partition key for an hour. Times are UTC whatever the stream's zone; minutes and seconds are zero.
    ///
    /// # Errors
    /// `Config` if `values` lacks a partition key, or if the expression has a part that only Firehose or a record can fill in.
    pub fn format(&self, hour: Hour, values: &BTreeMap<String, String>) -> Result<String> {
        self.format_row(hour, values, &BTreeMap::new())
    }

    /// As [`Self::format`], with the values of a row's columns.
    ///
    /// # Errors
    /// As [`Self::format`], and if `columns` lacks one.
    pub fn format_row(&self, hour: Hour, values: &BTreeMap<String, String>, columns: &BTreeMap<&str, &str>) -> Result<String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Time(field, width) => out.push_str(&format!("{:0width$}", field.at(hour.start()), width = *width)),
                Piece::Key(name) => out.push_str(values.get(name).ok_or_else(|| {
                    Error::config(format!(
                        "`{}` needs the partition key `{name}`, which the path does not have; add it to `prefix`",
                        self.text
                    ))
                })?),
                Piece::Column(place) if columns.contains_key(place.as_str()) => out.push_str(columns[place.as_str()]),
                Piece::Random | Piece::ErrorType | Piece::Column(_) => {
                    return Err(Error::config(format!(
                        "`{}` cannot give a partition value; use !{{timestamp:…}} or a partition key of `prefix`",
                        self.text
                    )));
                }
            }
        }
        Ok(out)
    }
}

impl From<TimePiece> for Piece {
    fn from(piece: TimePiece) -> Self {
        match piece {
            TimePiece::Text(text) => Self::Text(text),
            TimePiece::Field(field, width) => Self::Time(field, width),
        }
    }
}

/// Splits an expression; neighbouring texts become one.
fn pieces_of(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, opened)) = rest.split_once("!{") {
        push(&mut pieces, Piece::Text(literal.to_string()));
        let (inside, after) = opened.split_once('}').ok_or("has `!{` without `}`; close the expression")?;
        expression(inside, &mut pieces)?;
        rest = after;
    }
    push(&mut pieces, Piece::Text(rest.to_string()));
    Ok(pieces)
}

fn expression(inside: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let (namespace, value) = inside.split_once(':').unwrap_or((inside, ""));
    let named = |what: &str| {
        let fits = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if fits { Ok(value.to_string()) } else { Err(format!("has `!{{{inside}}}` without a valid {what}; write !{{{namespace}:name}}")) }
    };
    match (namespace, value) {
        ("timestamp", pattern) => {
            let parsed = timestamp::parse(pattern).map_err(|clause| format!("is wrong: `!{{{inside}}}` {clause}"))?;
            parsed.into_iter().for_each(|piece| push(pieces, piece.into()));
        }
        ("firehose", "random-string") => push(pieces, Piece::Random),
        ("firehose", "error-output-type") => push(pieces, Piece::ErrorType),
        ("partitionKeyFromQuery" | "partitionKeyFromLambda", _) => push(pieces, Piece::Key(named("name of a partition key")?)),
        ("column", _) => push(pieces, Piece::Column(named("place in the record")?)),
        _ => return Err(format!("has `!{{{inside}}}`, which is no expression; allowed are {ALLOWED}")),
    }
    Ok(())
}

/// Checks the folders' names as they are written, as a pattern of time may write a `/` too.
fn check_folders(pieces: &[Piece]) -> Result<(), &'static str> {
    let written: String = pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "x" }).collect();
    if written.starts_with('/') || written.contains("//") {
        return Err("has an empty folder name; leave out the extra `/`");
    }
    if written.split('/').any(|part| part == "." || part == "..") {
        return Err("has a folder `.` or `..`, which no object can lie in; leave it out");
    }
    Ok(())
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (_, Piece::Text(text)) if text.is_empty() => {}
        (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
        (_, piece) => pieces.push(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tells_what_it_is_made_of() {
        let prefix =
            Prefix::parse("raw/c=!{partitionKeyFromQuery:customer}/!{timestamp:yyyy/MM/dd/HH}/!{firehose:random-string}/").unwrap();
        assert_eq!(prefix.literal_folder(), "raw/");
        assert_eq!(prefix.path_keys(), BTreeSet::from(["customer"]));
        assert_eq!(prefix.time_fields(), BTreeSet::from([TimeField::Year, TimeField::Month, TimeField::Day, TimeField::Hour]));
        assert!(prefix.has_random() && !prefix.has_error_type() && !prefix.is_literal());
        assert_eq!(prefix.key_without_end(), None);
        for open in ["!{partitionKeyFromLambda:a}", "!{partitionKeyFromLambda:a}!{timestamp:yyyy}/"] {
            assert_eq!(Prefix::parse(open).unwrap().key_without_end(), Some("a"), "{open}");
        }
        assert_eq!(Prefix::parse("!{column:page.url}").unwrap().columns(), BTreeSet::from(["page.url"]));
    }

    #[test]
    fn errors_name_the_expression_and_what_is_allowed() {
        let error = |text| Prefix::parse(text).unwrap_err().to_string();
        assert_eq!(
            error("a/!{timestamp:yyyy/MM/dd/hh}/"),
            "expression `a/!{timestamp:yyyy/MM/dd/hh}/` is wrong: `!{timestamp:yyyy/MM/dd/hh}` has `hh`; allowed are yyyy, YYYY, MM, M, dd, d, \
             DDD, DD, D, HH, H, mm, m, ss, s, punctuation, and text in single quotes"
        );
        assert!(error("!{firehose:random}").contains("`!{firehose:random}`, which is no expression; allowed are !{timestamp:…}"));
        assert!(error("!{partitionKeyFromQuery:}/").contains("without a valid name of a partition key"));
        assert!(error("!{timestamp:yyyy").contains("close the expression"));
        assert!(error("/a/").contains("empty folder name"));
        assert!(error("a//b").contains("empty folder name"));
        assert!(error("a/!{timestamp:/yyyy}").contains("empty folder name"));
        assert!(error("../b").contains("leave it out"));
        assert!(error("a/!{timestamp:'..'}/b").contains("leave it out"));
        assert!(
            error(&"a/".repeat(100_000)).contains("expression `a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/…` has more than 1024 characters")
        );
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(
            hours in 0_i64..1_000_000,
            customer in "[a-z0-9=.-]{1,8}",
            pattern in prop::sample::select(vec![
                "!{timestamp:yyyy/MM/dd/HH}/c-!{partitionKeyFromQuery:customer}/",
                "raw/!{timestamp:'year='yyyy'/month='MM'/day='dd'/hour='HH}/!{partitionKeyFromLambda:customer}/x",
                "!{partitionKeyFromQuery:customer}/!{timestamp:yyyy}-!{timestamp:DDD}-!{timestamp:HH}-",
                "!{partitionKeyFromQuery:customer}/!{timestamp:yyyy.M.d.H}/",
                "!{partitionKeyFromQuery:customer}/!{timestamp:HHmmss-ddMMuuuu}/!{partitionKeyFromQuery:customer}/",
            ]),
        ) {
            let hour = Hour::of(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hours));
            let values = BTreeMap::from([("customer".to_string(), customer)]);
            let prefix = Prefix::parse(pattern).unwrap();
            let key = format!("{}stream-1", prefix.format(hour, &values).unwrap());
            let found = prefix.match_key(&key).unwrap();
            prop_assert_eq!(found.time.arrival_hour(chrono_tz::Tz::UTC), Some(hour));
            prop_assert_eq!(&found.values, &values);
            prop_assert_eq!(found.rest, "stream-1");
            for (slash, _) in key.match_indices('/') {
                let fixed = prefix.match_folder(&key[..=slash]).unwrap();
                if let Some((from, to)) = fixed.hour_range(chrono_tz::Tz::UTC) {
                    prop_assert!(from <= hour && hour <= to);
                }
            }
        }
    }
}
