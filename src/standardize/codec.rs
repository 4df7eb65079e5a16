//! SHIM until the codecs land.
use std::io::{self, Read};
use std::sync::Arc;
use bytes::Bytes;

pub trait Stored: Send + Sync {
    fn len(&self) -> u64;
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}
impl Stored for Bytes {
    fn len(&self) -> u64 { Bytes::len(self) as u64 }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = (offset as usize).min(Bytes::len(self));
        Ok(self.slice(start..(start + length).min(Bytes::len(self))))
    }
}
#[derive(Debug)]
pub struct Damage(pub String);
impl std::fmt::Display for Damage { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) } }
impl std::error::Error for Damage {}
pub enum Content { Text(Box<dyn Read + Send>), Whole(Vec<u8>), Columnar }
#[derive(Debug, Clone, Copy)]
pub struct Limits { pub whole: u64, pub bytes: u64, pub ratio: u64 }
struct Plain(Arc<dyn Stored>, u64);
impl Read for Plain {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read_at(self.1, out.len())?;
        out[..got.len()].copy_from_slice(&got);
        self.1 += got.len() as u64;
        Ok(got.len())
    }
}
struct Gz(flate2::read::MultiGzDecoder<Plain>);
impl Read for Gz {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(|e| io::Error::other(Damage(format!("gzip: {e}"))))
    }
}
pub fn open(stored: &Arc<dyn Stored>, limits: Limits) -> io::Result<Content> {
    let head = stored.read_at(0, 2)?;
    if head.as_ref() == [0x1f, 0x8b] {
        if let Some(text) = super::decompress::at_once(&stored.read_at(0, stored.len() as usize)?, limits.whole) { return Ok(Content::Whole(text)); }
        return Ok(Content::Text(Box::new(Gz(flate2::read::MultiGzDecoder::new(Plain(stored.clone(), 0))))));
    }
    Ok(Content::Text(Box::new(Plain(stored.clone(), 0))))
}
