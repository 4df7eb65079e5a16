//! Documents in, columns and notes out.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::TableSchema;

fn infer(docs: impl IntoIterator<Item = Value>) -> Inferred {
    let mut inference = Inference::default();
    for doc in docs {
        inference.add(doc.as_object().expect("a document is an object"));
    }
    inference.finish()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// The columns without `rescued`, and how the notes have to start or what they have to hold, in order.
fn check(docs: &[&str], columns: &str, notes: &[&str]) {
    let inferred = infer(docs.iter().map(|line| parse(line)));
    same(&inferred, columns, notes);
}

fn same(inferred: &Inferred, columns: &str, notes: &[&str]) {
    let (last, data) = inferred.columns.split_last().unwrap();
    assert_eq!(format!("{} {}", last.name, last.hive), "rescued map<string,string>");
    let list: Vec<String> = data.iter().map(|c| format!("{} {}", c.name, c.hive)).collect();
    assert_eq!(list.join("; "), columns);
    assert_eq!(inferred.notes.len(), notes.len(), "{:#?}", inferred.notes);
    for (note, part) in inferred.notes.iter().zip(notes) {
        assert!(note.contains(part), "{note}, not {part}");
    }
}

#[test]
fn scalars_have_the_type_that_holds_all_of_them() {
    check(
        &[
            r#"{"b":true,"i":1,"f":1.0,"s":"x","n":null,"m":7}"#,
            r#"{"i":-9223372036854775808,"f":2e-3,"m":0.5,"b":null,"z":9007199254740993}"#,
            r#"{"i":9223372036854775807,"s":""}"#,
        ],
        "b boolean; i bigint; f double; s string; n string; m double; z bigint",
        &["`n`: is null in every document"],
    );
}

#[test]
fn nothing_loses_digits_in_silence() {
    check(&[r#"{"a":9223372036854775808}"#, r#"{"a":1}"#], "a string", &["`a`: has numbers beyond 64-bit integers"]);
    check(&[r#"{"a":-9223372036854775809}"#], "a string", &["beyond 64-bit"]);
    check(&[r#"{"a":123456789012345678901234567890}"#], "a string", &["beyond 64-bit"]);
    check(&[r#"{"a":0.5}"#, r#"{"a":9007199254740993}"#], "a double", &["integers beyond 2^53"]);
    check(&[r#"{"a":0.5}"#, r#"{"a":18446744073709551615}"#], "a double", &["integers beyond 2^53"]);
    check(&[r#"{"a":0.5}"#, r#"{"a":9007199254740992}"#], "a double", &[]);
}

#[test]
fn times_are_timestamps_only_if_all_are_times() {
    check(&[r#"{"t":"2026-11-19T14:05:00Z"}"#, r#"{"t":null}"#, r#"{"t":"2026-11-19 14:05:00.5+01:00"}"#], "t timestamp", &[]);
    check(&[r#"{"t":"2026-11-19T14:05:00"}"#], "t timestamp", &["`t`: has times without a zone"]);
    check(&[r#"{"t":"2026-11-19T14:05:00.123456789Z"}"#], "t timestamp", &["finer than microseconds"]);
    check(&[r#"{"t":"2026-11-19T14:05:00Z"}"#, r#"{"t":""}"#], "t string", &[]);
    check(&[r#"{"t":""}"#, r#"{"t":"2026-11-19T14:05:00Z"}"#], "t string", &[]);
    check(&[r#"{"t":"2026-11-19T14:05:00Z"}"#, r#"{"t":1}"#], "t string", &["`t`: holds numbers and texts"]);
}

#[test]
fn mixed_kinds_are_strings() {
    check(&[r#"{"a":1}"#, r#"{"a":true}"#], "a string", &["`a`: holds booleans and numbers"]);
    check(&[r#"{"a":"x"}"#, r#"{"a":{"b":1}}"#], "a string", &["`a`: holds texts and objects"]);
    check(&[r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, r#"{"a":2}"#], "a string", &["`a`: holds numbers and objects and arrays"]);
    check(&[r#"{"a":[1,"x"]}"#], "a array<string>", &["`a[]`: holds numbers and texts"]);
    check(&[r#"{"a":[{"b":1},2]}"#], "a array<string>", &["`a[]`: holds numbers and objects"]);
}

#[test]
fn objects_and_arrays_merge_over_all_documents() {
    check(
        &[r#"{"p":{"url":"x","userId":1},"l":[{"q":1}],"ll":[[],[1]]}"#, r#"{"p":{"n":null,"url":"y"},"l":[{"r":0.5},null,{"q":2.5}]}"#],
        "p struct<url:string,userid:bigint,n:string>; l array<struct<q:double,r:double>>; ll array<array<bigint>>",
        &["`p.n`: is null"],
    );
}

#[test]
fn what_parquet_cannot_hold_is_left_out_or_text() {
    check(&[r#"{"a":{},"b":1}"#], "b bigint", &["`a`: its objects are empty"]);
    check(&[r#"{"a":{"x":{},"y":1}}"#, r#"{"a":{}}"#], "a struct<y:bigint>", &["`a.x`: its objects are empty"]);
    check(&[r#"{"a":{"x":{}}}"#], "", &["`a.x`: its objects", "`a`: its objects"]);
    check(&[r#"{"a":[]}"#, r#"{"a":[null]}"#], "a array<string>", &["`a`: its arrays are empty or hold nulls"]);
    check(&[r#"{"a":[{}]}"#], "a array<string>", &["`a[]`: its objects are empty", "`a[]`: taken as string"]);
    check(&[r#"{}"#], "", &[]);
}

#[test]
fn an_object_whose_keys_are_not_names_is_a_map() {
    for key in ["a:b", "a/b", "a-b", "a.b", "a b", "", "é"] {
        let doc = json!({"m": {"x": 1, key: 2}});
        same(&infer([doc]), "m map<string,bigint>", &["`m`: taken as a map, because not all of its keys can be names"]);
    }
    check(&[r#"{"m":{"Ab":1}}"#, r#"{"m":{"aB":0.5}}"#], "m map<string,double>", &["differ in upper and lower case only"]);
    check(&[r#"{"m":{"a-b":1,"c":"x"}}"#], "m map<string,string>", &["taken as a map", "`m.*`: holds numbers and texts"]);
    check(&[r#"{"m":{"a-b":{"u":1},"c":{"v":2}}}"#], "m map<string,struct<u:bigint,v:bigint>>", &["taken as a map"]);
    check(&[r#"{"m":{"a-b":{}}}"#], "m map<string,string>", &["taken as a map", "`m.*`: its objects", "`m.*`: taken as string"]);
    check(&[r#"{"l":[{"a-b":1},{"c":2}]}"#], "l array<map<string,bigint>>", &["`l[]`: taken as a map"]);
}

#[test]
fn an_object_with_very_many_keys_is_a_map() {
    let keys = |count: usize| (0..count).map(|i| json!({"m": {format!("k{i}"): i}, "x": 1}));
    let all_at_once =
        |count: usize| (0..2).map(move |_| json!({"m": (0..count).map(|i| (format!("k{i}"), json!(i))).collect::<Map<_, _>>()}));
    same(&infer(keys(65)), "m map<string,bigint>; x bigint", &["more than 64 different keys"]);
    same(&infer(all_at_once(65)), "m map<string,bigint>", &["more than 64 different keys"]);
    assert!(infer(all_at_once(64)).columns[0].hive.to_string().starts_with("struct<k0:bigint,"));
}

#[test]
fn rare_keys_make_a_map_once_there_are_enough_objects() {
    let docs = |count: usize, keys: usize| (0..count).map(move |i| json!({"m": {format!("k{}", i % keys): 1}}));
    same(&infer(docs(10, 4)), "m map<string,bigint>", &["in less than half of its objects"]);
    same(&infer(docs(9, 4)), "m struct<k0:bigint,k1:bigint,k2:bigint,k3:bigint>", &[]);
    same(&infer(docs(10, 3)), "m struct<k0:bigint,k1:bigint,k2:bigint>", &[]);
    // Optional fields beside fields that are always there are no data.
    let optional = (0..20).map(|i| json!({"m": {"a": 1, "b": 2, "c": 3, format!("k{}", i % 2): 1}}));
    same(&infer(optional), "m struct<a:bigint,b:bigint,c:bigint,k0:bigint,k1:bigint>", &[]);
}

#[test]
fn column_names_are_what_athena_takes() {
    check(
        &[r#"{"userId":1,"page-url":"x","é":1,"":2,"Ab":1}"#, r#"{"ab":0.5,"page.url":"y"}"#],
        "userid bigint; page_url string; _ bigint; ab double",
        &[
            "`page_url`: several keys become this column: `page-url`, `page.url`; where a record has more than one, the first is taken and the others go to `rescued`",
            "`_`: several keys become this column: `é`, ``; where a record has more than one, the first is taken and the others go to `rescued`",
            "`ab`: several keys become this column: `Ab`, `ab`; where a record has more than one, the first is taken and the others go to `rescued`",
        ],
    );
    check(&[r#"{"a b":1}"#], "a_b bigint", &["`a_b`: the documents spell it `a b`"]);
}

#[test]
fn rescued_is_there_once() {
    let columns = |doc: &str| infer([parse(doc)]).columns.iter().map(|c| format!("{} {}", c.name, c.hive)).collect::<Vec<_>>().join("; ");
    assert_eq!(columns(r#"{"a":1}"#), "a bigint; rescued map<string,string>");
    assert_eq!(columns(r#"{"rescued":{"a-b":"x"},"a":1}"#), "rescued map<string,string>; a bigint");
    assert_eq!(columns(r#"{"rescued":1}"#), "rescued bigint");
    assert!(infer([parse(r#"{"rescued":1}"#)]).notes[0].contains("unknown fields cannot be kept there"));
}

#[test]
fn memory_is_bounded() {
    let wide = infer([json!((0..3000).map(|i| (format!("c{i}"), json!(i))).collect::<Map<_, _>>()), json!({"late": 1})]);
    assert_eq!(wide.columns.len(), MAX_PATHS + 1);
    assert!(wide.notes[0].contains("some keys are left out"), "{:?}", wide.notes);

    // 40 columns of 60 fields, a document each: once all places are taken, the object that needs one more becomes a map and gives
    // its own back.
    let fields = |column: usize| json!({format!("c{column}"): (0..60).map(|f| (format!("f{f}"), json!(f))).collect::<Map<_, _>>()});
    let nested = infer((0..40).map(fields));
    assert_eq!(nested.columns.len(), 41);
    let count = |start: &str| nested.columns.iter().filter(|c| c.hive.to_string().starts_with(start)).count();
    assert_eq!((count("struct<"), count("map<string,bigint>")), (32, 8));
    assert!(nested.notes[0].contains("`c32`: taken as a map, because the documents have too many different fields"), "{:?}", nested.notes);

    let mut inference = Inference::default();
    for i in 0..10_000 {
        inference.add(json!({"-".repeat(1 + i % 200) + &".".repeat(i / 200): 1}).as_object().unwrap());
    }
    assert!(inference.by_key.len() <= MAX_PATHS);
    let long = infer([json!({"k".repeat(256): 1})]);
    same(&long, "", &["longer than 255"]);
}

#[test]
fn types_are_never_deeper_than_what_can_be_read() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    for (depth, notes) in [(100, 0), (101, 1), (120, 1)] {
        let inferred = infer([json!({"a": nested(depth)})]);
        assert!(HiveType::parse(&inferred.columns[0].hive.to_string()).is_ok(), "{depth}");
        assert_eq!(inferred.notes.len(), notes, "{:?}", inferred.notes);
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|i| json!(i)),
        any::<u64>().prop_map(|i| json!(i)),
        any::<f64>().prop_map(|f| json!(f)),
        "\\PC{0,6}".prop_map(|s| json!(s)),
        Just(json!("2026-11-19T14:05:00Z")),
    ];
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
            prop::collection::hash_map("[a-cA-C_-]{0,2}", inner, 0..5).prop_map(|object| json!(object)),
        ]
    });
    prop::collection::hash_map("[a-cA-C_.-]{0,3}", value, 0..6).prop_map(|object| json!(object))
}

proptest! {
    #[test]
    fn every_inferred_schema_is_a_valid_migration(docs in prop::collection::vec(document(), 0..15)) {
        let inferred = infer(docs);
        let schema = TableSchema { columns: inferred.columns, partition_keys: Vec::new() };
        let text = crate::schema::ddl::render_create(&schema, "${table}", "${location}", &inferred.notes);
        let table = crate::catalog::TableName { database: "shop".into(), name: "clicks".into() };
        let names = crate::schema::ddl::Placeholders { table: &table, location: "s3://acme-lake/" };
        let read = crate::schema::ddl::parse(&text, &names).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        let crate::schema::ddl::Statement::CreateTable(create) = read;
        prop_assert_eq!(create.schema, schema);
    }

    #[test]
    fn the_order_of_documents_does_not_change_the_types(docs in prop::collection::vec(document(), 0..12)) {
        let sorted = |inferred: Inferred| {
            let mut columns: Vec<String> = inferred.columns.iter().map(|c| format!("{} {}", c.name, letters(&c.hive.to_string()))).collect();
            columns.sort();
            columns
        };
        let forward = sorted(infer(docs.clone()));
        prop_assert_eq!(forward, sorted(infer(docs.into_iter().rev())));
    }
}

/// A type's letters in order of the alphabet: struct fields come in order of first appearance.
fn letters(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}
