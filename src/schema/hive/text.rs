//! The text of Hive types: what people write, read with tolerance, and the one form that the catalog stores.

use std::collections::HashSet;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{HiveType, MAX_DEPTH};
use crate::error::{Error, Result};
use crate::schema::is_name;

/// Glue's limit for the text of a column's type, characters.
const MAX_TEXT: usize = 131_072;

/// Longest word that is compared with the names of types: comparing takes time and memory that grow with both.
const LONGEST_NAME: usize = 20;

/// Names of types elsewhere, and what they are in Hive.
const FOREIGN: [(&str, &str); 37] = [
    ("integer", "int"),
    ("int8", "tinyint"),
    ("int16", "smallint"),
    ("int32", "int"),
    ("int64", "bigint"),
    ("byte", "tinyint"),
    ("short", "smallint"),
    ("long", "bigint"),
    ("uint8", "smallint"),
    ("uint16", "int"),
    ("uint32", "bigint"),
    ("uint64", "decimal(20,0)"),
    ("real", "float"),
    ("float32", "float"),
    ("float64", "double"),
    ("number", "decimal(p,s)"),
    ("numeric", "decimal(p,s)"),
    ("dec", "decimal(p,s)"),
    ("bool", "boolean"),
    ("text", "string"),
    ("str", "string"),
    ("json", "string"),
    ("uuid", "string"),
    ("time", "string"),
    ("interval", "string"),
    ("enum", "string"),
    ("bytes", "binary"),
    ("blob", "binary"),
    ("varbinary", "binary"),
    ("datetime", "timestamp"),
    ("timestamptz", "timestamp"),
    ("timestamp_ntz", "timestamp"),
    ("list", "array<…>"),
    ("row", "struct<…>"),
    ("record", "struct<…>"),
    ("object", "struct<…> or map<string,…>"),
    ("tuple", "struct<…>"),
];

/// Every type that there is.
const KNOWN: [&str; 17] = [
    "boolean",
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "float",
    "double",
    "decimal",
    "string",
    "varchar",
    "char",
    "binary",
    "date",
    "timestamp",
    "array",
    "map",
    "struct",
];

impl HiveType {
    /// Reads a type in Hive's grammar: in any case, with white space between its parts, struct field names in backticks or not.
    ///
    /// # Errors
    /// `Config`, with the place in the text, for whatever Athena could not read: unknown types (the right name is offered),
    /// lengths and precisions out of range, map keys that are not primitive, structs without fields or with a field twice,
    /// field names with other characters than `[a-z0-9_]`, and more than [`MAX_DEPTH`] levels.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader { text, at: 0 };
        let hive = reader.hive_type(0)?;
        if !reader.rest().trim_start().is_empty() {
            return Err(reader.wrong("the type ends here"));
        }
        // White space does not count: only a long text has to be measured in its stored form.
        if text.len() > MAX_TEXT && hive.to_string().len() > MAX_TEXT {
            return Err(Error::config(format!("a type has more than {MAX_TEXT} characters, Glue's limit; split the column")));
        }
        Ok(hive)
    }
}

