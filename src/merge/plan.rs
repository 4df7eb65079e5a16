//! Which landed objects go into which partition, and what a run has to do there. No I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::{Hour, Place};
use crate::landing::arrival::{Arrival, arrival, error_hour};
use crate::landing::prefix::Prefix;
use crate::landing::{self, LandedObject};
use crate::layout::PartitionId;
use crate::ledger::{LedgerVersion, Operation, RolledBack, Source};

/// Landed objects by what can be done with them now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Grouped {
    /// Objects of closed hours, by partition; each list in the order of hour and key.
    pub closed: BTreeMap<PartitionId, Vec<LandedObject>>,
    /// Objects of hours that are still open.
    pub open: u64,
}

/// What a run has to do with one partition, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionPlan {
    /// The partition.
    pub partition: PartitionId,
    /// What to do.
    pub action: Action,
    /// Keys of objects whose content changed after they were merged. They are left alone: only a repair takes them in.
    pub changed: Vec<String>,
    /// Landed objects that are in the partition already.
    pub merged: u64,
    /// Landed objects that the ledger names as set aside.
    pub rejected: u64,
    /// Landed objects that a rollback took out: no run undoes it.
    pub held: u64,
    /// The rollback that stands.
    pub rolled_back: Option<RolledBack>,
}

/// What to do with a partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Every landed object is in the partition already.
    UpToDate,
    /// Merge these objects, beside what the previous version holds.
    Merge {
        /// The ledger's newest version, if there is one.
        previous: Option<Box<LedgerVersion>>,
        /// What is not in it yet.
        objects: Vec<LandedObject>,
    },
}

impl Action {
    /// What a ledger version made by this action says of itself.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::UpToDate => None,
            Self::Merge { previous, .. } if previous.as_ref().is_some_and(|previous| !previous.is_void()) => Some(Operation::Amend),
            // Behind a version that only closed the partition, too.
            Self::Merge { .. } => Some(Operation::Create),
        }
    }
}

/// The partition that an object's rows belong to. Where rows say themselves where they belong, it is that of the arrival hour, without
/// the values of any columns: what has no better place belongs there.
///
/// # Errors
/// `Config` if the object's path lacks a value that `partition_by` needs.
pub fn partition_of(table: &TableConfig, object: &LandedObject) -> Result<PartitionId> {
    let value = |(key, expression): &(String, Prefix)| match expression.columns().is_empty() {
        true => Ok((key.clone(), expression.format(object.hour, &object.path_values)?)),
        false => Ok((key.clone(), String::new())),
    };
    Ok(PartitionId::new(table.partition_by.iter().map(value).collect::<Result<Vec<_>>>()?))
}

/// The object as it was when it was taken in, whatever lies there now.
pub fn landed(table: &TableConfig, source: &Source) -> LandedObject {
    let Source { key, etag, size, hour, came, .. } = source.clone();
    let path_values = match arrival(&key, &table.prefix, table.error_prefix.as_ref(), table.timezone) {
        Arrival::Landed { values, .. } => values,
        Arrival::ErrorOutput | Arrival::Unknown => BTreeMap::new(),
    };
    LandedObject { key, etag, size, hour, path_values, came }
}

/// True for an object below the error prefix: its records are in Firehose's reports, and each belongs to an hour of its own.
pub fn is_error_output(table: &TableConfig, key: &str) -> bool {
    arrival(key, &table.prefix, table.error_prefix.as_ref(), table.timezone) == Arrival::ErrorOutput
}

/// True if a record of an error object that arrived in `hour`, or does not tell when, is of the partition that the object is taken into.
pub fn same_partition(table: &TableConfig, object: &LandedObject, hour: Option<Hour>) -> bool {
    let own = || error_hour(&object.key, table.error_prefix.as_ref()?, table.timezone);
    let hour = hour.or_else(own).unwrap_or(object.hour);
    let other = LandedObject { hour, ..object.clone() };
    hour == object.hour || matches!((partition_of(table, &other), partition_of(table, object)), (Ok(one), Ok(other)) if one == other)
}

/// The partition that a person names.
///
/// # Errors
/// `Config` if a key is missing, or is none of the table's that stand beside the hour.
pub fn partition_at(table: &TableConfig, place: &Place) -> Result<PartitionId> {
    let beside: BTreeMap<&str, &str> = place.beside.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let wanted: Vec<&str> = table.partition_by.iter().filter(|(_, value)| !value.is_of_time()).map(|(key, _)| key.as_str()).collect();
    if place.beside.len() != wanted.len() || wanted.iter().any(|key| !beside.contains_key(key)) {
        let form: String = wanted.iter().map(|key| format!("/{key}=…")).collect();
        return Err(Error::config(format!("{}: a partition of this table is named like {}{form}", table.name, place.hour)));
    }
    let value = |(key, expression): &(String, Prefix)| match beside.get(key.as_str()) {
        Some(value) => Ok((key.clone(), (*value).to_string())),
        None => Ok((key.clone(), expression.format(place.hour, &BTreeMap::new())?)),
    };
    Ok(PartitionId::new(table.partition_by.iter().map(value).collect::<Result<Vec<_>>>()?))
}

