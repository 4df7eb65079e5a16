"""Makes moto's Firehose deliver to S3 what Firehose delivers.

moto 5.2.5 writes one object for each PutRecordBatch, at once. Firehose may do so too: its buffering is a hint, and may be none. All else differs from
Firehose, and is done here in moto's place:

- moto takes a prefix as text, puts a slash and a time path behind it, always in UTC. Firehose evaluates its expressions, and where there
  are none puts the time path right behind it; `CustomTimeZone` counts for the path and for the name.
- moto ignores `CompressionFormat` and `FileExtension`: it writes plain bytes under a name that has no extension.
- moto sets no Content-Encoding, which Firehose does.
- moto ignores the processor `AppendDelimiterToRecord`, which puts a line feed between records and none behind the last.
- moto takes batches of any size.

Firehose's developer guide ("Amazon S3 object name format", "Custom prefixes", "Quota"), and what others measured: floci-io/floci issues 2328 and 2410.
"""

import base64
import datetime
import gzip
import io
import re
import uuid
import zipfile

import dateutil.tz
import pyarrow
from moto.firehose.models import FirehoseBackend
from moto.s3.models import s3_backends

# By the account's number: when what it sends from now on arrives. The clock's time where none is set.
arrivals = {}

EXTENSIONS = {"UNCOMPRESSED": "", "GZIP": ".gz", "ZIP": ".zip", "Snappy": ".snappy", "HADOOP_SNAPPY": ".snappy"}
ENCODINGS = {"GZIP": "gzip", "ZIP": "zip", "Snappy": "snappy-java", "HADOOP_SNAPPY": "hadoop-snappy"}

# Letters of Java's DateTimeFormatter.
FIELDS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}

BLOCK = 32 * 1024
XERIAL = b"\x82SNAPPY\x00" + (1).to_bytes(4, "big") + (1).to_bytes(4, "big")

RECORD_BYTES, BATCH_BYTES, BATCH_RECORDS = 1_024_000, 4 * 1024 * 1024, 500


def refusal(action, asked):
    """Why Firehose would not take a request, or None."""
    if action != "PutRecordBatch":
        return None
    sizes = [len(base64.b64decode(record["Data"])) for record in asked["Records"]]
    if not 1 <= len(sizes) <= BATCH_RECORDS or sum(sizes) > BATCH_BYTES or max(sizes) > RECORD_BYTES:
        return "InvalidArgumentException", f"{len(sizes)} records with {sum(sizes)} bytes"
    return None


def deliver(backend, stream, version, destination, records):
    """Takes the place of moto's FirehoseBackend.put_s3_records."""
    kind = destination.get("CompressionFormat", "UNCOMPRESSED")
    arrived = arrivals.get(backend.account_id) or datetime.datetime.now(datetime.timezone.utc)
    # dateutil brings its own zones, where the machine has none.
    arrived = arrived.astimezone(dateutil.tz.gettz(destination.get("CustomTimeZone") or "UTC"))
    name = f"{stream}-{version}-{arrived:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}"
    extension = destination.get("FileExtension") or EXTENSIONS[kind]
    key = folder(destination.get("Prefix", ""), arrived) + name + extension
    text = (b"\n" if delimits(destination) else b"").join(record["Data"] for record in records)
    bucket = destination["BucketARN"].split(":")[-1]
    made = s3_backends[backend.account_id][backend.partition].put_object(bucket, key, compressed(kind, text))
    metadata = {"Content-Type": "application/octet-stream"}
    if kind in ENCODINGS:
        metadata["Content-Encoding"] = ENCODINGS[kind]
    made.set_metadata(metadata)
    return [{"RecordId": str(uuid.uuid4())} for _ in records]


def folder(prefix, arrived):
    if "!{" not in prefix:
        return prefix + f"{arrived:%Y/%m/%d/%H/}"
    path = re.sub(r"!\{timestamp:([^}]*)\}", lambda found: formatted(found[1], arrived), prefix)
    if path == prefix or "!{" in path:
        raise ValueError(f"{prefix}: of the expressions, only those of time are emulated")
    return path


def formatted(pattern, arrived):
    """A time in a pattern of Java: what is quoted stands for itself."""

    def one(found):
        text = found[0]
        return text[1:-1] if text.startswith("'") else arrived.strftime(FIELDS[text])

    return re.sub(r"'[^']*'|([A-Za-z])\1*", one, pattern)


def delimits(destination):
    processing = destination.get("ProcessingConfiguration", {})
    kinds = [processor["Type"] for processor in processing.get("Processors", [])]
    return bool(processing.get("Enabled")) and "AppendDelimiterToRecord" in kinds


def compressed(kind, text):
    if kind == "GZIP":
        return gzip.compress(text)
    if kind == "ZIP":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(str(uuid.uuid4()), text)
        return file.getvalue()
    pieces = [text[start : start + BLOCK] for start in range(0, len(text), BLOCK)]
    if kind == "Snappy":
        return XERIAL + b"".join(block(piece) for piece in pieces)
    if kind == "HADOOP_SNAPPY":
        return b"".join(length(piece) + block(piece) for piece in pieces)
    return text


def block(text):
    """A raw block of Snappy, by Google's library, which Arrow carries."""
    data = pyarrow.compress(text, codec="snappy", asbytes=True)
    return length(data) + data


def length(data):
    return len(data).to_bytes(4, "big")


FirehoseBackend.put_s3_records = deliver
