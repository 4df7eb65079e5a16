//! Encoders for tests, each by another crate's code or by the letter of the format's description.

use std::io::{Cursor, Write};

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, ZipWriter};

/// Text that gets about half as long when compressed.
pub fn text(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"0123456789abcdef"[(state >> 60) as usize]
    };
    let mut out = b"{\"a\":\"".to_vec();
    out.extend(std::iter::repeat_with(&mut next).take(length.saturating_sub(8)));
    out.extend(b"\"}");
    out
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new().filename("a.json").write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub fn deflated() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
}

pub fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

/// An archive whose headers have all lengths.
pub fn zip(entries: &[(&str, &[u8], SimpleFileOptions)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data, options) in entries {
        writer.start_file(*name, *options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An archive whose lengths follow the data, as Java writes it.
pub fn zip_described(entries: &[(&str, &[u8], SimpleFileOptions)]) -> Vec<u8> {
    let mut writer = ZipWriter::new_stream(Vec::new());
    for (name, data, options) in entries {
        writer.start_file(*name, *options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn snappy_block(text: &[u8]) -> Vec<u8> {
    let block = snap::raw::Encoder::new().compress_vec(text).unwrap();
    [&u32::try_from(block.len()).unwrap().to_be_bytes()[..], &block].concat()
}

pub fn xerial(text: &[u8], block: usize) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    text.chunks(block).for_each(|block| out.extend(snappy_block(block)));
    out
}

pub fn hadoop(text: &[u8], frame: usize, block: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in text.chunks(frame) {
        out.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
        frame.chunks(block).for_each(|block| out.extend(snappy_block(block)));
    }
    if text.is_empty() { vec![0; 4] } else { out }
}

pub fn framed(text: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(text).unwrap();
    let out = encoder.into_inner().unwrap();
    // The encoder writes nothing at all for no text.
    if out.is_empty() { b"\xff\x06\0\0sNaPpY".to_vec() } else { out }
}

pub fn zstd(text: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// All ways to compress a text, by name.
pub fn all(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("gzip", gzip(text)),
        ("zip", zip(&[("a.json", text, deflated())])),
        ("zip, stored", zip(&[("a.json", text, stored())])),
        ("zip, described", zip_described(&[("a.json", text, deflated())])),
        ("xerial", xerial(text, 1000)),
        ("hadoop", hadoop(text, 2500, 1000)),
        ("framed", framed(text)),
        ("zstd", zstd(text)),
    ]
}
