//! Texts that users write: column types, migrations, prefix expressions.

use std::collections::BTreeMap;

use lakebed::catalog::TableName;
use lakebed::hour::Hour;
use lakebed::landing::prefix::Prefix;
use lakebed::schema::HiveType;
use lakebed::schema::ddl::{self, Placeholders, Statement};

use super::laws::coarse;
use super::{Target, corpus};

pub(super) fn hive() -> Target {
    let run = |input: &[u8]| match HiveType::parse(&String::from_utf8_lossy(input)) {
        Ok(hive) => {
            let text = hive.to_string();
            assert_eq!(HiveType::parse(&text).ok().as_ref(), Some(&hive), "{text}");
            let printed: String = text.chars().filter(char::is_ascii_alphabetic).take(12).collect();
            format!("{printed} {}", hive.arrow_type().is_nested())
        }
        Err(e) => coarse(&e.to_string()),
    };
    let deep = corpus::deep_hive().into_iter().map(String::into_bytes).collect();
    Target { name: "hive", run, seeds: corpus::hive(), deep, tokens: corpus::HIVE, is_object: false, inputs: 20_000 }
}

pub(super) fn ddl() -> Target {
    let run = |input: &[u8]| {
        let table = TableName::parse("shop.clicks").unwrap();
        let names = Placeholders { table: &table, location: "s3://b/it's a \\key/" };
        match ddl::parse(&String::from_utf8_lossy(input), &names) {
            Ok(Statement::CreateTable(created)) => {
                let text = ddl::render_create(&created.schema, "${table}", "${location}", &["it's ${x}".to_string()]);
                let Statement::CreateTable(again) = ddl::parse(&text, &names).unwrap_or_else(|e| panic!("{e}: {text}"));
                assert_eq!(again.schema, created.schema, "{text}");
                format!("{} {:?} {}", created.schema.columns.len(), created.comment.is_some(), created.parameters.len())
            }
            Err(e) => coarse(&e.to_string()),
        }
    };
    let columns =
        |hive: String| format!("CREATE EXTERNAL TABLE ${{table}} (a {hive}) STORED AS PARQUET LOCATION '${{location}}'").into_bytes();
    let others = ["(", "/*", "${", "${table}\n", "`", "<", "a int,", ";", "--\n"].map(|text| text.repeat(corpus::DEPTH).into_bytes());
    let deep = corpus::deep_hive().into_iter().map(columns).chain(others).collect();
    Target { name: "ddl", run, seeds: corpus::ddl(), deep, tokens: corpus::DDL, is_object: false, inputs: 4000 }
}

pub(super) fn prefix() -> Target {
    let run = |input: &[u8]| match Prefix::parse(&String::from_utf8_lossy(input)) {
        Ok(prefix) => {
            matches_its_own(&prefix);
            let time = prefix.time_fields().len().min(3);
            format!("{time} {} {} {}", prefix.path_keys().len().min(2), prefix.has_random(), prefix.has_error_type())
        }
        Err(e) => coarse(&e.to_string()),
    };
    let deep = ["!{", "!{timestamp:yyyy}/", "!{partitionKeyFromQuery:a}", "a/", "(", "!{firehose:random-string}", "x"];
    let deep = deep.iter().map(|text| text.repeat(corpus::DEPTH).into_bytes()).collect();
    Target { name: "prefix", run, seeds: corpus::prefix(), deep, tokens: corpus::PREFIX, is_object: false, inputs: 3000 }
}

/// What an expression makes is what it reads.
fn matches_its_own(prefix: &Prefix) {
    let example = prefix.example();
    let time = if prefix.time_fields().is_empty() { "1970/01/01/00/" } else { "" };
    let key = format!("{example}{time}stream-1");
    assert!(!key.starts_with('/') && !key.contains("//"), "a folder without a name: {key}");
    assert!(prefix.literal_folder().is_empty() || key.starts_with(prefix.literal_folder()), "{key} is in {}", prefix.literal_folder());
    let hour = Hour::of(chrono::DateTime::UNIX_EPOCH);
    let values: BTreeMap<String, String> = prefix.path_keys().into_iter().map(|name| (name.to_string(), name.to_string())).collect();
    if prefix.columns().is_empty() && !prefix.has_random() && !prefix.has_error_type() {
        assert_eq!(prefix.format(hour, &values).unwrap(), example);
    }
    // A value may hold the text that ends it, and no path holds a column's value.
    if prefix.path_keys().is_empty() && prefix.columns().is_empty() {
        let found = prefix.match_key(&key).unwrap_or_else(|| panic!("{key} is not matched"));
        // Where a number of one or two digits is before a random string, both may be read in another way.
        assert!(found.rest == "stream-1" || prefix.has_random() && key.ends_with(found.rest), "{} is left of {key}", found.rest);
        for (slash, _) in key.match_indices('/') {
            assert!(prefix.match_folder(&key[..=slash]).is_some(), "{} does not lead to {key}", &key[..=slash]);
        }
        assert!(prefix.covers(&key), "{key} is not covered");
    }
}
