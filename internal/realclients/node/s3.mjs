// SPDX-License-Identifier: Apache-2.0

// Lists BUCKET below PREFIX with the AWS SDK, once for each line on standard input, and says what it saw as a line of
// JSON. The SDK knows no proxy but by the request handler that it is given.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { HttpsProxyAgent } from 'https-proxy-agent';

const version = JSON.parse(readFileSync(new URL('./node_modules/@aws-sdk/client-s3/package.json', import.meta.url))).version;
const [bucket, prefix] = process.argv.slice(2);
const requestHandler = new NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(process.env.HTTPS_PROXY) });
let client;
for await (const _ of createInterface({ input: process.stdin })) {
  const answer = { version };
  try {
    client ??= new S3Client({ requestHandler });
    const page = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
    answer.names = (page.Contents ?? []).map((found) => found.Key);
  } catch (failure) {
    answer.error = String(failure);
  }
  console.log(JSON.stringify(answer));
}
