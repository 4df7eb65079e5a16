//! The least and the greatest text of a page or a column, and what of them goes into statistics.

/// The least and the greatest of some texts, by their bytes.
#[derive(Default)]
pub struct Bounds {
    /// Both, once there was a text.
    ends: Option<(Vec<u8>, Vec<u8>)>,
    /// See [`begin`].
    begins: (u64, u64),
}

impl Bounds {
    /// Takes a text into account.
    #[inline]
    pub fn note(&mut self, text: &[u8]) {
        let begin = begin(text);
        // Most texts are between the two by their first bytes.
        if self.begins.0 < begin && begin < self.begins.1 {
            return;
        }
        self.compare(text, begin);
    }

    #[inline(never)]
    fn compare(&mut self, text: &[u8], begin: u64) {
        let Some((least, greatest)) = &mut self.ends else {
            self.ends = Some((text.to_vec(), text.to_vec()));
            self.begins = (begin, begin);
            return;
        };
        if text < least.as_slice() {
            text.clone_into(least);
            self.begins.0 = begin;
        } else if text > greatest.as_slice() {
            text.clone_into(greatest);
            self.begins.1 = begin;
        }
    }

    /// The least and the greatest text, if there was one.
    pub fn into_ends(self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.ends
    }
}

/// The first eight bytes as a number: of two texts with different ones, that with the smaller one is the smaller.
#[inline]
fn begin(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..text.len()].copy_from_slice(text);
            u64::from_be_bytes(first)
        }
    }
}

/// How values of many bytes are cut.
#[derive(Clone, Copy)]
pub enum Cut {
    /// Between characters. The first one stays, however long it is.
    Text,
    /// Between bytes.
    Bytes,
    /// Not at all.
    Never,
}

/// A value of at most `most` bytes that is no greater, and whether it is another one.
pub fn shorter_least(value: &[u8], most: Option<usize>, cut: Cut) -> (Vec<u8>, bool) {
    let at = most.filter(|most| value.len() > *most).and_then(|most| match cut {
        Cut::Text => {
            let text = std::str::from_utf8(value).ok()?;
            (1..=most).rfind(|at| text.is_char_boundary(*at))
        }
        Cut::Bytes => Some(most),
        Cut::Never => None,
    });
    at.map_or_else(|| (value.to_vec(), false), |at| (value[..at].to_vec(), true))
}

/// A value of at most `most` bytes that is greater than all that begin as `value`, and whether it is another one. `value` itself where
/// there is none.
pub fn shorter_greatest(value: &[u8], most: Option<usize>, cut: Cut) -> (Vec<u8>, bool) {
    let cut = most.filter(|most| value.len() > *most).and_then(|most| match cut {
        Cut::Text => {
            let text = std::str::from_utf8(value).ok()?;
            // A character has four bytes at most.
            let at = (most.saturating_sub(3)..=most).rfind(|at| text.is_char_boundary(*at))?;
            next(&text[..at])
        }
        Cut::Bytes => {
            let at = value[..most].iter().rposition(|byte| *byte < u8::MAX)?;
            Some([&value[..at], &[value[at] + 1]].concat())
        }
        Cut::Never => None,
    });
    cut.map_or_else(|| (value.to_vec(), false), |cut| (cut, true))
}

/// The text with its last character that has a next one of the same length replaced by that, and without what follows.
fn next(text: &str) -> Option<Vec<u8>> {
    text.char_indices().rev().find_map(|(at, character)| {
        let next = char::from_u32(character as u32 + 1).filter(|next| next.len_utf8() == character.len_utf8())?;
        let mut cut = text.as_bytes()[..at].to_vec();
        cut.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
        Some(cut)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_are_cut_between_characters() {
        let cases = [
            ("abcd", 4, "abcd", "abcd"),
            ("abcde", 4, "abcd", "abce"),
            ("abc\u{7f}e", 4, "abc\u{7f}", "abd"),
            ("aéé", 4, "aé", "aê"),
            ("\u{10ffff}\u{10ffff}", 4, "\u{10ffff}", "\u{10ffff}\u{10ffff}"),
            ("\u{7f}\u{7f}\u{7f}", 2, "\u{7f}\u{7f}", "\u{7f}\u{7f}\u{7f}"),
            ("\u{d7ff}a", 3, "\u{d7ff}", "\u{d7ff}a"),
        ];
        for (text, most, least, greatest) in cases {
            assert_eq!(shorter_least(text.as_bytes(), Some(most), Cut::Text), (least.as_bytes().to_vec(), least != text), "{text:?}");
            assert_eq!(
                shorter_greatest(text.as_bytes(), Some(most), Cut::Text),
                (greatest.as_bytes().to_vec(), greatest != text),
                "{text:?}"
            );
        }
    }

    #[test]
    fn bounds_of_bytes_are_cut_anywhere() {
        for (value, least, greatest) in [
            (&b"a\xff\xffd"[..], &b"a\xff\xff"[..], &b"b"[..]),
            (b"abcd", b"abc", b"abd"),
            (b"\xff\xff\xff\x01", b"\xff\xff\xff", b"\xff\xff\xff\x01"),
        ] {
            assert_eq!(shorter_least(value, Some(3), Cut::Bytes), (least.to_vec(), true));
            assert_eq!(shorter_greatest(value, Some(3), Cut::Bytes), (greatest.to_vec(), greatest != value));
            assert_eq!(shorter_least(value, Some(3), Cut::Never), (value.to_vec(), false));
        }
    }

    proptest! {
        #[test]
        fn bounds_are_those_of_a_sorted_list(mut texts in proptest::collection::vec("[a\u{0}]{0,3}|[ab]{6,10}|.{0,12}", 1..60)) {
            let mut bounds = Bounds::default();
            texts.iter().for_each(|text| bounds.note(text.as_bytes()));
            texts.sort();
            let ends = (texts[0].as_bytes().to_vec(), texts[texts.len() - 1].as_bytes().to_vec());
            prop_assert_eq!(bounds.into_ends(), Some(ends));
        }

        #[test]
        fn cut_bounds_stay_bounds(text in ".{0,12}", most in 1usize..20) {
            let (least, greatest) = (shorter_least(text.as_bytes(), Some(most), Cut::Text).0, shorter_greatest(text.as_bytes(), Some(most), Cut::Text).0);
            prop_assert!(least.as_slice() <= text.as_bytes() && text.as_bytes() <= greatest.as_slice());
            prop_assert!(std::str::from_utf8(&least).is_ok() && std::str::from_utf8(&greatest).is_ok());
        }
    }
}
