#!/usr/bin/env python3
"""A bucket of S3 in memory that copies as cheaply as it can: a copy shares the bytes of what it was copied from.

Prints its address, and serves until standard input ends. late.py takes it for what a late object costs lakebed alone: an emulator that moves
each byte of a copy, as moto does, takes several times as long for that as for all else. It knows what lakebed asks of S3, and checks no
signature and no permission.
"""

import hashlib
import http.server
import re
import sys
import threading
from datetime import datetime, timezone
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

objects, uploads = {}, {}
guard = threading.Lock()


class Stored:
    """Bytes, as the pieces that they were written or copied in, and what S3 tells of them."""

    def __init__(self, pieces, etag=None):
        self.pieces, self.size = pieces, sum(map(len, pieces))
        self.etag = etag or f'"{hashlib.md5(b"".join(pieces)).hexdigest()}"'
        self.changed = datetime.now(timezone.utc)

    def part(self, first, end):
        found, at = [], 0
        for piece in self.pieces:
            inside = piece[max(first - at, 0) : max(end - at, 0)]
            if inside:
                found.append(inside)
            at += len(piece)
        return found


def ended(parts):
    """What an upload becomes: S3 makes the tag of those of the parts."""
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag.strip('"').split("-")[0]) for part in parts)).hexdigest()
    return Stored([piece for part in parts for piece in part.pieces], f'"{digest}-{len(parts)}"')


def unchunked(body):
    """The bytes of a body in `aws-chunked` encoding; its trailer is left out."""
    found, at = [], 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line].split(b";")[0], 16)
        if size == 0:
            return b"".join(found)
        found.append(body[line + 2 : line + 2 + size])
        at = line + 2 + size + 2


class Bucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out at once: in two pieces, the second would wait for the receipt of the first, which takes 40 ms.
    wbufsize = -1

    def asked(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        return unquote(url.path).lstrip("/"), query

    def body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return unchunked(body) if "aws-chunked" in self.headers.get("Content-Encoding", "") else body

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        size = {} if "Content-Length" in (headers or {}) else {"Content-Length": str(sum(map(len, body)) if isinstance(body, list) else len(body))}
        for name, value in {**size, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in body if isinstance(body, list) else [body]:
                self.wfile.write(piece)

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        key, query = self.asked()
        if "/" not in key.rstrip("/"):
            return self.answer(200, self.listed(key.rstrip("/"), query))
        with guard:
            found = objects.get(key)
        if found is None:
            return self.refuse(404, "NoSuchKey")
        about = {"ETag": found.etag, "Last-Modified": format_datetime(found.changed, usegmt=True), "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if self.command == "HEAD" or not wanted:
            return self.answer(200, found.pieces, {**about, "Content-Length": str(found.size)})
        first = int(wanted[1]) if wanted[1] else max(found.size - int(wanted[2]), 0)
        end = min(int(wanted[2]) + 1, found.size) if wanted[1] and wanted[2] else found.size
        self.answer(206, found.part(first, end), {**about, "Content-Range": f"bytes {first}-{end - 1}/{found.size}"})

    def listed(self, bucket, query):
        if "uploads" in query:
            return b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
        start, delimiter = f"{bucket}/{query.get('prefix', '')}", query.get("delimiter", "")
        contents, folders = [], set()
        with guard:
            found = sorted((key, stored) for key, stored in objects.items() if key.startswith(start))
        for key, stored in found:
            rest = key[len(start) :]
            if delimiter and delimiter in rest:
                folders.add(start + rest.split(delimiter)[0] + delimiter)
                continue
            name, changed = escape(key.removeprefix(f"{bucket}/")), stored.changed.strftime("%Y-%m-%dT%H:%M:%S.000Z")
            contents.append(
                f"<Contents><Key>{name}</Key><LastModified>{changed}</LastModified><ETag>{escape(stored.etag)}</ETag>"
                f"<Size>{stored.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        shown = [f"<CommonPrefixes><Prefix>{escape(name.removeprefix(f'{bucket}/'))}</Prefix></CommonPrefixes>" for name in sorted(folders)]
        head = f"<Name>{bucket}</Name><KeyCount>{len(contents) + len(shown)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}{''.join(contents)}{''.join(shown)}</ListBucketResult>".encode()

    def written(self):
        """What a PUT writes: what it brings, or a copy."""
        source = self.headers.get("x-amz-copy-source")
        if source is None:
            return Stored([self.body()])
        self.body()
        with guard:
            found = objects.get(unquote(source).lstrip("/"))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("x-amz-copy-source-range", ""))
        if found is None or not wanted:
            return found
        # Its tag is that of the place that it was copied from: to make one of the bytes would be to read them.
        place = hashlib.md5(f"{source} {wanted[0]}".encode()).hexdigest()
        return Stored(found.part(int(wanted[1]), int(wanted[2]) + 1), f'"{place}"')

    def create(self, key, stored):
        """Enters an object, unless it is asked to create one that exists."""
        with guard:
            if self.headers.get("If-None-Match") == "*" and key in objects:
                return False
            objects[key] = stored
            return True

    def do_PUT(self):
        key, query = self.asked()
        if "/" not in key.rstrip("/"):
            self.body()
            return self.answer(200)
        stored = self.written()
        if stored is None:
            return self.refuse(404, "NoSuchKey")
        if "uploadId" in query:
            with guard:
                uploads[query["uploadId"]][int(query["partNumber"])] = stored
        elif not self.create(key, stored):
            return self.refuse(412, "PreconditionFailed")
        if "x-amz-copy-source" not in self.headers:
            return self.answer(200, b"", {"ETag": stored.etag})
        changed, kind = stored.changed.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "CopyPartResult" if query else "CopyObjectResult"
        self.answer(200, f"<{kind}><LastModified>{changed}</LastModified><ETag>{escape(stored.etag)}</ETag></{kind}>".encode())

    def do_POST(self):
        key, query = self.asked()
        body = self.body()
        if "delete" in query:
            bucket = key.rstrip("/")
            names = [name.decode() for name in re.findall(rb"<Key>(.*?)</Key>", body)]
            with guard:
                for name in names:
                    objects.pop(f"{bucket}/{unescape(name)}", None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())
        bucket, _, name = key.partition("/")
        names = f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key>"
        if "uploads" in query:
            with guard:
                number = str(len(uploads) + 1)
                uploads[number] = {}
            kind = "InitiateMultipartUploadResult"
            return self.answer(200, f"<{kind}>{names}<UploadId>{number}</UploadId></{kind}>".encode())
        with guard:
            parts = uploads[query["uploadId"]]
            stored = ended([parts[int(number)] for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)])
        if not self.create(key, stored):
            return self.refuse(412, "PreconditionFailed")
        kind = "CompleteMultipartUploadResult"
        self.answer(200, f"<{kind}>{names}<ETag>{escape(stored.etag)}</ETag></{kind}>".encode())

    def do_DELETE(self):
        key, query = self.asked()
        with guard:
            if "uploadId" not in query:
                objects.pop(key, None)
        self.answer(204)

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