/// The hour that a partition's values name, UTC; `None` if they do not tell it alone.
pub fn hour_at(table: &TableConfig, partition: &PartitionId) -> Option<Hour> {
    let of_time = table.partition_by.iter().zip(partition.entries()).filter(|((_, expression), _)| expression.is_of_time());
    let times = of_time.map(|((_, expression), entry)| expression.read_value(&entry.value));
    times.reduce(|one, other| Some(one?.and(other?)))??.arrival_hour(Tz::UTC)
}

/// How people name a partition, as [`partition_at`] reads it; its path, if its values do not tell the hour.
pub fn told_at(table: &TableConfig, partition: &PartitionId) -> String {
    let Some(hour) = hour_at(table, partition) else { return partition.to_string() };
    let beside = table.partition_by.iter().zip(partition.entries()).filter(|((_, expression), _)| !expression.is_of_time());
    beside.fold(hour.to_string(), |told, (_, entry)| format!("{told}/{}={}", entry.key, entry.value))
}

/// Sorts objects by partition; those of hours that are still open at `at` are only counted.
///
/// # Errors
/// As [`partition_of`].
pub fn group(table: &TableConfig, objects: Vec<LandedObject>, at: DateTime<Utc>) -> Result<Grouped> {
    let mut grouped = Grouped::default();
    for object in objects {
        if object.hour.is_closed(at, table.close_after) {
            grouped.closed.entry(partition_of(table, &object)?).or_default().push(object);
        } else {
            grouped.open += 1;
        }
    }
    for objects in grouped.closed.values_mut() {
        landing::in_order(objects);
    }
    Ok(grouped)
}

