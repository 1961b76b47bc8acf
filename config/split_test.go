// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// crossingsOf writes n crossings, in all the ways that people write them.
func crossingsOf(n int) string {
	var b strings.Builder
	for i := range n {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "  c-%d: { from: { gcp: {} }, to: %s }\n", i, toAWS)
		case 1:
			fmt.Fprintf(&b, "  # one more\n  \"c-%d\":\n    from: { gcp: {} }\n\n    to:\n      aws:\n        role: arn:aws:iam::111122223333:role/r # mine\n        policy: |\n          {\"Version\": \"2012-10-17\",\n           \"Statement\": []}\n", i)
		case 2:
			fmt.Fprintf(&b, "  c-%d:\n    from:\n      gcp: {\n        audience: a\n      }\n    to: %s\n# not indented\n", i, toAWS)
		default:
			fmt.Fprintf(&b, "  c-%d:\n    from: { aws: {} }\n    to: %s\n", i, toGCP)
		}
	}
	return b.String()
}

// A file that is read in parts reads as it does whole: the same crossings, in the same order, and the same problems in
// the same places.
func TestPartsReadAsTheWhole(t *testing.T) {
	t.Parallel()
	const head, tail = "# mine\nversion: 1\ncrossings: # all\n", "serve:\n  endpoints:\n    - { ecs: [c-0], listen: '127.0.0.1:1' }\n"
	for name, data := range map[string]string{
		"good":               head + crossingsOf(900) + tail,
		"serve first":        tail + head + crossingsOf(900),
		"a name twice":       head + crossingsOf(900) + "  c-3: {}\n" + tail,
		"a mistake inside":   head + crossingsOf(600) + "  bad:\n    form: { aws: {} }\n" + strings.ReplaceAll(crossingsOf(600), "c-", "d-"),
		"a mistake at end":   head + crossingsOf(900) + "serv: {}\n",
		"an anchor":          head + crossingsOf(900) + "  e: &a {}\n",
		"a tab":              head + crossingsOf(900) + "\tx: 1\n",
		"bad name":           head + crossingsOf(900) + "  \"a b\": {}\n",
		"bracket at the key": head + crossingsOf(900) + "  e: {\n    from: { gcp: {} }, to: " + toAWS + "\n  }\n",
		"crossings twice":    head + crossingsOf(900) + head[len("# mine\nversion: 1\n"):] + crossingsOf(1),
		"no crossings":       "version: 1\nx:\n" + crossingsOf(900),
	} {
		read := func(split bool) (*File, error) {
			r := newReader(ForeignPolicy{})
			var root *node
			if split {
				root = r.yaml("f", []byte(data))
			} else {
				root = yamlReader{r, "f", 0}.document(data)
			}
			if root == nil {
				return nil, r.err()
			}
			f := r.file("f", root)
			return f, r.err()
		}
		whole, wholeErr := read(false)
		parts, partsErr := read(true)
		if fmt.Sprint(wholeErr) != fmt.Sprint(partsErr) {
			t.Errorf("%s:\nwhole: %v\nparts: %v", name, wholeErr, partsErr)
			continue
		}
		if (wholeErr == nil) != (name == "good" || name == "serve first" || name == "bracket at the key") {
			t.Errorf("%s: %v", name, wholeErr)
		}
		if wholeErr == nil {
			if diff := cmp.Diff(whole.Crossings, parts.Crossings); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if diff := cmp.Diff(whole.Names(), parts.Names()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if diff := cmp.Diff(whole.Serve, parts.Serve); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// Ten thousand crossings are read quickly, from a file that the user chose.
func TestManyCrossings(t *testing.T) {
	t.Parallel()
	const n = 10_000
	data := []byte("version: 1\ncrossings:\n" + crossingsOf(n))
	if len(data) <= sizeLimit {
		t.Fatalf("%d bytes: no test of the limit", len(data))
	}
	if _, err := Parse("f", data); err == nil || !strings.Contains(err.Error(), "over 1 MiB") {
		t.Errorf("a file that nobody chose: %v", err)
	}
	started := time.Now()
	f, err := ParseAllowing("f", data, ForeignPolicy{AllowStores: true})
	if err != nil || len(f.Names()) != n {
		t.Fatalf("%v", err)
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	if _, err := ParseAllowing("f", []byte("version: 1\n#"+strings.Repeat("x", ownLimit)), ForeignPolicy{AllowStores: true}); err == nil || !strings.Contains(err.Error(), "over 16 MiB") {
		t.Errorf("a file that is too long: %v", err)
	}
	if _, err := ParseAllowing("f", []byte("version: 1\ncrossings: { "+strings.Repeat("x: 1, ", sizeLimit)+" }\n"), ForeignPolicy{AllowStores: true}); err == nil || !strings.Contains(err.Error(), "write them so") {
		t.Errorf("a file that cannot be split: %v", err)
	}
}
