"""Serves moto, the emulator of AWS, on a port of its own until standard input ends, and is stricter than moto where AWS is.

The first line printed is its URL. Every line read is one JSON document, and is answered by another:

    {}                                       a new account: {"account", "key", "secret", "token"}
    {"account": A, "fail": 0.1, "seed": 7}   from now on so many of the account's requests fail, before or after they took effect
    {"account": A, "delay": 0.05}            from now on each of its requests takes so many seconds longer
    {"account": A, "slow": {"s3:COMPLETE-NEW": 5}}   from now on each of these calls takes so many seconds longer
    {"account": A, "throttle": {"athena:GetQueryExecution": 5}}   the next calls of this kind are answered with ThrottlingException
    {"account": A, "refuse": {"glue:GetTable": "AccessDeniedException"}}   from now on these calls are answered with these codes, no other;
                                             those of S3 by their kind (`s3:LIST`), of one bucket (`s3:LIST raw`) or
                                             all of them (`s3:*`)
    {"account": A, "passing": {"glue:GetTable": ["OperationTimeoutException", 3]}}   the next three of these calls are answered with this code
    {"account": A, "entries": [["BatchCreatePartition", "11", "InvalidInputException", 3]]}   from now on the entries of these calls whose
                                             last value is this are refused with this code, each inside of an HTTP 200; so many times, -1: always
    {"account": A, "lost": {"glue:CreateTable": 12}}   the next so many calls of this kind take effect, and nobody is told
    {"account": A, "poison": "11"}           from now on batches are refused as a whole that write a partition whose last value is this
    {"account": A, "unprocessed": 2}         the next so many calls of BatchGetPartition come to none of their keys
    {"account": A, "page": 2}                from now on GetPartitions answers with so many partitions at most, first of all with none
    {"account": A, "asked": true}            what GetPartitions was asked since this was asked last: [{"Expression": …, "Segment": …}, …]
    {"account": A, "athena": R}              what Athena answers to the account's next query, as moto's own API takes it
    {"account": A, "running": 3}             so often Athena says from now on that a query is running; moto's are done at once
    {"account": A, "rows": 2}                from now on a page of an answer of Athena has so many rows at most, the header among them
    {"account": A, "ends": [2, "no such column"]}   from now on queries fail, with this category and this reason
    {"account": A, "started": true}          what StartQueryExecution was asked since this was asked last
    {"account": A, "arrival": "2026-11-19T10:05:00Z"}   when what is sent to Firehose from now on arrives
    {"account": A, "decline": 3}             the next so many entries that it puts on a bus are refused, each inside of an HTTP 200; -1: all
    {"account": A, "events": true}           the events on its buses since this was last asked: [{"Source", "DetailType", "Detail", …}, …]
    {"account": A, "read": true}             the objects that it has read since this was last asked: ["/bucket/key", …]
    {"account": A, "moved": true}            bytes of objects that went to S3 and came from there since this was last asked: [sent, received]
    {"account": A, "copying": true}          seconds in which S3 was busy with copies for it since this was last asked: moto's own time
    {"account": A, "order": true}            what it called since this was last asked, in that order: ["glue:GetTable", "s3:PUT", …]
    {"account": A, "needed": true}           what IAM had to allow since this was last asked: [["glue:GetTable", "arn:aws:glue:…"], …], with
                                             the kinds of requests in place of S3's actions
    {"account": A, "headers": true}          the headers (`HEADERS`) of its requests to S3 that write, since this was last asked: [["s3:PUT", {…}], …]
    {"account": A, "calls": true}            how often it called what since it was last asked: {"glue:GetTable": 2, "s3:PUT": 1, …};
                                             requests of S3 are told apart as far as they are paid or allowed differently: `S3_KINDS`

What moto does not check: how many entries a batch may have, that UpdateTable names the version that it replaces, and that an upload whose
parts have checksums of their own is ended with them. What it does otherwise
than Glue: it counts versions of tables from 1 instead of 0, and knows neither pages nor segments of partitions. An UpdateTable that keeps a
copy of the old version (no SkipArchive) counts as `glue:UpdateTable-ARCHIVED`. What its Firehose delivers is made in
`firehose_delivery.py`.
"""

