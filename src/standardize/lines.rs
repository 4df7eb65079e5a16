//! Records that are lines of text.

use super::rows::Rows;
use super::window::Window;
use crate::error::Result;

/// Hands the lines of an object to `rows`; blank ones are none. A line may end in `\n` or `\r\n`, and have at most `limit` bytes.
///
/// # Errors
/// As [`super::frame::Records::accept`].
pub fn read(window: &mut Window, rows: &mut Rows<'_, '_>, limit: usize) -> Result<()> {
    let mut pos = 0;
    loop {
        let bytes = &window.bytes()[pos..];
        let offset = window.base() + pos as u64;
        let line = match memchr::memchr(b'\n', bytes) {
            Some(end) => &bytes[..end],
            None if window.ended() && bytes.is_empty() => return Ok(()),
            None if window.ended() => bytes,
            None if bytes.len() <= limit => {
                window.refill(pos, limit + 1);
                pos = 0;
                continue;
            }
            None => {
                pos = pass_over(window, pos, rows)?;
                continue;
            }
        };
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            super::frame::Records::oversized(rows, offset, line.len() as u64)?;
        } else if !text.trim_ascii().is_empty() {
            rows.line(offset, text)?;
        }
        pos = (pos + line.len() + 1).min(window.bytes().len());
    }
}

/// Passes over a line that is longer than can be held, and says where the next one begins.
fn pass_over(window: &mut Window, mut pos: usize, rows: &mut Rows<'_, '_>) -> Result<usize> {
    let (offset, mut length) = (window.base() + pos as u64, 0);
    loop {
        let bytes = &window.bytes()[pos..];
        let end = memchr::memchr(b'\n', bytes);
        length += end.unwrap_or(bytes.len()) as u64;
        pos += end.unwrap_or(bytes.len());
        if end.is_some() || window.ended() {
            super::frame::Records::oversized(rows, offset, length)?;
            return Ok((pos + 1).min(window.bytes().len()));
        }
        window.refill(pos, usize::MAX);
        pos = 0;
    }
}
