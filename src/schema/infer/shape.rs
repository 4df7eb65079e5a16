//! What was seen at one place of the documents.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::time;
use crate::schema::hive::MAX_DEPTH;
use crate::schema::is_name;

/// An object with more different keys than these has data for keys.
const MAX_KEYS: usize = 64;

/// Integers beyond this are not all doubles: 2 to the power of 53.
const EXACT_IN_DOUBLE: u64 = 1 << 53;

/// Floats from here on may be integers that serde_json could not hold: 2 to the power of 63.
const BEYOND_BIGINT: f64 = 9_223_372_036_854_775_808.0;

/// The kinds of values at one place. Nulls leave no trace.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub bools: bool,
    pub numbers: Option<Numbers>,
    pub texts: Option<Texts>,
    pub object: Option<Box<Object>>,
    pub array: Option<Box<Shape>>,
    /// Arrays or objects so deep that their type would be beyond the limit.
    pub too_deep: bool,
}

/// Which numbers.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Numbers {
    pub floats: bool,
    /// Integers that a double may not hold.
    pub beyond_double: bool,
    /// Integers that a bigint does not hold.
    pub beyond_bigint: bool,
}

/// Which texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts {
    /// All of them are date-times.
    pub times: bool,
    /// One of those has no zone.
    pub zoneless: bool,
    /// One of those has digits below the microsecond.
    pub nanos: bool,
}

/// An object whose keys are names, or one whose keys are data.
#[derive(Debug)]
pub(super) enum Object {
    Struct(Fields),
    Map(MapReason, Shape),
}

/// The fields of an object, in order of first appearance.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// How often the object was seen.
    pub seen: u64,
    pub list: Vec<Field>,
    by_key: HashMap<String, usize>,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    /// As the documents spell it.
    pub key: String,
    /// How often it was seen.
    pub seen: u64,
    pub shape: Shape,
}

/// Why the keys of an object are taken for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapReason {
    ManyKeys,
    NotNames,
    CaseOnly,
    NoPathsLeft,
}

impl Shape {
    /// Takes in a value that lies in `level` arrays and objects; each new place costs one of `paths`.
    pub(super) fn add(&mut self, value: &Value, level: usize, paths: &mut usize) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.bools = true,
            Value::Number(number) => self.numbers.get_or_insert_default().add(number),
            Value::String(text) => {
                let one = Texts::of(text);
                self.texts = Some(self.texts.map_or(one, |texts| texts.merge(one)));
            }
            Value::Array(_) | Value::Object(_) if level >= MAX_DEPTH => self.too_deep = true,
            Value::Array(values) => {
                let element = self.array.get_or_insert_default();
                values.iter().for_each(|value| element.add(value, level + 1, paths));
            }
            Value::Object(object) => {
                self.object.get_or_insert_with(|| Box::new(Object::Struct(Fields::default()))).add(object, level + 1, paths);
            }
        }
    }

    /// Takes in what was seen at another place.
    fn merge(&mut self, other: Self) {
        self.bools |= other.bools;
        self.too_deep |= other.too_deep;
        if let Some(numbers) = other.numbers {
            let own = self.numbers.get_or_insert_default();
            own.floats |= numbers.floats;
            own.beyond_double |= numbers.beyond_double;
            own.beyond_bigint |= numbers.beyond_bigint;
        }
        if let Some(texts) = other.texts {
            self.texts = Some(self.texts.map_or(texts, |own| own.merge(texts)));
        }
        if let Some(element) = other.array {
            self.array.get_or_insert_default().merge(*element);
        }
        if let Some(object) = other.object {
            match &mut self.object {
                Some(own) => own.merge(*object),
                own => *own = Some(object),
            }
        }
    }

    /// How many places are told apart in it.
    fn paths(&self) -> usize {
        let elements = self.array.as_ref().map_or(0, |element| element.paths());
        elements + self.object.as_ref().map_or(0, |object| object.paths())
    }
}

impl Numbers {
    fn add(&mut self, number: &Number) {
        if let Some(signed) = number.as_i64() {
            self.beyond_double |= signed.unsigned_abs() > EXACT_IN_DOUBLE;
        } else if number.is_u64() || number.as_f64().is_some_and(|float| float.abs() >= BEYOND_BIGINT) {
            // serde_json makes a float of an integer of more than 64 bits; a float of that size is always whole, so that the two
            // cannot be told apart, and losing digits in silence would be the worse mistake.
            self.beyond_double = true;
            self.beyond_bigint = true;
        } else {
            self.floats = true;
        }
    }
}

