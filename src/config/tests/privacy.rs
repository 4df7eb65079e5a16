//! Privacy rules, their key, and what the quarantine keeps: the settings, and every message about a wrong one.

use super::*;

const KEY: &str = "0123456789abcdef";

/// The rules of column `ip`, in a lake that has a key.
fn table(more: &str) -> TableConfig {
    let text = format!("{MINIMAL}{more}\n[lake]\nhmac_key = \"${{KEY}}\"\n");
    load(&text, Path::new("/etl"), &|_| Some(KEY.to_string())).unwrap().tables.remove(0)
}

#[test]
fn every_privacy_rule_is_read() {
    let privacy = |word: &str| table(&format!("[table.columns.ip]\nprivacy = \"{word}\"")).rules["ip"].privacy.clone().unwrap();
    assert_eq!((privacy("drop"), privacy("redact"), privacy("truncate-ip")), (Privacy::Drop, Privacy::Redact, Privacy::TruncateIp));
    let Privacy::HmacSha256(key) = privacy("hmac-sha256") else { panic!("another rule") };
    assert_eq!(key.bytes(), KEY.as_bytes());
}

#[test]
fn a_table_with_private_columns_redacts_what_it_quarantines_unless_told_otherwise() {
    let private = "[table.columns.ip]\nprivacy = \"drop\"\n";
    for (settings, keep_raw) in [
        ("[table.columns.ip]\nrequired = true", KeepRaw::Whole),
        (private, KeepRaw::Redacted),
        ("[table.quarantine]\nkeep_raw = false", KeepRaw::Never),
        ("[table.quarantine]\nkeep_raw = \"redacted\"", KeepRaw::Redacted),
        ("[table.quarantine]\nkeep_raw = true", KeepRaw::Whole),
    ] {
        assert_eq!(table(settings).keep_raw, keep_raw, "{settings}");
    }
    assert_eq!(table(&format!("{private}[table.quarantine]\nkeep_raw = true")).keep_raw, KeepRaw::Whole);
}

#[test]
fn nothing_shows_the_key() {
    let config = format!("{:?}", table("[table.columns.ip]\nprivacy = \"hmac-sha256\""));
    assert!(config.contains("HmacKey(not shown)") && !config.contains(KEY), "{config}");
    assert!(!config.contains(&format!("{:?}", &KEY.as_bytes()[..4]).replace(['[', ']'], "")), "{config}");
    for (key, says) in [
        ("\"short-secret\"", "`lake.hmac_key` on line 2 is too short for a key; give it at least 16 random bytes, as text"),
        ("\"\"", "`lake.hmac_key` on line 2 is too short for a key; give it at least 16 random bytes, as text"),
        ("4711471147114711", "`lake.hmac_key` on line 2 must be a text in quotes"),
        ("47114711471147114711471147114711", "`lake.hmac_key` on line 2 is a whole number out of range"),
        ("4711.4711", "`lake.hmac_key` on line 2 must be a text in quotes"),
        ("[\"short-secret\"]", "`lake.hmac_key` on line 2 must be a text in quotes, not sequence"),
    ] {
        assert_eq!(error(&format!("[lake]\nhmac_key = {key}")), says);
    }
    for broken in ["short-secret", "\"short-secret", "\"short-secret\" short-secret", "short-secret short-secret"] {
        let error = error(&format!("[lake]\nhmac_key = {broken}\n"));
        assert!(error.starts_with("not valid TOML on line 2") && !error.contains("short"), "{error}");
    }
}

#[test]
fn every_mistake_about_private_values_has_its_message() {
    let lossy = |word: &str| {
        (
            format!("+[table.merge]\ndeduplicate_by = [\"id\", \"ip\"]\n[table.columns.ip]\nprivacy = \"{word}\""),
            "%: merge.deduplicate_by names `ip`, whose privacy makes different events look the same, so that they would be lost; use \
             \"hmac-sha256\" for it, or another column",
        )
    };
    for (text, expected) in [
        (
            "+[table.columns.ip]\nprivacy = \"secret\"".to_string(),
            "%: column `ip`: privacy = \"secret\" is not known; allowed are `drop`, `redact`, `truncate-ip`, `hmac-sha256`",
        ),
        (
            "+[table.columns.ip]\nprivacy = \"hmac-sha256\"".to_string(),
            "%: column `ip`: privacy = \"hmac-sha256\" needs a key; write `hmac_key = \"${LAKEBED_HMAC_KEY}\"` into [lake], and set that \
             environment variable to at least 16 random bytes, as text",
        ),
        (
            "+[lake]\nhmac_key = \"${LAKEBED_HMAC_KEY}\"".to_string(),
            "`lake.hmac_key` on line 6 needs the environment variable `LAKEBED_HMAC_KEY`, which is not set; set it, then run again",
        ),
        (
            "+[table.quarantine]\nkeep_raw = \"maybe\"".to_string(),
            "%: quarantine.keep_raw = \"maybe\" is not known; allowed are `true`, `false`, `redacted`",
        ),
        (
            "+[table.quarantine]\nkeep_raw = 1".to_string(),
            "`table.quarantine.keep_raw` on line 6 must be true, false or a text, not integer `1`",
        ),
        (
            "+time = \"at\"\n[table.columns.at]\nprivacy = \"drop\"".to_string(),
            "%: `time` is made of column `at`, whose values are private, and partitions are named in paths and in the catalog; use another column",
        ),
        (
            "+partition_by = \"page=!{column:page.url}/at=!{timestamp:yyyyMMddHH}\"\n[table.columns.page]\nprivacy = \"redact\""
                .to_string(),
            "%: partition key `page` is made of column `page`, whose values are private, and partitions are named in paths and in the catalog; use \
             another column",
        ),
        lossy("drop"),
        lossy("redact"),
        lossy("truncate-ip"),
    ] {
        assert_eq!(error(&text), expected.replace('%', "table `shop.clicks`"), "{text}");
    }
}
