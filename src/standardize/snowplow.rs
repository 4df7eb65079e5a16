//! Snowplow's enriched events: a line of 131 columns into the JSON record that Snowplow's own tools make of it.

mod columns;
mod entities;

use super::members::{Members, text_of};
use super::reject::{Code, Reason};
use super::scan::{Cursor, special};
use columns::{COLUMNS, Form};
use entities::Entities;

/// What the schema of every bad row begins with.
const BAD_ROWS: &[u8] = b"iglu:com.snowplowanalytics.snowplow.badrows/";

/// Appends the record of one line as a JSON object: the wide row of Snowplow's loaders.
///
/// Numbers are copied as they stand and times keep their digits. An empty column is null if the table knows it (`knows`), and is left
/// out otherwise. Entities become arrays `contexts_<vendor>_<name>_<major>`; if the tracker and the pipeline attached some of one schema,
/// those of the pipeline come first, and those of the tracker in a second array of that name. A self-describing event becomes the
/// object `unstruct_event_<vendor>_<name>_<major>`. Bytes that are no UTF-8 are copied as they are.
///
/// # Errors
/// The line has another number of columns, or a column does not hold what it must. `out` is left with a part of the record then.
pub fn to_json(line: &[u8], knows: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> Result<(), Reason> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let count = memchr::memchr_iter(b'\t', line).count() + 1;
    if count != COLUMNS.len() {
        let detail = format!("the line has {count} columns, and an enriched event of Snowplow has {}", COLUMNS.len());
        return Err(Reason::new(Code::NotSnowplow, "", detail));
    }
    let mut entities = Entities::default();
    let mut rest = line;
    out.push(b'{');
    for (name, form) in COLUMNS {
        let end = memchr::memchr(b'\t', rest).unwrap_or(rest.len());
        let text = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        match form {
            Form::Contexts if !text.is_empty() => entities.add(name, text)?,
            Form::Event if !text.is_empty() => entities::write_event(name, text, out)?,
            Form::Contexts | Form::Event => {}
            _ if text.is_empty() => {
                if knows(name.as_bytes()) {
                    write_key(name.as_bytes(), out);
                    out.extend_from_slice(b"null");
                }
            }
            _ => {
                write_key(name.as_bytes(), out);
                write_value(name, form, text, out)?;
            }
        }
    }
    entities.write(out);
    out.push(b'}');
    Ok(())
}

/// True for a record that is a bad row: an object with `data` and a `schema` of Snowplow's bad rows.
pub fn is_bad_row(record: &[u8]) -> bool {
    // Almost no record is one, so most are told by a search, without reading them.
    if memchr::memmem::find(record, b"com.snowplowanalytics.snowplow.badrows").is_none() {
        return false;
    }
    let mut open = Vec::new();
    let Some(mut members) = Members::new(record, 0, &mut open) else { return false };
    let (mut has_schema, mut has_data) = (false, false);
    while let Ok(Some(member)) = members.read() {
        has_data |= member.is("data");
        has_schema |= member.is("schema") && text_of(&record[member.value]).is_some_and(|schema| schema.starts_with(BAD_ROWS));
    }
    has_schema && has_data
}

/// Writes a comma unless this is the first member, the key, and a colon.
fn write_key(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if out.last() == Some(&b'{') { b"\"" } else { b",\"" });
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
}

/// Writes the text of a column that is not empty and holds no JSON.
fn write_value(name: &str, form: Form, text: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let refuse = |wanted: &str| Err(Reason::new(Code::Type, name, format!("holds a text that is {wanted}")));
    match form {
        Form::Number => {
            let mut cursor = Cursor::new(text, 0);
            if cursor.number().is_err() || cursor.pos < text.len() {
                return refuse("no JSON number");
            }
            out.extend_from_slice(text);
        }
        Form::Flag => match text {
            b"0" => out.extend_from_slice(b"false"),
            b"1" => out.extend_from_slice(b"true"),
            _ => return refuse("neither 0 nor 1"),
        },
        Form::Time => {
            let Some((date, time)) = split_time(text) else { return refuse("no time as Snowplow writes it, `yyyy-MM-dd HH:mm:ss`") };
            out.push(b'"');
            out.extend_from_slice(date);
            out.push(b'T');
            out.extend_from_slice(time);
            out.extend_from_slice(b"Z\"");
        }
        Form::Text | Form::Contexts | Form::Event => write_text(text, out),
    }
    Ok(())
}

/// The date and the time of `yyyy-MM-dd HH:mm:ss`, the latter with its fraction if there is one; `None` if it looks otherwise.
fn split_time(text: &[u8]) -> Option<(&[u8], &[u8])> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let (head, fraction) = text.split_at_checked(SHAPE.len())?;
    let fits = head.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape });
    let digits = fraction.strip_prefix(b".").unwrap_or(b"0");
    let is_fraction = fraction.is_empty() || (!digits.is_empty() && fraction[0] == b'.' && digits.iter().all(u8::is_ascii_digit));
    (fits && is_fraction).then(|| (&text[..10], &text[11..]))
}

/// Writes a text as a JSON string.
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut pos = 0;
    while pos < text.len() {
        let plain = special(text, pos);
        out.extend_from_slice(&text[pos..plain]);
        match text.get(plain) {
            Some(&b @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', b]),
            Some(&b) => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
            None => {}
        }
        pos = plain + 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
