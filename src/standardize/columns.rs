//! Column builders that a record can be taken back from: the decoder appends as it reads, and truncates when a record fails.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, PrimitiveArray, StringArray, StructArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

/// Map keys that are compared one by one: most maps are small, and a set would cost more.
const FEW: usize = 32;

/// One column under construction.
#[derive(Debug)]
pub struct Builder {
    data_type: DataType,
    /// The values; the slot of a null holds a default.
    pub values: Values,
    /// The indices of the nulls, ascending.
    nulls: Vec<usize>,
    len: usize,
}

/// The values of a [`Builder`], by physical kind.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are Arrow's")]
pub enum Values {
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I128(Vec<i128>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Text and binary: value `i` is `data[offsets[i]..offsets[i + 1]]`.
    Bytes {
        offsets: Vec<i32>,
        data: Vec<u8>,
    },
    List {
        offsets: Vec<i32>,
        items: Box<Builder>,
    },
    Map {
        offsets: Vec<i32>,
        keys: Box<Builder>,
        values: Box<Builder>,
    },
    Struct {
        fields: Vec<Builder>,
    },
}

impl Builder {
    /// A builder for an Arrow type that a Hive type maps to.
    pub fn new(data_type: &DataType) -> Self {
        let values = match data_type {
            DataType::Boolean => Values::Bool(Vec::new()),
            DataType::Int8 => Values::I8(Vec::new()),
            DataType::Int16 => Values::I16(Vec::new()),
            DataType::Int32 | DataType::Date32 => Values::I32(Vec::new()),
            DataType::Int64 | DataType::Timestamp(..) => Values::I64(Vec::new()),
            DataType::Decimal128(..) => Values::I128(Vec::new()),
            DataType::Float32 => Values::F32(Vec::new()),
            DataType::Float64 => Values::F64(Vec::new()),
            DataType::List(item) => Values::List { offsets: vec![0], items: Box::new(Self::new(item.data_type())) },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(kv) => Values::Map {
                    offsets: vec![0],
                    keys: Box::new(Self::new(kv[0].data_type())),
                    values: Box::new(Self::new(kv[1].data_type())),
                },
                other => unreachable!("a map's entries are a struct, not {other}"),
            },
            DataType::Struct(fields) => Values::Struct { fields: fields.iter().map(|field| Self::new(field.data_type())).collect() },
            DataType::Utf8 | DataType::Binary => Values::Bytes { offsets: vec![0], data: Vec::new() },
            other => unreachable!("no Hive type maps to {other}"),
        };
        Self { data_type: data_type.clone(), values, nulls: Vec::new(), len: 0 }
    }

    /// Values appended so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the last value is null; there must be one.
    pub fn last_is_null(&self) -> bool {
        self.nulls.last() == Some(&(self.len - 1))
    }

    /// The last value of `Values::Bytes`; empty for other values, and before the first one.
    pub fn last_bytes(&self) -> &[u8] {
        let Values::Bytes { offsets, data } = &self.values else { return &[] };
        let start = offsets.len().checked_sub(2).map_or(0, |at| offsets[at]);
        &data[usize::try_from(start).unwrap_or(0)..]
    }

