//! One JSON record into the column builders, driven by the table's schema; what does not fit is taken back whole.

mod columnar;
mod parts;
mod plain;
mod unknown;
mod values;

use super::columns::{Builder, Values};
use super::plan::{FieldPlan, Node, ObjectPlan, Plan};
use super::reject::{Code, Reason};
use super::scan::{Cursor, Syntax, Text, unescape};
use crate::config::{NewColumns, OnFail};
use plain::End;
use unknown::Unknown;

/// Deepest nesting of a record; the type grammar allows no more than this either.
pub const MAX_DEPTH: usize = 128;

/// Why a record did not become a row.
#[derive(Debug)]
pub enum Fail {
    /// It is not JSON from here on.
    Syntax(Syntax),
    /// It is JSON and does not fit the table.
    Value(Box<Reason>),
}

impl From<Syntax> for Fail {
    fn from(syntax: Syntax) -> Self {
        Self::Syntax(syntax)
    }
}

/// One step of the way to the value that is being read, for messages and for names of rescued fields.
#[derive(Debug, Clone)]
enum Step<'p> {
    Key(&'p str),
    Element(usize),
    Entry,
}

/// Decodes records into builders, one row a record.
#[derive(Debug)]
pub struct Decoder<'p> {
    plan: &'p Plan,
    /// Rows finished so far.
    pub rows: usize,
    /// The record that was read last has an unknown field by which others' records about records may be told.
    pub seems_foreign: bool,
    /// Values of the rows that broke a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
    /// Those of them that the last row has.
    warned_last: u64,
    columns: Vec<Builder>,
    path: Vec<Step<'p>>,
    unknown: Unknown,
    open: Vec<u8>,
    text: Vec<u8>,
    /// JSON text of values of the Parquet row that is being read.
    json: Vec<u8>,
}

impl<'p> Decoder<'p> {
    /// A decoder without rows.
    pub fn new(plan: &'p Plan) -> Self {
        let columns = plan.schema.fields().iter().map(|field| Builder::new(field.data_type())).collect();
        Self {
            plan,
            rows: 0,
            seems_foreign: false,
            warned: 0,
            warned_last: 0,
            columns,
            path: Vec::new(),
            unknown: Unknown::default(),
            open: Vec::new(),
            text: Vec::new(),
            json: Vec::new(),
        }
    }

