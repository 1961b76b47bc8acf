// SPDX-License-Identifier: Apache-2.0

package config

import _ "embed"

//go:embed schema.json
var schema string

// Schema is the JSON schema of a stile.yaml, for editors. [Parse] knows more than a schema can say.
func Schema() []byte { return []byte(schema) }
