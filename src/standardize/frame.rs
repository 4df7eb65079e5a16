//! Where records begin and end in an object, and how the next one is found after a broken one.

use super::scan::Cursor;

/// The byte order mark, in UTF-8. Producers put it in front of records, so it may stand anywhere between two.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Bytes that may be scanned again in search of the next record, as a multiple of the object's size.
const PATIENCE: usize = 16;

/// Passes over what may stand between two records: white space and byte order marks.
pub fn skip_between(bytes: &[u8], mut pos: usize) -> usize {
    loop {
        let mut cursor = Cursor::new(bytes, pos);
        cursor.skip_space();
        pos = cursor.pos;
        if !bytes[pos..].starts_with(BOM) {
            return pos;
        }
        pos += BOM.len();
    }
}

/// The bytes without the white space at their end.
pub fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t'));
    &bytes[..end.map_or(0, |last| last + 1)]
}

/// Finds the next record after a broken one.
///
/// The rule: a record may begin at a `{` that follows a line break directly, or a `}` with nothing but white space between, and
/// from which a whole JSON object can be read. The first such place after the broken record's first byte is taken, so that a
/// record that lacks its end costs no other record. Objects inside a broken record follow a `:`, a `[` or a `,` and are not taken for
/// records, unless they begin a line: there a line that was cut off behind such a character is the more likely reason.
#[derive(Debug, Default)]
pub struct Resync {
    spent: usize,
    open: Vec<u8>,
}

impl Resync {
    /// The offset of the next record after the broken one that begins at `start`; the end of the object if there is none.
    ///
    /// Searching is bounded: once the object's bytes have been scanned 16 times over (`PATIENCE`), the rest of it is one broken record.
    pub fn next(&mut self, bytes: &[u8], start: usize) -> usize {
        let mut from = start + 1;
        while let Some(found) = memchr::memchr(b'{', bytes.get(from..).unwrap_or_default()) {
            let at = from + found;
            if may_begin(bytes, start, at) {
                let mut cursor = Cursor::new(bytes, at);
                let whole = cursor.skip_value(&mut self.open);
                self.spent += whole.map_or_else(|syntax| syntax.at, |_| at) - at;
                if whole.is_ok() {
                    return at;
                }
                if self.spent > bytes.len().saturating_mul(PATIENCE) {
                    break;
                }
            }
            from = at + 1;
        }
        bytes.len()
    }
}

/// True if what stands before `at` may be the end of a record.
fn may_begin(bytes: &[u8], start: usize, at: usize) -> bool {
    let before = &bytes[start..at];
    if matches!(before.last(), Some(b'\n' | b'\r')) {
        return true;
    }
    let unmarked = before.strip_suffix(BOM).unwrap_or(before);
    matches!(unmarked.trim_ascii_end().last(), Some(b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks where the next record is found after the broken one at the start.
    fn check(text: &str) -> &str {
        &text[Resync::default().next(text.as_bytes(), 0)..]
    }

    #[test]
    fn a_record_without_its_end_costs_no_other() {
        assert_eq!(check(r#"{"a":1,"b":{"c":2}{"a":2}"#), r#"{"a":2}"#);
        assert_eq!(check("{\"a\":\n{\"a\":2}\n"), "{\"a\":2}\n");
        assert_eq!(check("{\"a\":1,}\u{feff}{\"a\":2}"), r#"{"a":2}"#);
    }

    #[test]
    fn objects_inside_a_broken_record_are_not_records() {
        assert_eq!(check(r#"{"a":tru,"b":{"x":1},"c":[{"y":2},{"z":3}]}"#), "");
        assert_eq!(check("{\"a\":tru,\n \"b\": [\n  {\"x\":1},\n  {\"y\":1}\n ]\n}\n{\"a\":2}"), "{\"a\":2}");
    }

    #[test]
    fn a_cut_string_hides_the_record_that_it_runs_into() {
        assert_eq!(check(r#"{"a":"cut{"a":2}{"a":3}"#), r#"{"a":3}"#);
    }

    #[test]
    fn the_search_gives_up_before_it_becomes_quadratic() {
        let text = "x\n".to_string() + &"{\"a\":[\n".repeat(50_000);
        let mut resync = Resync::default();
        assert_eq!(resync.next(text.as_bytes(), 0), text.len());
        assert!(resync.spent < text.len() * (PATIENCE + 2));
    }

    #[test]
    fn marks_and_space_between_records_are_passed_over() {
        assert_eq!(skip_between("\u{feff} \r\n\u{feff}{".as_bytes(), 0), 9);
        assert_eq!(skip_between(b"", 0), 0);
    }
}
