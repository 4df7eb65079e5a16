//! Uploads to a bucket in parts, some of which the bucket makes itself, from the bytes of another object.

use std::error::Error as StdError;
use std::ops::Range;

use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use futures::{StreamExt, TryStreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::s3::{self, Uploads};

/// No part but the last may have fewer bytes: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
pub const LEAST: u64 = 5 << 20;

/// Bytes of a part that is sent.
const SENT: usize = 8 << 20;

/// Bytes of a part that the bucket copies, at the most. It copies several at once faster than all of it as one.
pub const COPIED: u64 = 64 << 20;

/// Parts that the bucket copies at the same time.
const COPIES: usize = 8;

/// What is not escaped in the name of an object that is copied. A `+` there would be a space.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An upload that is going on. If it is not finished it must be given up, by the name of its object.
#[derive(Debug)]
pub struct Parts {
    uploads: Uploads,
    key: String,
    id: String,
    done: Vec<CompletedPart>,
    /// Bytes that are not sent yet.
    waiting: Vec<u8>,
    /// Bytes of all parts.
    size: u64,
}

/// What failed, as the rest of a sentence.
type Failed = String;

impl Parts {
    /// Begins an object.
    pub(super) async fn begin(uploads: &Uploads, path: &str) -> Result<Self, Failed> {
        let key = format!("{}{path}", uploads.prefix);
        let mut call = uploads.client.create_multipart_upload().bucket(&uploads.bucket).key(&key);
        // The SDK sends one with each part, and S3 wants to know of it before. One of the whole object, as S3 makes it from the parts': for
        // one of checksums it would ask for each part's again in the end, also of those that it copied.
        call = call.checksum_algorithm(ChecksumAlgorithm::Crc32).checksum_type(ChecksumType::FullObject);
        if let Some(kms_key) = &uploads.kms_key {
            call = call.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(kms_key);
        }
        let begun = call.send().await.map_err(|e| told(&e))?;
        let id = begun.upload_id.ok_or("the upload was given no name")?;
        Ok(Self { uploads: uploads.clone(), key, id, done: Vec::new(), waiting: Vec::new(), size: 0 })
    }

    /// Appends a range of another object of the same location. Nothing may wait to be sent, and before anything else comes it must have
    /// [`LEAST`] bytes.
    pub(super) async fn copy(&mut self, from: &str, range: Range<u64>) -> Result<(), Failed> {
        let source = format!("{}/{}{from}", self.uploads.bucket, self.uploads.prefix);
        let source = utf8_percent_encode(&source, PLAIN).to_string();
        let (this, source, first) = (&*self, &source, self.done.len());
        let pieces = pieces(&range).into_iter().enumerate();
        let copies = futures::stream::iter(pieces).map(async |(at, piece)| this.copy_part(source, &piece, number(first + at)?).await);
        let copied: Vec<CompletedPart> = copies.buffered(COPIES).try_collect().await?;
        self.done.extend(copied);
        self.size += range.end - range.start;
        Ok(())
    }

    async fn copy_part(&self, source: &str, range: &Range<u64>, number: i32) -> Result<CompletedPart, Failed> {
        let Range { start, end } = range;
        let call = self.uploads.client.upload_part_copy().bucket(&self.uploads.bucket).key(&self.key).upload_id(&self.id);
        let call = call.part_number(number).copy_source(source).copy_source_range(format!("bytes={start}-{}", end - 1));
        let copied = call.send().await.map_err(|e| told(&e))?.copy_part_result.ok_or("the copy of a part has no tag")?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(copied.e_tag).set_checksum_crc32(copied.checksum_crc32);
        Ok(part.set_checksum_crc64_nvme(copied.checksum_crc64_nvme).build())
    }

    /// Appends bytes.
    pub(super) async fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= SENT { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), Failed> {
        let (bytes, number) = (std::mem::take(&mut self.waiting), number(self.done.len())?);
        self.size += bytes.len() as u64;
        let call = self.uploads.client.upload_part().bucket(&self.uploads.bucket).key(&self.key).upload_id(&self.id);
        let sent = call.part_number(number).body(ByteStream::from(bytes)).send().await.map_err(|e| told(&e))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).set_checksum_crc32(sent.checksum_crc32);
        self.done.push(part.set_checksum_crc64_nvme(sent.checksum_crc64_nvme).build());
        Ok(())
    }

    /// Ends the object, if there is none of its name.
    pub(super) async fn finish(mut self) -> Result<(), Failed> {
        if !self.waiting.is_empty() || self.done.is_empty() {
            self.send().await?;
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.done)).build();
        let call = self.uploads.client.complete_multipart_upload().bucket(&self.uploads.bucket).key(&self.key);
        let call = call.upload_id(self.id).multipart_upload(parts).if_none_match("*");
        let ended = call.customize().config_override(s3::ending()).send().await;
        let Err(failure) = ended else { return Ok(()) };
        // The answer may be lost, and the upload is ended all the same. Only this attempt writes an object of this name.
        let there = self.uploads.client.head_object().bucket(&self.uploads.bucket).key(&self.key).send().await;
        match there.ok().and_then(|there| there.content_length) {
            Some(length) if u64::try_from(length) == Ok(self.size) => Ok(()),
            _ => Err(told(&failure)),
        }
    }
}

fn told(e: &(impl StdError + 'static)) -> Failed {
    DisplayErrorContext(e).to_string()
}

/// The number of the part that comes after so many others; there may be 10,000.
fn number(before: usize) -> Result<i32, Failed> {
    i32::try_from(before + 1).ok().filter(|number| *number <= 10_000).ok_or_else(|| "it would have more than 10000 parts".to_string())
}

/// A range in pieces of [`COPIED`] bytes and more, so that no piece is too small for a part.
fn pieces(range: &Range<u64>) -> Vec<Range<u64>> {
    let count = ((range.end - range.start) / COPIED).max(1);
    let at = |piece: u64| if piece == count { range.end } else { range.start + piece * COPIED };
    (0..count).map(|piece| at(piece)..at(piece + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_of_a_range_and_none_is_small() {
        let cases = [
            (0, 1, vec![1]),
            (5, COPIED, vec![COPIED]),
            (0, 2 * COPIED - 1, vec![2 * COPIED - 1]),
            (7, 3 * COPIED + 1, vec![COPIED, COPIED, COPIED + 1]),
        ];
        for (start, length, expected) in cases {
            let pieces = pieces(&(start..start + length));
            assert!(pieces[0].start == start && pieces.windows(2).all(|two| two[0].end == two[1].start), "{pieces:?}");
            assert_eq!(pieces.iter().map(|piece| piece.end - piece.start).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn names_are_escaped_once() {
        assert_eq!(utf8_percent_encode("b/k=a b+%2Fé/p-0_1.~", PLAIN).to_string(), "b/k%3Da%20b%2B%252F%C3%A9/p-0_1.~");
    }

    #[test]
    fn parts_are_numbered_from_one_and_not_too_many() {
        assert_eq!((number(0), number(9_999)), (Ok(1), Ok(10_000)));
        assert!(number(10_000).is_err());
    }
}
