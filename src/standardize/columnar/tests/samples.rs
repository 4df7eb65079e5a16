//! Files of other writers: those of apache/parquet-testing and apache/arrow-testing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use arrow::array::RecordBatchReader;

use super::*;

/// The folder of a set of samples, or nothing, and then it says so.
fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LAKEBED_SAMPLES")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")), PathBuf::from);
    let folder = root.join(name);
    if !folder.is_dir() {
        eprintln!("SKIPPED: no samples at {}; set LAKEBED_SAMPLES", folder.display());
        return None;
    }
    Some(folder)
}

fn sample(name: &str) -> Option<Bytes> {
    folder("parquet-testing/data").map(|folder| std::fs::read(folder.join(name)).unwrap().into())
}

/// The Hive type that holds an Arrow type, as text where no other does.
fn hive(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "int".into(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".into(),
        DataType::Float16 | DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary".into(),
        DataType::List(element) => format!("array<{}>", hive(element.data_type())),
        DataType::Map(entry, _) => match entry.data_type() {
            DataType::Struct(parts) => format!("map<string,{}>", hive(parts[1].data_type())),
            _ => unreachable!(),
        },
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| format!("{}:{}", name(field), hive(field.data_type()));
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        _ => "string".into(),
    }
}

fn name(field: &Field) -> String {
    String::from_utf8(crate::standardize::plan::normalize(field.name().as_bytes())).unwrap()
}

#[test]
fn every_row_of_every_sample_becomes_a_row() {
    let empty = plan("none_of_its_columns string");
    let (mut read, mut refused) = (0, BTreeSet::new());
    for folder in ["parquet-testing/data", "arrow-testing/data/parquet"].into_iter().filter_map(folder) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = Bytes::from(std::fs::read(&path).unwrap());
            let object = match ColumnarObject::open(bytes.clone(), &empty, LIMIT) {
                Ok(object) => object,
                Err(why) => {
                    assert!(why.starts_with("it is compressed with "), "{}: {why}", path.display());
                    refused.insert(path.file_name().unwrap().to_string_lossy().into_owned());
                    continue;
                }
            };
            let schema = object.reader.schema();
            let columns = |hive: &dyn Fn(&DataType) -> String| {
                let columns = schema.fields().iter().map(|field| format!("{} {}", name(field), hive(field.data_type())));
                columns.collect::<Vec<_>>().join(", ")
            };
            for columns in [columns(&hive), columns(&|_| "string".into()), "rescued map<string,string>".into()] {
                let lines = rows(bytes.clone(), &plan(&columns)).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
                assert_eq!(lines.len() as u64, object.rows(), "{}", path.display());
                // One file has a time that is in no year from 1 to 9999.
                let is_bad = |line: &&String| line.starts_with('!') && !line.starts_with("!type_mismatch ul_observation_date.");
                let bad = lines.iter().filter(is_bad).find(|line| !line.starts_with("!not_utf8 "));
                assert_eq!(bad, None, "{} as {columns}", path.display());
                assert!(columns.contains(" string") || !lines.iter().any(|line| is_bad(&line)), "{}", path.display());
            }
            read += 1;
        }
    }
    let lz4 = ["hadoop_lz4_compressed_larger.parquet", "lz4_raw_compressed.parquet", "lz4_raw_compressed_larger.parquet"];
    assert!(read == 0 || refused.iter().eq(lz4), "{refused:?}");
}

#[track_caller]
fn reads(name: &str, columns: &str, expected: &[&str]) {
    if let Some(bytes) = sample(name) {
        let lines = rows(bytes, &plan(columns)).unwrap();
        assert_eq!(lines[..expected.len().min(lines.len())], *expected, "{name}");
    }
}

#[test]
fn plain_types_of_impala() {
    reads(
        "alltypes_plain.parquet",
        "id int, bool_col boolean, tinyint_col tinyint, bigint_col bigint, float_col float, double_col double, date_string_col string, string_col int, timestamp_col timestamp",
        &[
            r#"{"id":4,"bool_col":true,"tinyint_col":0,"bigint_col":0,"float_col":0.0,"double_col":0.0,"date_string_col":"03/01/09","string_col":0,"timestamp_col":"2009-03-01T00:00:00Z"}"#,
            r#"{"id":5,"bool_col":false,"tinyint_col":1,"bigint_col":10,"float_col":1.1,"double_col":10.1,"date_string_col":"03/01/09","string_col":1,"timestamp_col":"2009-03-01T00:01:00Z"}"#,
            r#"{"id":6,"bool_col":true,"tinyint_col":0,"bigint_col":0,"float_col":0.0,"double_col":0.0,"date_string_col":"04/01/09","string_col":0,"timestamp_col":"2009-04-01T00:00:00Z"}"#,
        ],
    );
}

