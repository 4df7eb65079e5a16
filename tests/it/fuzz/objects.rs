//! Objects of all kinds, through standardizing as a whole and through decompression alone.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use lakebed::config;
use lakebed::schema::{Column, HiveType, TableSchema};
use lakebed::standardize::codec::{self, Content, RATIO, Stored};
use lakebed::standardize::{Limits, Piece, Plan, standardize};

use super::laws::{both, check, coarse};
use super::{Target, corpus};

/// Columns of all types, with the names of the seeds.
pub(super) const COLUMNS: &str = "id string, n bigint, small tinyint, price decimal(10,2), ratio double, f float, ok boolean, day date, at timestamp, \
    code varchar(5), blob binary, tags array<string>, counts map<string,bigint>, page struct<url:string,depth:int>, \
    nested array<struct<a:map<string,array<int>>,b:struct<c:double>>>";

/// A plan for columns, with the settings of a table in `lakebed.toml`.
fn plan(columns: &str, settings: &str) -> Plan {
    let column = |text: &str| {
        let (name, hive) = text.split_once(' ').unwrap();
        Column { name: name.into(), hive: HiveType::parse(hive).unwrap(), comment: None }
    };
    let schema = TableSchema { columns: columns.split(", ").map(|text| column(text.trim())).collect(), partition_keys: vec![] };
    let text = format!("[[table]]\nname = \"shop.clicks\"\nlanding = \"landed\"\nlocation = \"lake\"\n{settings}");
    let table = config::load(&text, Path::new("/"), &|_| None).unwrap().tables.remove(0);
    let plan = Plan::new(&schema, &table.rules, table.new_columns, table.max_ratio).unwrap();
    Plan { format: table.format, unwrap: table.unwrap, keep_raw: table.keep_raw, ..plan }
}

const ALL: &str = "[table.quarantine]\nmax_ratio = 1.0\n";

static JSON: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let rules = "[table.columns.n]\nmin = 0\non_fail = \"null\"\n[table.columns.id]\nrequired = true\npattern = \"^[a-z]+$\"\n\
                 [table.columns.code]\nallowed = [\"abc\"]\non_fail = \"warn\"\n[table.columns.f]\nfrom = \"page.depth\"\n";
    let private = "[table.columns.id]\nprivacy = \"redact\"\n[table.columns.code]\nprivacy = \"drop\"\nfrom = \"secret.code\"\n";
    let rescued = format!("{COLUMNS}, rescued map<string,string>");
    vec![
        plan(&rescued, ALL),
        plan(&rescued, &format!("unwrap = \"Records\"\n{ALL}{rules}")),
        plan(COLUMNS, &format!("[table.evolution]\nnew_columns = \"reject\"\n{ALL}{rules}")),
        plan(COLUMNS, "[table.evolution]\nnew_columns = \"ignore\"\n[table.quarantine]\nmax_ratio = 0.4\n"),
        plan(&rescued, &format!("{ALL}{private}")),
    ]
});

static SNOWPLOW: LazyLock<Plan> = LazyLock::new(|| {
    let columns = "app_id string, event_id string, collector_tstamp timestamp, geo_latitude double, txn_id int, br_cookies boolean, \
                   contexts_com_snowplowanalytics_snowplow_web_page_1 array<struct<id:string>>, rescued map<string,string>";
    plan(columns, &format!("format = \"snowplow-tsv\"\n{ALL}"))
});

static CLOUDWATCH: LazyLock<[Plan; 2]> = LazyLock::new(|| {
    let columns =
        "owner string, log_group string, id string, timestamp bigint, n double, page struct<url:string>, rescued map<string,string>";
    let settings = format!("format = \"cloudwatch-logs\"\n{ALL}");
    [plan(columns, &settings), plan(&format!("message string, {columns}"), &settings)]
});

static PARQUET: LazyLock<[Plan; 2]> = LazyLock::new(|| {
    let columns = "bool_col boolean, tinyint_col tinyint, int_col int, double_col float, date_string_col string, string_col varchar(3), \
                   timestamp_col timestamp, int64_list array<bigint>, int_map map<string,int>, value decimal(12,2), a array<string>";
    let others = COLUMNS.split_once(", ").unwrap().1;
    let settings = |format: &str| format!("format = \"{format}\"\n{ALL}");
    [
        plan(&format!("id string, {columns}, {others}, rescued map<string,string>"), &settings("parquet")),
        plan(&format!("id int, {columns}, rescued map<string,string>"), &settings("json")),
    ]
});

/// A number that belongs to an input: what an input is read with must not depend on anything else.
fn sum(input: &[u8]) -> usize {
    input.iter().map(|byte| usize::from(*byte)).sum::<usize>() + input.len()
}

/// Most bytes of a record, short enough to be met, or long.
fn record(input: &[u8]) -> usize {
    [64, 1000, 1 << 20, 1 << 20][sum(input) / 7 % 4]
}

pub(super) fn json() -> Target {
    let run = |input: &[u8]| check(&JSON[sum(input) % JSON.len()], input, record(input));
    Target { name: "json", run, seeds: corpus::json(), deep: corpus::deep_json(), tokens: corpus::JSON, is_object: true, inputs: 2500 }
}

