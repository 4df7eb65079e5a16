//! Records that a producer wrapped: documents that hold them in an array (`unwrap = "Records"`).

use std::ops::Range;

use super::reject::{Code, Reason};
use super::scan::{Cursor, Syntax, Text, unescape};

/// A document with records in it.
#[derive(Debug)]
pub struct Wrapped {
    /// Where the records stand, or why there are none.
    pub records: Result<Vec<Range<usize>>, Reason>,
    /// Where the document ends.
    pub end: usize,
}

/// Finds the elements of the array `field` in the document that begins at `start`; of several arrays of that name, all of them.
///
/// # Errors
/// The document is not JSON.
pub fn elements(bytes: &[u8], start: usize, field: &str, open: &mut Vec<u8>) -> Result<Wrapped, Syntax> {
    let mut whole = Cursor::new(bytes, start);
    whole.skip_value(open)?;
    let mut cursor = Cursor::new(bytes, start);
    let end = whole.pos;
    let none = || Reason::new(Code::Type, "", format!("the document has no array `{field}`, which `unwrap` names"));
    if !cursor.eat(b'{') {
        return Ok(Wrapped { records: Err(none()), end });
    }
    cursor.skip_space();
    let mut found: Option<Vec<Range<usize>>> = None;
    while cursor.peek() == Some(b'"') {
        let key = cursor.key()?;
        if is_named(key, field) {
            match of_array(&mut cursor, open)? {
                Some(records) => found.get_or_insert_default().extend(records),
                None => return Ok(Wrapped { records: Err(none()), end }),
            }
        } else {
            cursor.skip_value(open)?;
        }
        cursor.skip_space();
        cursor.eat(b',');
        cursor.skip_space();
    }
    Ok(Wrapped { records: found.ok_or_else(none), end })
}

fn is_named(key: Text<'_>, field: &str) -> bool {
    let mut name = Vec::new();
    unescape(key.raw, &mut name).is_ok() && name == field.as_bytes()
}

/// Where the elements of the array at the cursor stand; `None` if it is no array.
fn of_array(cursor: &mut Cursor<'_>, open: &mut Vec<u8>) -> Result<Option<Vec<Range<usize>>>, Syntax> {
    if !cursor.eat(b'[') {
        return Ok(None);
    }
    let mut found = Vec::new();
    cursor.skip_space();
    while !cursor.eat(b']') {
        let start = cursor.pos;
        cursor.skip_value(open)?;
        found.push(start..cursor.pos);
        cursor.skip_space();
        cursor.eat(b',');
        cursor.skip_space();
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (Result<Vec<&str>, String>, usize) {
        let Wrapped { records, end } = elements(text.as_bytes(), 0, "Records", &mut Vec::new()).unwrap();
        (records.map(|ranges| ranges.into_iter().map(|range| &text[range]).collect()).map_err(|reason| reason.detail), end)
    }

    #[test]
    fn the_elements_of_the_named_array_are_the_records() {
        assert_eq!(check(r#"{"v":[0], "Records": [ {"a":1} ,2,[]] }{"#), (Ok(vec![r#"{"a":1}"#, "2", "[]"]), 39));
        assert_eq!(check(r#"{"Records":[]}"#), (Ok(vec![]), 14));
        assert_eq!(check(r#"{"Records":[1],"R\u0065cords":[2]}"#), (Ok(vec!["1", "2"]), 34));
    }

    #[test]
    fn a_document_without_the_array_is_told() {
        for text in ["{}", r#"{"records":[1]}"#, r#"{"Records":{"a":1}}"#, "[1]", "7"] {
            let (found, end) = check(text);
            assert_eq!((found.unwrap_err().as_str(), end), ("the document has no array `Records`, which `unwrap` names", text.len()));
        }
    }
}
