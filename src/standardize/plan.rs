//! What the decoder does with each key of a record, worked out once per table.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::SchemaRef;

use super::privacy::{self, Place};
use super::rules::Rule;
use crate::config::{ColumnRules, Format, KeepRaw, NewColumns};
use crate::error::{Error, Result};
use crate::schema::{Column, HiveType, TableSchema, arrow_schema};

/// The column that keeps unknown fields.
pub const RESCUED: &str = "rescued";

/// How records become rows of one table.
#[derive(Debug)]
pub struct Plan {
    /// The Arrow schema of the rows.
    pub schema: SchemaRef,
    /// The keys of the record itself.
    pub root: ObjectPlan,
    /// Index of the `rescued` column, if unknown fields go there.
    pub rescued: Option<usize>,
    /// What happens to unknown fields.
    pub new_columns: NewColumns,
    /// Rules on whole columns, ordered by column.
    pub rules: Vec<Rule>,
    /// Share of an object's records that may be quarantined.
    pub max_ratio: f64,
    /// What the objects hold.
    pub format: Format,
    /// The records are in this array of each document.
    pub unwrap: Option<String>,
    /// What the quarantine keeps of a record's bytes.
    pub keep_raw: KeepRaw,
}

/// What to do with the keys of one kind of object.
#[derive(Debug, Default)]
pub struct ObjectPlan {
    /// The known keys, in the order of the columns.
    pub fields: Vec<FieldPlan>,
    /// A value somewhere in the object is private.
    pub private: bool,
    /// The keys of `fields`.
    keys: Vec<Key>,
    lookup: HashMap<Vec<u8>, usize>,
}

/// What to do with one key.
#[derive(Debug)]
pub struct FieldPlan {
    /// The key, normalized: lower case, `[a-z0-9_]`.
    pub key: String,
    /// The builders that its value goes to, each with its type.
    pub targets: Vec<(usize, Node)>,
    /// Keys below it that columns take their values from (`from = "page.url"`).
    pub below: Option<ObjectPlan>,
    /// The value is private as a whole: what no column takes of it is kept nowhere.
    pub private: bool,
}

/// A key as it stands in most records, and what its value is for.
#[derive(Debug)]
pub struct Key {
    /// The first 16 bytes of `text` as a number, to compare them at once.
    first: u128,
    /// The bits of `first` that belong to the text.
    mask: u128,
    /// The key with its quotes and the colon.
    text: Vec<u8>,
    /// The builder that takes the value, if it may be read plainly.
    pub alone: Option<Alone>,
}

/// The builder that takes a value, if there is just one and no other takes a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// It is one of texts as they are.
    Text(usize),
    /// It is another one.
    Other(usize),
}

impl Key {
    fn new(key: &str) -> Self {
        let text = format!("\"{key}\":").into_bytes();
        let (mut first, mut mask) = ([0; 16], [0; 16]);
        for (at, &byte) in text.iter().take(16).enumerate() {
            (first[at], mask[at]) = (byte, u8::MAX);
        }
        Self { first: u128::from_le_bytes(first), mask: u128::from_le_bytes(mask), text, alone: None }
    }

    /// How many bytes it takes with its quotes and the colon.
    #[inline]
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// True if `bytes` begin with the text; `first` are the first 16 of them.
    #[inline]
    fn begins(&self, first: u128, bytes: &[u8]) -> bool {
        (first ^ self.first) & self.mask == 0 && (self.text.len() <= 16 || bytes.starts_with(&self.text))
    }
}

/// How a value of some type is read.
#[derive(Debug)]
pub enum Node {
    /// A type without parts.
    Scalar(HiveType),
    /// `array<…>`
    List(Box<Node>),
    /// `map<…,…>`: the key's type and the value's.
    Map(HiveType, Box<Node>),
    /// `struct<…>`
    Struct(ObjectPlan),
}

impl Plan {
    /// True if a field of that name at the top of a record is one of the table's.
    pub fn knows(&self, name: &[u8]) -> bool {
        self.root.find(name).is_some()
    }