    /// Marks the value that was just pushed to `values` as present.
    #[inline]
    pub fn present(&mut self) {
        self.len += 1;
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(v) => v.push(false),
            Values::I8(v) => v.push(0),
            Values::I16(v) => v.push(0),
            Values::I32(v) => v.push(0),
            Values::I64(v) => v.push(0),
            Values::I128(v) => v.push(0),
            Values::F32(v) => v.push(0.0),
            Values::F64(v) => v.push(0.0),
            Values::Bytes { offsets, .. } | Values::List { offsets, .. } | Values::Map { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or(0));
            }
            Values::Struct { fields } => fields.iter_mut().for_each(Self::push_null),
        }
        self.nulls.push(self.len);
        self.len += 1;
    }

    /// Appends a text or binary value; only for `Values::Bytes`.
    #[inline]
    pub fn push_bytes(&mut self, value: &[u8]) {
        if let Values::Bytes { data, .. } = &mut self.values {
            data.extend_from_slice(value);
        }
        self.close();
    }

    /// Ends a variable-length value whose parts were appended before, and marks it present.
    #[inline]
    pub fn close(&mut self) {
        match &mut self.values {
            Values::Bytes { offsets, data } => offsets.push(offset(data.len())),
            Values::List { offsets, items } => offsets.push(offset(items.len())),
            Values::Map { offsets, keys, .. } => offsets.push(offset(keys.len())),
            _ => {}
        }
        self.present();
    }

    /// True if the last value equals one of those from index `first` on; only for types without parts. `seen` starts empty and
    /// belongs to the values from `first` on: few of them are compared one by one, many are looked up in it.
    pub fn last_repeats(&self, first: usize, seen: &mut HashSet<Vec<u8>>) -> bool {
        let last = self.len() - 1;
        let value = self.value_bytes(last);
        if last - first < FEW {
            return (first..last).any(|index| self.value_bytes(index) == value);
        }
        if seen.is_empty() {
            seen.extend((first..last).map(|index| self.value_bytes(index).into_owned()));
        }
        !seen.insert(value.into_owned())
    }

    /// Bytes that two values have in common exactly if they are equal.
    fn value_bytes(&self, index: usize) -> Cow<'_, [u8]> {
        match &self.values {
            Values::Bytes { offsets, data } => {
                let at = |index: usize| usize::try_from(offsets[index]).unwrap_or(0);
                Cow::Borrowed(&data[at(index)..at(index + 1)])
            }
            Values::Bool(v) => Cow::Owned(vec![u8::from(v[index])]),
            Values::I8(v) => Cow::Owned(v[index].to_le_bytes().to_vec()),
            Values::I16(v) => Cow::Owned(v[index].to_le_bytes().to_vec()),
            Values::I32(v) => Cow::Owned(v[index].to_le_bytes().to_vec()),
            Values::I64(v) => Cow::Owned(v[index].to_le_bytes().to_vec()),
            Values::I128(v) => Cow::Owned(v[index].to_le_bytes().to_vec()),
            // Adding zero makes one of the two zeros.
            Values::F32(v) => Cow::Owned((v[index] + 0.0).to_le_bytes().to_vec()),
            Values::F64(v) => Cow::Owned((v[index] + 0.0).to_le_bytes().to_vec()),
            Values::List { .. } | Values::Map { .. } | Values::Struct { .. } => unreachable!("map keys have no parts"),
        }
    }

    /// Forgets all values from `len` on, and unfinished parts of the next one.
    pub fn truncate(&mut self, len: usize) {
        while self.nulls.last().is_some_and(|&at| at >= len) {
            self.nulls.pop();
        }
        self.len = self.len.min(len);
        match &mut self.values {
            Values::Bool(v) => v.truncate(len),
            Values::I8(v) => v.truncate(len),
            Values::I16(v) => v.truncate(len),
            Values::I32(v) => v.truncate(len),
            Values::I64(v) => v.truncate(len),
            Values::I128(v) => v.truncate(len),
            Values::F32(v) => v.truncate(len),
            Values::F64(v) => v.truncate(len),
            Values::Bytes { offsets, data } => data.truncate(cut(offsets, len)),
            Values::List { offsets, items } => items.truncate(cut(offsets, len)),
            Values::Map { offsets, keys, values } => {
                let end = cut(offsets, len);
                keys.truncate(end);
                values.truncate(end);
            }
            Values::Struct { fields } => fields.iter_mut().for_each(|field| field.truncate(len)),
        }
    }

    /// Makes room for `rows` rows, of which it has the first `seen`, if the others are like these: what grows bit by bit is copied each time.
    pub fn make_room(&mut self, seen: usize, rows: usize) {
        fn room<T>(values: &mut Vec<T>, seen: usize, rows: usize) {
            // A sixteenth more, as no two parts of an object are alike.
            let wanted = (values.len() as u64 * rows as u64 / seen.max(1) as u64) * 17 / 16;
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            values.reserve_exact(wanted.saturating_sub(values.len()));
        }
        room(&mut self.nulls, seen, rows);
        match &mut self.values {
            Values::Bool(v) => room(v, seen, rows),
            Values::I8(v) => room(v, seen, rows),
            Values::I16(v) => room(v, seen, rows),
            Values::I32(v) => room(v, seen, rows),
            Values::I64(v) => room(v, seen, rows),
            Values::I128(v) => room(v, seen, rows),
            Values::F32(v) => room(v, seen, rows),
            Values::F64(v) => room(v, seen, rows),
            Values::Bytes { offsets, data } => {
                room(offsets, seen, rows);
                room(data, seen, rows);
            }
            Values::List { offsets, items } => {
                room(offsets, seen, rows);
                items.make_room(seen, rows);
            }
            Values::Map { offsets, keys, values } => {
                room(offsets, seen, rows);
                keys.make_room(seen, rows);
                values.make_room(seen, rows);
            }
            Values::Struct { fields } => fields.iter_mut().for_each(|field| field.make_room(seen, rows)),
        }
    }

    /// The column, leaving the builder empty.
    ///
    /// # Errors
    /// If the values are not valid for the type, text that is not UTF-8 above all: a fault of the caller.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = null_buffer(&self.nulls, self.len);
        self.nulls.clear();
        self.len = 0;
        let data_type = self.data_type.clone();
        Ok(match &mut self.values {
            Values::Bool(v) => Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(v)), nulls)),
            Values::I8(v) => primitive::<Int8Type>(v, nulls),
            Values::I16(v) => primitive::<Int16Type>(v, nulls),
            Values::I32(v) if data_type == DataType::Date32 => primitive::<Date32Type>(v, nulls),
            Values::I32(v) => primitive::<Int32Type>(v, nulls),
            Values::I64(v) if data_type == DataType::Int64 => primitive::<Int64Type>(v, nulls),
            Values::I64(v) => {
                let array = PrimitiveArray::<TimestampMicrosecondType>::new(ScalarBuffer::from(std::mem::take(v)), nulls);
                Arc::new(array.with_data_type(data_type))
            }
            Values::I128(v) => Arc::new(Decimal128Array::new(ScalarBuffer::from(std::mem::take(v)), nulls).with_data_type(data_type)),
            Values::F32(v) => primitive::<Float32Type>(v, nulls),
            Values::F64(v) => primitive::<Float64Type>(v, nulls),
            Values::Bytes { offsets, data } => {
                let (offsets, data) = (take_offsets(offsets), Buffer::from_vec(std::mem::take(data)));
                if data_type == DataType::Binary {
                    Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
                } else {
                    Arc::new(StringArray::try_new(offsets, data, nulls)?)
                }
            }
            Values::List { offsets, items } => finish_list(&data_type, take_offsets(offsets), items.finish()?, nulls)?,
            Values::Map { offsets, keys, values } => {
                finish_map(&data_type, take_offsets(offsets), vec![keys.finish()?, values.finish()?], nulls)?
            }
            Values::Struct { fields } => {
                let children = fields.iter_mut().map(Self::finish).collect::<Result<Vec<_>, _>>()?;
                match &data_type {
                    DataType::Struct(names) => Arc::new(StructArray::try_new(names.clone(), children, nulls)?),
                    other => unreachable!("struct values of type {other}"),
                }
            }
        })
    }
}