import collections
import datetime
import io
import itertools
import json
import logging
import random
import re
import sys
import threading
import time
import urllib.parse
import xml.sax.saxutils
import zlib

import boto3
import firehose_delivery
from moto.glue.models import glue_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

REGION = "eu-central-1"
KEY = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")

# The member of a Glue request that is a list, and the most entries that it may have.
BATCHES = {
    "BatchCreatePartition": ("PartitionInputList", 0, 100),
    "BatchUpdatePartition": ("Entries", 1, 100),
    "BatchDeletePartition": ("PartitionsToDelete", 0, 25),
    "BatchGetPartition": ("PartitionsToGet", 0, 1000),
}

# Those that write partitions: the list, the values of an entry of it, and what they are called in an error.
WRITES = {
    "BatchCreatePartition": ("PartitionInputList", lambda entry: entry["Values"], "PartitionValues"),
    "BatchUpdatePartition": ("Entries", lambda entry: entry["PartitionValueList"], "PartitionValueList"),
}

# Calls whose answers are made Glue's.
CORRECTED = ("GetTable", "GetTables", "GetPartitions")


# Requests of S3 that are something else than their method says: the method, a parameter, and the name that counts.
S3_KINDS = [
    ("GET", "list-type", "LIST"),
    ("GET", "uploads", "LIST-UPLOADS"),
    ("DELETE", "uploadId", "ABORT"),
    ("POST", "uploads", "BEGIN"),
    ("POST", "uploadId", "COMPLETE"),
    ("POST", "delete", "DELETE-MANY"),
    ("PUT", "partNumber", "PUT-PART"),
]

# Calls with which S3 copies, or puts parts together: the bytes are moved by moto, in Python.
COPIES = ("s3:COPY", "s3:COPY-PART", "s3:COMPLETE", "s3:COMPLETE-NEW")

# Headers of a request of S3 that make another one of it.
S3_HEADERS = [
    ("PUT", "HTTP_X_AMZ_COPY_SOURCE", "COPY"),
    ("PUT-PART", "HTTP_X_AMZ_COPY_SOURCE", "COPY-PART"),
    ("COMPLETE", "HTTP_IF_NONE_MATCH", "COMPLETE-NEW"),
]


# Headers of requests to S3 that say how an object is written.
HEADERS = [
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-type",
]

# S3's statuses of codes; all others are told with 400.
STATUS = {
    "AccessDenied": "403 Forbidden",
    "NoSuchBucket": "404 Not Found",
    "NoSuchUpload": "404 Not Found",
    "SlowDown": "503 Slow Down",
}


class Account:
    def __init__(self):
        self.needed, self.headers, self.composite = set(), [], set()
        self.calls, self.order = collections.Counter(), []
        self.fail, self.delay, self.slow, self.random = 0.0, 0.0, {}, random.Random(0)
        self.throttle, self.running = collections.Counter(), 0
        self.lost, self.events, self.declined = collections.Counter(), [], 0
        self.refuse, self.page, self.asked = {}, 1000, []
        self.passing, self.entries, self.poison, self.unprocessed = {}, [], None, 0
        self.rows, self.ends, self.started = 1000, None, []
        self.read, self.sent, self.received = set(), 0, 0
        self.copies, self.copying, self.since = 0, 0.0, 0.0

    def copies_more(self, more):
        """One copy more or less is going on."""
        now = time.perf_counter()
        if self.copies > 0:
            self.copying += now - self.since
        self.copies, self.since = self.copies + more, now

    def passes(self, call):
        """The code with which this call is answered for the moment."""
        code, times = self.passing.get(call, (None, 0))
        if times < 1:
            return None
        self.passing[call] = (code, times - 1)
        return code

    def declines(self, action, values):
        """The code with which this entry of a batch is refused."""
        for entry in self.entries:
            call, last, code, times = entry
            if call == action and last in (None, values[-1]) and times != 0:
                entry[3] = times - 1
                return code
        return None

    def takes(self, call):
        """Whether this call is one of those to be throttled, and whether it asks for a query that is to be running."""
        throttled = self.throttle[call] > 0
        self.throttle[call] -= throttled
        running = call == "athena:GetQueryExecution" and not throttled and self.running > 0
        self.running -= running
        return throttled, running


