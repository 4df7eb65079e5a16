//! Texts and numbers into typed values: exact, or by a documented rounding, or not at all.

use std::str::FromStr;

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;

/// Microseconds since 1970 at which the years 1 and 10000 begin.
const YEAR_1: i64 = -62_135_596_800 * MICROS;
const YEAR_10000: i64 = 253_402_300_800 * MICROS;

/// True if a time, in microseconds since 1970, is in one of the years 1 to 9999, which all readers can show.
pub fn has_year(micros: i64) -> bool {
    (YEAR_1..YEAR_10000).contains(&micros)
}

/// An integer written as a JSON number. A fraction or exponent is fine as long as the value is whole (`1.0`, `2e3`).
pub fn integer(text: &str, is_integer: bool) -> Option<i64> {
    if is_integer {
        return text.parse().ok();
    }
    decimal(text, 38, 0).and_then(|value| i64::try_from(value).ok())
}

/// A decimal number's unscaled value at `scale`, if it has no more than `precision` digits and loses nothing.
pub fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    if let Some(unscaled) = short_decimal(text.as_bytes(), precision, scale) {
        return Some(unscaled);
    }
    let number = Number::of(text)?;
    let (unscaled, is_cut) = number.times_ten_to(scale.into())?;
    let fits = !is_cut && unscaled < 10i128.checked_pow(u32::from(precision))?;
    fits.then_some(if number.is_negative { -unscaled } else { unscaled })
}

/// As [`decimal`], for what almost all numbers are: digits without a sign or an exponent, no more than fit into 64 bits, and no more
/// behind the point than the scale; `None` for every other text.
fn short_decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (mut value, mut digits, mut behind) = (0u64, 0u32, None);
    if text.len() > 17 || text.first() == Some(&b'.') || text.last() == Some(&b'.') {
        return None;
    }
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(byte - b'0');
                digits += 1;
            }
            b'.' if behind.is_none() => behind = Some(digits),
            _ => return None,
        }
    }
    let missing = u32::from(scale).checked_sub(behind.map_or(0, |before| digits - before))?;
    let unscaled = i128::from(value).checked_mul(10i128.checked_pow(missing)?)?;
    (digits > 0 && unscaled < 10i128.checked_pow(u32::from(precision))?).then_some(unscaled)
}

/// The float or double that is nearest to a number, if the number is not too large for it; `NaN` and the infinities by their names.
pub fn float<T: FromStr + Into<f64> + Copy>(text: &str) -> Option<T> {
    let nearest: T = text.parse().ok()?;
    let is_named = matches!(text, "NaN" | "Infinity" | "-Infinity");
    (is_named || nearest.into().is_finite() && Number::of(text).is_some()).then_some(nearest)
}

/// A number in its parts, all of them digits.
struct Number<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    /// With its sign.
    exponent: &'a str,
}

impl<'a> Number<'a> {
    /// The parts of a text that is a number: as in JSON, and also with a `+` or with zeros in front.
    fn of(text: &'a str) -> Option<Self> {
        let is_negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], &unsigned[at + 1..]),
            None => (unsigned, "0"),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let power = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let are_digits = [whole, fraction, power].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
        (are_digits && !whole.is_empty() && !power.is_empty()).then_some(Self { is_negative, whole, fraction, exponent })
    }

    /// The whole part of the number times 10^`power`, without its sign, and whether a fraction was cut off.
    fn times_ten_to(&self, power: i32) -> Option<(i128, bool)> {
        let exponent: i32 = self.exponent.parse().ok()?;
        let mut shift = power.checked_add(exponent)?.checked_sub(i32::try_from(self.fraction.len()).ok()?)?;
        let digits: Vec<u8> = self.whole.bytes().chain(self.fraction.bytes()).collect();
        let mut kept = digits.as_slice();
        let mut is_cut = false;
        while shift < 0 {
            let Some((last, rest)) = kept.split_last() else { break };
            is_cut |= *last != b'0';
            kept = rest;
            shift += 1;
        }
        let mut value = 0i128;
        for digit in kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        if value != 0 && shift > 0 {
            value = value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)?;
        }
        Some((value, is_cut))
    }
}

/// Days since 1970-01-01 of `yyyy-MM-dd`, from the year 1 on.
pub fn date(text: &[u8]) -> Option<i32> {
    let (days, rest) = leading_date(text)?;
    if rest.is_empty() { i32::try_from(days).ok() } else { None }
}

/// Microseconds since the epoch of an ISO 8601 time: `yyyy-MM-dd`, then `T` or a space, `HH:mm`, optionally `:ss` and a fraction
/// of 1 to 9 digits, optionally `Z` or an offset. A time without a zone is UTC. Digits beyond microseconds are cut off. There are no
/// leap seconds and no hour 24, and the year is 1 to 9999, in UTC too: what SQL's timestamps are, and all readers can show.
pub fn timestamp(text: &[u8]) -> Option<i64> {
    let (days, rest) = leading_date(text)?;
    let (&separator, rest) = rest.split_first()?;
    if separator != b'T' && separator != b't' && separator != b' ' {
        return None;
    }
    let (hour, rest) = pair(rest, 23)?;
    let (minute, mut rest) = pair(rest.strip_prefix(b":")?, 59)?;
    let (mut second, mut micros) = (0, 0);
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = pair(after, 59)?;
        if let Some(after) = rest.strip_prefix(b".") {
            (micros, rest) = fraction(after)?;
        }
    }
    let offset = zone(rest)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    in_sql(seconds.checked_mul(MICROS)?.checked_add(micros)?)
}

