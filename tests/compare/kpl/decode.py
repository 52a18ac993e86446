"""Takes aggregates apart with AWS's own library for Python.

Reads a JSON list of {"key", "data"} (data in base64) from standard input; writes the list of what is
inside, in the same form. With `--make` it does the opposite: packs the records into aggregates.
"""

import base64
import json
import sys

from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records


def decode(records):
    event = [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "sequenceNumber": str(number),
                "approximateArrivalTimestamp": 0,
                "partitionKey": record["key"],
                "data": record["data"],
            }
        }
        for number, record in enumerate(records)
    ]
    for record in deaggregate_records(event):
        inside = record["kinesis"]
        data = inside["data"]
        yield {
            "key": inside["partitionKey"],
            "data": data.decode() if isinstance(data, bytes) else data,
        }


def make(records):
    aggregator = RecordAggregator()
    full = []
    for record in records:
        data = base64.b64decode(record["data"])
        done = aggregator.add_user_record(record["key"], data, None)
        full.extend([done] if done else [])
    last = aggregator.clear_and_get()
    full.extend([last] if last else [])
    for aggregate in full:
        key, _, data = aggregate.get_contents()
        yield {"key": key, "data": base64.b64encode(data).decode()}


work = make if "--make" in sys.argv else decode
json.dump(list(work(json.load(sys.stdin))), sys.stdout)