    /// Makes room for `rows` rows like those that are finished.
    pub fn make_room(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.make_room(self.rows, rows));
    }

    /// The finished rows as columns, leaving the decoder without rows.
    pub fn finish(&mut self) -> Result<Vec<arrow::array::ArrayRef>, arrow::error::ArrowError> {
        self.rows = 0;
        self.columns.iter_mut().map(Builder::finish).collect()
    }

    /// Decodes the object that begins at `start` into one row and says where it ends.
    ///
    /// # Errors
    /// The record is not JSON or does not fit the table; no trace of it is left in the builders.
    pub fn record(&mut self, bytes: &[u8], start: usize) -> Result<usize, Fail> {
        let mut cursor = Cursor::new(bytes, start + 1);
        let plan = self.plan;
        self.row(|decoder, columns| {
            decoder.members(&mut cursor, &plan.root, columns, decoder.rows, true)?;
            decoder.complete(bytes, columns)
        })?;
        Ok(cursor.pos)
    }

    /// Appends what `read` reads as one row, or takes all of it back.
    fn row(&mut self, read: impl FnOnce(&mut Self, &mut [Builder]) -> Result<(), Fail>) -> Result<(), Fail> {
        let mut columns = std::mem::take(&mut self.columns);
        self.warned_last = 0;
        self.seems_foreign = false;
        let done = read(self, &mut columns);
        if done.is_ok() {
            self.rows += 1;
            self.warned += self.warned_last;
        } else {
            columns.iter_mut().for_each(|column| column.truncate(self.rows));
        }
        self.columns = columns;
        self.path.clear();
        self.unknown.names.clear();
        self.unknown.fields.clear();
        done
    }

    /// Takes the last row back.
    pub fn take_back(&mut self) {
        self.rows -= 1;
        self.warned -= self.warned_last;
        self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
    }

    /// Fills the columns that the record says nothing about, and checks the row. Unknown fields are ranges of `bytes`.
    fn complete(&mut self, bytes: &[u8], columns: &mut [Builder]) -> Result<(), Fail> {
        if let Some(rescued) = self.plan.rescued {
            self.unknown.append_to(bytes, &mut columns[rescued]);
        }
        for column in columns.iter_mut().filter(|column| column.len() == self.rows) {
            column.push_null();
        }
        self.check_rules(columns)
    }

    fn check_rules(&mut self, columns: &mut [Builder]) -> Result<(), Fail> {
        for rule in &self.plan.rules {
            let column = &mut columns[rule.column];
            let mut broken = rule.broken(column);
            if broken.is_some() && rule.on_fail == OnFail::Null {
                column.truncate(self.rows);
                column.push_null();
            }
            // Behind the rules, which are on the real value. What is masked here is taken back if the record is quarantined.
            if let Some(refused) = rule.mask.as_ref().and_then(|mask| mask.apply(column)) {
                broken = broken.or(Some(refused));
            }
            match (broken, rule.on_fail) {
                (None, _) => {}
                (Some(broken), OnFail::Quarantine) => {
                    let column = self.plan.schema.field(rule.column).name();
                    return Err(Fail::Value(Box::new(Reason::new(Code::Rule, column, format!("breaks the rule {broken}")))));
                }
                (Some(_), OnFail::Null | OnFail::Warn) => self.warned_last += 1,
            }
        }
        Ok(())
    }

    /// Reads the members of an object into the builders of `out`, which have `row` values each; the cursor is behind the `{`.
    ///
    /// Of two members with the same name the first one counts; the other is treated as an unknown field, so that it is kept.
    /// Where `keep_unknown` is false another reading of the same object keeps them.
    fn members(
        &mut self,
        cursor: &mut Cursor<'_>,
        plan: &'p ObjectPlan,
        out: &mut [Builder],
        row: usize,
        keep_unknown: bool,
    ) -> Result<(), Fail> {
        cursor.skip_space();
        if cursor.eat(b'}') {
            return Ok(());
        }
        let mut expected = 0;
        loop {
            let end;
            (cursor.pos, end) = plain::members(cursor.bytes, cursor.pos, plan, out, row, &mut expected);
            if end == End::Object {
                return Ok(());
            }
            if end == End::Key {
                let (key, found) = match plan.next(&cursor.bytes[cursor.pos..], expected) {
                    Some((index, key)) => {
                        cursor.pos += key.length();
                        cursor.skip_space();
                        (Text { raw: plan.fields[index].key.as_bytes(), escaped: false }, Some(index))
                    }
                    None => {
                        let key = cursor.key()?;
                        (key, if key.escaped { self.find_escaped(plan, key) } else { plan.find(key.raw) })
                    }
                };
                expected = found.map_or(expected, |index| index + 1);
                self.member(cursor, (key, found.map(|index| &plan.fields[index])), out, row, keep_unknown)?;
                cursor.skip_space();
            }
            match cursor.peek() {
                Some(b',') => cursor.pos += 1,
                Some(b'}') => {
                    cursor.pos += 1;
                    return Ok(());
                }
                _ => return Ok(cursor.fail("`,` or `}`")?),
            }
            cursor.skip_space();
        }
    }

    /// Reads the value behind a key, whose field that is if it is known.
    fn member(
        &mut self,
        cursor: &mut Cursor<'_>,
        (key, field): (Text<'_>, Option<&'p FieldPlan>),
        out: &mut [Builder],
        row: usize,
        keep_unknown: bool,
    ) -> Result<(), Fail> {
        match field.filter(|field| field.is_read() && !field.targets.iter().any(|(target, _)| out[*target].len() > row)) {
            Some(field) => {
                self.path.push(Step::Key(&field.key));
                self.known(cursor, field, out, row, keep_unknown)?;
                self.path.pop();
                Ok(())
            }
            None => {
                // The second value of a private place is as private as the first: it refuses the record or is forgotten.
                let forget = self.plan.new_columns == NewColumns::Rescue && field.is_some_and(|field| field.private);
                self.unknown(cursor, key, keep_unknown && !forget)
            }
        }
    }

    fn find_escaped(&mut self, plan: &ObjectPlan, key: Text<'_>) -> Option<usize> {
        self.text.clear();
        unescape(key.raw, &mut self.text).ok()?;
        plan.find(&self.text)
    }

    /// Reads the value of a known key into each of its builders.
    fn known(
        &mut self,
        cursor: &mut Cursor<'_>,
        field: &'p FieldPlan,
        out: &mut [Builder],
        row: usize,
        keep_unknown: bool,
    ) -> Result<(), Fail> {
        let start = cursor.pos;
        for (index, (target, node)) in field.targets.iter().enumerate() {
            cursor.pos = start;
            // Unknown fields inside the value are kept by its first reading alone; those of a private one by none.
            self.value(cursor, node, &mut out[*target], keep_unknown && index == 0 && !field.private)?;
        }
        let Some(below) = &field.below else { return Ok(()) };
        cursor.pos = start;
        self.below(cursor, below, out, row, keep_unknown && field.targets.is_empty())
    }

    /// Reads the members of an object that columns take their values from, which may also be null.
    fn below(&mut self, cursor: &mut Cursor<'_>, plan: &'p ObjectPlan, out: &mut [Builder], row: usize, keep: bool) -> Result<(), Fail> {
        match cursor.peek() {
            Some(b'{') => {
                cursor.pos += 1;
                self.members(cursor, plan, out, row, keep)
            }
            Some(b'n') => Ok(cursor.word("null")?),
            _ => self.mismatch(cursor, "an object"),
        }
    }

    /// The way to the value that is being read, for messages: `items[].price`. It never holds a key that is data.
    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if place.is_empty() => place.push_str(key),
                Step::Key(key) => place.extend([".", key]),
                Step::Element(_) => place.push_str("[]"),
                Step::Entry => place.push_str("{}"),
            }
        }
        place
    }

    fn refuse<T>(&self, code: Code, detail: String) -> Result<T, Fail> {
        Err(Fail::Value(Box::new(Reason::new(code, &self.place(), detail))))
    }

    /// Refuses the value at the cursor for its kind; if it is no JSON value at all, that is the reason.
    fn mismatch<T>(&mut self, cursor: &mut Cursor<'_>, wanted: &str) -> Result<T, Fail> {
        let found = match cursor.peek() {
            Some(b'"') => "a text",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        };
        cursor.skip_value(&mut self.open)?;
        self.refuse(Code::Type, format!("holds {found} where {wanted} is needed"))
    }

    /// Reads one value into one builder.
    fn value(&mut self, cursor: &mut Cursor<'_>, node: &'p Node, out: &mut Builder, keep: bool) -> Result<(), Fail> {
        let row = out.len();
        if cursor.peek() == Some(b'n') {
            cursor.word("null")?;
            out.push_null();
            return Ok(());
        }
        match (node, &mut out.values) {
            (Node::Scalar(hive), _) => return self.scalar(cursor, hive, out),
            (Node::List(node), Values::List { items, .. }) => {
                if !cursor.eat(b'[') {
                    return self.mismatch(cursor, "an array");
                }
                self.elements(cursor, node, items, keep)?;
            }
            (Node::Map(key, node), Values::Map { keys, values, offsets }) => {
                if !cursor.eat(b'{') {
                    return self.mismatch(cursor, "an object");
                }
                let first = offsets.last().map_or(0, |&at| usize::try_from(at).unwrap_or(0));
                self.entries(cursor, key, node, (keys, values, first), keep)?;
            }
            (Node::Struct(plan), Values::Struct { fields }) => {
                if !cursor.eat(b'{') {
                    return self.mismatch(cursor, "an object");
                }
                self.members(cursor, plan, fields, row, keep)?;
                fields.iter_mut().filter(|field| field.len() == row).for_each(Builder::push_null);
            }
            _ => unreachable!("plan and builders are made from the same schema"),
        }
        out.close();
        Ok(())
    }
}
