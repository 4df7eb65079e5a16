//! Values of types without parts: what a JSON string, number or word becomes in a column of each type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Decoder, Fail, MAX_DEPTH};
use crate::schema::HiveType;
use crate::standardize::columns::{Builder, Values};
use crate::standardize::reject::Code;
use crate::standardize::scalar;
use crate::standardize::scan::{Cursor, Text, unescape};

impl Decoder<'_> {
    /// Reads a value into a builder of a type without parts.
    pub(super) fn scalar(&mut self, cursor: &mut Cursor<'_>, hive: &HiveType, out: &mut Builder) -> Result<(), Fail> {
        match (hive, cursor.peek()) {
            (_, Some(b'"')) => {
                let text = cursor.string()?;
                self.typed_text(text, hive, out)
            }
            (HiveType::String | HiveType::Varchar(_) | HiveType::Char(_), _) => {
                let start = cursor.pos;
                if cursor.skip_value(&mut self.open)? + self.path.len() > MAX_DEPTH {
                    return self.refuse(Code::TooDeep, format!("nests deeper than {MAX_DEPTH} levels"));
                }
                self.push_text(&cursor.bytes[start..cursor.pos], hive, out)
            }
            (HiveType::Boolean, Some(first @ (b't' | b'f'))) => {
                cursor.word(if first == b't' { "true" } else { "false" })?;
                self.push_typed(if first == b't' { "true" } else { "false" }, false, hive, out)
            }
            (HiveType::Boolean | HiveType::Binary | HiveType::Date, _) | (_, None | Some(b'{' | b'[' | b't' | b'f')) => {
                self.mismatch(cursor, &format!("a value of type {hive}"))
            }
            _ => {
                let number = cursor.number()?;
                match (&mut out.values, hive) {
                    (_, HiveType::Timestamp) => return self.push_epoch(number.text, number.integer, out),
                    // What JSON takes for a number, a double takes too, unless it is too large.
                    (Values::F64(v), _) => match number.text.parse::<f64>() {
                        Ok(value) if value.is_finite() => v.push(value),
                        _ => return self.refuse(Code::Type, format!("does not fit {hive} exactly")),
                    },
                    _ => return self.push_typed(number.text, number.integer, hive, out),
                }
                out.present();
                Ok(())
            }
        }
    }

    /// Reads a JSON string into a builder of a type without parts.
    pub(super) fn typed_text(&mut self, text: Text<'_>, hive: &HiveType, out: &mut Builder) -> Result<(), Fail> {
        if !text.escaped {
            return self.push_text(text.raw, hive, out);
        }
        let mut scratch = std::mem::take(&mut self.text);
        scratch.clear();
        let done = match unescape(text.raw, &mut scratch) {
            Ok(()) => self.push_text(&scratch, hive, out),
            Err(_) => self.refuse(Code::NotText, "holds half of a surrogate pair, which has no UTF-8 form".into()),
        };
        self.text = scratch;
        done
    }

    /// Appends a text to a text column, or what it stands for to another.
    pub(super) fn push_text(&mut self, text: &[u8], hive: &HiveType, out: &mut Builder) -> Result<(), Fail> {
        match hive {
            HiveType::String => out.push_bytes(text),
            HiveType::Varchar(most) | HiveType::Char(most) => {
                let characters = text.iter().filter(|b| !matches!(b, 0x80..=0xBF)).count();
                if u32::try_from(characters).unwrap_or(u32::MAX) > *most {
                    return self.refuse(Code::Type, format!("has {characters} characters, too many for {hive}"));
                }
                out.push_bytes(text);
            }
            HiveType::Binary => match STANDARD.decode(text) {
                Ok(bytes) => out.push_bytes(&bytes),
                Err(_) => return self.refuse(Code::Type, "is not base64, which binary needs".into()),
            },
            HiveType::Timestamp => match (scalar::timestamp(text), &mut out.values) {
                (Some(micros), Values::I64(v)) => {
                    v.push(micros);
                    out.present();
                }
                _ => return self.refuse(Code::Type, format!("does not fit {hive} exactly")),
            },
            _ => {
                let text = std::str::from_utf8(text).unwrap_or("");
                let integer = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                return self.push_typed(text, integer, hive, out);
            }
        }
        Ok(())
    }

    fn push_epoch(&mut self, text: &str, integer: bool, out: &mut Builder) -> Result<(), Fail> {
        match (scalar::epoch(text, integer), &mut out.values) {
            (Some(micros), Values::I64(v)) => v.push(micros),
            _ => return self.refuse(Code::Type, "is a number that is no time between the years 1 and 9999".into()),
        }
        out.present();
        Ok(())
    }

    /// Appends the value that `text` stands for in a column that is neither text nor binary.
    fn push_typed(&mut self, text: &str, integer: bool, hive: &HiveType, out: &mut Builder) -> Result<(), Fail> {
        let whole = || scalar::integer(text, integer);
        let pushed = match (&mut out.values, hive) {
            (Values::Bool(v), _) => boolean(text).map(|value| v.push(value)),
            (Values::I8(v), _) => whole().and_then(|value| i8::try_from(value).ok()).map(|value| v.push(value)),
            (Values::I16(v), _) => whole().and_then(|value| i16::try_from(value).ok()).map(|value| v.push(value)),
            (Values::I32(v), HiveType::Date) => scalar::date(text.as_bytes()).map(|value| v.push(value)),
            (Values::I32(v), _) => whole().and_then(|value| i32::try_from(value).ok()).map(|value| v.push(value)),
            (Values::I64(v), _) => whole().map(|value| v.push(value)),
            (Values::I128(v), HiveType::Decimal(precision, scale)) => scalar::decimal(text, *precision, *scale).map(|value| v.push(value)),
            (Values::F32(v), _) => scalar::float(text).map(|value| v.push(value)),
            (Values::F64(v), _) => scalar::float(text).map(|value| v.push(value)),
            _ => unreachable!("plan and builders are made from the same schema"),
        };
        if pushed.is_none() {
            return self.refuse(Code::Type, format!("does not fit {hive} exactly"));
        }
        out.present();
        Ok(())
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