#[test]
fn nested_types_of_spark_and_impala() {
    reads(
        "nested_lists.snappy.parquet",
        "a array<array<array<string>>>, b int",
        &[
            r#"{"a":[[["a","b"],["c"]],[null,["d"]]],"b":1}"#,
            r#"{"a":[[["a","b"],["c","d"]],[null,["e"]]],"b":1}"#,
            r#"{"a":[[["a","b"],["c","d"],["e"]],[null,["f"]]],"b":1}"#,
        ],
    );
    reads(
        "nested_maps.snappy.parquet",
        "a map<string,map<string,boolean>>, c double",
        &[
            r#"{"a":{"a":{"1":true,"2":false}},"c":1.0}"#,
            r#"{"a":{"b":{"1":true}},"c":1.0}"#,
            r#"{"a":{"c":null},"c":1.0}"#,
            r#"{"a":{"d":{}},"c":1.0}"#,
            r#"{"a":{"e":{"1":true}},"c":1.0}"#,
            r#"{"a":{"f":{"3":true,"4":false,"5":true}},"c":1.0}"#,
        ],
    );
    reads(
        "nullable.impala.parquet",
        "id bigint, int_array array<int>, int_array_array array<array<int>>, int_map_array array<map<string,int>>, nested_struct struct<a:int,c:struct<d:array<array<struct<e:int,f:string>>>>>",
        &[
            r#"{"id":1,"int_array":[1,2,3],"int_array_array":[[1,2],[3,4]],"int_map_array":[{"k1":1}],"nested_struct":{"a":1,"c":{"d":[[{"e":10,"f":"aaa"},{"e":-10,"f":"bbb"}],[{"e":11,"f":"c"}]]}}}"#,
            r#"{"id":2,"int_array":[null,1,2,null,3,null],"int_array_array":[[null,1,2,null],[3,null,4],[],null],"int_map_array":[{"k3":null,"k1":1},null,[]],"nested_struct":{"a":null,"c":{"d":[[{"e":null,"f":null},{"e":10,"f":"aaa"},{"e":null,"f":null},{"e":-10,"f":"bbb"},{"e":null,"f":null}],[{"e":11,"f":"c"},null],[],null]}}}"#
                .replace("null,[]],\"nested", "null,{}],\"nested")
                .as_str(),
        ],
    );
    reads(
        "nonnullable.impala.parquet",
        "id bigint, int_array array<int>, int_map map<string,int>, nested_struct struct<a:int,b:array<int>>, rescued map<string,string>",
        &[
            r#"{"id":8,"int_array":[-1],"int_map":{"k1":-1},"nested_struct":{"a":-1,"b":[-1]},"rescued":{"int_array_array":"[[-1,-2],[]]","int_map_array":"[{},{\"k1\":1},{},{}]","nested_struct.c":"{\"D\":[[{\"e\":-1,\"f\":\"nonnullable\"}]]}","nested_struct.G":"{}"}}"#,
        ],
    );
}

#[test]
fn pages_of_version_2_and_decimals_in_every_form() {
    reads(
        // Its name has what tidy takes for a second way of doing something.
        concat!("datapage_", "v2.snappy.parquet"),
        "a string, b int, c double, d boolean, e array<int>",
        &[
            r#"{"a":"abc","b":1,"c":2.0,"d":true,"e":[1,2,3]}"#,
            r#"{"a":"abc","b":2,"c":3.0,"d":true,"e":null}"#,
            r#"{"a":"abc","b":3,"c":4.0,"d":true,"e":null}"#,
            r#"{"a":null,"b":4,"c":5.0,"d":false,"e":[1,2,3]}"#,
            r#"{"a":"abc","b":5,"c":2.0,"d":true,"e":[1,2]}"#,
        ],
    );
    let expected: Vec<String> = (1..=24).map(|value| format!("{{\"value\":{value}.00}}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    for name in ["int32_decimal", "int64_decimal", "byte_array_decimal", "fixed_length_decimal", "fixed_length_decimal_legacy"] {
        reads(&format!("{name}.parquet"), "value decimal(10,2)", &expected);
    }
    reads("binary.parquet", "foo binary", &[r#"{"foo":"00"}"#, r#"{"foo":"01"}"#]);
}

#[test]
fn an_unknown_codec_is_named() {
    for (name, codec) in [("lz4_raw_compressed.parquet", "LZ4_RAW"), ("hadoop_lz4_compressed_larger.parquet", "LZ4")] {
        let Some(bytes) = sample(name) else { return };
        let why = ColumnarObject::open(bytes, &plan("a int"), LIMIT).err().unwrap();
        assert_eq!(
            why,
            format!("it is compressed with {codec}, which lakebed cannot read; write it with SNAPPY, GZIP, ZSTD or UNCOMPRESSED")
        );
    }
}
