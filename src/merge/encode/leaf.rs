//! Encodes one leaf: with a dictionary as long as that is small, plainly from then on.

mod arrays;
mod woven;

use parquet::basic::{Encoding, Type};
use parquet::errors::Result;
use parquet::file::metadata::LevelHistogram;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::bounds::Bounds;
use super::chunk::{About, Chunk, Closed};
use super::dictionary::{BLOCK, Dictionary};
use super::hybrid;
use super::levels::Levels;
use super::span::Span;

/// A page takes no further row once it has as many slots: what is held for a slot does not depend on what is in it.
const MOST_SLOTS: usize = 1 << 20;

/// The writer of one leaf in one row group.
pub struct LeafWriter {
    column: ColumnDescPtr,
    /// The physical type of the column.
    values: Type,
    chunk: Chunk,
    dictionary: Dictionary,
    /// The dictionary is still in use.
    looks_up: bool,
    /// It is used only if it makes the first page a good deal smaller.
    must_save: bool,
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
    /// Its rows, and its slots, be their levels appended or not yet.
    rows: usize,
    slots: usize,
    /// Values: their numbers in the dictionary, or themselves: texts behind their lengths, and a byte for each boolean.
    numbers: Vec<u32>,
    plain: Vec<u8>,
    values: usize,
    text_bytes: usize,
    /// Of texts.
    bounds: Bounds,
    /// Of all others.
    span: Span,
}

impl LeafWriter {
    /// A writer without rows. If `properties` want no dictionary for the column, texts have one only where that makes them a good deal smaller,
    /// and others have none.
    pub fn new(column: ColumnDescPtr, properties: WriterPropertiesPtr) -> Self {
        let limits = Limits {
            rows: properties.data_page_row_count_limit(),
            page: properties.column_data_page_size_limit(column.path()),
            dictionary: properties.column_dictionary_page_size_limit(column.path()),
        };
        let must_save = !properties.dictionary_enabled(column.path());
        let values = column.physical_type();
        let looks_up = match values {
            Type::BYTE_ARRAY => true,
            // Where known writers have none either.
            Type::BOOLEAN | Type::FIXED_LEN_BYTE_ARRAY => false,
            _ => !must_save,
        };
        let chunk = Chunk::new(column.clone(), properties);
        Self { column, values, chunk, dictionary: Dictionary::new(), looks_up, must_save, page: PageOf::default(), limits }
    }

    /// Bytes so far, about.
    pub fn size(&self) -> usize {
        let width = |most: i16| usize::try_from(most).map_or(0, hybrid::width) as usize;
        let definition = self.page.definition.len() * width(self.column.max_def_level());
        let repetition = self.page.repetition.len() * width(self.column.max_rep_level());
        self.chunk.size() + self.dictionary.bytes().len() + self.page.plain.len() + self.numbers() + (definition + repetition) / 8
    }

    /// Bytes of the page's numbers, as they are stored.
    #[inline]
    fn numbers(&self) -> usize {
        self.page.numbers.len() * hybrid::width(self.dictionary.len()) as usize / 8
    }

    /// Appends rows; `append` appends the values at some places of the leaf's array, at most as many as a [`BLOCK`] has. All of them take at most
    /// as many bytes as `size` says.
    fn write_by(&mut self, levels: &Levels, size: impl Fn(&[u32]) -> usize, mut append: impl FnMut(&mut Self, &[u32])) -> Result<()> {
        let (mut slot, mut begun, mut places) = (0, 0, [0; BLOCK]);
        while slot < levels.len() {
            let mut slots = slot..levels.len().min(slot + BLOCK);
            let mut count = levels.places(slots.clone(), &mut places);
            if !self.has_room(slots.len(), size(&places[..count])) {
                if levels.begins_row(slot) && self.is_full() {
                    levels.append_to(begun..slot, &mut self.page.definition, &mut self.page.repetition);
                    begun = slot;
                    self.close_page()?;
                }
                slots.end = slot + 1;
                count = levels.places(slots.clone(), &mut places);
            }
            append(self, &places[..count]);
            self.page.rows += levels.rows(slots.clone());
            self.page.slots += slots.len();
            self.page.values += count;
            slot = slots.end;
        }
        levels.append_to(begun..slot, &mut self.page.definition, &mut self.page.repetition);
        Ok(())
    }

    /// True if the page surely is not full before the last of so many more slots, whose values take at most so many bytes.
    #[inline]
    fn has_room(&self, slots: usize, bytes: usize) -> bool {
        let page = &self.page;
        let values = if self.looks_up {
            (page.numbers.len() + slots) * hybrid::width(self.dictionary.len() + slots) as usize / 8
        } else {
            page.plain.len() + bytes
        };
        let is_small = !self.looks_up || self.dictionary.bytes().len() + bytes < self.limits.dictionary;
        is_small && values < self.limits.page && page.rows + slots <= self.limits.rows && page.slots + slots <= MOST_SLOTS
    }

