#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lists BUCKET below PREFIX, percent-encoded, with a token from the metadata server, as any program with an HTTP client could.
set -eu
answer=$(curl -sS --fail-with-body -H 'Metadata-Flavor: Google' "http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/token")
token=$(printf %s "$answer" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
curl -sS --fail-with-body -H "Authorization: Bearer $token" "https://storage.googleapis.com/storage/v1/b/$1/o?prefix=$2"
