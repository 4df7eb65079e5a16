//! Values written as nearly all values are, read without detours: everything else is left to the full reading, which says what is wrong.

use crate::schema::HiveType;
use crate::standardize::columns::{Builder, Values};
use crate::standardize::plan::Node;
use crate::standardize::scalar;
use crate::standardize::scan::{Cursor, first_special};

/// Most digits of a number: all of them fit into 64 bits.
const DIGITS: usize = 18;

/// Whole numbers below this are doubles exactly, and so are the powers of ten in [`POWERS`].
const EXACT: u64 = 1 << 53;
const POWERS: [f64; DIGITS + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Appends the value at the cursor as value `row` of `out`, if it is written plainly and that is the value `out` waits for.
///
/// Otherwise neither the cursor nor the builder change. What is appended is what the full reading would append.
#[inline]
pub(super) fn read(cursor: &mut Cursor<'_>, hive: &HiveType, out: &mut Builder, row: usize) -> bool {
    let Some(rest) = cursor.bytes.get(cursor.pos..).filter(|_| out.len() == row) else { return false };
    let used = match (hive, &mut out.values) {
        (HiveType::String, Values::Bytes { offsets, data }) => text(rest, offsets, data),
        (HiveType::Timestamp, Values::I64(v)) => scalar::plain_timestamp(rest).map(|micros| {
            v.push(micros);
            scalar::PLAIN_TIMESTAMP
        }),
        (HiveType::Boolean, Values::Bool(v)) => boolean(rest).map(|(value, used)| {
            v.push(value);
            used
        }),
        (HiveType::Double, Values::F64(v)) => number(rest).and_then(|number| Some((v.push(number.double()?), number.used).1)),
        (HiveType::BigInt, Values::I64(v)) => number(rest).and_then(|number| Some((v.push(number.integer()?), number.used).1)),
        (HiveType::Int, Values::I32(v)) => {
            number(rest).and_then(|number| Some((v.push(i32::try_from(number.integer()?).ok()?), number.used).1))
        }
        (HiveType::Decimal(precision, scale), Values::I128(v)) => {
            number(rest).and_then(|number| Some((v.push(number.decimal(*precision, *scale)?), number.used).1))
        }
        _ => None,
    };
    match used {
        Some(used) => {
            cursor.pos += used;
            out.present();
            true
        }
        None if rest.starts_with(b"null") => {
            cursor.pos += 4;
            out.push_null();
            true
        }
        None => false,
    }
}

/// As [`read`], of a value of any type as the next one of `out`.
#[inline]
pub(super) fn read_next(cursor: &mut Cursor<'_>, node: &Node, out: &mut Builder) -> bool {
    let row = out.len();
    matches!(node, Node::Scalar(hive) if read(cursor, hive, out, row))
}

/// Appends a string without escapes, copying it while its end is looked for, and says how many bytes it takes with its quotes.
#[inline]
fn text(rest: &[u8], offsets: &mut Vec<i32>, data: &mut Vec<u8>) -> Option<usize> {
    if rest.first() != Some(&b'"') {
        return None;
    }
    let (start, mut at) = (data.len(), 1);
    while let Some(chunk) = rest[at..].first_chunk::<16>() {
        data.extend_from_slice(chunk);
        let plain = first_special(chunk);
        at += plain;
        if plain < chunk.len() {
            data.truncate(start + at - 1);
            if chunk[plain] != b'"' {
                break;
            }
            let Ok(end) = i32::try_from(data.len()) else { break };
            offsets.push(end);
            return Some(at + 1);
        }
    }
    data.truncate(start);
    None
}

#[inline]
fn boolean(rest: &[u8]) -> Option<(bool, usize)> {
    if rest.starts_with(b"true") { Some((true, 4)) } else { rest.starts_with(b"false").then_some((false, 5)) }
}

/// A number without an exponent.
struct Number {
    is_negative: bool,
    /// All its digits.
    digits: u64,
    /// How many there are, and how many of them behind the point.
    count: usize,
    behind: usize,
    /// It has a point.
    fraction: bool,
    /// Bytes it takes.
    used: usize,
}

impl Number {
    /// The nearest double: the quotient of two exact ones is rounded once.
    #[inline]
    fn double(&self) -> Option<f64> {
        let value = (self.digits < EXACT).then(|| self.digits as f64 / POWERS[self.behind])?;
        Some(if self.is_negative { -value } else { value })
    }

    #[inline]
    fn integer(&self) -> Option<i64> {
        let value = i64::try_from(self.digits).ok().filter(|_| !self.fraction)?;
        Some(if self.is_negative { -value } else { value })
    }

    /// The unscaled value, if the digits as they stand are not too many.
    #[inline]
    fn decimal(&self, precision: u8, scale: u8) -> Option<i128> {
        let missing = usize::from(scale).checked_sub(self.behind).filter(|missing| *missing <= DIGITS)?;
        let power = (self.count + missing <= usize::from(precision)).then(|| 10i64.pow(missing as u32))?;
        let value = i128::from(self.digits) * i128::from(power);
        Some(if self.is_negative { -value } else { value })
    }
}

#[inline]
fn number(rest: &[u8]) -> Option<Number> {
    let is_negative = rest.first() == Some(&b'-');
    let start = usize::from(is_negative);
    let (mut digits, mut point, mut at) = (0u64, None, start);
    let end = loop {
        match *rest.get(at)? {
            digit @ b'0'..=b'9' if at < start + DIGITS => digits = digits * 10 + u64::from(digit - b'0'),
            b'.' if point.is_none() && at > start => point = Some(at),
            b'0'..=b'9' | b'.' | b'e' | b'E' => return None,
            _ => break at,
        }
        at += 1;
    };
    let behind = point.map_or(0, |point| end - point - 1);
    let count = end - start - usize::from(point.is_some());
    let before = count - behind;
    let is_json = before > 0 && (before == 1 || rest[start] != b'0') && (point.is_none() || behind > 0);
    is_json.then_some(Number { is_negative, digits, count, behind, fraction: point.is_some(), used: end })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Decoder;
    use super::*;
    use crate::config::NewColumns;
    use crate::schema::TableSchema;
    use crate::standardize::Plan;
    use proptest::prelude::*;

    const TYPES: [&str; 7] = ["string", "timestamp", "boolean", "double", "bigint", "int", "decimal(10,2)"];

    /// What the full reading makes of `text`, and where it ends.
    fn full(text: &str, hive: &HiveType) -> Option<(String, usize)> {
        let schema = TableSchema { columns: vec![], partition_keys: vec![] };
        let plan = Plan::new(&schema, &BTreeMap::new(), NewColumns::Ignore, 1.0).unwrap();
        let (mut builder, mut cursor) = (Builder::new(&hive.arrow_type()), Cursor::new(text.as_bytes(), 0));
        if cursor.peek() == Some(b'n') {
            cursor.word("null").ok()?;
            builder.push_null();
        } else {
            Decoder::new(&plan).scalar(&mut cursor, hive, &mut builder).ok()?;
        }
        Some((format!("{:?}", builder.finish().unwrap()), cursor.pos))
    }

    fn plainly(text: &str, hive: &HiveType) -> Option<(String, usize)> {
        let (mut builder, mut cursor) = (Builder::new(&hive.arrow_type()), Cursor::new(text.as_bytes(), 0));
        let done = read(&mut cursor, hive, &mut builder, 0);
        assert_eq!((done, builder.len()), (cursor.pos > 0, usize::from(done)), "nothing changes where it is not read: {text}");
        done.then(|| (format!("{:?}", builder.finish().unwrap()), cursor.pos))
    }

    fn check(text: &str) -> usize {
        let agree = |name: &&&str| {
            let hive = HiveType::parse(name).unwrap();
            let read = plainly(text, &hive);
            assert!(read.is_none() || read == full(text, &hive), "{text} as {name}: {read:?}, not {:?}", full(text, &hive));
            read.is_some()
        };
        TYPES.iter().filter(agree).count()
    }

    #[test]
    fn what_nearly_all_records_have_is_read() {
        let cases = [
            (r#""a text of some more than sixteen bytes", "and more""#, 1),
            (r#""2026-11-19T10:15:01.681Z" and sixteen more"#, 2),
            ("true,", 1),
            ("false,", 1),
            ("null,", 7),
            ("12,", 4),
            ("-12.5}", 2),
            ("0,", 4),
            ("-0.0,", 2),
            ("2147483648,", 2),
        ];
        for (text, types) in cases {
            assert_eq!(check(text), types, "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left() {
        for text in [
            "",
            "\"",
            "\"short\"",
            "\"an escape \\n and more than sixteen\"",
            "\"a control \u{1} and more than sixteen\"",
            "01,",
            "1.,",
            ".5,",
            "-,",
            "--1,",
            "1e5,",
            "1.5.2,",
            "+1,",
            "tru,",
            "nul,",
            "12",
            "1234567890123456789,",
            "\"2026-02-29T10:15:01.681Z\"",
            "[1]",
            "{}",
        ] {
            assert_eq!(check(text), 0, "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_agree_with_the_full_reading(text in "-?[0-9]{1,20}(\\.[0-9]{0,20})?([eE][0-9])?[,}]") {
            check(&text);
        }

        #[test]
        fn short_numbers_agree_with_the_full_reading(text in "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,6})?[,}]") {
            prop_assert!(check(&text) >= 1, "a double takes it");
        }

        #[test]
        fn texts_agree_with_the_full_reading(value in any::<String>(), behind in "[ ,}\"a]{0,20}") {
            check(&(serde_json::to_string(&value).unwrap() + &behind));
        }

        #[test]
        fn times_agree_with_the_full_reading(
            text in "\"(0000|0001|1969|2024|2026|9999)-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9:]{3}[Zz+]\","
        ) {
            check(&text);
        }
    }
}
