//! Which partition a row belongs to, where its own values decide. No I/O.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::landing::prefix::Prefix;
use crate::layout::{PartitionId, folder_name};
use crate::schema::{HiveType, TableSchema};

/// How long before the arrival hour a row's time may be: as long as a Kinesis stream can keep a record
/// (<https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>). A time before that is of a clock that is not set.
const BEFORE: TimeDelta = TimeDelta::days(365);

/// How long after the arrival hour a row's time may be: clocks of devices are off by a time zone, not by more.
const AFTER: TimeDelta = TimeDelta::hours(24);

/// Most partitions that one object may feed. Firehose itself keeps 500 apart.
pub const MOST: usize = 10_000;

/// The longest name of a folder, bytes: what local disks take. A value that would be longer counts as none.
const LONGEST: usize = 255;

/// The longest path of a partition, bytes. S3 takes keys of 1024: what is left is for the location, and for generations, files and ledger versions.
/// A value that would make a path longer counts as none.
const LONGEST_PATH: usize = 640;

/// Where a value stands in a row: the column, then the fields of structs.
type Place = Vec<usize>;

/// What tells the partition of each row of one table.
#[derive(Debug)]
pub struct Scatter {
    keys: Vec<(String, Prefix)>,
    time: Option<Place>,
    /// What `!{column:…}` names, and where it stands.
    columns: Vec<(String, Place)>,
}

impl Scatter {
    /// That of a table, if its rows scatter.
    ///
    /// # Errors
    /// `Config` if there is no such column, or its type cannot name a partition.
    pub fn new(config: &TableConfig, schema: &TableSchema) -> Result<Option<Self>> {
        if !config.scatters() {
            return Ok(None);
        }
        let wrong = |e: String| Error::config(format!("{}: {e}", config.name));
        let time = config.time.as_deref().map(|name| match find(schema, name) {
            Some((place, HiveType::Timestamp)) => Ok(place),
            Some((_, other)) => Err(wrong(format!("`time` names {name}, which is {other}; name a timestamp column"))),
            None => Err(wrong(format!("`time` names {name}, which the table does not have; name one of its timestamp columns"))),
        });
        let named = config.partition_by.iter().flat_map(|(key, value)| value.columns().into_iter().map(move |name| (key, name)));
        let mut columns: BTreeMap<String, Place> = BTreeMap::new();
        for (key, name) in named {
            let (place, hive) = find(schema, name).ok_or_else(|| {
                wrong(format!("partition key {key} is made of column {name}, which the table does not have; correct partition_by"))
            })?;
            if !names_partitions(hive) {
                return Err(wrong(format!(
                    "partition key {key} is made of column {name}, which is {hive}; use a text, an integer, a boolean or a date"
                )));
            }
            columns.insert(name.to_string(), place);
        }
        Ok(Some(Self { keys: config.partition_by.clone(), time: time.transpose()?, columns: columns.into_iter().collect() }))
    }

    /// The partitions of one object's rows, none of which is known yet.
    pub fn places<'a>(&'a self, object: &'a LandedObject) -> Places<'a> {
        let (numbers, known, partitions) = (HashMap::new(), HashMap::new(), Vec::new());
        Places { scatter: self, object, numbers, known, partitions, untimed: 0, digest: Sha256::new() }
    }
}

fn find<'s>(schema: &'s TableSchema, name: &str) -> Option<(Place, &'s HiveType)> {
    let mut parts = name.split('.');
    let column = schema.column_index(parts.next()?)?;
    let (mut place, mut hive) = (vec![column], &schema.columns[column].hive);
    for part in parts {
        let HiveType::Struct(fields) = hive else { return None };
        let field = fields.iter().position(|(name, _)| name == part)?;
        place.push(field);
        hive = &fields[field].1;
    }
    Some((place, hive))
}

fn names_partitions(hive: &HiveType) -> bool {
    use HiveType::{BigInt, Boolean, Char, Date, Int, SmallInt, String, TinyInt, Varchar};
    matches!(hive, Boolean | TinyInt | SmallInt | Int | BigInt | String | Varchar(_) | Char(_) | Date)
}

/// The partitions that the rows of one object belong to, numbered as they come.
pub struct Places<'a> {
    scatter: &'a Scatter,
    object: &'a LandedObject,
    /// By what of a row decides.
    numbers: HashMap<Vec<u8>, u32>,
    /// Different values may be the same partition: null and what is too long for a folder.
    known: HashMap<PartitionId, u32>,
    partitions: Vec<PartitionId>,
    untimed: u64,
    /// Of the numbers of all rows so far.
    digest: Sha256,
}

