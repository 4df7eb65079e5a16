#!/usr/bin/env python3
"""Compares `lakebed run` with other tools that make Parquet of the same landed clicks. README.md here says how, and how fair it is.

    python3 benches/peers/run.py [--lakebed PATH] [--records N] [--objects N] [--turns N] [--only TOOL,TOOL] [--keep DIR]
                                 [--output markdown|json]

Prints one table, or one JSON document; what it does meanwhile goes to standard error. Ends with 1 if a tool fails or if the tools
did not make the same rows, never because of a time.
"""

import argparse
import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

from convert import NEWLINE_DELIMITED, TOOLS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# `lakebed run` with the configuration of that name.
CONFIGURATIONS = {"lakebed": HERE / "bare.toml", "lakebed-rules": HERE / "rules.toml"}
BASE = "lakebed"
HOUR = "2026-11-19T10"
AT = "2026-11-19T12:00:00Z"
MEGABYTE = 1e6


class Failed(Exception):
    """Why there is no table, as one message."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def options():
    found = argparse.ArgumentParser(description="Compares `lakebed run` with other tools that make Parquet of the same landed clicks.")
    found.add_argument("--lakebed", metavar="PATH", help="the binary to measure [default: cargo build --release --locked makes it]")
    found.add_argument("--records", type=int, default=300_000, metavar="N", help="records in the hour [default: 300000]")
    found.add_argument("--objects", type=int, default=12, metavar="N", help="landed objects in the hour [default: 12]")
    found.add_argument("--turns", type=int, default=5, metavar="N", help="how often each tool runs [default: 5]")
    found.add_argument("--only", metavar="TOOL,TOOL", help=f"of {', '.join([*CONFIGURATIONS, *TOOLS])} [default: all]")
    found.add_argument("--keep", metavar="DIR", help="a new or empty folder for what landed and what each tool wrote; it stays")
    found.add_argument("--output", choices=["markdown", "json"], default="markdown", help="[default: markdown]")
    wanted = found.parse_args()
    known = [*CONFIGURATIONS, *TOOLS]
    wanted.tools = wanted.only.split(",") if wanted.only else known
    if unknown := [tool for tool in wanted.tools if tool not in known]:
        found.error(f"there is no tool {', '.join(unknown)}; there are {', '.join(known)}")
    if len(set(wanted.tools)) < len(wanted.tools):
        found.error("--only names a tool twice")
    if wanted.turns < 1 or wanted.objects < 1 or wanted.records < wanted.objects:
        found.error("ask for at least one turn, one object, and one record for each object")
    return wanted


def printed(command, **more):
    """What a command prints on standard output; it must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", **more)
    if done.returncode != 0:
        raise Failed(f"`{shlex.join(map(str, command))}` ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def target_folder():
    folder = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def interpreter(target, name="peers-venv", requirements=HERE / "requirements.txt"):
    """The Python of a virtual environment with pinned packages. It is made once, and again when `requirements` changes. The lock
    goes away with the process that holds it."""
    home = target / name
    python, complete = home / "bin/python", home / "complete"
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()
    with open(target / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (complete.is_file() and complete.read_text() == key and python.exists()):
            say(f"installing {requirements.name} into {home}")
            shutil.rmtree(home, ignore_errors=True)
            printed([sys.executable, "-m", "venv", home])
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
            printed([*pip, "-r", requirements])
            complete.write_text(key)
    return python


def built():
    """A release build of the checkout; cargo says where it put the binary."""
    say("building lakebed")
    messages = printed(["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics"], cwd=ROOT)
    found = [message["executable"] for message in map(json.loads, messages.splitlines()) if message.get("executable")]
    if not found:
        raise Failed("cargo built no binary; see its messages above")
    return found[-1]


def binary(path):
    found = Path(path or built()).resolve()
    if not os.access(found, os.X_OK):
        raise Failed(f"{found} is not a program; build lakebed first, or leave --lakebed out")
    return found


@contextlib.contextmanager
def work_folder(keep, target):
    """`keep`, or a folder beside the build that is removed at the end: the system's own temporary folder may be in memory."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="peers-", dir=target) as folder:
            yield Path(folder)
        return
    folder = Path(keep).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Failed(f"{folder} is not empty; name a new folder with --keep")
    yield folder


def landed(lakebed, folder, wanted, framing):
    """Lands the hour and reads it once, so that no tool is the first to read it from the disk. Returns the objects' paths. The
    framing changes nothing but what stands between the records."""
    make = ["generate", "--to", folder, "--first-hour", HOUR, "--framing", framing, "--compression", "gzip"]
    say(printed([lakebed, *make, "--records", str(wanted.records), "--objects-per-hour", str(wanted.objects)]).strip())
    objects = sorted(path for path in folder.rglob("*.gz"))
    for path in objects:
        path.read_bytes()
    return objects


def measured(command, environment):
    """Runs a program to its end: what it printed, its seconds from start to end, and the peak memory of the largest of it and its
    children in bytes."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
    if process.returncode != 0:
        raise Failed(f"`{shlex.join(map(str, command))}` ended with {process.returncode}\n{text}")
    return text, seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Bench:
    """What all turns share: the programs, and the same hour once as Firehose lands it and once with line feeds."""

    def __init__(self, lakebed, python, folder, wanted):
        self.lakebed, self.python, self.folder = lakebed, python, folder
        self.landing = folder / "landing"
        self.objects = landed(lakebed, self.landing, wanted, "concatenated")
        self.lines = []
        if any(tool in NEWLINE_DELIMITED for tool in wanted.tools):
            self.lines = landed(lakebed, folder / "landing-lines", wanted, "newline")
        self.lakebed_version = printed([lakebed, "--version"]).split()[-1]

    def run(self, tool, out):
        """One tool into a new folder: its version, its times in seconds, its peak memory in bytes and the files that it wrote."""
        out.mkdir(parents=True)
        return self.run_lakebed(tool, out) if tool in CONFIGURATIONS else self.run_peer(tool, out)

    def run_lakebed(self, tool, out):
        environment = {"PEERS_LANDING": str(self.landing), "PEERS_OUT": str(out)}
        configuration = ["--config", CONFIGURATIONS[tool], "--output", "json"]
        text, seconds, memory = measured([self.lakebed, "run", "--at", AT, *configuration], environment)
        partitions = printed([self.lakebed, "partitions", "shop.clicks", *configuration], env={**os.environ, **environment})
        folders = [Path(unquote(urlparse(partition["location"]).path)) for partition in json.loads(partitions)]
        files = [path for folder in folders for path in sorted(folder.glob("*.parquet"))]
        if not files:
            raise Failed(f"{tool}: no Parquet file in the catalog's partitions; the run printed\n{text}")
        return {"version": self.lakebed_version, "seconds": seconds, "process": seconds, "memory": memory, "files": files}

    def run_peer(self, tool, out):
        file = out / "clicks.parquet"
        objects = self.lines if tool in NEWLINE_DELIMITED else self.objects
        text, process, memory = measured([self.python, HERE / "convert.py", tool, file, *objects], {})
        return {**json.loads(text), "process": process, "memory": memory, "files": [file]}


def check(python, results, records):
    """All tools of a turn must have made the same rows, and as many as landed."""
    files = {tool: [str(path) for path in result["files"]] for tool, result in results.items()}
    done = subprocess.run([python, HERE / "compare.py"], input=json.dumps(files), stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        raise Failed("compare.py could not read what the tools wrote; see its message above")
    found = json.loads(done.stdout)
    problems = [
        f"{tool}: {rows[what]} {name} of {records} records"
        for tool, rows in found.items()
        for what, name in (("rows", "rows"), ("ids", "different event ids"))
        if rows[what] != records
    ]
    # Where rows are missing, every column differs: the columns are named only if none is.
    if not problems:
        problems = differences(found)
    if problems:
        raise Failed("the tools did not make the same rows:\n" + "\n".join(problems))


def differences(found):
    """The columns in which a tool has other values than the first one has."""
    first, *others = found
    return [
        f"{column}: {first} and {tool} differ ({expected[0]} and {found[tool]['columns'][column][0]} values that are not null)"
        for tool in others
        for column, expected in found[first]["columns"].items()
        if found[tool]["columns"][column] != expected
    ]


def take_turns(bench, wanted):
    """Every tool once in each turn, each turn beginning with another tool: a list of results for each tool."""
    all_results = {tool: [] for tool in wanted.tools}
    for turn in range(wanted.turns):
        start = turn % len(wanted.tools)
        results = {}
        for tool in wanted.tools[start:] + wanted.tools[:start]:
            results[tool] = result = bench.run(tool, bench.folder / f"turn-{turn + 1}" / tool)
            result["bytes"] = sum(path.stat().st_size for path in result["files"])
            say(f"turn {turn + 1} of {wanted.turns}: {tool} {result['seconds']:.2f} s, {result['memory'] / MEGABYTE:.0f} MB")
        check(bench.python, results, wanted.records)
        for tool, result in results.items():
            all_results[tool].append(result)
        if wanted.keep is None:
            shutil.rmtree(bench.folder / f"turn-{turn + 1}")
    return all_results


def summary(all_results, records):
    """One line for each tool. Memory is the largest of all turns."""
    base = statistics.median(result["seconds"] for result in all_results[BASE]) if BASE in all_results else None
    lines = []
    for tool, results in all_results.items():
        median = statistics.median(result["seconds"] for result in results)
        lines.append(
            {
                "tool": tool,
                "version": results[0]["version"],
                "median_s": round(median, 3),
                "min_s": round(min(result["seconds"] for result in results), 3),
                "ratio": round(median / base, 2) if base else None,
                "process_median_s": round(statistics.median(result["process"] for result in results), 3),
                "peak_mb": round(max(result["memory"] for result in results) / MEGABYTE),
                "parquet_mb": round(results[-1]["bytes"] / MEGABYTE, 1),
                "rows_checked": records * len(results),
            }
        )
    return lines


def first_match(file, pattern, otherwise):
    with contextlib.suppress(OSError):
        if found := re.search(pattern, Path(file).read_text(), re.MULTILINE):
            return found[1].strip()
    return otherwise


def machine():
    memory = int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+) kB", 0)) * 1024
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": first_match("/proc/cpuinfo", r"^model name\s*:(.*)$", platform.processor() or platform.machine()),
        "cores": cores,
        "memory_gb": round(memory / 1e9, 1) if memory else None,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def revision():
    """The checkout's commit, with `+` if something in it is changed; nothing if it is no checkout."""
    try:
        commit = printed(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, stderr=subprocess.DEVNULL).strip()
        return commit + ("+" if printed(["git", "status", "--porcelain"], cwd=ROOT).strip() else "")
    except (Failed, OSError):
        return None


def report(bench, wanted, started, all_results):
    return {
        "date": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "command": shlex.join(["python3", *sys.argv]),
        "lakebed": {
            "version": bench.lakebed_version,
            "binary": str(bench.lakebed),
            "checkout": revision(),
            "built_from_it": wanted.lakebed is None,
        },
        "machine": machine(),
        "work": {
            "records": wanted.records,
            "objects": len(bench.objects),
            "landed_bytes": sum(path.stat().st_size for path in bench.objects),
            "turns": wanted.turns,
        },
        "tools": summary(all_results, wanted.records),
    }


def markdown(document):
    machine, work, lakebed = document["machine"], document["work"], document["lakebed"]
    how = "release build of the checkout" if lakebed["built_from_it"] else f"binary {lakebed['binary']}; the checkout is at"
    lines = [
        f"- {document['date']}, `{document['command']}`",
        f"- lakebed {lakebed['version']}, {how} {lakebed['checkout'] or 'no commit'}",
        f"- {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb'] or '?'} GB, {machine['kernel']}, Python {machine['python']}",
        f"- {work['records']} records in {work['objects']} gzip objects ({work['landed_bytes'] / MEGABYTE:.1f} MB), turns: {work['turns']}",
        "",
        "| tool | version | median s | min s | ratio to lakebed | whole process s | peak MB | Parquet MB | rows checked |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for line in document["tools"]:
        ratio = "" if line["ratio"] is None else f"{line['ratio']:.2f}"
        lines.append(
            f"| {line['tool']} | {line['version']} | {line['median_s']:.2f} | {line['min_s']:.2f} | {ratio} | "
            f"{line['process_median_s']:.2f} | {line['peak_mb']} | {line['parquet_mb']} | {line['rows_checked']} |"
        )
    return "\n".join(lines)


def ended(name, keep, work):
    """The exit code of a comparison. `work` gets its folder, the target folder and the time, and returns what is to be printed."""
    started = datetime.datetime.now(datetime.timezone.utc)
    target = target_folder()
    try:
        with work_folder(keep, target) as folder:
            text = work(folder, target, started)
    except Failed as problem:
        say(f"{name}: {problem}")
        return 1
    print(text)
    return 0


def shown(document, output, markdown):
    return json.dumps(document, indent=2) if output == "json" else markdown(document)


def main():
    wanted = options()

    def work(folder, target, started):
        bench = Bench(binary(wanted.lakebed), interpreter(target), folder, wanted)
        return shown(report(bench, wanted, started, take_turns(bench, wanted)), wanted.output, markdown)

    return ended("run.py", wanted.keep, work)


if __name__ == "__main__":
    sys.exit(main())
