//! What may stand between two records, and how the next record is found after a broken one.

use super::frame::{BOM, View};
use super::scan::Cursor;

/// Bytes that may be scanned again in search of the next record, for each byte of the object so far.
const PATIENCE: u64 = 16;

/// Bytes that count as read from the beginning on, so that the first records of an object have some patience too.
const ADVANCE: u64 = 1 << 20;

/// Longest name that is remembered of a record.
const NAME: usize = 256;

/// Where the next record is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It begins at `at`, behind a comma or not.
    Found { at: usize, behind_comma: bool },
    /// There is none.
    End,
    /// More of the object must be known.
    More,
}

/// Finds the next record after a broken one.
///
/// The rule: a record may begin at a `{` from which a whole JSON object can be read, and
///
/// - that follows a line break directly, though behind a `:`, a `[` or a `,` only if it is alike, or
/// - that follows a `}` with nothing but white space, a byte order mark or a literal `\n` between, or
/// - that follows a comma, where records are separated by commas (in an array of records, or once a comma stood between two; or the brackets
///   of the broken record are closed in order, and the comma follows), if it is alike: its first name is also that of the broken record, or of
///   the last whole one.
///
/// or in an array of records: at a `[` that follows a line break directly, but not behind a `:`, a `[` or a `,`, and whose first element is
/// a whole JSON object.
///
/// The first such place after the broken record's first byte is taken, so that a record that lacks its end costs no other record.
/// Objects inside a broken record follow a `:`, a `[` or a `,` and mostly begin with another name, so they are not taken for records.
///
/// Searching is bounded: once 16 bytes have been scanned in vain for each byte of the object so far (`PATIENCE`), the rest of it is one
/// broken record.
#[derive(Debug, Default)]
pub(super) struct Resync {
    /// A comma stood between two records.
    commas: bool,
    /// The first name of the last whole record, where that is of use.
    name: Vec<u8>,
    spent: u64,
    /// As `spent`, with the search that needs more.
    spent_so_far: u64,
    open: Vec<u8>,
}

impl Resync {
    /// Passes over what may stand between two records: white space, byte order marks, commas, and line breaks as a producer writes
    /// them who escapes them once too often (`\n`, two characters).
    pub(super) fn skip_between(&mut self, bytes: &[u8], mut pos: usize) -> usize {
        loop {
            match bytes[pos..] {
                [b' ' | b'\n' | b'\r' | b'\t', ..] => pos += 1,
                [b',', ..] => {
                    self.commas = true;
                    pos += 1;
                }
                [b'\\', b'n' | b'r' | b't', ..] => pos += 2,
                [0xEF, 0xBB, 0xBF, ..] => pos += BOM.len(),
                _ => return pos,
            }
        }
    }

    /// Remembers the record that begins at `start`, if that can be of use.
    pub(super) fn remember(&mut self, bytes: &[u8], start: usize, in_array: bool) {
        if self.commas || in_array {
            self.name.clear();
            self.name.extend_from_slice(first_name(bytes, start).unwrap_or_default());
        }
    }

    /// The next record after the broken one that begins at `start`.
    pub(super) fn next(&mut self, view: View<'_>, start: usize, in_array: bool) -> Next {
        let bytes = view.bytes;
        let (mut from, mut spent) = (start + 1, self.spent);
        let mut brackets = Brackets::from(start);
        while let Some(found) = memchr::memchr2(b'{', b'[', bytes.get(from..).unwrap_or_default()) {
            let at = from + found;
            if !view.last && at + NAME > bytes.len() {
                break;
            }
            let candidate = match bytes[at] {
                b'{' if !(in_array || self.commas) && self.follows_comma(bytes, start, at) => {
                    let closed = brackets.closed(bytes, at);
                    let before = bare(&bytes[start..at]).strip_suffix(b",").map(|before| start + bare(before).len());
                    (closed.is_some() && closed == before).then_some((at, true))
                }
                b'{' => self.may_begin(bytes, start, at, in_array || self.commas).map(|behind_comma| (at, behind_comma)),
                _ => first_element(bytes, start, at).map(|object| (object, false)),
            };
            if let Some((object, behind_comma)) = candidate {
                let mut cursor = Cursor::new(bytes, object);
                match cursor.skip_value(&mut self.open) {
                    Ok(_) => {
                        self.spent = spent;
                        self.commas |= behind_comma && !in_array;
                        return Next::Found { at, behind_comma };
                    }
                    Err(syntax) if view.unsure(syntax.at) => break,
                    Err(syntax) => spent += (syntax.at - object) as u64,
                }
                if spent > PATIENCE.saturating_mul(view.base + at as u64 + ADVANCE) {
                    break;
                }
            }
            from = at + 1;
        }
        self.spent_so_far = spent;
        if !view.last {
            return Next::More;
        }
        self.spent = spent;
        Next::End
    }

