//! The fields of a record that no column takes, kept until the record is whole.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::{Decoder, Fail, MAX_DEPTH, Step};
use crate::config::NewColumns;
use crate::standardize::columns::{Builder, Values};
use crate::standardize::reject::{Code, Reason};
use crate::standardize::scan::{Cursor, Text, unescape};

/// The unknown fields of the record that is being read: ranges of their names in `names`, of their values in the object.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    pub(super) names: Vec<u8>,
    pub(super) fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Unknown {
    /// Appends the fields as one map; a name that is there already gets `#2`, `#3`, … so that every key is unique.
    pub(super) fn append_to(&mut self, bytes: &[u8], map: &mut Builder) {
        let Values::Map { keys, values, offsets } = &mut map.values else { unreachable!("rescued is a map") };
        let first = offsets.last().map_or(0, |&at| usize::try_from(at).unwrap_or(0));
        let (mut seen, mut repeats) = (HashSet::new(), HashMap::new());
        for (name, value) in &self.fields {
            let name = &self.names[name.clone()];
            keys.push_bytes(name);
            while keys.last_repeats(first, &mut seen) {
                let count = repeats.entry(name).or_insert(1u32);
                *count += 1;
                keys.truncate(keys.len() - 1);
                keys.push_bytes(&[name, format!("#{count}").as_bytes()].concat());
            }
            values.push_bytes(&bytes[value.clone()]);
        }
        map.close();
    }
}

impl Decoder<'_> {
    /// Passes over a value that no column takes, and keeps it if unknown fields are kept.
    pub(super) fn unknown(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>, keep: bool) -> Result<(), Fail> {
        let start = cursor.pos;
        self.seems_foreign |= self.path.is_empty() && [&b"rawData"[..], b"schema"].iter().any(|name| key.raw.eq_ignore_ascii_case(name));
        let depth = cursor.skip_value(&mut self.open)? + self.path.len() + 1;
        if depth > MAX_DEPTH {
            return self.refuse(Code::TooDeep, format!("nests deeper than {MAX_DEPTH} levels"));
        }
        if !keep || self.plan.new_columns == NewColumns::Ignore {
            return Ok(());
        }
        let begin = self.unknown.names.len();
        self.write_path();
        if unescape(key.raw, &mut self.unknown.names).is_err() {
            return self.refuse(Code::NotText, "a name holds half of a surrogate pair, which has no UTF-8 form".into());
        }
        let name = begin..self.unknown.names.len();
        self.keep(name, start..cursor.pos)
    }

    /// Keeps an unknown field, or refuses it where such fields are refused.
    pub(super) fn keep(&mut self, name: Range<usize>, value: Range<usize>) -> Result<(), Fail> {
        if self.plan.new_columns == NewColumns::Reject {
            let name = String::from_utf8_lossy(&self.unknown.names[name]).into_owned();
            return Err(Fail::Value(Box::new(Reason::new(Code::UnknownField, &name, "is no column of the table".into()))));
        }
        self.unknown.fields.push((name, value));
        Ok(())
    }

    /// Writes the way to the object that is being read as the beginning of an unknown field's name: `items[3].`
    pub(super) fn write_path(&mut self) {
        let names = &mut self.unknown.names;
        for step in &self.path {
            match step {
                Step::Key(key) => {
                    names.extend_from_slice(key.as_bytes());
                    names.push(b'.');
                }
                Step::Element(index) => {
                    names.pop();
                    names.extend_from_slice(format!("[{index}].").as_bytes());
                }
                Step::Entry => {
                    names.pop();
                    names.extend_from_slice(b"{}.");
                }
            }
        }
    }
}
