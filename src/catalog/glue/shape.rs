//! Tables and partitions as Glue spells them, and back: what lakebed does not know of stays as it is.

use aws_sdk_glue::types::{self, PartitionInput, SerDeInfo, StorageDescriptor, TableInput};

use super::super::{FileFormat, Parameters, Partition, Table, TableName};
use crate::error::{Error, Result};
use crate::schema::{Column, HiveType};

// The canonical descriptor of Parquet in Hive's words, as Athena, Redshift Spectrum and EMR read it.
const INPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";

/// A table of Glue as the port has it.
///
/// # Errors
/// `Data` if one of its types is none of Hive's.
pub(super) fn table(name: &TableName, from: &types::Table) -> Result<Table> {
    let storage = from.storage_descriptor();
    let wrong = |e: Error| Error::data(format!("table {name} in Glue: {e}; correct the column there"));
    Ok(Table {
        name: name.clone(),
        columns: columns(storage.map_or(&[], StorageDescriptor::columns)).map_err(wrong)?,
        partition_keys: columns(from.partition_keys()).map_err(wrong)?,
        location: storage.and_then(StorageDescriptor::location).unwrap_or_default().to_string(),
        format: format(storage),
        parameters: parameters(from.parameters.as_ref()),
        version: version(from),
    })
}