class Strict:
    """Between the network and moto."""

    def __init__(self, emulator):
        self.emulator, self.lock = emulator, threading.Lock()
        self.accounts, self.keys = {}, {}

    def __call__(self, environ, start_response):
        signed = KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
        key, _, service = signed.groups() if signed else ("", "", "")
        account = self.accounts.get(self.keys.get(key))
        if account is None:
            return self.emulator(environ, start_response)
        action = environ.get("HTTP_X_AMZ_TARGET", environ["REQUEST_METHOD"]).rsplit(".", 1)[-1]
        asked = body_of(environ) if service in ("glue", "firehose", "events", "athena") else {}
        call = f"{service}:{s3_kind(action, environ) if service == 's3' else action}"
        if call == "glue:UpdateTable" and asked.get("SkipArchive") is not True:
            call += "-ARCHIVED"
        with self.lock:
            account.calls[call] += 1
            account.order.append(call)
            account.needed.update(needed(service, action, call, environ, asked, f"{REGION}:{self.keys[key]}"))
            if service == "s3" and call.startswith(("s3:PUT", "s3:COPY", "s3:BEGIN")):
                told = {name: environ.get("HTTP_" + name.upper().replace("-", "_")) for name in HEADERS}
                account.headers.append([call, {name: value for name, value in told.items() if value}])
            if (service, action) == ("s3", "GET") and not environ.get("QUERY_STRING"):
                account.read.add(environ["PATH_INFO"])
            if service == "s3":
                account.sent += int(environ.get("CONTENT_LENGTH") or 0)
                start_response = received(account, environ["REQUEST_METHOD"], start_response)
            fails, early = account.random.random() < account.fail, account.random.random() < 0.5
            throttled, running = account.takes(call)
            passing = account.passes(call)
            lost = account.lost[call] > 0
            account.lost[call] -= lost
            if action == "StartQueryExecution":
                account.started.append(asked)
        time.sleep(account.delay + account.slow.get(call, 0))
        if lost:
            return self.unanswered(service, environ, start_response)
        if throttled:
            return throttling(service, start_response)
        bucket = environ["PATH_INFO"].split("/")[1]
        names = (call, f"{call} {bucket}", f"{service}:*")
        refusal = (passing, "not now") if passing else self.refusal(service, action, names, self.keys[key], asked)
        refusal = refusal or without_checksums(account, call, environ)
        if refusal:
            return answer(start_response, service, STATUS.get(refusal[0], "400 Bad Request") if service == "s3" else "400 Bad Request", *refusal)
        if running:
            return still_running(start_response, body_of(environ))
        if service == "events" and action == "PutEvents" and not fails:
            return self.put_events(account, environ, start_response)
        if fails:
            return throttling(service, start_response) if early else self.unanswered(service, environ, start_response)
        if service == "glue" and action in CORRECTED:
            return self.corrected(action, account, asked, environ, start_response)
        if service == "glue" and action in WRITES:
            return self.written(action, account, asked, environ, start_response)
        if action == "BatchGetPartition" and account.unprocessed > 0:
            account.unprocessed -= 1
            return done(start_response, {"Partitions": [], "UnprocessedKeys": asked["PartitionsToGet"]})
        if action == "GetQueryExecution" and account.ends:
            return done(start_response, ended(asked, *account.ends))
        if action == "GetQueryResults":
            return self.rows(account, asked, environ, start_response)
        return self.emulated(account, call, environ, start_response)

    def unanswered(self, service, environ, start_response):
        """It takes effect, and nobody is told."""
        list(self.emulator(environ, lambda *_: lambda _: None))
        code = "InternalError" if service == "s3" else "InternalServiceException"
        return answer(start_response, service, "500 Internal Server Error", code, "the answer was lost")

    def written(self, action, account, asked, environ, start_response):
        """A batch whose entries are refused one by one, and the others taken."""
        member, values_of, named = WRITES[action]
        taken, errors = [], []
        with self.lock:
            for entry in asked[member]:
                code = account.declines(action, values_of(entry))
                if code:
                    errors.append({named: values_of(entry), "ErrorDetail": {"ErrorCode": code, "ErrorMessage": "not this one"}})
                else:
                    taken.append(entry)
        if not errors:
            return self.emulator(environ, start_response)
        found = {"Errors": []}
        if taken:
            body = json.dumps({**asked, member: taken}).encode()
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
            found = json.loads(b"".join(self.emulator(environ, lambda *_: None)))
        return done(start_response, {"Errors": found.get("Errors", []) + errors})

    def rows(self, account, asked, environ, start_response):
        """A page of an answer of Athena; moto knows none."""
        told = []
        body = b"".join(self.emulator(environ, lambda status, headers, *_: told.append(status)))
        if not told[0].startswith("200"):
            start_response(told[0], [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))])
            return [body]
        found = json.loads(body)
        rows = found["ResultSet"]["Rows"]
        start, size = int(asked.get("NextToken") or 0), min(account.rows, asked.get("MaxResults", 1000))
        found["ResultSet"]["Rows"] = rows[start : start + size]
        if start + size < len(rows):
            found["NextToken"] = str(start + size)
        return done(start_response, found)

    def emulated(self, account, call, environ, start_response):
        """What moto answers, with the time of copies counted."""
        if call == "s3:BEGIN" and "HTTP_X_AMZ_CHECKSUM_ALGORITHM" in environ and environ.get("HTTP_X_AMZ_CHECKSUM_TYPE") != "FULL_OBJECT":
            body = b"".join(self.emulator(environ, start_response))
            account.composite.update(re.findall("<UploadId>(.*?)</UploadId>", body.decode()))
            return [body]
        if call not in COPIES:
            return self.emulator(environ, start_response)
        with self.lock:
            account.copies_more(1)
        try:
            return self.emulator(environ, start_response)
        finally:
            with self.lock:
                account.copies_more(-1)

    def put_events(self, account, environ, start_response):
        """What moto does not tell: which events came, and what EventBridge says of each."""
        asked = body_of(environ)["Entries"]
        size = sum(len(entry[part].encode()) for entry in asked for part in ("Source", "DetailType", "Detail"))
        if not 1 <= len(asked) <= 10 or size > 256 * 1024:
            return answer(start_response, "events", "400 Bad Request", "ValidationException", f"{len(asked)} entries of {size} bytes")
        entries = []
        with self.lock:
            for entry in asked:
                if account.declined:
                    account.declined -= 1
                    entries.append({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"})
                else:
                    account.events.append(entry)
                    entries.append({"EventId": f"event-{len(account.events)}"})
        body = json.dumps({"FailedEntryCount": sum("ErrorCode" in entry for entry in entries), "Entries": entries}).encode()
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))])
        return [body]

    def corrected(self, action, account, asked, environ, start_response):
        """What moto answers, as Glue would."""
        if action == "GetPartitions":
            with self.lock:
                account.asked.append({name: asked[name] for name in ("Expression", "Segment") if name in asked})
        told = []
        body = b"".join(self.emulator(environ, lambda status, headers, *_: told.extend((status, headers))))
        status, headers = told
        if status.startswith("200"):
            found = json.loads(body)
            if action == "GetPartitions":
                found = part(found, asked, account.page)
            for table in found.get("TableList", [found["Table"]] if "Table" in found else []):
                table["VersionId"] = str(int(table["VersionId"]) - 1)
            body = json.dumps(found).encode()
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        start_response(status, headers)
        return [body]

    def refusal(self, service, action, names, number, asked):
        """What AWS would not take."""
        code = next((self.accounts[number].refuse[name] for name in names if name in self.accounts[number].refuse), None)
        if code and service == "s3":
            return code, f"S3 does not take {names[0]}"
        if code:
            return code, f"Insufficient Lake Formation permission(s) for {action}"
        if service == "firehose":
            return firehose_delivery.refusal(action, asked)
        if service == "glue" and action == "UpdateTable":
            return self.stale(number, asked)
        if service == "glue" and action == "GetPartitions":
            return wrong_question(asked)
        if service != "glue" or action not in BATCHES:
            return None
        member, least, most = BATCHES[action]
        poison = self.accounts[number].poison
        if poison and action in WRITES and any(WRITES[action][1](entry)[-1] == poison for entry in asked[member]):
            return "InvalidInputException", "1 validation error detected"
        count = len(asked.get(member, []))
        return None if least <= count <= most else ("InvalidInputException", f"{member} has {count} entries")

    def stale(self, number, asked):
        wanted = asked.get("VersionId")
        try:
            table = glue_backends[number][REGION].get_table(asked["DatabaseName"], asked["TableInput"]["Name"])
        except Exception:
            return None
        if wanted is None or int(wanted) == int(table.as_dict()["VersionId"]) - 1:
            return None
        return "ConcurrentModificationException", "Update table failed due to concurrent modifications."


