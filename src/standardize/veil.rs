//! Private values in rows that are made already: what today's rules put in place of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, RecordBatch, StringArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::plan::{ObjectPlan, Plan, RESCUED};
use super::privacy::Mask;
use crate::error::{Error, Result};

/// Replaces what is private today. `made_with` are the columns that were private when the rows were made, with their rules: what these left
/// stays under the same rule, as it does in rows that are in the table, also under another key. Where that is not known, a text of the form
/// of an HMAC stays under that rule: hashed once more it would be no event's.
///
/// # Errors
/// `Internal` if the rows do not have the table's columns.
pub fn veiled(plan: &Plan, made_with: Option<&BTreeMap<String, String>>, rows: RecordBatch) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    for rule in &plan.rules {
        let Some(mask) = &rule.mask else { continue };
        let name = plan.schema.field(rule.column).name();
        let before = made_with.and_then(|made_with| made_with.get(name)).map(String::as_str);
        if before != Some(mask.name()) {
            columns[rule.column] = masked(mask, &columns[rule.column], made_with.is_some())?;
        }
    }
    // Also where unknown fields are not kept any more.
    if let Ok(rescued) = plan.schema.index_of(RESCUED)
        && plan.root.private
    {
        columns[rescued] = without_private(&plan.root, &columns[rescued])?;
    }
    RecordBatch::try_new(rows.schema(), columns).map_err(|e| failed(&e))
}

fn failed(e: &ArrowError) -> Error {
    Error::internal(format!("cannot replace private values: {e}"))
}

/// `is_known` if it is known that the mask was not on the column before.
fn masked(mask: &Mask, column: &ArrayRef, is_known: bool) -> Result<ArrayRef> {
    if matches!(mask, Mask::Drop) {
        return Ok(new_null_array(column.data_type(), column.len()));
    }
    let texts = column.as_string_opt::<i32>().ok_or_else(|| Error::internal("a private column is no text"))?;
    let masked = |text: &str| match !is_known && mask.may_have_made(text) {
        true => Some(text.to_string()),
        false => mask.masked(text.as_bytes()),
    };
    Ok(Arc::new(texts.iter().map(|text| masked(text?)).collect::<StringArray>()))
}

/// Unknown fields that were kept, without those that are not kept today.
fn without_private(root: &ObjectPlan, column: &ArrayRef) -> Result<ArrayRef> {
    let (Some(map), DataType::Map(entry, ordered)) = (column.as_map_opt(), column.data_type()) else { return Ok(Arc::clone(column)) };
    let Some(names) = map.keys().as_string_opt::<i32>() else { return Ok(Arc::clone(column)) };
    let mut keep = vec![false; names.len()];
    let mut offsets = vec![0];
    for row in map.offsets().windows(2) {
        let mut last = offsets.last().copied().unwrap_or(0);
        for (at, keep) in keep[..row[1] as usize].iter_mut().enumerate().skip(row[0] as usize) {
            *keep = !is_private(root, names.value(at));
            last += i32::from(*keep);
        }
        offsets.push(last);
    }
    let entries = filter(map.entries(), &BooleanArray::from(keep)).map_err(|e| failed(&e))?;
    let offsets = OffsetBuffer::new(offsets.into());
    let kept = MapArray::try_new(Arc::clone(entry), offsets, entries.as_struct().clone(), map.nulls().cloned(), *ordered);
    Ok(Arc::new(kept.map_err(|e| failed(&e))?))
}

