//! What the ledgers want the catalog to say, and how that differs from what it says.

use std::collections::BTreeMap;

use super::super::drift::{ColumnDrift, LEDGER_VERSION, column_drift};
use super::super::{FileFormat, Partition};
use crate::ledger::{Generation, LedgerVersion};
use crate::schema::Column;
use crate::standardize::reject;

/// What a ledger version wants the catalog to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The partition of the table.
    pub live: Partition,
    /// The partition of the quarantine; none while nothing has been quarantined.
    pub quarantine: Option<Partition>,
}

/// What has to change in the catalog for some partitions of one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CatalogChange {
    /// Partitions that the catalog does not have.
    pub create: Vec<Partition>,
    /// Partitions that it has differently.
    pub update: Vec<Update>,
}

/// A partition that the catalog has differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// As the catalog has it.
    pub from: Partition,
    /// As its ledger says.
    pub to: Partition,
}

impl CatalogChange {
    /// True if the catalog says what the ledgers say.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty()
    }

    /// The values of the partitions that are to be written.
    pub fn values(&self) -> impl Iterator<Item = &Vec<String>> {
        self.create.iter().chain(self.update.iter().map(|update| &update.to)).map(|partition| &partition.values)
    }
}

impl Wanted {
    /// What this version wants.
    pub fn of(version: &LedgerVersion) -> Self {
        let quarantine = version.quarantine.as_ref().map(|generation| entry(version, generation, reject::columns()));
        Self { live: entry(version, &version.generation, version.columns.clone()), quarantine }
    }
}

fn entry(version: &LedgerVersion, generation: &Generation, columns: Vec<Column>) -> Partition {
    let parameters: [(&str, String); 4] = [
        ("classification", "parquet".to_string()),
        ("lakebed.generation", generation.id.to_string()),
        (LEDGER_VERSION, version.version.to_string()),
        ("lakebed.rows", generation.rows().to_string()),
    ];
    let parameters = parameters.map(|(key, value)| (key.to_string(), value)).into();
    let (values, location) = (version.partition.values(), generation.location.clone());
    Partition { values, location, columns, format: FileFormat::Parquet, parameters }
}

/// The difference between what is wanted and what is there. Parameters that are not lakebed's own make none.
pub fn difference(wanted: Vec<Partition>, there: &[Partition]) -> CatalogChange {
    let there: BTreeMap<_, _> = there.iter().map(|partition| (&partition.values, partition)).collect();
    let mut change = CatalogChange::default();
    for to in wanted {
        match there.get(&to.values) {
            None => change.create.push(to),
            Some(from) if says(from, &to) => {}
            Some(from) => change.update.push(Update { from: (*from).clone(), to }),
        }
    }
    change
}

fn says(there: &Partition, wanted: &Partition) -> bool {
    let parameters = wanted.parameters.iter().all(|(key, value)| there.parameters.get(key) == Some(value));
    // Comments do not count: another version of lakebed may word those of the quarantine in another way.
    let columns = column_drift(&wanted.columns, &there.columns) == ColumnDrift::default();
    parameters && columns && (&there.location, &there.format) == (&wanted.location, &wanted.format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::GenerationId;
    use crate::ledger::DataFile;
    use crate::ledger::testing::{source, version};
    use crate::schema::HiveType;

    fn hours(values: impl Iterator<Item = Vec<String>>) -> Vec<String> {
        values.map(|mut values| values.pop().unwrap()).collect()
    }

    fn wanted() -> Partition {
        Wanted::of(&version("14", 2, vec![source("14", "a")])).live
    }

    #[test]
    fn a_partition_says_which_version_of_the_ledger_it_shows() {
        let partition = wanted();
        assert_eq!(partition.values, ["2026", "11", "19", "14"]);
        assert!(partition.location.ends_with("/hour=14/g00000002-01J00000000000000000000000/"));
        assert_eq!(partition.parameters["lakebed.ledger_version"], "2");
        assert_eq!(partition.parameters["lakebed.rows"], "10");
        assert_eq!(partition.parameters["classification"], "parquet");
    }

    #[test]
    fn what_is_missing_is_created_what_differs_is_updated_and_the_rest_left() {
        let [a, b, c] = ["13", "14", "15"].map(|hour| Wanted::of(&version(hour, 1, vec![source(hour, "a")])).live);
        let old = Partition { location: "file:///elsewhere/".into(), ..c.clone() };
        let foreign = Partition { values: vec!["x".into()], ..a.clone() };
        let change = difference(vec![a.clone(), b.clone(), c.clone()], &[b, old.clone(), foreign]);
        assert_eq!(hours(change.values().cloned()), ["13", "15"]);
        assert_eq!(change, CatalogChange { create: vec![a], update: vec![Update { from: old, to: c.clone() }] });
        assert!(!change.is_empty() && difference(vec![c.clone()], &[c]).is_empty());
        assert!(difference(vec![], &[wanted()]).is_empty());
    }

    #[test]
    fn other_columns_and_lost_parameters_are_a_difference_and_what_others_noted_is_none() {
        let differs = |there: Partition| !difference(vec![wanted()], &[there]).is_empty();
        let column = Column { name: "id".into(), hive: HiveType::BigInt, comment: None };
        assert!(differs(Partition { columns: vec![column], ..wanted() }));
        let mut there = wanted();
        there.parameters.insert("owner".into(), "shop".into());
        assert!(!differs(there.clone()));
        there.parameters.remove("lakebed.rows");
        assert!(differs(there));
    }

    #[test]
    fn the_quarantine_is_a_partition_of_its_own_once_there_is_one() {
        let mut head = version("14", 1, vec![source("14", "a")]);
        assert_eq!(Wanted::of(&head).quarantine, None);
        let id = GenerationId { number: 1, attempt: "01J00000000000000000000000".into() };
        let files = vec![DataFile { name: "part-00000.parquet".into(), rows: 3, bytes: 9 }];
        head.quarantine = Some(Generation { id, location: "file:///state/quarantine/".into(), files });
        let partition = Wanted::of(&head).quarantine.unwrap();
        assert_eq!((partition.location.as_str(), &*partition.parameters["lakebed.rows"]), ("file:///state/quarantine/", "3"));
        assert_eq!((partition.columns, partition.values), (reject::columns(), wanted().values));
    }
}
