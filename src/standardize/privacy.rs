//! Private values: what stands in the table in place of them, and how they are kept out of everything else that is written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::columns::Builder;
use super::plan::{FieldPlan, ObjectPlan, Plan, normalized};
use super::reject::{Code, Reason, Reject};
use super::scan::{Cursor, Syntax, Text, unescape};
use crate::config::{ColumnRules, HMAC, KeepRaw, Privacy};
use crate::error::{Error, Result};
use crate::schema::{Column, HiveType};

/// What a redacted text becomes.
pub const REDACTED: &str = "[redacted]";

/// Hexadecimal digits of an HMAC-SHA256.
const HMAC_DIGITS: usize = 64;

/// The end of a reject's detail where its bytes may hold private values that cannot be told from the others.
const NOT_KEPT: &str = "; it cannot be redacted, so its bytes stay in the landing alone, at this offset";

/// What replaces the values of one column.
#[derive(Debug)]
pub enum Mask {
    /// Null.
    Drop,
    /// A fixed text.
    Redact,
    /// The address of a network, of at most so many characters.
    TruncateIp(usize),
    /// The HMAC under the key that this one was made with.
    HmacSha256(Box<Hmac<Sha256>>),
}

impl Mask {
    /// The mask of column `name`.
    ///
    /// # Errors
    /// `Config` if the column's type cannot hold what the rule makes.
    pub fn new(name: &str, privacy: &Privacy, hive: &HiveType) -> Result<Self> {
        let (most, needed, rule) = match (privacy, text_length(hive)) {
            (Privacy::Drop, _) => return Ok(Self::Drop),
            (Privacy::Redact, most) => (most, REDACTED.len(), "redact"),
            (Privacy::TruncateIp, most) => (most, 0, "truncate-ip"),
            (Privacy::HmacSha256(_), most) => (most, HMAC_DIGITS, "hmac-sha256"),
        };
        let Some(most) = most else {
            return Err(Error::config(format!(
                "[table.columns.{name}]: privacy = \"{rule}\" needs a text column, and {name} is {hive}; use \"drop\" or change the type"
            )));
        };
        if most < needed {
            return Err(Error::config(format!(
                "[table.columns.{name}]: privacy = \"{rule}\" makes texts of {needed} characters, too many for {name}, which is {hive}; use \
                 \"drop\" or change the type"
            )));
        }
        match privacy {
            Privacy::Drop => Ok(Self::Drop),
            Privacy::Redact => Ok(Self::Redact),
            Privacy::TruncateIp => Ok(Self::TruncateIp(most)),
            Privacy::HmacSha256(key) => {
                let keyed = Hmac::new_from_slice(key.bytes());
                let keyed = keyed.map_err(|_| Error::internal("HMAC-SHA256 refused the length of hmac_key; please report this"))?;
                Ok(Self::HmacSha256(Box::new(keyed)))
            }
        }
    }

    /// What stands in place of a text; nothing where the mask does not fit it.
    pub fn masked(&self, text: &[u8]) -> Option<String> {
        match self {
            Self::Drop => None,
            Self::Redact => Some(REDACTED.to_string()),
            Self::TruncateIp(most) => truncate_ip(text).filter(|text| text.len() <= *most),
            Self::HmacSha256(keyed) => {
                let mut keyed = Hmac::clone(keyed);
                keyed.update(text);
                Some(hex(&keyed.finalize().into_bytes()))
            }
        }
    }

    /// The rule's name, see [`Privacy::name`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drop => Privacy::Drop.name(),
            Self::Redact => Privacy::Redact.name(),
            Self::TruncateIp(_) => Privacy::TruncateIp.name(),
            Self::HmacSha256(_) => HMAC,
        }
    }

    /// True for a text of the form that the mask gives all texts, and that no other text is likely to have.
    pub fn may_have_made(&self, text: &str) -> bool {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        matches!(self, Self::HmacSha256(_)) && text.len() == HMAC_DIGITS && text.bytes().all(is_digit)
    }

    /// Replaces the column's last value, unless it is null. A value that the mask does not fit becomes null, and the rule's name comes
    /// back.
    pub fn apply(&self, column: &mut Builder) -> Option<&'static str> {
        if column.last_is_null() {
            return None;
        }
        let masked = match self {
            Self::Drop => None,
            _ => self.masked(column.last_bytes()),
        };
        column.truncate(column.len() - 1);
        match &masked {
            Some(text) => column.push_bytes(text.as_bytes()),
            None => column.push_null(),
        }
        (masked.is_none() && matches!(self, Self::TruncateIp(_))).then_some("truncate-ip")
    }
}

