//! From what was seen at a place to the type of its column or field.

use super::shape::{Fields, MapReason, Numbers, Object, Shape, Texts};
use crate::schema::HiveType;

/// An object has to be seen this often before rare keys count as data.
const ENOUGH_OBJECTS: u64 = 10;

/// With no more keys than these, rare keys are optional fields.
const FEW_KEYS: usize = 3;

/// The type of a place, or `None` if it cannot be stored (objects that are always empty). `path` is for the notes.
pub(super) fn hive_type(shape: Shape, path: &str, notes: &mut Vec<String>) -> Option<HiveType> {
    let mut note = |text: String| notes.push(format!("`{path}`: {text}"));
    let kinds = kinds(&shape);
    if shape.too_deep {
        note("its arrays and objects are nested too deep for a type; taken as string, as JSON text".into());
        return Some(HiveType::String);
    }
    if kinds.len() > 1 {
        note(format!("holds {}; taken as string", kinds.join(" and ")));
        return Some(HiveType::String);
    }
    if let Some(numbers) = shape.numbers {
        return Some(number_type(numbers, note));
    }
    if let Some(texts) = shape.texts {
        return Some(text_type(texts, note));
    }
    if let Some(element) = shape.array {
        return Some(array_type(*element, path, notes));
    }
    if let Some(object) = shape.object {
        return match *object {
            Object::Map(reason, values) => Some(map_type(why(reason), values, path, notes)),
            Object::Struct(fields) => object_type(fields, path, notes),
        };
    }
    if shape.bools {
        return Some(HiveType::Boolean);
    }
    note("is null in every document; taken as string".into());
    Some(HiveType::String)
}

fn kinds(shape: &Shape) -> Vec<&'static str> {
    let all = [
        (shape.bools, "booleans"),
        (shape.numbers.is_some(), "numbers"),
        (shape.texts.is_some(), "texts"),
        (shape.object.is_some(), "objects"),
        (shape.array.is_some(), "arrays"),
    ];
    all.into_iter().filter_map(|(is_there, kind)| is_there.then_some(kind)).collect()
}

fn number_type(numbers: Numbers, mut note: impl FnMut(String)) -> HiveType {
    match numbers {
        Numbers { floats: false, beyond_bigint: false, .. } => HiveType::BigInt,
        Numbers { floats: false, .. } => {
            note("has numbers beyond 64-bit integers; taken as string, which keeps their digits".into());
            HiveType::String
        }
        Numbers { beyond_double, .. } => {
            if beyond_double {
                note(
                    "has fractions and integers beyond 2^53, whose last digits a double loses; make it a decimal or string to keep them"
                        .into(),
                );
            }
            HiveType::Double
        }
    }
}

fn text_type(texts: Texts, mut note: impl FnMut(String)) -> HiveType {
    if !texts.times {
        return HiveType::String;
    }
    if texts.zoneless {
        note("has times without a zone; they are taken as UTC".into());
    }
    if texts.nanos {
        note("has times finer than microseconds, which a timestamp cuts off; make it a string to keep them".into());
    }
    HiveType::Timestamp
}

fn array_type(element: Shape, path: &str, notes: &mut Vec<String>) -> HiveType {
    let element_path = format!("{path}[]");
    let hive = if kinds(&element).is_empty() && !element.too_deep {
        notes.push(format!("`{path}`: its arrays are empty or hold nulls only; taken as array<string>"));
        HiveType::String
    } else {
        hive_type(element, &element_path, notes).unwrap_or_else(|| as_string(&element_path, notes))
    };
    HiveType::Array(Box::new(hive))
}

fn map_type(why: &str, values: Shape, path: &str, notes: &mut Vec<String>) -> HiveType {
    notes.push(format!("`{path}`: taken as a map, because {why}"));
    let value_path = format!("{path}.*");
    let value = hive_type(values, &value_path, notes).unwrap_or_else(|| as_string(&value_path, notes));
    HiveType::Map(Box::new(HiveType::String), Box::new(value))
}

/// Elements and values cannot be left out as fields can.
fn as_string(path: &str, notes: &mut Vec<String>) -> HiveType {
    notes.push(format!("`{path}`: taken as string, as JSON text"));
    HiveType::String
}

fn object_type(fields: Fields, path: &str, notes: &mut Vec<String>) -> Option<HiveType> {
    if keys_are_rare(&fields) {
        return Some(map_type("most of its keys are in less than half of its objects", fields.into_values(), path, notes));
    }
    let mut list = Vec::new();
    for field in fields.list {
        let name = field.key.to_ascii_lowercase();
        if let Some(hive) = hive_type(field.shape, &format!("{path}.{name}"), notes) {
            list.push((name, hive));
        }
    }
    if list.is_empty() {
        notes.push(format!("`{path}`: its objects are empty, which Parquet cannot hold; left out"));
        return None;
    }
    Some(HiveType::Struct(list))
}

/// True if the median key is in less than half of the objects.
fn keys_are_rare(fields: &Fields) -> bool {
    let mut seen: Vec<u64> = fields.list.iter().map(|field| field.seen).collect();
    seen.sort_unstable();
    fields.seen >= ENOUGH_OBJECTS && seen.len() > FEW_KEYS && seen[seen.len() / 2] * 2 < fields.seen
}

fn why(reason: MapReason) -> &'static str {
    match reason {
        MapReason::ManyKeys => "it has more than 64 different keys",
        MapReason::NotNames => "not all of its keys can be names of fields",
        MapReason::CaseOnly => "two of its keys differ in upper and lower case only",
        MapReason::NoPathsLeft => "the documents have too many different fields",
    }
}
