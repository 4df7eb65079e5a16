//! Takes over a leaf of texts from another file: its pages as they are stored, or their numbers with this file's dictionary.

use parquet::basic::Encoding;
use parquet::errors::Result;

use super::{LeafWriter, hybrid};
use crate::merge::encode::chunk::About;
use crate::merge::encode::stored::{StoredChunk, StoredPage, broken};

/// The texts of a stored dictionary.
struct Texts {
    /// Each behind its length.
    bytes: Vec<u8>,
    /// Where each begins, with its length, and where the last one ends.
    starts: Vec<usize>,
    /// The numbers that they have in this file, while it looks texts up.
    numbers: Vec<u32>,
}

impl Texts {
    /// Those of a page of `count` texts.
    fn of(bytes: Vec<u8>, count: usize) -> Option<Self> {
        let (mut starts, mut at) = (Vec::with_capacity(count + 1), 0);
        for _ in 0..count {
            starts.push(at);
            let length = bytes.get(at..)?.first_chunk().map(|length| u32::from_le_bytes(*length))?;
            at = at.checked_add(4)?.checked_add(length as usize).filter(|end| *end <= bytes.len())?;
        }
        starts.push(at);
        Some(Self { bytes, starts, numbers: Vec::new() })
    }

    /// None at all.
    fn none() -> Self {
        Self { bytes: Vec::new(), starts: vec![0], numbers: Vec::new() }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn get(&self, number: usize) -> &[u8] {
        &self.bytes[self.starts[number] + 4..self.starts[number + 1]]
    }
}

/// What a page says of its slots.
struct Slots {
    repetition: Vec<u8>,
    definition: Vec<u8>,
    /// The text of each slot that has one.
    numbers: Vec<u32>,
}

impl LeafWriter {
    /// Appends the rows of a stored chunk.
    ///
    /// # Errors
    /// It is not what it says, or as [`super::Chunk::push`].
    pub fn take_over(&mut self, stored: &StoredChunk<'_>) -> Result<()> {
        let (dictionary, pages) = stored.pages()?;
        let mut texts = match &dictionary {
            Some(page) => Some(
                Texts::of(page.unpacked(self.chunk.codec())?, page.about.slots)
                    .ok_or_else(|| broken(stored.column(), "has a broken dictionary"))?,
            ),
            None => None,
        };
        let mut spliced = false;
        for page in &pages {
            match (&mut texts, page.about.encoding) {
                (Some(texts), Encoding::RLE_DICTIONARY) => {
                    let slots = self.slots(page, texts.len())?.ok_or_else(|| broken(stored.column(), "has a broken page"))?;
                    self.translate(&slots, texts, &page.about)?;
                }
                // A page without a text takes no dictionary away.
                (_, Encoding::PLAIN) if self.looks_up && page.about.nulls == Some(page.about.slots) => {
                    let slots = self.empty_slots(page)?.ok_or_else(|| broken(stored.column(), "has a broken page"))?;
                    self.translate(&slots, &mut Texts::none(), &page.about)?;
                }
                (_, Encoding::PLAIN) => {
                    if self.page.rows > 0 {
                        self.close_page()?;
                    }
                    self.chunk.splice(page);
                    spliced = true;
                    // No page with a dictionary follows one without: the format allows it, but next to no writer does it, so readers that were
                    // never tried with it are to be expected.
                    if self.looks_up {
                        self.looks_up = false;
                        self.dictionary.end();
                    }
                }
                _ => return Err(broken(stored.column(), "has no dictionary for a page")),
            }
        }
        if spliced {
            self.chunk.include(stored);
        }
        Ok(())
    }

