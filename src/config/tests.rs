//! The whole way from the text of a `lakebed.toml` to its settings, and every message about a wrong one.

mod privacy;

use super::*;

const MINIMAL: &str = "[[table]]\nname = \"shop.clicks\"\nlanding = \"landed\"\nlocation = \"lake/clicks\"\n";

fn loaded(text: &str) -> Result<Config> {
    load(text, Path::new("/etl"), &|name| (name == "BUCKET").then(|| "acme".to_string()))
}

/// The error that `text` gives; a text that starts with `+` is added to the minimal table.
fn error(text: &str) -> String {
    let text = text.strip_prefix('+').map_or(text.to_string(), |more| format!("{MINIMAL}{more}"));
    loaded(&text).map_or_else(|e| e.to_string(), |_| "no error".to_string())
}

#[test]
fn the_minimal_config_has_the_defaults() {
    let config = loaded(MINIMAL).unwrap();
    assert_eq!(config.lake.state.to_string(), "file:///etl/.lakebed/");
    assert_eq!((config.lake.catalog, config.lake.memory, config.lake.grace), (CatalogKind::Local, 2 << 30, TimeDelta::hours(24)));
    assert!(config.lake.threads >= 1);
    let [table] = config.tables.as_slice() else { panic!("one table") };
    assert_eq!(table.name.to_string(), "shop.clicks");
    assert_eq!(table.landing.to_string(), "file:///etl/landed/");
    assert_eq!(table.location.to_string(), "file:///etl/lake/clicks/");
    assert_eq!(table.prefix.text(), "!{timestamp:yyyy/MM/dd/HH}/");
    assert!(table.error_prefix.is_none() && table.unwrap.is_none() && table.expect_every.is_none() && table.rules.is_empty());
    assert_eq!((table.timezone, table.format, table.new_columns), (Tz::UTC, Format::Json, NewColumns::Rescue));
    assert_eq!(table.migrations, Path::new("/etl/migrations/shop.clicks"));
    let keys: Vec<String> = table.partition_by.iter().map(|(key, value)| format!("{key}={}", value.text())).collect();
    assert_eq!(keys.join("/"), "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}");
    assert_eq!((table.close_after, table.lookback), (TimeDelta::minutes(20), TimeDelta::hours(48)));
    assert_eq!(table.consumers, BTreeSet::from([Consumer::Athena]));
    assert_eq!((table.merge.target_file_size, table.merge.row_group_size), (512 << 20, 128 << 20));
    assert_eq!((table.merge.compression, table.max_ratio), (Compression::Zstd, 0.5));
    assert!(table.merge.sort_by.is_empty() && table.merge.deduplicate_by.is_empty());
}

const FULL: &str = r#"
[lake]
state   = "s3://${BUCKET}-lake/_lakebed/"
catalog = "glue"
memory  = "1GiB"
threads = 3
grace   = "1d"
kms_key = "alias/lake"

[athena]
workgroup = "lake"
output    = "s3://${BUCKET}-results/"

[[table]]
name         = "shop.clicks"
landing      = "s3://${BUCKET}-raw/clicks/"
prefix       = "page=!{partitionKeyFromQuery:page}/!{timestamp:yyyy/MM/dd/HH}/"
error_prefix = "errors/!{firehose:error-output-type}/"
timezone     = "Europe/Berlin"
format       = "json"
unwrap       = "Records"
location     = "s3://${BUCKET}-lake/shop/clicks/"
migrations   = "ddl/clicks"
partition_by = "page=!{partitionKeyFromQuery:page}/day=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}"
time         = "arrival"
close_after  = "1h30m"
lookback     = "3d"
expect_every = "5m"
consumers    = ["athena", "quicksight", "spectrum"]
evolution    = { new_columns = "reject", type_conflict = "quarantine" }
quarantine   = { max_ratio = 1 }

[table.merge]
target_file_size = "64MiB"
sort_by          = ["collector_tstamp"]
deduplicate_by   = ["event_id"]

