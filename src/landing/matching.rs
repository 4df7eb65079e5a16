//! Reading keys and folders through a prefix expression, one path part at a time.

use std::collections::BTreeMap;

use regex::Regex;

use super::path_time::PathTime;
use super::prefix::{Piece, Prefix};
use super::timestamp::TimeField;

/// What a prefix found in a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched<'k> {
    /// The time fields in the path, in the stream's zone.
    pub time: PathTime,
    /// The values of partition keys.
    pub values: BTreeMap<String, String>,
    /// The object's name behind the prefix.
    pub rest: &'k str,
}

/// The error output types that AWS documents, and two that were seen. Data may lie in a folder of any other name, even
/// one that ends in `-failed`, and must not be taken for errors.
const ERROR_TYPES: &str = "(?:(?:processing|elasticsearch|AmazonOpenSearch[A-Za-z]*|splunk|http-endpoint|format-conversion|decompression)-failed\
                           |activePartitionExceeded)";

/// One way to read an expression: a pattern for each folder, and last one for the start of the object's name.
///
/// No value crosses a `/`, so every part of a path can be matched on its own; that is what lets folders be pruned.
#[derive(Debug, Clone)]
pub(super) struct Reading(Vec<Part>);

#[derive(Debug, Clone)]
struct Part {
    pattern: Regex,
    hidden: bool,
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
enum Group {
    Time(TimeField),
    Value(String),
}

#[derive(Default)]
struct Found {
    time: PathTime,
    values: BTreeMap<String, String>,
}

impl Reading {
    pub(super) fn of(pieces: &[Piece]) -> Result<Self, regex::Error> {
        let mut parts = Vec::new();
        let (mut pattern, mut groups) = (String::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    let mut folders = text.split('/').peekable();
                    while let Some(folder) = folders.next() {
                        pattern.push_str(&regex::escape(folder));
                        if folders.peek().is_some() {
                            parts.push(Part::of(&format!("{pattern}$"), std::mem::take(&mut groups))?);
                            pattern.clear();
                        }
                    }
                }
                Piece::Time(field, width) => {
                    pattern.push_str(&format!("([0-9]{{{width},{}}})", field.max_digits()));
                    groups.push(Group::Time(*field));
                }
                Piece::Key(name) => {
                    pattern.push_str("(.+?)");
                    groups.push(Group::Value(name.clone()));
                }
                // A value of the record is in no path.
                Piece::Column(_) => pattern.push_str(r"[^\s\S]"),
                Piece::Random => pattern.push_str("[0-9A-Za-z-]{11}"),
                Piece::ErrorType => pattern.push_str(ERROR_TYPES),
            }
        }
        parts.push(Part::of(&pattern, groups)?);
        Ok(Self(parts))
    }

    /// Matches the leading parts of a path; gives what was found and where the last part's match ended.
    fn read<'k>(&self, parts: impl Iterator<Item = &'k str>) -> Option<(Found, usize)> {
        let mut found = Found::default();
        let mut end = 0;
        for (part, text) in self.0.iter().zip(parts) {
            end = part.read(text, &mut found)?;
        }
        found.time.is_possible().then_some((found, end))
    }

    fn key<'k>(&self, key: &'k str) -> Option<Matched<'k>> {
        if key.split('/').count() != self.0.len() {
            return None;
        }
        let (found, end) = self.read(key.split('/'))?;
        let name = key.rsplit('/').next()?;
        (end < name.len()).then(|| Matched { time: found.time, values: found.values, rest: &name[end..] })
    }

    fn folder(&self, folder: &str) -> Option<PathTime> {
        if depth(folder) >= self.0.len() {
            return None;
        }
        self.read(parts(folder)).map(|(found, _)| found.time)
    }

    fn covers(&self, key: &str) -> bool {
        key.split('/').count() >= self.0.len() && self.read(key.split('/')).is_some()
    }

    fn has_time_from(&self, depth: usize) -> bool {
        self.0.iter().skip(depth).any(|part| part.groups.iter().any(|group| matches!(group, Group::Time(_))))
    }

    /// True if the expression itself says that this part of a path starts with `.` or `_`.
    fn names_hidden(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|part| part.hidden)
    }
}

