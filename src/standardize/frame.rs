//! Where the records of an object begin and end, one JSON document after the other, whatever stands between them.

mod skim;
mod unwrap;

use super::reject::{Code, Reason};
use super::resync::{Next, Resync};
use super::scan::{Cursor, Syntax};
use super::window::Window;
use crate::error::Result;
use skim::Skim;
use unwrap::{into_array, is_named};

/// Takes the records of an object, in their order.
pub trait Records {
    /// Reads the value that begins at `start` and says where it ends. It does not count before [`Self::accept`].
    ///
    /// # Errors
    /// It is not JSON.
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax>;

    /// The value that was read last is a record. It stands at `offset` of the object.
    ///
    /// # Errors
    /// Whoever takes the records wants no more of them.
    fn accept(&mut self, offset: u64, record: &[u8]) -> Result<()>;

    /// The value that was read last is no record after all.
    fn take_back(&mut self);

    /// These bytes are no record, or one that was not read.
    ///
    /// # Errors
    /// As [`Self::accept`].
    fn reject(&mut self, offset: u64, record: &[u8], reason: Reason) -> Result<()>;

    /// A record of `length` bytes is more than can be held.
    ///
    /// # Errors
    /// As [`Self::accept`].
    fn oversized(&mut self, offset: u64, length: u64) -> Result<()>;
}

/// No decision is taken on the last bytes of a window unless the object ends there: a mark or a word may go on behind them.
const AHEAD: usize = 16;

/// The byte order mark, in UTF-8. Producers put it in front of records, so it may stand anywhere between two.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// True if a document has an array as its member `field`, where its records are then.
pub fn holds_array(document: &[u8], field: &str, open: &mut Vec<u8>) -> bool {
    into_array(&mut Cursor::new(document, 0), field, open).unwrap_or(false)
}

/// A document that records are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// An array whose elements are the records.
    Array(At),
    /// A document with such an array among its members, behind that array.
    Document,
}

/// A place in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Behind the `[`.
    First,
    /// Behind a comma.
    Value,
    /// Behind an element.
    After,
}

/// What one step of reading came to.
enum Step {
    /// Go on from here.
    To(usize),
    /// The window must have more for this.
    More,
    /// The object has no more records.
    End,
}

/// A view of the window: at most as many bytes as a record may have.
#[derive(Clone, Copy)]
pub(super) struct View<'w> {
    pub(super) bytes: &'w [u8],
    /// The object ends with these bytes.
    pub(super) last: bool,
    /// Offset of the first byte in the object.
    pub(super) base: u64,
}

impl View<'_> {
    /// True if what was found at `at` could be something else once more is known.
    pub(super) fn unsure(&self, at: usize) -> bool {
        !self.last && at + AHEAD > self.bytes.len()
    }

    fn offset(&self, at: usize) -> u64 {
        self.base + at as u64
    }
}

/// Reads an object's records out of a window, and hands each to `records`.
struct Frames<'r, R> {
    records: &'r mut R,
    /// The records are in this array of each document.
    unwrap: Option<&'r str>,
    levels: Vec<Level>,
    resync: Resync,
    /// What stands here is the rest of a broken record, of which a piece was cut off.
    in_stretch: bool,
    /// The last step looked for the record behind a broken one.
    searching: bool,
    open: Vec<u8>,
}

/// Hands the records of an object to `records`. None may have more than `limit` bytes.
///
/// # Errors
/// As [`Records::accept`].
pub fn read<R: Records>(window: &mut Window, records: &mut R, unwrap: Option<&str>, limit: usize) -> Result<()> {
    let (levels, resync, open) = (Vec::new(), Resync::default(), Vec::new());
    let mut frames = Frames { records, unwrap, levels, resync, in_stretch: false, searching: false, open };
    let mut pos = 0usize;
    loop {
        let end = window.bytes().len().min(pos.saturating_add(limit));
        let last = window.ended() && end == window.bytes().len();
        let view = View { bytes: &window.bytes()[..end], last, base: window.base() };
        match frames.step(view, pos)? {
            Step::To(next) => pos = next,
            Step::End => return Ok(()),
            // A byte more than a record may have tells whether the object ends there.
            Step::More if !window.ended() && window.bytes().len() - pos <= limit => {
                window.refill(pos, limit + 1);
                pos = 0;
            }
            Step::More if frames.searching => pos = frames.cut(view, pos)?,
            Step::More => pos = frames.oversized(window, pos)?,
        }
    }
}

