//! The different values of a column, each with its number.

mod numbers;

use std::hash::{BuildHasher, Hasher, RandomState};

use numbers::Numbers;

/// A value of the dictionary.
struct Entry {
    /// See [`ends`]. They tell texts of at most 16 bytes apart without a look at `bytes`.
    ends: (u64, u64),
    start: u32,
    length: u32,
    /// The page that it was seen in last.
    page: u32,
}

impl Entry {
    /// True if it is of this text, whose ends these are; `bytes` are those of the dictionary.
    #[inline]
    fn is(&self, bytes: &[u8], text: &[u8], ends: (u64, u64)) -> bool {
        let (start, length) = (self.start as usize, self.length as usize);
        self.ends == ends && length == text.len() && (length <= 16 || bytes[start..start + length] == *text)
    }
}

/// Values by number, in the order in which they came.
pub struct Dictionary {
    /// The values as the dictionary's page has them: texts each behind its length, and numbers, which all take as many bytes, without one.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Where numbers are looked up, which have no entries.
    numbers: Numbers,
    /// How many values it had at its end.
    count: usize,
    /// Open addressing: the number of an entry and one more in the low half, the upper half of its hash in the high half; 0 is free.
    /// A power of two of them, at most half of which are taken.
    slots: Vec<u64>,
    /// Nobody can land texts that all have the same hash.
    seed: u64,
    /// The number of the present page.
    page: u32,
}

/// Most values that are looked up at once: memory is asked for what all of them need before the first one is waited for.
pub const BLOCK: usize = 32;

/// Slots of an empty dictionary.
const SLOTS: usize = 256;

/// A number without a pattern in its bits: the digits of the golden ratio.
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Dictionary {
    /// Without values.
    pub fn new() -> Self {
        let seed = RandomState::new().build_hasher().finish();
        Self { bytes: Vec::new(), entries: Vec::new(), numbers: Numbers::new(seed), count: 0, slots: vec![0; SLOTS], seed, page: 0 }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.count.max(self.entries.len()).max(self.numbers.len())
    }

    /// The dictionary's page.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A value as the dictionary's page has it.
    pub fn stored(&self, number: u32) -> &[u8] {
        let entry = &self.entries[number as usize];
        &self.bytes[entry.start as usize - size_of::<u32>()..(entry.start + entry.length) as usize]
    }

    /// True if it is the first time that the present page has the text of that number.
    pub fn is_first(&mut self, number: u32) -> bool {
        let entry = &mut self.entries[number as usize];
        std::mem::replace(&mut entry.page, self.page) != self.page
    }

    /// Texts that come from now on are of another page.
    pub fn next_page(&mut self) {
        self.page += 1;
    }

    /// Nothing is looked up any more: only the page is kept.
    pub fn end(&mut self) {
        (self.count, self.entries, self.slots) = (self.len(), Vec::new(), Vec::new());
        self.numbers = Numbers::new(self.seed);
    }

    /// Says of some numbers of `WIDTH` bytes, at most as many as a [`BLOCK`] has, the number of each, and whether it is the first time that the present page has it.
    #[inline]
    pub fn look_up_numbers<const WIDTH: usize>(&mut self, values: &[[u8; WIDTH]], mut each: impl FnMut(usize, u32, bool)) {
        let (mut words, mut known) = ([0; BLOCK], self.numbers.len());
        for (word, value) in words.iter_mut().zip(values) {
            let mut bytes = [0; size_of::<u64>()];
            bytes[..WIDTH].copy_from_slice(value);
            *word = u64::from_le_bytes(bytes);
        }
        self.numbers.look_up(&words[..values.len()], self.page, |at, number, is_first| {
            if number as usize == known {
                known += 1;
                self.bytes.extend_from_slice(&values[at]);
            }
            each(at, number, is_first);
        });
    }

    /// As [`Self::number`], of some texts, at most as many as a [`BLOCK`] has.
    #[inline]
    pub fn look_up_texts<'t>(&mut self, texts: &[&'t [u8]], mut each: impl FnMut(&'t [u8], u32, bool)) {
        let mask = self.slots.len() - 1;
        let mut seen = [((0, 0), 0, 0); BLOCK];
        for (seen, text) in seen.iter_mut().zip(texts) {
            let ends = ends(text);
            let hash = hash(text, ends, self.seed);
            *seen = (ends, hash, self.slots[place(hash, mask)]);
        }
        let mut known = [None; BLOCK];
        for (known, ((ends, hash, slot), text)) in known.iter_mut().zip(seen.iter().zip(texts)) {
            // A slot that is taken stays what it is, wherever it goes.
            if *slot != 0 && (slot ^ hash) >> 32 == 0 {
                let entry = &self.entries[*slot as u32 as usize - 1];
                *known = (entry.page == self.page && entry.is(&self.bytes, text, *ends)).then_some(*slot as u32 - 1);
            }
        }
        for ((known, (ends, hash, _)), text) in known.iter().zip(&seen).zip(texts) {
            let (number, is_first) = known.map_or_else(|| self.number_hashed(text, *ends, *hash), |number| (number, false));
            each(text, number, is_first);
        }
    }

    /// The number of a text, and whether it is the first time that the present page has it.
    #[inline]
    pub fn number(&mut self, text: &[u8]) -> (u32, bool) {
        let ends = ends(text);
        self.number_hashed(text, ends, hash(text, ends, self.seed))
    }

    /// As [`Self::number`], of a text with this hash, which other texts may have too.
    #[inline(never)]
    fn number_hashed(&mut self, text: &[u8], ends: (u64, u64), hash: u64) -> (u32, bool) {
        let mask = self.slots.len() - 1;
        let mut at = place(hash, mask);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return (self.insert(text, ends, hash, at), true);
            }
            if (slot ^ hash) >> 32 == 0 {
                let number = slot as u32 - 1;
                let entry = &mut self.entries[number as usize];
                if entry.is(&self.bytes, text, ends) {
                    let is_first = entry.page != self.page;
                    entry.page = self.page;
                    return (number, is_first);
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(never)]
    fn insert(&mut self, text: &[u8], ends: (u64, u64), hash: u64, at: usize) -> u32 {
        let number = self.entries.len() as u32;
        let length = text.len() as u32;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.entries.push(Entry { ends, start: self.bytes.len() as u32, length, page: self.page });
        self.bytes.extend_from_slice(text);
        self.slots[at] = slot(hash, number);
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 4 - 1;
        let slots = std::mem::replace(&mut self.slots, vec![0; mask + 1]);
        for slot in slots.into_iter().filter(|slot| *slot != 0) {
            let mut at = place(slot, mask);
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }
}

/// Where a text with this hash is, or the first place behind that is free. It is the upper half of the hash, which its slot has too.
#[inline]
fn place(hash: u64, mask: usize) -> usize {
    (hash >> 32) as usize & mask
}

fn slot(hash: u64, number: u32) -> u64 {
    (hash & !u64::from(u32::MAX)) | u64::from(number + 1)
}

/// The first and the last eight bytes of a text, or all of a shorter one: two texts of the same length up to 16 that have the same ends
/// are the same.
#[inline]
fn ends(text: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
    } else if let (Some(first), Some(last)) = (text.first(), text.last()) {
        (u64::from(*first), u64::from(*last) << 8 | u64::from(text[text.len() / 2]))
    } else {
        (0, 0)
    }
}

