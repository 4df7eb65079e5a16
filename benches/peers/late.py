#!/usr/bin/env python3
"""Measures what a late object costs: `lakebed run` on hours of several sizes, on the local disk, in the emulator of S3 and in a bucket that
copies at once (bucket.py), and DuckDB merging such an hour once more. README.md here says how.

    python3 benches/peers/late.py [--lakebed PATH] [--sizes 1,16] [--places local,s3,bucket] [--records N] [--turns N]

Prints one table; what it does meanwhile goes to standard error. Ends with 1 if rows are missing or come twice, never because of a time.
"""

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlparse

import run
from run import AT, HERE, HOUR, MEGABYTE, ROOT, Failed, measured, printed, say

OBJECTS = 12
EMULATOR = ROOT / "tests/it/python"
S3 = ("emulator-venv", EMULATOR / "aws.txt")
BUCKET = """
import boto3
boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
"""
# Reads the Parquet files that are named on standard input, and writes them as one. Prints the seconds that took.
MERGE = """
import json, sys, time
import duckdb
files, out = json.load(sys.stdin)
duckdb.execute("SET enable_progress_bar = false")
started = time.perf_counter()
duckdb.execute(f"COPY (SELECT * FROM read_parquet({files}, hive_partitioning=false)) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
print(time.perf_counter() - started)
"""
# Rows and different event ids of files.
COUNT = """
import json, sys
import duckdb
print(json.dumps(duckdb.read_parquet(json.load(sys.stdin), hive_partitioning=False).aggregate("count(*), count(DISTINCT event_id)").fetchall()[0]))
"""


def options():
    found = argparse.ArgumentParser(description="Measures what a late object costs.")
    found.add_argument("--lakebed", metavar="PATH", help="the binary to measure [default: cargo build --release --locked makes it]")
    found.add_argument("--sizes", default="1,16", metavar="N,N", help=f"hours of so many times {OBJECTS} objects [default: 1,16]")
    found.add_argument("--places", default="local,s3,bucket", metavar="PLACE,PLACE", help="of local, s3, bucket [default: all]")
    found.add_argument("--records", type=int, default=25_000, metavar="N", help="records in an object [default: 25000]")
    found.add_argument("--turns", type=int, default=5, metavar="N", help="late objects, one after the other [default: 5]")
    wanted = found.parse_args()
    wanted.sizes = [int(size) for size in wanted.sizes.split(",")]
    wanted.places = wanted.places.split(",")
    if not set(wanted.places) <= {"local", "s3", "bucket"} or wanted.turns < 1 or wanted.records < 1 or min(wanted.sizes) < 1:
        found.error("places are local, s3 and bucket; sizes, records and turns are 1 at least")
    return wanted


class Hour:
    """An hour of a table: where it lands, where it is, and what a program needs to reach it."""

    def __init__(self, lakebed, place, environment):
        self.lakebed, self.place = lakebed, place
        self.environment = {**environment, "PEERS_LANDING": f"{place}/landing", "PEERS_OUT": f"{place}/out"}

    def land(self, seed, objects, records):
        make = ["generate", "--to", f"{self.place}/landing", "--seed", str(seed), "--first-hour", HOUR]
        printed([self.lakebed, *make, "--objects-per-hour", str(objects), "--records", str(records)], env={**os.environ, **self.environment})

    def run(self):
        """Seconds of a run that has to do something."""
        command = [self.lakebed, "run", "--at", AT, "--config", HERE / "late.toml", "--output", "json"]
        text, seconds, _ = measured(command, self.environment)
        [partition] = json.loads(text)["tables"][0]["partitions"]
        if partition["action"] not in ("created", "amended"):
            raise Failed(f"a run did nothing to the hour:\n{text}")
        return seconds

    def partition(self):
        command = [self.lakebed, "partitions", "shop.clicks", "--config", HERE / "late.toml", "--output", "json"]
        [partition] = json.loads(printed(command, env={**os.environ, **self.environment}))
        return partition

    def files(self):
        return [str(path) for path in sorted(Path(unquote(urlparse(self.partition()["location"]).path)).glob("*.parquet"))]


