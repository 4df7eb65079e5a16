//! Private values: whatever a record does with them, their bytes are in the landing and nowhere else.

use std::path::Path;

use serde_json::{Value, json};

use super::super::support::{AT, Answer, Lake, files};
use super::{gzip, hex};

const KEY: &str = "key-of-the-lake-4b1d";

/// Values of private places, which must not be found again.
const SECRETS: [&str; 4] = ["alice@wonder.example", "203.0.113.77", "Liddell-the-third", "through-the-looking-glass"];

/// A table in which the mail is hashed, the address shortened, the note redacted and the profile dropped.
fn lake(quarantine: &str) -> Lake {
    let lake = Lake::new(&format!(
        "[table.merge]\ncompression = \"snappy\"\ndeduplicate_by = [\"id\"]\nsort_by = [\"mail\"]\n\
         [table.quarantine]\nmax_ratio = 1\n{quarantine}\n\
         [table.columns.mail]\nfrom = \"user.mail\"\nprivacy = \"hmac-sha256\"\n\
         [table.columns.ip]\nprivacy = \"truncate-ip\"\n\
         [table.columns.note]\nprivacy = \"redact\"\n\
         [table.columns.profile]\nprivacy = \"drop\""
    ));
    let file = lake.path("lakebed.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replacen("[lake]\n", "[lake]\nhmac_key = \"${LAKEBED_HMAC_KEY}\"\n", 1)).unwrap();
    lake.migration(
        "CREATE EXTERNAL TABLE ${table} (id string, n bigint, mail string, ip string, note string, profile struct<name:string>, \
         rescued map<string,string>) \
         PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'",
    );
    lake
}

