"""Reads Parquet files that were appended to, by their indexes too, and prints what it found as one JSON document.

    appended.py ID FILE...

    {"row_groups": 9, "indexed": true, "ids": ["a", ...], "duckdb": [["a", 1], ...], "pyarrow": [["a", 1], ...]}

`row_groups` are those of all files, `indexed` says if each column chunk has a column index and an offset index, `ids` are the values of
column ID in the order of the files, "" for null. `duckdb` and `pyarrow` say of each tenth ID how many rows a filter on it finds.
"""

import json
import sys

import duckdb
import pyarrow.dataset
import pyarrow.parquet

column, files = sys.argv[1], sys.argv[2:]
footers = [pyarrow.parquet.read_metadata(file) for file in files]
groups = [footer.row_group(at) for footer in footers for at in range(footer.num_row_groups)]
chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
ids = [value for file in files for value in pyarrow.parquet.read_table(file, columns=[column])[column].to_pylist()]
dataset = pyarrow.dataset.dataset(files, format="parquet")
relation = duckdb.read_parquet(files, hive_partitioning=False)
some = [value for value in ids[::10] if value is not None]
document = {
    "row_groups": len(groups),
    "indexed": all(chunk.has_column_index and chunk.has_offset_index for chunk in chunks),
    "ids": [value or "" for value in ids],
    "duckdb": [[value, relation.filter(duckdb.ColumnExpression(column) == value).aggregate("count(*)").fetchall()[0][0]] for value in some],
    "pyarrow": [[value, dataset.count_rows(filter=pyarrow.dataset.field(column) == value)] for value in some],
}
json.dump(document, sys.stdout)
