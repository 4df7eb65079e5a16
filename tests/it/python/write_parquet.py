"""Writes Parquet files as Arrow C++ does, with values that follow from their row's number.

    write_parquet.py OUTDIR ROWS

`flat-snappy.parquet`, `nested-zstd.parquet` and `dictionary-none.parquet` have the same rows in different forms.
"""

import argparse
import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

UTC = datetime.timezone.utc
START = datetime.datetime(2026, 11, 19, 10, tzinfo=UTC)


def row(number):
    return {
        "id": f"e{number}",
        "n": number,
        "at": START + datetime.timedelta(microseconds=number * 1_000_001),
        "price": decimal.Decimal(number) / 100 if number % 7 else None,
        "page": {"url": f"/p/{number % 5}", "depth": number % 3} if number % 11 else None,
        "tags": [f"t{tag}" for tag in range(number % 4)] if number % 13 else None,
        "attributes": [("source", f"s{number % 3}")] if number % 2 else [],
        "extra": number % 2 == 0,
    }


def schema(unit, zone, text):
    return pa.schema([
        ("id", text),
        ("n", pa.int64()),
        ("at", pa.timestamp(unit, zone)),
        ("price", pa.decimal128(10, 2)),
        ("page", pa.struct([("url", pa.string()), ("depth", pa.int32())])),
        ("tags", pa.list_(pa.string())),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("extra", pa.bool_()),
    ])


def main():
    arguments = argparse.ArgumentParser(description="Writes Parquet files.")
    arguments.add_argument("outdir", metavar="OUTDIR", type=Path)
    arguments.add_argument("rows", metavar="ROWS", type=int)
    wanted = arguments.parse_args()

    wanted.outdir.mkdir(parents=True, exist_ok=True)
    rows = [row(number) for number in range(wanted.rows)]
    forms = {
        "flat-snappy.parquet": (schema("us", "UTC", pa.string()), {"compression": "snappy", "row_group_size": 700}),
        "nested-zstd.parquet": (schema("ns", "Europe/Berlin", pa.large_string()), {"compression": "zstd", "data_page_version": "2.0"}),
        "dictionary-none.parquet": (schema("us", None, pa.string()), {"compression": "none", "data_page_size": 1000, "version": "1.0"}),
    }
    for name, (columns, options) in forms.items():
        values = rows if columns.field("at").type.tz else [{**one, "at": one["at"].replace(tzinfo=None)} for one in rows]
        pyarrow.parquet.write_table(pa.Table.from_pylist(values, schema=columns), wanted.outdir / name, **options)


if __name__ == "__main__":
    main()
