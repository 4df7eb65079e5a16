//! Where records begin and end, found in a text as a whole and through windows.

use bytes::Bytes;
use lakebed::error::Result;
use lakebed::standardize::frame::{self, Records};
use lakebed::standardize::reject::{Code, Reason};
use lakebed::standardize::scan::{Cursor, Syntax};
use lakebed::standardize::window::Window;
use serde::de::IgnoredAny;

use super::{Target, corpus};

/// What was found at a place, with its length.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    offset: u64,
    length: u64,
    /// `None` is a record.
    code: Option<Code>,
}

#[derive(Default)]
struct Collected {
    found: Vec<Found>,
    open: Vec<u8>,
    /// A value was read, and neither accepted nor taken back.
    pending: bool,
}

impl Records for Collected {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        assert!(!self.pending, "two values are read and none is accepted");
        let mut cursor = Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open)?;
        self.pending = true;
        Ok(cursor.pos)
    }

    fn accept(&mut self, offset: u64, record: &[u8]) -> Result<()> {
        assert!(std::mem::take(&mut self.pending), "nothing was read");
        assert!(serde_json::from_slice::<IgnoredAny>(record).is_ok(), "no record: {}", record.escape_ascii());
        self.found.push(Found { offset, length: record.len() as u64, code: None });
        Ok(())
    }

    fn take_back(&mut self) {
        assert!(std::mem::take(&mut self.pending), "nothing was read");
    }

    fn reject(&mut self, offset: u64, record: &[u8], reason: Reason) -> Result<()> {
        assert!(!self.pending, "the value that was read last is still to be accepted");
        self.found.push(Found { offset, length: record.len() as u64, code: Some(reason.code) });
        Ok(())
    }

    fn oversized(&mut self, offset: u64, length: u64) -> Result<()> {
        self.found.push(Found { offset, length, code: Some(Code::TooLarge) });
        Ok(())
    }
}

fn frames(mut window: Window, unwrap: Option<&str>, limit: usize) -> Vec<Found> {
    let mut collected = Collected::default();
    frame::read(&mut window, &mut collected, unwrap, limit).unwrap();
    assert!(!collected.pending && window.failure().is_none());
    collected.found
}

pub(super) fn target() -> Target {
    let run = |input: &[u8]| {
        let text = Bytes::copy_from_slice(input);
        let mut outcome = String::new();
        for (unwrap, limit) in [(None, 48), (None, 1000), (None, 8 << 20), (Some("Records"), 48), (Some("Records"), 8 << 20)] {
            let whole = frames(Window::whole(text.clone()), unwrap, limit);
            let streamed = frames(Window::of(Box::new(std::io::Cursor::new(text.clone()))), unwrap, limit);
            assert_eq!(whole, streamed, "at once, and through windows of {limit} bytes, unwrap {unwrap:?}");
            in_order(input, &whole, unwrap.is_none());
            let mut codes: Vec<&str> = whole.iter().map(|found| found.code.map_or("record", Code::as_str)).collect();
            codes.dedup();
            codes.truncate(6);
            outcome += &codes.join(" ");
            outcome.push('/');
            if unwrap.is_none() && limit > input.len() {
                as_others_read(input, &whole);
            }
        }
        outcome
    };
    Target { name: "framing", run, seeds: corpus::json(), deep: corpus::deep_json(), tokens: corpus::JSON, is_object: false, inputs: 4000 }
}

/// Nothing overlaps, and nothing is between but what may be there.
fn in_order(text: &[u8], found: &[Found], is_strict: bool) {
    let mut end = 0;
    for Found { offset, length, .. } in found {
        let offset = *offset as usize;
        // What is cut where a record is wanted has a reject without bytes.
        assert!(offset >= end && (*length > 0 || offset == text.len()), "{length} bytes at {offset}, behind {end}");
        if is_strict {
            between(&text[end..offset]);
        }
        end = offset + *length as usize;
    }
    assert!(end <= text.len(), "{end} is behind the end {}", text.len());
    if is_strict {
        between(&text[end..]);
    }
}

fn between(mut bytes: &[u8]) {
    loop {
        bytes = match bytes {
            [] => return,
            [b' ' | b'\n' | b'\r' | b'\t' | b',' | b'[' | b']', rest @ ..]
            | [b'\\', b'n' | b'r' | b't', rest @ ..]
            | [0xEF, 0xBB, 0xBF, rest @ ..] => rest,
            _ => panic!("bytes that are nowhere: {}", bytes.escape_ascii()),
        }
    }
}

/// Where serde_json reads a sequence of objects, each of them is a record.
fn as_others_read(text: &[u8], found: &[Found]) {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let mut objects = Vec::new();
    loop {
        let from = stream.byte_offset();
        match stream.next() {
            None => break,
            Some(Err(_)) => return,
            Some(Ok(_)) => {
                let skipped = text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if text[from + skipped] != b'{' {
                    return;
                }
                let (offset, end) = ((from + skipped) as u64, stream.byte_offset() as u64);
                objects.push(Found { offset, length: end - offset, code: None });
            }
        }
    }
    assert_eq!(found, objects, "lakebed, and serde_json");
}
