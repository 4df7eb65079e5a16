//! One row of a Parquet file into the column builders: values of the column's own type as they are, all others as their JSON text.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};

use super::{Decoder, Fail, Step};
use crate::config::NewColumns;
use crate::schema::HiveType;
use crate::standardize::columnar::json::{is_null, write_key, write_value};
use crate::standardize::columnar::links::{Link, Links, Shape};
use crate::standardize::columns::{Builder, Values};
use crate::standardize::plan::{FieldPlan, Node, ObjectPlan};
use crate::standardize::reject::Code;
use crate::standardize::scalar;
use crate::standardize::scan::Cursor;

/// A column of the file, or a part of one, and the place in it.
type At<'a> = (&'a ArrayRef, usize);

impl<'p> Decoder<'p> {
    /// Decodes row `row` of `batch` into one row; `links` belong to the batch's schema.
    ///
    /// A null says nothing, so an unknown column is only kept, or refused, where it holds something.
    ///
    /// # Errors
    /// The row does not fit the table; no trace of it is left in the builders.
    pub fn columnar(&mut self, links: &Links, batch: &RecordBatch, row: usize) -> Result<(), Fail> {
        let plan = self.plan;
        self.json.clear();
        self.row(|decoder, columns| {
            decoder.file_members(links, (batch.columns(), row), &plan.root, columns, decoder.rows, true)?;
            let json = std::mem::take(&mut decoder.json);
            let done = decoder.complete(&json, columns);
            decoder.json = json;
            done
        })
    }

