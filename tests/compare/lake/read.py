"""Reads an event lake with DuckDB and with pyarrow, and says what each found, as JSON."""

import json
import sys

import duckdb
import pyarrow.dataset

folder = sys.argv[1]
table = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true, hive_types = {{'dt': DATE, 'hour': VARCHAR}}, union_by_name = true)"
ask = lambda question: duckdb.sql(question).fetchall()
distinct = """
    SELECT kind, count(*), sum(watch_ms), count(arms) FROM (
        SELECT DISTINCT ON (user_id, event_id) * FROM {table} ORDER BY shard, length(sequence), sequence, record_index
    ) GROUP BY kind ORDER BY kind
""".format(table=table)
dataset = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
rows = dataset.to_table()
json.dump(
    {
        "duckdb": {
            "rows": ask(f"SELECT count(*) FROM {table}")[0][0],
            "columns": [[name, kind] for name, kind, *_ in ask(f"DESCRIBE SELECT * FROM {table}")],
            "kinds": [list(row) for row in ask(distinct)],
            "days": [str(row[0]) for row in ask(f"SELECT DISTINCT dt FROM {table} ORDER BY dt")],
        },
        "pyarrow": {
            "rows": rows.num_rows,
            "columns": [[field.name, str(field.type)] for field in dataset.schema],
            "users": len(set(rows["user_id"].to_pylist())),
        },
    },
    sys.stdout,
    default=int,
)
