//! Memory of decompressed texts, used again for the next ones: the kernel has to clear new memory first, page by page.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Room is made in whole units, so that texts of about the same length can have each other's memory.
const UNIT: usize = 1 << 20;

/// Larger memory is not kept, nor more pieces than these. There are never more than were in use at the same time.
const LARGEST: usize = 32 << 20;
const MOST: usize = 8;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A text that is being decompressed, and its memory.
pub(super) struct Text {
    memory: Vec<u8>,
    len: usize,
}

impl Text {
    /// A text of `len` bytes, whatever they are.
    pub(super) fn new(len: usize) -> Self {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = spare.iter().position(|memory| memory.len() >= len && memory.len() / 2 <= len.max(UNIT));
        let memory = fits.map(|at| spare.swap_remove(at));
        drop(spare);
        Self { memory: memory.unwrap_or_else(|| vec![0; len.next_multiple_of(UNIT)]), len }
    }

    /// Its bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }

    /// The text; its memory is used again after its last use.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if self.memory.len() <= LARGEST && spare.len() < MOST {
            spare.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_texts_have_their_own_length() {
        // Other tests decompress at the same time, so whose memory it is cannot be told, but what is in it can.
        for (len, byte) in [(3 << 20, 1), (5, 2), (0, 3), ((3 << 20) - 7, 4), (LARGEST + 1, 5)] {
            let mut text = Text::new(len);
            text.bytes().fill(byte);
            let bytes = text.into_bytes();
            assert_eq!((bytes.len(), bytes.iter().all(|found| *found == byte)), (len, true));
            let part = bytes.slice(..len.min(2));
            drop(bytes);
            let mut other = Text::new(len);
            other.bytes().fill(9);
            assert!(part.iter().all(|found| *found == byte), "what is still read is not used again");
        }
        let spare = SPARE.lock().unwrap();
        assert!(spare.len() <= MOST && spare.iter().all(|memory| memory.len() <= LARGEST));
    }
}
