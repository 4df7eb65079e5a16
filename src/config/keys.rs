//! Reads TOML into what the user may write: refuses unknown keys, fills in `${ENV}`, and tells the place of every mistake.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// Where the values of `${NAME}` come from.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a document.
///
/// # Errors
/// `Config` with the line, and with the dotted place of a key (`table.merge.sort_by`).
pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str, env: Env<'_>) -> Result<T> {
    let root = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(String::new(), |span| format!(" on {}", position(text, span.start)));
        Error::config(format!("not valid TOML{at}: {}", e.message().replace('\n', ", ")))
    })?;
    let root = DeValue::Table(root.into_inner());
    let node = Node { value: &root, place: String::new(), at: 0, source: Source { text, env } };
    T::deserialize(node).map_err(|fault| Error::config(fault.message))
}

/// The name among `names` that a mistyped one most likely stands for.
pub(super) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Below this likeness a proposal confuses more than it helps (`colour` is like `columns`, not like `name`).
    const ALIKE: f64 = 0.75;
    let wrong = wrong.to_lowercase();
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(&wrong, &name.to_lowercase()), name));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The end of an error about a wrong name: the nearest right one, or all of them.
pub(super) fn proposal(wrong: &str, names: &[&str]) -> String {
    match nearest(wrong, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("allowed are {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    env: Env<'a>,
}

/// A value with its place: the dotted keys that lead to it, and where it starts in the text.
///
/// Structs tell serde their fields when they are read; that is where unknown keys show, with no list kept by hand.
struct Node<'a> {
    value: &'a DeValue<'a>,
    place: String,
    at: usize,
    source: Source<'a>,
}

/// An error on its way up; the innermost value that it passes gives it its place.
#[derive(Debug)]
struct Fault {
    message: String,
    placed: bool,
}

impl<'a> Node<'a> {
    fn child(&self, key: &str, at: usize, value: &'a DeValue<'a>) -> Self {
        let place = if self.place.is_empty() { key.to_string() } else { format!("{}.{key}", self.place) };
        Self { value, place, at, source: self.source }
    }

    fn refuse_unknown_keys(&self, fields: &[&str]) -> Result<(), Fault> {
        let DeValue::Table(table) = self.value else { return Ok(()) };
        for (key, value) in table {
            if !fields.contains(&key.get_ref().as_ref()) {
                let node = self.child(key.get_ref(), key.span().start, value.get_ref());
                let message = format!("unknown key {}; {}", node.told(), proposal(key.get_ref(), fields));
                return Err(Fault { message, placed: true });
            }
        }
        Ok(())
    }

    fn told(&self) -> String {
        format!("`{}` on line {}", self.place, line(self.source.text, self.at))
    }

    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            DeValue::String(text) => visitor.visit_string(expand(text, self.source.env).map_err(Fault::custom)?),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                // Without the number: it may be a key that lacks its quotes.
                Err(_) => Err(Fault::custom("is a whole number out of range")),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Fault::custom("is not a number")),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(time) => visitor.visit_string(time.to_string()),
            DeValue::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(|item| {
                let (value, place) = (item.get_ref(), self.place.clone());
                Node { value, place, at: item.span().start, source: self.source }
            }))),
            DeValue::Table(table) => visitor.visit_map(MapDeserializer::new(
                table.iter().map(|(key, value)| (key.get_ref().to_string(), self.child(key.get_ref(), key.span().start, value.get_ref()))),
            )),
        }
    }

    fn placed<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| match (fault.placed, self.place.is_empty()) {
            (false, false) => Fault { message: format!("{} {}", self.told(), fault.message), placed: true },
            _ => fault,
        })
    }
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let visited = self.visit(visitor);
        self.placed(visited)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.value.is_table() {
            return self.placed(Err(Fault::custom(format!("is a list; write its heading as [[{}]]", self.place))));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.refuse_unknown_keys(fields)?;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct map enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Fault> for Node<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), placed: false }
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let expected = expected.to_string();
        let wanted = match expected.as_str() {
            "a string" => "a text in quotes",
            "a sequence" => "a list in brackets",
            "a boolean" => "true or false",
            "f64" => "a number",
            "usize" => "a whole number from 0",
            // serde's words for a struct and a map, which the user knows as a section.
            other if other.starts_with("struct") || other.contains("map") => "a section of keys",
            other => other,
        };
        Self::custom(format!("must be {wanted}, not {found}"))
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("has no `{field}`; add it"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// Fills in every `${NAME}`.
fn expand(text: &str, env: Env<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once("${") {
        let (name, after) = opened.split_once('}').ok_or("has `${` without `}`; close it")?;
        out.push_str(before);
        out.push_str(
            &env(name).ok_or_else(|| format!("needs the environment variable `{name}`, which is not set; set it, then run again"))?,
        );
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!("line {}, column {column}", line(text, at))
}
