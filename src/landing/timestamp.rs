//! Java `DateTimeFormatter` patterns, as far as a path can be read back through them: what stands inside `!{timestamp:…}`.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// One field of time that a pattern can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeField {
    /// `yyyy` or `uuuu`.
    Year,
    /// `YYYY`, the year that the week belongs to: around New Year not always the calendar's.
    WeekYear,
    /// `MM`, `M`.
    Month,
    /// `dd`, `d`.
    Day,
    /// `DDD`, `DD`, `D`.
    DayOfYear,
    /// `HH`, `H`: 0 to 23.
    Hour,
    /// `mm`, `m`.
    Minute,
    /// `ss`, `s`.
    Second,
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimePiece {
    /// Copied as it is.
    Text(String),
    /// A number of at least so many digits.
    Field(TimeField, usize),
}

const ALLOWED: &str = "yyyy, YYYY, MM, M, dd, d, DDD, DD, D, HH, H, mm, m, ss, s, punctuation, and text in single quotes";

/// Splits a pattern; the error is a clause that names the wrong part and what is allowed.
pub(super) fn parse(pattern: &str) -> Result<Vec<TimePiece>, String> {
    if pattern.is_empty() {
        return Err(format!("has no pattern; allowed are {ALLOWED}"));
    }
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\'' => quoted(rest, &mut pieces)?,
            'a'..='z' | 'A'..='Z' => {
                let run = rest.len() - rest.trim_start_matches(first).len();
                let field = field(first, run).ok_or_else(|| format!("has `{}`; allowed are {ALLOWED}", &rest[..run]))?;
                pieces.push(TimePiece::Field(field, run));
                run
            }
            '[' | ']' | '{' | '#' => return Err(format!("has `{first}`, which Java reserves; allowed are {ALLOWED}")),
            other => {
                pieces.push(TimePiece::Text(other.to_string()));
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(pieces)
}

/// Reads a quoted literal, or `''` for one quote; gives the bytes taken.
fn quoted(text: &str, pieces: &mut Vec<TimePiece>) -> Result<usize, String> {
    if text.starts_with("''") {
        pieces.push(TimePiece::Text("'".to_string()));
        return Ok(2);
    }
    let mut literal = String::new();
    let mut at = 1;
    while let Some(end) = text[at..].find('\'') {
        literal.push_str(&text[at..at + end]);
        at += end + 1;
        if !text[at..].starts_with('\'') {
            pieces.push(TimePiece::Text(literal));
            return Ok(at);
        }
        literal.push('\'');
        at += 1;
    }
    Err("has a single quote that is never closed; write '' for a quote itself".to_string())
}

fn field(letter: char, run: usize) -> Option<TimeField> {
    match (letter, run) {
        ('y' | 'u', 4) => Some(TimeField::Year),
        ('Y', 4) => Some(TimeField::WeekYear),
        ('M', 1 | 2) => Some(TimeField::Month),
        ('d', 1 | 2) => Some(TimeField::Day),
        ('D', 1..=3) => Some(TimeField::DayOfYear),
        ('H', 1 | 2) => Some(TimeField::Hour),
        ('m', 1 | 2) => Some(TimeField::Minute),
        ('s', 1 | 2) => Some(TimeField::Second),
        _ => None,
    }
}

impl TimeField {
    /// The most digits that the field can have.
    pub(super) fn max_digits(self) -> usize {
        match self {
            Self::Year | Self::WeekYear => 4,
            Self::DayOfYear => 3,
            _ => 2,
        }
    }

    /// The field's value at an instant. The week year is ISO's; Java's depends on its locale.
    pub(super) fn at(self, instant: DateTime<Utc>) -> u32 {
        match self {
            Self::Year => instant.year().unsigned_abs(),
            Self::WeekYear => instant.iso_week().year().unsigned_abs(),
            Self::Month => instant.month(),
            Self::Day => instant.day(),
            Self::DayOfYear => instant.ordinal(),
            Self::Hour => instant.hour(),
            Self::Minute => instant.minute(),
            Self::Second => instant.second(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &str) {
        let instant = "2026-01-02T03:04:05Z".parse().unwrap();
        let written: String = parse(pattern)
            .unwrap()
            .into_iter()
            .map(|piece| match piece {
                TimePiece::Text(text) => text,
                TimePiece::Field(field, width) => format!("{:0width$}", field.at(instant)),
            })
            .collect();
        assert_eq!(written, expected, "{pattern}");
    }

    #[test]
    fn writes_what_java_would_write() {
        check("yyyy/MM/dd/HH", "2026/01/02/03");
        check("'year='yyyy'/month='MM", "year=2026/month=01");
        check("uuuu-M-d H:m:s", "2026-1-2 3:4:5");
        check("YYYY DDD DD D", "2026 002 02 2");
        check("HH'h'mm''ss", "03h04'05");
        check("'o''clock 'HH", "o'clock 03");
    }

    #[test]
    fn refuses_what_cannot_be_read_back() {
        for (pattern, part) in [("yyyy-hh", "`hh`"), ("yy", "`yy`"), ("MMM", "`MMM`"), ("HHT", "`T`"), ("[HH]", "`[`"), ("'year", "closed")]
        {
            let error = parse(pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
        assert!(parse("").is_err());
    }
}
