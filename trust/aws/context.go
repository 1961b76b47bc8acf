// SPDX-License-Identifier: Apache-2.0

package awstrust

import (
	"maps"
	"slices"
	"strings"
)

// A context is the condition keys of one request, by their names in lower case.
type context map[string]entry

type entry struct {
	name   string // as the request spells it
	values []string
}

func newContext(given map[string][]string) context {
	ctx := make(context, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		e := ctx[strings.ToLower(name)]
		e.name = name
		e.values = append(slices.Clip(e.values), given[name]...)
		ctx[strings.ToLower(name)] = e
	}
	return ctx
}

// values are those of key; none when the request lacks it.
func (ctx context) values(key string) []string { return ctx[strings.ToLower(key)].values }

// single is the value of a key that has just one, as a variable needs it.
func (ctx context) single(key string) (string, bool) {
	values := ctx.values(key)
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// siblings are the other keys with the same prefix that the request has: of accounts.google.com:aud all of accounts.google.com.
func (ctx context) siblings(key string) []entry {
	key = strings.ToLower(key)
	prefix := key[:strings.LastIndexByte(key, ':')+1]
	var found []entry
	for _, name := range slices.Sorted(maps.Keys(ctx)) {
		if name != key && strings.HasPrefix(name, prefix) && len(ctx[name].values) > 0 {
			found = append(found, ctx[name])
		}
	}
	return found
}