impl Part {
    fn of(pattern: &str, groups: Vec<Group>) -> Result<Self, regex::Error> {
        let hidden = pattern.starts_with('_') || pattern.starts_with("\\.");
        Ok(Self { pattern: Regex::new(&format!("^(?s){pattern}"))?, hidden, groups })
    }

    /// Adds what this part of the path says; gives the end of the match, `None` if it does not fit.
    fn read(&self, text: &str, found: &mut Found) -> Option<usize> {
        let captured = self.pattern.captures(text)?;
        for (index, group) in self.groups.iter().enumerate() {
            let value = captured.get(index + 1)?.as_str();
            let agrees = match group {
                Group::Time(field) => found.time.note(*field, value.parse().ok()?),
                Group::Value(name) => found.values.entry(name.clone()).or_insert_with(|| value.to_string()) == value,
            };
            if !agrees {
                return None;
            }
        }
        captured.get(0).map(|all| all.end())
    }
}

impl Prefix {
    /// Reads a key, relative to the landing location; `None` if the expression cannot have made it.
    ///
    /// Partition key values are as short as the text behind them allows, and cross no `/`; nor does the object's name.
    pub fn match_key<'k>(&self, key: &'k str) -> Option<Matched<'k>> {
        self.readings().find_map(|reading| reading.key(key))
    }

    /// Reads a `/`-ended leading part of keys: the time fields fixed so far, `None` if no key below it can match.
    pub fn match_folder(&self, folder: &str) -> Option<PathTime> {
        self.readings().find_map(|reading| reading.folder(folder))
    }

    /// The time fields that a partition key's value, made by the expression as it is written, tells; `None` if it cannot have made it.
    pub fn read_value(&self, value: &str) -> Option<PathTime> {
        let [part] = self.written.0.as_slice() else { return None };
        let mut found = Found::default();
        (part.read(value, &mut found)? == value.len()).then_some(found.time)
    }

    /// True if folders deeper than `depth` can still say something about the time.
    pub fn has_time_below(&self, depth: usize) -> bool {
        self.readings().any(|reading| reading.has_time_from(depth))
    }

    /// True if a key, or everything below a `/`-ended folder, begins with what the expression makes, as it is written.
    /// This is how an error prefix is meant.
    pub fn covers(&self, key: &str) -> bool {
        self.written.covers(key)
    }

    /// True if a `/`-ended folder is, holds, or lies in what the expression covers.
    pub fn may_cover(&self, folder: &str) -> bool {
        self.written.folder(folder).is_some() || self.covers(folder)
    }

    /// True if the expression itself says that part `index` of a path starts with `.` or `_`.
    pub(super) fn names_hidden(&self, index: usize) -> bool {
        self.readings().any(|reading| reading.names_hidden(index))
    }

    fn readings(&self) -> impl Iterator<Item = &Reading> {
        let plain = if self.is_literal() { None } else { Some(&self.written) };
        self.appended.iter().chain(plain)
    }
}

/// How many folders deep a `/`-ended path leads.
pub(super) fn depth(folder: &str) -> usize {
    parts(folder).count()
}

