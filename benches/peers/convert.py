"""Converts landed clicks into one Parquet file with one tool, and prints how long the conversion took.

    convert.py TOOL OUT OBJECT...

    {"version": "2.0.0", "seconds": 1.9}

`seconds` is the conversion alone: from behind the imports to the end of the written file. OBJECTs are gzip, compressed JSON
documents with nothing between them; for the tools in NEWLINE_DELIMITED with a line feed behind each, because these read nothing
else. The file has the columns of migrations/shop.clicks, compressed with zstd at level 1, and the tool's own row groups. All tools
are told the types, use the threads they choose themselves, and differ in their columns only where their docstring says so.
"""

import json
import os
import sys
import time

# Tools that read JSON only with a line feed behind each document.
NEWLINE_DELIMITED = ("polars", "pandas")

# The keys of `attributes` that `lakebed generate` writes, for tools that read no map.
ATTRIBUTE_KEYS = (
    "utm_source utm_medium utm_campaign utm_term utm_content gclid fbclid experiment_checkout_v3 experiment_search_rank "
    "experiment_price_badge experiment_new_nav experiment_free_shipping feature_dark_mode feature_wishlist ab_bucket affiliate_id "
    "coupon currency store search_query search_results sort_order filter.brand filter.price scroll_depth video_id video_position "
    "form_id error_code"
).split() + ["A/B note"]


def duckdb(out, objects):
    """All columns as in the migration. Rows stay in the order of the objects."""
    return convert_with_duckdb(out, objects, "true")


def duckdb_unordered(out, objects):
    """All columns as in the migration. DuckDB may write the rows in any order, which spares it work."""
    return convert_with_duckdb(out, objects, "false")