/// Microseconds since the epoch of a number: its size tells the unit, below 10^11 seconds, below 10^14
/// milliseconds, below 10^17 microseconds. What is finer than microseconds goes to the microsecond before it. The year is 1 to 9999.
pub fn epoch(text: &str, is_integer: bool) -> Option<i64> {
    let power = |whole: u128| match whole {
        ..100_000_000_000 => Some(6),
        100_000_000_000..100_000_000_000_000 => Some(3),
        100_000_000_000_000..100_000_000_000_000_000 => Some(0),
        _ => None,
    };
    if is_integer {
        let value: i64 = text.parse().ok()?;
        return in_sql(value.checked_mul(10i64.pow(power(value.unsigned_abs().into())?))?);
    }
    let number = Number::of(text)?;
    let (whole, _) = number.times_ten_to(0)?;
    let (micros, is_cut) = number.times_ten_to(i32::try_from(power(whole.unsigned_abs())?).ok()?)?;
    in_sql(i64::try_from(if number.is_negative { -micros - i128::from(is_cut) } else { micros }).ok()?)
}

/// The time, if its year is 1 to 9999.
fn in_sql(micros: i64) -> Option<i64> {
    has_year(micros).then_some(micros)
}

/// Bytes of what [`plain_timestamp`] reads.
pub const PLAIN_TIMESTAMP: usize = 26;

/// [`timestamp`] of a JSON string that `rest` begins with, if it is written as most are: `"yyyy-MM-ddTHH:mm:ss.SSSZ"`.
#[inline]
pub fn plain_timestamp(rest: &[u8]) -> Option<i64> {
    let text = rest.first_chunk::<PLAIN_TIMESTAMP>()?;
    let [date, time, seconds] = text[1..].as_chunks::<8>().0 else { return None };
    let (date, time, seconds) = (digits_of(date, b"0000-00-"), digits_of(time, b"00T00:00"), digits_of(seconds, b":00.000Z"));
    if text[0] != b'"' || text[25] != b'"' || (date | time | seconds) & HIGHS != 0 {
        return None;
    }
    let (dates, times, ends) = (twos(date), twos(time), twos(seconds));
    let byte = |word: u64, at: usize| i64::from(word.to_le_bytes()[at]);
    let (year, month, day) = (byte(dates, 0) * 100 + byte(dates, 2), byte(dates, 5), byte(times, 0));
    let (hour, minute, second) = (byte(times, 3), byte(times, 6), byte(ends, 1));
    let millis = byte(ends, 4) * 10 + byte(seconds, 6);
    // Every year has these days; the others are left to the full reading.
    if year == 0 || !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * MICROS + millis * 1000)
}

/// Of digits, each a byte, the number of two digits that begins with each of them.
#[inline]
fn twos(digits: u64) -> u64 {
    digits * 10 + (digits >> 8)
}

/// The highest bit of each byte.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The digits of `text`, each a byte, with 0 for the other characters of `zero`. The highest bit of some byte is set if it is not written like `zero`.
#[inline]
fn digits_of(text: &[u8; 8], zero: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*text) ^ u64::from_le_bytes(*zero);
    let room = u64::from_le_bytes(zero.map(|byte| if byte == b'0' { 0x7f - 9 } else { 0x7f }));
    // What is too large for its place reaches the highest bit, or has it already; no other byte is carried over into then.
    let too_large = ((word & !HIGHS) + room) | word;
    word | (too_large & HIGHS)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0i64, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))
}

fn pair(text: &[u8], most: i64) -> Option<(i64, &[u8])> {
    let value = digits(text.get(..2)?)?;
    (value <= most).then(|| (value, &text[2..]))
}

/// The days of a leading `yyyy-MM-dd`, and what follows it.
fn leading_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let head = text.get(..10)?;
    if head[4] != b'-' || head[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (year > 0 && (1..=longest).contains(&day)).then(|| (days_from_civil(year, month, day), &text[10..]))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years start in March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Microseconds of a fraction of 1 to 9 digits, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let kept = digits(&text[..count.min(6)])?;
    let scale = 10i64.pow(u32::try_from(6 - count.min(6)).ok()?);
    Some((kept * scale, &text[count..]))
}

