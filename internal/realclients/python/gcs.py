# SPDX-License-Identifier: Apache-2.0
"""Lists BUCKET below PREFIX with google-auth, once for each line on standard input, and says what it saw as a line of JSON."""

import json
import sys

import google.auth
import google.auth.transport.requests
from google.auth.version import __version__

bucket, prefix = sys.argv[1:]
session = None
for _ in sys.stdin:
    answer = {"version": __version__}
    try:
        if session is None:
            credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
            session = google.auth.transport.requests.AuthorizedSession(credentials)
        page = session.get(f"https://storage.googleapis.com/storage/v1/b/{bucket}/o", params={"prefix": prefix})
        page.raise_for_status()
        answer["names"] = [found["name"] for found in page.json().get("items", [])]
    except Exception as failure:  # whatever it is, the test shows it
        answer["error"] = repr(failure)
    print(json.dumps(answer), flush=True)
