//! Writes the files of one generation: right-sized Parquet, each file checked by its footer before anybody relies on it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use object_store::buffered::BufWriter;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use tokio::io::AsyncWriteExt;

use super::append::{Carried, Tail};
use super::encode::Encoder;
use super::encode::stored::Stored;
use super::reader;
use crate::catalog::TableName;
use crate::config::Compression;
use crate::error::{Error, Result};
use crate::layout::{self, GenerationId};
use crate::ledger::{DataFile, Generation};
use crate::store::copies::Begun;
use crate::store::{Root, parse, refusal};

/// Level 1 reads as fast as higher ones and is written about twice as fast as 3 for a few percent more bytes.
const ZSTD_LEVEL: i32 = 1;

/// A column whose dictionary grows beyond this many bytes goes on without one: identifiers and times find no use for it, and looking
/// each up costs time. Parquet's own default is four times as much, and makes the file no smaller.
const DICTIONARY: usize = 256 << 10;

/// How the files of a generation are to be.
#[derive(Debug, Clone)]
pub struct Shape {
    /// A file is closed once it has about this many bytes.
    pub target_file_size: u64,
    /// A row group is closed once it has about this many bytes, encoded.
    pub row_group_size: u64,
    /// The codec of all columns.
    pub compression: Compression,
    /// Threads that encode, at least 1.
    pub threads: usize,
}

/// Where the bytes of a file go.
enum Object {
    New(BufWriter),
    /// It has the row groups of another one already.
    Begun(Begun),
}

/// A file that is being written.
struct OpenFile {
    encoder: Encoder,
    object: Object,
    name: String,
    rows: u64,
}

/// Writes batches into the files of one generation.
pub struct GenerationWriter {
    root: Root,
    id: GenerationId,
    folder: String,
    schema: SchemaRef,
    properties: WriterProperties,
    target: u64,
    threads: usize,
    /// A live file that the next rows are appended to.
    tail: Option<Tail>,
    open: Option<OpenFile>,
    files: Vec<DataFile>,
}

impl GenerationWriter {
    /// A writer of files below `folder` of `root`.
    pub fn new(root: &Root, table: &TableName, id: GenerationId, folder: String, schema: SchemaRef, shape: &Shape) -> Self {
        let properties = properties(table, &id, shape);
        let (target, threads) = (shape.target_file_size, shape.threads);
        Self { root: root.clone(), id, folder, schema, properties, target, threads, tail: None, open: None, files: Vec::new() }
    }

    /// Begins with the files of the generation before, before anything is written.
    ///
    /// # Errors
    /// `Unavailable` if they cannot be copied.
    pub async fn carry(&mut self, live: Carried) -> Result<()> {
        (self.files, self.tail) = live.copy(&self.folder).await?;
        Ok(())
    }

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.open.is_none() {
            self.open_file().await?;
        }
        let failed = write_failed(&self.root, &self.folder);
        let Some(file) = &mut self.open else { return Ok(()) };
        file.write(batch).await.map_err(failed)?;
        if file.encoder.size() >= self.target {
            self.close_file().await?;
        }
        Ok(())
    }

    /// Appends the rows of staged files as one row group, with their pages as they are.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written, or a file is not what it says.
    pub async fn weave(&mut self, files: Vec<Stored>) -> Result<()> {
        let rows: usize = files.iter().map(Stored::rows).sum();
        if rows == 0 {
            return Ok(());
        }
        if self.open.is_none() {
            self.open_file().await?;
        }
        let failed = write_failed(&self.root, &self.folder);
        let Some(file) = &mut self.open else { return Ok(()) };
        file.weave(files, rows as u64).await.map_err(failed)?;
        if file.encoder.size() >= self.target {
            self.close_file().await?;
        }
        Ok(())
    }

    /// Closes the last file, checks all of them, and says what the generation holds. A generation always has a file, be it one
    /// without rows: a folder without files is an error to some readers.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be written, `Internal` if a file does not read back as it was written.
    pub async fn finish(mut self) -> Result<Generation> {
        if let Some(tail) = self.tail.take() {
            self.files.push(tail.copy(&self.folder, self.files.len()).await?);
        }
        if self.files.is_empty() && self.open.is_none() {
            self.open_file().await?;
        }
        self.close_file().await?;
        for file in &self.files {
            verify(&self.root, &format!("{}{}", self.folder, file.name), file).await?;
        }
        Ok(Generation { id: self.id, location: self.root.url_of(&self.folder), files: self.files })
    }

    async fn open_file(&mut self) -> Result<()> {
        let name = layout::part_file(self.files.len());
        let (path, tail) = (format!("{}{name}", self.folder), self.tail.take());
        let begun = match &tail {
            Some(tail) => tail.begin(&path).await?,
            None => None,
        };
        let object = match begun {
            Some(begun) => Object::Begun(begun),
            None => Object::New(BufWriter::new(Arc::clone(self.root.store()), parse(&path)?)),
        };
        let encoder = Encoder::new(self.schema.clone(), self.properties.clone(), self.threads);
        let encoder = encoder.map_err(write_failed(&self.root, &self.folder))?;
        let mut file = OpenFile { encoder, object, name, rows: 0 };
        if let Some(tail) = tail {
            file.begin_with(&tail).await.map_err(write_failed(&self.root, &self.folder))?;
        }
        self.open = Some(file);
        Ok(())
    }

    async fn close_file(&mut self) -> Result<()> {
        let Some(file) = self.open.take() else { return Ok(()) };
        let file = file.finish().await.map_err(write_failed(&self.root, &self.folder))?;
        self.root.persist(&format!("{}{}", self.folder, file.name))?;
        self.files.push(file);
        Ok(())
    }
}

