"""Reads one partition of a table through the Glue Data Catalog with awswrangler, and prints what it has.

    read_glue.py DATABASE TABLE KEY VALUE [values]

    {"rows": 3, "first": "least event_id", "ids": 3, "columns": ["event_id", …], "values": [{"event_id": …}, …]}

The values are those of all rows, ordered by `event_id`: maps and structs as objects, decimals as texts, times as texts with microseconds.
"""

import json
import sys

import awswrangler
import pyarrow


def main():
    database, table, key, value, *wanted = sys.argv[1:]
    rows = awswrangler.s3.read_parquet_table(
        database=database,
        table=table,
        partition_filter=lambda partition: partition[key] == value,
        use_threads=False,
        dtype_backend="pyarrow",
    )
    ids = rows["event_id"]
    told = {"rows": len(rows), "first": ids.min(), "ids": int(ids.nunique()), "columns": list(rows.columns)}
    if wanted:
        told["values"] = values(pyarrow.Table.from_pandas(rows, preserve_index=False).sort_by("event_id"))
    print(json.dumps(told))


def values(table):
    columns = {field.name: [plain(value, field.type) for value in table[field.name].to_pylist()] for field in table.schema}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def plain(value, kind):
    if value is None:
        return None
    if pyarrow.types.is_dictionary(kind):
        return plain(value, kind.value_type)
    if pyarrow.types.is_map(kind):
        return {name: plain(of, kind.item_type) for name, of in value}
    if pyarrow.types.is_struct(kind):
        return {field.name: plain(value[field.name], field.type) for field in kind}
    if pyarrow.types.is_list(kind):
        return [plain(one, kind.value_type) for one in value]
    if pyarrow.types.is_timestamp(kind):
        return value.isoformat(timespec="microseconds")
    if pyarrow.types.is_decimal(kind):
        return str(value)
    return value


main()