def received(account, method, start_response):
    """Counts the bytes of an answer before it is handed on."""

    def count(status, headers, *rest):
        length = sum(int(value) for name, value in headers if name.lower() == "content-length" and method != "HEAD")
        account.received += length
        return start_response(status, headers, *rest)

    return count


def s3_kind(method, environ):
    parameters = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    found = next((kind for of, parameter, kind in S3_KINDS if of == method and parameter in parameters), method)
    return next((kind for of, header, kind in S3_HEADERS if of == found and header in environ), found)


def raw_body(environ):
    """The bytes of a request, which stay to be read once more."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def body_of(environ):
    """The JSON document of a request, which stays to be read once more."""
    return json.loads(raw_body(environ) or b"{}")


def needed(service, action, call, environ, asked, here):
    """What IAM has to allow for a call: (call, ARN), one for each resource. The same as AWS's list of actions and resources says."""
    if service == "s3":
        bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
        if call == "s3:DELETE-MANY":
            keys = [xml.sax.saxutils.unescape(key) for key in re.findall("<Key>(.*?)</Key>", raw_body(environ).decode())]
            return [(call, f"arn:aws:s3:::{bucket}/{key}") for key in keys]
        source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
        copied = [("s3:GET", "arn:aws:s3:::" + urllib.parse.unquote(source).lstrip("/"))] if source else []
        return [(call, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"), *copied]
    if service == "glue":
        database = {
            "GetDatabases": "*",
            "GetDatabase": asked.get("Name"),
            "CreateDatabase": asked.get("DatabaseInput", {}).get("Name"),
        }.get(action, asked.get("DatabaseName"))
        table = {"GetTables": "*", "GetTable": asked.get("Name")}.get(action, asked.get("TableName", asked.get("TableInput", {}).get("Name")))
        parts = ["catalog", f"database/{database}"] + ([f"table/{database}/{table}"] if table else [])
        return [(call, f"arn:aws:glue:{here}:{part}") for part in parts]
    if service == "events":
        return [(call, f"arn:aws:events:{here}:event-bus/{entry['EventBusName']}") for entry in asked.get("Entries", [])]
    return [(call, f"arn:aws:athena:{here}:workgroup/{asked.get('WorkGroup', 'primary')}")] if service == "athena" else []


def without_checksums(account, call, environ):
    """Why S3 does not end an upload that was begun with checksums of its parts, if they do not come again."""
    if call not in ("s3:COMPLETE", "s3:COMPLETE-NEW"):
        return None
    upload = urllib.parse.parse_qs(environ["QUERY_STRING"])["uploadId"][0]
    body = raw_body(environ).decode()
    if upload not in account.composite or body.count("<Part>") == body.count("<ChecksumCRC32>"):
        return None
    return "InvalidRequest", "The upload was created using a crc32 checksum. The complete request must include the checksum for each part."


def done(start_response, answer):
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))])
    return [body]