    /// True if what begins at `at` is alike and follows a comma behind a `}`, on the same line.
    fn follows_comma(&self, bytes: &[u8], start: usize, at: usize) -> bool {
        let before = &bytes[start..at];
        let comma = bare(before).strip_suffix(b",").map(bare);
        !begins_line(before) && comma.is_some_and(|before| before.ends_with(b"}")) && self.is_alike(bytes, start, at)
    }

    /// The last search is at its end, although it needs more.
    pub(super) fn settle(&mut self) {
        self.spent = self.spent_so_far;
    }

    /// Whether a record may begin at `at`; then whether it follows a comma.
    fn may_begin(&self, bytes: &[u8], start: usize, at: usize, commas: bool) -> Option<bool> {
        let before = &bytes[start..at];
        match bare(before).last() {
            Some(b'}') => Some(false),
            Some(b',') if commas && self.is_alike(bytes, start, at) => Some(true),
            Some(b':' | b'[' | b',') if !self.is_alike(bytes, start, at) => None,
            _ => begins_line(before).then_some(false),
        }
    }
}

/// The brackets of a broken record, as far as they were looked at.
struct Brackets {
    open: Vec<u8>,
    in_text: bool,
    pos: usize,
    /// Where the last of them was closed; `None` if one was closed by another kind.
    end: Option<Option<usize>>,
}

impl Brackets {
    /// Those of the record that begins at `start`.
    fn from(start: usize) -> Self {
        Self { open: Vec::new(), in_text: false, pos: start, end: None }
    }

    /// Where all of them are closed, each by its own kind, if that is before `at`, which grows from call to call.
    fn closed(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        while self.end.is_none() && self.pos < at {
            match bytes[self.pos] {
                b'\\' if self.in_text => self.pos += 1,
                b'"' => self.in_text = !self.in_text,
                byte @ (b'{' | b'[') if !self.in_text => self.open.push(byte),
                byte @ (b'}' | b']') if !self.in_text => {
                    let own = self.open.pop() == Some(if byte == b'}' { b'{' } else { b'[' });
                    if !own || self.open.is_empty() {
                        self.end = Some(own.then_some(self.pos + 1));
                    }
                }
                _ => {}
            }
            self.pos += 1;
        }
        self.end.flatten()
    }
}

/// What stands before, without what may stand between records.
fn bare(mut before: &[u8]) -> &[u8] {
    loop {
        let shorter = before.strip_suffix(BOM).unwrap_or(before).trim_ascii_end();
        let shorter = shorter.strip_suffix(b"\\n").or(shorter.strip_suffix(b"\\r")).or(shorter.strip_suffix(b"\\t")).unwrap_or(shorter);
        if shorter.len() == before.len() {
            return before;
        }
        before = shorter;
    }
}

fn begins_line(before: &[u8]) -> bool {
    matches!(before.last(), Some(b'\n' | b'\r'))
}

/// Where the first object of an array of records begins, if there may be one at `at`.
fn first_element(bytes: &[u8], start: usize, at: usize) -> Option<usize> {
    let before = &bytes[start..at];
    let mut cursor = Cursor::new(bytes, at + 1);
    cursor.skip_space();
    let is_inside = matches!(bare(before).last(), Some(b':' | b'[' | b','));
    (begins_line(before) && !is_inside && cursor.peek() == Some(b'{')).then_some(cursor.pos)
}

impl Resync {
    /// True if the object at `at` begins with the same name as the last whole record, or as the broken one at `start`.
    fn is_alike(&self, bytes: &[u8], start: usize, at: usize) -> bool {
        let name = first_name(bytes, at);
        name.is_some() && (name == first_name(bytes, start) || !self.name.is_empty() && name == Some(self.name.as_slice()))
    }
}

