//! Private values in whole objects: what stands in the rows in place of them, and that they get nowhere else.

use super::*;

const KEYED: &str = "[lake]\nhmac_key = \"0123456789abcdef\"\n";

/// HMAC-SHA256 of `alice@example.com` under that key, as `openssl dgst -sha256 -hmac` has it.
const ALICE: &str = "f3d6ddc7dbf9be2eb667360a5a9a43434c54e345f522bbb433afeba094d74aa2";

fn private(columns: &str, column: &str, privacy: &str) -> String {
    assert!(columns.contains(column));
    format!("[table.columns.{column}]\nprivacy = \"{privacy}\"\n{KEYED}")
}

/// The configuration error that a table with these columns and settings gives.
fn refused(columns: &str, settings: &str) -> String {
    let parse = |text: &str| {
        let (name, hive) = text.split_once(' ').unwrap();
        Column { name: name.into(), hive: HiveType::parse(hive).unwrap(), comment: None }
    };
    let schema = TableSchema { columns: columns.split(", ").map(parse).collect(), partition_keys: vec![] };
    let minimal = "[[table]]\nname = \"shop.clicks\"\nlanding = \"landed\"\nlocation = \"lake\"\n";
    let table = config::load(&format!("{minimal}{settings}"), Path::new("/"), &|_| None).unwrap().tables.remove(0);
    Plan::new(&schema, &table.rules, table.new_columns, 1.0).unwrap_err().to_string()
}

