//! Which texts are times.

use chrono::{NaiveDate, NaiveTime};

/// How a date-time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// It says its distance from UTC.
    pub zoned: bool,
    /// It has digits below the microsecond.
    pub nanos: bool,
}

/// The form of an ISO 8601 date-time, or `None` for any other text: `2026-11-19T14:05:00`, `T` or a space, a fraction of 1 to 9
/// digits or none, and `Z`, `+01:00`, `+0100`, `+01` or no zone. The date and the time have to exist; there are no leap seconds and
/// no year 0.
pub(super) fn form(text: &str) -> Option<Form> {
    let year = number(text, 0, 4).filter(|&year| year > 0)?;
    let date = NaiveDate::from_ymd_opt(year.try_into().ok()?, number(text, 5, 2)?, number(text, 8, 2)?);
    let time = NaiveTime::from_hms_opt(number(text, 11, 2)?, number(text, 14, 2)?, number(text, 17, 2)?);
    let bytes = text.as_bytes();
    let marks = bytes[4] == b'-' && bytes[7] == b'-' && matches!(bytes[10], b'T' | b' ') && bytes[13] == b':' && bytes[16] == b':';
    if date.is_none() || time.is_none() || !marks {
        return None;
    }
    let rest = &text[19..];
    let (digits, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            (1..=9).contains(&digits).then_some((digits, &fraction[digits..]))?
        }
        None => (0, rest),
    };
    is_zone(zone).then_some(Form { zoned: !zone.is_empty(), nanos: digits > 6 })
}

fn is_zone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['+', '-']) else { return matches!(text, "" | "Z") };
    let minutes_at = match digits.len() {
        2 => None,
        4 => Some(2),
        5 if digits.as_bytes()[2] == b':' => Some(3),
        _ => return false,
    };
    let minutes = minutes_at.map_or(Some(0), |at| number(digits, at, 2));
    number(digits, 0, 2).is_some_and(|hours| hours <= 18) && minutes.is_some_and(|minutes| minutes <= 59)
}

/// The number that `length` digits from `start` make.
fn number(text: &str, start: usize, length: usize) -> Option<u32> {
    let digits = text.get(start..start + length)?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_times_are_told_from_other_texts() {
        let some = |text| form(text).unwrap_or_else(|| panic!("{text} is a time"));
        for text in ["2026-11-19T14:05:00Z", "2026-11-19 14:05:00.5+01:00", "2026-11-19T14:05:00.123456-0130", "0001-01-01T00:00:00+05"] {
            assert_eq!(some(text), Form { zoned: true, nanos: false }, "{text}");
        }
        assert_eq!(some("2026-11-19 23:59:59"), Form { zoned: false, nanos: false });
        assert_eq!(some("2026-11-19T14:05:00.123456789"), Form { zoned: false, nanos: true });
        for text in [
            "",
            "2026-11-19",
            "2026-11-19T14:05",
            "2026-11-19_14:05:00",
            "2026/11/19 14:05:00",
            "2026-02-30T14:05:00Z",
            "2026-11-19T24:00:00Z",
            "2026-11-19T23:59:60Z",
            "2026-11-19T14:05:00.",
            "2026-11-19T14:05:00.1234567890",
            "2026-11-19T14:05:00z",
            "2026-11-19T14:05:00 Z",
            "2026-11-19T14:05:00+1:00",
            "0000-12-31T14:05:00Z",
            "2026-11-19T14:05:00+19:00",
            "2026-11-19T14:05:00+01:60",
            "2026-11-19T14:05:00+01é",
            "2026-11-1éT14:05:00Z",
            "+026-11-19T14:05:00Z",
        ] {
            assert_eq!(form(text), None, "{text}");
        }
    }
}
