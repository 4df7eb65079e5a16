"""Writes a text in the compressions that Firehose lands and others use, each by an encoder that is not ours.

    encode_snappy.py OUTDIR TEXT

    {"raw.snappy": 61234, "xerial.snappy": 61402, ...}

TEXT is a file; every file in OUTDIR decompresses to its bytes. What is printed are the files with their sizes, as one JSON document.
The blocks of Snappy are those of Google's C++ library, which Arrow carries; those named `cramjam` come from the Rust crate `snap`,
which lakebed decodes with too. The framings around the blocks are put together here, as their writers do it:

- xerial: `SnappyOutputStream` of snappy-java. A header of 16 bytes, then blocks of 32 KiB of text, each behind its compressed length.
- Hadoop: `BlockCompressorStream` with Snappy's buffer of 256 KiB. A frame for each write: the length of its text, then blocks of what
  the buffer takes, each behind its compressed length.
"""

import argparse
import gzip
import json
import zipfile
from pathlib import Path

import cramjam
import pyarrow
import snappy

XERIAL_HEADER = bytes([0x82]) + b"SNAPPY" + bytes([0]) + (1).to_bytes(4, "big") + (1).to_bytes(4, "big")
XERIAL_BLOCK = 32 * 1024
HADOOP_BUFFER = 256 * 1024
# What BlockCompressorStream puts into one block: the buffer without what Snappy may add to it.
HADOOP_BLOCK = HADOOP_BUFFER - (HADOOP_BUFFER // 6 + 32)
HADOOP_WRITE = 1024 * 1024
# Firehose names the one entry of its ZIP with a UUID.
ZIP_NAME = "5b2d5a5e-6f0c-4c39-9c57-0c0f2b6f3a1"


def google_block(text):
    return pyarrow.compress(text, codec="snappy", asbytes=True)


def cramjam_block(text):
    return bytes(cramjam.snappy.compress_raw(text))


def pieces(text, size):
    return [text[start : start + size] for start in range(0, len(text), size)]


def halves(text):
    """Two parts, cut without regard to records."""
    return text[: len(text) // 2], text[len(text) // 2 :]


def length(data):
    return len(data).to_bytes(4, "big")


def xerial(text, block):
    blocks = [block(piece) for piece in pieces(text, XERIAL_BLOCK)]
    return XERIAL_HEADER + b"".join(length(data) + data for data in blocks)


def hadoop(text, block):
    """Writes of 1 MiB, so a frame has five blocks."""
    out = b""
    for written in pieces(text, HADOOP_WRITE):
        blocks = [block(piece) for piece in pieces(written, HADOOP_BLOCK)]
        out += length(written) + b"".join(length(data) + data for data in blocks)
    return out


def hadoop_of_small_writes(text, block):
    """Writes that fit into the buffer, so a frame has one block."""
    return b"".join(length(written) + length(data) + data for written in pieces(text, HADOOP_BLOCK) for data in [block(written)])


def python_snappy(text, compressor, size):
    return b"".join(compressor.compress(piece) for piece in pieces(text, size)) + compressor.flush()


def entry(number):
    """A deflated entry without the time of today."""
    described = zipfile.ZipInfo(f"{ZIP_NAME}{number}")
    described.compress_type = zipfile.ZIP_DEFLATED
    return described


def deflated(path, parts):
    """A ZIP with one entry for each part."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for number, part in enumerate(parts):
            out.writestr(entry(number), part)


def streamed_zip(path, text):
    """A ZIP by a writer that cannot seek: the sizes stand in a data descriptor behind the entry, not in front of it."""

    class Pipe:
        def __init__(self, file):
            self.write, self.flush = file.write, file.flush

    with open(path, "wb") as file, zipfile.ZipFile(Pipe(file), "w", zipfile.ZIP_DEFLATED) as out:
        with out.open(entry(0), "w") as writer:
            writer.write(text)


def encoded(text):
    first, second = halves(text)
    return {
        "raw.snappy": google_block(text),
        "raw-cramjam.snappy": cramjam_block(text),
        "framed-cramjam.snappy": bytes(cramjam.snappy.compress(text)),
        "framed-python-snappy.snappy": python_snappy(text, snappy.StreamCompressor(), XERIAL_BLOCK),
        "xerial.snappy": xerial(text, google_block),
        "xerial-cramjam.snappy": xerial(text, cramjam_block),
        "xerial-two-streams.snappy": xerial(first, google_block) + xerial(second, google_block),
        "hadoop.snappy": hadoop(text, google_block),
        "hadoop-cramjam.snappy": hadoop(text, cramjam_block),
        "hadoop-small-writes.snappy": hadoop_of_small_writes(text, google_block),
        "hadoop-python-snappy.snappy": python_snappy(text, snappy.HadoopStreamCompressor(), HADOOP_BUFFER),
        "zstd-cramjam.zst": bytes(cramjam.zstd.compress(text)),
        "zstd-two-frames.zst": b"".join(pyarrow.compress(part, codec="zstd", asbytes=True) for part in (first, second)),
        "gzip-cramjam.gz": bytes(cramjam.gzip.compress(text)),
        "gzip-members-cramjam.gz": b"".join(bytes(cramjam.gzip.compress(part)) for part in (first, second)),
        "gzip-members.gz": b"".join(gzip.compress(part, mtime=0) for part in (first, second)),
    }


def main():
    arguments = argparse.ArgumentParser(description="Writes a text in many compressions.")
    arguments.add_argument("outdir", metavar="OUTDIR", type=Path)
    arguments.add_argument("text", metavar="TEXT", type=Path)
    wanted = arguments.parse_args()

    text = wanted.text.read_bytes()
    wanted.outdir.mkdir(parents=True, exist_ok=True)
    for name, data in encoded(text).items():
        (wanted.outdir / name).write_bytes(data)
    deflated(wanted.outdir / "one-entry.zip", [text])
    deflated(wanted.outdir / "two-entries.zip", halves(text))
    streamed_zip(wanted.outdir / "data-descriptor.zip", text)
    print(json.dumps({path.name: path.stat().st_size for path in sorted(wanted.outdir.iterdir())}))


if __name__ == "__main__":
    main()
