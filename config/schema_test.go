// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// notInStileYAML are the fields that only an external_account file fills.
var notInStileYAML = []string{"external_account", "token_url", "service_account_impersonation_url"}

type schemaNode struct {
	Ref                  string                 `json:"$ref"`
	Defs                 map[string]*schemaNode `json:"$defs"`
	Type                 string                 `json:"type"`
	Properties           map[string]*schemaNode `json:"properties"`
	AdditionalProperties any                    `json:"additionalProperties"`
	Required             []string               `json:"required"`
	Items                *schemaNode            `json:"items"`
	OneOf                []*schemaNode          `json:"oneOf"`
	Pattern              string                 `json:"pattern"`
	Const                any                    `json:"const"`
	Enum                 []any                  `json:"enum"`
	MinItems, MaxItems   *int
	MinLength, MaxLength *int
	MinProperties        *int
	MaxProperties        *int
}

func readSchema(t *testing.T) *schemaNode {
	t.Helper()
	root := new(schemaNode)
	if err := json.Unmarshal(Schema(), root); err != nil {
		t.Fatal(err)
	}
	return root
}

func (s *schemaNode) resolve(root *schemaNode) *schemaNode {
	switch {
	case s.Ref != "":
		return root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].resolve(root)
	case s.Type == "array":
		return s.Items.resolve(root)
	case s.Type == "" && len(s.OneOf) > 0: // the first of the spellings is the plain one
		return s.OneOf[0].resolve(root)
	}
	return s
}

// The schema, the Go types and the reader know the same keys: the types are walked beside the schema here, and
// TestSchemaAgreesWithParse shows that the reader takes a file with every one of them.
func TestSchemaMatchesTypes(t *testing.T) {
	t.Parallel()
	root := readSchema(t)
	compareKeys(t, root, root.Defs["crossing"], reflect.TypeFor[Crossing](), "crossing")
	compareKeys(t, root, root.Defs["store"], reflect.TypeFor[Store](), "store")
	compareKeys(t, root, root.Defs["serve"], reflect.TypeFor[Serve](), "serve")
	if diff := cmp.Diff([]string{"crossings", "serve", "store", "version"}, slices.Sorted(maps.Keys(root.Properties))); diff != "" {
		t.Error(diff)
	}
}

func compareKeys(t *testing.T, root, s *schemaNode, typ reflect.Type, path string) {
	t.Helper()
	if s.AdditionalProperties != false {
		t.Errorf("%s: the schema lets other keys pass", path)
	}
	var keys, required []string
	for _, f := range reflect.VisibleFields(typ) {
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "-" || slices.Contains(notInStileYAML, key) {
			continue
		}
		keys = append(keys, key)
		if options == "" {
			required = append(required, key)
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if sub := s.Properties[key]; sub != nil && inner.Kind() == reflect.Struct {
			compareKeys(t, root, sub.resolve(root), inner, path+"."+key)
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(keys)), slices.Sorted(maps.Keys(s.Properties))); diff != "" {
		t.Errorf("%s: keys of the type (-) and of the schema (+):\n%s", path, diff)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(required)), slices.Sorted(slices.Values(s.Required))); diff != "" {
		t.Errorf("%s: required by the type (-) and by the schema (+):\n%s", path, diff)
	}
}

