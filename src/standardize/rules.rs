//! A column's rules: what a value must be beside being of its type.

use regex::bytes::Regex;

use super::columns::{Builder, Values};
use super::privacy::Mask;
use crate::config::{ColumnRules, OnFail};
use crate::error::{Error, Result};
use crate::schema::{HiveType, TableSchema};

/// The compiled rules of one column.
#[derive(Debug)]
pub struct Rule {
    /// Index of the column.
    pub column: usize,
    /// What happens to a value that breaks one of them.
    pub on_fail: OnFail,
    /// What stands in the table in place of the value.
    pub mask: Option<Mask>,
    required: bool,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<Regex>,
    allowed: Option<Vec<Vec<u8>>>,
    max_length: Option<usize>,
    scale: u8,
}

impl Rule {
    /// Compiles the rules of column `name`.
    ///
    /// # Errors
    /// `Config` if the table has no such column, or a rule does not fit its type.
    pub fn compile(name: &str, rules: &ColumnRules, schema: &TableSchema) -> Result<Self> {
        let column = schema.column_index(name).ok_or_else(|| {
            let known: Vec<_> = schema.columns.iter().map(|column| column.name.as_str()).collect();
            Error::config(format!("[table.columns.{name}]: the table has no column {name}; its columns are {}", known.join(", ")))
        })?;
        let hive = &schema.columns[column].hive;
        let misfit = |rule: &str, needs: &str| {
            Err(Error::config(format!(
                "[table.columns.{name}]: {rule} needs a {needs} column, and {name} is {hive}; remove the rule or change the type"
            )))
        };
        let text = matches!(hive, HiveType::String | HiveType::Varchar(_) | HiveType::Char(_));
        if (rules.min.is_some() || rules.max.is_some()) && !is_number(hive) {
            return misfit("min or max", "numeric");
        }
        if (rules.pattern.is_some() || rules.max_length.is_some()) && !text {
            return misfit("pattern or max_length", "text");
        }
        if rules.allowed.is_some() && !(text || matches!(hive, HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt)) {
            return misfit("allowed", "text or integer");
        }
        let whole = |text: &String| text.parse::<i64>().is_ok_and(|value| value.to_string() == *text);
        if !text && rules.allowed.iter().flatten().any(|value| !whole(value)) {
            return misfit("allowed with a value that is no whole number", "text");
        }
        let pattern = rules.pattern.as_ref().map(|regex| Regex::new(regex.as_str())).transpose();
        Ok(Self {
            column,
            on_fail: rules.on_fail,
            mask: rules.privacy.as_ref().map(|privacy| Mask::new(name, privacy, hive)).transpose()?,
            required: rules.required,
            min: rules.min,
            max: rules.max,
            pattern: pattern.map_err(|e| Error::config(format!("[table.columns.{name}]: pattern: {e}")))?,
            allowed: rules.allowed.as_ref().map(|values| values.iter().map(|value| value.clone().into_bytes()).collect()),
            max_length: rules.max_length,
            scale: if let HiveType::Decimal(_, scale) = hive { *scale } else { 0 },
        })
    }

    /// The name of the first rule that the column's last value breaks.
    pub fn broken(&self, column: &Builder) -> Option<&'static str> {
        if column.last_is_null() {
            return self.required.then_some("required");
        }
        match &column.values {
            Values::Bytes { .. } => self.broken_by_text(column.last_bytes()),
            Values::I8(v) => v.last().and_then(|&value| self.broken_by_integer(value.into())),
            Values::I16(v) => v.last().and_then(|&value| self.broken_by_integer(value.into())),
            Values::I32(v) => v.last().and_then(|&value| self.broken_by_integer(value.into())),
            Values::I64(v) => v.last().and_then(|&value| self.broken_by_integer(value)),
            // A bound is met by the float next to it: 0.7 as a float is not 0.7 as a double.
            Values::F32(v) => v.last().and_then(|&value| {
                if self.min.is_some_and(|min| value.is_nan() || value < min as f32) {
                    return Some("min");
                }
                self.max.is_some_and(|max| value.is_nan() || value > max as f32).then_some("max")
            }),
            Values::F64(v) => v.last().and_then(|&value| self.broken_by_number(value)),
            Values::I128(v) => v.last().and_then(|&value| self.broken_by_number(value as f64 / 10f64.powi(self.scale.into()))),
            _ => None,
        }
    }

    fn broken_by_text(&self, text: &[u8]) -> Option<&'static str> {
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
            return Some("pattern");
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.iter().any(|value| value == text)) {
            return Some("allowed");
        }
        // Every byte that does not continue a UTF-8 character begins one.
        let characters = || text.iter().filter(|b| !matches!(b, 0x80..=0xBF)).count();
        self.max_length.is_some_and(|most| text.len() > most && characters() > most).then_some("max_length")
    }

    fn broken_by_integer(&self, value: i64) -> Option<&'static str> {
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.iter().any(|text| text == value.to_string().as_bytes())) {
            return Some("allowed");
        }
        // A whole number is compared with the bounds' whole parts, so that no digit of it is lost in a double.
        let (low, high) = (self.min.map(|min| min.ceil() as i64), self.max.map(|max| max.floor() as i64));
        if low.is_some_and(|low| value < low) {
            return Some("min");
        }
        high.is_some_and(|high| value > high).then_some("max")
    }

    fn broken_by_number(&self, value: f64) -> Option<&'static str> {
        if self.min.is_some_and(|min| value.is_nan() || value < min) {
            return Some("min");
        }
        self.max.is_some_and(|max| value.is_nan() || value > max).then_some("max")
    }
}

