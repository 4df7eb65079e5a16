//! Hive column types, their catalog text and their Arrow form.

use serde::{Deserialize, Serialize};

/// A column type in Hive's grammar that Parquet can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