    /// Appends numbers as they are stored. `key` is what one is ordered by, if it has a place in the order.
    #[inline]
    fn put_numbers<const WIDTH: usize>(
        &mut self,
        places: &[u32],
        stored: impl Fn(usize) -> [u8; WIDTH],
        key: impl Fn(usize) -> Option<i128>,
    ) {
        let page = &mut self.page;
        if !self.looks_up {
            for place in places {
                page.plain.extend_from_slice(&stored(*place as usize));
                page.span.note(key(*place as usize));
            }
            return;
        }
        let mut values = [[0; WIDTH]; BLOCK];
        values.iter_mut().zip(places).for_each(|(value, place)| *value = stored(*place as usize));
        self.dictionary.look_up_numbers(&values[..places.len()], |at, number, is_first| {
            page.numbers.push(number);
            if is_first {
                page.span.note(key(places[at] as usize));
            }
        });
    }

    /// Appends texts.
    #[inline]
    fn put_texts(&mut self, texts: &[&[u8]]) {
        match texts {
            // It may be longer than what there is room for.
            [text] => self.put(text),
            _ if self.looks_up => {
                let page = &mut self.page;
                page.text_bytes += texts.iter().map(|text| text.len()).sum::<usize>();
                self.dictionary.look_up_texts(texts, |text, number, is_first| {
                    page.numbers.push(number);
                    if is_first {
                        page.bounds.note(text);
                    }
                });
            }
            _ => texts.iter().for_each(|text| self.put(text)),
        }
    }

    /// Appends a text.
    #[inline]
    fn put(&mut self, text: &[u8]) {
        // One text that fills a dictionary is not to be held there as well.
        if text.len() >= self.limits.dictionary && self.looks_up && self.chunk.is_empty() {
            self.do_without();
        }
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
        let values = if self.looks_up { self.numbers() } else { self.page.plain.len() };
        let is_full = self.page.rows >= self.limits.rows || self.page.slots >= MOST_SLOTS || values >= self.limits.page;
        is_full || self.looks_up && self.is_too_large()
    }

    #[inline]
    fn is_too_large(&self) -> bool {
        self.dictionary.bytes().len() >= self.limits.dictionary
    }

    fn close_page(&mut self) -> Result<()> {
        if self.looks_up && self.must_save && self.chunk.is_empty() && !self.saves() {
            self.do_without();
        }
        let page = &mut self.page;
        let slots = page.slots;
        let mut body = Vec::with_capacity(slots / 4 + page.plain.len().min(2 * self.limits.page) + 2 * page.numbers.len());
        let repetition = append_levels(&page.repetition, self.column.max_rep_level(), &mut body);
        let definition = append_levels(&page.definition, self.column.max_def_level(), &mut body);
        let encoding = if self.looks_up {
            let width = hybrid::width(self.dictionary.len().saturating_sub(1));
            body.push(width as u8);
            hybrid::append(&page.numbers, width, &mut body);
            Encoding::RLE_DICTIONARY
        } else if self.values == Type::BOOLEAN {
            hybrid::append_bits(&page.plain, &mut body);
            Encoding::PLAIN
        } else {
            if page.plain.len() > 2 * self.limits.page {
                // Long values are not to be in memory twice.
                page.plain.splice(0..0, body.drain(..));
                body = std::mem::take(&mut page.plain);
            } else {
                body.extend_from_slice(&page.plain);
            }
            Encoding::PLAIN
        };
        let (rows, nulls) = (page.rows, Some(slots - page.values));
        let text_bytes = (self.values == Type::BYTE_ARRAY).then_some(page.text_bytes);
        let (bounds, span) = (std::mem::take(&mut page.bounds), std::mem::take(&mut page.span));
        let ends = bounds.into_ends().or_else(|| span.into_ends(&self.column));
        page.clear(self.limits.page);
        self.chunk.push(&body, &About { encoding, slots, nulls, rows, text_bytes, ends, repetition, definition })?;
        self.dictionary.next_page();
        if self.looks_up && self.is_too_large() {
            self.looks_up = false;
            self.dictionary.end();
        }
        Ok(())
    }

    /// True if the page and the dictionary together take at most two thirds of what the page would take without one.
    fn saves(&self) -> bool {
        let without = self.page.text_bytes + 4 * self.page.values;
        3 * (self.dictionary.bytes().len() + self.numbers()) < 2 * without
    }