/// The first name in the object that begins at `start`, as it stands.
fn first_name(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let mut cursor = Cursor::new(&bytes[..bytes.len().min(start + NAME)], start);
    if !cursor.eat(b'{') {
        return None;
    }
    cursor.skip_space();
    cursor.string().ok().map(|name| name.raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, resync: &mut Resync, in_array: bool) -> Next {
        resync.next(View { bytes: text.as_bytes(), last: true, base: 0 }, 0, in_array)
    }

    /// The object from the next record on after the broken one at the start.
    fn check(text: &str) -> &str {
        match next(text, &mut Resync::default(), false) {
            Next::Found { at, .. } => &text[at..],
            _ => "",
        }
    }

    #[test]
    fn a_record_without_its_end_costs_no_other() {
        assert_eq!(check(r#"{"a":1,"b":{"c":2}{"a":2}"#), r#"{"a":2}"#);
        assert_eq!(check("{\"a\":\n{\"a\":2}\n"), "{\"a\":2}\n");
        assert_eq!(check("{\"a\":1,}\u{feff}{\"a\":2}"), r#"{"a":2}"#);
        assert_eq!(check("{\"a\":1,}\\n{\"a\":2}"), r#"{"a":2}"#);
        assert_eq!(check("{\"a\":1,} \\r\\n\u{feff} {\"a\":2}"), r#"{"a":2}"#);
    }

    #[test]
    fn objects_inside_a_broken_record_are_not_records() {
        assert_eq!(check(r#"{"a":tru,"b":{"x":1},"c":[{"y":2},{"z":3}]}"#), "");
        assert_eq!(check("{\"a\":tru,\n \"b\": [\n  {\"x\":1},\n  {\"y\":1}\n ]\n}\n{\"a\":2}"), "{\"a\":2}");
    }

    #[test]
    fn between_commas_the_first_name_tells_a_record() {
        let text = r#"{"id":tru,"c":[{"y":2},{"z":3}]},{"id":2}"#;
        let mut resync = Resync::default();
        let other = text.replacen("id", "no", 1);
        assert_eq!(next(&other, &mut resync, true), Next::End, "no record is known yet");
        resync.remember(br#"{"id":1}"#, 0, true);
        let at = text.len() - 8;
        assert_eq!(next(text, &mut resync, true), Next::Found { at, behind_comma: true });
        assert_eq!(next(text, &mut Resync::default(), false), Next::Found { at, behind_comma: true }, "its brackets are closed");
        let open = text.replacen("}]}", "}}", 1);
        assert_eq!(next(&open, &mut Resync::default(), false), Next::End, "no comma stood between two records");
        let inside = r#"{"id":tru,"c":[{"id":2},{"id":3}]}"#;
        assert_eq!(next(inside, &mut Resync::default(), false), Next::End, "the comma is inside of the broken record");
        resync.skip_between(b",", 0);
        assert_eq!(next(text, &mut resync, false), Next::Found { at, behind_comma: true });
    }

    #[test]
    fn objects_that_begin_a_line_inside_a_broken_record_are_no_records() {
        assert_eq!(check("{\"a\":tru,\"b\":\n{\"c\":1}}"), "");
        assert_eq!(check("{\"a\":tru,\"b\":[\n{\"c\":1},\n{\"c\":2}]}\n{\"a\":2}"), "{\"a\":2}");
        assert_eq!(check("{\"a\":1,}\\t{\"a\":2}"), r#"{"a":2}"#);
    }

    #[test]
    fn an_array_that_begins_a_line_may_be_the_next() {
        assert_eq!(check("{\"a\":1,}]\n[{\"a\":2}]"), "[{\"a\":2}]");
        assert_eq!(check("{\"a\":1,}]\n[{\"a\":2]\n[ {\"a\":3},"), "[ {\"a\":3},");
        assert_eq!(check("{\"a\":tru,\"b\":\n[{\"c\":1}]}"), "", "a value of the broken record");
        assert_eq!(check("{\"a\":tru,\"b\":[\n[{\"c\":1}],\n[{\"c\":2}]]}"), "");
        assert_eq!(check("{\"a\":tru\n[1,2]"), "", "numbers are no records");
    }

    #[test]
    fn a_cut_string_hides_the_record_that_it_runs_into() {
        assert_eq!(check(r#"{"a":"cut{"a":2}{"a":3}"#), r#"{"a":3}"#);
    }

    #[test]
    fn the_search_gives_up_before_it_becomes_quadratic() {
        let text = "x\n".to_string() + &"{\"a\":[\n".repeat(1_000_000);
        let mut resync = Resync::default();
        assert_eq!(next(&text, &mut resync, false), Next::End);
        assert!(resync.spent < text.len() as u64 * (PATIENCE + 4), "{} for {}", resync.spent, text.len());
    }

    #[test]
    fn a_broken_record_at_the_beginning_costs_none_behind_a_comma() {
        assert_eq!(check(r#"{"a":NaN},{"a":2}"#), r#"{"a":2}"#);
        assert_eq!(check(r#"{"a":NaN,"b":"\"},{","c":[{}]} , {"a":2}"#), r#"{"a":2}"#);
        assert_eq!(check(r#"{"a":NaN},{"b":2}"#), "", "it begins with another name");
        // Lines that are cut inside of such a list are looked at once each.
        let text = "{\"a\":[{},{\"a\":1\n{\"a\":2}\n".repeat(100_000);
        let (mut resync, mut at, mut found) = (Resync::default(), 0, 0);
        while let Next::Found { at: next, .. } = resync.next(View { bytes: text.as_bytes(), last: true, base: 0 }, at, false) {
            (at, found) = (text[next..].find('\n').map_or(text.len(), |end| next + end + 1), found + 1);
        }
        assert_eq!(found, 100_000);
    }

    #[test]
    fn what_stands_between_records_is_passed_over() {
        for between in ["\u{feff} \r\n\u{feff}", "\\n", ",", " ,\n", "\\r\\n", "\r", ""] {
            let text = format!("{between}{{");
            assert_eq!(Resync::default().skip_between(text.as_bytes(), 0), between.len(), "{between:?}");
        }
        assert_eq!(Resync::default().skip_between(b"\\x", 0), 0);
    }
}