def still_running(start_response, asked):
    execution = {"QueryExecutionId": asked["QueryExecutionId"], "StatementType": "DML", "Status": {"State": "RUNNING"}}
    execution["Statistics"] = {"DataScannedInBytes": 30_000_000}
    return done(start_response, {"QueryExecution": execution})


def ended(asked, category, reason):
    error = {"ErrorCategory": category, "ErrorType": 1000 * category + 1, "Retryable": False, "ErrorMessage": reason}
    status = {"State": "FAILED", "StateChangeReason": reason, "AthenaError": error}
    return {"QueryExecution": {"QueryExecutionId": asked["QueryExecutionId"], "StatementType": "DML", "Status": status}}


def wrong_question(asked):
    segment = asked.get("Segment", {"SegmentNumber": 0, "TotalSegments": 1})
    if len(asked.get("Expression", "")) > 2048 or not 1 <= asked.get("MaxResults", 1000) <= 1000:
        return "InvalidInputException", "Expression or MaxResults is out of bounds"
    # For a test of what Glue's parser does not take.
    if "'refused'" in asked.get("Expression", ""):
        return "InvalidInputException", "Invalid partition expression!"
    if not 0 <= segment["SegmentNumber"] < segment["TotalSegments"] <= 10:
        return "InvalidInputException", "Segment is out of bounds"
    return None