    /// Gives the dictionary up, and has the values themselves in the page.
    #[inline(never)]
    fn do_without(&mut self) {
        let page = &mut self.page;
        page.plain.reserve(page.text_bytes + 4 * page.values);
        for number in page.numbers.drain(..) {
            page.plain.extend_from_slice(self.dictionary.stored(number));
        }
        self.looks_up = false;
        self.dictionary = Dictionary::new();
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
        for levels in [&mut self.definition, &mut self.repetition] {
            levels.clear();
            levels.shrink_to(MOST_SLOTS);
        }
        self.numbers.clear();
        self.numbers.shrink_to(MOST_SLOTS);
        self.plain.clear();
        self.plain.shrink_to(size.saturating_mul(2));
        (self.rows, self.slots, self.values, self.text_bytes) = (0, 0, 0, 0);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, ListArray, StringArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::ArrowSchemaConverter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// The writer of a column of lists after many batches of some rows that have as many of these texts each, and the most that it held.
    fn after(texts: &[Option<&str>], rows: usize, batches: usize) -> (LeafWriter, usize) {
        let item = Arc::new(Field::new("element", DataType::Utf8, true));
        let field = Field::new("tags", DataType::List(Arc::clone(&item)), true);
        let schema = ArrowSchemaConverter::new().convert(&Schema::new(vec![field.clone()])).unwrap();
        let values = StringArray::from_iter((0..rows).flat_map(|_| texts.iter().copied()));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(texts.len(), rows));
        let column: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(values), None));
        let (levels, array) = Levels::of(&field, &column, &[]);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = LeafWriter::new(schema.column(0), Arc::new(properties));
        let mut held = 0;
        for _ in 0..batches {
            writer.write(&levels, &array).unwrap();
            let page = &writer.page;
            held = held.max(page.definition.capacity() + page.repetition.capacity() + 4 * page.numbers.capacity() + page.plain.capacity());
        }
        (writer, held)
    }

    #[test]
    fn long_lists_make_pages_of_bounded_size() {
        let names: Vec<String> = (0..1000).map(|i| format!("tag {i}")).collect();
        let names: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
        // A page is full by the bytes of its numbers, which have ten bits here, or by its slots.
        let by_bytes = (1 << 20) * 8 / 10;
        let by_slots = MOST_SLOTS;
        for (what, texts, full) in
            [("names", names, by_bytes), ("nothing", vec![Some(""); 1000], by_slots), ("nulls", vec![None; 1000], by_slots)]
        {
            let (writer, held) = after(&texts, 500, 8);
            let row = 1000;
            // A vector grows to twice its size, and a page may have one row more than would be full.
            let most = 2 * (full + row) * (1 + 1 + 4);
            assert!(held <= most, "{what}: {held} of {most} bytes");
            let size = writer.size();
            assert!(size >= (writer.page.slots * (2 + 1)) / 8, "{what}: levels are counted, {size}");
            let closed = writer.close().unwrap();
            let pages = closed.result.offset_index.unwrap().page_locations().len();
            assert_eq!(pages, (500 * 8usize).div_ceil(full.div_ceil(row)), "{what}");
            assert_eq!(closed.result.metadata.num_values(), 500 * 8 * 1000, "{what}");
        }
    }

    #[test]
    fn long_texts_make_pages_of_bounded_size_wherever_they_begin() {
        let long = "x".repeat(300 << 10);
        for nulls in [0, 3] {
            let texts: Vec<Option<&str>> = std::iter::repeat_n(None, nulls).chain(std::iter::repeat_n(Some(long.as_str()), 40)).collect();
            let field = Field::new("text", DataType::Utf8, true);
            let schema = ArrowSchemaConverter::new().convert(&Schema::new(vec![field.clone()])).unwrap();
            let column: ArrayRef = Arc::new(StringArray::from(texts));
            let (levels, array) = Levels::of(&field, &column, &[]);
            let properties =
                WriterProperties::builder().set_compression(Compression::SNAPPY).set_dictionary_page_size_limit(256 << 10).build();
            let mut writer = LeafWriter::new(schema.column(0), Arc::new(properties));
            writer.write(&levels, &array).unwrap();
            // A page is full once it has a mebibyte, which four of them have.
            assert_eq!(writer.close().unwrap().result.offset_index.unwrap().page_locations().len(), 10, "{nulls} nulls first");
        }
    }

    #[test]
    fn memory_of_one_long_row_is_not_kept() {
        let texts = vec![Some("a"); 3 * MOST_SLOTS];
        let (mut writer, _) = after(&texts, 1, 2);
        writer.close_page().unwrap();
        let page = &writer.page;
        let kept = [page.definition.capacity(), page.repetition.capacity(), page.numbers.capacity()];
        assert!(kept.iter().all(|slots| *slots <= MOST_SLOTS), "{kept:?}");
        assert_eq!(writer.close().unwrap().result.offset_index.unwrap().page_locations().len(), 2);
    }
}