impl<R: Records> Frames<'_, R> {
    fn step(&mut self, view: View<'_>, pos: usize) -> Result<Step> {
        self.searching = false;
        if self.in_stretch {
            return self.broken(view, pos, Syntax { at: pos, wanted: "a record" });
        }
        let mut cursor = Cursor::new(view.bytes, pos);
        match self.levels.last() {
            None => cursor.pos = self.resync.skip_between(view.bytes, pos),
            Some(_) => cursor.skip_space(),
        }
        if cursor.pos > pos {
            return Ok(Step::To(cursor.pos));
        }
        if view.unsure(pos) {
            return Ok(Step::More);
        }
        match (self.levels.last().copied(), cursor.peek()) {
            (None, None) => Ok(Step::End),
            (None, Some(b'[')) => Ok(self.enter(pos)),
            (Some(Level::Array(At::First)), Some(b']')) | (Some(Level::Array(At::After)), Some(b']')) => Ok(self.leave(pos)),
            (Some(Level::Array(At::After)), Some(b',')) => {
                self.set(At::Value);
                Ok(Step::To(pos + 1))
            }
            (Some(Level::Array(At::After)), _) => self.broken(view, pos, Syntax { at: pos, wanted: "`,` or `]`" }),
            (Some(Level::Document), _) => self.member(view, pos),
            (None | Some(Level::Array(_)), _) => match self.unwrap.filter(|_| !self.levels.contains(&Level::Document)) {
                Some(field) => self.document(view, pos, field),
                None => self.record(view, pos),
            },
        }
    }

    /// Goes into an array of records.
    fn enter(&mut self, pos: usize) -> Step {
        self.levels.push(Level::Array(At::First));
        Step::To(pos + 1)
    }

    /// Leaves the innermost level, whose last byte is at `pos`.
    fn leave(&mut self, pos: usize) -> Step {
        self.levels.pop();
        self.set(At::After);
        Step::To(pos + 1)
    }

    /// Sets the place in the innermost level, if that is an array.
    fn set(&mut self, place: At) {
        if let Some(Level::Array(at)) = self.levels.last_mut() {
            *at = place;
        }
    }

    fn record(&mut self, view: View<'_>, start: usize) -> Result<Step> {
        let end = match self.records.read(view.bytes, start) {
            Ok(end) => end,
            Err(syntax) => return self.broken(view, start, syntax),
        };
        let (next, place) = match self.behind(view, start, end) {
            Ok(Some(next)) => next,
            Ok(None) => {
                self.records.take_back();
                return Ok(Step::More);
            }
            Err(syntax) => {
                self.records.take_back();
                return self.broken(view, start, syntax);
            }
        };
        self.resync.remember(view.bytes, start, !self.levels.is_empty());
        self.records.accept(view.offset(start), &view.bytes[start..end])?;
        match place {
            Some(place) => self.set(place),
            None if self.levels.is_empty() => {}
            None => return Ok(self.leave(next - 1)),
        }
        Ok(Step::To(next))
    }

    /// Where to go on behind a record, and the place there; `None` for a place behind the array, or where there is none. An outer
    /// `None` says that more must be known.
    ///
    /// # Errors
    /// What stands behind the record shows that it is none.
    fn behind(&self, view: View<'_>, start: usize, end: usize) -> std::result::Result<Option<(usize, Option<At>)>, Syntax> {
        let closed = matches!(view.bytes[start], b'{' | b'[' | b'"');
        if self.levels.is_empty() {
            let next = view.bytes.get(end);
            if closed
                || next.is_some_and(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'+' | b'-' | b'_'))
                || view.last && next.is_none()
            {
                return Ok(Some((end, None)));
            }
            return if next.is_none() { Ok(None) } else { Err(Syntax { at: end, wanted: "the end of a value" }) };
        }
        let mut cursor = Cursor::new(view.bytes, end);
        cursor.skip_space();
        match cursor.peek() {
            Some(b',') => Ok(Some((cursor.pos + 1, Some(At::Value)))),
            // Only the comma is missing: both records are whole. In a document it may be the next document, behind a cut one.
            Some(b'{') if closed && !self.levels.contains(&Level::Document) => Ok(Some((cursor.pos, Some(At::Value)))),
            Some(b']') => Ok(Some((cursor.pos + 1, None))),
            None if !view.last => Ok(None),
            // The object was cut behind a record that is whole.
            None if closed => Ok(Some((cursor.pos, Some(At::After)))),
            _ => Err(Syntax { at: cursor.pos, wanted: "`,` or `]`" }),
        }
    }

    /// Reads a document up to the array that holds its records.
    fn document(&mut self, view: View<'_>, start: usize, field: &str) -> Result<Step> {
        let mut cursor = Cursor::new(view.bytes, start);
        match into_array(&mut cursor, field, &mut self.open) {
            Ok(true) => {
                self.levels.push(Level::Document);
                Ok(self.enter(cursor.pos))
            }
            Ok(false) if view.bytes[start] != b'{' && view.unsure(cursor.pos) => Ok(Step::More),
            Ok(false) => {
                let reason = Reason::new(Code::Type, "", format!("the document has no array `{field}`, which `unwrap` names"));
                self.records.reject(view.offset(start), &view.bytes[start..cursor.pos], reason)?;
                self.set(At::After);
                Ok(Step::To(cursor.pos))
            }
            Err(syntax) => self.broken(view, start, syntax),
        }
    }

    /// Reads a member of a document behind its records, or its end.
    fn member(&mut self, view: View<'_>, pos: usize) -> Result<Step> {
        let mut cursor = Cursor::new(view.bytes, pos);
        if cursor.eat(b'}') {
            return Ok(self.leave(pos));
        }
        let is_array = |cursor: &mut Cursor<'_>, field: Option<&str>, open: &mut Vec<u8>| {
            if !cursor.eat(b',') {
                return cursor.fail("`,` or `}`");
            }
            cursor.skip_space();
            let key = cursor.key()?;
            if field.is_some_and(|field| is_named(key, field)) && cursor.peek() == Some(b'[') {
                return Ok(true);
            }
            cursor.skip_value(open).map(|_| false)
        };
        match is_array(&mut cursor, self.unwrap, &mut self.open) {
            Ok(true) => Ok(self.enter(cursor.pos)),
            // A number at the end of the window may go on behind it.
            Ok(false) if view.unsure(cursor.pos) => Ok(Step::More),
            Ok(false) => Ok(Step::To(cursor.pos)),
            Err(syntax) => self.broken(view, pos, syntax),
        }
    }

    /// Rejects what begins at `start`, up to where the next record is found.
    fn broken(&mut self, view: View<'_>, start: usize, syntax: Syntax) -> Result<Step> {
        if view.unsure(syntax.at) && !self.in_stretch {
            return Ok(Step::More);
        }
        let in_array = matches!(self.levels.last(), Some(Level::Array(_)));
        let (end, behind_comma) = match self.resync.next(view, start, in_array) {
            Next::More => {
                self.searching = true;
                return Ok(Step::More);
            }
            Next::Found { at, behind_comma } => (at, behind_comma),
            Next::End => (view.bytes.len(), false),
        };
        self.reject_stretch(view, start, end, Reason::malformed(syntax, start))?;
        if behind_comma && in_array {
            self.set(At::Value);
        } else {
            self.levels.clear();
        }
        Ok(Step::To(end))
    }

    fn reject_stretch(&mut self, view: View<'_>, start: usize, end: usize, reason: Reason) -> Result<()> {
        let is_rest = std::mem::take(&mut self.in_stretch);
        let record = trim_end(&view.bytes[start..end]);
        // The rest of what was cut into pieces may be white space, and that is no record.
        if is_rest && record.is_empty() {
            return Ok(());
        }
        self.records.reject(view.offset(start), record, reason)
    }

    /// Rejects a piece of a broken record that is longer than a record may be.
    fn cut(&mut self, view: View<'_>, pos: usize) -> Result<usize> {
        let end = view.bytes.len();
        let reason = Reason::new(Code::Malformed, "", "not JSON, and no record is found in all of it".to_string());
        self.reject_stretch(view, pos, end, reason)?;
        self.in_stretch = true;
        self.resync.settle();
        Ok(end)
    }

    /// Passes over a record that is longer than a record may be, as well as its end can be told without holding it.
    fn oversized(&mut self, window: &mut Window, mut pos: usize) -> Result<usize> {
        let in_document = self.levels.last() == Some(&Level::Document);
        let mut skim = Skim::inside(usize::from(in_document));
        let (offset, mut length) = (window.base() + pos as u64, 0);
        loop {
            let bytes = &window.bytes()[pos..];
            let end = skim.end(bytes);
            length += end.unwrap_or(bytes.len()) as u64;
            pos += end.unwrap_or(bytes.len());
            if end.is_some() || window.ended() {
                break;
            }
            window.refill(pos, usize::MAX);
            pos = 0;
        }
        self.records.oversized(offset, length)?;
        if in_document {
            self.levels.pop();
        }
        self.set(At::After);
        Ok(pos)
    }
}

/// The bytes without the white space at their end.
fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t'));
    &bytes[..end.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests;