class Emulator:
    """S3 and Glue on a port of this machine, and an account there."""

    def __init__(self, process):
        self.process, self.url = process, process.stdout.readline().strip()
        self.account = self.ask({})

    def ask(self, document):
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def copying(self):
        """Seconds of its own copying since this was asked last."""
        return self.ask({"account": self.account["account"], "copying": True})

    def environment(self):
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
        account = {name: self.account[key] for name, key in keys.items()}
        return {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true", "PEERS_CATALOG": "glue", **account}


@contextlib.contextmanager
def emulator(target):
    process = subprocess.Popen([run.interpreter(target, *S3), EMULATOR / "moto_server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        yield Emulator(process)
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def cheap_bucket():
    """S3 that copies without moving a byte, as bucket.py says. Gives its address."""
    process = subprocess.Popen([sys.executable, HERE / "bucket.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def duckdb(python, script, document):
    done = subprocess.run([python, "-c", script], input=json.dumps(document), stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        raise Failed("DuckDB failed; see its message above")
    return json.loads(done.stdout)


def measure(hour, size, wanted, merge, copying=lambda: 0):
    """Lands an hour, then late objects one by one: the bytes that were live before, the seconds of each run, those of them in which an
    emulator copied, and what `merge` says."""
    say(f"{hour.place}: an hour of {size * OBJECTS} objects")
    hour.land(1, size * OBJECTS, size * OBJECTS * wanted.records)
    hour.run()
    size_before, seconds, copied, merged = hour.partition()["bytes"], [], [], []
    for turn in range(wanted.turns):
        merged += merge(hour)
        hour.land(2 + turn, 1, wanted.records)
        copying()
        seconds.append(hour.run())
        copied.append(copying())
        say(f"late object {turn + 1} of {wanted.turns}: {seconds[-1]:.2f} s" + (f", DuckDB {merged[-1]:.2f} s" if merged else ""))
    rows = (size * OBJECTS + wanted.turns) * wanted.records
    if (found := hour.partition()["rows"]) != rows:
        raise Failed(f"{found} rows of {rows} records")
    return {"bytes": size_before, "seconds": seconds, "copied": copied, "duckdb": merged}


def local(lakebed, python, folder, wanted):
    environment = {"PEERS_CATALOG": "local"}
    late = Hour(lakebed, folder / "late", environment)
    late.land(1_000_000, 1, wanted.records)
    late.run()

    def merge(hour):
        return [duckdb(python, MERGE, [hour.files() + late.files(), str(folder / "merged.parquet")])]

    for size in wanted.sizes:
        hour = Hour(lakebed, folder / f"{size}", environment)
        yield "local", size, measure(hour, size, wanted, merge)
        rows = (size * OBJECTS + wanted.turns) * wanted.records
        if duckdb(python, COUNT, hour.files()) != [rows, rows]:
            raise Failed(f"DuckDB does not read {rows} rows with as many different event ids in {hour.files()}")


def in_bucket(lakebed, target, wanted):
    for size in wanted.sizes:
        with emulator(target) as s3:
            hour = Hour(lakebed, "s3://lake/clicks", s3.environment())
            printed([run.interpreter(target, *S3), "-c", BUCKET], env={**os.environ, **s3.environment()})
            yield "s3", size, measure(hour, size, wanted, lambda _: [], s3.copying)


def in_cheap_bucket(lakebed, target, wanted):
    """As in_bucket, with S3 of bucket.py; the catalog is the emulator's."""
    for size in wanted.sizes:
        with emulator(target) as others, cheap_bucket() as s3:
            hour = Hour(lakebed, "s3://lake/clicks", {**others.environment(), "AWS_ENDPOINT_URL_S3": s3})
            yield "bucket", size, measure(hour, size, wanted, lambda _: [])


def markdown(wanted, started, lines):
    machine = run.machine()
    text = [
        f"- {started.isoformat(timespec='seconds').replace('+00:00', 'Z')}, `{shlex.join(['python3', *sys.argv])}`, checkout {run.revision()}",
        f"- {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb'] or '?'} GB, {machine['kernel']}",
        f"- late objects of {wanted.records} records, {wanted.turns} of them one after the other; medians",
        "",
        "| where | hour | MB before | run s | of it copies of the emulator | without them s | to the smallest hour | DuckDB s | DuckDB to run |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    base = {}
    for place, size, found in lines:
        seconds, copied = statistics.median(found["seconds"]), statistics.median(found["copied"])
        own = statistics.median(run - copy for run, copy in zip(found["seconds"], found["copied"]))
        base.setdefault(place, own)
        peer = statistics.median(found["duckdb"]) if found["duckdb"] else None
        ratio = (f"{peer:.2f}", f"{peer / seconds:.1f}") if peer else ("", "")
        shown = [place, f"{size}x", f"{found['bytes'] / MEGABYTE:.0f}", f"{seconds:.2f}", f"{copied:.2f}", f"{own:.2f}"]
        shown += [f"{own / base[place]:.2f}", *ratio]
        text.append(f"| {' | '.join(shown)} |")
    return "\n".join(text)


def main():
    wanted = options()

    def work(folder, target, started):
        lakebed, lines = run.binary(wanted.lakebed), []
        if "local" in wanted.places:
            lines += local(lakebed, run.interpreter(target), folder, wanted)
        if "s3" in wanted.places:
            lines += in_bucket(lakebed, target, wanted)
        if "bucket" in wanted.places:
            lines += in_cheap_bucket(lakebed, target, wanted)
        return markdown(wanted, started, lines)

    return run.ended("late.py", None, work)


if __name__ == "__main__":
    sys.exit(main())
