//! The way into a document that has its records in an array.

use crate::standardize::scan::{Cursor, Syntax, Text, unescape};

/// Brings the cursor to the array that is the member `field` of the document at the cursor; behind the document if it has none.
pub(super) fn into_array(cursor: &mut Cursor<'_>, field: &str, open: &mut Vec<u8>) -> std::result::Result<bool, Syntax> {
    if !cursor.eat(b'{') {
        return cursor.skip_value(open).map(|_| false);
    }
    cursor.skip_space();
    if cursor.eat(b'}') {
        return Ok(false);
    }
    loop {
        let key = cursor.key()?;
        if is_named(key, field) && cursor.peek() == Some(b'[') {
            return Ok(true);
        }
        cursor.skip_value(open)?;
        cursor.skip_space();
        if cursor.eat(b'}') {
            return Ok(false);
        }
        if !cursor.eat(b',') {
            return cursor.fail("`,` or `}`");
        }
        cursor.skip_space();
    }
}

/// Whether a key, as it stands in the document, is `field`.
pub(super) fn is_named(key: Text<'_>, field: &str) -> bool {
    let mut name = Vec::new();
    unescape(key.raw, &mut name).is_ok() && name == field.as_bytes()
}