/// Decides what to do with a partition, from what landed and what its ledger says.
///
/// | the object | in the ledger | then |
/// |---|---|---|
/// | any | no | merge it |
/// | same etag | yes | leave it |
/// | another etag or size | as set aside whole | merge it: none of it is in the table, so nothing can come twice |
/// | another etag or size | otherwise | report it as changed, leave it |
/// | any | as held by a rollback | leave it |
pub fn plan(partition: PartitionId, previous: Option<LedgerVersion>, landed: Vec<LandedObject>) -> PartitionPlan {
    let source = |object: &LandedObject| previous.as_ref().and_then(|version| version.source(&object.key));
    let differs = |s: &Source, o: &LandedObject| (&s.etag, s.size) != (&o.etag, o.size);
    let is_held = |object: &LandedObject| previous.as_ref().is_some_and(|version| version.held(&object.key).is_some());
    let (mut changed, mut objects, mut merged, mut rejected, mut held) = (Vec::new(), Vec::new(), 0, 0, 0);
    for object in &landed {
        match source(object) {
            None if is_held(object) => held += 1,
            None => objects.push(object.clone()),
            Some(source) if source.rejected.is_some() && differs(source, object) => objects.push(object.clone()),
            Some(source) if source.rejected.is_some() => rejected += 1,
            Some(source) => {
                merged += 1;
                changed.extend(differs(source, object).then(|| object.key.clone()));
            }
        }
    }
    let rolled_back = previous.as_ref().and_then(|version| version.rolled_back.clone());
    let action = if objects.is_empty() { Action::UpToDate } else { Action::Merge { previous: previous.map(Box::new), objects } };
    PartitionPlan { partition, action, changed, merged, rejected, held, rolled_back }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::landing::testing::{landed, table};
    use crate::ledger::Source;
    use crate::ledger::testing::{empty, partition, source, version};

    /// The decision in words: what is merged, then what is known as merged, set aside and changed.
    fn check(in_ledger: Option<Vec<Source>>, landed: Vec<LandedObject>, expected: &str) {
        let previous = in_ledger.map(|sources| version("14", 1, sources));
        let plan = plan(partition("14"), previous.clone(), landed);
        let action = match &plan.action {
            Action::UpToDate => "up to date".to_string(),
            Action::Merge { previous: kept, objects } => {
                assert_eq!(kept.as_deref(), previous.as_ref());
                let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
                format!("{:?} {}", plan.action.operation().unwrap(), keys.join(" "))
            }
        };
        let said = format!("{action}; {} merged, {} rejected, changed: {}", plan.merged, plan.rejected, plan.changed.join(" "));
        assert_eq!(said, expected);
    }

    #[test]
    fn each_object_is_decided_on_by_what_the_ledger_says_of_it() {
        let (a, b) = (landed("14", "a"), landed("14", "b"));
        check(None, vec![a.clone(), b.clone()], "Create 14/a 14/b; 0 merged, 0 rejected, changed: ");
        check(Some(vec![source("14", "a")]), vec![a.clone(), b.clone()], "Amend 14/b; 1 merged, 0 rejected, changed: ");
        check(Some(vec![source("14", "a")]), vec![a.clone()], "up to date; 1 merged, 0 rejected, changed: ");
        let etag = LandedObject { etag: "f".into(), ..a.clone() };
        check(Some(vec![source("14", "a")]), vec![etag, b.clone()], "Amend 14/b; 1 merged, 0 rejected, changed: 14/a");
        let size = LandedObject { size: 101, ..a.clone() };
        check(Some(vec![source("14", "a")]), vec![size], "up to date; 1 merged, 0 rejected, changed: 14/a");
        let aside = Source { rejected: Some("gzip".into()), ..source("14", "a") };
        check(Some(vec![aside, source("14", "b")]), vec![a.clone(), b.clone()], "up to date; 1 merged, 1 rejected, changed: ");
        let rolled_back = LedgerVersion { held: vec![source("14", "b")], ..version("14", 2, vec![source("14", "a")]) };
        let plan = super::plan(partition("14"), Some(rolled_back), vec![a.clone(), b.clone()]);
        assert_eq!((plan.action, plan.merged, plan.held), (Action::UpToDate, 1, 1), "no run undoes a rollback");
        check(Some(vec![source("14", "a")]), vec![], "up to date; 0 merged, 0 rejected, changed: ");
        check(None, vec![], "up to date; 0 merged, 0 rejected, changed: ");
        assert_eq!(Action::UpToDate.operation(), None);
        let first = super::plan(partition("14"), Some(empty("14", 1)), vec![a]);
        assert_eq!(first.action.operation(), Some(Operation::Create), "what follows a version that only closed the partition is its first");
    }

    #[test]
    fn objects_of_open_hours_wait_and_the_others_come_in_order() {
        let at = "2026-11-19T16:10:00Z".parse().unwrap();
        let objects = vec![landed("15", "x"), landed("14", "b"), landed("14", "a"), landed("13", "z"), landed("16", "y")];
        let grouped = group(&table(""), objects, at).unwrap();
        let closed: Vec<(String, Vec<&str>)> =
            grouped.closed.iter().map(|(id, objects)| (id.to_string(), objects.iter().map(|o| o.key.as_str()).collect())).collect();
        let hour = |hour: &str| partition(hour).to_string();
        assert_eq!(closed, [(hour("13"), vec!["13/z"]), (hour("14"), vec!["14/a", "14/b"])]);
        assert_eq!(grouped.open, 2);
    }

    #[test]
    fn a_value_of_the_path_goes_into_the_partition() {
        let config = table(
            "prefix = \"c=!{partitionKeyFromQuery:c}/!{timestamp:yyyy/MM/dd/HH}/\"\npartition_by = \"c=!{partitionKeyFromQuery:c}/at=!{timestamp:yyyyMMddHH}\"\n",
        );
        let mut object = landed("14", "a");
        assert_eq!(partition_of(&config, &object).unwrap_err().kind(), Kind::Config);
        object.path_values.insert("c".into(), "a/b".into());
        let named = |text: &str| partition_at(&config, &text.parse().unwrap());
        assert_eq!(named("2026-11-19T14/c=a").unwrap().to_string(), "c=a/at=2026111914");
        assert_eq!(
            named("2026-11-19T14").unwrap_err().to_string(),
            "shop.clicks: a partition of this table is named like 2026-11-19T14/c=…"
        );
        assert!(named("2026-11-19T14/at=1").is_err());
        assert_eq!(partition_of(&config, &object).unwrap().to_string(), "c=a%2Fb/at=2026111914");
    }

    #[test]
    fn a_partition_tells_its_hour() {
        let told = |partition_by: &str, partition: &str| {
            let config = table(&format!("partition_by = \"{partition_by}\"\n"));
            hour_at(&config, &partition.parse().unwrap()).map_or("none".to_string(), |hour| hour.to_string())
        };
        let usual = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}";
        assert_eq!(told(usual, "year=2026/month=11/day=19/hour=07"), "2026-11-19T07");
        assert_eq!(told("at=!{timestamp:yyyy-MM-dd-HH}", "at=2026-11-19-07"), "2026-11-19T07");
        assert_eq!(told("p=!{column:page}/at=!{timestamp:yyyyDDD}/h=!{timestamp:H}", "p=a%2Fb/at=2026001/h=7"), "2026-01-01T07");
        assert_eq!(told("at=!{timestamp:yyyyMMdd}/h=!{timestamp:HH}-!{column:page}", "at=20261119/h=07-a"), "none");
        assert_eq!(told(usual, "year=2026/month=13/day=19/hour=07"), "none");
        let named =
            partition_at(&table("partition_by = \"p=!{column:page}/at=!{timestamp:yyyyMMddHH}\"\n"), &"2026-11-19T14/p=x".parse().unwrap());
        assert_eq!(named.unwrap().to_string(), "p=x/at=2026111914");
    }
}