/// A type's text and how far it was read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space, then takes `mark` if it comes next.
    fn takes(&mut self, mark: char) -> bool {
        self.at = self.text.len() - self.rest().trim_start().len();
        let found = self.rest().starts_with(mark);
        if found {
            self.at += mark.len_utf8();
        }
        found
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.takes(mark) { Ok(()) } else { Err(self.wrong(&format!("expected `{mark}`"))) }
    }

    /// Skips white space, then takes everything up to the next mark of the grammar; empty if a mark comes next.
    fn word(&mut self) -> &'a str {
        self.at = self.text.len() - self.rest().trim_start().len();
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "<>(),:;`".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn hive_type(&mut self, depth: usize) -> Result<HiveType> {
        let word = self.word();
        let start = Self { text: self.text, at: self.at - word.len() };
        let name = word.to_ascii_lowercase();
        if matches!(name.as_str(), "array" | "map" | "struct") && depth >= MAX_DEPTH {
            return Err(start.wrong(&format!("more than {MAX_DEPTH} levels of arrays, maps and structs")));
        }
        Ok(match name.as_str() {
            "boolean" => HiveType::Boolean,
            "tinyint" => HiveType::TinyInt,
            "smallint" => HiveType::SmallInt,
            "int" => HiveType::Int,
            "bigint" => HiveType::BigInt,
            "float" => HiveType::Float,
            "double" => HiveType::Double,
            "string" => HiveType::String,
            "binary" => HiveType::Binary,
            "date" => HiveType::Date,
            "timestamp" => HiveType::Timestamp,
            "decimal" => self.decimal()?,
            "varchar" => HiveType::Varchar(self.length(65_535)?),
            "char" => HiveType::Char(self.length(255)?),
            "array" => {
                self.expect('<')?;
                let element = self.hive_type(depth + 1)?;
                self.expect('>')?;
                HiveType::Array(Box::new(element))
            }
            "map" => self.map(depth + 1)?,
            "struct" => self.fields(depth + 1)?,
            _ => return Err(start.wrong(&unknown(&name))),
        })
    }

    fn decimal(&mut self) -> Result<HiveType> {
        if !self.takes('(') {
            return Ok(HiveType::Decimal(10, 0));
        }
        let precision = self.number(1, 38, "a decimal's precision")?;
        let scale = if self.takes(',') { self.number(0, precision, "a decimal's scale")? } else { 0 };
        self.expect(')')?;
        let byte = |n: u32| u8::try_from(n).expect("at most 38");
        Ok(HiveType::Decimal(byte(precision), byte(scale)))
    }

    fn length(&mut self, max: u32) -> Result<u32> {
        if !self.takes('(') {
            return Err(self.wrong(&format!("expected a length, `(1)` to `({max})`; write string for any length")));
        }
        let length = self.number(1, max, "the length")?;
        self.expect(')')?;
        Ok(length)
    }

    fn number(&mut self, min: u32, max: u32, what: &str) -> Result<u32> {
        let word = self.word();
        let number = if word.bytes().all(|b| b.is_ascii_digit()) { word.parse().ok() } else { None };
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => {
                self.at -= word.len();
                Err(self.wrong(&format!("{what} has to be a number from {min} to {max}")))
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<HiveType> {
        self.expect('<')?;
        let start = Self { text: self.text, at: self.at };
        let key = self.hive_type(depth)?;
        if !key.is_primitive() {
            return Err(start.wrong("a map's key has to be primitive, such as string"));
        }
        self.expect(',')?;
        let value = self.hive_type(depth)?;
        self.expect('>')?;
        Ok(HiveType::Map(Box::new(key), Box::new(value)))
    }

    fn fields(&mut self, depth: usize) -> Result<HiveType> {
        self.expect('<')?;
        let mut names = HashSet::new();
        let mut fields = Vec::new();
        if self.takes('>') {
            return Err(self.wrong("a struct needs a field: Parquet cannot hold one without"));
        }
        loop {
            let name = self.field_name()?;
            if !names.insert(name.clone()) {
                return Err(self.wrong(&format!("the field `{name}` is there twice (upper and lower case are the same)")));
            }
            self.expect(':')?;
            fields.push((name, self.hive_type(depth)?));
            if !self.takes(',') {
                break;
            }
        }
        if self.rest().get(..7).is_some_and(|next| next.eq_ignore_ascii_case("comment")) {
            return Err(self.wrong("the catalog keeps no comments of struct fields; leave it out"));
        }
        self.expect('>')?;
        Ok(HiveType::Struct(fields))
    }

    fn field_name(&mut self) -> Result<String> {
        let start = Self { text: self.text, at: self.at };
        let raw = if self.takes('`') {
            let rest = self.rest();
            let end = rest.find('`').ok_or_else(|| start.wrong("a name's closing backtick is missing"))?;
            self.at += end + 1;
            &rest[..end]
        } else {
            self.word()
        };
        let name = raw.to_ascii_lowercase();
        if is_name(&name) {
            return Ok(name);
        }
        Err(start.wrong(match raw {
            "" => "expected the name of a struct field",
            _ => "a struct field's name has 1 to 255 letters, digits and `_` and nothing else; with others Athena cannot read the table",
        }))
    }

    /// An error at the place reached so far.
    fn wrong(&self, problem: &str) -> Error {
        let place = self.text[..self.at].chars().count() + 1;
        let next = match self.rest().trim_start() {
            "" => "at its end".to_string(),
            rest => format!("at character {place}, before `{}`", rest.chars().take(30).collect::<String>()),
        };
        let whole = match self.text.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text.to_string(),
        };
        Error::config(format!("cannot read the type `{}` {next}: {problem}", whole.trim()))
    }
}

/// What to write instead of a type that does not exist.
fn unknown(name: &str) -> String {
    let near = |known: &'static str| (name.len() <= LONGEST_NAME).then(|| (strsim::damerau_levenshtein(name, known), known));
    if name.is_empty() {
        return "expected a type, such as string or bigint".to_string();
    }
    if name == "uniontype" {
        return "uniontype is not supported, since Parquet has no unions; write string, or a struct with a field for each type".to_string();
    }
    if let Some((_, hive)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return format!("`{name}` is not a Hive type; write {hive}");
    }
    match KNOWN.into_iter().filter_map(near).min() {
        Some((distance, known)) if distance <= 2 => format!("no such type; did you mean {known}?"),
        _ => format!("no such type; the types are {}", KNOWN.join(", ")),
    }
}

/// The text that the catalog stores: lower case and without spaces, since Hive's parser takes a space for a part of a name.
impl fmt::Display for HiveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Varchar(length) => write!(f, "varchar({length})"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Array(element) => write!(f, "array<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, (name, hive)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{name}:{hive}")?;
                }
                f.write_str(">")
            }
        }
    }
}

