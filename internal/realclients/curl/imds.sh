#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lists BUCKET below PREFIX, percent-encoded, with a session from the instance metadata, as any program with an HTTP client could.
set -eu
empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 # the hash of no body
at=${AWS_EC2_METADATA_SERVICE_ENDPOINT%/}
token=$(curl -sS --fail-with-body -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$at/latest/api/token")
ask() { curl -sS --fail-with-body -H "X-aws-ec2-metadata-token: $token" "$at/latest/meta-data/iam/security-credentials/$1"; }
session=$(ask "$(ask '')")
field() { printf %s "$session" | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
curl -sS --fail-with-body --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$(field AccessKeyId):$(field SecretAccessKey)" \
  -H "X-Amz-Security-Token: $(field Token)" -H "X-Amz-Content-Sha256: $empty" "https://s3.$AWS_REGION.amazonaws.com/$1?list-type=2&prefix=$2"
