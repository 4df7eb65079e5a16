//! The way from whoever reads sources to the writer of the generation.

use arrow::array::RecordBatch;
use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, Stream, TryStreamExt};

use super::append::Carried;
use super::encode::stored::Stored;
use super::writer::GenerationWriter;
use crate::error::{Error, Result};
use crate::ledger::Generation;

/// What the writer is given.
pub enum Rows {
    /// Rows to encode.
    Batch(RecordBatch),
    /// Staged files that become a row group as they are. The sender is for saying that this was done, or which of them is of no use.
    Staged(Vec<Stored>, oneshot::Sender<Option<usize>>),
}

/// The way to the writer.
pub type Feed = mpsc::Sender<Result<Rows>>;

/// Sends rows to be encoded.
///
/// # Errors
/// `Internal` if the writer stopped; its own error is the cause then.
pub async fn send(rows: &mut Feed, batch: RecordBatch) -> Result<()> {
    rows.send(Ok(Rows::Batch(batch))).await.map_err(|_| Error::internal("the writer stopped early"))
}

/// Writes all that comes, behind the files that are carried over.
///
/// # Errors
/// That of the reader, or as [`GenerationWriter::write`].
pub async fn write_rows(
    mut writer: GenerationWriter,
    carried: Option<Carried>,
    mut rows: impl Stream<Item = Result<Rows>> + Unpin,
) -> Result<Generation> {
    if let Some(carried) = carried {
        writer.carry(carried).await?;
    }
    while let Some(rows) = rows.try_next().await? {
        match rows {
            Rows::Batch(batch) => writer.write(&batch).await?,
            Rows::Staged(files, written) => {
                let unusable = writer.weave(files).await?;
                // Nobody waits for it if the reader gave up.
                let _ = written.send(unusable);
                if unusable.is_some() {
                    let next = "it is removed, so run again, and what landed is read instead";
                    return Err(Error::unavailable(format!("a staged file is not what its checksum says that it is: {next}")));
                }
            }
        }
    }
    writer.finish().await
}