/// Most characters of a text type.
fn text_length(hive: &HiveType) -> Option<usize> {
    match hive {
        HiveType::String => Some(usize::MAX),
        HiveType::Varchar(most) | HiveType::Char(most) => usize::try_from(*most).ok(),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The address of the network that an address is in, in canonical form; `None` if the text is no address.
fn truncate_ip(text: &[u8]) -> Option<String> {
    let network = |ip: Ipv4Addr| Ipv4Addr::from_bits(ip.to_bits() & !0xff);
    let shortened = match std::str::from_utf8(text).ok()?.parse().ok()? {
        IpAddr::V4(ip) => IpAddr::V4(network(ip)),
        IpAddr::V6(ip) => IpAddr::V6(match ip.to_ipv4_mapped() {
            Some(mapped) => network(mapped).to_ipv6_mapped(),
            // 6to4 (RFC 3056) has a whole IPv4 address in its first 48 bits, so that one loses its last octet too.
            None if ip.segments()[0] == 0x2002 => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 88)),
            None => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 80)),
        }),
    };
    Some(shortened.to_string())
}

/// Where a column takes its value from.
#[derive(Debug)]
pub struct Place<'a> {
    /// Index of the column.
    pub index: usize,
    /// The column.
    pub column: &'a Column,
    /// Normalized keys, from the top of the record.
    pub path: Vec<String>,
    /// The column has a privacy rule.
    pub private: bool,
}

impl<'a> Place<'a> {
    /// The place of column `index`.
    pub fn new(index: usize, column: &'a Column, rules: &BTreeMap<String, ColumnRules>) -> Self {
        let rule = rules.get(&column.name);
        let path = match rule.and_then(|rule| rule.from.as_ref()) {
            Some(from) => from.iter().map(|key| normalized(key)).collect(),
            None => vec![normalized(&column.name)],
        };
        Self { index, column, path, private: rule.is_some_and(|rule| rule.privacy.is_some()) }
    }
}

/// Refuses a column without a privacy rule that takes a private value, what it is in, or a part of it.
///
/// # Errors
/// `Config`, naming both columns.
pub fn check_places(places: &[Place<'_>]) -> Result<()> {
    for private in places.iter().filter(|place| place.private) {
        let shares = |place: &&Place<'_>| !place.private && place.path.iter().zip(&private.path).all(|(a, b)| a == b);
        if let Some(open) = places.iter().find(shares) {
            return Err(Error::config(format!(
                "[table.columns.{}]: its value (`{}`) is private, and would get into the column {}, which takes `{}` and has no `privacy`; give \
                 {} a `privacy` too, or take it from another place",
                private.column.name,
                private.path.join("."),
                open.column.name,
                open.path.join("."),
                open.column.name
            )));
        }
    }
    Ok(())
}

impl Plan {
    /// A rejected record with as much of its bytes as the quarantine may keep. `raw` is all of it, at `offset` of its object.
    pub fn reject(&self, offset: u64, raw: &[u8], mut reason: Reason) -> Reject {
        let kept = match self.keep_raw {
            KeepRaw::Never => None,
            KeepRaw::Redacted if self.root.private => {
                // A document without the array of its records may have them in another place; a damaged object is no record; and what
                // others wrote about a record has the record in it somewhere, even in base64.
                let is_record = match reason.code {
                    Code::Type => !reason.column.is_empty(),
                    Code::DamagedObject | Code::NotCloudwatch | Code::SnowplowBadRow | Code::FirehoseError => false,
                    _ => true,
                };
                let redacted = is_record.then(|| redacted(&self.root, raw)).flatten();
                if redacted.is_none() {
                    reason.detail.push_str(NOT_KEPT);
                }
                redacted
            }
            KeepRaw::Whole | KeepRaw::Redacted => Some(raw.to_vec()),
        };
        let redacted = kept.as_ref().is_some_and(|kept| kept != raw);
        Reject { offset, length: raw.len() as u64, raw: kept, redacted, reason }
    }
}

/// The record with `null` in place of every private value, everything else byte for byte; `None` if it is no JSON object in UTF-8.
fn redacted(root: &ObjectPlan, record: &[u8]) -> Option<Vec<u8>> {
    simdutf8::basic::from_utf8(record).ok()?;
    let cursor = Cursor::new(record, 0);
    let mut redaction = Redaction { cursor, out: Vec::with_capacity(record.len()), copied: 0, open: Vec::new(), key: Vec::new() };
    if !redaction.cursor.eat(b'{') {
        return None;
    }
    redaction.object(root).ok()?;
    redaction.out.extend_from_slice(&record[redaction.copied..]);
    (redaction.cursor.pos == record.len()).then_some(redaction.out)
}

/// A record on its way to the quarantine.
struct Redaction<'a> {
    cursor: Cursor<'a>,
    out: Vec<u8>,
    /// The record is in `out` up to here.
    copied: usize,
    open: Vec<u8>,
    key: Vec<u8>,
}

