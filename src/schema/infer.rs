//! A first schema from what landed: feed it every document, then let it decide.

mod decide;
mod shape;
mod time;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::schema::{Column, HiveType, is_name};
use shape::Shape;

/// The column that keeps fields which the schema does not know, as JSON text.
pub const RESCUED: &str = "rescued";

/// The most places (columns, struct fields, and those inside them) that are told apart; it bounds the memory.
const MAX_PATHS: usize = 2000;

/// What all documents so far have in common. Memory is bounded; no value is kept.
#[derive(Debug)]
pub struct Inference {
    columns: Vec<Place>,
    /// The column of a key, as the documents spell it.
    by_key: HashMap<String, usize>,
    /// How many more places may be told apart.
    paths_left: usize,
    /// A key came after the last of them.
    skipped: bool,
}

/// A column to be.
#[derive(Debug)]
struct Place {
    name: String,
    /// The keys that it is made of, in order of appearance.
    keys: Vec<String>,
    shape: Shape,
}

/// The schema that fits all documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// Columns in order of first appearance, `rescued` last.
    pub columns: Vec<Column>,
    /// What a person should look at, a sentence each; they name columns and fields and hold no values.
    pub notes: Vec<String>,
}

impl Default for Inference {
    fn default() -> Self {
        Self { columns: Vec::new(), by_key: HashMap::new(), paths_left: MAX_PATHS, skipped: false }
    }
}

impl Inference {
    /// Takes one document in.
    pub fn add(&mut self, doc: &Map<String, Value>) {
        for (key, value) in doc {
            if let Some(index) = self.column_of(key) {
                self.columns[index].shape.add(value, 0, &mut self.paths_left);
            }
        }
    }

    /// The column that a key belongs to, a new one if there is none; nothing once there are too many.
    fn column_of(&mut self, key: &str) -> Option<usize> {
        if let Some(index) = self.by_key.get(key) {
            return Some(*index);
        }
        let name = column_name(key);
        let index = match self.columns.iter().position(|column| column.name == name) {
            Some(index) => index,
            None if self.paths_left == 0 || !is_name(&name) => {
                self.skipped = true;
                return None;
            }
            None => {
                self.paths_left -= 1;
                self.columns.push(Place { name, keys: Vec::new(), shape: Shape::default() });
                self.columns.len() - 1
            }
        };
        // Many spellings of one name may come; those beyond the bound are found by name each time.
        if self.by_key.len() < MAX_PATHS {
            self.by_key.insert(key.to_string(), index);
            self.columns[index].keys.push(key.to_string());
        }
        Some(index)
    }

    /// Decides the type of every column.
    pub fn finish(self) -> Inferred {
        let mut notes = Vec::new();
        let mut columns = Vec::new();
        for place in self.columns {
            spelling_notes(&place, &mut notes);
            if let Some(hive) = decide::hive_type(place.shape, &place.name, &mut notes) {
                columns.push(Column { name: place.name, hive, comment: None });
            }
        }
        if self.skipped {
            notes.push(format!(
                "some keys are left out, because they came after the first {MAX_PATHS} columns and fields or are longer than 255 \
                 characters; their values will be in `{RESCUED}`"
            ));
        }
        append_rescued(&mut columns, &mut notes);
        Inferred { columns, notes }
    }
}

/// The column that a key of a document becomes: lower case, and `_` for what Athena does not take in a name.
fn column_name(key: &str) -> String {
    let name: String = key.chars().map(|c| c.to_ascii_lowercase()).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() { "_".to_string() } else { name }
}

fn spelling_notes(place: &Place, notes: &mut Vec<String>) {
    let name = &place.name;
    match place.keys.as_slice() {
        [] => {}
        // A difference in case alone is none: documents are read without regard to it.
        [key] if key.eq_ignore_ascii_case(name) => {}
        [key] => notes.push(format!("`{name}`: the documents spell it `{}`", short(key))),
        keys => {
            let spelled: Vec<String> = keys.iter().take(5).map(|key| format!("`{}`", short(key))).collect();
            notes.push(format!("`{name}`: several keys become this column: {}; where a record has more than one, the first is taken and the others go to `{RESCUED}`", spelled.join(", ")));
        }
    }
}

/// A key in a note: it may be long or hold line breaks.
fn short(key: &str) -> String {
    key.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn append_rescued(columns: &mut Vec<Column>, notes: &mut Vec<String>) {
    let text_map = HiveType::Map(Box::new(HiveType::String), Box::new(HiveType::String));
    match columns.iter().find(|column| column.name == RESCUED) {
        None => columns.push(Column { name: RESCUED.to_string(), hive: text_map, comment: None }),
        Some(column) if column.hive == text_map => {}
        Some(column) => notes.push(format!(
            "`{RESCUED}`: the documents have it as {}, so unknown fields cannot be kept there; rename the column (`from`) \
             or set new_columns to ignore or reject",
            column.hive
        )),
    }
}

#[cfg(test)]
mod tests;
