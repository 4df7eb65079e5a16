//! The self-describing JSON in the columns of an event: entities and events under names made of their schemas.

use std::ops::Range;

use super::write_key;
use crate::standardize::members::{Members, text_of};
use crate::standardize::reject::{Code, Reason};
use crate::standardize::scan::Cursor;

/// What the outer schemas begin with, up to the major version.
const CONTEXTS: &[u8] = b"iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-";
const EVENT: &[u8] = b"iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-";

/// The entities of one event, of both columns.
#[derive(Debug, Default)]
pub(super) struct Entities<'a> {
    names: Vec<u8>,
    found: Vec<Entity<'a>>,
}

/// One entity; its name is in `names`.
#[derive(Debug)]
struct Entity<'a> {
    name: Range<usize>,
    /// The pipeline attached it, not the tracker.
    is_derived: bool,
    data: &'a [u8],
}

impl<'a> Entities<'a> {
    /// Takes in the entities of one column.
    pub(super) fn add(&mut self, column: &str, text: &'a [u8]) -> Result<(), Reason> {
        self.read(text, column == "derived_contexts")
            .ok_or_else(|| refused(column, "holds no self-describing JSON with an array of self-describing entities"))
    }

    fn read(&mut self, text: &'a [u8], is_derived: bool) -> Option<()> {
        let open = &mut Vec::new();
        let outer = cell(text, CONTEXTS, open)?;
        let mut cursor = Cursor::new(outer, 0);
        if !cursor.eat(b'[') {
            return None;
        }
        cursor.skip_space();
        while !cursor.eat(b']') {
            let (entity, end) = SelfDescribing::read(outer, cursor.pos, open)?;
            let begin = self.names.len();
            entity.write_name(b"contexts", &mut self.names)?;
            self.found.push(Entity { name: begin..self.names.len(), is_derived, data: entity.data });
            cursor.pos = end;
            cursor.skip_space();
            cursor.eat(b',');
            cursor.skip_space();
        }
        Some(())
    }

    /// Writes an array for each name, with the entities in the order in which they came.
    ///
    /// If both columns have entities of one name, there are two arrays of it, the derived one first. Of two members the first one counts,
    /// so the table has what Snowplow's loaders keep, and the other, which they drop, is kept as an unknown field.
    pub(super) fn write(mut self, out: &mut Vec<u8>) {
        let names = &self.names;
        let order = |entity: &Entity| (&names[entity.name.clone()], !entity.is_derived);
        self.found.sort_by(|one, other| order(one).cmp(&order(other)));
        for group in self.found.chunk_by(|one, other| order(one) == order(other)) {
            write_key(order(&group[0]).0, out);
            out.push(b'[');
            for (index, entity) in group.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(entity.data);
            }
            out.push(b']');
        }
    }
}

/// Writes the event of a column as a member.
pub(super) fn write_event(column: &str, text: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let open = &mut Vec::new();
    let mut name = Vec::new();
    let event = cell(text, EVENT, open).and_then(|outer| SelfDescribing::read(outer, 0, open));
    let event = event.and_then(|(event, _)| event.write_name(b"unstruct_event", &mut name).map(|()| event));
    let event = event.ok_or_else(|| refused(column, "holds no self-describing JSON with a self-describing event"))?;
    write_key(&name, out);
    out.extend_from_slice(event.data);
    Ok(())
}

fn refused(column: &str, detail: &str) -> Reason {
    Reason::new(Code::NotSnowplow, column, detail.to_string())
}

/// The data of a column that holds self-describing JSON of a schema, and nothing else.
fn cell<'a>(text: &'a [u8], schema: &[u8], open: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut cursor = Cursor::new(text, 0);
    cursor.skip_space();
    let (outer, end) = SelfDescribing::read(text, cursor.pos, open)?;
    let is_whole = text[end..].trim_ascii_end().is_empty();
    (is_whole && text_of(outer.schema)?.starts_with(schema)).then_some(outer.data)
}

/// Self-describing JSON: `{"schema":"iglu:<vendor>/<name>/<format>/<version>","data":…}`.
struct SelfDescribing<'a> {
    schema: &'a [u8],
    data: &'a [u8],
}

impl<'a> SelfDescribing<'a> {
    /// Reads the object at `start`, and says where it ends. One with further members is refused, as they would have no place in the record.
    fn read(bytes: &'a [u8], start: usize, open: &mut Vec<u8>) -> Option<(Self, usize)> {
        let mut members = Members::new(bytes, start, open)?;
        let (mut schema, mut data) = (None, None);
        while let Some(member) = members.read().ok()? {
            let slot = if member.is("schema") {
                &mut schema
            } else if member.is("data") {
                &mut data
            } else {
                return None;
            };
            if slot.replace(&bytes[member.value]).is_some() {
                return None;
            }
        }
        Some((Self { schema: schema?, data: data? }, members.pos()))
    }

    /// Appends the name that Snowplow's Analytics SDKs give the data: `<prefix>_<vendor>_<name>_<major>`, in snake case.
    fn write_name(&self, prefix: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let schema = text_of(self.schema)?;
        let mut parts = schema.strip_prefix(b"iglu:")?.split(|b| *b == b'/');
        let [vendor, name, format, version] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let is_word = |part: &[u8]| !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let is_version = version.split(|b| *b == b'-').filter(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit)).count() == 3
            && version.iter().filter(|b| **b == b'-').count() == 2;
        if parts.next().is_some() || ![vendor, name, format].into_iter().all(is_word) || !is_version {
            return None;
        }
        let underscored = |b: u8| if matches!(b, b'.' | b'-') { b'_' } else { b };
        out.extend_from_slice(prefix);
        out.push(b'_');
        out.extend(vendor.iter().map(|b| underscored(*b).to_ascii_lowercase()));
        let mut before = b'_';
        out.push(before);
        for b in name.iter().map(|b| underscored(*b)) {
            if b.is_ascii_uppercase() && !before.is_ascii_uppercase() && before != b'_' {
                out.push(b'_');
            }
            out.push(b.to_ascii_lowercase());
            before = b;
        }
        out.push(b'_');
        out.extend(version.iter().take_while(|b| **b != b'-'));
        Some(())
    }
}