/// The version of a table. Glue counts them up from 0, as text.
pub(super) fn version(of: &types::Table) -> u64 {
    of.version_id().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// The definition that makes `table` of what is `there`, or a new one.
pub(super) fn table_input(table: &Table, there: Option<&types::Table>) -> Result<TableInput> {
    let storage = there.and_then(|there| there.storage_descriptor());
    let input = TableInput::builder()
        .name(&table.name.name)
        .set_description(there.and_then(|there| there.description.clone()))
        .set_owner(there.and_then(|there| there.owner.clone()))
        .set_last_access_time(there.and_then(|there| there.last_access_time))
        .set_last_analyzed_time(there.and_then(|there| there.last_analyzed_time))
        .set_retention(there.map(|there| there.retention))
        .set_view_original_text(there.and_then(|there| there.view_original_text.clone()))
        .set_view_expanded_text(there.and_then(|there| there.view_expanded_text.clone()))
        .set_target_table(there.and_then(|there| there.target_table.clone()))
        .table_type(there.and_then(|there| there.table_type()).unwrap_or("EXTERNAL_TABLE"))
        .storage_descriptor(storage_descriptor(&table.location, &table.columns, storage)?)
        .set_partition_keys(Some(glue_columns(&table.partition_keys, there.map_or(&[], types::Table::partition_keys))?))
        .set_parameters(Some(table.parameters.clone().into_iter().collect()));
    input.build().map_err(|e| Error::internal(format!("table {}: {e}", table.name)))
}

/// A partition of Glue as the port has it.
///
/// # Errors
/// `Data` if one of its types is none of Hive's.
pub(super) fn partition(name: &TableName, from: &types::Partition) -> Result<Partition> {
    let storage = from.storage_descriptor();
    let values = from.values().to_vec();
    let wrong = |e: Error| {
        Error::data(format!(
            "partition {} of table {name} in Glue: {e}; correct it there, or where lakebed manages the table delete the partition and run again",
            values.join("/")
        ))
    };
    Ok(Partition {
        location: storage.and_then(StorageDescriptor::location).unwrap_or_default().to_string(),
        columns: columns(storage.map_or(&[], StorageDescriptor::columns)).map_err(wrong)?,
        format: format(storage),
        parameters: parameters(from.parameters.as_ref()),
        values,
    })
}

/// The definition that makes `partition` of what is `there`, or a new one: each partition has a descriptor of its own. Parameters that
/// `partition` does not name stay as they are.
pub(super) fn partition_input(partition: &Partition, there: Option<&types::Partition>) -> Result<PartitionInput> {
    let storage = there.and_then(|there| there.storage_descriptor());
    let mut all = there.and_then(|there| there.parameters.clone()).unwrap_or_default();
    all.extend(partition.parameters.clone());
    Ok(PartitionInput::builder()
        .set_values(Some(partition.values.clone()))
        .set_last_access_time(there.and_then(|there| there.last_access_time))
        .set_last_analyzed_time(there.and_then(|there| there.last_analyzed_time))
        .storage_descriptor(storage_descriptor(&partition.location, &partition.columns, storage)?)
        .set_parameters(Some(all))
        .build())
}

fn storage_descriptor(location: &str, columns: &[Column], there: Option<&StorageDescriptor>) -> Result<StorageDescriptor> {
    let mut storage = there.cloned().unwrap_or_else(|| {
        StorageDescriptor::builder()
            .number_of_buckets(-1)
            .compressed(true)
            .stored_as_sub_directories(false)
            .set_bucket_columns(Some(Vec::new()))
            .set_sort_columns(Some(Vec::new()))
            .build()
    });
    // The files are Parquet, whatever somebody registered before.
    let mut serde = storage.serde_info.take().filter(|serde| serde.serialization_library() == Some(SERDE));
    let parquet = || SerDeInfo::builder().serialization_library(SERDE).parameters("serialization.format", "1").build();
    storage.serde_info = Some(serde.take().unwrap_or_else(parquet));
    storage.input_format = Some(INPUT_FORMAT.to_string());
    storage.output_format = Some(OUTPUT_FORMAT.to_string());
    storage.location = Some(location.to_string());
    storage.columns = Some(glue_columns(columns, storage.columns())?);
    Ok(storage)
}

/// Columns with the parameters that those of the same name and type have.
fn glue_columns(columns: &[Column], there: &[types::Column]) -> Result<Vec<types::Column>> {
    let glue = |column: &Column| {
        let hive = column.hive.to_string();
        let same = there.iter().find(|old| old.name() == column.name && old.r#type() == Some(&hive));
        let built = types::Column::builder().name(&column.name).r#type(hive).set_comment(column.comment.clone());
        let built = built.set_parameters(same.and_then(|old| old.parameters.clone()));
        built.build().map_err(|e| Error::internal(format!("column {}: {e}", column.name)))
    };
    columns.iter().map(glue).collect()
}

/// Readers go by the input format and the SerDe.
fn format(storage: Option<&StorageDescriptor>) -> FileFormat {
    let input = storage.and_then(StorageDescriptor::input_format).unwrap_or("none");
    let serde = storage.and_then(StorageDescriptor::serde_info).and_then(SerDeInfo::serialization_library).unwrap_or("none");
    if (input, serde) == (INPUT_FORMAT, SERDE) {
        return FileFormat::Parquet;
    }
    FileFormat::Other(format!("input format {input} with SerDe {serde}"))
}

fn columns(from: &[types::Column]) -> Result<Vec<Column>> {
    let column = |column: &types::Column| {
        let hive =
            HiveType::parse(column.r#type().unwrap_or_default()).map_err(|e| Error::data(format!("column {}: {e}", column.name())))?;
        Ok(Column { name: column.name().to_string(), hive, comment: column.comment().map(str::to_string) })
    };
    from.iter().map(column).collect()
}

fn parameters(from: Option<&std::collections::HashMap<String, String>>) -> Parameters {
    from.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, hive: HiveType) -> Column {
        Column { name: name.to_string(), hive, comment: None }
    }

    fn partition_of(columns: Vec<Column>) -> Partition {
        let parameters = Parameters::from([("lakebed.rows".to_string(), "2".to_string())]);
        Partition { values: vec!["14".into()], location: "s3://lake/g2/".into(), columns, format: FileFormat::Parquet, parameters }
    }

    #[test]
    fn what_others_noted_on_columns_and_partitions_stays_where_it_still_holds() {
        let noted = |name: &str, hive: &str| types::Column::builder().name(name).r#type(hive).parameters("pii", name).build().unwrap();
        let storage = StorageDescriptor::builder().columns(noted("a", "bigint")).columns(noted("b", "int")).columns(noted("c", "int"));
        let storage = storage.input_format(INPUT_FORMAT).compressed(false).build();
        let there = types::Partition::builder().values("14").parameters("owner", "shop").parameters("lakebed.rows", "1");
        let there = there.storage_descriptor(storage).build();
        let next = partition_of(vec![column("b", HiveType::Int), column("a", HiveType::String), column("d", HiveType::Int)]);
        let input = partition_input(&next, Some(&there)).unwrap();
        let parameters = input.parameters().unwrap();
        assert_eq!((parameters["owner"].as_str(), parameters["lakebed.rows"].as_str()), ("shop", "2"));
        let storage = input.storage_descriptor().unwrap();
        assert!(!storage.compressed());
        let pii: Vec<_> = storage.columns().iter().map(|column| column.parameters().and_then(|noted| noted.get("pii"))).collect();
        assert_eq!(pii, [Some(&"b".to_string()), None, None]);
    }

    #[test]
    fn a_format_that_is_not_parquets_is_seen_and_set_back() {
        let name = TableName { database: "shop".into(), name: "clicks".into() };
        let storage = StorageDescriptor::builder().location("s3://lake/g1/").input_format("org.apache.hadoop.mapred.TextInputFormat");
        let there = types::Partition::builder().values("14").storage_descriptor(storage.build()).build();
        let read = partition(&name, &there).unwrap();
        assert_eq!(read.format, FileFormat::Other("input format org.apache.hadoop.mapred.TextInputFormat with SerDe none".into()));
        let input = partition_input(&partition_of(vec![]), Some(&there)).unwrap();
        assert_eq!(format(input.storage_descriptor()), FileFormat::Parquet);
    }
}
