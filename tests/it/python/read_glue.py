"""Reads one partition of a table through the Glue Data Catalog with awswrangler, and prints what it has.

    read_glue.py DATABASE TABLE KEY VALUE

    {"rows": 3, "first": "least event_id", "ids": 3, "columns": ["event_id", …]}
"""

import json
import sys

import awswrangler


def main():
    database, table, key, value = sys.argv[1:]
    rows = awswrangler.s3.read_parquet_table(
        database=database, table=table, partition_filter=lambda partition: partition[key] == value, use_threads=False
    )
    ids = rows["event_id"]
    print(json.dumps({"rows": len(rows), "first": ids.min(), "ids": int(ids.nunique()), "columns": list(rows.columns)}))


main()
