//! Memory of decompressed texts, used again for the next ones: the kernel has to clear new memory first, page by page.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

/// Room is made in whole units, so that texts of about the same length can have each other's memory, and the kernel can give it in
/// pages of that size.
const UNIT: usize = 2 << 20;

/// Larger pieces are not kept.
const LARGEST: usize = 32 << 20;

/// No more pieces than these are kept, nor more bytes in all: it is for the whole life of the process.
const MOST: usize = 8;
const MOST_BYTES: usize = 64 << 20;

static SPARE: Mutex<Spare> = Mutex::new(Spare { pieces: Vec::new() });

/// Pieces of memory that nobody uses at present.
struct Spare {
    pieces: Vec<MmapMut>,
}

impl Spare {
    /// The smallest piece that has room for `len` bytes, unless that is much larger.
    fn take(&mut self, len: usize) -> Option<MmapMut> {
        let pieces = self.pieces.iter().enumerate().map(|(at, piece)| (piece.len(), at));
        let (_, at) = pieces.filter(|(size, _)| *size >= len && size / 2 <= len.max(UNIT)).min()?;
        Some(self.pieces.swap_remove(at))
    }

    /// Keeps a piece. Of too many the smallest go, as they are made anew the fastest.
    fn keep(&mut self, piece: MmapMut) {
        if piece.len() > LARGEST {
            return;
        }
        self.pieces.push(piece);
        while self.pieces.len() > MOST || self.pieces.iter().map(|piece| piece.len()).sum::<usize>() > MOST_BYTES {
            let Some((_, smallest)) = self.pieces.iter().enumerate().map(|(at, piece)| (piece.len(), at)).min() else { return };
            self.pieces.swap_remove(smallest);
        }
    }
}

/// A text that is being decompressed, and its memory.
pub(super) struct Text {
    memory: Option<MmapMut>,
    len: usize,
}

impl Text {
    /// A text of `len` bytes, whatever they are; `None` if there is no memory for it.
    pub(super) fn new(len: usize) -> Option<Self> {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).take(len);
        Some(Self { memory: Some(spare.or_else(|| room(len))?), len })
    }

    /// Its bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], |memory| &mut memory[..self.len])
    }

    /// The text; its memory is used again after its last use.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

/// New memory for `len` bytes at least, in large pages where the system has them: it takes the kernel a sixth of the time.
fn room(len: usize) -> Option<MmapMut> {
    let memory = MmapMut::map_anon(len.next_multiple_of(UNIT).max(UNIT)).ok()?;
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Some(memory)
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.len])
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            SPARE.lock().unwrap_or_else(PoisonError::into_inner).keep(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(mib: usize) -> MmapMut {
        MmapMut::map_anon(mib << 20).unwrap()
    }

    #[test]
    fn the_largest_pieces_are_kept_and_used_again() {
        let mib = |mib: &[usize]| mib.iter().map(|mib| piece(*mib)).collect::<Vec<_>>();
        let cases: [(&[usize], &[usize]); 6] = [
            (&[1, 2, 1], &[1, 1, 2]),
            (&[1, 1, 1, 1, 1, 1, 1, 1, 20], &[1, 1, 1, 1, 1, 1, 1, 20]),
            (&[2, 2, 2, 2, 2, 2, 2, 2, 1], &[2, 2, 2, 2, 2, 2, 2, 2]),
            (&[1, 3, 32, 32], &[32, 32]),
            (&[30, 31, 32], &[31, 32]),
            (&[33], &[]),
        ];
        for (given, expected) in cases {
            let mut spare = Spare { pieces: Vec::new() };
            mib(given).into_iter().for_each(|piece| spare.keep(piece));
            let mut kept: Vec<usize> = spare.pieces.iter().map(|piece| piece.len() >> 20).collect();
            kept.sort_unstable();
            assert_eq!(kept, expected, "of {given:?}");
        }
    }

    #[test]
    fn a_piece_is_used_again_for_texts_that_fill_half_of_it() {
        let cases = [
            (0, Some(1)),
            (5, Some(1)),
            ((1 << 20) + 1, Some(3)),
            (2 << 20, Some(3)),
            (3 << 20, Some(3)),
            ((3 << 20) + 1, None),
            (8 << 20, Some(16)),
        ];
        for (len, expected) in cases {
            let pieces: Vec<MmapMut> = [16, 3, 1].map(piece).into();
            let places: Vec<_> = pieces.iter().map(|piece| (piece.as_ptr(), piece.len() >> 20)).collect();
            let mut spare = Spare { pieces };
            let taken = spare.take(len).map(|piece| (piece.as_ptr(), piece.len() >> 20));
            assert_eq!(taken.map(|(_, mib)| mib), expected, "{len}");
            assert!(taken.is_none_or(|taken| places.contains(&taken)), "it is the same memory");
            assert_eq!(spare.pieces.len(), 3 - usize::from(taken.is_some()), "it is not given twice");
        }
    }

    #[test]
    fn memory_is_used_again_and_texts_have_their_own_length() {
        // Other tests decompress at the same time, so whose memory it is cannot be told, but what is in it can.
        for (len, byte) in [(3 << 20, 1), (5, 2), (0, 3), ((3 << 20) - 7, 4), (LARGEST + 1, 5)] {
            let mut text = Text::new(len).unwrap();
            text.bytes().fill(byte);
            let bytes = text.into_bytes();
            assert_eq!((bytes.len(), bytes.iter().all(|found| *found == byte)), (len, true));
            let part = bytes.slice(..len.min(2));
            drop(bytes);
            let mut other = Text::new(len).unwrap();
            other.bytes().fill(9);
            assert!(part.iter().all(|found| *found == byte), "what is still read is not used again");
        }
        let spare = SPARE.lock().unwrap();
        assert!(spare.pieces.len() <= MOST && spare.pieces.iter().all(|piece| piece.len() <= LARGEST));
    }
}
