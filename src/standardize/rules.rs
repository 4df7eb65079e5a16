//! A column's rules: what a value must be beside being of its type.

use regex::bytes::Regex;

use super::columns::{Builder, Values};
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
        let pattern = rules.pattern.as_ref().map(|regex| Regex::new(regex.as_str())).transpose();
        Ok(Self {
            column,
            on_fail: rules.on_fail,
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
            Values::Bytes { offsets, data } => {
                let start = offsets.len().checked_sub(2).map_or(0, |at| offsets[at]);
                self.broken_by_text(&data[usize::try_from(start).unwrap_or(0)..])
            }
            Values::I8(v) => v.last().and_then(|&value| self.broken_by_integer(value.into())),
            Values::I16(v) => v.last().and_then(|&value| self.broken_by_integer(value.into())),
            Values::I32(v) => v.last().and_then(|&value| self.broken_by_integer(value.into())),
            Values::I64(v) => v.last().and_then(|&value| self.broken_by_integer(value)),
            Values::F32(v) => v.last().and_then(|&value| self.broken_by_number(value.into())),
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