func TestSchemaAgreesWithParse(t *testing.T) {
	t.Parallel()
	root := readSchema(t)
	used := make(map[string]bool)
	for _, test := range []struct {
		name, data string
		want       bool
	}{
		{"every key", full, true},
		{"every key of a store", storing(everyStoreKey), true},
		{"no store", storing("  url: none\n"), true},
		{"a store's scheme", storing("  url: http://cache\n  key: /k\n"), false},
		{"a store's key", storing("  url: redis://cache\n  key: ''\n"), false},
		{"a store's old keys", storing("  url: redis://cache\n  key: /k\n  old_keys: []\n"), false},
		{"a store's namespace", storing("  url: redis://cache\n  key: /k\n  namespace: a b\n"), false},
		{"a store's sharing", storing("  url: redis://cache\n  key: /k\n  share: all\n"), false},
		{"a store's deadline", storing("  deadline: 10ms\n"), false},
		{"a store's word", storing("  ulr: none\n"), false},
		{"every key of serve", serving(everyServeKey), true},
		{"nothing to serve", serving("  {}\n"), false},
		{"no endpoint", serving("  endpoints: []\n"), false},
		{"no file", serving("  files: []\n"), false},
		{"an admin's address", serving("  admin: nowhere\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"), false},
		{"a user", serving("  allow_users: ['a b']\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"), false},
		{"tls", serving("  endpoints: [{ ecs: [images], listen: '127.0.0.1:1', tls: { cert: /c } }]\n"), false},
		{"another's home", serving("  endpoints: [{ ecs: [images], listen: '127.0.0.1:1', token_file: ~me/t }]\n"), false},
		{"a home alone", serving("  files: [{ crossing: images, aws_profile: { path: ~/ } }]\n"), false},
		{"a host's port", serving("  hosts: ['stile:80']\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"), false},
		{"no host", serving("  hosts: []\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"), false},
		{"any host", serving("  hosts: ['*']\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"), false},
		{"hosts", serving("  hosts: [stile, Stile_1.svc., 10.0.0.1, 'fd00::1', '::', 7-up]\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:1' }]\n"), true},
		{"a token's mode", serving("  endpoints: [{ ecs: [images], listen: '127.0.0.1:1', token_mode: '0666' }]\n"), false},
		{"an endpoint without address", serving("  endpoints: [{ ecs: [images] }]\n"), false},
		{"an endpoint of nothing", serving("  endpoints: [{ listen: '127.0.0.1:1' }]\n"), false},
		{"an endpoint of two", serving("  endpoints: [{ ecs: [images], imds: images, listen: '127.0.0.1:1' }]\n"), false},
		{"a socket's path", serving("  endpoints: [{ ecs: [images], listen: 'unix:/" + strings.Repeat("s", 106) + "' }]\n"), true},
		{"a socket's path that is too long", serving("  endpoints: [{ ecs: [images], listen: 'unix:/" + strings.Repeat("s", 107) + "' }]\n"), false},
		{"a socket's mode", serving("  endpoints: [{ ecs: [images], listen: 'unix:/s', mode: '0777' }]\n"), false},
		{"a zone", serving("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:1', zone: Europe }]\n"), false},
		{"a project's number", serving("  endpoints: [{ gce: warehouse, listen: '127.0.0.1:1', project_number: demo }]\n"), false},
		{"a file of nothing", serving("  files: [{ crossing: images }]\n"), false},
		{"a file's mode", serving("  files: [{ crossing: images, aws_profile: { path: /p, mode: '0777' } }]\n"), false},
		{"a file's form", serving("  files: [{ crossing: warehouse, token: { path: /p, form: yaml } }]\n"), false},
		{"a file without path", serving("  files: [{ crossing: warehouse, token: {} }]\n"), false},
		{"role", aws("        role: x\n"), false},
		{"duration", aws(roleLine + "        duration: 1d\n"), false},
		{"duration bare", aws(roleLine + "        duration: 3600\n"), false},
		{"region", aws(roleLine + "        region: Ireland\n"), false},
		{"unknown key", aws(roleLine + "        rgion: eu-west-1\n"), false},
		{"format", both("{ gcp: { format: big } }", toAWS), false},
		{"provider", gcp("        provider: projects/my-project/locations/global/workloadIdentityPools/pool-1/providers/aws-1\n"), false},
		{"account", gcp(provLine + "        service_account: jo@example.com\n"), false},
		{"scopes", gcp(provLine + "        scopes: []\n"), false},
		{"scope", gcp(provLine + "        scopes: [cloud-platform]\n"), false},
		{"two sources", both("{ aws: {}, gcp: {} }", toAWS), false},
		{"no source", both("{}", toAWS), false},
		{"version", "version: 2\ncrossings: { w: { from: { aws: {} }, to: " + toGCP + " } }\n", false},
		{"role chain", both("{ aws: { assume_role: [] } }", toGCP), false},
		{"proof", both("{ aws: { proof: faith } }", toGCP), false},
		{"two tokens", both("{ oidc: { file: { path: /t }, spiffe: {} } }", toAWS), false},
		{"no token", both("{ oidc: { audience: a } }", toAWS), false},
		{"token path", both("{ oidc: { file: {} } }", toAWS), false},
		{"token type", both("{ oidc: { file: { path: /t }, token_type: saml2 } }", toGCP), false},
		{"command as text", both("{ oidc: { executable: { command: /bin/mint } } }", toGCP), false},
		{"no tag", both("{ aws: { assume_role: { role: 'arn:aws:iam::111122223333:role/r', tags: {} } } }", toGCP), false},
		{"tag", both("{ aws: { assume_role: { role: 'arn:aws:iam::111122223333:role/r', tags: { a: 1 } } } }", toGCP), false},
		{"boundary", gcp(provLine + "        boundary: { accessBoundaryRules: [] }\n"), false},
		{"boundary key", gcp(provLine + "        boundary: { rules: [] }\n"), false},
		{"no crossing", "version: 1\ncrossings: {}\n", false},
	} {
		r := newReader(ForeignPolicy{})
		n := r.yaml(test.name, []byte(test.data))
		if n == nil {
			t.Fatalf("%s: not YAML", test.name)
		}
		complaint := root.check(t, root, n, "", used)
		_, err := ParseAllowing(test.name, []byte(test.data), programs)
		if (complaint == "") != test.want || (err == nil) != test.want {
			t.Errorf("%s: want valid=%v; schema says %q, Parse says %v", test.name, test.want, complaint, err)
		}
	}
	for name, s := range root.Defs {
		for key := range s.Properties {
			if !used[name+"."+key] {
				t.Errorf("no file here sets %s.%s", name, key)
			}
		}
	}
}

