// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile/internal/shape"
)

// checkProblems holds every error to its form: Problems, each with a text, in a file, at a place of the file.
func checkProblems(t *testing.T, err error, data []byte) {
	t.Helper()
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) == 0 {
		t.Fatalf("not Problems: %#v", err)
	}
	for _, p := range problems {
		if p.Text == "" || p.File == "" || p.Line < 0 || p.Line > 1+len(data) || (p.Line > 0) != (p.Column > 0) {
			t.Errorf("malformed problem %+v", *p)
		}
	}
	if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' && c != '\n' }) {
		t.Errorf("control characters in %q", err.Error())
	}
}

// What parses prints, and what it prints parses to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(gcp(provLine + acctLine)))
	f.Add([]byte(aws(roleLine)))
	f.Add([]byte("version: 1\ncrossings: {a: [b: c], <<: *x, ? y : z}"))
	f.Add([]byte("- - - |\n  x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("stile.yaml", data)
		if err != nil {
			checkProblems(t, err, data)
			return
		}
		if len(file.Names()) == 0 || len(file.Names()) != len(file.Crossings) {
			t.Fatalf("names %q for %d crossings", file.Names(), len(file.Crossings))
		}
		printed, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("stile.yaml", printed)
		if err != nil {
			t.Fatalf("%s\ndoes not read back: %v", printed, err)
		}
		if diff := cmp.Diff(file.Crossings, again.Crossings); diff != "" {
			t.Error(diff)
		}
	})
}

// Whatever the file, no URL in what parses leads anywhere but to the clouds.
func FuzzExternalAccount(f *testing.F) {
	f.Add([]byte(external))
	f.Add([]byte(`{"type":"external_account","credential_source":{"file":"x"}}`))
	f.Add([]byte(strings.ReplaceAll(external, "googleapis.com", "apis.example")))
	f.Add([]byte(strings.ReplaceAll(external, "169.254.169.254", "[::ffff:169.254.169.254]")))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseExternalAccount("creds.json", data, ForeignPolicy{})
		if err != nil {
			checkProblems(t, err, data)
			return
		}
		from, to := c.From.AWS.External, c.To.GCP
		for raw, hosts := range map[string][]string{
			to.TokenURL:         {".googleapis.com"},
			to.ImpersonationURL: {".googleapis.com"},
			from.URL:            {"169.254.169.254", "fd00:ec2::254"},
			from.RegionURL:      {"169.254.169.254", "fd00:ec2::254"},
			from.IMDSv2TokenURL: {"169.254.169.254", "fd00:ec2::254"},
		} {
			if raw == "" {
				continue
			}
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			ok := false
			for _, host := range hosts {
				ok = ok || strings.EqualFold(u.Hostname(), host) || host[0] == '.' && strings.HasSuffix(strings.ToLower(u.Hostname()), host)
			}
			if !ok && u.Hostname() != "fd00:ec2:0:0:0:0:0:254" {
				t.Errorf("%s passed", raw)
			}
		}
		if _, err := shape.Provider(to.Provider); err != nil {
			t.Errorf("provider: %v", err)
		}
	})
}

// What parses is a role in AWS, and reading the same profile again gives the same.
func FuzzAWSProfile(f *testing.F) {
	f.Add([]byte(awsConfig), []byte(awsCredentials), "from-gcp")
	f.Add([]byte("[profile p]\nrole_arn=x\n  y = z\n"), []byte("[p]\n"), "p")
	f.Add([]byte("[default]\n = \n=\n"), []byte("[ ]"), "")
	f.Fuzz(func(t *testing.T, config, credentials []byte, profile string) {
		read := func() (Crossing, error) {
			return ParseAWSProfile(Input{"config", config}, Input{"credentials", credentials}, profile, ForeignPolicy{})
		}
		c, err := read()
		if err != nil {
			checkProblems(t, err, append(config, credentials...))
			return
		}
		if _, err := shape.RoleARN(c.To.AWS.Role); err != nil {
			t.Errorf("role: %v", err)
		}
		again, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Error(diff)
		}
	})
}
