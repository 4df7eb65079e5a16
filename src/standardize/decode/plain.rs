//! Values written as nearly all values are, read without detours: everything else is left to the full reading, which says what is wrong.
//!
//! Nothing here calls back into the decoder, and the place in the text is a number and no field of anything: so all of it stays in registers.

use crate::schema::HiveType;
use crate::standardize::columns::{Builder, Values};
use crate::standardize::plan::{Alone, Node, ObjectPlan};
use crate::standardize::scalar;
use crate::standardize::scan::{Cursor, first_special, unescape};

/// Most digits of a number: all of them fit into 64 bits.
const DIGITS: usize = 18;

/// Whole numbers below this are doubles exactly, and so are the powers of ten in [`POWERS`].
const EXACT: u64 = 1 << 53;
const POWERS: [f64; DIGITS + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];

/// Most entries of a map that is read here: each is compared with all before it.
const ENTRIES: usize = 32;

/// Where the plain reading of an object ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Behind the whole object.
    Object,
    /// At a key: of a member that is not written plainly, or of none.
    Key,
    /// Behind the value of a member, where something is that does not belong there.
    Value,
}

/// Appends the members of an object as values `row` of the builders of `out`, as long as they are written plainly and in the order of the
/// columns from `expected` on, and says where that ended. `pos` is where a key may begin. What is appended is what the full reading would append.
pub(super) fn members(
    bytes: &[u8],
    mut pos: usize,
    plan: &ObjectPlan,
    out: &mut [Builder],
    row: usize,
    expected: &mut usize,
) -> (usize, End) {
    loop {
        let Some((index, key)) = plan.next(bytes.get(pos..).unwrap_or_default(), *expected) else { return (pos, End::Key) };
        let at = space(bytes, pos + key.length());
        let end = match key.alone {
            Some(Alone::Text(target)) => match &mut out[target] {
                out if out.len() == row => text_or_null(bytes, at, out),
                _ => None,
            },
            Some(Alone::Other(target)) => match &mut out[target] {
                out if out.len() == row => value(bytes, at, &plan.fields[index].targets[0].1, out),
                _ => None,
            },
            None => None,
        };
        let Some(end) = end else { return (pos, End::Key) };
        *expected = index + 1;
        pos = space(bytes, end);
        match bytes.get(pos) {
            Some(b',') => pos = space(bytes, pos + 1),
            Some(b'}') => return (pos + 1, End::Object),
            _ => return (pos, End::Value),
        }
    }
}

/// Appends a text or null.
#[inline(always)]
fn text_or_null(bytes: &[u8], pos: usize, out: &mut Builder) -> Option<usize> {
    let Values::Bytes { offsets, data } = &mut out.values else { return None };
    let Some(end) = text(bytes, pos, offsets, data) else { return null(bytes, pos, out) };
    out.present();
    Some(end)
}

/// Appends a null, if that is what is written.
#[inline]
fn null(bytes: &[u8], pos: usize, out: &mut Builder) -> Option<usize> {
    bytes.get(pos..)?.starts_with(b"null").then(|| out.push_null())?;
    Some(pos + 4)
}

/// Appends the value at `pos` as the next one of `out` and says where it ends. Otherwise the builder is as it was.
#[inline]
pub(super) fn value(bytes: &[u8], pos: usize, node: &Node, out: &mut Builder) -> Option<usize> {
    let end = match node {
        Node::Scalar(HiveType::String) => return text_or_null(bytes, pos, out),
        Node::Scalar(hive) => scalar(bytes, pos, hive, &mut out.values),
        _ => {
            let row = out.len();
            let end = parts(bytes, pos, node, out);
            if end.is_none() {
                out.truncate(row);
            }
            end
        }
    };
    if end.is_none() {
        return null(bytes, pos, out);
    }
    out.present();
    end
}

/// Passes over white space.
#[inline]
fn space(bytes: &[u8], pos: usize) -> usize {
    if bytes.get(pos).is_some_and(|byte| *byte > b' ') { pos } else { some_space(bytes, pos) }
}

