//! Which partitions of a table are asked for: tests on its keys, decided here, and as much of them as Glue's own filter takes.

use std::ops::{Bound, RangeBounds};

use crate::layout::DEFAULT_PARTITION;
use crate::schema::{Column, HiveType, is_name};

/// The longest expression that `GetPartitions` takes, in characters.
const LONGEST: usize = 2048;

/// Glue reads expressions with JSqlParser, which takes no key of such a name (Trino's `GlueExpressionUtil` has the list).
const KEYWORDS: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "asc",
    "begin",
    "between",
    "by",
    "case",
    "create",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "escape",
    "exists",
    "from",
    "full",
    "group",
    "having",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "key",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "open",
    "or",
    "order",
    "outer",
    "primary",
    "replace",
    "right",
    "select",
    "set",
    "some",
    "table",
    "then",
    "top",
    "truncate",
    "union",
    "update",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// A conjunction of tests on partition keys.
///
/// Texts are compared byte by byte, whole numbers as numbers. A NULL, and a text that is no number where the key is one, passes no test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    tests: Vec<Test>,
}

/// What a key's value must be. Values are texts, as in [`Partition::values`](super::Partition::values).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// One of these.
    OneOf(Vec<String>),
    /// Between these.
    Range(Bound<String>, Bound<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    /// The key's place among the table's keys.
    place: usize,
    key: Column,
    range: Values,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    OneOf(Vec<Value>),
    Range(Bound<Value>, Bound<Value>),
}

/// A value in the order of its key's type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    Number(i64),
}

impl Filter {
    /// Every partition.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of these that pass one more test. A key that the table does not have, or of a type that is neither text nor whole number,
    /// is not tested: more partitions pass then, never fewer.
    #[must_use]
    pub fn and(mut self, keys: &[Column], key: &str, wanted: Condition) -> Self {
        if let Some((place, key)) = keys.iter().enumerate().find(|(_, column)| column.name == key)
            && is_compared(&key.hive)
        {
            let bound = |bound: Bound<String>| match bound {
                Bound::Included(text) => value(&key.hive, &text).map_or(Bound::Unbounded, Bound::Included),
                Bound::Excluded(text) => value(&key.hive, &text).map_or(Bound::Unbounded, Bound::Excluded),
                Bound::Unbounded => Bound::Unbounded,
            };
            let range = match wanted {
                // What is no number equals none.
                Condition::OneOf(texts) => Values::OneOf(texts.iter().filter_map(|text| value(&key.hive, text)).collect()),
                Condition::Range(from, to) => Values::Range(bound(from), bound(to)),
            };
            self.tests.push(Test { place, key: key.clone(), range });
        }
        self
    }

    /// True if a partition with these values is asked for.
    pub fn passes(&self, values: &[String]) -> bool {
        self.tests.iter().all(|test| {
            let value = values.get(test.place).filter(|text| *text != DEFAULT_PARTITION).and_then(|text| value(&test.key.hive, text));
            value.is_some_and(|value| match &test.range {
                Values::OneOf(wanted) => wanted.contains(&value),
                Values::Range(from, to) => (from.as_ref(), to.as_ref()).contains(&value),
            })
        })
    }

    /// What of it Glue can decide, in the grammar of `GetPartitions`. Every partition that passes fits it, and so may others: what comes
    /// must still be asked whether it [passes](Self::passes). None if there is nothing that Glue can decide.
    pub fn expression(&self) -> Option<String> {
        let mut expression = String::new();
        for part in self.tests.iter().filter_map(Test::pushed) {
            let and = if expression.is_empty() { "" } else { " AND " };
            if expression.len() + and.len() + part.len() <= LONGEST {
                expression.push_str(and);
                expression.push_str(&part);
            }
        }
        (!expression.is_empty()).then_some(expression)
    }
}

