#!/usr/bin/env python3
"""Runs the README's first command in a clean copy of the tree and checks what it made.

Usage: check_quick_start.py COPY

The command and the output it must have are read from COPY/README.md: the first block marked `sh`, and the block marked
`text` that follows it. CARGO_TARGET_DIR may name the target folder; without it cargo uses COPY/target.
Ends with 0 if everything is as the README says, with 1 and one message otherwise.
"""

import difflib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

HOURS = ["10", "11", "12", "13"]
ROWS_AN_HOUR = 1970
QUARANTINED_AN_HOUR = 10
DUPLICATES_AN_HOUR = 20
OBJECTS_AN_HOUR = 4
EXAMPLE = "examples/clicks"


class Wrong(Exception):
    """What is not as it has to be, as one message."""


def expect(what, found, wanted):
    if found != wanted:
        raise Wrong(f"{what}: expected {wanted!r}, found {found!r}")


def first_commands(readme):
    """The README's two commands, and the output that it shows of the first."""
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    commands = [text.strip() for kind, text in blocks if kind == "sh"]
    expect("the commands in README.md (blocks marked `sh`)", commands[1:], ["cargo test"])
    shown = [text for kind, text in blocks[1:] if kind == "text"]
    if blocks[0][0] != "sh" or not shown:
        raise Wrong("README.md must begin with a command (a block marked `sh`), followed by its output (a block marked `text`)")
    return commands[0], shown[0]


def run(command, folder):
    """Runs a command with a shell, without input; what it says on standard error goes through."""
    done = subprocess.run(["sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        raise Wrong(f"`{command}` ended with {done.returncode}; it printed\n{done.stdout}")
    return done.stdout


def compare(shown, printed):
    if shown.strip() == printed.strip():
        return
    lines = difflib.unified_diff(shown.splitlines(), printed.splitlines(), "shown in README.md", "really printed", lineterm="")
    raise Wrong("README.md does not show what its first command prints; correct one of them:\n" + "\n".join(lines))


class Lake:
    """The built binary, asked about the example."""

    def __init__(self, copy):
        self.copy = copy
        target = copy / os.environ.get("CARGO_TARGET_DIR", "target")
        self.binary = target / "debug" / "lakebed"

    def ask(self, *arguments):
        command = [str(self.binary), *arguments, "--config", f"{EXAMPLE}/lakebed.toml", "--output", "json"]
        done = subprocess.run(command, cwd=self.copy, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
        if done.returncode != 0:
            raise Wrong(f"`lakebed {arguments[0]}` ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def files(self):
        """All files of the table and of the state, with their content and the time they were written."""
        folders = [self.copy / EXAMPLE / name for name in ("lake", ".lakebed")]
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return {str(file.relative_to(self.copy)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def check_queries(lake):
    rows = lake.ask("query", "SELECT hour, count(*) AS n, count(DISTINCT event_id) AS ids FROM shop.clicks GROUP BY hour ORDER BY hour")
    expect("rows by hour", rows, [{"hour": hour, "n": ROWS_AN_HOUR, "ids": ROWS_AN_HOUR} for hour in HOURS])
    bad = lake.ask("query", "SELECT hour, count(*) AS n FROM shop.clicks_quarantine GROUP BY hour ORDER BY hour")
    expect("quarantined records by hour", bad, [{"hour": hour, "n": QUARANTINED_AN_HOUR} for hour in HOURS])
    empty = lake.ask("query", "SELECT count(*) AS n FROM shop.clicks_quarantine WHERE length(encode(raw, 'hex')) <> 2 * byte_length OR reason IS NULL")
    expect("quarantined records without their bytes or a reason", empty, [{"n": 0}])


def check_partitions(lake):
    partitions = lake.ask("partitions", "shop.clicks")
    expect("hours of the partitions", [partition["values"]["hour"] for partition in partitions], HOURS)
    for partition in partitions:
        hour = partition["values"]["hour"]
        told = {key: partition[key] for key in ("rows", "files", "ledger_version", "state", "in_catalog")}
        wanted = {"rows": ROWS_AN_HOUR, "files": 1, "ledger_version": 1, "state": "closed", "in_catalog": True}
        expect(f"the partition of hour {hour}", told, wanted)
        folder = Path(unquote(urlparse(partition["location"]).path))
        sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
        expect(f"the files of hour {hour} in {folder}", sizes, {"part-00000.parquet": partition["bytes"]})


def check_status(lake):
    [table] = lake.ask("status")
    expect("rows and quarantined records of the table", (table["rows"], table["quarantined"]), (7880, 40))
    expect("hours without a landed object", table["gaps"], [])
    for hour in table["hours"]:
        counts = {"read": 2000, "merged": ROWS_AN_HOUR, "quarantined": QUARANTINED_AN_HOUR, "duplicates": DUPLICATES_AN_HOUR, "dropped": 0}
        expect(f"the records of {hour['hour']}", hour["records"], counts)
        told = (hour["state"], hour["merged"], hour["pending"], hour["complete"])
        expect(f"the state of {hour['hour']}", told, ("closed", OBJECTS_AN_HOUR, 0, True))
    expect("duplicates", sum(hour["records"]["duplicates"] for hour in table["hours"]), 80)


def check_again(lake, command, before):
    """The command once more, and once from another folder: it says that there is nothing to do, and writes nothing."""
    script = lake.copy / EXAMPLE / "quickstart.sh"
    for folder, again in ((lake.copy, command), (lake.copy.parent, f"sh '{script}'")):
        printed = run(again, folder)
        if "shop.clicks: nothing to do" not in printed:
            raise Wrong(f"`{again}` a second time does not say that there is nothing to do; it printed\n{printed}")
        after = lake.files()
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        expect(f"files that `{again}` changed a second time", changed, [])


def check(copy):
    command, shown = first_commands((copy / "README.md").read_text(encoding="utf-8"))
    printed = run(command, copy)
    lake = Lake(copy)
    check_queries(lake)
    check_partitions(lake)
    check_status(lake)
    check_again(lake, command, lake.files())
    compare(shown, printed)


def main():
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "README.md").is_file():
        print("usage: check_quick_start.py COPY, where COPY is a clean copy of the tree", file=sys.stderr)
        return 2
    try:
        check(Path(sys.argv[1]).resolve())
    except Wrong as wrong:
        print(f"check_quick_start.py: {wrong}", file=sys.stderr)
        return 1
    print("check_quick_start.py: the README's first command does what the README says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
