# SPDX-License-Identifier: Apache-2.0
"""Lists BUCKET below PREFIX with boto3, once for each line on standard input, and says what it saw as a line of JSON.

A line that says "new" begins a new session.
"""

import json
import sys

import boto3

bucket, prefix = sys.argv[1:]
client = None
for line in sys.stdin:
    answer = {"version": boto3.__version__}
    try:
        if client is None or line.strip() == "new":
            client = boto3.Session().client("s3")
        answer["names"] = [found["Key"] for found in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
    except Exception as failure:  # whatever it is, the test shows it
        answer["error"] = repr(failure)
    print(json.dumps(answer), flush=True)
