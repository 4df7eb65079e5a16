//! Takes the values of a leaf out of the Arrow array that has them, in the form in which Parquet stores them.

use arrow::array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::Type;
use parquet::errors::{ParquetError, Result};

use super::LeafWriter;
use crate::merge::encode::dictionary::BLOCK;
use crate::merge::encode::levels::Levels;
use crate::merge::encode::span::{key_of_double, key_of_float};

/// Bytes of the largest decimal.
const DECIMAL: usize = 16;

impl LeafWriter {
    /// Appends rows whose values are in `array`.
    ///
    /// # Errors
    /// The array is of a type that lakebed does not write, or as [`super::Chunk::push`].
    pub fn write(&mut self, levels: &Levels, array: &ArrayRef) -> Result<()> {
        macro_rules! numbers {
            ($of:ty, $as:ty) => {{
                let values = array.as_primitive::<$of>().values();
                let value = |place: usize| <$as>::from(values[place]);
                self.write_numbers(levels, |place| value(place).to_le_bytes(), |place| Some(value(place).into()))
            }};
        }
        match array.data_type() {
            DataType::Utf8 => self.write_texts(levels, array.as_string::<i32>().value_offsets(), array.as_string::<i32>().value_data()),
            DataType::Binary => self.write_texts(levels, array.as_binary::<i32>().value_offsets(), array.as_binary::<i32>().value_data()),
            DataType::Boolean => {
                let values = array.as_boolean().values();
                let value = |place: usize| u8::from(values.value(place));
                self.write_numbers(levels, |place| [value(place)], |place| Some(value(place).into()))
            }
            DataType::Int8 => numbers!(Int8Type, i32),
            DataType::Int16 => numbers!(Int16Type, i32),
            DataType::Int32 => numbers!(Int32Type, i32),
            DataType::Date32 => numbers!(Date32Type, i32),
            DataType::Int64 => numbers!(Int64Type, i64),
            DataType::Timestamp(TimeUnit::Microsecond, _) => numbers!(TimestampMicrosecondType, i64),
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>().values();
                self.write_numbers(levels, |place| values[place].to_le_bytes(), |place| key_of_float(values[place]))
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                self.write_numbers(levels, |place| values[place].to_le_bytes(), |place| key_of_double(values[place]))
            }
            DataType::Decimal128(..) => self.write_decimals(levels, array.as_primitive::<Decimal128Type>().values()),
            other => Err(ParquetError::General(format!("lakebed does not write {other}: report it"))),
        }
    }

    /// Appends rows of numbers; see [`Self::put_numbers`].
    fn write_numbers<const WIDTH: usize>(
        &mut self,
        levels: &Levels,
        stored: impl Fn(usize) -> [u8; WIDTH],
        key: impl Fn(usize) -> Option<i128>,
    ) -> Result<()> {
        self.write_by(levels, |places| places.len() * WIDTH, |writer, places| writer.put_numbers(places, &stored, &key))
    }

    /// Appends rows of texts, or of bytes.
    fn write_texts(&mut self, levels: &Levels, offsets: &[i32], data: &[u8]) -> Result<()> {
        let range = |place: u32| offsets[place as usize] as usize..offsets[place as usize + 1] as usize;
        let size = |places: &[u32]| places.iter().map(|place| size_of::<u32>() + range(*place).len()).sum();
        self.write_by(levels, size, |writer, places| {
            let mut texts = [&[][..]; BLOCK];
            texts.iter_mut().zip(places).for_each(|(text, place)| *text = &data[range(*place)]);
            writer.put_texts(&texts[..places.len()]);
        })
    }

    /// Appends rows of decimals, which take as many bytes as their precision needs (format specification, "DECIMAL"). The catalog's type bounds
    /// their digits, so that they fit.
    fn write_decimals(&mut self, levels: &Levels, values: &[i128]) -> Result<()> {
        match self.values {
            Type::INT32 => self.write_numbers(levels, |place| (values[place] as i32).to_le_bytes(), |place| Some(values[place])),
            Type::INT64 => self.write_numbers(levels, |place| (values[place] as i64).to_le_bytes(), |place| Some(values[place])),
            _ => {
                let first = DECIMAL - usize::try_from(self.column.type_length()).unwrap_or(DECIMAL).min(DECIMAL);
                // Such columns have no dictionary.
                self.write_by(
                    levels,
                    |places| places.len() * DECIMAL,
                    |writer, places| {
                        for value in places.iter().map(|place| values[*place as usize]) {
                            writer.page.plain.extend_from_slice(&value.to_be_bytes()[first..]);
                            writer.page.span.note(Some(value));
                        }
                    },
                )
            }
        }
    }
}
