"""Reads the Parquet files of each tool with DuckDB and prints what their rows come to, in a form that does not depend on order.

    compare.py < {"lakebed": ["part-00000.parquet"], "chdb": ["clicks.parquet"]}

    {"lakebed": {"rows": 300000, "ids": 300000, "columns": {"event_id": [300000, "2766…"], "page.url": […], …}}, …}

`ids` counts the different event ids. A column, or a field of one, has the number of its values that are not null, and the sum over
all rows of a hash of the event's id and the value. Where the ids are all different and the sums are equal, so are the rows.
Values are brought to one form first, because the tools' types are not all the same: doubles to 6 digits behind the point, prices to
cents, times to microseconds since 1970, a list that is missing to an empty one, a struct that is missing to a struct of nulls, and a
map, or the struct of its keys, to its sorted entries.
"""

import json
import sys

import duckdb

AS_THEY_ARE = (
    "event_id event_name user_id session_id page.url page.title page.referrer page.path geo.country geo.city device.type device.os "
    "device.browser device.screen.width device.screen.height metadata.ingest.version metadata.ingest.shard metadata.collector "
    "user_agent ip is_bot is_logged_in sequence consent.analytics consent.ads"
).split()
DOUBLES = "geo.lat geo.lon engagement".split()
TIMES = "collector_tstamp device_tstamp".split()


def expressions(types):
    """What is compared, as SQL: names to expressions. `types` are the file's columns with their types."""
    found = {name: name for name in AS_THEY_ARE}
    found |= {name: f"round({name} * 1e6)::BIGINT" for name in DOUBLES}
    found |= {name: f"epoch_us({name})" for name in TIMES}
    found["items"] = (
        "list_transform(coalesce(items, []), lambda item: "
        "[item.sku, item.name, (round(item.price::DOUBLE * 100)::BIGINT)::VARCHAR, item.quantity::VARCHAR])"
    )
    if types["attributes"].id == "map":
        entries = "list_transform(map_entries(attributes), lambda entry: [entry.key, entry.value])"
    else:
        keys = [name for name, _ in types["attributes"].children]
        pairs = ", ".join(f"""['{key}', attributes."{key}"]""" for key in keys)
        entries = f"list_filter([{pairs}], lambda pair: pair[2] IS NOT NULL)"
    found["attributes"] = f"list_sort({entries})"
    return found


def come_to(files):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    relation = connection.read_parquet(files, hive_partitioning=False)
    compared = expressions(dict(zip(relation.columns, relation.types)))
    sums = ", ".join(f"count({form}), sum(hash(event_id, {form}))::VARCHAR" for form in compared.values())
    [(rows, ids, *values)] = relation.query("clicks", f"SELECT count(*), count(DISTINCT event_id), {sums} FROM clicks").fetchall()
    columns = {name: values[2 * place : 2 * place + 2] for place, name in enumerate(compared)}
    return {"rows": rows, "ids": ids, "columns": columns}


if __name__ == "__main__":
    json.dump({tool: come_to(files) for tool, files in json.load(sys.stdin).items()}, sys.stdout)
