//! Tables and partitions as Glue spells them, and back: what lakebed does not know of stays as it is.

use aws_sdk_glue::types::{self, PartitionInput, SerDeInfo, StorageDescriptor, TableInput};

use super::super::{FileFormat, Parameters, Partition, Table, TableName};
use crate::error::{Error, Result};
use crate::schema::{Column, HiveType};

// The canonical descriptor of Parquet in Hive's words, as Athena, Redshift Spectrum and EMR read it.
const INPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";

/// The type of tables whose files go with them.
const MANAGED: &str = "MANAGED_TABLE";

/// The parameter of the SerDe with which readers take columns by their place in the file: where files have other columns than the table,
/// each then has the values of another.
const BY_PLACE: &str = "parquet.column.index.access";

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
        external: from.table_type() != Some(MANAGED),
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

/// A partition of Glue as the port has it. Columns whose types are none of Hive's are left out: no reader takes its files for plain Parquet.
pub(super) fn partition(from: &types::Partition) -> Partition {
    let storage = from.storage_descriptor();
    let read: Vec<Result<Column>> = storage.map_or(&[][..], StorageDescriptor::columns).iter().map(column).collect();
    let wrong = read.iter().find_map(|column| column.as_ref().err());
    Partition {
        values: from.values().to_vec(),
        location: storage.and_then(StorageDescriptor::location).unwrap_or_default().to_string(),
        format: wrong.map_or_else(|| format(storage), |e| FileFormat::Other(format!("of a type that Hive does not have ({e})"))),
        columns: read.into_iter().flatten().collect(),
        parameters: parameters(from.parameters.as_ref()),
    }
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
    if let Some(parameters) = serde.as_mut().and_then(|serde| serde.parameters.as_mut()) {
        parameters.remove(BY_PLACE);
    }
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
    let info = storage.and_then(StorageDescriptor::serde_info);
    let serde = info.and_then(SerDeInfo::serialization_library).unwrap_or("none");
    if (input, serde) != (INPUT_FORMAT, SERDE) {
        return FileFormat::Other(format!("input format {input} with SerDe {serde}"));
    }
    match info.and_then(SerDeInfo::parameters).and_then(|parameters| parameters.get(BY_PLACE)) {
        Some(value) if !value.eq_ignore_ascii_case("false") => {
            FileFormat::Other(format!("Parquet whose columns are taken by their place (SerDe parameter {BY_PLACE} = {value})"))
        }
        _ => FileFormat::Parquet,
    }
}

fn columns(from: &[types::Column]) -> Result<Vec<Column>> {
    from.iter().map(column).collect()
}

fn column(from: &types::Column) -> Result<Column> {
    let hive = HiveType::parse(from.r#type().unwrap_or_default()).map_err(|e| Error::data(format!("column {}: {e}", from.name())))?;
    Ok(Column { name: from.name().to_string(), hive, comment: from.comment().map(str::to_string) })
}

fn parameters(from: Option<&std::collections::HashMap<String, String>>) -> Parameters {
    from.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column_of(name: &str, hive: HiveType) -> Column {
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
        let next = partition_of(vec![column_of("b", HiveType::Int), column_of("a", HiveType::String), column_of("d", HiveType::Int)]);
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
        let storage = StorageDescriptor::builder().location("s3://lake/g1/").input_format("org.apache.hadoop.mapred.TextInputFormat");
        let there = types::Partition::builder().values("14").storage_descriptor(storage.build()).build();
        let read = partition(&there);
        assert_eq!(read.format, FileFormat::Other("input format org.apache.hadoop.mapred.TextInputFormat with SerDe none".into()));
        let input = partition_input(&partition_of(vec![]), Some(&there)).unwrap();
        assert_eq!(format(input.storage_descriptor()), FileFormat::Parquet);
    }

    #[test]
    fn a_type_that_is_none_of_hives_is_seen_and_hides_no_partition() {
        let odd = |name: &str, hive: &str| types::Column::builder().name(name).r#type(hive).build().unwrap();
        let storage = StorageDescriptor::builder().columns(odd("a", "bigint")).columns(odd("b", "timestamptz")).build();
        let read = partition(&types::Partition::builder().values("14").storage_descriptor(storage).build());
        assert_eq!(read.columns, [column_of("a", HiveType::BigInt)]);
        let FileFormat::Other(told) = read.format else { panic!("{read:?}") };
        assert!(told.starts_with("of a type that Hive does not have (column b: "), "{told}");
    }

    #[test]
    fn columns_by_their_place_are_seen_and_set_back() {
        let with = |value: &str| {
            let serde =
                SerDeInfo::builder().serialization_library(SERDE).parameters(BY_PLACE, value).parameters("serialization.format", "1");
            StorageDescriptor::builder().input_format(INPUT_FORMAT).serde_info(serde.build()).build()
        };
        let by_place = "Parquet whose columns are taken by their place (SerDe parameter parquet.column.index.access = true)";
        assert_eq!(format(Some(&with("true"))), FileFormat::Other(by_place.into()));
        assert_eq!(format(Some(&with("false"))), FileFormat::Parquet);
        let there = types::Partition::builder().values("14").storage_descriptor(with("true")).build();
        let input = partition_input(&partition_of(vec![]), Some(&there)).unwrap();
        let parameters = input.storage_descriptor().unwrap().serde_info().unwrap().parameters().unwrap().clone();
        assert_eq!(parameters, [("serialization.format".to_string(), "1".to_string())].into());
    }

    #[test]
    fn a_table_whose_files_go_with_it_is_seen_and_left_so() {
        let name = TableName { database: "shop".into(), name: "clicks".into() };
        let of = |kind: &str| types::Table::builder().name("clicks").table_type(kind).build().unwrap();
        assert!(table(&name, &of("EXTERNAL_TABLE")).unwrap().external && !table(&name, &of(MANAGED)).unwrap().external);
        let managed = of(MANAGED);
        let input = table_input(&table(&name, &managed).unwrap(), Some(&managed)).unwrap();
        assert_eq!(input.table_type(), Some(MANAGED));
    }
}