    /// Reads the fields of a row or struct into the builders of `out`, which have `at` values each; see `members`.
    fn file_members(
        &mut self,
        links: &Links,
        (columns, row): (&[ArrayRef], usize),
        plan: &'p ObjectPlan,
        out: &mut [Builder],
        at: usize,
        keep: bool,
    ) -> Result<(), Fail> {
        for (link, column) in links.0.iter().zip(columns) {
            match link.field.map(|index| &plan.fields[index]) {
                Some(field) if !field.targets.iter().any(|(target, _)| out[*target].len() > at) => {
                    self.path.push(Step::Key(&field.key));
                    self.file_member(link, (column, row), field, out, at, keep)?;
                    self.path.pop();
                }
                field => {
                    // The second value of a private place is as private as the first, as in `members`.
                    let forget = self.plan.new_columns == NewColumns::Rescue && field.is_some_and(|field| field.private);
                    self.file_unknown(link.name.as_bytes(), (column, row), keep && !forget)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the value of a known column into each of its builders; see `member`.
    fn file_member(
        &mut self,
        link: &Link,
        value: At<'_>,
        field: &'p FieldPlan,
        out: &mut [Builder],
        at: usize,
        keep: bool,
    ) -> Result<(), Fail> {
        for (index, ((target, node), shape)) in field.targets.iter().zip(&link.shapes).enumerate() {
            self.file_value(shape, value, node, &mut out[*target], keep && index == 0 && !field.private)?;
        }
        let (column, row) = value;
        let Some(below) = &field.below else { return Ok(()) };
        if is_null(column, row) {
            return Ok(());
        }
        let keep = keep && field.targets.is_empty();
        match (&link.below, column.as_struct_opt()) {
            (Some(links), Some(parts)) => self.file_members(links, (parts.columns(), row), below, out, at, keep),
            _ => self.through_json(value, |decoder, cursor| decoder.below(cursor, below, out, at, keep)),
        }
    }

    /// Keeps a value that no column takes, if unknown fields are kept.
    fn file_unknown(&mut self, name: &[u8], (column, row): At<'_>, keep: bool) -> Result<(), Fail> {
        if !keep || self.plan.new_columns == NewColumns::Ignore || is_null(column, row) {
            return Ok(());
        }
        let begin = self.unknown.names.len();
        self.write_path();
        self.unknown.names.extend_from_slice(name);
        let start = self.json.len();
        write_value(column, row, &mut self.json);
        self.keep(begin..self.unknown.names.len(), start..self.json.len())
    }

    /// Reads one value into one builder.
    fn file_value(&mut self, shape: &Shape, value: At<'_>, node: &'p Node, out: &mut Builder, keep: bool) -> Result<(), Fail> {
        let (column, row) = value;
        if is_null(column, row) {
            out.push_null();
            return Ok(());
        }
        let at = out.len();
        match (shape, node, &mut out.values) {
            (Shape::Scalar, Node::Scalar(hive), _) => return self.file_scalar(value, hive, out),
            (Shape::List(shape), Node::List(node), Values::List { items, .. }) => {
                let elements = column.as_list::<i32>().value(row);
                for element in 0..elements.len() {
                    self.path.push(Step::Element(element));
                    self.file_value(shape, (&elements, element), node, items, keep)?;
                    self.path.pop();
                }
            }
            (Shape::Map(shape), Node::Map(key, node), Values::Map { keys, values, offsets }) => {
                let first = offsets.last().map_or(0, |&at| usize::try_from(at).unwrap_or(0));
                self.file_entries(shape, value, (key, node), (keys, values, first), keep)?;
            }
            (Shape::Struct(links), Node::Struct(plan), Values::Struct { fields }) => {
                self.file_members(links, (column.as_struct().columns(), row), plan, fields, at, keep)?;
                fields.iter_mut().filter(|field| field.len() == at).for_each(Builder::push_null);
            }
            _ => return self.through_json(value, |decoder, cursor| decoder.value(cursor, node, out, keep)),
        }
        out.close();
        Ok(())
    }

    /// Reads the entries of a map, whose first one will be entry `first` of the builders; see `entries`.
    fn file_entries(
        &mut self,
        shape: &Shape,
        (column, row): At<'_>,
        (key, node): (&HiveType, &'p Node),
        (keys, values, first): (&mut Builder, &mut Builder, usize),
        keep: bool,
    ) -> Result<(), Fail> {
        let entries = column.as_map().value(row);
        let (names, contents) = (entries.column(0), entries.column(1));
        let mut seen = HashSet::new();
        for entry in 0..entries.len() {
            self.path.push(Step::Entry);
            self.file_scalar((names, entry), key, keys)?;
            if keys.last_repeats(first, &mut seen) {
                keys.truncate(keys.len() - 1);
                self.path.pop();
                let mut name = Vec::new();
                write_key(names, entry, &mut name);
                self.file_unknown(&name, (contents, entry), keep)?;
            } else {
                self.file_value(shape, (contents, entry), node, values, keep)?;
                self.path.pop();
            }
        }
        Ok(())
    }

    /// Reads a value that is not null into a builder of a type without parts.
    fn file_scalar(&mut self, value: At<'_>, hive: &HiveType, out: &mut Builder) -> Result<(), Fail> {
        let (column, row) = value;
        match column.data_type() {
            DataType::Utf8View => return self.push_text(column.as_string_view().value(row).as_bytes(), hive, out),
            DataType::BinaryView => return self.bytes(column.as_binary_view().value(row), hive, out),
            DataType::FixedSizeBinary(_) => return self.bytes(column.as_fixed_size_binary().value(row), hive, out),
            _ => {}
        }
        match push_same(value, hive, out) {
            Some(true) => out.present(),
            Some(false) => return self.refuse(Code::Type, "is a time too far from 1970 for timestamp".into()),
            None => {
                return self.through_json(value, |decoder, cursor| match cursor.peek() {
                    Some(b'n') => decoder.mismatch(cursor, "a value"),
                    _ => decoder.scalar(cursor, hive, out),
                });
            }
        }
        Ok(())
    }

    /// Appends bytes as they are to a binary column; to another what they say as a text.
    fn bytes(&mut self, value: &[u8], hive: &HiveType, out: &mut Builder) -> Result<(), Fail> {
        if *hive == HiveType::Binary {
            out.push_bytes(value);
            return Ok(());
        }
        if simdutf8::basic::from_utf8(value).is_err() {
            return self.refuse(Code::NotText, format!("holds bytes that are not UTF-8, which {hive} needs"));
        }
        self.push_text(value, hive, out)
    }

    /// Reads the JSON text of a value. It stays until the row is whole, as unknown fields may be in it.
    fn through_json(
        &mut self,
        (column, row): At<'_>,
        read: impl FnOnce(&mut Self, &mut Cursor<'_>) -> Result<(), Fail>,
    ) -> Result<(), Fail> {
        let mut json = std::mem::take(&mut self.json);
        let start = json.len();
        write_value(column, row, &mut json);
        let done = read(self, &mut Cursor::new(&json, start));
        self.json = json;
        done
    }
}

/// Pushes a value whose type is the builder's own, but does not mark it as present. `None` if the types differ, false if it does not fit.
fn push_same((column, row): At<'_>, hive: &HiveType, out: &mut Builder) -> Option<bool> {
    match (column.data_type(), &mut out.values, hive) {
        (DataType::Boolean, Values::Bool(v), _) => v.push(column.as_boolean().value(row)),
        (DataType::Int8, Values::I8(v), _) => v.push(column.as_primitive::<Int8Type>().value(row)),
        (DataType::Int16, Values::I16(v), _) => v.push(column.as_primitive::<Int16Type>().value(row)),
        (DataType::Int32, Values::I32(v), HiveType::Int) => v.push(column.as_primitive::<Int32Type>().value(row)),
        (DataType::Int64, Values::I64(v), HiveType::BigInt) => v.push(column.as_primitive::<Int64Type>().value(row)),
        (DataType::Date32, Values::I32(v), HiveType::Date) => match column.as_primitive::<Date32Type>().value(row) {
            days if scalar::has_year(i64::from(days).saturating_mul(86_400_000_000)) => v.push(days),
            _ => return Some(false),
        },
        (DataType::Float32, Values::F32(v), _) => v.push(column.as_primitive::<Float32Type>().value(row)),
        (DataType::Float32, Values::F64(v), _) => v.push(column.as_primitive::<Float32Type>().value(row).into()),
        (DataType::Float64, Values::F64(v), _) => v.push(column.as_primitive::<Float64Type>().value(row)),
        (DataType::Timestamp(unit, _), Values::I64(v), HiveType::Timestamp) => match micros(column, row, *unit) {
            Some(value) if scalar::has_year(value) => v.push(value),
            _ => return Some(false),
        },
        (DataType::Decimal128(_, from), Values::I128(v), HiveType::Decimal(precision, to)) if i8::try_from(*to) == Ok(*from) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            if value.unsigned_abs() >= 10u128.pow(u32::from(*precision)) {
                return None;
            }
            v.push(value);
        }
        _ => return None,
    }
    Some(true)
}

/// Microseconds since the epoch of a time; digits beyond microseconds are cut off.
fn micros(column: &ArrayRef, row: usize, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => None,
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1000),
        TimeUnit::Microsecond => Some(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => Some(column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000)),
    }
}