/// Bytes that a row without a value takes in the builders, about: a value and the place of a null for each column and each part of a struct.
pub fn nulls(fields: &Fields) -> usize {
    let of = |data_type: &DataType| match data_type {
        DataType::Struct(fields) => nulls(fields),
        _ => 0,
    };
    fields.iter().map(|field| 2 * size_of::<u64>() + of(field.data_type())).sum()
}

/// The bitmap of `len` values, those at `nulls` null.
fn null_buffer(nulls: &[usize], len: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = vec![u8::MAX; len.div_ceil(8)];
    nulls.iter().for_each(|at| bits[at / 8] &= !(1 << (at % 8)));
    Some(NullBuffer::new(BooleanBuffer::new(bits.into(), 0, len)))
}

fn primitive<T: arrow::datatypes::ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(std::mem::take(values)), nulls))
}

fn finish_list(
    data_type: &DataType,
    offsets: OffsetBuffer<i32>,
    items: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::List(field) => Ok(Arc::new(ListArray::try_new(field.clone(), offsets, items, nulls)?)),
        other => unreachable!("list values of type {other}"),
    }
}

fn finish_map(
    data_type: &DataType,
    offsets: OffsetBuffer<i32>,
    entries: Vec<ArrayRef>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    match data_type {
        DataType::Map(field, sorted) => match field.data_type() {
            DataType::Struct(kv) => {
                let entries = StructArray::try_new(kv.clone(), entries, None)?;
                Ok(Arc::new(MapArray::try_new(field.clone(), offsets, entries, nulls, *sorted)?))
            }
            other => unreachable!("a map's entries are a struct, not {other}"),
        },
        other => unreachable!("map values of type {other}"),
    }
}

/// Batches are closed long before a column has 2 GiB (see `BATCH_BYTES` in the parent module), and a longer record is taken back, so
/// no offset that stays saturates.
fn offset(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// Cuts the offsets to `len` values and says where the values' parts end then.
fn cut(offsets: &mut Vec<i32>, len: usize) -> usize {
    offsets.truncate(len + 1);
    usize::try_from(offsets.last().copied().unwrap_or(0)).unwrap_or(0)
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = OffsetBuffer::new(ScalarBuffer::from(std::mem::take(offsets)));
    offsets.push(0);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::datatypes::{Field, Fields};

    #[test]
    fn truncating_takes_back_whole_values_and_unfinished_ones() {
        let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
        let map = DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false);
        let mut builder = Builder::new(&DataType::List(Arc::new(Field::new("element", map, true))));
        let push_entry = |items: &mut Builder, value: i64| {
            let Values::Map { keys, values, .. } = &mut items.values else { panic!() };
            keys.push_bytes(b"k");
            let Values::I64(v) = &mut values.values else { panic!() };
            v.push(value);
            values.present();
        };
        for record in 0..3 {
            let Values::List { items, .. } = &mut builder.values else { panic!() };
            push_entry(items, record);
            if record < 2 {
                items.close();
                builder.close();
            }
        }
        builder.truncate(1);
        builder.push_null();
        let array = builder.finish().unwrap();
        assert_eq!((array.len(), array.null_count()), (2, 1));
        assert_eq!(format!("{:?}", arrow::util::display::array_value_to_string(&array, 0).unwrap()), "\"[{k: 0}]\"");
        assert!(builder.is_empty());
    }
}