impl Test {
    fn pushed(&self) -> Option<String> {
        let key = &self.key.name;
        if KEYWORDS.contains(&key.as_str()) || !is_name(key) || !key.starts_with(|c: char| c.is_ascii_lowercase()) {
            return None;
        }
        let literal = |value: &Value| literal(&self.key.hive, value);
        match &self.range {
            Values::OneOf(wanted) => match &wanted.iter().map(literal).collect::<Option<Vec<_>>>()?[..] {
                [] => None,
                [one] => Some(format!("{key} = {one}")),
                more => Some(format!("{key} IN ({})", more.join(", "))),
            },
            // The bound itself is decided here: where Glue's order is another in some corner, nothing is lost that way.
            Values::Range(from, to) => {
                let side = |operator, bound: &Bound<Value>| match bound {
                    Bound::Included(value) | Bound::Excluded(value) => Some(format!("{key} {operator} {}", literal(value)?)),
                    Bound::Unbounded => None,
                };
                let sides: Vec<String> = [side(">=", from), side("<=", to)].into_iter().flatten().collect();
                (!sides.is_empty()).then(|| sides.join(" AND "))
            }
        }
    }
}

fn is_number(hive: &HiveType) -> bool {
    matches!(hive, HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt)
}

fn is_compared(hive: &HiveType) -> bool {
    is_number(hive) || matches!(hive, HiveType::String | HiveType::Varchar(_) | HiveType::Char(_))
}

fn value(hive: &HiveType, text: &str) -> Option<Value> {
    if is_number(hive) { text.parse().ok().map(Value::Number) } else { Some(Value::Text(text.to_string())) }
}

