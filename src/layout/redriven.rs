//! The paths of rows that a redrive takes into other partitions, and of what says that there are some.

use super::{GenerationId, PartitionId, parse_generation_path, part_file};
use crate::catalog::TableName;

/// The name of the object that says that a version took rows out for other partitions.
const MOVING: &str = "moving";

/// The root of what redrives took out of a table's quarantine and into other partitions, below the state location.
pub fn redriven_root(table: &TableName) -> String {
    format!("redriven/{table}/")
}

/// The folder of what the redrive that writes a partition's generation takes into other partitions, below the state location.
pub fn redriven_folder(table: &TableName, partition: &PartitionId, generation: &GenerationId) -> String {
    format!("redriven/{table}/{partition}/{generation}/")
}

/// The partition, the generation and the number in the key of an object that a redrive made, or `None` for other objects.
pub fn parse_redriven_file(table: &TableName, key: &str) -> Option<(PartitionId, GenerationId, usize)> {
    let (partition, id) = parse_generation_path(key.strip_prefix(&redriven_root(table))?)?;
    let name = key.strip_prefix(&redriven_folder(table, &partition, &id))?;
    let index = name.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()?;
    (name == part_file(index)).then_some((partition, id, index))
}

/// The root of what says which versions took rows out for other partitions, below the state location.
pub fn moving_root(table: &TableName) -> String {
    format!("moving/{table}/")
}

/// The folder of what says so of the version that a partition's generation is written for, below the state location.
pub fn moving_folder(table: &TableName, partition: &PartitionId, generation: &GenerationId) -> String {
    format!("moving/{table}/{partition}/{generation}/")
}

/// The key of the object that says so. It is there until every partition has its rows, whatever becomes of the files that they are in.
pub fn moving_key(table: &TableName, partition: &PartitionId, generation: &GenerationId) -> String {
    format!("{}{MOVING}", moving_folder(table, partition, generation))
}

/// The partition and the generation in the key of such an object, or `None` for other objects.
pub fn parse_moving_key(table: &TableName, key: &str) -> Option<(PartitionId, GenerationId)> {
    let (partition, id) = parse_generation_path(key.strip_prefix(&moving_root(table))?)?;
    (key == moving_key(table, &partition, &id)).then_some((partition, id))
}

/// The key that ledgers have for an object that a redrive made of records of the landed object `object`. No object that lands has such a
/// key: there are no empty names in a path.
pub fn redriven_key(object: &str, generation: &GenerationId, index: usize) -> String {
    format!("{object}//{generation}/{index}")
}

/// The key of the landed object whose records an object that a redrive made has; `None` for the key of a landed object.
pub fn parse_redriven_key(key: &str) -> Option<&str> {
    Some(parse_redriven(key)?.0)
}

/// As [`parse_redriven_key`], with the generation that the redrive wrote.
pub fn parse_redriven(key: &str) -> Option<(&str, GenerationId)> {
    let (object, rest) = key.rsplit_once("//")?;
    let (generation, index) = rest.split_once('/')?;
    index.parse::<usize>().ok()?;
    Some((object, generation.parse().ok()?))
}
