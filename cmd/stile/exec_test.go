// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stile-project/stile/internal/sidecar"
)

// An endpoint that breaks while the command runs is told of at once, and one that ends with the command is not.
func TestExecTellsOfABrokenEndpoint(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]bool{"broken": true, "ended": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, stderr := io.Pipe()
			defer time.AfterFunc(30*time.Second, func() { _ = stderr.Close() }).Stop()
			p := &program{stderr: stderr}
			s := sidecar.New(sidecar.Options{})
			stop, err := p.startServing(t.Context(), s, sidecar.Plan{})
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(said)
			if breaks {
				s.Close()
				if !lines.Scan() || !strings.HasPrefix(lines.Text(), "stile: warning: the endpoint is broken") {
					t.Errorf("told %q", lines.Text())
				}
			}
			stop()
			_ = stderr.Close()
			if lines.Scan() {
				t.Errorf("told %q", lines.Text())
			}
		})
	}
}

// What botocore, or another SDK, finds in a default profile is found here too: it would win over the endpoint, silently.
func TestDefaultProfilesThatSayWhomToBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		want bool
	}{
		"equals sign":         {"[default]\naws_access_key_id = AKIA\n", true},
		"colon":               {"[default]\naws_access_key_id: AKIA\n", true},
		"colon in the value":  {"[default]\nrole_arn=arn:aws:iam::1:role/r\n", true},
		"capitals":            {"[default]\nAWS_Access_Key_ID=AKIA\n", true},
		"a long line before":  {"[default]\n# " + strings.Repeat("x", 1<<20) + "\naws_access_key_id = AKIA\n", true},
		"a long value before": {"[other]\nx = " + strings.Repeat("x", 1<<17) + "\n[default]\nsso_session = s\n", true},
		"line ends of old":    {"[default]\rcredential_process=c\r", true},
		"of Windows":          {"[default]\r\ncredential_process=c\r\n", true},
		"no line end":         {"[default]\nlogin_session=s", true},
		"of a config file":    {"[profile default]\nweb_identity_token_file = f\n", true},
		"quoted":              {"[profile \"default\"]\ncredential_source = Environment\n", true},
		"a tab":               {"[profile\tdefault] # mine\nrole_arn = r\n", true},
		"indented":            {"  [default]\n  aws_access_key_id = AKIA\n", true},
		"another":             {"[other]\naws_access_key_id: AKIA\n[default]\nregion: eu-west-1\n", false},
		"after it":            {"[default]\nregion = a\n[profile other]\nrole_arn: r\n", false},
		"a longer name":       {"[default2]\nrole_arn = r\n[profile default x]\nrole_arn = r\n", false},
		"a comment":           {"[default]\n# aws_access_key_id = AKIA\n;role_arn: r\n", false},
		"no value":            {"[default]\naws_access_key_id\n", false},
		"empty":               {"", false},
	} {
		if got := hasDefaultIdentity([]byte(c.file)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
