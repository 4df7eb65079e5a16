"""Sends records to Firehose streams, each as one batch, and makes streams that do not exist.

    put_firehose.py FILE

FILE holds [{"stream": NAME, "destination": {…}, "records": ["text of a record", …]}, …]; a destination is an ExtendedS3DestinationConfiguration
without the role. At what time the records arrive, the emulator is told elsewhere. Prints {"sent": 40}.
"""

import json
import sys

import boto3

ROLE = "arn:aws:iam::123456789012:role/firehose"


def main():
    with open(sys.argv[1]) as file:
        streams = json.load(file)
    firehose = boto3.client("firehose")
    there = firehose.list_delivery_streams()["DeliveryStreamNames"]
    sent = 0
    for stream in streams:
        name = stream["stream"]
        if name not in there:
            destination = {"RoleARN": ROLE, **stream["destination"]}
            firehose.create_delivery_stream(
                DeliveryStreamName=name, DeliveryStreamType="DirectPut", ExtendedS3DestinationConfiguration=destination
            )
        records = [{"Data": record.encode()} for record in stream["records"]]
        answer = firehose.put_record_batch(DeliveryStreamName=name, Records=records)
        assert answer["FailedPutCount"] == 0, answer
        sent += len(records)
    print(json.dumps({"sent": sent}))


main()