/// All bytes of a text, mixed.
#[inline]
fn hash(text: &[u8], (first, last): (u64, u64), seed: u64) -> u64 {
    let mut state = seed ^ text.len() as u64;
    if text.len() > 16 {
        for chunk in text[8..text.len() - 8].chunks(8) {
            let word = chunk.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
            // The last words of the text overlap: what is left of the middle is within its last 16 bytes.
            state = mix(state ^ word, ODD);
        }
        let before_last = text[text.len() - 16..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        state = mix(state ^ before_last, ODD);
    }
    mix(mix(state ^ first, ODD) ^ last, seed | 1)
}

/// The two halves of a product, one upon the other.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use proptest::prelude::*;

    /// Gives texts numbers, by their own hashes or as if all of them had the same one.
    type Number = fn(&mut Dictionary, &[u8]) -> (u32, bool);

    const OWN: Number = Dictionary::number;
    const SAME: Number = |dictionary, text| dictionary.number_hashed(text, ends(text), u64::MAX);

    #[test]
    fn a_text_is_new_to_a_page_once() {
        for number in [OWN, SAME] {
            let mut dictionary = Dictionary::new();
            for (text, expected) in [("a", (0, true)), ("", (1, true)), ("a", (0, false))] {
                assert_eq!(number(&mut dictionary, text.as_bytes()), expected, "{text:?}");
            }
            dictionary.next_page();
            assert_eq!((number(&mut dictionary, b"a"), number(&mut dictionary, b"a")), ((0, true), (0, false)));
            assert_eq!(dictionary.bytes(), b"\x01\0\0\0a\0\0\0\0");
        }
    }

    #[test]
    fn texts_that_differ_in_one_byte_have_their_own_numbers() {
        let mut texts = vec![String::new()];
        for length in 1..80 {
            for at in 0..length {
                texts.push((0..length).map(|i| if i == at { 'b' } else { 'a' }).collect());
            }
        }
        for (name, number) in [("own", OWN), ("same", SAME)] {
            let mut dictionary = Dictionary::new();
            for round in 0..2 {
                for (place, text) in texts.iter().enumerate() {
                    assert_eq!(number(&mut dictionary, text.as_bytes()), (place as u32, round == 0), "{text}, {name} hash");
                }
            }
            assert_eq!(dictionary.len(), texts.len());
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_a_map(texts in proptest::collection::vec("[ab]{0,20}|[a-c]{0,3}|.{0,40}", 0..2000)) {
            // With one hash for all, each text is compared with all before it: fewer are enough, if the slots grow.
            for (number, most) in [(OWN, texts.len()), (SAME, texts.len().min(SLOTS * 2))] {
                let (mut dictionary, mut numbers) = (Dictionary::new(), HashMap::new());
                for text in &texts[..most] {
                    let next = numbers.len() as u32;
                    let expected = *numbers.entry(text.clone()).or_insert(next);
                    let is_first = expected == next && numbers.len() as u32 > next;
                    prop_assert_eq!(number(&mut dictionary, text.as_bytes()), (expected, is_first));
                }
                prop_assert_eq!(dictionary.len(), numbers.len());
            }
        }
    }
}
