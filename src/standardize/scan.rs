//! A strict JSON scanner over bytes (RFC 8259): it finds where things end and refuses what is not JSON.

use wide::u8x16;

/// Where a text stops being JSON, and what was wanted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// Offset of the offending byte in the cursor's bytes.
    pub at: usize,
    /// What was wanted.
    pub wanted: &'static str,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The bytes between the quotes.
    pub raw: &'a [u8],
    /// True if there are escapes in it.
    pub escaped: bool,
}

/// A number as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    /// Its characters: ASCII by grammar.
    pub text: &'a str,
    /// True if it has neither fraction nor exponent.
    pub integer: bool,
}

/// A position in a text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    /// The whole text.
    pub bytes: &'a [u8],
    /// The next byte to read.
    pub pos: usize,
}

/// Offset of the first byte of `chunk` that is a quote, a backslash or a control character; its length if there is none.
#[inline]
pub(super) fn first_special(chunk: &[u8; 16]) -> usize {
    let bytes = u8x16::from(*chunk);
    let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
    let is_control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    // The bit behind those of the bytes ends the search.
    let special = (is(b'"') | is(b'\\') | is_control).to_bitmask() | 1 << chunk.len();
    special.trailing_zeros() as usize
}

/// Offset of the first byte from `pos` on that is a quote, a backslash or a control character; the length if there is none.
pub(super) fn special(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(chunk) = bytes.get(pos..).and_then(|rest| rest.first_chunk::<16>()) {
        let plain = first_special(chunk);
        pos += plain;
        if plain < chunk.len() {
            return pos;
        }
    }
    while bytes.get(pos).is_some_and(|&b| b >= 0x20 && b != b'"' && b != b'\\') {
        pos += 1;
    }
    pos
}

impl<'a> Cursor<'a> {
    /// A cursor at `pos`.
    pub fn new(bytes: &'a [u8], pos: usize) -> Self {
        Self { bytes, pos }
    }

    /// The next byte, if any.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// Passes over JSON white space.
    #[inline]
    pub fn skip_space(&mut self) {
        if self.peek().is_none_or(|b| b <= b' ') {
            self.skip_some_space();
        }
    }

    #[cold]
    fn skip_some_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.pos += 1;
        }
    }

    /// Takes the next byte if it is `wanted`.
    #[inline]
    pub fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.pos += usize::from(found);
        found
    }

    /// The failure at the cursor.
    pub fn fail<T>(&self, wanted: &'static str) -> Result<T, Syntax> {
        Err(Syntax { at: self.pos, wanted })
    }

    /// Reads a string; the cursor is at its opening quote.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Syntax> {
        if !self.eat(b'"') {
            return self.fail("a string");
        }
        let start = self.pos;
        let mut escaped = false;
        loop {
            self.pos = special(self.bytes, self.pos);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.pos];
                    self.pos += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fail("no raw control character in a string"),
                None => return self.fail("the end of a string"),
            }
        }
    }

    /// Passes over one escape; the cursor is at its backslash.
    fn escape(&mut self) -> Result<(), Syntax> {
        self.pos += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.pos += 1,
            Some(b'u') => {
                self.pos += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return self.fail("four hexadecimal digits");
                    }
                    self.pos += 1;
                }
            }
            _ => return self.fail("a valid escape"),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos == start { self.fail("a digit") } else { Ok(()) }
    }

    /// Reads a number.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Syntax> {
        let start = self.pos;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        let mut integer = true;
        if self.eat(b'.') {
            integer = false;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits()?;
        }
        match std::str::from_utf8(&self.bytes[start..self.pos]) {
            Ok(text) => Ok(Number { text, integer }),
            Err(_) => self.fail("a number"),
        }
    }

    /// Reads one of `true`, `false`, `null`.
    pub fn word(&mut self, word: &'static str) -> Result<(), Syntax> {
        if self.bytes[self.pos..].starts_with(word.as_bytes()) {
            self.pos += word.len();
            Ok(())
        } else {
            self.fail("true, false or null")
        }
    }

    /// Passes over one scalar; the cursor is at its first byte.
    fn scalar(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.fail("a value"),
        }
    }

    /// Passes over one value of any kind and says how deep it nests (a scalar: 0).
    ///
    /// Works without recursion, so the depth of a text cannot overflow the stack; `open` is scratch space for open brackets.
    pub fn skip_value(&mut self, open: &mut Vec<u8>) -> Result<usize, Syntax> {
        open.clear();
        let mut deepest = 0;
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.pos += 1;
                    self.skip_space();
                    let close = bracket + 2;
                    deepest = deepest.max(open.len() + 1);
                    if !self.eat(close) {
                        open.push(close);
                        self.key_if_object(close)?;
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            loop {
                let Some(&close) = open.last() else { return Ok(deepest) };
                self.skip_space();
                if self.eat(b',') {
                    self.skip_space();
                    self.key_if_object(close)?;
                    break;
                }
                if !self.eat(close) {
                    return self.fail(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" });
                }
                open.pop();
            }
        }
    }

    /// Inside an object, passes over a key and its colon.
    fn key_if_object(&mut self, close: u8) -> Result<(), Syntax> {
        if close == b'}' {
            self.key()?;
        }
        Ok(())
    }

    /// Reads a key and its colon, up to the value.
    #[inline]
    pub fn key(&mut self) -> Result<Text<'a>, Syntax> {
        let key = self.string()?;
        self.skip_space();
        if !self.eat(b':') {
            return self.fail("`:`");
        }
        self.skip_space();
        Ok(key)
    }
}