[table.columns.event_id]
required = true
pattern  = "^[0-9a-f-]{36}$"
[table.columns.page_url]
from       = "page.url"
max_length = 2048
[table.columns.quantity]
min     = 0
max     = 10.5
allowed = [1, 2.5, "3"]
on_fail = "null"
"#;

#[test]
fn every_setting_is_read() {
    let config = loaded(FULL).unwrap();
    assert_eq!(config.lake.state.to_string(), "s3://acme-lake/_lakebed/");
    assert_eq!((config.lake.memory, config.lake.threads, config.lake.grace), (1 << 30, 3, TimeDelta::days(1)));
    assert_eq!((config.athena.workgroup.as_str(), config.athena.output.unwrap().to_string()), ("lake", "s3://acme-results/".to_string()));
    assert_eq!((config.lake.catalog, config.lake.kms_key.as_deref()), (CatalogKind::Glue, Some("alias/lake")));
    let table = &config.tables[0];
    assert_eq!(table.landing.to_string(), "s3://acme-raw/clicks/");
    assert_eq!(table.prefix.path_keys(), BTreeSet::from(["page"]));
    assert_eq!(table.error_prefix.as_ref().unwrap().text(), "errors/!{firehose:error-output-type}/");
    assert_eq!((table.timezone, table.unwrap.as_deref()), (Tz::Europe__Berlin, Some("Records")));
    assert_eq!(table.migrations, Path::new("/etl/ddl/clicks"));
    let keys: Vec<&str> = table.partition_by.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["page", "day", "hour"]);
    assert_eq!((table.close_after, table.lookback), (TimeDelta::minutes(90), TimeDelta::days(3)));
    assert_eq!(table.expect_every, Some(TimeDelta::minutes(5)));
    assert_eq!(table.consumers, BTreeSet::from([Consumer::Athena, Consumer::QuickSight, Consumer::Spectrum]));
    assert_eq!((table.new_columns, table.max_ratio), (NewColumns::Reject, 1.0));
    assert_eq!((table.merge.target_file_size, table.merge.row_group_size), (64 << 20, 64 << 20));
    assert_eq!(
        (table.merge.sort_by.clone(), table.merge.deduplicate_by.clone()),
        (vec!["collector_tstamp".into()], vec!["event_id".into()])
    );
    assert_eq!(table.merge.compression, Compression::Snappy);
    let (id, url, quantity) = (&table.rules["event_id"], &table.rules["page_url"], &table.rules["quantity"]);
    assert!(id.required && id.pattern.as_ref().unwrap().is_match("01234567-89ab-cdef-0123-456789abcdef"));
    assert_eq!((url.from.clone(), url.max_length), (Some(vec!["page".to_string(), "url".to_string()]), Some(2048)));
    assert_eq!((quantity.min, quantity.max, quantity.on_fail), (Some(0.0), Some(10.5), OnFail::Null));
    assert_eq!(quantity.allowed, Some(vec!["1".to_string(), "2.5".to_string(), "3".to_string()]));
}