#[cold]
fn some_space(bytes: &[u8], mut pos: usize) -> usize {
    while matches!(bytes.get(pos), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        pos += 1;
    }
    pos
}

/// Appends the parts of a value that has some, and says where it ends; if it is not written plainly, some of them may be there.
fn parts(bytes: &[u8], pos: usize, node: &Node, out: &mut Builder) -> Option<usize> {
    let row = out.len();
    let first = *bytes.get(pos)?;
    let pos = space(bytes, pos + 1);
    let is_empty = |close: u8| bytes.get(pos) == Some(&close);
    match (node, &mut out.values, first) {
        (Node::Struct(plan), Values::Struct { fields }, b'{') => {
            let end = if is_empty(b'}') { pos + 1 } else { whole(members(bytes, pos, plan, fields, row, &mut 0))? };
            fields.iter_mut().filter(|field| field.len() == row).for_each(Builder::push_null);
            Some(end)
        }
        (Node::List(node), Values::List { items, offsets }, b'[') => {
            let end = if is_empty(b']') { pos + 1 } else { elements(bytes, pos, node, items)? };
            offsets.push(i32::try_from(items.len()).ok()?);
            Some(end)
        }
        (Node::Map(HiveType::String, node), Values::Map { keys, values, offsets }, b'{') => {
            let end = if is_empty(b'}') { pos + 1 } else { entries(bytes, pos, node, keys, values)? };
            offsets.push(i32::try_from(keys.len()).ok()?);
            Some(end)
        }
        _ => None,
    }
}

/// The end of an object that was read as a whole.
fn whole((pos, end): (usize, End)) -> Option<usize> {
    (end == End::Object).then_some(pos)
}

/// Appends the elements of an array that has some, and says where it ends.
fn elements(bytes: &[u8], mut pos: usize, node: &Node, items: &mut Builder) -> Option<usize> {
    loop {
        pos = space(bytes, value(bytes, pos, node, items)?);
        match bytes.get(pos)? {
            b',' => pos = space(bytes, pos + 1),
            b']' => return Some(pos + 1),
            _ => return None,
        }
    }
}

/// Appends the entries of a map that has some, and says where it ends.
fn entries(bytes: &[u8], mut pos: usize, node: &Node, keys: &mut Builder, values: &mut Builder) -> Option<usize> {
    for count in 0..ENTRIES {
        let Values::Bytes { offsets, data } = &mut keys.values else { return None };
        pos = space(bytes, text(bytes, pos, offsets, data)?);
        if repeats(offsets, data, count) || bytes.get(pos) != Some(&b':') {
            return None;
        }
        keys.present();
        pos = space(bytes, value(bytes, space(bytes, pos + 1), node, values)?);
        match bytes.get(pos)? {
            b',' => pos = space(bytes, pos + 1),
            b'}' => return Some(pos + 1),
            _ => return None,
        }
    }
    None
}

/// True if the last text is one of the `count` before it.
#[inline]
fn repeats(offsets: &[i32], data: &[u8], count: usize) -> bool {
    let Some([before @ .., start, _]) = offsets.get(offsets.len().saturating_sub(count + 2)..) else { return true };
    let last = &data[*start as usize..];
    let ends = before.iter().skip(1).chain([start]);
    before.iter().zip(ends).any(|(start, end)| (end - start) as usize == last.len() && data[*start as usize..*end as usize] == *last)
}