fn parts(folder: &str) -> impl Iterator<Item = &str> {
    folder.split_terminator('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &str, key: &str, expected: &str) {
        let told = Prefix::parse(prefix).unwrap().match_key(key).map_or("no".to_string(), |found| {
            let t = found.time;
            let numbers: Vec<String> =
                [t.year.map(|y| y as u32), t.month, t.day, t.hour].into_iter().flatten().map(|n| n.to_string()).collect();
            let values: Vec<String> = found.values.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{} [{}] {}", numbers.join("-"), values.join(","), found.rest)
        });
        assert_eq!(told, expected, "{key} through {prefix}");
    }

    #[test]
    fn reads_the_keys_that_firehose_writes() {
        check("!{timestamp:yyyy/MM/dd/HH}/", "2026/11/19/14/clicks-1", "2026-11-19-14 [] clicks-1");
        check("!{timestamp:yyyy/MM/dd/HH}", "2026/11/19/14clicks-1", "2026-11-19-14 [] clicks-1");
        check("!{timestamp:yyyy/MM/dd/HH}/", "2026/11/19/14/", "no");
        check("!{timestamp:yyyy/MM/dd/HH}/", "2026/11/19/14/deeper/clicks-1", "no");
        check("!{timestamp:yyyy/MM/dd/HH}/", "2026/02/30/14/clicks-1", "no");
        check("!{timestamp:yyyy/MM/dd/HH}/", "2026/11/19/24/clicks-1", "no");
        check("y=!{timestamp:yyyy}/!{timestamp:yyyy/MM}/", "y=2026/2025/11/x", "no");
        check("!{firehose:random-string}/!{timestamp:yyyy}/", "046b6c7f-0b/2026/x", "2026 [] x");
        check("a.b/!{timestamp:yyyy}/", "a_b/2026/x", "no");
    }

    #[test]
    fn a_time_path_is_appended_where_none_is_written() {
        check("legacy", "legacy2026/07/13/14/clicks-1", "2026-7-13-14 [] clicks-1");
        check("legacy/", "legacy/2026/07/13/14/clicks-1", "2026-7-13-14 [] clicks-1");
        check("", "2026/07/13/14/clicks-1", "2026-7-13-14 [] clicks-1");
        check("legacy/", "legacy/clicks-1", "no");
        check("c=!{partitionKeyFromQuery:c}/", "c=7/2026/07/13/14/clicks-1", "2026-7-13-14 [c=7] clicks-1");
        check("c=!{partitionKeyFromQuery:c}/", "c=7/clicks-1", " [c=7] clicks-1");
    }

    #[test]
    fn values_are_short_and_stay_in_their_folder() {
        check("!{partitionKeyFromQuery:a}-!{partitionKeyFromLambda:b}/", "x-y-z/o", " [a=x,b=y-z] o");
        check("!{partitionKeyFromQuery:a}/x/", "p/q/x/o", "no");
        check("!{partitionKeyFromQuery:a}/!{partitionKeyFromQuery:a}/", "p/q/o", "no");
        check("!{column:a}/", "p/o", "no");
    }

    #[test]
    fn folders_lead_to_keys_or_not() {
        let prefix = Prefix::parse("raw/!{timestamp:yyyy/MM/dd/HH}/").unwrap();
        let year = |folder| prefix.match_folder(folder).map(|time| time.year);
        assert_eq!(year(""), Some(None));
        assert_eq!(year("raw/"), Some(None));
        assert_eq!(year("raw/2026/"), Some(Some(2026)));
        assert_eq!(year("raw/2026/11/19/14/"), Some(Some(2026)));
        for wrong in ["other/", "raw/errors/", "raw/2026/13/", "raw/2026/11/19/14/deeper/"] {
            assert_eq!(year(wrong), None, "{wrong}");
        }
        assert!(prefix.has_time_below(4) && !prefix.has_time_below(5));
    }

    #[test]
    fn an_error_prefix_covers_what_lies_below_it() {
        let covers = |prefix: &str, key: &str| {
            let prefix = Prefix::parse(prefix).unwrap();
            (prefix.covers(key), prefix.may_cover(key))
        };
        let typed = "errors/!{firehose:error-output-type}/";
        assert_eq!(covers(typed, "errors/processing-failed/2026/clicks-1"), (true, true));
        assert_eq!(covers(typed, "errors/activePartitionExceeded/"), (true, true));
        assert_eq!(covers(typed, "errors/"), (false, true));
        assert_eq!(covers(typed, "errors/clicks/"), (false, false));
        assert_eq!(covers("!{firehose:error-output-type}/", "payment-failed/"), (false, false));
        assert_eq!(covers(typed, "2026/"), (false, false));
        assert_eq!(covers("errors/", "errors/anything/at/all"), (true, true));
        assert_eq!(covers("!{firehose:error-output-type}/", "2026/11/19/14/clicks-1"), (false, false));
    }
}
