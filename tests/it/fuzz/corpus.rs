//! What inputs are made of: small built-in ones, the sample files, and the words of the grammars.

use std::path::Path;
use std::sync::LazyLock;

#[path = "../../../src/standardize/codec/tests/encode.rs"]
pub(super) mod encode;

/// How deep the deep inputs nest.
pub(super) const DEPTH: usize = 100_000;

/// Largest sample file that is taken.
const LARGEST: u64 = 64 << 10;

/// The name and the bytes of each small sample file; none, said aloud, where the samples are not.
static SAMPLES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let root = std::env::var_os("LAKEBED_SAMPLES").map_or_else(beside, Into::into);
    if !root.is_dir() {
        eprintln!(
            "There are no samples in {}; only built-in inputs are run. Set LAKEBED_SAMPLES to the folder that has them",
            root.display()
        );
        return Vec::new();
    }
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort_unstable();
    found
});

fn collect(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.is_dir() {
            collect(&path, found);
        } else if metadata.len() <= LARGEST {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn samples(is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    SAMPLES.iter().filter(|(name, _)| is_wanted(name)).map(|(_, bytes)| bytes.clone()).collect()
}

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Records of a table with the columns of [`super::objects::COLUMNS`], in the framings that land.
pub(super) fn json() -> Vec<Vec<u8>> {
    let built_in = owned(&[
        r#"{"id":"a","n":1,"small":-3,"price":19.99,"ratio":0.5,"f":1.5,"ok":true,"day":"2026-11-19","at":"2026-11-19T14:05:06.123Z","code":"abc","blob":"AP8=","tags":["x",null],"counts":{"a":1},"page":{"url":"https://x/","depth":2},"nested":[{"a":{"k":[1,2]},"b":{"c":1e3}}],"else":{"deep":[{}]}}"#,
        "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":\"2\"}\r\n{\"id\":\"c\",\"n\":null}\n",
        r#"{"n":1}{"n":2}{"n":"x"}{"n":7,}{"n":3}"#,
        r#"[{"n":1},{"n":2},{"n" 3},{"n":4}]"#,
        r#"{"n":1},{"n":2},{"n":3"#,
        r#"{"Records":[{"n":1},{"n":2}],"more":1}{"Records":[]}{"n":1}"#,
        "\u{feff}{\"id\":\"\\ud83d\\ude00\\u00e9\"}\\n{\"id\":\"\\ud83d\"}12 true \"text\" null",
        r#"{"schema":"iglu:com.snowplowanalytics.snowplow.badrows/a/jsonschema/1-0-0","data":{}}"#,
        r#"{"attemptsMade":4,"arrivalTimestamp":1,"errorCode":"x","errorMessage":"y","attemptEndingTimestamp":2,"rawData":"e30=","lambdaArn":"z"}"#,
    ]);
    let is_text = |name: &str| !name.ends_with(".parquet") && !name.ends_with(".gz");
    built_in.into_iter().chain(samples(is_text)).collect()
}

/// The built-in and the shortest texts, in all codecs, once and twice.
pub(super) fn compressed() -> Vec<Vec<u8>> {
    let mut objects = samples(|name| name.ends_with(".gz"));
    for text in [&b"{\"n\":1}\n{\"n\":2}\n"[..], b"", &encode::text(3000)] {
        for (_, once) in encode::all(text) {
            objects.extend(encode::all(&once).into_iter().map(|(_, twice)| twice).step_by(3));
            objects.push(once);
        }
    }
    objects
}

/// Enriched events, one to three a file.
pub(super) fn snowplow() -> Vec<Vec<u8>> {
    let lines = include_str!("../../../src/standardize/snowplow/samples/events.tsv");
    let mut found: Vec<Vec<u8>> = lines.lines().take(4).map(|line| line.as_bytes().to_vec()).collect();
    found.push(lines.lines().take(3).collect::<Vec<_>>().join("\r\n").into_bytes());
    found.push("\t".repeat(130).into_bytes());
    found.push(b"{\"event_id\":\"x\"}\n\n  {\"n\":1} x\nnot a line".to_vec());
    found
}

/// What CloudWatch Logs sends.
pub(super) fn cloudwatch() -> Vec<Vec<u8>> {
    let built_in = owned(&[
        r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{"id":"1","timestamp":1763561106123,"message":"START\n"},{"id":"2","timestamp":1,"message":"{\"id\":\"a\",\"n\":1.50,\"page\":{\"url\":\"x\"}}","extractedFields":{"n":"1"}},7]}"#,
        r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE"}]}"#,
        r#"{"messageType":"DATA_MESSAGE","logEvents":[]}{"messageType":"DATA_MESSAGE"}{"logEvents":[{}]}[1]"#,
        r#"{"logEvents":[{"message":"{\"message\":\"\\u0000\",\"n\":\"x\"} "}],"n":5,"messageType":"DATA_MESSAGE"}"#,
    ]);
    built_in.into_iter().chain(samples(|name| name.contains("lambda-events"))).collect()
}

