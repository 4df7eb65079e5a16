"""Reads Parquet files with an independent engine and prints, as one JSON document, what it found.

    read_table.py duckdb|pyarrow [--order-by COLUMN] [--values N] FILE...

    {"rows": 2, "schema": {"id": "bigint", ...}, "digest": "...", "digest_in_order": "...", "values": [{"id": 1, ...}]}

`schema` has the columns in order, in one vocabulary for all engines (Hive's type text; `timestamptz` where the file says UTC).
`digest` is the SHA-256 over the sorted SHA-256 digests of the rows, `digest_in_order` that over the rows as they stand.
`values` are the first N rows ordered by COLUMN, nulls last (as they stand without COLUMN). Files are read as one table, by
column name; a column that a file lacks is null.

Both engines decode the files themselves. Values have one form: whole numbers, booleans and null as in JSON; floats as Python's
repr (NaN and infinities as text); timestamps as 2026-11-19T10:00:00.000000Z; dates as ISO; decimals as text with all their digits;
binary as hexadecimal text; structs as objects with sorted names; maps as lists of [key, value], sorted by key.
"""

import argparse
import datetime
import decimal
import hashlib
import heapq
import json
import math
import sys
from json.encoder import encode_basestring

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

BATCH_ROWS = 16_384
EPOCH = datetime.datetime(1970, 1, 1)


def read_pyarrow(files):
    """Column types and record batches, decoded by Arrow C++."""
    schema = pa.unify_schemas([pyarrow.parquet.read_schema(file).remove_metadata() for file in files])
    dataset = pyarrow.dataset.dataset(files, schema=schema, format="parquet")
    return [(field.name, arrow_type(field.type)) for field in schema], dataset.to_batches(batch_size=BATCH_ROWS)