/// A value as Glue reads it without doubt. `'` and `\` are not in it, because nobody says how they are escaped; nor are other characters
/// than ASCII's, whose order is another in UTF-8 and UTF-16, signs, and types that Glue's list of key types does not have.
fn literal(hive: &HiveType, value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => {
            let plain = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\'));
            (plain && *hive == HiveType::String).then(|| format!("'{text}'"))
        }
        // Whether Glue takes `09` for 9 is documented nowhere, and a partition that it leaves out would be missing from the answer.
        Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Vec<Column> {
        let key = |(name, hive): (&str, HiveType)| Column { name: name.into(), hive, comment: None };
        let types = [
            ("day", HiveType::String),
            ("hour", HiveType::Int),
            ("page", HiveType::Varchar(9)),
            ("order", HiveType::String),
            ("at", HiveType::Date),
        ];
        types.map(key).to_vec()
    }

    fn one_of(values: &[&str]) -> Condition {
        Condition::OneOf(values.iter().map(ToString::to_string).collect())
    }

    fn range(from: Bound<&str>, to: Bound<&str>) -> Condition {
        Condition::Range(from.map(str::to_string), to.map(str::to_string))
    }

    fn filter(tests: &[(&str, Condition)]) -> Filter {
        tests.iter().fold(Filter::all(), |filter, (key, wanted)| filter.and(&keys(), key, wanted.clone()))
    }

    #[track_caller]
    fn pushed(tests: &[(&str, Condition)], expected: Option<&str>) {
        assert_eq!(filter(tests).expression().as_deref(), expected);
    }

    #[test]
    fn what_glue_can_decide_is_written_in_its_grammar() {
        use Bound::{Excluded, Included, Unbounded};
        pushed(&[], None);
        pushed(&[("day", one_of(&["2026-11-19"]))], Some("day = '2026-11-19'"));
        pushed(&[("hour", one_of(&["09", "10", "x"]))], None);
        pushed(&[("day", range(Included("a"), Excluded("b"))), ("hour", one_of(&["9"]))], Some("day >= 'a' AND day <= 'b'"));
        pushed(&[("hour", range(Excluded("-1"), Unbounded))], None);
        pushed(&[("day", one_of(&["it's"])), ("day", one_of(&["a\\b"])), ("day", one_of(&["ü", "u"]))], None);
        pushed(&[("day", range(Included("ü"), Included("z")))], Some("day <= 'z'"));
        pushed(&[("order", one_of(&["a"])), ("page", one_of(&["a"])), ("at", one_of(&["2026-11-19"])), ("x", one_of(&["a"]))], None);
        pushed(&[("day", one_of(&[]))], None);
        let many: Vec<String> = (0..400).map(|n| format!("value {n}")).collect();
        pushed(&[("day", Condition::OneOf(many)), ("hour", one_of(&["9"]))], None);
    }

    #[test]
    fn each_value_is_decided_by_its_keys_type() {
        use Bound::{Excluded, Included, Unbounded};
        let check = |tests: &[(&str, Condition)], values: [&str; 2], passes: bool| {
            let values = values.map(str::to_string);
            assert_eq!(filter(tests).passes(&values), passes, "{tests:?} {values:?}");
        };
        check(&[], ["a", "x"], true);
        check(&[("day", range(Included("a"), Excluded("b")))], ["a", "0"], true);
        check(&[("day", range(Included("a"), Excluded("b")))], ["b", "0"], false);
        check(&[("hour", range(Excluded("9"), Unbounded))], ["a", "10"], true);
        check(&[("hour", range(Excluded("9"), Unbounded))], ["a", "009"], false);
        check(&[("hour", one_of(&["9"]))], ["a", "09"], true);
        for nothing in ["x", DEFAULT_PARTITION] {
            check(&[("hour", range(Unbounded, Unbounded))], ["a", nothing], false);
        }
        check(&[("day", one_of(&[DEFAULT_PARTITION]))], [DEFAULT_PARTITION, "0"], false);
        check(&[("day", one_of(&[]))], ["a", "0"], false);
        check(&[("at", one_of(&["2026-11-19"])), ("nowhere", one_of(&["a"]))], ["a", "0"], true);
    }

    /// What Glue leaves over: typed values, compared one by one. An expression that it cannot read would panic here.
    fn glue_takes(expression: &str, values: &[String]) -> bool {
        expression.split(" AND ").all(|part| {
            let (key, rest) = part.split_once(' ').unwrap();
            let (operator, literals) = rest.split_once(' ').unwrap();
            let place = keys().iter().position(|column| column.name == key).unwrap();
            let typed = |text: &str| match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
                Some(text) => Value::Text(text.to_string()),
                None => Value::Number(text.parse().unwrap()),
            };
            let value = match keys()[place].hive {
                HiveType::String => Value::Text(values[place].clone()),
                _ => Value::Number(values[place].parse().unwrap()),
            };
            match operator {
                "=" => value == typed(literals),
                ">=" => value >= typed(literals),
                "<=" => value <= typed(literals),
                "IN" => literals.trim_matches(['(', ')']).split(", ").any(|one| value == typed(one)),
                other => panic!("{other}"),
            }
        })
    }

    fn a_value() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(DEFAULT_PARTITION.to_string()),
            "[abz'\\\\ü ]{1,3}",
            (-3i64..30).prop_map(|n| n.to_string()),
            (0i64..30).prop_map(|n| format!("{n:02}"))
        ]
    }

    fn a_bound() -> impl Strategy<Value = Bound<String>> {
        prop_oneof![Just(Bound::Unbounded), a_value().prop_map(Bound::Included), a_value().prop_map(Bound::Excluded)]
    }

    fn a_test() -> impl Strategy<Value = (String, Condition)> {
        let wanted = prop_oneof![
            prop::collection::vec(a_value(), 0..4).prop_map(Condition::OneOf),
            (a_bound(), a_bound()).prop_map(|(from, to)| Condition::Range(from, to))
        ];
        (prop::sample::select(vec!["day", "hour", "page", "order", "at"]).prop_map(str::to_string), wanted)
    }

    proptest! {
        #[test]
        fn what_glue_leaves_over_and_passes_is_all_that_passes(
            tests in prop::collection::vec(a_test(), 0..5),
            partitions in prop::collection::vec((a_value(), -3i64..30, a_value(), a_value()), 0..20),
        ) {
            let filter = tests.into_iter().fold(Filter::all(), |filter, (key, wanted)| filter.and(&keys(), &key, wanted));
            let expression = filter.expression();
            let values = |(day, hour, page, order)| vec![day, format!("{hour:02}"), page, order, "2026-11-19".to_string()];
            let all: Vec<Vec<String>> = partitions.into_iter().map(values).collect();
            let left = all.iter().filter(|values| expression.as_deref().is_none_or(|expression| glue_takes(expression, values)));
            let found: Vec<_> = left.filter(|values| filter.passes(values)).collect();
            let expected: Vec<_> = all.iter().filter(|values| filter.passes(values)).collect();
            prop_assert_eq!(found, expected, "{:?}", expression);
        }
    }
}
