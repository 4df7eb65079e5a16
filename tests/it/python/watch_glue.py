"""Reads some hours of a table again and again through the Glue Data Catalog with awswrangler, until standard input ends.

    watch_glue.py DATABASE TABLE HOUR…

    {"reads": 95, "totals": {"10": [60, 75, …], "11": […]}}

It prints `read` after each read, and at the end, as one document, how often it read, and the counts of each hour in the order seen, each once
until another one is seen. A read that fails, or rows of which two have the same id, end it with an error.

`read_parquet_table` with a filter asks Glue for the partitions, filters them by their locations, lists each location that is left, once, and reads
those files. It goes through the registered location: it never lists the folder of an hour, in which the files of all generations lie. A filter
must be given for that, or it lists the table's whole folder.
"""

import json
import sys
import threading

import awswrangler


def main():
    database, table, *hours = sys.argv[1:]
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    reads, totals = 0, {hour: [] for hour in hours}
    last = False
    while not last:
        # What was committed before the end is read once more.
        last = ended.is_set()
        rows = awswrangler.s3.read_parquet_table(
            database=database,
            table=table,
            partition_filter=lambda partition: partition["hour"] in hours,
            columns=["event_id", "hour"],
            use_threads=False,
        )
        assert rows["event_id"].is_unique, "an event is there twice"
        counts = rows["hour"].astype(str).value_counts()
        for hour in hours:
            seen = int(counts.get(hour, 0))
            if totals[hour][-1:] != [seen]:
                totals[hour].append(seen)
        reads += 1
        print("read", flush=True)
    print(json.dumps({"reads": reads, "totals": totals}), flush=True)


main()