impl Texts {
    fn of(text: &str) -> Self {
        let form = time::form(text);
        Self { times: form.is_some(), zoneless: form.is_some_and(|form| !form.zoned), nanos: form.is_some_and(|form| form.nanos) }
    }

    fn merge(self, other: Self) -> Self {
        Self { times: self.times && other.times, zoneless: self.zoneless || other.zoneless, nanos: self.nanos || other.nanos }
    }
}

impl Object {
    fn add(&mut self, object: &Map<String, Value>, level: usize, paths: &mut usize) {
        if let Self::Struct(fields) = self {
            fields.seen += 1;
        }
        for (key, value) in object {
            self.shape_of(key, paths).add(value, level, paths);
        }
    }

    /// Where the values of a key go. The object becomes a map if the key is no name for a field.
    fn shape_of(&mut self, key: &str, paths: &mut usize) -> &mut Shape {
        if let Self::Struct(fields) = self
            && let Some(reason) = fields.map_reason(key, *paths)
        {
            let before = self.paths();
            self.become_map(reason);
            *paths += before - self.paths();
        }
        match self {
            Self::Struct(fields) => {
                let (index, is_new) = fields.index_of(key);
                *paths -= usize::from(is_new);
                let field = &mut fields.list[index];
                field.seen += 1;
                &mut field.shape
            }
            Self::Map(_, values) => values,
        }
    }

    fn become_map(&mut self, reason: MapReason) {
        if let Self::Struct(fields) = self {
            *self = Self::Map(reason, std::mem::take(fields).into_values());
        }
    }

    fn merge(&mut self, other: Self) {
        match other {
            Self::Map(reason, theirs) => {
                self.become_map(reason);
                if let Self::Map(_, values) = self {
                    values.merge(theirs);
                }
            }
            Self::Struct(theirs) => {
                if let Self::Struct(fields) = self {
                    fields.seen += theirs.seen;
                }
                theirs.list.into_iter().for_each(|field| self.merge_field(field));
            }
        }
    }

    fn merge_field(&mut self, field: Field) {
        if let Self::Struct(fields) = self
            && let Some(reason) = fields.map_reason(&field.key, usize::MAX)
        {
            self.become_map(reason);
        }
        match self {
            Self::Struct(fields) => {
                let (index, _) = fields.index_of(&field.key);
                fields.list[index].seen += field.seen;
                fields.list[index].shape.merge(field.shape);
            }
            Self::Map(_, values) => values.merge(field.shape),
        }
    }

    fn paths(&self) -> usize {
        match self {
            Self::Struct(fields) => fields.list.iter().map(|field| 1 + field.shape.paths()).sum(),
            Self::Map(_, values) => values.paths(),
        }
    }
}

impl Fields {
    /// What all fields have in common, without their keys.
    pub(super) fn into_values(self) -> Shape {
        let mut values = Shape::default();
        self.list.into_iter().for_each(|field| values.merge(field.shape));
        values
    }

    /// Why a key cannot be one more field, with so many places left.
    fn map_reason(&self, key: &str, paths_left: usize) -> Option<MapReason> {
        if self.by_key.contains_key(key) {
            None
        } else if !is_name(&key.to_ascii_lowercase()) {
            Some(MapReason::NotNames)
        } else if self.list.iter().any(|field| field.key.eq_ignore_ascii_case(key)) {
            Some(MapReason::CaseOnly)
        } else if self.list.len() >= MAX_KEYS {
            Some(MapReason::ManyKeys)
        } else {
            (paths_left == 0).then_some(MapReason::NoPathsLeft)
        }
    }

    /// The field of a key, and whether it is new.
    fn index_of(&mut self, key: &str) -> (usize, bool) {
        if let Some(index) = self.by_key.get(key) {
            return (*index, false);
        }
        self.by_key.insert(key.to_string(), self.list.len());
        self.list.push(Field { key: key.to_string(), seen: 0, shape: Shape::default() });
        (self.list.len() - 1, true)
    }
}