// check is as much of a JSON schema validator as this schema needs. It answers what is wrong, or "".
func (s *schemaNode) check(t *testing.T, root *schemaNode, n *node, def string, used map[string]bool) string {
	t.Helper()
	if s.Ref != "" {
		def = strings.TrimPrefix(s.Ref, "#/$defs/")
		return root.Defs[def].check(t, root, n, def, used)
	}
	if c := s.checkOneOf(t, root, n, used); c != "" || s.Type == "" && len(s.OneOf) > 0 {
		return c
	}
	is := map[string]kind{"object": mapping, "array": list, "string": text, "boolean": truth, "integer": number}
	switch {
	case s.Type != "" && n.kind != is[s.Type]:
		return n.key + ": type"
	case s.Const != nil && n.text != fmt.Sprint(s.Const):
		return n.key + ": const"
	case s.Enum != nil && !slices.Contains(s.Enum, any(n.text)):
		return n.key + ": enum"
	case s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(n.text):
		return n.key + ": pattern"
	case s.MinLength != nil && len(n.text) < *s.MinLength, s.MaxLength != nil && len(n.text) > *s.MaxLength:
		return n.key + ": length"
	case s.MinItems != nil && len(n.items) < *s.MinItems, s.MaxItems != nil && len(n.items) > *s.MaxItems:
		return n.key + ": items"
	case s.MinProperties != nil && len(n.fields) < *s.MinProperties, s.MaxProperties != nil && len(n.fields) > *s.MaxProperties:
		return n.key + ": properties"
	}
	for _, key := range s.Required {
		if !n.has(key) {
			return n.key + ": required " + key
		}
	}
	for _, item := range n.items {
		if s.Items == nil { // a schema that only says what is required
			break
		}
		if c := s.Items.check(t, root, item, "", used); c != "" {
			return c
		}
	}
	for _, f := range n.fields {
		if s.Properties == nil && s.AdditionalProperties == nil {
			break
		}
		sub := s.property(t, f.key)
		if sub == nil {
			return f.key + ": unknown"
		}
		used[def+"."+f.key] = true
		if c := sub.check(t, root, f.value, "", used); c != "" {
			return c
		}
	}
	return ""
}

// property finds what the schema says of a key; nil where it lets the key not stand there.
func (s *schemaNode) property(t *testing.T, key string) *schemaNode {
	t.Helper()
	if sub := s.Properties[key]; sub != nil {
		return sub
	}
	switch s.AdditionalProperties.(type) {
	case map[string]any:
		raw, err := json.Marshal(s.AdditionalProperties)
		if err != nil {
			t.Fatal(err)
		}
		sub := new(schemaNode)
		if err := json.Unmarshal(raw, sub); err != nil {
			t.Fatal(err)
		}
		return sub
	case nil:
		return new(schemaNode)
	}
	return nil
}

func (s *schemaNode) checkOneOf(t *testing.T, root *schemaNode, n *node, used map[string]bool) string {
	t.Helper()
	if len(s.OneOf) == 0 {
		return ""
	}
	fit := 0
	for _, choice := range s.OneOf {
		maybe := make(map[string]bool)
		if choice.check(t, root, n, "", maybe) == "" {
			fit++
			maps.Copy(used, maybe)
		}
	}
	if fit != 1 {
		return n.key + ": one of"
	}
	return ""
}

// What a crossing prints as JSON is spelt in the words of stile.yaml and reads back.
func TestCrossingPrintsAsItReads(t *testing.T) {
	t.Parallel()
	f, err := ParseAllowing("stile.yaml", []byte(full), programs)
	if err != nil {
		t.Fatal(err)
	}
	printed, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseAllowing("stile.yaml", printed, programs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Crossings, again.Crossings, unseen); diff != "" {
		t.Error(diff)
	}
}