/// Parquet files.
pub(super) fn parquet() -> Vec<Vec<u8>> {
    samples(|name| name.ends_with(".parquet"))
}

/// Texts that nest as deep as a stack does not.
pub(super) fn deep_json() -> Vec<Vec<u8>> {
    let text = |parts: [&str; 3]| [parts[0].repeat(DEPTH).as_bytes(), parts[1].as_bytes(), parts[2].repeat(DEPTH).as_bytes()].concat();
    let within = |before: &str, parts: [&str; 3], behind: &str| [before.as_bytes(), &text(parts), behind.as_bytes()].concat();
    vec![
        text(["[", "", ""]),
        text(["[", "", "]"]),
        text(["{\"a\":", "1", "}"]),
        text(["{\"a\":[", "", ""]),
        within("{\"else\":", ["[", "", "]"], "}{\"n\":1}"),
        within("{\"nested\":", ["[{\"a\":", "1", "}]"], "}{\"n\":1}"),
        within("{\"id\":", ["{\"id\":", "null", "}"], "}\n{\"n\":1}"),
        within("{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{\"message\":\"{\\\"n\\\":", ["[", "", "]"], "}\"}]}"),
    ]
}

/// Texts of types.
pub(super) fn hive() -> Vec<Vec<u8>> {
    owned(&[
        "string",
        "decimal(38,10)",
        "array<struct<a:map<string,array<int>>,b:struct<c:varchar(10),`d`:char(1)>>>",
        " STRUCT < `Date` : date , x : timestamp > ",
        "map<string,map<int,binary>>",
        "uniontype<int,string>",
        "struct<a:int comment 'x',a:bigint>",
        "decimal(4,5)",
    ])
}

/// Types that nest as deep as a stack does not.
pub(super) fn deep_hive() -> Vec<String> {
    let nested = |open: &str, inside: &str, close: &str| format!("{}{inside}{}", open.repeat(DEPTH), close.repeat(DEPTH));
    vec![nested("array<", "int", ">"), nested("struct<a:", "int", ">"), nested("map<int,", "int", ">"), nested("map<", "int", ",int>")]
}

/// Migrations.
pub(super) fn ddl() -> Vec<Vec<u8>> {
    owned(&[
        include_str!("../../../examples/clicks/migrations/shop.clicks/0001_create.sql"),
        "CREATE EXTERNAL TABLE ${table} (`id` string COMMENT 'it''s \\'x\\'', n array<struct<a:int,b:map<string,decimal(3,2)>>>) COMMENT \"t\" \
         PARTITIONED BY (year string, `hour` int COMMENT '${location}') STORED AS PARQUET LOCATION '${location}' \
         TBLPROPERTIES ('classification'='parquet', 'a' = 'b');",
        "create external table if not exists shop.clicks (a int) stored as parquet location 's3://b/k/' -- end\n;;",
        "/* c */ ALTER TABLE x ADD COLUMNS (a int)",
        "CREATE EXTERNAL TABLE `shop`.`clicks` (rescued map<string,string>) ROW FORMAT SERDE 'x' STORED AS ORC LOCATION ''",
    ])
}

/// Prefix expressions.
pub(super) fn prefix() -> Vec<Vec<u8>> {
    owned(&[
        "!{timestamp:yyyy/MM/dd/HH}/",
        "raw/c=!{partitionKeyFromQuery:customer}/!{timestamp:'year='yyyy'/month='MM'/day='dd'/hour='HH}/!{firehose:random-string}/",
        "errors/!{firehose:error-output-type}/!{timestamp:DDD-YYYY}/!{timestamp:HHmmss}",
        "year=!{timestamp:uuuu}/region=!{column:page.region}/k=!{partitionKeyFromLambda:k}/",
        "legacy",
        "",
        "a.b+c[d]/(e|f)*/$^\\/é/!{timestamp:M.d.H 'o''clock'}",
    ])
}

/// Words of JSON, and what stands around records.
pub(super) const JSON: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\n",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\\n",
    b"null",
    b"true",
    b"false",
    b"{}",
    b"[]",
    b"{\"n\":1}",
    b"\n{\"n\":1}\n",
    b"}{",
    b"},{",
    b"\"n\":",
    b"\"id\":",
    b"\"page\":{",
    b"\"nested\":[{\"a\":{",
    b"\"Records\":[",
    b"\\u0000",
    b"\\ud83d",
    b"\\ude00",
    b"\\\"",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"1e400",
    b"-",
    b"\"2026-02-30\"",
    b"\"24:00:00Z\"",
    b"\"at\":",
    b"\t",
    b"\0",
];

