// SPDX-License-Identifier: Apache-2.0

package oidc

import "github.com/stile-project/stile/lab/strictjson"

// maxDepth bounds how far objects and lists nest. Real tokens nest two or three deep.
const maxDepth = 16

func readObject(text []byte) (map[string]any, error) { return strictjson.Object(text, maxDepth) }
