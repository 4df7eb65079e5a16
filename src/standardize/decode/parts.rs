//! The parts of arrays and maps, one by one: those that are not written plainly in full.

use std::collections::HashSet;

use super::plain;
use super::{Decoder, Fail, Step};
use crate::schema::HiveType;
use crate::standardize::columns::Builder;
use crate::standardize::plan::Node;
use crate::standardize::scan::Cursor;

impl<'p> Decoder<'p> {
    /// Reads the elements of an array; the cursor is behind the `[`.
    pub(super) fn elements(&mut self, cursor: &mut Cursor<'_>, node: &'p Node, items: &mut Builder, keep: bool) -> Result<(), Fail> {
        cursor.skip_space();
        if cursor.eat(b']') {
            return Ok(());
        }
        let may_be_plain = node.may_be_plain();
        for index in 0.. {
            match may_be_plain.then(|| plain::value(cursor.bytes, cursor.pos, node, items)).flatten() {
                Some(end) => cursor.pos = end,
                None => {
                    self.path.push(Step::Element(index));
                    self.value(cursor, node, items, keep)?;
                    self.path.pop();
                }
            }
            cursor.skip_space();
            if cursor.eat(b']') {
                break;
            }
            if !cursor.eat(b',') {
                return Ok(cursor.fail("`,` or `]`")?);
            }
            cursor.skip_space();
        }
        Ok(())
    }

    /// Reads the entries of a map, whose first one will be entry `first` of the builders; the cursor is behind the `{`.
    ///
    /// Of two entries with the same key the first one counts; the other is kept as an unknown field.
    pub(super) fn entries(
        &mut self,
        cursor: &mut Cursor<'_>,
        key_type: &HiveType,
        node: &'p Node,
        (keys, values, first): (&mut Builder, &mut Builder, usize),
        keep: bool,
    ) -> Result<(), Fail> {
        cursor.skip_space();
        if cursor.eat(b'}') {
            return Ok(());
        }
        let (may_be_plain, mut seen) = (node.may_be_plain(), HashSet::new());
        loop {
            let key = cursor.key()?;
            self.path.push(Step::Entry);
            self.typed_text(key, key_type, keys)?;
            if keys.last_repeats(first, &mut seen) {
                keys.truncate(keys.len() - 1);
                self.path.pop();
                self.unknown(cursor, key, keep)?;
            } else {
                match may_be_plain.then(|| plain::value(cursor.bytes, cursor.pos, node, values)).flatten() {
                    Some(end) => cursor.pos = end,
                    None => self.value(cursor, node, values, keep)?,
                }
                self.path.pop();
            }
            cursor.skip_space();
            if cursor.eat(b'}') {
                return Ok(());
            }
            if !cursor.eat(b',') {
                return Ok(cursor.fail("`,` or `}`")?);
            }
            cursor.skip_space();
        }
    }
}
