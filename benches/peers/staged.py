#!/usr/bin/env python3
"""Compares what a merge of staged files takes with DuckDB's `COPY (SELECT * FROM read_parquet([…]))` of the same files.

    python3 benches/peers/staged.py [--lakebed PATH] [--records N] [--objects N] [--turns N] [--threads N] [--output markdown|json]

The hour lands in a bucket, which is a folder behind a small server here, because only objects in buckets are staged. `lakebed lambda`
is called with S3's notification of each and stages them; state and table are local folders. Each turn then begins from the same state:
DuckDB copies the staged files into one Parquet file, zstd at level 1, and `lakebed run` merges them into the hour, commits and registers
it. The run reads nothing of the landing but its listing, which is checked, and both must have the same rows. Of lakebed the whole
process is measured, of DuckDB the statement alone. Processor time is user and system time of all threads. Ends with 1 if anything
fails, never because of a time.
"""

import argparse
import datetime
import hashlib
import http.server
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse
from xml.sax.saxutils import escape

import run

BUCKET = "raw"
DUCKDB = """
import json, resource, sys, time, duckdb
out, threads, files = sys.argv[1], int(sys.argv[2]), json.loads(sys.stdin.read())
duckdb.sql(f"SET threads = {threads}; SET enable_progress_bar = false")
def processor():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
wall, used = time.perf_counter(), processor()
names = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
duckdb.sql(f"COPY (SELECT * FROM read_parquet([{names}])) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
print(json.dumps({"version": duckdb.__version__, "seconds": time.perf_counter() - wall, "processor": processor() - used}))
"""
CONFIGURATION = """[lake]
state = "state/"
threads = {threads}

[[table]]
name       = "shop.clicks"
landing    = "s3://{bucket}/clicks/"
location   = "table/"
migrations = "{migrations}"
lookback   = "1000000h"  # a function asks the clock which objects are too old to be staged

[table.evolution]
new_columns = "reject"
"""


def options():
    found = argparse.ArgumentParser(description="Compares a merge of staged files with DuckDB's copy of the same files.")
    found.add_argument("--lakebed", metavar="PATH", help="the binary to measure [default: cargo build --release --locked makes it]")
    found.add_argument("--records", type=int, default=300_000, metavar="N", help="records in the hour [default: 300000]")
    found.add_argument("--objects", type=int, default=200, metavar="N", help="staged files [default: 200]")
    found.add_argument("--turns", type=int, default=5, metavar="N", help="how often each runs [default: 5]")
    found.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="of each [default: all cores]")
    found.add_argument("--keep", metavar="DIR", help="a new or empty folder for everything; it stays")
    found.add_argument("--output", choices=["markdown", "json"], default="markdown", help="[default: markdown]")
    wanted = found.parse_args()
    if wanted.turns < 1 or wanted.objects < 1 or wanted.records < wanted.objects:
        found.error("ask for at least one turn, one object, and one record for each object")
    return wanted