pub(super) fn snowplow() -> Target {
    let run = |input: &[u8]| check(&SNOWPLOW, input, record(input) * 16);
    let seeds = corpus::snowplow();
    Target { name: "snowplow", run, seeds, deep: corpus::deep_json(), tokens: corpus::SNOWPLOW, is_object: true, inputs: 2500 }
}

pub(super) fn cloudwatch() -> Target {
    let run = |input: &[u8]| check(&CLOUDWATCH[sum(input) % 2], input, record(input));
    let seeds = corpus::cloudwatch();
    Target { name: "cloudwatch", run, seeds, deep: corpus::deep_json(), tokens: corpus::CLOUDWATCH, is_object: true, inputs: 3000 }
}

pub(super) fn parquet() -> Target {
    let run = |input: &[u8]| check(&PARQUET[sum(input) % 2], input, 1 << 20);
    let seeds = corpus::parquet().into_iter().chain([written()]).collect();
    Target { name: "parquet", run, seeds, deep: vec![], tokens: corpus::PARQUET, is_object: false, inputs: 1500 }
}

/// A Parquet file with columns of all types.
fn written() -> Vec<u8> {
    let record: Arc<dyn Stored> = Arc::new(bytes::Bytes::from(corpus::json().swap_remove(0)));
    let mut file = Vec::new();
    let outcome = standardize(&JSON[0], &record, Limits::within(1 << 20, 1 << 30), &mut |piece| {
        if let Piece::Rows(batch) = piece {
            let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        Ok(())
    });
    assert_eq!(outcome.unwrap().tally.rows, 1);
    file
}

/// Limits that small inputs meet.
const LIMITS: codec::Limits = codec::Limits { whole: 64 << 10, bytes: 2 << 20, ratio: RATIO };

pub(super) fn decompress() -> Target {
    let run = |input: &[u8]| {
        let [near, far] = both(input);
        let (out, damage) = read_by(&far, LIMITS, 1 << 16);
        assert!(out.len() as u64 <= LIMITS.bytes, "{} bytes come out", out.len());
        let streamed = codec::Limits { whole: 0, ..LIMITS };
        let smallest = if out.len() < 1000 { 1 } else { 61 };
        for (stored, step) in [(&near, 1 << 16), (&near, smallest), (&far, 4096)] {
            let (again, damaged) = read_by(stored, streamed, step);
            // How much of a damaged stream comes before its damage depends on the steps of the decoder.
            let is_same =
                if damage.is_none() || step == 1 << 16 { out == again } else { out.starts_with(&again) || again.starts_with(&out) };
            assert!(is_same, "{} bytes, and {} by {step}", out.len(), again.len());
            assert_eq!(damage, damaged, "by {step}");
        }
        // At once more may come out: that takes codes which no encoder writes, and the stream does not. An archive that is in memory is
        // read by its directory, which a stream cannot.
        let (at_once, damaged) = read_by(&near, LIMITS, 1 << 16);
        let is_same = at_once == out && damaged.is_none();
        assert!(is_same || damage.is_some() || holds_archive(input), "{} bytes, and {} at once, {damaged:?}", out.len(), at_once.len());
        if matches!(codec::open(&near, LIMITS), Ok(Content::Whole(text)) if text == input) && input.len() < 2000 {
            for (codec, object) in corpus::encode::all(input) {
                let (out, damage) = read_by(&both(&object)[1], LIMITS, 4096);
                assert!(out == input && damage.is_none(), "{codec} gives back {} of {} bytes, {damage:?}", out.len(), input.len());
            }
        }
        format!("{} {:?}", out.len().min(1), damage.map(|damage| coarse(&damage)))
    };
    let seeds = corpus::compressed().into_iter().chain(corpus::json().into_iter().take(9)).collect();
    Target { name: "decompress", run, seeds, deep: vec![], tokens: corpus::CODECS, is_object: true, inputs: 5000 }
}

/// True if a ZIP archive is in gzip, however often that is in itself.
fn holds_archive(object: &[u8]) -> bool {
    let mut layer = object.to_vec();
    while layer.starts_with(b"\x1f\x8b") {
        let mut out = Vec::new();
        let whole = flate2::read::MultiGzDecoder::new(&layer[..]).take(LIMITS.bytes).read_to_end(&mut out).is_ok();
        layer = if whole { out } else { Vec::new() };
    }
    layer.starts_with(b"PK")
}

/// All that can be read of an object `step` bytes at a time, and what is wrong with the rest.
fn read_by(stored: &Arc<dyn Stored>, limits: codec::Limits, step: usize) -> (Vec<u8>, Option<String>) {
    let damaged = |e: std::io::Error| Some(codec::Damage::of(&e).unwrap().to_string());
    let mut reader = match codec::open(stored, limits) {
        Ok(Content::Text(reader)) => reader,
        Ok(Content::Whole(bytes)) => return (bytes.into(), None),
        Ok(Content::Columnar) => return (Vec::new(), None),
        Err(e) => return (Vec::new(), damaged(e)),
    };
    let (mut out, mut buffer) = (Vec::new(), vec![0; step]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (out, None),
            Ok(length) => out.extend(&buffer[..length]),
            Err(e) => return (out, damaged(e)),
        }
    }
}