impl Serialize for HiveType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HiveType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Column;
    use crate::schema::testing;

    fn check(text: &str, canonical: &str) {
        assert_eq!(HiveType::parse(text).unwrap().to_string(), canonical, "{text}");
    }

    fn refused(text: &str, because: &str) {
        let message = HiveType::parse(text).unwrap_err().to_string();
        assert!(message.contains(because), "{text}: {message}");
    }

    #[test]
    fn people_may_write_capitals_spaces_and_backticks() {
        check(" BIGINT ", "bigint");
        check("decimal", "decimal(10,0)");
        check("DECIMAL ( 12 )", "decimal(12,0)");
        check("decimal(10, 2)", "decimal(10,2)");
        check("varchar( 65535 )", "varchar(65535)");
        check("char(255)", "char(255)");
        check("struct<a: int, `B` : string>", "struct<a:int,b:string>");
        check("map < string ,\n array<map<int, double >> >", "map<string,array<map<int,double>>>");
        check("struct<date:date,map:map<string,string>,1a:int,_b:binary>", "struct<date:date,map:map<string,string>,1a:int,_b:binary>");
    }

    #[test]
    fn types_of_other_systems_are_refused_with_the_hive_name() {
        refused("integer", "write int");
        refused("LONG", "write bigint");
        refused("array<real>", "write float");
        refused("struct<a:text>", "write string");
        refused("bigit", "did you mean bigint?");
        refused("geometry", "the types are boolean");
        refused(&"bigit".repeat(1_000_000), "the types are boolean");
        refused("uniontype<int,string>", "no unions");
        refused("double precision", "the type ends here");
        refused("timestamp with time zone", "at character 10, before `with time zone`");
    }

    #[test]
    fn ranges_are_checked() {
        refused("decimal(0)", "from 1 to 38");
        refused("decimal(39,2)", "from 1 to 38");
        refused("decimal(5,6)", "from 0 to 5");
        refused("decimal(5,)", "from 0 to 5");
        refused("decimal(5,-1)", "from 0 to 5");
        refused("varchar", "expected a length");
        refused("varchar(0)", "from 1 to 65535");
        refused("varchar(65536)", "from 1 to 65535");
        refused("varchar(99999999999)", "from 1 to 65535");
        refused("char(256)", "from 1 to 255");
        refused("char(+5)", "from 1 to 255");
    }

    #[test]
    fn structs_and_maps_are_checked() {
        refused("struct<>", "needs a field");
        refused("struct<a:int,A:string>", "`a` is there twice");
        refused("struct<a-b:int>", "Athena cannot read the table");
        refused("struct<`a:b`:int>", "Athena cannot read the table");
        refused("struct<é:int>", "Athena cannot read the table");
        refused("struct<`a:int>", "closing backtick");
        refused("struct<a int>", "expected `:`");
        refused("struct<a:int COMMENT 'x'>", "no comments of struct fields");
        refused("struct<:int>", "expected the name of a struct field");
        refused("struct<a:int,>", "expected the name of a struct field");
        refused("map<array<int>,int>", "has to be primitive");
        refused("map<string>", "expected `,`");
        refused("array<int", "at its end: expected `>`");
        refused("array<>", "expected a type");
        refused("", "expected a type");
        refused("int>", "the type ends here");
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!("{}int{}", "array<".repeat(depth), ">".repeat(depth));
        check(&nested(MAX_DEPTH), &nested(MAX_DEPTH));
        refused(&nested(MAX_DEPTH + 1), "more than 100 levels");
        refused(&"struct<a:".repeat(1_000_000), "more than 100 levels");
    }

    #[test]
    fn the_stored_text_has_glues_limit() {
        let wide = |fields: usize| format!("struct<{}>", (0..fields).map(|i| format!("f{i:06}:int")).collect::<Vec<_>>().join(", "));
        assert!(HiveType::parse(&wide(10_900)).is_ok());
        refused(&wide(10_930), "more than 131072 characters");
    }

    #[test]
    fn a_column_is_stored_with_the_text_of_its_type() {
        let column = Column { name: "a".into(), hive: HiveType::parse("struct<b:array<int>>").unwrap(), comment: None };
        let json = r#"{"name":"a","type":"struct<b:array<int>>"}"#;
        assert_eq!(serde_json::to_string(&column).unwrap(), json);
        assert_eq!(serde_json::from_str::<Column>(json).unwrap(), column);
        let wrong = serde_json::from_str::<Column>(r#"{"name":"a","type":"text"}"#).unwrap_err();
        assert!(wrong.to_string().contains("write string"), "{wrong}");
    }

    proptest! {
        #[test]
        fn every_type_is_read_back_from_its_text(hive in testing::hive_type()) {
            let text = hive.to_string();
            prop_assert!(!text.contains(' '));
            prop_assert_eq!(HiveType::parse(&text).unwrap(), hive.clone());
            let spaced = text.replace(',', " ,\t").replace('<', " < ").to_uppercase();
            prop_assert_eq!(HiveType::parse(&spaced).unwrap(), hive);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-z<>(),:` 0-9é]{0,40}|(array|map|struct|int|<|>|,|:|a|`|\\(|\\)| ){0,20}") {
            let _ = HiveType::parse(&text);
        }
    }
}
