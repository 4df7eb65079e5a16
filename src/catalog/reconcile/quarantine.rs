//! The table of a quarantine: made when it is first needed, given the columns that came since, and told of where something else changed it.

use super::super::drift::{ColumnDrift, column_drift, not_external, told};
use super::super::limits::check_registered;
use super::super::{Catalog, FileFormat, Parameters, Table};
use crate::error::{Kind, Result};
use crate::layout;
use crate::schema::Column;
use crate::standardize::reject;

/// The quarantine's table, which is made if it does not exist, and what something else than lakebed changed on it.
///
/// # Errors
/// Those of the catalog; `Config` if readers would not see what is registered.
pub(super) async fn ensure(catalog: &dyn Catalog, table: &Table, url: &str) -> Result<(Table, Option<String>)> {
    let wanted = wanted(table, url);
    let Some(there) = catalog.table(&wanted.name).await? else {
        return match catalog.create_table(&wanted).await {
            Err(e) if e.kind() != Kind::Conflict => Err(e),
            _ => Ok((wanted, None)),
        };
    };
    check_registered(&there)?;
    let there = match wider(&there) {
        Some(wider) => {
            match catalog.update_table(&wider).await {
                // Another run did it.
                Err(e) if e.kind() != Kind::Conflict => return Err(e),
                _ => wider,
            }
        }
        None => there,
    };
    let changes = changes(&wanted, &there);
    Ok((there, changes))
}

fn wanted(table: &Table, url: &str) -> Table {
    let mut parameters: Parameters = [("EXTERNAL", "TRUE"), ("classification", "parquet"), ("typeOfData", "file")]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .into();
    let codec = table.parameters.get_key_value("compressionType");
    parameters.extend(codec.map(|(key, value)| (key.clone(), value.clone())));
    Table {
        name: layout::quarantine_table(&table.name),
        columns: reject::columns(),
        partition_keys: table.partition_keys.clone(),
        location: url.to_string(),
        format: FileFormat::Parquet,
        external: true,
        parameters,
        version: 0,
    }
}

/// A quarantine that an older lakebed made, with the columns that came since behind those that it has: its files read as before.
fn wider(there: &Table) -> Option<Table> {
    let ColumnDrift { appended, other } = column_drift(&there.columns, &reject::columns());
    if appended.is_empty() || !other.is_empty() {
        return None;
    }
    let columns = there.columns.iter().cloned().chain(appended).collect();
    Some(Table { columns, ..there.clone() })
}

/// What something else than lakebed changed. Registering goes on: each partition has a location, columns and a format of its own.
fn changes(wanted: &Table, there: &Table) -> Option<String> {
    let mut changes = Vec::new();
    let drift = |what: &str, wanted: &[Column], there: &[Column]| {
        let ColumnDrift { appended, other } = column_drift(wanted, there);
        let new = appended.into_iter().map(|column| format!("column {} is new", told(&column)));
        new.chain(other).map(|change| format!("{what}{change}")).collect::<Vec<_>>()
    };
    changes.extend(drift("", &wanted.columns, &there.columns));
    changes.extend(drift("of its partition keys, ", &wanted.partition_keys, &there.partition_keys));
    if there.location.trim_end_matches('/') != wanted.location.trim_end_matches('/') {
        changes.push(format!("its location is {} instead of {}", there.location, wanted.location));
    }
    if let FileFormat::Other(format) = &there.format {
        changes.push(format!("its files are said to be {format} instead of Parquet"));
    }
    let internal = not_external(there);
    let anew = match internal {
        Some(_) => "",
        None => {
            ", or delete the table there (its files and ledgers stay): a run makes it anew, and registers in it the hours that it looks at \
             (`--since`)"
        }
    };
    changes.extend(internal);
    (!changes.is_empty()).then(|| {
        format!(
            "something else than lakebed changed the table {} in the catalog: {}; it is left so; set it back in Glue or Athena{anew}",
            there.name,
            changes.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::catalog::local::LocalCatalog;
    use crate::schema::HiveType;

    fn clicks() -> Table {
        let name = TableName { database: "shop".into(), name: "clicks".into() };
        let keys = vec![Column { name: "hour".into(), hive: HiveType::String, comment: None }];
        Table { name, partition_keys: keys, columns: vec![], ..wanted(&empty(), "file:///lake/") }
    }

    fn empty() -> Table {
        Table {
            name: TableName { database: "shop".into(), name: "x".into() },
            columns: vec![],
            partition_keys: vec![],
            location: String::new(),
            format: FileFormat::Parquet,
            external: true,
            parameters: Parameters::new(),
            version: 0,
        }
    }

    #[tokio::test]
    async fn a_quarantine_of_before_gets_the_columns_that_came_since() {
        let (catalog, all) = (LocalCatalog::in_memory().unwrap(), reject::columns());
        catalog.ensure_database("shop").await.unwrap();
        let (made, none) = ensure(&catalog, &clicks(), "file:///quarantine/").await.unwrap();
        assert_eq!(none, None);
        let old = Table { columns: all[..7].to_vec(), ..catalog.table(&made.name).await.unwrap().unwrap() };
        catalog.update_table(&old).await.unwrap();
        for _ in 0..2 {
            let (there, changes) = ensure(&catalog, &clicks(), "file:///quarantine/").await.unwrap();
            assert_eq!((there.columns, changes), (all.clone(), None));
            assert_eq!(catalog.table(&made.name).await.unwrap().unwrap().columns, all);
        }
        assert_eq!(catalog.table_versions(&made.name).unwrap().len(), 3, "made, as it was before, and widened once");
    }

    #[test]
    fn what_somebody_changed_on_it_is_told() {
        let made = wanted(&clicks(), "file:///quarantine/");
        let check = |change: &dyn Fn(&mut Table), says: &str| {
            let mut there = made.clone();
            change(&mut there);
            let told = changes(&made, &there).unwrap_or_default();
            let expected = match says {
                "" => String::new(),
                says => format!("changed the table shop.clicks_quarantine in the catalog: {says}; it is left so"),
            };
            assert!(told.contains(&expected) && told.is_empty() == says.is_empty(), "{told}");
        };
        check(&|_| {}, "");
        check(&|table| table.columns[1].hive = HiveType::String, "column byte_offset is string instead of bigint");
        check(&|table| table.columns.push(clicks().partition_keys.remove(0)), "column hour string is new");
        check(&|table| drop(table.columns.remove(6)), "column raw binary is gone");
        check(&|table| table.partition_keys[0].hive = HiveType::Int, "of its partition keys, column hour is int instead of string");
        check(&|table| table.location = "file:///x/".into(), "its location is file:///x/ instead of file:///quarantine/");
        check(&|table| table.location = "file:///quarantine".into(), "");
        check(&|table| table.format = FileFormat::Other("ORC".into()), "its files are said to be ORC instead of Parquet");
        check(&|table| table.external = false, "it is a MANAGED_TABLE, whose files are removed with it when Hive or Spark drops it");
        check(&|table| table.columns[0].comment = None, "");
        check(&|table| drop(table.parameters.insert("owner".into(), "shop".into())), "");
    }
}