def read_duckdb(files):
    """Column types and record batches, decoded by DuckDB. Arrow only carries the decoded values."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    relation = connection.read_parquet(files, hive_partitioning=False, union_by_name=len(files) > 1)
    types = [(name, duckdb_type(type_)) for name, type_ in zip(relation.columns, relation.types)]
    return types, relation.to_arrow_reader(BATCH_ROWS)


def arrow_type(type_):
    """An Arrow type in the common vocabulary."""
    simple = {
        pa.bool_(): "boolean",
        pa.int8(): "tinyint",
        pa.int16(): "smallint",
        pa.int32(): "int",
        pa.int64(): "bigint",
        pa.float32(): "float",
        pa.float64(): "double",
        pa.string(): "string",
        pa.large_string(): "string",
        pa.string_view(): "string",
        pa.binary(): "binary",
        pa.large_binary(): "binary",
        pa.binary_view(): "binary",
        pa.date32(): "date",
    }
    if type_ in simple:
        return simple[type_]
    if pa.types.is_timestamp(type_):
        return ("timestamp" if type_.tz is None else "timestamptz") + ("_ns" if type_.unit == "ns" else "")
    if pa.types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if pa.types.is_dictionary(type_):
        return arrow_type(type_.value_type)
    if pa.types.is_map(type_):
        return f"map<{arrow_type(type_.key_type)},{arrow_type(type_.item_type)}>"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"array<{arrow_type(type_.value_type)}>"
    if pa.types.is_struct(type_):
        return "struct<" + ",".join(f"{field.name}:{arrow_type(field.type)}" for field in type_) + ">"
    raise TypeError(f"no common name for the Arrow type {type_}")


def duckdb_type(type_):
    """A DuckDB type in the common vocabulary."""
    simple = {
        "boolean": "boolean",
        "tinyint": "tinyint",
        "smallint": "smallint",
        "integer": "int",
        "bigint": "bigint",
        "float": "float",
        "double": "double",
        "varchar": "string",
        "blob": "binary",
        "date": "date",
        "timestamp": "timestamp",
        "timestamp_ns": "timestamp_ns",
        "timestamp with time zone": "timestamptz",
    }
    if type_.id in simple:
        return simple[type_.id]
    children = dict(type_.children) if type_.id in ("decimal", "map", "list", "struct") else {}
    if type_.id == "decimal":
        return f"decimal({children['precision']},{children['scale']})"
    if type_.id == "map":
        return f"map<{duckdb_type(children['key'])},{duckdb_type(children['value'])}>"
    if type_.id == "list":
        return f"array<{duckdb_type(children['child'])}>"
    if type_.id == "struct":
        return "struct<" + ",".join(f"{name}:{duckdb_type(child)}" for name, child in type_.children) + ">"
    raise TypeError(f"no common name for the DuckDB type {type_}")


def texts(array):
    """The canonical JSON text of every value of an array."""
    type_ = array.type
    if pa.types.is_dictionary(type_):
        return texts(array.dictionary_decode())
    if pa.types.is_struct(type_):
        return struct_texts(array)
    if pa.types.is_map(type_):
        keys, values = elements(array, array.keys), elements(array, array.items)
        pairs = [f"[{key},{value}]" for key, value in zip(keys, values)]
        return slices(array, lambda start, end: "[" + ",".join(sorted(pairs[start:end])) + "]")
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        values = elements(array, array.values)
        return slices(array, lambda start, end: "[" + ",".join(values[start:end]) + "]")
    if pa.types.is_timestamp(type_):
        array = array.cast(pa.timestamp("us", type_.tz)).cast(pa.int64())
    form = formatter(type_)
    return ["null" if value is None else form(value) for value in array.to_pylist()]


def struct_texts(array):
    names = [field.name for field in array.type]
    children = {name: texts(child) for name, child in zip(names, array.flatten())}
    template = object_template(sorted(names))
    rows = zip(*(children[name] for name in sorted(names)))
    return [template % row if valid else "null" for row, valid in zip(rows, array.is_valid().to_pylist())]


def elements(array, child):
    """The texts of the part of a child array that a list or map array, itself a slice, refers to."""
    start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
    return texts(child.slice(start, end - start))


def slices(array, form):
    """Formats the stretch of elements that belongs to each value of a list or map array."""
    offsets = array.offsets.to_pylist()
    ends = [offset - offsets[0] for offset in offsets]
    return [form(start, end) if valid else "null" for start, end, valid in zip(ends, ends[1:], array.is_valid().to_pylist())]


def formatter(type_):
    if pa.types.is_boolean(type_):
        return lambda value: "true" if value else "false"
    if pa.types.is_integer(type_):
        return str
    if pa.types.is_floating(type_):
        return lambda value: repr(value) if math.isfinite(value) else f'"{value}"'
    if arrow_type(type_) == "string":
        return encode_basestring
    if arrow_type(type_) == "binary":
        return lambda value: f'"{value.hex()}"'
    if pa.types.is_decimal(type_):
        return lambda value: f'"{value:f}"'
    if pa.types.is_date(type_):
        return lambda value: f'"{value.isoformat()}"'
    if pa.types.is_timestamp(type_):
        return lambda value: f'"{(EPOCH + datetime.timedelta(microseconds=value)).isoformat(timespec="microseconds")}Z"'
    raise TypeError(f"no canonical form for the Arrow type {type_}")


def object_template(names):
    return "{" + ",".join(json.dumps(name).replace("%", "%%") + ":%s" for name in names) + "}"


def order_key(type_):
    """What the canonical text of a column of this type is ordered by, nulls last."""
    number = {"tinyint": int, "smallint": int, "int": int, "bigint": int, "float": float, "double": float}.get(type_)
    if type_.startswith("decimal"):
        number = lambda text: decimal.Decimal(text.strip('"'))  # noqa: E731
    return lambda text: (text == "null", None if text == "null" else number(text) if number else text)


def digest(parts):
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def main():
    arguments = argparse.ArgumentParser(description="Reads Parquet files with an independent engine.")
    arguments.add_argument("engine", choices=["duckdb", "pyarrow"])
    arguments.add_argument("--order-by", metavar="COLUMN")
    arguments.add_argument("--values", type=int, default=5, metavar="N")
    arguments.add_argument("files", nargs="+", metavar="FILE")
    wanted = arguments.parse_args()

    schema, batches = {"duckdb": read_duckdb, "pyarrow": read_pyarrow}[wanted.engine](wanted.files)
    names = sorted(name for name, _ in schema)
    template = object_template(names)
    key = order_key(dict(schema)[wanted.order_by]) if wanted.order_by else None
    digests, first = [], []
    for batch in batches:
        columns = {name: texts(batch.column(name)) for name in names}
        rows = [template % row for row in zip(*(columns[name] for name in names))]
        digests.extend(hashlib.sha256(row.encode()).digest() for row in rows)
        if key is None:
            first.extend(rows[: wanted.values - len(first)])
        else:
            keyed = ((key(text), row) for text, row in zip(columns[wanted.order_by], rows))
            first = heapq.nsmallest(wanted.values, [*first, *keyed])
    document = {
        "rows": len(digests),
        "schema": dict(schema),
        "digest": digest(sorted(digests)),
        "digest_in_order": digest(digests),
        "values": [json.loads(row if key is None else row[1]) for row in first],
    }
    json.dump(document, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