/// Appends a value without parts that is no text, and says where it ends.
fn scalar(bytes: &[u8], pos: usize, hive: &HiveType, values: &mut Values) -> Option<usize> {
    let rest = bytes.get(pos..)?;
    match (hive, values) {
        (HiveType::Timestamp, Values::I64(v)) => {
            v.push(scalar::plain_timestamp(rest)?);
            Some(pos + scalar::PLAIN_TIMESTAMP)
        }
        (HiveType::Boolean, Values::Bool(v)) => {
            let (value, length) = if rest.starts_with(b"true") { (true, 4) } else { (false, 5) };
            (value || rest.starts_with(b"false")).then(|| v.push(value))?;
            Some(pos + length)
        }
        (HiveType::Double, Values::F64(v)) => number(rest).and_then(|number| Some((v.push(number.double()?), pos + number.used).1)),
        (HiveType::BigInt, Values::I64(v)) => number(rest).and_then(|number| Some((v.push(number.integer()?), pos + number.used).1)),
        (HiveType::Int, Values::I32(v)) => {
            number(rest).and_then(|number| Some((v.push(i32::try_from(number.integer()?).ok()?), pos + number.used).1))
        }
        (HiveType::Decimal(precision, scale), Values::I128(v)) => {
            number(rest).and_then(|number| Some((v.push(number.decimal(*precision, *scale)?), pos + number.used).1))
        }
        _ => None,
    }
}

/// Appends a string, copying it while its end is looked for, and says where that is. Otherwise nothing is appended.
#[inline(always)]
fn text(bytes: &[u8], pos: usize, offsets: &mut Vec<i32>, data: &mut Vec<u8>) -> Option<usize> {
    if bytes.get(pos) != Some(&b'"') {
        return None;
    }
    let (start, mut at) = (data.len(), pos + 1);
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        data.extend_from_slice(chunk);
        let plain = first_special(chunk);
        at += plain;
        if plain < chunk.len() {
            data.truncate(data.len() - chunk.len() + plain);
            if chunk[plain] != b'"' {
                break;
            }
            let Ok(end) = i32::try_from(data.len()) else { break };
            offsets.push(end);
            return Some(at + 1);
        }
    }
    data.truncate(start);
    escaped(bytes, pos, offsets, data)
}

/// Appends a string that has escapes, or ends where the text does, and says where its end is. Otherwise nothing is appended.
#[cold]
fn escaped(bytes: &[u8], pos: usize, offsets: &mut Vec<i32>, data: &mut Vec<u8>) -> Option<usize> {
    let start = data.len();
    let mut cursor = Cursor::new(bytes, pos);
    let text = cursor.string().ok()?;
    let done = unescape(text.raw, data).is_ok();
    match i32::try_from(data.len()) {
        Ok(end) if done => {
            offsets.push(end);
            Some(cursor.pos)
        }
        _ => {
            data.truncate(start);
            None
        }
    }
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
        let value = (self.digits < EXACT).then(|| self.digits as i64 as f64 / POWERS[self.behind])?;
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
    let (mut digits, before) = digits(rest, start)?;
    let mut end = start + before;
    let (mut behind, fraction) = (0, *rest.get(end)? == b'.');
    if fraction {
        let (decimals, count) = self::digits(rest, end + 1)?;
        behind = count;
        digits = digits.checked_mul(INTEGERS[behind])?.checked_add(decimals)?;
        end += 1 + behind;
    }
    let count = before + behind;
    let is_whole = !matches!(rest.get(end)?, b'.' | b'e' | b'E');
    let is_json = before > 0 && (before == 1 || rest[start] != b'0') && (behind > 0) == fraction;
    (is_json && is_whole && count <= DIGITS).then_some(Number { is_negative, digits, count, behind, fraction, used: end })
}

/// The number that the digits from `at` on make, and how many they are; `None` if they are very many, or what follows is not known.
#[inline]
fn digits(rest: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, count) = some_digits(rest, at)?;
    if count < 8 {
        return Some((value, count));
    }
    let (low, more) = some_digits(rest, at + 8)?;
    let value = value * INTEGERS[more] + low;
    if more < 8 {
        return Some((value, 8 + more));
    }
    let (last, few) = some_digits(rest, at + 16)?;
    (16 + few <= DIGITS).then(|| (value * INTEGERS[few] + last, 16 + few))
}

