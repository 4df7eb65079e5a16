//! The members of a JSON object, one after the other, without reading what is in them.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{Cursor, Syntax, Text, unescape};

/// One member of an object; its places are offsets in the text.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The name.
    pub key: Text<'a>,
    /// From the name's quote to the end of the value.
    pub whole: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

impl Member<'_> {
    /// True if this is its name.
    pub fn is(&self, name: &str) -> bool {
        if !self.key.escaped {
            return self.key.raw == name.as_bytes();
        }
        let mut unescaped = Vec::new();
        unescape(self.key.raw, &mut unescaped).is_ok() && unescaped == name.as_bytes()
    }
}

/// Reads the members of one object.
#[derive(Debug)]
pub struct Members<'a, 'o> {
    cursor: Cursor<'a>,
    open: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'a, 'o> Members<'a, 'o> {
    /// The members of the object that begins at `start`; `None` if no object begins there. `open` is scratch space.
    pub fn new(bytes: &'a [u8], start: usize, open: &'o mut Vec<u8>) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, start);
        cursor.eat(b'{').then_some(Self { cursor, open, is_first: true })
    }

    /// The next member; `None` behind the last one, which is said once.
    ///
    /// # Errors
    /// The text is no JSON from here on.
    pub fn read(&mut self) -> Result<Option<Member<'a>>, Syntax> {
        self.cursor.skip_space();
        if self.cursor.eat(b'}') {
            return Ok(None);
        }
        if !std::mem::take(&mut self.is_first) {
            if !self.cursor.eat(b',') {
                return self.cursor.fail("`,` or `}`");
            }
            self.cursor.skip_space();
        }
        let start = self.cursor.pos;
        let key = self.cursor.key()?;
        let value = self.cursor.pos;
        self.cursor.skip_value(self.open)?;
        Ok(Some(Member { key, whole: start..self.cursor.pos, value: value..self.cursor.pos }))
    }

    /// How far the text has been read; behind the object once its last member was read.
    pub fn pos(&self) -> usize {
        self.cursor.pos
    }
}

/// The characters that a JSON value stands for if it is a string; `None` if it is none, or has half of a surrogate pair.
pub fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    let mut text = Vec::with_capacity(inside.len());
    unescape(inside, &mut text).ok()?;
    Some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members as `key|value`, and then what stands behind the object.
    fn read(text: &str) -> Result<Vec<String>, usize> {
        let mut open = Vec::new();
        let mut members = Members::new(text.as_bytes(), 0, &mut open).unwrap();
        let mut found = Vec::new();
        while let Some(member) = members.read().map_err(|syntax| syntax.at)? {
            found.push(format!("{}|{}", &text[member.whole.start..member.value.start], &text[member.value]));
        }
        found.push(text[members.pos()..].to_string());
        Ok(found)
    }

    #[test]
    fn members_are_read_one_after_the_other() {
        assert_eq!(read("{}x").unwrap(), ["x"]);
        assert_eq!(read(r#"{ "a" : [1,{"b":2}] , "c":"}" } "#).unwrap(), [r#""a" : |[1,{"b":2}]"#, r#""c":|"}""#, " "]);
    }

    #[test]
    fn what_is_no_object_is_refused_where_it_stops_being_one() {
        for (text, at) in [("{", 1), ("{,}", 1), (r#"{"a":1,}"#, 7), (r#"{"a":1 "b":2}"#, 7), (r#"{"a"}"#, 4), (r#"{"a":}"#, 5)] {
            assert_eq!(read(text), Err(at), "{text}");
        }
        assert!(Members::new(b"[1]", 0, &mut Vec::new()).is_none());
        assert!(Members::new(b"", 0, &mut Vec::new()).is_none());
    }

    #[test]
    fn names_are_compared_by_what_they_stand_for() {
        let is = |text: &str| Members::new(text.as_bytes(), 0, &mut Vec::new()).unwrap().read().unwrap().unwrap().is("schema");
        assert!(is(r#"{"schema":1}"#));
        assert!(is(r#"{"sch\u0065ma":1}"#));
        assert!(!is(r#"{"Schema":1}"#));
        assert!(!is(r#"{"\ud800":1}"#));
    }

    #[test]
    fn strings_give_their_characters() {
        for (value, text) in
            [(r#""""#, Some("")), (r#""a/b""#, Some("a/b")), (r#""a\/\u00e9""#, Some("a/é")), (r#""\ud800""#, None), ("12", None)]
        {
            assert_eq!(text_of(value.as_bytes()).as_deref(), text.map(str::as_bytes), "{value}");
        }
    }
}
