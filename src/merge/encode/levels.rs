//! Definition and repetition levels of one leaf of a column: which of its slots hold a value, and where lists go on.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};

/// The slot holds something; what that is, is said further down. No column that is encoded here has as many levels.
const PRESENT: u8 = u8::MAX;

/// The slots of a leaf: one for each value, and one for each null or empty place above or in its stead.
pub struct Levels {
    slots: usize,
    /// Definition levels; empty if every slot has a value.
    definition: Vec<u8>,
    /// Repetition levels: 0 begins a row. Empty if nothing repeats, as each slot is a row then.
    repetition: Vec<u8>,
    /// Where in the leaf's array the value of a slot is; empty if nothing repeats, as it is where the slot is then.
    places: Vec<u32>,
    /// The definition level of a value, and how many lists there are above it.
    deepest: u8,
    repeats: u8,
}

impl Levels {
    /// Those of the leaf of `column` that `path` leads to, by the numbers of structs' fields, and the leaf's array.
    pub fn of(field: &Field, column: &ArrayRef, path: &[usize]) -> (Self, ArrayRef) {
        let (definition, repetition, places) = (Vec::new(), Vec::new(), Vec::new());
        let mut levels = Self { slots: column.len(), definition, repetition, places, deepest: 0, repeats: 0 };
        let (mut field, mut array, mut path) = (field, Arc::clone(column), path.iter());
        loop {
            if field.is_nullable() {
                levels.mark(array.nulls());
            }
            (field, array) = match field.data_type() {
                DataType::Struct(fields) => {
                    let Some(&child) = path.next() else { break };
                    (&fields[child], Arc::clone(array.as_struct().column(child)))
                }
                DataType::List(item) => {
                    levels.repeat(array.as_list::<i32>().value_offsets());
                    (item, Arc::clone(array.as_list::<i32>().values()))
                }
                DataType::Map(entries, _) => {
                    levels.repeat(array.as_map().value_offsets());
                    (entries, Arc::new(array.as_map().entries().clone()) as ArrayRef)
                }
                _ => break,
            };
        }
        let deepest = levels.deepest;
        levels.definition.iter_mut().for_each(|level| *level = (*level).min(deepest));
        (levels, array)
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots
    }

    /// True if a row begins with the slot.
    #[inline]
    pub fn begins_row(&self, slot: usize) -> bool {
        self.repetition.get(slot).is_none_or(|level| *level == 0)
    }

    /// How many rows begin with some slots.
    #[inline]
    pub fn rows(&self, slots: Range<usize>) -> usize {
        match self.repetition.get(slots.clone()) {
            Some(levels) => levels.iter().filter(|level| **level == 0).count(),
            None => slots.len(),
        }
    }

    /// Puts into `places` where in the leaf's array the values of some slots are, and says how many of them have one.
    #[inline]
    pub fn places(&self, slots: Range<usize>, places: &mut [u32]) -> usize {
        let mut count = 0;
        for slot in slots {
            places[count] = self.places.get(slot).map_or(slot as u32, |place| *place);
            count += usize::from(self.definition.get(slot).is_none_or(|level| *level == self.deepest));
        }
        count
    }

    /// Appends the definition and the repetition levels of some slots.
    pub fn append_to(&self, slots: Range<usize>, definition: &mut Vec<u8>, repetition: &mut Vec<u8>) {
        let append = |levels: &[u8], level: u8, all: &mut Vec<u8>| match levels.get(slots.clone()) {
            Some(some) => all.extend_from_slice(some),
            None => all.resize(all.len() + slots.len(), level),
        };
        append(&self.definition, self.deepest, definition);
        append(&self.repetition, 0, repetition);
    }

    /// Goes down to what may be null.
    fn mark(&mut self, nulls: Option<&NullBuffer>) {
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            self.definition.resize(self.slots, PRESENT);
            // What is nothing already has a lower level, and keeps it.
            if self.places.is_empty() {
                (!nulls.inner()).set_indices().for_each(|slot| self.definition[slot] = self.definition[slot].min(self.deepest));
            } else {
                let slots = self.definition.iter_mut().zip(&self.places);
                // The place of what is nothing is another's, which is none of its own nulls.
                let nothing = slots.filter(|(slot, place)| **slot == PRESENT && nulls.is_null(**place as usize));
                nothing.for_each(|(slot, _)| *slot = self.deepest);
            }
        }
        self.deepest += 1;
    }

    /// Goes down to the items of lists.
    fn repeat(&mut self, offsets: &[i32]) {
        let (above, begins) = (std::mem::take(&mut self.definition), std::mem::take(&mut self.repetition));
        let places = std::mem::take(&mut self.places);
        self.repeats += 1;
        let most = self.slots + offsets.last().zip(offsets.first()).map_or(0, |(end, start)| (end - start) as usize);
        self.definition.reserve(most);
        self.repetition.reserve(most);
        self.places.reserve(most);
        for slot in 0..self.slots {
            let level = above.get(slot).copied().unwrap_or(PRESENT);
            let begin = begins.get(slot).copied().unwrap_or(0);
            let place = places.get(slot).map_or(slot, |place| *place as usize);
            let items = if level == PRESENT { offsets[place] as u32..offsets[place + 1] as u32 } else { 0..0 };
            // A place without items is a slot too.
            let (level, place) = if items.is_empty() { (level.min(self.deepest), 0) } else { (PRESENT, items.start) };
            self.definition.push(level);
            self.repetition.push(begin);
            self.places.push(place);
            for place in items.skip(1) {
                self.definition.push(PRESENT);
                self.repetition.push(self.repeats);
                self.places.push(place);
            }
        }
        self.slots = self.definition.len();
        self.deepest += 1;
    }
}