impl Redaction<'_> {
    /// Passes over the members of an object; the cursor is behind the `{`.
    fn object(&mut self, plan: &ObjectPlan) -> Result<(), Syntax> {
        self.cursor.skip_space();
        if self.cursor.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.cursor.key()?;
            match self.field(plan, key) {
                Some(field) if !field.private => match &field.below {
                    Some(below) if below.private && self.cursor.eat(b'{') => self.object(below)?,
                    // Where an object should be, anything else may hold the private value in another form.
                    Some(below) if below.private => self.hide()?,
                    _ => drop(self.cursor.skip_value(&mut self.open)?),
                },
                Some(_) => self.hide()?,
                None if self.is_unreadable(key) => self.hide()?,
                None => drop(self.cursor.skip_value(&mut self.open)?),
            }
            self.cursor.skip_space();
            if self.cursor.eat(b'}') {
                return Ok(());
            }
            if !self.cursor.eat(b',') {
                return self.cursor.fail("`,` or `}`");
            }
            self.cursor.skip_space();
        }
    }

    /// Replaces the value at the cursor.
    fn hide(&mut self) -> Result<(), Syntax> {
        self.out.extend_from_slice(&self.cursor.bytes[self.copied..self.cursor.pos]);
        self.out.extend_from_slice(b"null");
        self.cursor.skip_value(&mut self.open)?;
        self.copied = self.cursor.pos;
        Ok(())
    }

    fn field<'p>(&mut self, plan: &'p ObjectPlan, key: Text<'_>) -> Option<&'p FieldPlan> {
        self.key.clear();
        unescape(key.raw, &mut self.key).ok()?;
        plan.find(&self.key).map(|index| &plan.fields[index])
    }

    /// A name without a UTF-8 form may stand for any.
    fn is_unreadable(&mut self, key: Text<'_>) -> bool {
        self.key.clear();
        unescape(key.raw, &mut self.key).is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::standardize::columns::Values;
    use proptest::prelude::*;

    /// What a mask makes of one text, and what it reports.
    fn masked(mask: &Mask, text: &[u8]) -> (Option<String>, Option<&'static str>) {
        let mut column = Builder::new(&HiveType::String.arrow_type());
        column.push_bytes(b"before");
        column.push_bytes(text);
        let told = mask.apply(&mut column);
        let Values::Bytes { offsets, data } = &column.values else { panic!("no text") };
        assert!(column.len() == 2 && offsets.len() == 3 && data.starts_with(b"before"));
        let text = String::from_utf8(column.last_bytes().to_vec()).unwrap();
        ((!column.last_is_null()).then_some(text), told)
    }

    #[test]
    fn addresses_become_those_of_their_networks() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("2001:0DB8:0001::FFFF", "2001:db8:1::"),
            ("::1", "::"),
            ("fe80::1", "fe80::"),
            ("1:0:0:2::", "1::"),
            ("::ffff:203.0.113.77", "::ffff:203.0.113.0"),
            ("::FFFF:cb00:714d", "::ffff:203.0.113.0"),
            ("64:ff9b::203.0.113.77", "64:ff9b::"),
            ("2002:cb00:714d:1::1", "2002:cb00:7100::"),
        ] {
            assert_eq!(masked(&Mask::TruncateIp(usize::MAX), address.as_bytes()), (Some(network.into()), None), "{address}");
        }
        for text in
            ["", " 1.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4:80", "[::1]", "fe80::1%eth0", "1.2.3.4, 5.6.7.8", "x"]
        {
            assert_eq!(masked(&Mask::TruncateIp(usize::MAX), text.as_bytes()), (None, Some("truncate-ip")), "{text}");
        }
        assert_eq!(masked(&Mask::TruncateIp(usize::MAX), b"\xff"), (None, Some("truncate-ip")));
    }

    /// The second test case of RFC 4231 with its key padded by a zero byte, which HMAC does itself, up to the 16 bytes that are asked for.
    #[test]
    fn texts_become_their_hmac() {
        let text = "[lake]\nhmac_key = \"Jefe\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\"\n[[table]]\nname = \"a.b\"\nlanding = \"l\"\n\
                    location = \"t\"\n[table.columns.v]\nprivacy = \"hmac-sha256\"\n";
        let table = config::load(text, std::path::Path::new("/"), &|_| None).unwrap().tables.remove(0);
        let mask = Mask::new("v", table.rules["v"].privacy.as_ref().unwrap(), &HiveType::String).unwrap();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        for _ in 0..2 {
            assert_eq!(masked(&mask, b"what do ya want for nothing?"), (Some(expected.into()), None));
        }
    }

    fn plan() -> ObjectPlan {
        let column = |name: &str| Column { name: name.into(), hive: HiveType::String, comment: None };
        let schema = crate::schema::TableSchema { columns: vec![column("id"), column("ip"), column("mail")], partition_keys: vec![] };
        let from = |path: &str| Some(path.split('.').map(str::to_string).collect());
        let rule = |from| ColumnRules { from, privacy: Some(Privacy::Drop), ..ColumnRules::default() };
        let rules = [("ip".to_string(), rule(None)), ("mail".to_string(), rule(from("user.mail")))].into();
        Plan::new(&schema, &rules, config::NewColumns::Ignore, 1.0).unwrap().root
    }

    /// JSON in which `secret` stands below private places alone.
    fn record() -> impl Strategy<Value = String> {
        let open =
            prop_oneof![Just("1".to_string()), Just("\"a\"".to_string()), Just("[{\"x\":\"}\"}]".to_string()), Just("{}".to_string())];
        let secret = prop::sample::select(vec!["\"secret\"", "[\"secret\"]", "{\"mail\":\"secret\",\"x\":[{}]}", "null", "{ }"]);
        let mail = prop::sample::select(vec!["mail", "MAIL", "m\\u0061il"]);
        let user = (mail, secret.clone(), open.clone()).prop_map(|(key, value, open)| format!("{{\"x\": {open},\"{key}\" :{value} }}"));
        let member = prop_oneof![
            (prop::sample::select(vec!["id", "x", "x.y"]), open).prop_map(|(key, value)| format!("\"{key}\":{value}")),
            (prop::sample::select(vec!["ip", "Ip", "\\u0069p", "mail"]), secret.clone())
                .prop_map(|(key, value)| format!("\"{key}\" : {value}")),
            (prop::sample::select(vec!["user", "User"]), prop_oneof![user, secret.prop_map(|text| format!("[{text}]"))])
                .prop_map(|(key, value)| format!("\"{key}\":{value}")),
        ];
        prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(" ,\n")))
    }

    proptest! {
        #[test]
        fn no_secret_is_left_and_the_rest_is_what_it_was(record in record()) {
            let kept = String::from_utf8(redacted(&plan(), record.as_bytes()).unwrap()).unwrap();
            prop_assert!(!kept.contains("secret"), "{kept}");
            let value: serde_json::Value = serde_json::from_str(&kept).unwrap();
            let before: serde_json::Value = serde_json::from_str(&record).unwrap();
            for key in ["id", "x", "x.y"] {
                prop_assert_eq!(value.get(key), before.get(key));
            }
            // Redacting once more changes nothing, and every cut of the record is kept whole or not at all.
            prop_assert_eq!(redacted(&plan(), kept.as_bytes()), Some(kept.clone().into_bytes()));
            for cut in 0..record.len() {
                prop_assert_eq!(redacted(&plan(), &record.as_bytes()[..cut]), None);
            }
        }
    }
}
