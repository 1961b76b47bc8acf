# SPDX-License-Identifier: Apache-2.0
"""What a careful person would write in place of stile credential-process: the same exchange, with boto3."""
import json
import os
import sys
import urllib.parse
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config

role, region, audience = sys.argv[1:]
question = urllib.request.Request(
    "http://%s/computeMetadata/v1/instance/service-accounts/default/identity?%s"
    % (os.environ["GCE_METADATA_HOST"], urllib.parse.urlencode({"audience": audience, "format": "full"})),
    headers={"Metadata-Flavor": "Google"},
)
with urllib.request.urlopen(question, timeout=5) as answer:
    token = answer.read().decode()
sts = boto3.client("sts", region_name=region, config=Config(signature_version=UNSIGNED))
session = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="bench", WebIdentityToken=token)["Credentials"]
json.dump(
    {
        "Version": 1,
        "AccessKeyId": session["AccessKeyId"],
        "SecretAccessKey": session["SecretAccessKey"],
        "SessionToken": session["SessionToken"],
        "Expiration": session["Expiration"].isoformat(),
    },
    sys.stdout,
)
