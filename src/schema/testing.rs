//! Property-test strategies for schemas.

use std::collections::HashSet;

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;

use super::{Column, HiveType, TableSchema};

/// A valid name of a column or struct field, often a keyword or with an odd first character.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9_]{1,8}",
        1 => prop::sample::select(vec!["date", "timestamp", "comment", "map", "struct", "array", "0x1f", "1e5", "10l", "user", "x", "n", "_"])
            .prop_map(String::from),
    ]
}

fn primitive() -> impl Strategy<Value = HiveType> {
    prop_oneof![
        prop::sample::select(vec![
            HiveType::Boolean,
            HiveType::TinyInt,
            HiveType::SmallInt,
            HiveType::Int,
            HiveType::BigInt,
            HiveType::Float,
            HiveType::Double,
            HiveType::String,
            HiveType::Binary,
            HiveType::Date,
            HiveType::Timestamp,
        ]),
        (1u8..=38).prop_flat_map(|precision| (0..=precision).prop_map(move |scale| HiveType::Decimal(precision, scale))),
        (1u32..=65_535).prop_map(HiveType::Varchar),
        (1u32..=255).prop_map(HiveType::Char),
    ]
}

/// Any valid type, a few levels deep.
pub(crate) fn hive_type() -> impl Strategy<Value = HiveType> {
    primitive().prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|element| HiveType::Array(Box::new(element))),
            (primitive(), inner.clone()).prop_map(|(key, value)| HiveType::Map(Box::new(key), Box::new(value))),
            hash_map(name(), inner, 1..4).prop_map(|fields| HiveType::Struct(fields.into_iter().collect())),
        ]
    })
}

/// A comment that Glue takes: one line.
fn comment() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof!["[^\\p{Cc}]{1,40}", Just("it's ${x} \\ \"so\" -- /* a `b` ;".to_string()), Just("\\".to_string())])
}

/// Any valid schema.
pub(crate) fn table_schema() -> impl Strategy<Value = TableSchema> {
    let key_type = prop::sample::select(vec![HiveType::String, HiveType::Int, HiveType::Date, HiveType::Varchar(9)]);
    let columns = vec((name(), hive_type(), comment()), 1..6);
    let keys = vec((name(), key_type, comment()), 0..3);
    (columns, keys).prop_map(|(columns, keys)| {
        let mut taken = HashSet::new();
        let mut distinct = |list: Vec<(String, HiveType, Option<String>)>| -> Vec<Column> {
            let fresh = list.into_iter().filter(|(name, ..)| taken.insert(name.clone()));
            fresh.map(|(name, hive, comment)| Column { name, hive, comment }).collect()
        };
        TableSchema { columns: distinct(columns), partition_keys: distinct(keys) }
    })
}
