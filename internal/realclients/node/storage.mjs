// SPDX-License-Identifier: Apache-2.0

// Lists BUCKET below PREFIX with @google-cloud/storage, once for each line on standard input, and says what it saw as a
// line of JSON.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Storage } from '@google-cloud/storage';

const version = JSON.parse(readFileSync(new URL('./node_modules/@google-cloud/storage/package.json', import.meta.url))).version;
const [bucket, prefix] = process.argv.slice(2);
let storage;
for await (const _ of createInterface({ input: process.stdin })) {
  const answer = { version };
  try {
    storage ??= new Storage();
    const [files] = await storage.bucket(bucket).getFiles({ prefix });
    answer.names = files.map((found) => found.name);
  } catch (failure) {
    answer.error = String(failure);
  }
  console.log(JSON.stringify(answer));
}
