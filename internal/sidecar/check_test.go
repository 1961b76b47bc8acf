// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/config"
	"github.com/stile-project/stile/internal/sidecar"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "no.pem"), []byte("-----BEGIN SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(home, "open"), []byte("[a]\n"), 0o600), os.Chmod(filepath.Join(home, "open"), 0o644)); err != nil {
		t.Fatal(err)
	}
	o := sidecar.Options{Home: home}
	profile := func(path, name string) config.KeptFile {
		return config.KeptFile{Crossing: "images", AWSProfile: &config.KeptAWSProfile{Path: path, Profile: name}, Place: "f:9:1"}
	}
	noPair := &config.TLS{Cert: "~/no.pem", Key: "~/no.pem"}
	for _, test := range []struct {
		name  string
		serve config.Serve
		want  string // empty: good
	}{
		{"nothing", config.Serve{}, ""},
		{"root", config.Serve{AllowUsers: []string{"0", "4294967294"}, Endpoints: []config.Endpoint{{TokenGroup: "0"}}, Files: []config.KeptFile{profile("~/a", ""), profile("~/a", "b")}}, ""},
		{"a user", config.Serve{AllowUsers: []string{"no-such-user"}}, `find the users that may ask: misused: no user "no-such-user"`},
		{"a token's group", config.Serve{Endpoints: []config.Endpoint{{Place: "f:3:1", TokenGroup: "no-such-group"}}}, "f:3:1: find the group that may read the file: misused: "},
		{"a file's group", config.Serve{Files: []config.KeptFile{{Place: "f:4:1", Token: &config.KeptToken{Path: "/t", Group: "no-such-group"}}}}, "f:4:1: find the group that may read the file: misused: "},
		{"a certificate", config.Serve{Endpoints: []config.Endpoint{{Place: "f:3:1", TLS: noPair}}}, "f:3:1: read the certificate: misused: "},
		{"admin's certificate", config.Serve{AdminTLS: noPair}, "read the certificate: misused: "},
		{"no certificate", config.Serve{AdminTLS: &config.TLS{Cert: "~/none", Key: "~/none"}}, "none: "},
		{"one file by two names", config.Serve{Files: []config.KeptFile{profile("~/a", ""), profile(filepath.Join(home, "a"), "default")}}, "f:9:1: "},
		{"a profile that others read", config.Serve{Files: []config.KeptFile{profile("~/open", "")}}, ", profile default: misused: others may read or write "},
		{"a folder for a file", config.Serve{Files: []config.KeptFile{{Place: "f:4:1", Token: &config.KeptToken{Path: home}}}}, "f:4:1: check the file " + home + ": misused: " + home + " is a folder"},
		{"a folder that is not there yet", config.Serve{Files: []config.KeptFile{{Token: &config.KeptToken{Path: "~/not/yet/there"}}}}, ""},
		{"a folder for a bearer token", config.Serve{Endpoints: []config.Endpoint{{Place: "f:3:1", TokenFile: home}}}, "f:3:1: read the bearer token from " + home + ": misused: it is a folder"},
		{"a bearer token that is not there yet", config.Serve{Endpoints: []config.Endpoint{{TokenFile: "~/none"}}}, ""},
	} {
		err := o.Check(sidecar.Plan{Serve: test.serve})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, stile.ErrMisuse)):
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		case err != nil && strings.Contains(err.Error(), "SECRET"):
			t.Errorf("%s: quotes the file: %v", test.name, err)
		}
	}
}