def convert_with_duckdb(out, objects, in_order):
    import duckdb

    columns = {
        "event_id": "VARCHAR",
        "event_name": "VARCHAR",
        "user_id": "VARCHAR",
        "session_id": "VARCHAR",
        "collector_tstamp": "TIMESTAMP",
        "device_tstamp": "TIMESTAMP",
        "page": "STRUCT(url VARCHAR, title VARCHAR, referrer VARCHAR, path VARCHAR)",
        "geo": "STRUCT(country VARCHAR, city VARCHAR, lat DOUBLE, lon DOUBLE)",
        "device": 'STRUCT("type" VARCHAR, os VARCHAR, browser VARCHAR, screen STRUCT(width INTEGER, height INTEGER))',
        "items": "STRUCT(sku VARCHAR, name VARCHAR, price DECIMAL(10, 2), quantity INTEGER)[]",
        "attributes": "MAP(VARCHAR, VARCHAR)",
        "metadata": "STRUCT(ingest STRUCT(version VARCHAR, shard INTEGER), collector VARCHAR)",
        "user_agent": "VARCHAR",
        "ip": "VARCHAR",
        "is_bot": "BOOLEAN",
        "is_logged_in": "BOOLEAN",
        "sequence": "BIGINT",
        "engagement": "DOUBLE",
        "consent": "STRUCT(analytics BOOLEAN, ads BOOLEAN)",
    }
    started = time.perf_counter()
    connection = duckdb.connect()
    connection.execute(f"SET preserve_insertion_order = {in_order}")
    connection.execute(
        f"COPY (SELECT * FROM read_json({sql_list(objects)}, format = 'unstructured', compression = 'gzip', columns = {columns})) "
        f"TO {sql_text(out)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )
    connection.close()
    return duckdb.__version__, time.perf_counter() - started


def chdb(out, objects):
    """ClickHouse. Arrays, maps and tuples cannot be null in it: what a record lacks is empty, or a tuple of nulls. Times are UTC in
    the file's types. Rows come in no order."""
    import chdb

    text, whole, number, flag = "Nullable(String)", "Nullable(Int32)", "Nullable(Float64)", "Nullable(Bool)"
    columns = {
        "event_id": text,
        "event_name": text,
        "user_id": text,
        "session_id": text,
        "collector_tstamp": "Nullable(DateTime64(6, 'UTC'))",
        "device_tstamp": "Nullable(DateTime64(6, 'UTC'))",
        "page": f"Tuple(url {text}, title {text}, referrer {text}, path {text})",
        "geo": f"Tuple(country {text}, city {text}, lat {number}, lon {number})",
        "device": f"Tuple(type {text}, os {text}, browser {text}, screen Tuple(width {whole}, height {whole}))",
        "items": f"Array(Tuple(sku {text}, name {text}, price Nullable(Decimal(10, 2)), quantity {whole}))",
        "attributes": f"Map(String, {text})",
        "metadata": f"Tuple(ingest Tuple(version {text}, shard {whole}), collector {text})",
        "user_agent": text,
        "ip": text,
        "is_bot": flag,
        "is_logged_in": flag,
        "sequence": "Nullable(Int64)",
        "engagement": number,
        "consent": f"Tuple(analytics {flag}, ads {flag})",
    }
    schema = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
    folder = os.path.dirname(objects[0])
    names = ",".join(os.path.basename(path) for path in objects)
    started = time.perf_counter()
    chdb.query(
        f"SELECT * FROM file({sql_text(folder + '/{' + names + '}')}, 'JSONEachRow', {sql_text(schema)}, 'gzip') "
        f"INTO OUTFILE {sql_text(out)} FORMAT Parquet "
        "SETTINGS date_time_input_format = 'best_effort', output_format_parquet_compression_method = 'zstd', "
        "output_format_compression_level = 1"
    )
    return f"{chdb.__version__} (ClickHouse {chdb.engine_version})", time.perf_counter() - started


def pyarrow(out, objects):
    """`attributes` is a struct of the keys that occur: Arrow reads no map from a JSON object. As many objects are read ahead as there
    are cores; each is parsed by Arrow's own threads, and is a row group."""
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet
    from concurrent.futures import ThreadPoolExecutor

    schema = arrow_schema(pa, pa.struct([(key, pa.string()) for key in ATTRIBUTE_KEYS]), pa.decimal128(10, 2))
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error", newlines_in_values=True)
    started = time.perf_counter()
    with pa.parquet.ParquetWriter(out, schema, compression="zstd", compression_level=1) as writer, ThreadPoolExecutor(os.cpu_count()) as pool:
        for table in pool.map(lambda path: pa.json.read_json(pa.input_stream(path, compression="gzip"), parse_options=parse), objects):
            writer.write_table(table)
    return pa.__version__, time.perf_counter() - started


def polars(out, objects):
    """`attributes` is a struct of the keys that occur, because Polars has no map; prices are doubles, because it reads no decimals from
    JSON. Times are read as text and then converted, which is faster than its own way. Reads newline-delimited JSON only."""
    import polars as pl

    text = pl.String
    schema = {
        "event_id": text,
        "event_name": text,
        "user_id": text,
        "session_id": text,
        "collector_tstamp": text,
        "device_tstamp": text,
        "page": pl.Struct({"url": text, "title": text, "referrer": text, "path": text}),
        "geo": pl.Struct({"country": text, "city": text, "lat": pl.Float64, "lon": pl.Float64}),
        "device": pl.Struct({"type": text, "os": text, "browser": text, "screen": pl.Struct({"width": pl.Int32, "height": pl.Int32})}),
        "items": pl.List(pl.Struct({"sku": text, "name": text, "price": pl.Float64, "quantity": pl.Int32})),
        "attributes": pl.Struct({key: text for key in ATTRIBUTE_KEYS}),
        "metadata": pl.Struct({"ingest": pl.Struct({"version": text, "shard": pl.Int32}), "collector": text}),
        "user_agent": text,
        "ip": text,
        "is_bot": pl.Boolean,
        "is_logged_in": pl.Boolean,
        "sequence": pl.Int64,
        "engagement": pl.Float64,
        "consent": pl.Struct({"analytics": pl.Boolean, "ads": pl.Boolean}),
    }
    started = time.perf_counter()
    times = pl.col("collector_tstamp", "device_tstamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    pl.scan_ndjson(objects, schema=schema).with_columns(times).sink_parquet(out, compression="zstd", compression_level=1)
    return pl.__version__, time.perf_counter() - started


def pandas(out, objects):
    """Prices are doubles: pandas reads no decimals from JSON. Reads newline-delimited JSON only, on one core."""
    import pandas as pd
    import pyarrow as pa

    schema = arrow_schema(pa, pa.map_(pa.string(), pa.string()), pa.float64())
    started = time.perf_counter()
    frame = pd.concat([pd.read_json(path, lines=True, dtype=False, compression="gzip") for path in objects], ignore_index=True)
    for name in ("collector_tstamp", "device_tstamp"):
        frame[name] = pd.to_datetime(frame[name], format="%Y-%m-%dT%H:%M:%S.%fZ")
    frame.to_parquet(out, compression="zstd", compression_level=1, index=False, schema=schema)
    return pd.__version__, time.perf_counter() - started


def arrow_schema(pa, attributes, price):
    text = pa.string()

    def struct(**fields):
        return pa.struct(list(fields.items()))

    return pa.schema(
        [
            ("event_id", text),
            ("event_name", text),
            ("user_id", text),
            ("session_id", text),
            ("collector_tstamp", pa.timestamp("us")),
            ("device_tstamp", pa.timestamp("us")),
            ("page", struct(url=text, title=text, referrer=text, path=text)),
            ("geo", struct(country=text, city=text, lat=pa.float64(), lon=pa.float64())),
            ("device", struct(type=text, os=text, browser=text, screen=struct(width=pa.int32(), height=pa.int32()))),
            ("items", pa.list_(struct(sku=text, name=text, price=price, quantity=pa.int32()))),
            ("attributes", attributes),
            ("metadata", struct(ingest=struct(version=text, shard=pa.int32()), collector=text)),
            ("user_agent", text),
            ("ip", text),
            ("is_bot", pa.bool_()),
            ("is_logged_in", pa.bool_()),
            ("sequence", pa.int64()),
            ("engagement", pa.float64()),
            ("consent", struct(analytics=pa.bool_(), ads=pa.bool_())),
        ]
    )


def sql_text(value):
    return "'" + value.replace("'", "''") + "'"


def sql_list(values):
    return "[" + ", ".join(sql_text(value) for value in values) + "]"


TOOLS = {
    "duckdb": duckdb,
    "duckdb-unordered": duckdb_unordered,
    "chdb": chdb,
    "pyarrow": pyarrow,
    "polars": polars,
    "pandas": pandas,
}


def main():
    tool, out, *objects = sys.argv[1:]
    version, seconds = TOOLS[tool](out, objects)
    json.dump({"version": version, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