/// Appends the characters that `raw`, the inside of a valid JSON string, stands for.
///
/// # Errors
/// Lone surrogates (`\ud800` without its other half) have no UTF-8 form; `out` is then left with a part of the text.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), LoneSurrogate> {
    let mut pos = 0;
    while pos < raw.len() {
        let plain = memchr::memchr(b'\\', &raw[pos..]).map_or(raw.len(), |found| pos + found);
        out.extend_from_slice(&raw[pos..plain]);
        pos = plain;
        let Some(&code) = raw.get(pos + 1) else { break };
        pos += 2;
        match code {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, used) = unicode(&raw[pos..])?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                pos += used;
            }
            other => out.push(other),
        }
    }
    Ok(())
}

/// An escape that names one half of a surrogate pair without the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoneSurrogate;

/// The character after `\u`, and how many bytes of `rest` it takes.
fn unicode(rest: &[u8]) -> Result<(char, usize), LoneSurrogate> {
    let hex = |at: usize| -> Option<u32> {
        let digits = rest.get(at..at + 4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = hex(0).ok_or(LoneSurrogate)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 4));
    }
    let second = if rest.get(4..6) == Some(b"\\u") { hex(6) } else { None };
    match second {
        Some(low @ 0xDC00..=0xDFFF) if first < 0xDC00 => {
            let code = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            char::from_u32(code).map(|character| (character, 10)).ok_or(LoneSurrogate)
        }
        _ => Err(LoneSurrogate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skip(text: &str) -> Result<(usize, usize), usize> {
        let mut cursor = Cursor::new(text.as_bytes(), 0);
        cursor.skip_value(&mut Vec::new()).map(|depth| (cursor.pos, depth)).map_err(|e| e.at)
    }

    #[test]
    fn values_end_where_they_end() {
        assert_eq!(skip(r#"{"a":[1,{"b":null}],"c":"}"}{"#), Ok((28, 3)));
        assert_eq!(skip("[] "), Ok((2, 1)));
        assert_eq!(skip("-0.5e+3,"), Ok((7, 0)));
        assert_eq!(skip(r#"{"a" : 1 , "b" : [ ] }"#), Ok((22, 2)));
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_stops_being_json() {
        let cases = [
            ("{a:1}", 1),
            ("[1,]", 3),
            ("01", 2),
            ("{\"a\":1,}", 7),
            ("[1 2]", 3),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 2),
            ("tru", 0),
            ("[", 1),
            ("-", 1),
            ("1.", 2),
        ];
        for (text, at) in cases {
            match skip(text) {
                Err(found) => assert_eq!(found, at, "{text}"),
                Ok((end, _)) => assert_eq!((text, end), ("01", 1), "only a leading zero ends early: the rest is the next value"),
            }
        }
    }

    #[test]
    fn a_hundred_thousand_brackets_do_not_overflow_the_stack() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(skip(&text), Ok((200_000, 100_000)));
        assert!(skip(&"{\"a\":".repeat(100_000)).is_err());
    }

    #[test]
    fn escapes_become_characters_and_lone_surrogates_are_refused() {
        let check = |raw: &str| {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(check(r#"a\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00z"#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\téé😀z");
        for lone in [r"\ud800", r"\ud800x", r"\udc00", r"\ud800\ud800", r"\ud83d\u0041"] {
            assert_eq!(check(lone), Err(LoneSurrogate), "{lone}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e300..1e300f64).prop_map(Into::into),
            any::<String>().prop_map(Into::into)
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                proptest::collection::vec((any::<String>(), inner), 0..8)
                    .prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into())
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_valid_documents(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(skip(&text).map(|(end, _)| end), Ok(text.len()));
        }

        #[test]
        fn agrees_with_serde_json_on_broken_documents(value in json(), cut in any::<proptest::sample::Index>(), junk in any::<char>()) {
            let mut text = serde_json::to_string(&vec![value]).unwrap();
            let at = cut.index(text.len());
            if text.is_char_boundary(at) {
                text.insert(at, junk);
                let text = text.trim_matches([' ', '\t', '\r', '\n']);
                let valid = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                prop_assert_eq!(skip(text).map(|(end, _)| end) == Ok(text.len()), valid, "{}", text);
            }
        }
    }
}