fn land(lake: &Lake) {
    let [mail, ip, name, note] = SECRETS;
    let private = format!(r#""user":{{"mail":"{mail}","x":1}},"ip":"{ip}","note":"{note}","profile":{{"name":"{name}","born":"{name}"}}"#);
    let records = [
        // Good ones: as it should be; each name twice and in other spellings; at the top of the record.
        format!(r#"{{"id":"a","n":1,{private}}}"#),
        format!(
            r#"{{"id":"b",{private},"IP":"{ip}","Note":"{note}","us\u0065r":{{"mail":"{mail}"}},"n\u006fte":"{note}","profile":"{name}"}}"#
        ),
        format!(r#"{{"id":"c","mail":"{mail}"}}"#),
        // Misfits: by a value that is not private, by the private one, by its shape, by its kind.
        format!(r#"{{"id":"d","n":"{}",{private},"Ip":"{ip}"}}"#, "many"),
        format!(r#"{{"id":"e","ip":"{ip}:443","note":["{note}"]}}"#),
        format!(r#"{{"id":"f","user":[{{"mail":"{mail}"}}]}}"#),
        format!(r#"{{"id":"g","user":"{mail}","\ud800":"{note}"}}"#),
        format!(r#"{{"id":"h","profile":"{name}"}}"#),
        format!(r#"["{mail}",["{mail}"]]"#),
        format!(r#""{mail}""#),
    ];
    lake.land("10", "whole", records.concat().as_bytes());
    lake.land("10", "broken", format!("{{\"id\":\"i\",{private},}}\n{{\"user\":\n{{\"mail\":\"{mail}\"}}\n{{{private}").as_bytes());
    lake.land("10", "bytes", &[b"{\"id\":\"\xff\",", private.as_bytes(), b"}"].concat());
    let packed = gzip(format!(r#"{{"id":"j",{private}}}"#).repeat(3).as_bytes());
    lake.land("10", "cut", &packed[..packed.len() - 9]);
}

/// Runs the binary with the key, and with all that it can log.
fn told(lake: &Lake, arguments: &[&str]) -> Answer {
    let mut command = lake.command(arguments);
    command.env("LAKEBED_HMAC_KEY", KEY).env("LAKEBED_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    Answer::of(command.output().unwrap())
}

fn rows(lake: &Lake, sql: &str) -> Vec<Value> {
    let mut command = lake.command(&["query", sql, "--format", "json"]);
    match Answer::of(command.env("LAKEBED_HMAC_KEY", KEY).output().unwrap()).json(0) {
        Value::Array(rows) => rows,
        other => panic!("not rows: {other}"),
    }
}

fn has(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

#[track_caller]
fn check_silent(place: &str, bytes: &[u8]) {
    for secret in SECRETS.into_iter().chain([KEY]) {
        let found = has(bytes, secret) || has(bytes, &hex(secret.as_bytes()));
        assert!(!found, "{secret} is in {place}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(4_000)]));
    }
}

/// Files below a folder that hold a private value.
fn leaks(folder: &Path) -> Vec<String> {
    let holds = |bytes: &[u8]| SECRETS.into_iter().chain([KEY]).any(|secret| has(bytes, secret));
    files(folder).into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path.display().to_string()).collect()
}

/// Lands, runs, lands late, runs again; nothing that is said holds a private value.
fn filled(quarantine: &str) -> Lake {
    let lake = lake(quarantine);
    land(&lake);
    let late = format!(r#"{{"id":"z","user":{{"mail":"{}"}}}}{{"id":"y","n":[],"ip":"{}"}}"#, SECRETS[0], SECRETS[1]);
    for (number, output) in [(1, "json"), (2, "text")] {
        let answer = told(&lake, &["run", "--at", AT, "--output", output]);
        assert_eq!(answer.code, if number == 1 { 3 } else { 0 }, "{}", answer.stderr.lines().last().unwrap_or_default());
        check_silent("standard output", answer.stdout.as_bytes());
        check_silent("standard error", answer.stderr.as_bytes());
        lake.land("10", "late", late.as_bytes());
    }
    for arguments in [&["status"][..], &["partitions", "shop.clicks"], &["query", "SELECT * FROM shop.clicks"]] {
        let answer = told(&lake, arguments);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        check_silent(&arguments.join(" "), answer.stdout.as_bytes());
        check_silent(&arguments.join(" "), answer.stderr.as_bytes());
    }
    assert_eq!(leaks(&lake.path("lake")), Vec::<String>::new());
    lake
}

#[test]
fn private_values_are_in_the_landing_and_nowhere_else() {
    for quarantine in ["", "keep_raw = \"redacted\"", "keep_raw = false"] {
        let lake = filled(quarantine);
        assert_eq!(leaks(&lake.path(".lakebed")), Vec::<String>::new(), "{quarantine}");
        let answer = told(&lake, &["query", "SELECT * FROM shop.clicks_quarantine", "--format", "json"]);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        check_silent("the quarantine", answer.stdout.as_bytes());
        let kept = rows(&lake, "SELECT arrow_cast(raw, 'Utf8') AS raw FROM shop.clicks_quarantine WHERE raw IS NOT NULL ORDER BY raw");
        let texts = [
            r#"{"id":"d","n":"many","user":{"mail":null,"x":1},"ip":null,"note":null,"profile":null,"Ip":null}"#,
            r#"{"id":"e","ip":null,"note":null}"#,
            r#"{"id":"f","user":null}"#,
            r#"{"id":"g","user":null,"\ud800":null}"#,
            r#"{"id":"h","profile":null}"#,
            r#"{"id":"y","n":[],"ip":null}"#,
        ];
        let expected = if quarantine == "keep_raw = false" { vec![] } else { texts.map(|text| json!({"raw": text})).to_vec() };
        assert_eq!(kept, expected, "{quarantine}");
    }
}

#[test]
fn the_rows_hold_what_the_rules_make() {
    let lake = filled("");
    let found = rows(&lake, "SELECT id, mail, ip, note, profile, rescued FROM shop.clicks WHERE id IN ('a', 'b', 'c', 'z') ORDER BY id");
    let mail = found[0]["mail"].as_str().unwrap();
    assert!(mail.len() == 64 && mail.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{mail}");
    let full =
        |id: &str| json!({"id": id, "mail": mail, "ip": "203.0.113.0", "note": "[redacted]", "profile": null, "rescued": {"user.x": "1"}});
    let bare = |id: &str, mail: Value| json!({"id": id, "mail": mail, "ip": null, "note": null, "profile": null, "rescued": {}});
    assert_eq!(found, [full("a"), full("b"), bare("c", Value::Null), bare("z", mail.into())]);
}

#[test]
fn what_is_not_kept_can_be_found_in_the_landing() {
    let lake = filled("");
    let lost = rows(&lake, "SELECT object, byte_offset, byte_length, detail FROM shop.clicks_quarantine WHERE raw IS NULL ORDER BY 1, 2");
    let clause = "; it cannot be redacted, so its bytes stay in the landing alone, at this offset";
    assert!(lost.len() >= 6 && lost.iter().all(|row| row["detail"].as_str().unwrap().ends_with(clause)), "{lost:?}");
    let whole: Vec<&Value> = lost.iter().filter(|row| row["object"].as_str().unwrap().ends_with("/whole")).collect();
    let object = std::fs::read(lake.path("landing").join(whole[0]["object"].as_str().unwrap())).unwrap();
    let found = whole.iter().map(|row| {
        let number = |name: &str| usize::try_from(row[name].as_u64().unwrap()).unwrap();
        std::str::from_utf8(&object[number("byte_offset")..][..number("byte_length")]).unwrap()
    });
    // The elements of the array, of which one is an array, and the text behind it.
    let text = format!(r#""{}""#, SECRETS[0]);
    assert_eq!(found.collect::<Vec<_>>(), [text.clone(), format!("[{text}]"), text]);
}

/// It shows, too, that the search of the other tests finds what is there.
#[test]
fn whole_records_are_kept_on_request_in_the_quarantine_alone() {
    let lake = filled("keep_raw = true");
    let leaks = leaks(&lake.path(".lakebed"));
    assert!(!leaks.is_empty() && leaks.iter().all(|path| path.contains("/quarantine/")), "{leaks:?}");
    let raw = rows(&lake, "SELECT raw FROM shop.clicks_quarantine WHERE raw IS NOT NULL");
    assert!(SECRETS.iter().all(|secret| raw.iter().any(|row| row["raw"].as_str().unwrap().contains(&hex(secret.as_bytes())))));
    let others = rows(&lake, "SELECT object, reason, column_name, detail FROM shop.clicks_quarantine");
    check_silent("the quarantine", Value::Array(others).to_string().as_bytes());
}
