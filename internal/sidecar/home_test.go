// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/sidecar"
)

// Without a home that is a whole path, ~/ would be a folder below the one that serve was started in.
func TestNoHome(t *testing.T) {
	t.Parallel()
	for home, why := range map[string]string{"": "HOME is not set", "rel": "HOME is not absolute", ".": "HOME is not absolute"} {
		for name, test := range map[string]struct{ serve, place string }{
			"profile":     {"  files: [{ crossing: images, aws_profile: { path: ~/creds } }]\n", "stile.yaml:12:11: find ~/creds: "},
			"token":       {"  files: [{ crossing: warehouse, token: { path: ~/creds } }]\n", "stile.yaml:12:11: find ~/creds: "},
			"token_file":  {"  endpoints: [{ ecs: [images], listen: '127.0.0.1:0', token_file: ~/creds }]\n", "stile.yaml:12:15: find ~/creds: "},
			"certificate": {"  endpoints: [{ imds: images, listen: '127.0.0.1:0', tls: { cert: ~/creds, key: /key } }]\n", "stile.yaml:12:15: find ~/creds: "},
			"key":         {"  endpoints: [{ imds: images, listen: '127.0.0.1:0', tls: { cert: /cert, key: ~/creds } }]\n", "stile.yaml:12:15: find ~/creds: "},
			"admin":       {"  admin: '127.0.0.1:0'\n  admin_tls: { cert: ~/creds, key: /key }\n  endpoints: [{ ecs: [images], listen: '127.0.0.1:0' }]\n", "find ~/creds: "},
		} {
			s := newScene(t)
			s.options.Home = home
			s.sidecar = sidecar.New(s.options)
			t.Cleanup(s.sidecar.Close)
			p := plan(t, test.serve)
			for which, err := range map[string]error{"apply": s.sidecar.Apply(t.Context(), p), "check": s.options.Check(p)} {
				if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), test.place+"misused: "+why) || sidecar.HintOf(err) != "write the whole path" {
					t.Errorf("HOME=%s, %s, %s: %v, hint %s", home, name, which, err, sidecar.HintOf(err))
				}
			}
		}
	}
}
