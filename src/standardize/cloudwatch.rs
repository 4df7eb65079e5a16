//! CloudWatch Logs as a subscription sends them: an envelope with many log events, each of which is a record.

use std::ops::Range;

use super::decode::MAX_DEPTH;
use super::members::{Members, text_of};
use super::reject::{Code, Reason};
use super::scan::{Cursor, Syntax, unescape};

/// Members that every record has from its envelope or its log event; a message's members of the same names do not take their columns.
const OWN: [&[u8]; 7] = [b"owner", b"logGroup", b"logStream", b"subscriptionFilters", b"id", b"timestamp", b"message"];

/// One document.
#[derive(Debug)]
pub struct Envelope {
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a document is.
#[derive(Debug)]
pub enum Kind {
    /// `CONTROL_MESSAGE`: the service looks whether anyone listens. There is no log event in it.
    Control,
    /// `DATA_MESSAGE`: it holds log events.
    Data(Data),
    /// No envelope, for this reason.
    Other(Reason),
}

/// An envelope with log events.
#[derive(Debug)]
pub struct Data {
    /// The envelope's members that each record gets, without the braces.
    shared: Vec<u8>,
    /// Where the array of log events begins.
    events: usize,
}

/// Space that is used again from record to record.
#[derive(Debug, Default)]
pub struct Scratch {
    message: Vec<u8>,
    name: Vec<u8>,
    open: Vec<u8>,
    inner: Vec<u8>,
}

/// Reads the envelope that begins at `start`. Source of the form:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html>.
///
/// # Errors
/// The document is not JSON.
pub fn read(bytes: &[u8], start: usize, open: &mut Vec<u8>) -> Result<Envelope, Syntax> {
    let Some(mut members) = Members::new(bytes, start, open) else {
        let mut cursor = Cursor::new(bytes, start);
        cursor.skip_value(open)?;
        let reason =
            Reason::new(Code::NotAnObject, "", "the document is JSON but no envelope of CloudWatch Logs, which is an object".into());
        return Ok(Envelope { end: cursor.pos, kind: Kind::Other(reason) });
    };
    let (mut message_type, mut events, mut shared, mut repeats) = (None, None, Vec::new(), false);
    while let Some(member) = members.read()? {
        if member.is("messageType") {
            repeats |= message_type.replace(member.value).is_some();
        } else if member.is("logEvents") {
            repeats |= events.replace(member.value).is_some();
        } else {
            shared.push(member.whole);
        }
    }
    let end = members.pos();
    let other = |detail: &str| Kind::Other(Reason::new(Code::NotCloudwatch, "", detail.to_string()));
    let message_type = message_type.and_then(|value| text_of(&bytes[value]));
    let kind = match (message_type.as_deref(), events) {
        _ if repeats => other("the document has messageType or logEvents twice"),
        (Some(b"CONTROL_MESSAGE"), _) => Kind::Control,
        (Some(b"DATA_MESSAGE"), Some(events)) if bytes[events.start] == b'[' => {
            Kind::Data(Data { shared: joined(bytes, &shared), events: events.start })
        }
        (Some(b"DATA_MESSAGE"), _) => other("the document is a DATA_MESSAGE of CloudWatch Logs without an array logEvents"),
        (Some(_), _) => other("the document's messageType is neither DATA_MESSAGE nor CONTROL_MESSAGE"),
        (None, _) => other("the document is no envelope of CloudWatch Logs: it has no text messageType"),
    };
    Ok(Envelope { end, kind })
}

fn joined(bytes: &[u8], members: &[Range<usize>]) -> Vec<u8> {
    let mut out = Vec::new();
    members.iter().for_each(|member| push_member(&bytes[member.clone()], &mut out));
    out
}

/// Writes a member, and a comma before it unless it is the first one.
fn push_member(member: &[u8], out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    out.extend_from_slice(member);
}

impl Data {
    /// Where the log events stand in the `bytes` that the envelope was read from.
    pub fn events<'b>(&self, bytes: &'b [u8]) -> Events<'b> {
        Events { cursor: Cursor::new(bytes, self.events + 1), open: Vec::new() }
    }

    /// Appends the record of one log event as a JSON object.
    ///
    /// It has the envelope's members but `messageType` and `logEvents`, then those of the log event. If the message is the text of a JSON
    /// object, the members of that object follow: all of them where the table does not know `message`, which is left out then, as
    /// nothing of it is lost; and those that the table knows where it does. `knows` says whether the table knows a name.
    ///
    /// # Errors
    /// The log event is no object. Nothing is written then.
    pub fn write_record(
        &self,
        event: &[u8],
        knows: impl Fn(&[u8]) -> bool,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let Scratch { message, name, open, inner } = scratch;
        message.clear();
        let keeps_message = knows(b"message");
        let Some(mut members) = Members::new(event, 0, open) else {
            return Err(Reason::new(Code::NotAnObject, "", "the log event is JSON but no object, so it has no columns".into()));
        };
        out.push(b'{');
        out.extend_from_slice(&self.shared);
        while let Ok(Some(member)) = members.read() {
            let is_first_message = message.is_empty() && member.is("message");
            if is_first_message && read_object(&event[member.value], message, inner) && !keeps_message {
                continue;
            }
            push_member(&event[member.whole], out);
        }
        let Some(mut members) = Members::new(message, 0, open) else {
            out.push(b'}');
            return Ok(());
        };
        while let Ok(Some(member)) = members.read() {
            name.clear();
            let is_name = unescape(member.key.raw, name).is_ok();
            let is_own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
            if !keeps_message || (is_name && !is_own && knows(name)) {
                push_member(&message[member.whole], out);
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// Writes what the message stands for into `object` if it is the text of a JSON object that does not nest too deep; says whether it is.
fn read_object(value: &[u8], object: &mut Vec<u8>, open: &mut Vec<u8>) -> bool {
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or_default();
    if !matches!(inside.first(), Some(b'{' | b' ' | b'\\')) {
        return false;
    }
    let is_object = unescape(inside, object).is_ok() && {
        let blank = object.len() - object.trim_ascii_start().len();
        object.drain(..blank);
        let mut cursor = Cursor::new(object, 0);
        let depth = if cursor.peek() == Some(b'{') { cursor.skip_value(open).ok() } else { None };
        depth.is_some_and(|depth| depth <= MAX_DEPTH) && object[cursor.pos..].trim_ascii_end().is_empty()
    };
    if !is_object {
        object.clear();
    }
    is_object
}

/// The places of the log events of an envelope.
#[derive(Debug)]
pub struct Events<'b> {
    cursor: Cursor<'b>,
    open: Vec<u8>,
}

impl Iterator for Events<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        self.cursor.skip_space();
        self.cursor.eat(b',');
        self.cursor.skip_space();
        let start = self.cursor.pos;
        // The array was read before; the only place at which no value stands is its end.
        self.cursor.skip_value(&mut self.open).ok().map(|_| start..self.cursor.pos)
    }
}

#[cfg(test)]
mod tests;