    /// The plan for a table's schema under its rules.
    ///
    /// # Errors
    /// `Config` if a rule names a column that the table does not have or does not fit its type, or if unknown fields are to be
    /// rescued and there is no column for them; if a private value would get into a column that does not hide it.
    pub fn new(schema: &TableSchema, rules: &BTreeMap<String, ColumnRules>, new_columns: NewColumns, max_ratio: f64) -> Result<Self> {
        let rescued = rescued_column(&schema.columns, rules, new_columns)?;
        let mut root = ObjectPlan::default();
        let read = schema.columns.iter().enumerate().filter(|(index, _)| Some(*index) != rescued);
        let places: Vec<Place<'_>> = read.map(|(index, column)| Place::new(index, column, rules)).collect();
        privacy::check_places(&places)?;
        for place in &places {
            root.insert(&place.path, place.index, Node::new(&place.column.hive), place.private);
        }
        for place in places.iter().filter(|place| place.private) {
            // A producer may have put it to the top by its column's name; and a broken record leaves objects of its own behind (see `Resync`).
            root.hide(&place.column.name);
            (0..place.path.len()).for_each(|keys| root.hide_joined(&place.path[keys..]));
        }
        let compiled = rules.iter().map(|(name, rule)| Rule::compile(name, rule, schema)).collect::<Result<Vec<_>>>()?;
        let (schema, keep_raw) = (arrow_schema(&schema.columns), KeepRaw::Redacted);
        Ok(Self { schema, root, rescued, new_columns, rules: compiled, max_ratio, format: Format::Json, unwrap: None, keep_raw })
    }
}

fn rescued_column(columns: &[Column], rules: &BTreeMap<String, ColumnRules>, new_columns: NewColumns) -> Result<Option<usize>> {
    if new_columns != NewColumns::Rescue {
        return Ok(None);
    }
    if rules.get(RESCUED).is_some_and(|rule| rule.privacy.is_some()) {
        return Err(Error::config(
            "[table.columns.rescued]: `privacy` is not for the column of unknown fields; set [table.evolution] new_columns = \"ignore\" to keep \
             none of them",
        ));
    }
    let text_map = HiveType::Map(Box::new(HiveType::String), Box::new(HiveType::String));
    match columns.iter().position(|column| column.name == RESCUED) {
        Some(index) if columns[index].hive == text_map => Ok(Some(index)),
        Some(index) => Err(Error::config(format!(
            "column rescued is {}, but unknown fields need map<string,string>; correct the migration or set [table.evolution] new_columns",
            columns[index].hive
        ))),
        None => Err(Error::config(
            "the table has no column `rescued map<string,string>` for unknown fields; add it to the migration, or set [table.evolution] new_columns to \"ignore\" or \"reject\"",
        )),
    }
}

impl Node {
    fn new(hive: &HiveType) -> Self {
        match hive {
            HiveType::Array(element) => Self::List(Box::new(Self::new(element))),
            HiveType::Map(key, value) => Self::Map((**key).clone(), Box::new(Self::new(value))),
            HiveType::Struct(fields) => {
                let mut object = ObjectPlan::default();
                for (index, (name, field)) in fields.iter().enumerate() {
                    object.insert(&[normalized(name)], index, Self::new(field), false);
                }
                Self::Struct(object)
            }
            scalar => Self::Scalar(scalar.clone()),
        }
    }

    /// True if values of the type may be read plainly as a whole.
    pub fn may_be_plain(&self) -> bool {
        match self {
            Self::Scalar(hive) => matches!(
                hive,
                HiveType::String
                    | HiveType::Timestamp
                    | HiveType::Boolean
                    | HiveType::Double
                    | HiveType::BigInt
                    | HiveType::Int
                    | HiveType::Decimal(..)
            ),
            Self::List(item) => item.may_be_plain(),
            Self::Map(key, value) => *key == HiveType::String && value.may_be_plain(),
            Self::Struct(plan) => plan.keys.iter().all(|key| key.alone.is_some()),
        }
    }
}

/// Fields that are compared one by one before a key is looked up.
const NEAR: usize = 4;

impl ObjectPlan {
    /// Adds a builder that takes its value from `path`, normalized.
    fn insert(&mut self, path: &[String], target: usize, node: Node, private: bool) {
        let Some((key, rest)) = path.split_first() else { return };
        self.private |= private;
        let index = self.field(key);
        let field = &mut self.fields[index];
        if rest.is_empty() {
            field.private |= private;
            field.targets.push((target, node));
        } else {
            field.below.get_or_insert_default().insert(rest, target, node, private);
        }
        let alone = match field.targets.as_slice() {
            [(target, Node::Scalar(HiveType::String))] => Some(Alone::Text(*target)),
            [(target, node)] if node.may_be_plain() => Some(Alone::Other(*target)),
            _ => None,
        };
        self.keys[index].alone = alone.filter(|_| field.below.is_none());
    }

    /// Adds a key that no builder takes and whose value is private, unless there is one of that name.
    fn hide(&mut self, key: &str) {
        if !self.lookup.contains_key(key.as_bytes()) {
            let index = self.field(key);
            self.fields[index].private = true;
        }
    }