/// As [`digits`], of the next eight bytes.
#[inline]
fn some_digits(rest: &[u8], at: usize) -> Option<(u64, usize)> {
    // Digits are 0 to 9 then, and only they stay below 0x80 when this is added.
    let word = u64::from_le_bytes(*rest.get(at..)?.first_chunk()?) ^ (ONES * u64::from(b'0'));
    let others = (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80);
    let count = others.trailing_zeros() as usize / 8;
    // Digits that are missing in front are zeros.
    Some((eight_digits(word.unbounded_shl(64 - 8 * count as u32)), count))
}

/// A word of which each byte is 1.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The powers of ten by which digits make room for others.
const INTEGERS: [u64; DIGITS + 1] = {
    let (mut powers, mut at) = ([1; DIGITS + 1], 1);
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The number whose eight digits are the bytes of `word`, the first one in the lowest byte: pairs of digits, then pairs of these, then both halves.
#[inline]
fn eight_digits(word: u64) -> u64 {
    let twos = (word.wrapping_mul(10) + (word >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (twos.wrapping_mul(100) + (twos >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xFFFF_FFFF
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Decoder, Fail};
    use super::*;
    use crate::config::NewColumns;
    use crate::schema::{Column, TableSchema};
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
        let mut builder = Builder::new(&hive.arrow_type());
        let end = value(text.as_bytes(), 0, &Node::Scalar(hive.clone()), &mut builder);
        assert_eq!(builder.len(), usize::from(end.is_some()), "nothing changes where it is not read: {text}");
        Some((format!("{:?}", builder.finish().unwrap()), end?))
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

    /// Records go on behind their values.
    fn behind(text: &str) -> String {
        format!("{text}{:16}", "")
    }

    #[test]
    fn what_nearly_all_records_have_is_read() {
        let cases = [
            (r#""a text of some more than sixteen bytes", "and more""#, 1),
            (r#""short""#, 1),
            (r#""an escape \n and a pair \ud83d\ude00 of more than sixteen""#, 1),
            (r#""2026-11-19T10:15:01.681Z""#, 2),
            (r#""2026-02-29T10:15:01.681Z""#, 1),
            ("true,", 1),
            ("false,", 1),
            ("null,", 7),
            ("12,", 4),
            ("-12.5}", 2),
            ("0,", 4),
            ("-0.0,", 2),
            ("2147483648,", 2),
            ("123456789012345,", 2),
            ("1795000000000000,", 2),
            ("-123456789012345678,", 1),
            ("0.123456789012345,", 1),
            ("1234567.12345678,", 1),
            ("99999999.99,", 2),
        ];
        for (text, types) in cases {
            assert_eq!(check(&behind(text)), types, "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left() {
        for text in [
            "",
            "\"",
            "\"half of a pair \\ud83d and more than sixteen\"",
            "\"a control \u{1} and more than sixteen\"",
            "01,",
            "1.,",
            ".5,",
            "-,",
            "--1,",
            "1e5,",
            "1.5E5,",
            "1.5.2,",
            "+1,",
            "tru,",
            "nul,",
            "1234567890123456789,",
            "1234567890.1234567890,",
            "[1]",
            "{}",
        ] {
            assert_eq!(check(&behind(text)), 0, "{text}");
        }
        assert_eq!(check("12"), 0, "it may go on");
    }

    /// Columns of all kinds of types.
    const COLUMNS: [(&str, &str); 8] = [
        ("a", "string"),
        ("b", "timestamp"),
        ("c", "struct<x:string,y:struct<z:int,w:boolean>>"),
        ("d", "array<struct<p:double,q:array<string>>>"),
        ("e", "map<string,bigint>"),
        ("f", "map<string,struct<x:decimal(10,2)>>"),
        ("g", "double"),
        ("h", "map<int,string>"),
    ];

    /// A value for a type, each key of a struct behind a `$`; now and then one of another type or with other keys.
    fn value_of(hive: &HiveType) -> BoxedStrategy<String> {
        let plain = match hive {
            HiveType::String => {
                prop_oneof![any::<String>(), "[a-z]{0,40}"].prop_map(|text| serde_json::to_string(&text.replace('$', "")).unwrap()).boxed()
            }
            HiveType::Timestamp => "\"20(24|26)-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z\"".boxed(),
            HiveType::Boolean => "true|false".boxed(),
            HiveType::Array(item) => list(value_of(item), "[", "]"),
            HiveType::Map(_, value) => {
                list(("[0-9]{1,2}", value_of(value)).prop_map(|(key, value)| format!("\"{key}\":{value}")), "{", "}")
            }
            HiveType::Struct(fields) => object(fields.iter().map(|(name, hive)| (name.clone(), value_of(hive))).collect()),
            _ => "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,4})?".boxed(),
        };
        prop_oneof![30 => plain, 2 => Just("null".to_string()), 1 => "7|\"7\"|\\{\\}|\\[\\]|tru|\\{\\$\"x\":1,\\}"].boxed()
    }

    fn list(of: impl Strategy<Value = String> + 'static, open: &'static str, close: &'static str) -> BoxedStrategy<String> {
        (proptest::collection::vec(of, 0..4), "|| ")
            .prop_map(move |(items, space)| format!("{open}{space}{}{space}{close}", items.join(&format!("{space},{space}"))))
            .boxed()
    }

    /// An object with most of these members, sometimes in another order, or with one twice or unknown.
    fn object(members: Vec<(String, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, value)| {
                (0..8, value, "|| \\n").prop_map(move |(has, value, space)| (has > 0).then(|| format!("$\"{name}\":{space}{value}")))
            })
            .collect();
        (members, 0..20, 0..4usize)
            .prop_map(|(members, odd, at)| {
                let mut members: Vec<String> = members.into_iter().flatten().collect();
                let at = at.min(members.len().saturating_sub(1));
                match odd {
                    0 => members.reverse(),
                    1 => members.push("$\"unknown\":[{}]".to_string()),
                    2 if !members.is_empty() => members.push(members[at].clone()),
                    _ => {}
                }
                format!("{{{}}}", members.join(","))
            })
            .boxed()
    }

    /// What becomes of some records, with keys as they are or written so that none is read plainly.
    fn decoded(records: &[String], are_plain: bool) -> Vec<String> {
        let column = |(name, hive): &(&str, &str)| Column { name: (*name).into(), hive: HiveType::parse(hive).unwrap(), comment: None };
        let schema = TableSchema { columns: COLUMNS.iter().map(column).collect(), partition_keys: vec![] };
        let plan = Plan::new(&schema, &BTreeMap::new(), NewColumns::Ignore, 1.0).unwrap();
        let mut decoder = Decoder::new(&plan);
        let mut ends = Vec::new();
        for record in records {
            let escaped = |part: &str| match part.strip_prefix('"') {
                Some(rest) if !are_plain => format!("\"\\u{:04x}{}", u32::from(rest.as_bytes()[0]), &rest[1..]),
                _ => part.to_string(),
            };
            // Texts have no `$`.
            let text: String = record.split('$').map(escaped).collect();
            ends.push(match decoder.record(behind(&text).as_bytes(), 0) {
                Ok(end) => format!("{} left", text.len() - end),
                Err(Fail::Value(reason)) => format!("{reason:?}"),
                Err(Fail::Syntax(syntax)) => syntax.wanted.to_string(),
            });
        }
        ends.extend(decoder.finish().unwrap().iter().map(|column| format!("{column:?}")));
        ends
    }

    proptest! {
        #[test]
        fn numbers_agree_with_the_full_reading(text in "-?[0-9]{1,20}(\\.[0-9]{0,20})?([eE][0-9])?[,}]") {
            check(&behind(&text));
        }

        #[test]
        fn records_are_read_as_in_full(
            records in proptest::collection::vec(
                object(COLUMNS.iter().map(|(name, hive)| ((*name).to_string(), value_of(&HiveType::parse(hive).unwrap()))).collect()),
                1..6,
            ),
        ) {
            prop_assert_eq!(decoded(&records, true), decoded(&records, false));
        }

        #[test]
        fn short_numbers_agree_with_the_full_reading(text in "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,6})?[,}]") {
            prop_assert!(check(&behind(&text)) >= 1, "a double takes it");
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