impl Places<'_> {
    /// For each row of a batch the number of its partition.
    ///
    /// # Errors
    /// `Data` if the object's rows belong to more partitions than one object may feed.
    pub fn of(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let failed = |e: arrow::error::ArrowError| Error::internal(format!("object {}: {e}", self.object.key));
        let times = self.scatter.time.as_ref().map(|place| Column::at(batch, place)).transpose().map_err(failed)?;
        let columns = self.scatter.columns.iter().map(|(_, place)| Column::at(batch, place)?.texts()).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(failed)?;
        let (mut numbers, mut key) = (Vec::with_capacity(batch.num_rows()), Vec::new());
        for row in 0..batch.num_rows() {
            let hour = times.as_ref().map_or(Some(self.object.hour), |times| plausible(times.time(row), self.object.hour));
            self.untimed += u64::from(hour.is_none());
            let hour = hour.unwrap_or(self.object.hour);
            key.clear();
            key.extend(hour.start().timestamp().to_le_bytes());
            for column in &columns {
                let text = column.get(row);
                key.extend(text.map_or(-1, |text| text.len() as i64).to_le_bytes());
                key.extend(text.unwrap_or_default().as_bytes());
            }
            let number = match self.numbers.get(&key) {
                Some(number) => *number,
                None => {
                    let texts: Vec<Option<&str>> = columns.iter().map(|column| column.get(row)).collect();
                    self.number(key.clone(), hour, &texts)?
                }
            };
            self.digest.update(number.to_le_bytes());
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// The partitions, by their numbers.
    pub fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    /// Rows that have no time, or one that cannot be theirs; they belong to the arrival hour.
    pub fn untimed(&self) -> u64 {
        self.untimed
    }

    /// A hash of which row belongs where: the same for two readings of an object if each of its rows has the same place.
    pub fn placement(&self) -> String {
        let mut digest = self.digest.clone();
        self.partitions.iter().for_each(|partition| digest.update(format!("{partition}\n")));
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn number(&mut self, key: Vec<u8>, hour: Hour, texts: &[Option<&str>]) -> Result<u32> {
        let id = self.partition(hour, texts)?;
        let next = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(id.clone()).or_insert(next);
        if number == next {
            self.partitions.push(id);
        }
        // Values that are many, be they of one partition, are as bad.
        if self.numbers.len() >= MOST {
            return Err(Error::data(format!(
                "object {}: its rows belong to more than {MOST} partitions, which is the most of one object; make partition_by of columns \
                 with fewer values",
                self.object.key
            )));
        }
        self.numbers.insert(key, number);
        Ok(number)
    }

    fn partition(&self, hour: Hour, texts: &[Option<&str>]) -> Result<PartitionId> {
        let names = self.scatter.columns.iter().map(|(name, _)| name.as_str());
        let there: BTreeMap<&str, &str> = names.zip(texts).filter_map(|(name, text)| Some((name, (*text)?))).collect();
        let value = |(key, expression): &(String, Prefix)| {
            // Without one of its parts a value is none.
            if expression.columns().iter().any(|name| !there.contains_key(name)) {
                return Ok((key.clone(), String::new()));
            }
            let value = expression.format_row(hour, &self.object.path_values, &there)?;
            let fits = folder_name(key, &value).len() <= LONGEST;
            Ok((key.clone(), if fits { value } else { String::new() }))
        };
        let mut values = self.scatter.keys.iter().map(value).collect::<Result<Vec<_>>>()?;
        let is_of_row: Vec<bool> = self.scatter.keys.iter().map(|(_, expression)| !expression.columns().is_empty()).collect();
        let bytes = |(key, value): &(String, String)| folder_name(key, value).len() + 1;
        let others: usize = values.iter().zip(&is_of_row).filter(|(_, of_row)| !**of_row).map(|(one, _)| bytes(one)).sum();
        let mut room = LONGEST_PATH.saturating_sub(others);
        for (one, _) in values.iter_mut().zip(&is_of_row).filter(|(_, of_row)| **of_row) {
            if bytes(one) > room {
                one.1.clear();
            }
            room = room.saturating_sub(bytes(one));
        }
        Ok(PartitionId::new(values))
    }
}

/// The hour of a row's time, if it can be that of an object that arrived in that hour.
fn plausible(time: Option<DateTime<Utc>>, arrival: Hour) -> Option<Hour> {
    let time = time?;
    let fits = arrival.start() - BEFORE <= time && time < arrival.end() + AFTER;
    fits.then(|| Hour::of(time))
}

/// One column of a batch, or a field of it.
struct Column {
    values: ArrayRef,
    /// Where it, or a struct around it, is null.
    nulls: Option<NullBuffer>,
}

impl Column {
    fn at(batch: &RecordBatch, place: &[usize]) -> Result<Self, arrow::error::ArrowError> {
        let mut values: &ArrayRef = batch.column(place[0]);
        let mut nulls = values.nulls().cloned();
        for &field in &place[1..] {
            let around = values.as_struct_opt();
            values = around.ok_or_else(|| arrow::error::ArrowError::SchemaError("a column is no struct".to_string()))?.column(field);
            nulls = NullBuffer::union(nulls.as_ref(), values.nulls());
        }
        Ok(Self { values: values.clone(), nulls })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn time(&self, row: usize) -> Option<DateTime<Utc>> {
        let times = self.values.as_primitive_opt::<TimestampMicrosecondType>()?;
        if self.is_null(row) { None } else { DateTime::from_timestamp_micros(times.value(row)) }
    }

    fn texts(self) -> Result<Texts, arrow::error::ArrowError> {
        Ok(Texts { values: cast(&self.values, &DataType::Utf8)?.as_string::<i32>().clone(), nulls: self.nulls })
    }
}

struct Texts {
    values: StringArray,
    nulls: Option<NullBuffer>,
}

impl Texts {
    fn get(&self, row: usize) -> Option<&str> {
        let null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        // What is too long for a folder is not remembered either.
        (!null).then(|| self.values.value(row)).filter(|text| text.len() <= LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::{landed, table};
    use crate::schema::{Column as SchemaColumn, arrow_schema};

    const COLUMNS: [(&str, &str); 6] = [
        ("at", "timestamp"),
        ("page", "string"),
        ("n", "bigint"),
        ("day", "date"),
        ("who", "struct<id:string,deep:struct<flag:boolean>>"),
        ("score", "double"),
    ];

    fn schema() -> TableSchema {
        let column = |(name, hive)| SchemaColumn { name: String::from(name), hive: HiveType::parse(hive).unwrap(), comment: None };
        TableSchema { columns: COLUMNS.map(column).to_vec(), partition_keys: vec![] }
    }

    fn rows(json: &[&str]) -> RecordBatch {
        let mut decoder = arrow::json::ReaderBuilder::new(arrow_schema(&schema().columns)).build_decoder().unwrap();
        decoder.decode(json.join("\n").as_bytes()).unwrap();
        decoder.flush().unwrap().unwrap()
    }

    /// The partitions of rows of an object that arrived in 2026-11-19T14, and how many were without a time.
    fn check(settings: &str, json: &[&str], expected: &[&str], untimed: u64) {
        let scatter = Scatter::new(&table(settings), &schema()).unwrap().unwrap();
        let mut object = landed("14", "a");
        object.path_values.insert("k".into(), "v".into());
        let mut places = scatter.places(&object);
        let numbers = places.of(&rows(json)).unwrap();
        let told: Vec<String> = numbers.iter().map(|number| places.partitions()[*number as usize].to_string()).collect();
        assert_eq!(told, expected, "{settings}");
        assert_eq!(places.untimed(), untimed, "{settings}");
    }

    #[test]
    fn no_path_is_longer_than_a_bucket_takes() {
        let keys = ["a", "b", "c", "d"].map(|key| format!("{key}=!{{column:page}}")).join("/");
        let hour = "hour=!{timestamp:yyyy-MM-dd-HH}";
        let settings = format!("partition_by = \"{keys}/{hour}\"");
        let scatter = Scatter::new(&table(&settings), &schema()).unwrap().unwrap();
        let object = landed("14", "x");
        let mut places = scatter.places(&object);
        places.of(&rows(&[&format!(r#"{{"page":"{}"}}"#, "p".repeat(250))])).unwrap();
        let path = places.partitions()[0].to_string();
        let (none, long) = ("__HIVE_DEFAULT_PARTITION__", "p".repeat(250));
        assert_eq!(path, format!("a={long}/b={long}/c={none}/d={none}/hour=2026-11-19-14"));
        assert!(path.len() <= LONGEST_PATH);
    }

    #[test]
    fn a_row_belongs_to_the_hour_of_its_time_if_it_can_be_that() {
        let settings = "time = \"at\"\npartition_by = \"at=!{timestamp:yyyyMMddHH}\"";
        let at = ["2026-11-19T13:59:59.999999Z", "2026-11-19T14:00:00Z", "2025-11-19T14:00:00Z", "2026-11-20T14:59:59Z"];
        let json = at.map(|at| format!("{{\"at\":\"{at}\"}}"));
        let json: Vec<&str> = json.iter().map(String::as_str).collect();
        check(settings, &json, &["at=2026111913", "at=2026111914", "at=2025111914", "at=2026112014"], 0);
        let wild = ["{}", "{\"at\":\"1970-01-01T00:00:00Z\"}", "{\"at\":\"2025-11-19T13:59:59Z\"}", "{\"at\":\"2026-11-20T15:00:00Z\"}"];
        check(settings, &wild, &["at=2026111914"; 4], 4);
    }

    #[test]
    fn values_name_partitions_as_hive_names_them() {
        let of = |value: &str| format!("partition_by = \"k={value}/at=!{{timestamp:yyyyMMddHH}}\"");
        let pages = ["{\"page\":\"a/b\"}", "{\"page\":\"é x=\"}", "{\"page\":\"\"}", "{}", "{\"page\":\"__HIVE_DEFAULT_PARTITION__\"}"];
        let none = "k=__HIVE_DEFAULT_PARTITION__/at=2026111914";
        check(&of("!{column:page}"), &pages, &["k=a%2Fb/at=2026111914", "k=é x%3D/at=2026111914", none, none, none], 0);
        let (fits, long) = ("x".repeat(253), "é".repeat(127));
        let json = [format!("{{\"page\":\"{fits}\"}}"), format!("{{\"page\":\"{long}\"}}")];
        check(&of("!{column:page}"), &[&json[0], &json[1]], &[&format!("k={fits}/at=2026111914"), none], 0);
        let json = ["{\"n\":-7,\"day\":\"2026-01-02\"}", "{\"n\":7}"];
        check(&of("!{column:n} !{column:day}"), &json, &["k=-7 2026-01-02/at=2026111914", none], 0);
        let json = ["{\"who\":{\"id\":\"a\",\"deep\":{\"flag\":true}}}", "{\"who\":{\"id\":\"b\"}}", "{}"];
        check(&of("!{column:who.id}"), &json, &["k=a/at=2026111914", "k=b/at=2026111914", none], 0);
        check(&of("!{column:who.deep.flag}"), &json, &["k=true/at=2026111914", none, none], 0);
    }

    #[test]
    fn values_of_the_path_are_the_objects() {
        let settings = "prefix = \"!{partitionKeyFromQuery:k}/!{timestamp:yyyy/MM/dd/HH}/\"\ntime = \"at\"\npartition_by = \
                        \"k=!{partitionKeyFromQuery:k}-!{column:n}/at=!{timestamp:yyyyMMddHH}\"";
        check(settings, &["{\"n\":1,\"at\":\"2026-11-19T02:00:00Z\"}"], &["k=v-1/at=2026111902"], 0);
    }

    #[test]
    fn one_object_feeds_a_bounded_number_of_partitions() {
        let scatter = Scatter::new(&table("partition_by = \"k=!{column:n}/at=!{timestamp:yyyyMMddHH}\""), &schema()).unwrap().unwrap();
        let object = landed("14", "a");
        let mut places = scatter.places(&object);
        let json: Vec<String> = (0..=MOST).map(|n| format!("{{\"n\":{n}}}")).collect();
        let mut refused = None;
        for some in json.chunks(1000) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            refused = refused.or(places.of(&rows(&some)).err());
        }
        assert!(refused.unwrap().to_string().contains("more than 10000 partitions"));
    }

    #[test]
    fn what_cannot_name_a_partition_is_refused() {
        let refused = |settings: &str| Scatter::new(&table(settings), &schema()).unwrap_err().to_string();
        let by = |place: &str| refused(&format!("partition_by = \"k=!{{column:{place}}}/at=!{{timestamp:yyyyMMddHH}}\""));
        assert!(Scatter::new(&table(""), &schema()).unwrap().is_none());
        assert_eq!(refused("time = \"page\""), "shop.clicks: `time` names page, which is string; name a timestamp column");
        assert!(refused("time = \"when\"").contains("`time` names when, which the table does not have"));
        assert!(by("score").ends_with("column score, which is double; use a text, an integer, a boolean or a date"), "{}", by("score"));
        assert!(by("who").contains("column who, which is struct"), "{}", by("who"));
        assert!(by("who.name").contains("column who.name, which the table does not have"), "{}", by("who.name"));
    }
}