/// Seconds east of UTC of a zone at the end of a time.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first() {
        None => return Some(0),
        Some((b'Z' | b'z', [])) => return Some(0),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, rest) = pair(rest, 18)?;
    let minutes = match rest.strip_prefix(b":").unwrap_or(rest) {
        [] => 0,
        rest => match pair(rest, 59)? {
            (minutes, []) => minutes,
            _ => return None,
        },
    };
    Some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Datelike, NaiveDate};
    use proptest::prelude::*;

    fn iso(text: &str) -> Option<String> {
        timestamp(text.as_bytes()).map(|micros| DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339())
    }

    #[test]
    fn times_in_every_form() {
        let cases = [
            ("2026-11-19T14:05:06Z", "2026-11-19T14:05:06+00:00"),
            ("2026-11-19 14:05", "2026-11-19T14:05:00+00:00"),
            ("2026-11-19T14:05:06.1", "2026-11-19T14:05:06.100+00:00"),
            ("2026-11-19T14:05:06.123456789Z", "2026-11-19T14:05:06.123456+00:00"),
            ("2026-11-19T14:05:06+05:30", "2026-11-19T08:35:06+00:00"),
            ("2026-11-19T14:05:06-0800", "2026-11-19T22:05:06+00:00"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500+00:00"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00+00:00"),
        ];
        for (text, expected) in cases {
            assert_eq!(iso(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in [
            "2026-11-19",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "2026-11-19T24:00Z",
            "2026-11-19T14:05:06.Z",
            "2026-11-19T14:05:06X",
            "2026-11-19T14:05:06.1234567890Z",
            "2026-11-19T23:59:60Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "19/11/2026",
            "",
        ] {
            assert_eq!(iso(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn epochs_by_size() {
        assert_eq!(epoch("1763561106", true), Some(1_763_561_106_000_000));
        assert_eq!(epoch("1763561106123", true), Some(1_763_561_106_123_000));
        assert_eq!(epoch("1763561106123456", true), Some(1_763_561_106_123_456));
        assert_eq!(epoch("1763561106.1234567", false), Some(1_763_561_106_123_456));
        assert_eq!(epoch("1.763561106e9", false), Some(1_763_561_106_000_000));
        assert_eq!(epoch("-1", true), Some(-1_000_000));
        assert_eq!(epoch("1763561106123.0", false), Some(1_763_561_106_123_000));
        assert_eq!(epoch("1763561106123.5", false), Some(1_763_561_106_123_500));
        assert_eq!(epoch("1.763561106123456e15", false), Some(1_763_561_106_123_456));
        assert_eq!(epoch("1.7635611061234567E9", false), Some(1_763_561_106_123_456));
        assert_eq!((epoch("-0.0000001", false), epoch("-1.5e-7", false), epoch("1.5e-7", false)), (Some(-1), Some(-1), Some(0)));
        assert_eq!(epoch("1e17", false), None);
        assert_eq!((epoch("-62135596800", true), epoch("-62135596801", true)), (Some(YEAR_1), None));
        assert_eq!((epoch("-62135596800.0", false), epoch("-62135596800.0000001", false)), (Some(YEAR_1), None));
        assert_eq!(epoch("1763561106123456789", true), None);
    }

    #[test]
    fn decimals_are_exact_or_nothing() {
        let cases = [
            ("19.99", Some(1999)),
            ("19.990", Some(1999)),
            ("-0.5", Some(-50)),
            ("1e2", Some(10000)),
            ("125e-1", Some(1250)),
            ("0e400", Some(0)),
            ("19.999", None),
            ("1e9", None),
            ("999999.99", Some(99_999_999)),
            ("1000000", None),
            ("", None),
            (".5", None),
            ("1e", None),
            ("abc", None),
            ("1e-400", None),
            ("1e999999999", None),
            ("1e2147483647", None),
            ("1.5e-2147483648", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text, 8, 2), expected, "{text}");
        }
    }

    #[test]
    fn integers_never_lose_a_digit() {
        assert_eq!(integer("9223372036854775807", true), Some(i64::MAX));
        assert_eq!(integer("9223372036854775808", true), None);
        assert_eq!(integer("1.0", false), Some(1));
        assert_eq!(integer("12e2", false), Some(1200));
        assert_eq!(integer("1.5", false), None);
    }

    #[test]
    fn floats_are_the_nearest_and_overflow_to_nothing() {
        assert_eq!(float("1e308"), Some(1e308f64));
        assert_eq!(float::<f64>("1e400"), None);
        assert_eq!(float("1e39"), None::<f32>);
        assert_eq!(float("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(float("+1"), Some(1f64));
        assert!(float::<f32>("NaN").unwrap().is_nan());
        for wrong in ["inf", "nan", "-inf", "-NaN", "infinity", "", "1.", ".5", "-.5", "1.e2", "1e", "0x1", "1_0", " 1"] {
            assert_eq!(float::<f64>(wrong), None, "{wrong}");
        }
        // A double between two floats, and a number just above it: by way of the double it would become the lower float.
        let above = "1.00000005960464477540";
        assert_eq!(above.parse::<f64>().unwrap() as f32, 1.0);
        assert_eq!(float(above), Some(1.000_000_1f32));
    }

    proptest! {
        #[test]
        fn days_agree_with_chrono(days in -700_000i64..2_900_000) {
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
            let date = epoch + chrono::TimeDelta::days(days);
            prop_assert_eq!(days_from_civil(date.year().into(), date.month().into(), date.day().into()), days);
        }
    }
}
