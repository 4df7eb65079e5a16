//! Encodes one leaf of texts: with a dictionary as long as that is small, plainly from then on.

use arrow::array::StringArray;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::metadata::LevelHistogram;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::bounds::Bounds;
use super::chunk::{Chunk, Closed, Filled};
use super::dictionary::Dictionary;
use super::hybrid;
use super::levels::Levels;

/// The writer of one leaf in one row group.
pub struct TextWriter {
    column: ColumnDescPtr,
    chunk: Chunk,
    dictionary: Dictionary,
    /// The dictionary is still in use.
    looks_up: bool,
    page: PageOf,
    limits: Limits,
}

/// What closes a page, and the dictionary.
struct Limits {
    rows: usize,
    page: usize,
    dictionary: usize,
}

/// The page that is being filled.
#[derive(Default)]
struct PageOf {
    definition: Vec<u8>,
    repetition: Vec<u8>,
    rows: usize,
    /// Values: their numbers in the dictionary, or themselves, each behind its length.
    numbers: Vec<u32>,
    plain: Vec<u8>,
    values: usize,
    text_bytes: usize,
    bounds: Bounds,
}

impl TextWriter {
    /// A writer without rows.
    pub fn new(column: ColumnDescPtr, properties: WriterPropertiesPtr) -> Self {
        let limits = Limits {
            rows: properties.data_page_row_count_limit(),
            page: properties.column_data_page_size_limit(column.path()),
            dictionary: properties.column_dictionary_page_size_limit(column.path()),
        };
        let chunk = Chunk::new(column.clone(), properties);
        Self { column, chunk, dictionary: Dictionary::new(), looks_up: true, page: PageOf::default(), limits }
    }

    /// Bytes so far, about.
    pub fn size(&self) -> usize {
        let numbers = self.page.numbers.len() * hybrid::width(self.dictionary.len()) as usize / 8;
        self.chunk.size() + self.dictionary.bytes().len() + self.page.plain.len() + numbers
    }

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// As [`Chunk::push`].
    pub fn write(&mut self, levels: &Levels, texts: &StringArray) -> Result<()> {
        let mut slot = 0;
        while slot < levels.len() {
            if self.is_full() {
                self.close_page()?;
            }
            slot = self.fill(levels, texts, slot);
        }
        Ok(())
    }

    /// Fills the page from `slot` on, where a row begins, and says where it was full.
    fn fill(&mut self, levels: &Levels, texts: &StringArray, start: usize) -> usize {
        let (offsets, data) = (texts.value_offsets(), texts.value_data());
        let text = |place: usize| &data[offsets[place] as usize..offsets[place + 1] as usize];
        let mut slot = start;
        if levels.are_all_alike() {
            while slot < levels.len() && !self.is_full() {
                self.put(text(slot));
                self.page.rows += 1;
                slot += 1;
            }
        }
        while slot < levels.len() {
            if levels.begins_row(slot) {
                if self.is_full() {
                    break;
                }
                self.page.rows += 1;
            }
            if let Some(place) = levels.place(slot) {
                self.put(text(place));
            }
            slot += 1;
        }
        levels.append_to(start..slot, &mut self.page.definition, &mut self.page.repetition);
        slot
    }

    #[inline]
    fn put(&mut self, text: &[u8]) {
        self.page.values += 1;
        self.page.text_bytes += text.len();
        if self.looks_up {
            let (number, is_first) = self.dictionary.number(text);
            self.page.numbers.push(number);
            if is_first {
                self.page.bounds.note(text);
            }
        } else {
            self.page.plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
            self.page.plain.extend_from_slice(text);
            self.page.bounds.note(text);
        }
    }

    /// True if the page can take no further row.
    #[inline]
    fn is_full(&self) -> bool {
        self.page.rows >= self.limits.rows || self.page.plain.len() >= self.limits.page || self.looks_up && self.is_too_large()
    }

    #[inline]
    fn is_too_large(&self) -> bool {
        self.dictionary.bytes().len() >= self.limits.dictionary
    }

    fn close_page(&mut self) -> Result<()> {
        let page = &mut self.page;
        let slots = page.definition.len();
        let mut body = Vec::with_capacity(slots / 4 + page.plain.len() + 2 * page.numbers.len());
        let repetition = append_levels(&page.repetition, self.column.max_rep_level(), &mut body);
        let definition = append_levels(&page.definition, self.column.max_def_level(), &mut body);
        let encoding = if self.looks_up {
            let width = hybrid::width(self.dictionary.len().saturating_sub(1));
            body.push(width as u8);
            hybrid::append(&page.numbers, width, &mut body);
            Encoding::RLE_DICTIONARY
        } else {
            body.extend_from_slice(&page.plain);
            Encoding::PLAIN
        };
        let (rows, text_bytes, nulls) = (page.rows, page.text_bytes, slots - page.values);
        let bounds = std::mem::take(&mut page.bounds);
        page.clear(self.limits.page);
        self.chunk.push(Filled { body: &body, encoding, slots, nulls, rows, text_bytes, bounds, repetition, definition })?;
        self.dictionary.next_page();
        if self.looks_up && self.is_too_large() {
            self.looks_up = false;
            self.dictionary.end();
        }
        Ok(())
    }

    /// The finished column.
    ///
    /// # Errors
    /// As [`Chunk::push`].
    pub fn close(mut self) -> Result<Closed> {
        if self.page.rows > 0 {
            self.close_page()?;
        }
        self.chunk.close(self.dictionary.bytes(), self.dictionary.len())
    }
}

impl PageOf {
    /// Begins the next page, in the same memory if that is no more than usual for pages of `size` bytes.
    fn clear(&mut self, size: usize) {
        self.definition.clear();
        self.repetition.clear();
        self.numbers.clear();
        self.plain.clear();
        self.plain.shrink_to(size.saturating_mul(2));
        (self.rows, self.values, self.text_bytes) = (0, 0, 0);
    }
}

/// Appends levels of at most `most` as pages have them, and says how often each occurs.
fn append_levels(levels: &[u8], most: i16, body: &mut Vec<u8>) -> Option<LevelHistogram> {
    let most = usize::try_from(most).ok().filter(|most| *most > 0)?;
    let mut counts = vec![0; most + 1];
    let length = body.len();
    body.extend_from_slice(&[0; 4]);
    hybrid::append_levels(levels, hybrid::width(most), &mut counts, body);
    let count = (body.len() - length - 4) as u32;
    body[length..length + 4].copy_from_slice(&count.to_le_bytes());
    Some(LevelHistogram::from(counts))
}