fn is_number(hive: &HiveType) -> bool {
    use HiveType::{BigInt, Decimal, Double, Float, Int, SmallInt, TinyInt};
    matches!(hive, TinyInt | SmallInt | Int | BigInt | Float | Double | Decimal(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;

    fn schema(hive: &str) -> TableSchema {
        let column = |name: &str, hive| Column { name: name.into(), hive, comment: None };
        TableSchema { columns: vec![column("a", HiveType::String), column("v", HiveType::parse(hive).unwrap())], partition_keys: vec![] }
    }

    fn with(change: impl Fn(&mut ColumnRules)) -> ColumnRules {
        let mut rules = ColumnRules::default();
        change(&mut rules);
        rules
    }

    #[track_caller]
    fn refused(hive: &str, change: impl Fn(&mut ColumnRules), says: &str) {
        let error = Rule::compile("v", &with(change), &schema(hive)).unwrap_err().to_string();
        assert!(error.starts_with("[table.columns.v]: ") && error.contains(says), "{error}");
    }

    #[test]
    fn a_rule_that_does_not_fit_its_column_is_refused() {
        refused("string", |r| r.min = Some(1.0), "min or max needs a numeric column, and v is string");
        refused("date", |r| r.max = Some(1.0), "min or max needs a numeric column, and v is date");
        refused("int", |r| r.pattern = Some("x".parse().unwrap()), "pattern or max_length needs a text column, and v is int");
        refused("array<string>", |r| r.max_length = Some(1), "needs a text column, and v is array<string>");
        refused("double", |r| r.allowed = Some(vec!["1".into()]), "allowed needs a text or integer column, and v is double");
        let error = Rule::compile("w", &ColumnRules::default(), &schema("int")).unwrap_err().to_string();
        assert!(error.contains("has no column w; its columns are a, v"), "{error}");
    }

    #[test]
    fn any_column_can_be_required() {
        for hive in ["array<int>", "map<string,int>", "struct<a:int>", "binary", "boolean", "timestamp"] {
            let rule = Rule::compile("v", &with(|r| r.required = true), &schema(hive)).unwrap();
            let mut column = Builder::new(&HiveType::parse(hive).unwrap().arrow_type());
            column.push_null();
            assert_eq!((rule.column, rule.broken(&column)), (1, Some("required")), "{hive}");
        }
    }

    /// The rule that the last of `values` breaks.
    fn broken(hive: &str, values: Values, change: impl Fn(&mut ColumnRules)) -> Option<&'static str> {
        let mut column = Builder::new(&HiveType::parse(hive).unwrap().arrow_type());
        column.values = values;
        column.present();
        Rule::compile("v", &with(change), &schema(hive)).unwrap().broken(&column)
    }

    #[test]
    fn bounds_are_inclusive_and_exact() {
        let exact = 9_007_199_254_740_993i64;
        assert_eq!(broken("bigint", Values::I64(vec![exact]), |r| r.max = Some(9_007_199_254_740_992.0)), Some("max"));
        assert_eq!(broken("int", Values::I32(vec![1]), |r| (r.min, r.max) = (Some(0.5), Some(1.5))), None);
        assert_eq!(broken("int", Values::I32(vec![0]), |r| r.min = Some(0.5)), Some("min"));
        assert_eq!(broken("bigint", Values::I64(vec![i64::MAX]), |r| r.max = Some(1e300)), None);
        assert_eq!(broken("tinyint", Values::I8(vec![-1]), |r| r.min = Some(0.0)), Some("min"));
        assert_eq!(broken("decimal(10,2)", Values::I128(vec![10]), |r| (r.min, r.max) = (Some(0.1), Some(0.1))), None);
        assert_eq!(broken("decimal(10,2)", Values::I128(vec![11]), |r| r.max = Some(0.1)), Some("max"));
        assert_eq!(broken("double", Values::F64(vec![f64::NAN]), |r| r.max = Some(1.0)), Some("max"));
        assert_eq!(broken("float", Values::F32(vec![f32::INFINITY]), |r| r.max = Some(1e38)), Some("max"));
    }
}