impl OpenFile {
    /// Begins with the row groups of a live file that stay as they are.
    async fn begin_with(&mut self, tail: &Tail) -> std::io::Result<()> {
        let in_place = matches!(self.object, Object::Begun(_));
        for row_group in tail.row_groups() {
            self.rows += tail.append_to(&mut self.encoder, row_group, in_place).await?;
            if in_place {
                // The file's first bytes are there too.
                self.encoder.take().map_err(std::io::Error::other)?;
            } else {
                self.put().await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self, batch: &RecordBatch) -> std::io::Result<()> {
        self.encoder.write(batch).await.map_err(std::io::Error::other)?;
        self.rows += batch.num_rows() as u64;
        self.put().await
    }

    async fn weave(&mut self, files: Vec<Stored>, rows: u64) -> std::io::Result<()> {
        self.encoder.weave(files).await.map_err(std::io::Error::other)?;
        self.rows += rows;
        self.put().await
    }

    /// Hands on what is final.
    async fn put(&mut self) -> std::io::Result<()> {
        for bytes in self.encoder.take().map_err(std::io::Error::other)? {
            match &mut self.object {
                Object::New(object) => object.put(bytes).await.map_err(std::io::Error::other)?,
                Object::Begun(begun) => begun.put(&bytes).await?,
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> std::io::Result<DataFile> {
        self.encoder.finish().await.map_err(std::io::Error::other)?;
        self.put().await?;
        match self.object {
            Object::New(mut object) => object.shutdown().await?,
            Object::Begun(begun) => begun.finish().await?,
        }
        Ok(DataFile { name: self.name, rows: self.rows, bytes: self.encoder.size() })
    }
}

fn write_failed<E: std::fmt::Display>(root: &Root, folder: &str) -> impl Fn(E) -> Error + use<E> {
    let (url, local) = (root.url_of(folder), root.is_local());
    let next =
        if local { "nothing was committed: free space or fix permissions, then run again" } else { "nothing was committed, run again" };
    move |e| refusal::failed(&format!("cannot write to {url}"), &e, next)
}

/// A codec with its level.
pub fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("level 1 is valid")),
        Compression::Snappy => Codec::SNAPPY,
    }
}

/// What every reader of the table understands: pages of version 1, dictionaries, page indexes, standard names in lists and maps.
fn properties(table: &TableName, id: &GenerationId, shape: &Shape) -> WriterProperties {
    let about = |key: &str, value: String| KeyValue::new(format!("lakebed.{key}"), value);
    common(shape.compression)
        .set_coerce_types(true)
        .set_max_row_group_bytes(Some(usize::try_from(shape.row_group_size).unwrap_or(usize::MAX)))
        .set_key_value_metadata(Some(vec![about("table", table.to_string()), about("generation", id.to_string())]))
        .build()
}

/// What staged files share with those of generations.
pub fn common(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_dictionary_page_size_limit(DICTIONARY)
        .set_compression(codec(compression))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(None)
}

/// Reads a file's size and footer back and compares them with what was written.
async fn verify(root: &Root, path: &str, file: &DataFile) -> Result<()> {
    let wrong = |what: String| Error::internal(format!("{} {what}; nothing was committed, run again", root.url_of(path)));
    let (bytes, rows) = reader::footer_rows(root, path).await.map_err(wrong)?;
    if (bytes, rows) != (file.bytes, file.rows) {
        return Err(wrong(format!("has {rows} rows in {bytes} bytes, {} in {} were written", file.rows, file.bytes)));
    }
    Ok(())
}