/// True for the name of an unknown field, such as `page.items[3].ip#2`, that is private as a whole, in something private, or around it. Its
/// last key is the producer's own, in which there may be separators too: what one way of reading the name makes private is.
fn is_private(plan: &ObjectPlan, name: &str) -> bool {
    let ends = name.match_indices(['.', '[', '{', '#']).map(|(at, _)| at).chain([name.len()]);
    ends.map(|end| name.split_at(end)).any(|(key, rest)| {
        let Some(field) = plan.find(key.as_bytes()).map(|index| &plan.fields[index]) else { return false };
        let in_it = |below: &ObjectPlan| rest.split_once('.').map_or(below.private, |(_, rest)| is_private(below, rest));
        field.private || field.below.as_ref().is_some_and(in_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::schema::{Column, HiveType, TableSchema, arrow_schema};

    fn schema() -> TableSchema {
        let column = |(name, hive): (&str, &str)| Column { name: name.into(), hive: HiveType::parse(hive).unwrap(), comment: None };
        let columns = [("id", "string"), ("ip", "string"), ("n", "int"), ("mail", "string"), ("rescued", "map<string,string>")];
        TableSchema { columns: columns.map(column).to_vec(), partition_keys: vec![] }
    }

    /// The plan of the table with these settings.
    fn plan(settings: &str) -> Plan {
        let text = format!(
            "[lake]\nhmac_key = \"0123456789abcdef\"\n[[table]]\nname = \"shop.clicks\"\nlanding = \"l\"\nlocation = \"t\"\n{settings}"
        );
        let table = config::load(&text, std::path::Path::new("/"), &|_| None).unwrap().tables.remove(0);
        Plan::new(&schema(), &table.rules, table.new_columns, table.max_ratio).unwrap()
    }

    fn told(settings: &str, made_with: Option<&[(&str, &str)]>, json: &str) -> String {
        let mut decoder = arrow::json::ReaderBuilder::new(arrow_schema(&schema().columns)).build_decoder().unwrap();
        decoder.decode(json.as_bytes()).unwrap();
        let made_with = made_with.map(|columns| columns.iter().map(|(column, rule)| (column.to_string(), rule.to_string())).collect());
        // Of a slice, whose offsets do not begin at 0.
        let rows = decoder.flush().unwrap().unwrap();
        let rows = veiled(&plan(settings), made_with.as_ref(), rows.slice(1, rows.num_rows() - 1)).unwrap();
        let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        String::from_utf8(writer.into_inner()).unwrap().trim_end().to_string()
    }

    const FIRST: &str = r#"{"id":"0","rescued":{"x":"y"}}"#;

    #[test]
    fn what_became_private_is_replaced_and_what_was_private_stays() {
        let rules = "[table.columns.ip]\nprivacy = \"truncate-ip\"\n[table.columns.n]\nprivacy = \"drop\"\n[table.columns.mail]\nprivacy = \
                     \"hmac-sha256\"\n";
        let json = format!("{FIRST}\n{}\n{}", r#"{"id":"1","ip":"203.0.113.77","n":1,"mail":"a@b"}"#, r#"{"id":"2","ip":"no","n":null}"#);
        let new = told(rules, Some(&[]), &json);
        let hashed = new.split("\"mail\":\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(hashed.len(), 64, "{new}");
        assert_eq!(new, format!("{{\"id\":\"1\",\"ip\":\"203.0.113.0\",\"mail\":\"{hashed}\"}}\n{{\"id\":\"2\"}}"));
        let hashed_before = told(rules, Some(&[("mail", "hmac-sha256"), ("ip", "redact")]), &json);
        assert!(hashed_before.contains("\"mail\":\"a@b\""), "what a key made is not hashed again: {hashed_before}");
        assert_eq!(told("", Some(&[("mail", "drop")]), &json), json.split_once('\n').unwrap().1.replace(",\"n\":null", ""));
    }

    #[test]
    fn hmacs_of_rows_of_which_no_rules_are_known_stay_and_all_else_is_replaced() {
        let rules = "[table.columns.mail]\nprivacy = \"hmac-sha256\"\n[table.columns.ip]\nprivacy = \"redact\"\n";
        let made = "0123456789abcdef".repeat(4);
        let row = |mail: &str| format!("{FIRST}\n{{\"id\":\"1\",\"ip\":\"{made}\",\"mail\":\"{mail}\"}}");
        let expected = |mail: &str| format!("{{\"id\":\"1\",\"ip\":\"[redacted]\",\"mail\":\"{mail}\"}}");
        assert_eq!(told(rules, None, &row(&made)), expected(&made));
        for plain in [made.to_uppercase(), made[1..].to_string(), format!("{made}0"), "a@b".into()] {
            assert_eq!(told(rules, None, &row(&plain)), told(rules, Some(&[]), &row(&plain)));
        }
        assert_ne!(told(rules, Some(&[]), &row(&made)), expected(&made), "it was no HMAC before");
    }

    #[test]
    fn keys_with_separators_in_them_are_private_as_any_other() {
        let rules = "[table.columns.mail]\nfrom = \"user.e_mail\"\nprivacy = \"redact\"\n[table.columns.ip]\nfrom = \"client_ip\"\nprivacy = \"redact\"\n";
        let rescued =
            r#"{"Client.IP":"1","client[ip#2":"2","user.e.mail":"3","user.E#mail.x":"4","user.e":"5","client.x":"6","user#2":"7"}"#;
        let json = format!("{FIRST}\n{{\"id\":\"1\",\"rescued\":{rescued}}}");
        assert_eq!(told(rules, Some(&[]), &json), r#"{"id":"1","rescued":{"user.e":"5","client.x":"6"}}"#);
    }

    #[test]
    fn unknown_fields_that_became_private_are_not_kept() {
        let rules = "[table.columns.mail]\nfrom = \"user.mail\"\nprivacy = \"redact\"\n";
        let rescued = r#"{"Mail":"1","user":"2","user.mail#2":"3","user.phone":"4","x":"5","USER.mail.in[3].x":"6"}"#;
        let json = format!("{FIRST}\n{{\"id\":\"1\",\"rescued\":{rescued}}}\n{{\"id\":\"2\",\"rescued\":{{\"y\":\"7\"}}}}");
        let expected = [r#"{"id":"1","rescued":{"user.phone":"4","x":"5"}}"#, r#"{"id":"2","rescued":{"y":"7"}}"#].join("\n");
        assert_eq!(told(rules, Some(&[]), &json), expected);
        let ignored = format!("[table.evolution]\nnew_columns = \"ignore\"\n{rules}");
        assert_eq!(told(&ignored, Some(&[("mail", "redact")]), &json), expected);
    }
}