#[test]
fn a_private_value_is_replaced_and_null_stays_null() {
    let row = |value: &str| format!("{{\"v\":{value}}}");
    for (hive, privacy, value, becomes) in [
        ("string", "drop", r#""alice@example.com""#, "null".to_string()),
        ("bigint", "drop", "7", "null".to_string()),
        ("array<struct<a:int>>", "drop", r#"[{"a":1},{"a":2}]"#, "null".to_string()),
        ("map<string,int>", "drop", r#"{"a":1,"a":2}"#, "null".to_string()),
        ("string", "redact", r#""alice@example.com""#, r#""[redacted]""#.to_string()),
        ("string", "redact", r#"{"a":1}"#, r#""[redacted]""#.to_string()),
        ("varchar(10)", "redact", r#""alice""#, r#""[redacted]""#.to_string()),
        ("string", "truncate-ip", r#""203.0.113.77""#, r#""203.0.113.0""#.to_string()),
        ("varchar(39)", "truncate-ip", r#""2001:DB8:a:b:c:d:e:f""#, r#""2001:db8:a::""#.to_string()),
        ("string", "hmac-sha256", r#""alice@example.com""#, format!("\"{ALICE}\"")),
        ("string", "hmac-sha256", r#""\u0061lice@example.com""#, format!("\"{ALICE}\"")),
        ("char(64)", "hmac-sha256", r#""alice@example.com""#, format!("\"{ALICE}\"")),
    ] {
        let (column, object) = (format!("v {hive}"), format!("{{\"v\":{value}}}{{\"v\":null}}{{}}{{\"v\":{value}}}"));
        check(&column, &private(&column, "v", privacy), object, &[&row(&becomes), &row("null"), &row("null"), &row(&becomes)]);
    }
}

#[test]
fn rules_are_on_the_real_value() {
    let settings =
        |on_fail: &str| format!("[table.columns.v]\nprivacy = \"redact\"\npattern = \"^a\"\nrequired = true\non_fail = \"{on_fail}\"\n");
    let object = r#"{"v":"alice"}{"v":"bob"}{}"#;
    let (good, null) = (r#"{"v":"[redacted]"}"#, r#"{"v":null}"#);
    check("v string", &settings("quarantine"), object, &[good, r#"@13 rule_broken v {"v":null}"#, "@24 rule_broken v {}"]);
    check("v string", &settings("null"), object, &[good, null, null, "warned 2"]);
    check("v string", &settings("warn"), object, &[good, good, null, "warned 2"]);
}

#[test]
fn what_is_no_address_is_never_kept() {
    let settings = |on_fail: &str| format!("[table.columns.v]\nprivacy = \"truncate-ip\"\nmax_length = 15\non_fail = \"{on_fail}\"\n");
    let object = r#"{"v":"1.2.3.4"}{"v":"1.2.3.4:80"}{"v":"someone, somewhere"}"#;
    let (good, null) = (r#"{"v":"1.2.3.0"}"#, r#"{"v":null}"#);
    let rejects = [r#"@15 rule_broken v {"v":null}"#, r#"@33 rule_broken v {"v":null}"#];
    check("v string", &settings("quarantine"), object, &[&[good][..], &rejects].concat());
    check("v string", &settings("null"), object, &[good, null, null, "warned 2"]);
    check("v string", &settings("warn"), object, &[good, null, null, "warned 2"]);
    let done = standardized(&plan("v string", &settings("quarantine")), Bytes::from_static(br#"{"v":"1.2.3.4:80"}"#));
    assert_eq!(done.rejects[0].reason.detail, "breaks the rule truncate-ip");
    let mapped = r#"{"v":"::ffff:c0a8:101"}"#;
    check("v varchar(15)", &settings("null"), mapped, &[null, "warned 1"]);
    check("v varchar(18)", &settings("null"), mapped, &[r#"{"v":"::ffff:192.168.1.0"}"#]);
}

#[test]
fn what_has_a_private_name_is_not_rescued() {
    let columns = "id int, e_mail string, rescued map<string,string>";
    let settings = private(columns, "e_mail", "drop");
    let row = |rescued: &str| format!("{{\"id\":1,\"e_mail\":null,\"rescued\":{rescued}}}");
    let twice = r#"{"id":1,"E-Mail":"a","e_mail":"b","e\u005fmail":"c","e_maïl":4,"id":2}"#;
    check(columns, &settings, twice, &[&row(r#"{"e_maïl":"4","id":"2"}"#)]);
    let reject = format!("[table.evolution]\nnew_columns = \"reject\"\n{settings}");
    check(
        "id int, e_mail string",
        &reject,
        r#"{"e_mail":"a","e_mail":"b"}"#,
        &[r#"@0 unknown_field e_mail {"e_mail":null,"e_mail":null}"#],
    );
}

#[test]
fn nothing_inside_of_a_private_value_is_rescued() {
    let columns = "user struct<name:string>, by map<string,struct<n:int>>, rescued map<string,string>";
    let settings = "[table.columns.user]\nprivacy = \"drop\"\n[table.columns.by]\nprivacy = \"drop\"\n";
    let record = r#"{"user":{"name":"a","name":"b","mail":"c"},"by":{"k":{"n":1,"m":2},"k":{}},"x":3}"#;
    check(columns, settings, record, &[r#"{"user":null,"by":null,"rescued":{"x":"3"}}"#]);
    let reject = format!("[table.evolution]\nnew_columns = \"reject\"\n{settings}");
    check(
        "user struct<name:string>, by map<string,struct<n:int>>",
        &reject,
        record.replace(",\"x\":3", ""),
        &[r#"{"user":null,"by":null}"#],
    );
}

#[test]
fn a_private_place_may_be_deep() {
    let columns = "mail string, city string, rescued map<string,string>";
    let settings = "[table.columns.mail]\nfrom = \"user.contact.mail\"\nprivacy = \"redact\"\n[table.columns.city]\nfrom = \"user.city\"\n";
    let record = r#"{"user":{"contact":{"Mail":"a","mail":"b","x":1},"city":"c","y":2},"user":{"contact":{"mail":"d"}}}"#;
    check(columns, settings, record, &[r#"{"mail":"[redacted]","city":"c","rescued":{"user.contact.x":"1","user.y":"2"}}"#]);
    // A broken record may leave a part of itself behind as a record of its own, if that looks like one.
    let row = r#"{"mail":null,"city":null,"rescued":{}}"#;
    check(columns, settings, "{\"mail\":tru,\"user\":\n{\"mail\":\"a\"}}", &[row, "@0 malformed_json  -", "@32 malformed_json  -"]);
    check(columns, settings, "{\"user\":\n{\"contact\":{\"mail\":\"a\"}}{\"contact\":\n{\"mail\":\"a\"}", &["@0 malformed_json  -"]);
    let top = r#"{"contact":{"mail":"a"},"mail":"b","CONTACT":"c","city":"d","y":2}"#;
    check(columns, settings, top, &[r#"{"mail":null,"city":null,"rescued":{"city":"\"d\"","y":"2"}}"#]);
    // Producers that flatten their objects write keys in a row as one.
    let flat = r#"{"user.contact.mail":"a","User_Contact":{"mail":"b"},"contact-mail":"c","user":{"contact.mail":"d","city":"e"},"user.city":"f"}"#;
    check(columns, settings, flat, &[r#"{"mail":null,"city":"e","rescued":{"user.city":"\"f\""}}"#]);
    let zip = format!("{settings}[table.columns.zip]\nfrom = \"user_contact.zip\"\n");
    let flat = r#"{"user_contact":{"mail":"b","zip":"1","x":2}}"#;
    let row = r#"{"mail":null,"city":null,"zip":"1","rescued":{"user_contact.x":"2"}}"#;
    check("mail string, city string, zip string, rescued map<string,string>", &zip, flat, &[row]);
}

#[test]
fn a_reject_keeps_everything_but_private_values() {
    let columns = "id int, mail string, ip string, user struct<name:string>, rescued map<string,string>";
    let settings = "[table.columns.mail]\nfrom = \"account.mail\"\nprivacy = \"redact\"\n[table.columns.ip]\nprivacy = \"truncate-ip\"\n\
                    [table.columns.user]\nprivacy = \"drop\"\n";
    for (record, kept) in [
        (r#"{"id":"x", "ip" : "1.2.3.4" ,"IP":[1,{"ip":2}]}"#, r#"{"id":"x", "ip" : null ,"IP":null}"#),
        (
            r#"{"id":"x","account":{"mail":"s","e":1},"account":{"ma\u0069l":"s"}}"#,
            r#"{"id":"x","account":{"mail":null,"e":1},"account":{"ma\u0069l":null}}"#,
        ),
        (r#"{"id":"x","account":[{"mail":"s"}],"y":[{"z":1}]}"#, r#"{"id":"x","account":null,"y":[{"z":1}]}"#),
        (r#"{"id":"x","account":"{\"mail\":\"s\"}"}"#, r#"{"id":"x","account":null}"#),
        (r#"{"id":"x","user":{"name":"s","more":{"a":"s"}},"mail":"s"}"#, r#"{"id":"x","user":null,"mail":null}"#),
        (r#"{"id":"x","i\ud800p":"s","a":1}"#, r#"{"id":"x","i\ud800p":null,"a":1}"#),
        (r#"{"id":"x","account":{},"user":null,"ip":""}"#, r#"{"id":"x","account":{},"user":null,"ip":null}"#),
    ] {
        check(columns, settings, record, &[&format!("@0 type_mismatch id {kept}")]);
        check(columns, &format!("{settings}[table.quarantine]\nkeep_raw = true\n"), record, &[&format!("@0 type_mismatch id {record}")]);
        check(columns, &format!("{settings}[table.quarantine]\nkeep_raw = false\n"), record, &["@0 type_mismatch id -"]);
    }
}

#[test]
fn what_cannot_be_redacted_is_not_kept() {
    let settings = "[table.columns.ip]\nprivacy = \"drop\"\n";
    let clause = "; it cannot be redacted, so its bytes stay in the landing alone, at this offset";
    let cases: &[(&[u8], &str, Code)] = &[
        (b"{\"ip\":\"s\",}", "", Code::Malformed),
        (b"{\"ip\":\"s", "", Code::Malformed),
        (b"{\"ip\":\"s\",\"n\":\"\xff\"}", "", Code::NotText),
        (b"\"ip is s\"", "", Code::NotAnObject),
        (b"{\"records\":[{\"ip\":\"s\"}]}", "unwrap = \"Records\"\n", Code::Type),
        (b"\x1f\x8bs", "", Code::DamagedObject),
        // What others wrote about a record has its values in other places, or in base64.
        (br#"{"attemptsMade":1,"errorCode":"X","rawData":"eyJpcCI6InMifQ=="}"#, "", Code::FirehoseError),
        (br#"{"ip":{},"schema":"iglu:com.snowplowanalytics.snowplow.badrows/x/jsonschema/1-0-0","data":"ip=s"}"#, "", Code::SnowplowBadRow),
        (br#"{"logEvents":[{"message":"{\"ip\":\"s\"}"}]}"#, "format = \"cloudwatch-logs\"\n", Code::NotCloudwatch),
    ];
    for (object, more, code) in cases {
        let done = standardized(&plan("ip string", &format!("{more}{settings}")), Bytes::copy_from_slice(object));
        let reject = &done.rejects[0];
        assert_eq!((reject.reason.code, &reject.raw, reject.length), (*code, &None, object.len() as u64));
        assert!(reject.reason.detail.ends_with(clause), "{}", reject.reason.detail);
        let open = standardized(
            &plan("ip string", &format!("{more}[table.quarantine]\nkeep_raw = \"redacted\"\n")),
            Bytes::copy_from_slice(object),
        );
        assert_eq!(open.rejects[0].raw.as_deref(), Some(*object), "a table without private columns has nothing to hide");
        assert!(!open.rejects[0].reason.detail.contains(clause));
    }
    let damaged = plan("ip string", settings).reject(7, b"{\"ip\":\"s\"}", Reason::new(Code::DamagedObject, "", "cut".into()));
    assert_eq!(
        (damaged.raw, damaged.length, damaged.offset),
        (None, 10, 7),
        "the bytes of an object are no record, also where they read like one"
    );
}

#[test]
fn an_object_that_is_set_aside_is_redacted_too() {
    let settings = "[table.columns.ip]\nprivacy = \"drop\"\n[table.quarantine]\nmax_ratio = 0\n";
    let done = standardized(&plan("ip string", settings), Bytes::from_static(br#"{"ip":"s"}7"#));
    assert_eq!(&lines(&done)[..2], [r#"@0 object_set_aside  {"ip":null}"#, "@10 not_an_object  -"]);
}

#[test]
fn a_reason_names_no_key_inside_of_a_private_value() {
    let settings = "[table.columns.by]\nprivacy = \"drop\"\n";
    let done = standardized(&plan("by map<string,struct<n:int>>", settings), Bytes::from_static(br#"{"by":{"alice":{"n":"x"}}}"#));
    let reason = &done.rejects[0].reason;
    assert_eq!((&*reason.column, reason.detail.contains("alice")), ("by{}.n", false));
}

#[test]
fn a_column_that_would_hold_a_private_value_is_refused() {
    let private = "[table.columns.mail]\nfrom = \"User.e-mail\"\nprivacy = \"redact\"\n";
    for (columns, more, open, takes) in [
        ("mail string, user string", "", "user", "user"),
        ("mail string, user struct<name:string>", "", "user", "user"),
        ("mail string, who string", "[table.columns.who]\nfrom = \"USER\"\n", "who", "user"),
        ("who string, mail string", "[table.columns.who]\nfrom = \"user.e_mail\"\n", "who", "user.e_mail"),
        ("mail string, who string", "[table.columns.who]\nfrom = \"user.e_mail.host\"\n", "who", "user.e_mail.host"),
    ] {
        let expected = format!(
            "[table.columns.mail]: its value (`user.e_mail`) is private, and would get into the column {open}, which takes `{takes}` and has no \
             `privacy`; give {open} a `privacy` too, or take it from another place"
        );
        assert_eq!(refused(&format!("{columns}, rescued map<string,string>"), &format!("{private}{more}")), expected);
    }
    let both = "mail string, user struct<id:int>";
    let settings = format!("{private}[table.columns.user]\nprivacy = \"drop\"\n");
    check(both, &settings, r#"{"user":{"id":1,"e_mail":"a"}}"#, &[r#"{"mail":"[redacted]","user":null}"#]);
}

#[test]
fn a_privacy_rule_that_does_not_fit_its_column_is_refused() {
    let refusal = |hive: &str, privacy: &str| {
        let columns = format!("v {hive}, rescued map<string,string>");
        refused(&columns, &private(&columns, "v", privacy))
    };
    for privacy in ["redact", "truncate-ip", "hmac-sha256"] {
        for hive in ["bigint", "struct<a:string>", "binary"] {
            let says =
                format!("[table.columns.v]: privacy = \"{privacy}\" needs a text column, and v is {hive}; use \"drop\" or change the type");
            assert_eq!(refusal(hive, privacy), says);
        }
    }
    for (hive, privacy, needed) in [("varchar(9)", "redact", 10), ("char(63)", "hmac-sha256", 64)] {
        let says = format!(
            "[table.columns.v]: privacy = \"{privacy}\" makes texts of {needed} characters, too many for v, which is {hive}; use \"drop\" or \
             change the type"
        );
        assert_eq!(refusal(hive, privacy), says);
    }
    let says = "[table.columns.rescued]: `privacy` is not for the column of unknown fields; set [table.evolution] new_columns = \"ignore\" to \
                keep none of them";
    assert_eq!(refused("rescued map<string,string>", "[table.columns.rescued]\nprivacy = \"drop\"\n"), says);
}

#[test]
fn a_plan_does_not_show_its_key() {
    let plan = format!("{:?}", plan("v string", &private("v string", "v", "hmac-sha256")));
    assert!(plan.contains("HmacSha256(") && !plan.contains("0123456789abcdef") && !plan.contains("48, 49, 50"), "{plan}");
}
