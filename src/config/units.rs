//! Sizes such as `512MiB` and durations such as `20m`.

use std::fmt;

use chrono::TimeDelta;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A size in bytes, above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A duration, not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duration(pub(super) TimeDelta);

const SIZES: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

const DURATIONS: [(&str, i64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// Reads `512MiB`, `10MB` or plain bytes; units in any case.
pub(super) fn size(text: &str) -> Result<Size, String> {
    let wrong =
        || format!("is `{text}`, which is no size; write bytes above zero, or a whole number with KiB, MiB, GiB, TiB, KB, MB, GB or TB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].trim_start().to_ascii_lowercase();
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    number.checked_mul(*factor).filter(|bytes| *bytes > 0).map(Size).ok_or_else(wrong)
}

/// Reads `20m`, `48h`, `90s`, `2d`, and several in a row such as `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("is `{text}`, which is no duration; write whole numbers with s, m, h or d, such as 90s, 20m or 1h30m");
    let mut seconds = 0_i64;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        let (unit, factor) = DURATIONS.iter().find(|(unit, _)| rest[digits..].starts_with(unit)).ok_or_else(wrong)?;
        seconds = number.checked_mul(*factor).and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
        rest = &rest[digits + unit.len()..];
    }
    // A thousand years: far beyond any use, and safe to add to any date.
    TimeDelta::try_seconds(seconds).filter(|span| *span <= TimeDelta::days(366_000)).map(Duration).ok_or_else(wrong)
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"512MiB\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        size(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        size(&bytes.to_string()).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"20m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        duration(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_what_is_none() {
        for (text, bytes) in [("512MiB", 512 << 20), ("2 gib", 2 << 30), ("10MB", 10_000_000), ("7", 7), ("1B", 1)] {
            assert_eq!(size(text), Ok(Size(bytes)), "{text}");
        }
        for wrong in ["", "0", "MiB", "1.5GiB", "512M", "-1", "99999999999TiB", "１MB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_and_what_is_none() {
        for (text, seconds) in [("90s", 90), ("20m", 1200), ("48h", 172_800), ("2d", 172_800), ("1h30m", 5400), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration(TimeDelta::seconds(seconds))), "{text}");
        }
        for wrong in ["", "20", "m", "20 m", "-5m", "1w", "99999999999999d", "20min"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