def bucket(folder):
    """Serves a folder as a bucket of S3: listings, and objects to read. Returns its address, and the keys that were read."""
    read = []

    class Bucket(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer goes out at once: in two pieces, the second would wait for the receipt of the first, which takes 40 ms.
        wbufsize = -1

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            url = urlparse(self.path)
            key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
            if not key:
                return self.answer(200, listing(parse_qs(url.query)))
            file = folder / key
            if not file.is_file():
                return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            if self.command == "GET":
                read.append(key)
            self.answer(200, file.read_bytes(), {"ETag": etag(file), "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)})

        def answer(self, status, body, headers=None):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    def listing(query):
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        contents, prefixes = [], set()
        for key, entry in entries():
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                prefixes.add(prefix + key[len(prefix) :].split(delimiter)[0] + delimiter)
                continue
            contents.append(entry)
        folders = [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(prefixes)]
        head = f"<Name>{BUCKET}</Name><KeyCount>{len(contents) + len(folders)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}{''.join(contents)}{''.join(folders)}</ListBucketResult>".encode()

    known = []

    def entries():
        """All keys in their order, each as it is listed. They are made once: nothing lands any more, and S3 takes no time for it either."""
        if not known:
            for file in sorted(file for file in folder.rglob("*") if file.is_file()):
                key = str(file.relative_to(folder))
                changed = datetime.datetime.fromtimestamp(int(file.stat().st_mtime), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
                known.append(
                    (
                        key,
                        f"<Contents><Key>{escape(key)}</Key><LastModified>{changed}</LastModified><ETag>{escape(etag(file))}</ETag>"
                        f"<Size>{file.stat().st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                    )
                )
        return known

    etags = {}

    def etag(file):
        if file not in etags:
            etags[file] = f'"{hashlib.md5(file.read_bytes()).hexdigest()}"'
        return etags[file]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", read


def measured(command, environment):
    """What a program printed, its seconds from start to end, and its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text, seconds, _ = run.measured(command, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Bench:
    def __init__(self, lakebed, python, folder, wanted):
        self.lakebed, self.python, self.folder, self.wanted = lakebed, python, folder, wanted
        self.lake = folder / "lake"
        self.lake.mkdir()
        settings = {"bucket": BUCKET, "threads": wanted.threads, "migrations": run.HERE / "migrations/shop.clicks"}
        (self.lake / "lakebed.toml").write_text(CONFIGURATION.format(**settings))
        objects = run.landed(lakebed, folder / "bucket/clicks", wanted, "concatenated")
        address, self.read = bucket(folder / "bucket")
        account = {"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        self.environment = {"AWS_ENDPOINT_URL": address, **account}
        self.command = [lakebed, "run", "--config", self.lake / "lakebed.toml", "--output", "json", "--at"]
        # The hour is open at that time: the run makes the table, and nothing else.
        run.printed([*self.command, f"{run.HOUR}:30:00Z"], env={**os.environ, **self.environment})
        self.stage(objects)
        self.staged = sorted(self.lake.glob("state/queue/**/*.parquet"))
        if len(self.staged) != wanted.objects:
            raise run.Failed(f"{len(self.staged)} files are staged of {wanted.objects} objects")
        self.lake.rename(folder / "base")

    def stage(self, objects):
        keys = [str(file.relative_to(self.folder / "bucket")) for file in objects]
        told = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
        records = [{**told, "s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}} for key in keys]
        caller = [sys.executable, run.ROOT / "tests/it/python/lambda_api.py", "3600", json.dumps({"Records": records}), "--"]
        command = [*caller, self.lakebed, "lambda", "--config", self.lake / "lakebed.toml"]
        [answer] = json.loads(run.printed(command, env={**os.environ, **self.environment}))
        run.say(f"staging: {json.dumps(answer)}")

    def staged_bytes(self):
        return sum(file.stat().st_size for file in (self.folder / "base").glob("state/queue/**/*.parquet"))

    def restore(self):
        """The state from before the merge, and every staged file read once."""
        shutil.rmtree(self.lake, ignore_errors=True)
        shutil.copytree(self.folder / "base", self.lake)
        for file in self.staged:
            file.read_bytes()
        os.sync()

    def run_lakebed(self):
        self.restore()
        self.read.clear()
        text, seconds, processor = measured([*self.command, run.AT], self.environment)
        [done] = json.loads(text)["tables"]
        if self.read or done["objects"]["merged"] != self.wanted.objects:
            raise run.Failed(f"the run read {len(self.read)} objects where they landed, and not the staged files alone\n{text}")
        files = sorted(self.lake.glob("table/**/*.parquet"))
        kept = [file.rename(self.folder / f"lakebed-{place}.parquet") for place, file in enumerate(files)]
        return {"seconds": seconds, "processor": processor, "files": kept}

    def run_duckdb(self):
        self.restore()
        out = self.folder / "duckdb.parquet"
        out.unlink(missing_ok=True)
        files = json.dumps([str(file) for file in self.staged])
        command = [self.python, "-c", DUCKDB, out, str(self.wanted.threads)]
        done = subprocess.run(command, input=files, stdout=subprocess.PIPE, encoding="utf-8")
        if done.returncode != 0:
            raise run.Failed("DuckDB failed; see its message above")
        return {**json.loads(done.stdout), "files": [out]}


def take_turns(bench, wanted):
    results = {"lakebed": [], "duckdb": []}
    for turn in range(wanted.turns):
        steps = [("lakebed", bench.run_lakebed), ("duckdb", bench.run_duckdb)]
        done = {tool: step() for tool, step in (steps if turn % 2 == 0 else reversed(steps))}
        run.check(bench.python, done, wanted.records)
        for tool, result in done.items():
            result["bytes"] = sum(file.stat().st_size for file in result["files"])
            run.say(f"turn {turn + 1} of {wanted.turns}: {tool} {result['seconds']:.2f} s, {result['processor']:.2f} s of processor time")
            results[tool].append(result)
    return results


def report(bench, wanted, started, results):
    best = {tool: {what: min(result[what] for result in all_of) for what in ("seconds", "processor")} for tool, all_of in results.items()}
    lines = [
        {
            "tool": tool,
            "seconds": round(best[tool]["seconds"], 3),
            "processor": round(best[tool]["processor"], 3),
            "ratio": round(best[tool]["seconds"] / best["lakebed"]["seconds"], 2),
            "processor_ratio": round(best[tool]["processor"] / best["lakebed"]["processor"], 2),
            "bytes": all_of[-1]["bytes"],
        }
        for tool, all_of in results.items()
    ]
    work = {
        "records": wanted.records,
        "files": len(bench.staged),
        "staged_bytes": bench.staged_bytes(),
        "turns": wanted.turns,
        "threads": wanted.threads,
    }
    versions = {"lakebed": run.printed([bench.lakebed, "--version"]).split()[-1], "duckdb": results["duckdb"][0]["version"]}
    date = started.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"date": date, "checkout": run.revision(), "machine": run.machine(), "versions": versions, "work": work, "tools": lines}


def markdown(document):
    machine, work, versions = document["machine"], document["work"], document["versions"]
    lines = [
        f"- {document['date']}, lakebed {versions['lakebed']} ({document['checkout'] or 'no commit'}), DuckDB {versions['duckdb']}",
        f"- {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb'] or '?'} GB, {machine['kernel']}; {work['threads']} threads",
        f"- {work['records']} records in {work['files']} staged files ({work['staged_bytes'] / run.MEGABYTE:.1f} MB), "
        f"best of {work['turns']} turns",
        "",
        "| tool | s | ratio | processor s | ratio | Parquet MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for line in document["tools"]:
        lines.append(
            f"| {line['tool']} | {line['seconds']:.2f} | {line['ratio']:.2f} | {line['processor']:.2f} | {line['processor_ratio']:.2f} | "
            f"{line['bytes'] / run.MEGABYTE:.1f} |"
        )
    return "\n".join(lines)


def main():
    wanted = options()

    def work(folder, target, started):
        bench = Bench(run.binary(wanted.lakebed), run.interpreter(target), folder, wanted)
        return run.shown(report(bench, wanted, started, take_turns(bench, wanted)), wanted.output, markdown)

    return run.ended("staged.py", wanted.keep, work)


if __name__ == "__main__":
    sys.exit(main())
