//! The end of a value that is too long to be read: told without holding it.

/// Finds the end of a value, piece by piece, by its brackets and quotes alone.
#[derive(Debug, Default)]
pub(super) struct Skim {
    /// Brackets that are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Skim {
    /// Begins where so many brackets are open that end the value when they are closed.
    pub(super) fn inside(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    /// Where the value ends, if that is in `piece`.
    pub(super) fn end(&mut self, piece: &[u8]) -> Option<usize> {
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                // A text has no raw line break, so this is none, and a record may begin behind it.
                b'\n' | b'\r' if self.in_string => return Some(at),
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                // A number or a word goes on.
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' => continue,
                _ if self.depth == 0 => return Some(at),
                _ => continue,
            }
            if self.depth == 0 && !self.in_string {
                return Some(at + 1);
            }
        }
        None
    }
}
