//! Hive column types and their Arrow form; their text is in the module `text`.

mod text;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// The deepest nesting of arrays, maps and structs that is read: what Redshift Spectrum documents as its limit.
pub const MAX_DEPTH: usize = 100;

/// A column type in Hive's grammar that Parquet can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HiveType {
    /// `boolean`
    Boolean,
    /// `tinyint`, 8 bits
    TinyInt,
    /// `smallint`, 16 bits
    SmallInt,
    /// `int`, 32 bits
    Int,
    /// `bigint`, 64 bits
    BigInt,
    /// `float`, 32 bits
    Float,
    /// `double`
    Double,
    /// `decimal(precision,scale)`, precision 1 to 38
    Decimal(u8, u8),
    /// `string`
    String,
    /// `varchar(n)`, 1 to 65535 characters
    Varchar(u32),
    /// `char(n)`, 1 to 255 characters
    Char(u32),
    /// `binary`
    Binary,
    /// `date`
    Date,
    /// `timestamp`: microseconds, UTC, in files
    Timestamp,
    /// `array<element>`
    Array(Box<HiveType>),
    /// `map<key,value>`; the key is primitive
    Map(Box<HiveType>, Box<HiveType>),
    /// `struct<name:type,…>`; names lower case
    Struct(Vec<(String, HiveType)>),
}

impl HiveType {
    /// True if it holds one value: no array, map or struct.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Map(..) | Self::Struct(_))
    }

    /// The Arrow type of a column of this type, as read from and written to files.
    ///
    /// Lists and maps have the child names of the Parquet format (`element`, `key_value`, `key`, `value`), which strict readers
    /// such as Spectrum insist on. Times have the zone `UTC`, so that files say that they are adjusted to it.
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => {
                DataType::Decimal128(*precision, i8::try_from(*scale).expect("a scale is at most the precision, and that at most 38"))
            }
            Self::String | Self::Varchar(_) | Self::Char(_) => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Array(element) => DataType::List(Arc::new(Field::new("element", element.arrow_type(), true))),
            Self::Map(key, value) => {
                let entry = Fields::from(vec![Field::new("key", key.arrow_type(), false), Field::new("value", value.arrow_type(), true)]);
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
            }
            Self::Struct(fields) => DataType::Struct(fields.iter().map(|(name, hive)| Field::new(name, hive.arrow_type(), true)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, arrow: DataType) {
        assert_eq!(HiveType::parse(text).unwrap().arrow_type(), arrow, "{text}");
    }

    #[test]
    fn primitives_have_the_arrow_type_of_their_width() {
        check("boolean", DataType::Boolean);
        check("tinyint", DataType::Int8);
        check("smallint", DataType::Int16);
        check("int", DataType::Int32);
        check("bigint", DataType::Int64);
        check("float", DataType::Float32);
        check("double", DataType::Float64);
        check("decimal(38,38)", DataType::Decimal128(38, 38));
        check("string", DataType::Utf8);
        check("varchar(10)", DataType::Utf8);
        check("char(10)", DataType::Utf8);
        check("binary", DataType::Binary);
        check("date", DataType::Date32);
        check("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    }

    #[test]
    fn nested_types_have_the_child_names_of_the_parquet_format() {
        check("array<int>", DataType::List(Arc::new(Field::new("element", DataType::Int32, true))));
        let entry =
            DataType::Struct(Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]));
        check("map<string,bigint>", DataType::Map(Arc::new(Field::new("key_value", entry, false)), false));
        check(
            "struct<a:int,b:string>",
            DataType::Struct(Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)])),
        );
    }
}
