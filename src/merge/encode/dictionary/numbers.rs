//! Numbers that are looked up: each is in its slot itself, so that one look into memory finds it.

use super::{BLOCK, ODD, mix};

/// Where a number may be.
#[derive(Clone, Copy, Default)]
struct Slot {
    value: u64,
    /// Its place in the dictionary and one more; 0 is free.
    place: u32,
    /// The page that it was seen in last.
    page: u32,
}

/// Slots of an empty dictionary.
const SLOTS: usize = 256;

/// Open addressing, at most half of the slots taken.
pub(super) struct Numbers {
    slots: Vec<Slot>,
    taken: usize,
    /// Where a number is cannot be told from outside.
    seed: u64,
}

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), taken: 0, seed }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Says of some numbers, at most as many as a block has, where each is in the dictionary and whether it is new to the page, which may mean to the dictionary.
    #[inline]
    pub(super) fn look_up(&mut self, values: &[u64], page: u32, mut each: impl FnMut(usize, u32, bool)) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
        let mut seen = [Slot::default(); BLOCK];
        for (seen, value) in seen.iter_mut().zip(values) {
            *seen = self.slots[self.hash(*value)];
        }
        for (at, (seen, &value)) in seen.iter().zip(values).enumerate() {
            let is_known = seen.place > 0 && seen.value == value && seen.page == page;
            let (place, is_first) = if is_known { (seen.place - 1, false) } else { self.find(value, page) };
            each(at, place, is_first);
        }
    }

    #[inline(never)]
    fn find(&mut self, value: u64, page: u32) -> (u32, bool) {
        let mut at = self.hash(value);
        while self.slots[at].place > 0 {
            let slot = &mut self.slots[at];
            if slot.value == value {
                return (slot.place - 1, std::mem::replace(&mut slot.page, page) != page);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.taken += 1;
        self.slots[at] = Slot { value, place: self.taken as u32, page };
        if self.taken * 2 > self.slots.len() {
            self.grow();
        }
        (self.taken as u32 - 1, true)
    }

    fn grow(&mut self) {
        let more = vec![Slot::default(); self.slots.len() * 4];
        for slot in std::mem::replace(&mut self.slots, more).into_iter().filter(|slot| slot.place > 0) {
            let mut at = self.hash(slot.value);
            while self.slots[at].place > 0 {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = slot;
        }
    }

    /// The slot of a number, or the first one behind it that is free.
    #[inline]
    fn hash(&self, value: u64) -> usize {
        (mix(value ^ self.seed, ODD) >> 32) as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_of_a_map(
            pages in proptest::collection::vec(proptest::collection::vec(prop_oneof![0..40u64, any::<u64>()], 0..600), 1..4),
            block in 1..=BLOCK,
        ) {
            let (mut numbers, mut places) = (Numbers::new(7), HashMap::new());
            for (page, values) in pages.iter().enumerate() {
                let mut seen = HashSet::new();
                for values in values.chunks(block) {
                    let mut found = Vec::new();
                    numbers.look_up(values, page as u32, |at, place, is_first| found.push((at, place, is_first)));
                    let next = |(at, value): (usize, &u64)| {
                        let place = places.len() as u32;
                        (at, *places.entry(*value).or_insert(place), seen.insert(*value))
                    };
                    prop_assert_eq!(found, values.iter().enumerate().map(next).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(numbers.len(), places.len());
        }
    }
}
