// SPDX-License-Identifier: Apache-2.0

// Lists BUCKET below PREFIX with google-auth-library, once for each line on standard input, and says what it saw as a
// line of JSON.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { GoogleAuth } from 'google-auth-library';

const version = JSON.parse(readFileSync(new URL('./node_modules/google-auth-library/package.json', import.meta.url))).version;
const [bucket, prefix] = process.argv.slice(2);
let auth;
for await (const _ of createInterface({ input: process.stdin })) {
  const answer = { version };
  try {
    auth ??= new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
    const page = await auth.request({ url: `https://storage.googleapis.com/storage/v1/b/${bucket}/o`, params: { prefix } });
    answer.names = (page.data.items ?? []).map((found) => found.name);
  } catch (failure) {
    answer.error = String(failure);
  }
  console.log(JSON.stringify(answer));
}