def part(found, asked, page):
    """One page of one segment of the partitions."""
    segment = asked.get("Segment", {"SegmentNumber": 0, "TotalSegments": 1})
    mine = lambda one: zlib.crc32(json.dumps(one["Values"]).encode()) % segment["TotalSegments"] == segment["SegmentNumber"]
    partitions = [one for one in found["Partitions"] if mine(one)]
    token = asked.get("NextToken")
    if token is None and page < 1000:
        return {"Partitions": [], "NextToken": "0"}
    start, size = int(token or 0), min(page, asked.get("MaxResults", 1000))
    rest = {"NextToken": str(start + size)} if start + size < len(partitions) else {}
    return {"Partitions": partitions[start : start + size], **rest}


def throttling(service, start_response):
    status, code = ("503 Slow Down", "SlowDown") if service == "s3" else ("400 Bad Request", "ThrottlingException")
    return answer(start_response, service, status, code, "Rate exceeded")


def answer(start_response, service, status, code, message):
    if service == "s3":
        kind, body = "application/xml", f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    else:
        kind, body = "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message})
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body.encode()]


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    strict = Strict(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, strict, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    print(url, flush=True)
    sts = boto3.client("sts", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
    numbers = itertools.count(1)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(obey(strict, sts, numbers, asked)), flush=True)
    server.shutdown()


def obey(strict, sts, numbers, asked):
    if not asked:
        number = f"{next(numbers):012d}"
        role = sts.assume_role(RoleArn=f"arn:aws:iam::{number}:role/lake", RoleSessionName="test")["Credentials"]
        strict.keys[role["AccessKeyId"]] = number
        strict.accounts[number] = Account()
        return {"account": number, "key": role["AccessKeyId"], "secret": role["SecretAccessKey"], "token": role["SessionToken"]}
    account = strict.accounts[asked["account"]]
    with strict.lock:
        account.fail = asked.get("fail", account.fail)
        account.delay = asked.get("delay", account.delay)
        account.slow = asked.get("slow", account.slow)
        account.refuse = asked.get("refuse", account.refuse)
        account.page = asked.get("page", account.page)
        account.passing.update(asked.get("passing", {}))
        account.entries = asked.get("entries", account.entries)
        account.poison = asked.get("poison", account.poison)
        account.unprocessed = asked.get("unprocessed", account.unprocessed)
        account.rows, account.ends = asked.get("rows", account.rows), asked.get("ends", account.ends)
        account.random = random.Random(asked["seed"]) if "seed" in asked else account.random
        account.throttle.update(asked.get("throttle", {}))
        account.lost.update(asked.get("lost", {}))
        account.running = asked.get("running", account.running)
        if "arrival" in asked:
            firehose_delivery.arrivals[asked["account"]] = datetime.datetime.fromisoformat(asked["arrival"])
        if "athena" in asked:
            moto_api_backend.set_athena_result(**asked["athena"], account_id=asked["account"], region=REGION)
        account.declined = asked.get("decline", account.declined)
        if "started" in asked:
            started, account.started = account.started, []
            return started
        if "order" in asked:
            order, account.order = account.order, []
            return order
        if "needed" in asked:
            needs, account.needed = sorted(account.needed), set()
            return needs
        if "headers" in asked:
            headers, account.headers = account.headers, []
            return headers
        if "read" in asked:
            read, account.read = sorted(account.read), set()
            return read
        if "copying" in asked:
            copying, account.copying = account.copying, 0.0
            return copying
        if "moved" in asked:
            moved, account.sent, account.received = [account.sent, account.received], 0, 0
            return moved
        if "events" in asked:
            events, account.events = account.events, []
            return events
        calls = dict(account.calls)
        if "calls" in asked:
            account.calls.clear()
        if "asked" in asked:
            calls, account.asked = account.asked, []
    return calls


main()