    /// Unpacks a page whose texts are in a dictionary of `count` texts; `None` if it is not what its header says.
    fn slots(&self, page: &StoredPage, count: usize) -> Result<Option<Slots>> {
        let body = page.unpacked(self.chunk.codec())?;
        let (column, slots) = (&self.column, page.about.slots);
        let read = || {
            let mut rest = body.as_slice();
            let repetition = levels(&mut rest, column.max_rep_level(), slots)?;
            let definition = levels(&mut rest, column.max_def_level(), slots)?;
            let deepest = column.max_def_level() as u8;
            let values = if deepest == 0 { slots } else { definition.iter().filter(|level| **level == deepest).count() };
            let width = u32::from(*rest.split_off_first()?);
            let mut numbers = Vec::with_capacity(values);
            (width <= 32).then(|| hybrid::read(rest, values, width, |number| number, &mut numbers))??;
            numbers.iter().all(|number| (*number as usize) < count).then_some(Slots { repetition, definition, numbers })
        };
        Ok(read())
    }

    /// Unpacks a page without a text; `None` if it is not what its header says.
    fn empty_slots(&self, page: &StoredPage) -> Result<Option<Slots>> {
        let body = page.unpacked(self.chunk.codec())?;
        let mut rest = body.as_slice();
        let repetition = levels(&mut rest, self.column.max_rep_level(), page.about.slots);
        let definition = levels(&mut rest, self.column.max_def_level(), page.about.slots);
        Ok(repetition.zip(definition).map(|(repetition, definition)| Slots { repetition, definition, numbers: Vec::new() }))
    }

    /// Appends the rows of a page.
    fn translate(&mut self, slots: &Slots, texts: &mut Texts, about: &About) -> Result<()> {
        if self.page.rows > 0 && self.is_full() {
            self.close_page()?;
        }
        if !self.looks_up {
            return self.spell_out(slots, texts, about.slots);
        }
        if texts.numbers.is_empty() {
            for text in 0..texts.len() {
                let (number, is_first) = self.dictionary.number(texts.get(text));
                texts.numbers.push(number);
                if is_first {
                    self.page.bounds.note(texts.get(text));
                }
            }
        } else {
            // Which of them this page has is not looked for: its bounds may be those of more texts of the chunk.
            for text in 0..texts.len() {
                if self.dictionary.is_first(texts.numbers[text]) {
                    self.page.bounds.note(texts.get(text));
                }
            }
        }
        let page = &mut self.page;
        page.numbers.extend(slots.numbers.iter().map(|number| texts.numbers[*number as usize]));
        page.definition.extend_from_slice(&slots.definition);
        page.repetition.extend_from_slice(&slots.repetition);
        page.values += slots.numbers.len();
        page.text_bytes += about.text_bytes.unwrap_or_else(|| slots.numbers.iter().map(|number| texts.get(*number as usize).len()).sum());
        page.rows += about.rows;
        page.slots += about.slots;
        Ok(())
    }

    /// Appends rows with their texts themselves.
    fn spell_out(&mut self, slots: &Slots, texts: &Texts, count: usize) -> Result<()> {
        let deepest = self.column.max_def_level() as u8;
        let mut numbers = slots.numbers.iter();
        for slot in 0..count {
            if slots.repetition.get(slot).is_none_or(|level| *level == 0) {
                if self.is_full() {
                    self.close_page()?;
                }
                self.page.rows += 1;
            }
            let definition = slots.definition.get(slot);
            if definition.is_none_or(|level| *level == deepest)
                && let Some(number) = numbers.next()
            {
                self.put(texts.get(*number as usize));
                self.page.values += 1;
            }
            self.page.definition.extend(definition);
            self.page.repetition.extend(slots.repetition.get(slot));
            self.page.slots += 1;
        }
        Ok(())
    }
}

/// Takes the levels of a page from its front; none if there is only one. `None` if they are not what they should be.
fn levels(rest: &mut &[u8], most: i16, slots: usize) -> Option<Vec<u8>> {
    let most = usize::try_from(most).ok()?;
    let mut levels = Vec::new();
    if most > 0 {
        let length = rest.split_off(..4)?.first_chunk().map(|length| u32::from_le_bytes(*length))?;
        let packed = rest.split_off(..length as usize)?;
        levels.reserve(slots);
        hybrid::read(packed, slots, hybrid::width(most), |level| u8::try_from(level).unwrap_or(u8::MAX), &mut levels)?;
    }
    levels.iter().all(|level| usize::from(*level) <= most).then_some(levels)
}