#[test]
fn every_mistake_has_its_message() {
    for (text, expected) in WRONG {
        assert_eq!(error(text), expected.replace('%', "table `shop.clicks`"), "{text}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = read(Path::new("/nowhere/lakebed.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no `/nowhere/lakebed.toml`; this command needs `lakebed.toml`: run it in the folder that has it, or name another file with \
         --config"
    );
}

/// What is written, `+` standing for the minimal table, and what is answered, `%` standing for that table.
const WRONG: &[(&str, &str)] = &[
    ("", "no table is configured; add a [[table]] with name, landing and location"),
    ("[lake", "not valid TOML on line 1, column 6: unclosed table, expected `]`"),
    ("a = 1\na = 2", "not valid TOML on line 2, column 1: duplicate key"),
    ("[lake]\nmemory = \"2Gib\"\nmemroy = 1", "unknown key `lake.memroy` on line 3; did you mean `memory`?"),
    (
        "[lake]\nstate = \"s3://acme/state\"\n[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \"t\"",
        "catalog = \"local\" is a file in the state folder, and the state is `s3://acme/state/`; set catalog = \"glue\", or a local state \
         folder",
    ),
    (
        "[lake]\nstate = \"s3://acme/state\"\ncatalog = \"glue\"\n[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \"t\"",
        "catalog = \"glue\" is read by services that see buckets alone, and `location` of table `a.b` is `file:///etl/t/`; use an s3:// \
         prefix there, or catalog = \"local\"",
    ),
    (
        "[athena]\noutput = \"results\"\n[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \"t\"",
        "`athena.output` is `file:///etl/results/`; Athena writes into buckets only, so use an s3:// prefix",
    ),
    ("[[tables]]", "unknown key `tables` on line 1; did you mean `table`?"),
    ("[table]\nname = \"a.b\"", "`table` on line 1 is a list; write its heading as [[table]]"),
    (
        "+targetfilesize = 1",
        "unknown key `table.targetfilesize` on line 5; allowed are `name`, `landing`, `prefix`, `error_prefix`, `timezone`, `format`, \
         `unwrap`, `location`, `migrations`, `partition_by`, `time`, `close_after`, `lookback`, `expect_every`, `consumers`, \
         `evolution`, `merge`, `columns`, `quarantine`",
    ),
    ("+[table.merge]\ntargetfilesize = 1", "unknown key `table.merge.targetfilesize` on line 6; did you mean `target_file_size`?"),
    ("+[table.columns.ip]\nrequird = true", "unknown key `table.columns.ip.requird` on line 6; did you mean `required`?"),
    (
        "+[table.merge]\nxyz = 1",
        "unknown key `table.merge.xyz` on line 6; allowed are `target_file_size`, `row_group_size`, `sort_by`, `deduplicate_by`, \
         `compression`",
    ),
    ("[[table]]\nname = \"a.b\"\nlanding = \"l\"", "`table` on line 1 has no `location`; add it"),
    (
        "[lake]\nmemory = \"512M\"",
        "`lake.memory` on line 2 is `512M`, which is no size; write bytes above zero, or a whole number with KiB, MiB, GiB, TiB, KB, \
         MB, GB or TB",
    ),
    ("[lake]\nmemory = true", "`lake.memory` on line 2 must be a size such as \"512MiB\", not boolean `true`"),
    ("[lake]\nthreads = -1", "`lake.threads` on line 2 must be a whole number from 0, not integer `-1`"),
    ("+close_after = 20", "`table.close_after` on line 5 must be a duration such as \"20m\", not integer `20`"),
    (
        "+close_after = \"20 min\"",
        "`table.close_after` on line 5 is `20 min`, which is no duration; write whole numbers with s, m, h or d, such as 90s, 20m or \
         1h30m",
    ),
    ("+[table.merge]\nsort_by = \"a\"", "`table.merge.sort_by` on line 6 must be a list in brackets, not string \"a\""),
    (
        "+migrations = \"${HOME}/x\"",
        "`table.migrations` on line 5 needs the environment variable `HOME`, which is not set; set it, then run again",
    ),
    ("+migrations = \"${HOME\"", "`table.migrations` on line 5 has `${` without `}`; close it"),
    (
        "[lake]\ncatalog = \"glue\"\n[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \"t\"",
        "catalog = \"glue\" is read by services that see buckets alone, and `lake.state` is `file:///etl/.lakebed/`; use an s3:// prefix there, \
         or catalog = \"local\"",
    ),
    ("+format = \"jsonl\"", "%: format = \"jsonl\" is not known; did you mean `json`?"),
    ("+format = \"orc\"", "%: format = \"orc\" is not known; allowed are `json`, `snowplow-tsv`, `cloudwatch-logs`, `parquet`"),
    (
        "+time = \"Event Time\"",
        "%: time = \"Event Time\" names no column; write \"arrival\", or a timestamp column's name, and behind dots a struct's fields",
    ),
    (
        "+partition_by = \"y=!{column:a..b}\"",
        "%: partition key `y`: `!{column:a..b}` names no column; write a column's name, and behind dots a struct's fields",
    ),
    (
        "+[table.evolution]\nnew_columns = \"add\"",
        "%: evolution.new_columns = \"add\" is not in this version yet; use \"rescue\", and add the column with a migration",
    ),
    (
        "+[table.evolution]\ntype_conflict = \"widen\"",
        "%: evolution.type_conflict = \"widen\" is not in this version yet; use \"quarantine\", widen the column with a migration and \
         redrive",
    ),
    (
        "+[table.evolution]\ntype_conflict = \"rescue\"",
        "%: evolution.type_conflict = \"rescue\" is not in this version yet; use \"quarantine\", and redrive after a migration",
    ),
    ("+[events]\nbus = \"\"", "`events.bus` is empty; name a bus of EventBridge, such as `default`, or remove it to log the events only"),
    ("+consumers = [\"redshift\"]", "%: consumers = \"redshift\" is not known; allowed are `athena`, `quicksight`, `spectrum`"),
    ("+timezone = \"Europe/Berln\"", "%: timezone \"Europe/Berln\" is not an IANA time zone; did you mean `Europe/Berlin`?"),
    ("+timezone = \"here\"", "%: timezone \"here\" is not an IANA time zone; did you mean `Eire`?"),
    (
        "[[table]]\nname = \"Shop.clicks\"\nlanding = \"l\"\nlocation = \"t\"",
        "table `Shop.clicks`: `Shop.clicks` is not a table's name; write database.table in lower-case letters, digits and `_`, such \
         as shop.clicks",
    ),
    (
        "[[table]]\nname = \"clicks\"\nlanding = \"l\"\nlocation = \"t\"",
        "table `clicks`: `clicks` is not a table's name; write database.table in lower-case letters, digits and `_`, such as shop.clicks",
    ),
    (
        "+[[table]]\nname = \"shop.clicks\"\nlanding = \"l2\"\nlocation = \"t2\"",
        "table `shop.clicks` is configured twice; give one of them another name",
    ),
    (
        "+[[table]]\nname = \"shop.clicks_quarantine\"\nlanding = \"l2\"\nlocation = \"t2\"",
        "table `shop.clicks_quarantine` has the name of the quarantine of `shop.clicks`; give it another name",
    ),
    (
        "[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \"l/t\"",
        "table `a.b`: its location file:///etl/l/t/ and its landing file:///etl/l/ overlap: what Firehose lands would be read as \
         table data, and lakebed never writes into a landing; set `location` to a folder of its own, or `landing` to a deeper folder \
         (and take that folder off `prefix`)",
    ),
    (
        "[[table]]\nname = \"a.b\"\nlanding = \"t/l\"\nlocation = \"t\"",
        "table `a.b`: its location file:///etl/t/ and its landing file:///etl/t/l/ overlap: what Firehose lands would be read as \
         table data, and lakebed never writes into a landing; set `location` to a folder of its own, or `landing` to a deeper folder \
         (and take that folder off `prefix`)",
    ),
    (
        "[[table]]\nname = \"a.b\"\nlanding = \".\"\nlocation = \"s3://x/t\"",
        "table `a.b`: its landing file:///etl/ and the lake's state file:///etl/.lakebed/ overlap, and lakebed never writes into a \
         landing; set `state` to a folder of its own, or `landing` to a deeper folder (and take that folder off `prefix`)",
    ),
    (
        "[lake]\nstate = \"t/state\"\n[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \"t\"",
        "table `a.b`: its location file:///etl/t/ and the lake's state file:///etl/t/state/ overlap, so that ledgers or staged files \
         would be read as table data; set `state` or `location` to a folder of its own",
    ),
    (
        "[[table]]\nname = \"a.b\"\nlanding = \"l\"\nlocation = \".lakebed/t\"",
        "table `a.b`: its location file:///etl/.lakebed/t/ and the lake's state file:///etl/.lakebed/ overlap, so that ledgers or \
         staged files would be read as table data; set `state` or `location` to a folder of its own",
    ),
    (
        "+[[table]]\nname = \"shop.orders\"\nlanding = \"l2\"\nlocation = \"lake/\"",
        "tables `shop.clicks` and `shop.orders` overlap: file:///etl/lake/clicks/ and file:///etl/lake/; give each table a folder of \
         its own",
    ),
    (
        "+[[table]]\nname = \"shop.orders\"\nlanding = \"lake/clicks/l2\"\nlocation = \"t2\"",
        "%: its location file:///etl/lake/clicks/ and the landing of `shop.orders` file:///etl/lake/clicks/l2/ overlap: what Firehose \
         lands would be read as table data, and lakebed never writes into a landing; set `location` to a folder of its own, or \
         `landing` to a deeper folder (and take that folder off `prefix`)",
    ),
    (
        "[[table]]\nname = \"a.b\"\nlanding = \"gs://x\"\nlocation = \"t\"",
        "table `a.b`: `landing`: location `gs://x` has the scheme `gs`; use a folder, file:// or s3://",
    ),
    (
        "+prefix = \"!{timestamp:yyyy/MM/dd/hh}/\"",
        "%: `prefix`: expression `!{timestamp:yyyy/MM/dd/hh}/` is wrong: `!{timestamp:yyyy/MM/dd/hh}` has `hh`; allowed are yyyy, \
         YYYY, MM, M, dd, d, DDD, DD, D, HH, H, mm, m, ss, s, punctuation, and text in single quotes",
    ),
    (
        "+prefix = \"!{column:a}/\"",
        "%: `prefix` \"!{column:a}/\" has !{column:…}, which is for partition_by: a path holds no values of records; leave it out",
    ),
    (
        "+prefix = \"!{firehose:error-output-type}/\"",
        "%: `prefix` \"!{firehose:error-output-type}/\" has !{firehose:error-output-type}, which is for `error_prefix`; leave it out",
    ),
    (
        "+prefix = \"!{partitionKeyFromQuery:a}\"",
        "%: `prefix` \"!{partitionKeyFromQuery:a}\" has nothing behind the partition key `a` that ends its value; put a `/` there, in \
         Firehose too",
    ),
    ("+error_prefix = \"\"", "%: `error_prefix` \"\" is empty; leave it out, or write where Firehose puts errors"),
    (
        "+error_prefix = \"e/!{partitionKeyFromQuery:a}/!{firehose:error-output-type}/\"",
        "%: `error_prefix` \"e/!{partitionKeyFromQuery:a}/!{firehose:error-output-type}/\" has a partition key, which Firehose does \
         not allow there; leave it out",
    ),
    (
        "+error_prefix = \"e/!{timestamp:yyyy}/\"",
        "%: `error_prefix` \"e/!{timestamp:yyyy}/\" has expressions without !{firehose:error-output-type}, which Firehose demands \
         there; add it",
    ),
    (
        "+prefix = \"raw/\"\nerror_prefix = \"raw\"",
        "%: `error_prefix` \"raw\" covers what `prefix` \"raw/\" lands, so that all data would be taken for errors; correct one of them",
    ),
    (
        "+partition_by = \"year\"",
        "%: `year` in partition_by has no key; write partition_by like year=!{timestamp:yyyy}/page=!{partitionKeyFromQuery:page}",
    ),
    (
        "+partition_by = \"Year=!{timestamp:yyyy}\"",
        "%: partition key `Year` must be of lower-case letters, digits and `_`; write partition_by like \
         year=!{timestamp:yyyy}/page=!{partitionKeyFromQuery:page}",
    ),
    (
        "+partition_by = \"y=!{timestamp:yyyy}/y=!{timestamp:MM}\"",
        "%: partition key `y` is in partition_by twice; give one of them another name",
    ),
    (
        "+partition_by = \"y=\"",
        "%: partition key `y` has no value; write partition_by like year=!{timestamp:yyyy}/page=!{partitionKeyFromQuery:page}",
    ),
    (
        "+partition_by = \"y=!{timestamp:YYYY}\"",
        "%: partition key `y`: `YYYY` is the year of the week, which is wrong around New Year; write `yyyy`",
    ),
    ("+partition_by = \"y=!{timestamp:mm}\"", "%: partition key `y`: an hour is the smallest partition; leave minutes and seconds out"),
    (
        "+partition_by = \"d=!{timestamp:yyyy/MM/dd}\"",
        "%: partition key `d`: a value must not hold a `/`; use another character, or one key for each folder",
    ),
    (
        "+partition_by = \"d=!{timestamp:yyyy-MM-dd}\"",
        "%: a partition_by that does not fix the hour is not in this version yet; have year, month, day and hour in it, for example \
         year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}",
    ),
    (
        "+partition_by = \"p=!{partitionKeyFromQuery:page}\"",
        "%: partition key `p`: `prefix` has no partition key `page`; use one that it has, or correct `prefix`",
    ),
    (
        "+partition_by = \"p=!{firehose:random-string}\"",
        "%: partition key `p`: its value can be of !{timestamp:…}, !{column:…} and partition keys of `prefix` only; leave !{firehose:…} out",
    ),
    ("+unwrap = \"\"", "%: `unwrap` is empty; name the field that holds the records, or leave it out"),
    (
        "+format = \"parquet\"\nunwrap = \"Records\"",
        "%: `unwrap` names the array of a JSON document that holds the records; leave it out, or set format = \"json\"",
    ),
    ("+close_after = \"0s\"", "%: `close_after` must be longer than nothing, such as \"1m\""),
    ("+lookback = \"0m\"", "%: `lookback` must be longer than nothing, such as \"1m\""),
    ("+expect_every = \"0s\"", "%: `expect_every` must be longer than nothing, such as \"1m\""),
    (
        "+consumers = [\"spectrum\"]\n[table.merge]\ncompression = \"zstd\"",
        "%: merge.compression = \"zstd\" does not go with the consumer \"spectrum\": Redshift Spectrum documents gzip, snappy and \
         bzip2 only; use \"snappy\" or leave it out",
    ),
    ("+[table.merge]\ncompression = \"gzip\"", "%: merge.compression = \"gzip\" is not known; allowed are `zstd`, `snappy`"),
    (
        "+[table.merge]\ntarget_file_size = \"1MiB\"\nrow_group_size = \"2MiB\"",
        "%: merge.row_group_size (2097152 bytes) is above merge.target_file_size (1048576 bytes); make it smaller",
    ),
    ("+[table.merge]\nsort_by = [\"Time\"]", "%: merge.sort_by names `Time`; columns have lower-case letters, digits and `_` only"),
    ("+[table.merge]\ndeduplicate_by = [\"a\", \"a\"]", "%: merge.deduplicate_by names `a` twice; leave one out"),
    ("+[table.quarantine]\nmax_ratio = 1.5", "%: quarantine.max_ratio is 1.5; it is a share, from 0 to 1"),
    ("+[table.quarantine]\nmax_ratio = nan", "%: quarantine.max_ratio is NaN; it is a share, from 0 to 1"),
    (
        "+[table.columns.Ip]\nrequired = true",
        "%: column `Ip` must be of lower-case letters, digits and `_`, as in the table; name the record's field with `from`",
    ),
    ("+[table.columns.q]\nmin = 2\nmax = 1", "%: column `q`: `min` 2 is above `max` 1; exchange them"),
    ("+[table.columns.q]\nmin = nan", "%: column `q`: `min` and `max` must be numbers; leave one out where there is no limit"),
    ("+[table.columns.q]\npattern = \"(a\"", "%: column `q`: `pattern` \"(a\" is not a regular expression: unclosed group"),
    (
        "+[table.columns.q]\nfrom = \"a..b\"",
        "%: column `q`: `from` \"a..b\" has an empty key; write the keys from the top, like \"page.url\"",
    ),
    (
        "+[table.columns.q]\nallowed = []",
        "%: column `q`: its rules let no value through; give `allowed` a value and `max_length` at least 1",
    ),
    ("+[table.columns.q]\non_fail = \"drop\"", "%: column `q`: on_fail = \"drop\" is not known; allowed are `quarantine`, `null`, `warn`"),
    ("+[table.columns.q]\nallowed = [true]", "`table.columns.q.allowed` on line 6 must be a text or a number, not boolean `true`"),
];