    /// Hides the value at `path`, and what it is in, also where keys in a row are written as one, as producers do that flatten their objects.
    fn hide_joined(&mut self, path: &[String]) {
        for keys in 1..=path.len() {
            let key = path[..keys].join("_");
            match self.lookup.get(key.as_bytes()) {
                // Where columns take something else from.
                Some(&index) => self.fields[index].below.iter_mut().for_each(|below| below.hide_joined(&path[keys..])),
                None => self.hide(&key),
            }
        }
    }

    /// The number of the field with this key, which is added if it is new.
    fn field(&mut self, key: &str) -> usize {
        let next = self.fields.len();
        let index = *self.lookup.entry(key.as_bytes().to_vec()).or_insert(next);
        if index == next {
            self.keys.push(Key::new(key));
            self.fields.push(FieldPlan { key: key.to_string(), targets: Vec::new(), below: None, private: false });
        }
        index
    }

    /// The field whose key and colon `bytes` begin with, if it is one of the next in the order of the columns: records leave fields out.
    #[inline(always)]
    pub fn next(&self, bytes: &[u8], expected: usize) -> Option<(usize, &Key)> {
        let first = u128::from_le_bytes(*bytes.first_chunk()?);
        let near = self.keys.get(expected..)?.iter().take(NEAR);
        near.enumerate().find(|(_, key)| key.begins(first, bytes)).map(|(ahead, key)| (expected + ahead, key))
    }

    /// The field for a key as it stands in the record.
    pub fn find(&self, raw: &[u8]) -> Option<usize> {
        self.lookup.get(raw).or_else(|| self.lookup.get(&normalize(raw))).copied()
    }

    /// All builders that this object's keys fill.
    pub fn targets(&self) -> Vec<usize> {
        let below = |field: &FieldPlan| field.below.as_ref().map_or_else(Vec::new, Self::targets);
        self.fields.iter().flat_map(|field| field.targets.iter().map(|(index, _)| *index).chain(below(field))).collect()
    }
}

impl FieldPlan {
    /// True if a builder takes the value or a part of it.
    #[inline]
    pub fn is_read(&self) -> bool {
        self.below.is_some() || !self.targets.is_empty()
    }
}

/// [`normalize`] for text.
pub fn normalized(key: &str) -> String {
    String::from_utf8_lossy(&normalize(key.as_bytes())).into_owned()
}

/// A key as column names are written: ASCII letters lower, every character outside `[a-z0-9_]` becomes `_`, and so does no key at all.
pub fn normalize(key: &[u8]) -> Vec<u8> {
    if key.is_empty() {
        return b"_".to_vec();
    }
    let column = |b: u8| if b.is_ascii_alphanumeric() || b == b'_' { b.to_ascii_lowercase() } else { b'_' };
    // A character of several bytes becomes one `_`: its continuation bytes are left out.
    key.iter().filter(|b| !matches!(b, 0x80..=0xBF)).map(|&b| column(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_normalized_name() {
        let columns = ["event_id", "user_agent", "page"].map(|name| Column { name: name.into(), hive: HiveType::String, comment: None });
        let schema = TableSchema { columns: columns.to_vec(), partition_keys: vec![] };
        let plan = Plan::new(&schema, &BTreeMap::new(), NewColumns::Ignore, 1.0).unwrap();
        let find = |key: &str| plan.root.find(key.as_bytes());
        assert_eq!(find("event_id"), Some(0));
        assert_eq!(find("User-Agent"), Some(1));
        assert_eq!(find("useragent"), None);
    }

    #[test]
    fn a_column_may_come_from_another_place() {
        let columns = ["page", "page_url"].map(|name| Column { name: name.into(), hive: HiveType::String, comment: None });
        let schema = TableSchema { columns: columns.to_vec(), partition_keys: vec![] };
        let from = ColumnRules { from: Some(vec!["page".into(), "url".into()]), ..ColumnRules::default() };
        let plan = Plan::new(&schema, &BTreeMap::from([("page_url".into(), from)]), NewColumns::Ignore, 1.0).unwrap();
        assert_eq!(plan.root.fields.len(), 1);
        assert_eq!(plan.root.fields[0].targets.len(), 1);
        assert_eq!(plan.root.fields[0].below.as_ref().unwrap().targets(), vec![1]);
    }

    #[test]
    fn rescuing_needs_a_column_for_it() {
        let schema = TableSchema { columns: vec![], partition_keys: vec![] };
        let error = Plan::new(&schema, &BTreeMap::new(), NewColumns::Rescue, 1.0).unwrap_err();
        assert!(error.to_string().contains("no column `rescued map<string,string>`"), "{error}");
    }
}