/// What codecs begin and end with.
pub(super) const CODECS: &[&[u8]] = &[
    b"\x1f\x8b",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"\x1f\x8b\x08\x1f",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
    b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18",
    b"\x82SNAPPY\0",
    b"\xff\x06\0\0sNaPpY",
    b"PAR1",
    b"ORC",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x01\0\0\xff\xff",
    b"\x03\0",
];

/// Words of envelopes.
pub(super) const CLOUDWATCH: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\"messageType\":",
    b"\"DATA_MESSAGE\"",
    b"\"CONTROL_MESSAGE\"",
    b"\"logEvents\":[",
    b"\"message\":",
    b"\"{\\\"n\\\":1}\"",
    b"\\\"",
    b"\\\\",
    b"\\u007b",
    b"{\"id\":\"1\",\"message\":\"x\"}",
    b"\"id\":",
    b"\"timestamp\":1",
    b"null",
    b"\n",
];

/// What lines of Snowplow are made of.
pub(super) const SNOWPLOW: &[&[u8]] = &[
    b"\t",
    b"\n",
    b"\r\n",
    b"\t\t\t\t",
    b"{\"schema\":\"iglu:a.b/c/jsonschema/1-0-0\",\"data\":{}}",
    b"iglu:",
    b"jsonschema",
    b"/1-0-0",
    b"\"data\":",
    b"[",
    b"{",
    b"}",
    b"]",
    b"\"",
    b"\\",
    b"2026-11-19 14:05:06.123",
    b"1",
    b"0",
    b"\xff",
    b"{\"schema\":\"iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1\",\"data\":[",
];

/// What Parquet's footer is made of: Thrift's compact protocol.
pub(super) const PARQUET: &[&[u8]] = &[
    b"PAR1",
    b"PARE",
    b"\0",
    b"\x15",
    b"\x16",
    b"\x18",
    b"\x19",
    b"\x1c",
    b"\x2c",
    b"\x15\x02",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x08",
];

/// Words of types and of the statements they are in.
pub(super) const HIVE: &[&[u8]] = &[
    b"array<",
    b"map<",
    b"struct<",
    b">",
    b"<",
    b",",
    b":",
    b"(",
    b")",
    b"`",
    b" ",
    b"int",
    b"string",
    b"decimal(",
    b"varchar(",
    b"char(",
    b"comment",
    b"'",
    b"uniontype<",
    b"a:",
    b"38",
    b"\xc3\xa9",
    b"date",
    b"\"",
];

/// Words of Athena's DDL.
pub(super) const DDL: &[&[u8]] = &[
    b"CREATE ",
    b"EXTERNAL ",
    b"TABLE ",
    b"IF NOT EXISTS ",
    b"${table}",
    b"${location}",
    b"${",
    b"}",
    b"(",
    b")",
    b",",
    b";",
    b"`",
    b"'",
    b"\"",
    b"\\",
    b"--",
    b"/*",
    b"*/",
    b"COMMENT ",
    b"PARTITIONED BY ",
    b"STORED AS PARQUET ",
    b"LOCATION ",
    b"TBLPROPERTIES ",
    b"ROW FORMAT ",
    b"array<",
    b"struct<a:",
    b"map<",
    b">",
    b">>",
    b"<>",
    b" int",
    b" string",
    b"'k'='v'",
    b"\n",
    b"\xc3\xa9",
    b"1e5",
    b"0x",
    b"$$",
    b"U&'",
    b"E'",
    b"\0",
];

/// Words of prefix expressions.
pub(super) const PREFIX: &[&[u8]] = &[
    b"!{",
    b"}",
    b"!{timestamp:",
    b"!{firehose:random-string}",
    b"!{firehose:error-output-type}",
    b"!{partitionKeyFromQuery:a}",
    b"!{partitionKeyFromLambda:",
    b"!{column:",
    b"yyyy",
    b"YYYY",
    b"MM",
    b"dd",
    b"HH",
    b"H",
    b"D",
    b"DDD",
    b"mm",
    b"ss",
    b"'",
    b"''",
    b"/",
    b"//",
    b"..",
    b".",
    b"_",
    b"=",
    b"-",
    b"\xc3\xa9",
    b"\n",
    b"(",
    b"[",
    b"\\",
    b"0",
    b"1970",
];
