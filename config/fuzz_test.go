// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
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
		file, err := ParseAllowing("stile.yaml", data, programs)
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
		again, err := ParseAllowing("stile.yaml", printed, programs)
		if err != nil {
			t.Fatalf("%s\ndoes not read back: %v", printed, err)
		}
		if diff := cmp.Diff(file.Crossings, again.Crossings, unseen); diff != "" {
			t.Error(diff)
		}
	})
}

// Whatever the file, no URL in what parses leads anywhere but to the clouds; and what parses is written, and reads back
// to the same.
func FuzzExternalAccount(f *testing.F) {
	f.Add([]byte(external))
	f.Add([]byte(`{"type":"external_account","credential_source":{"file":"x"}}`))
	f.Add([]byte(`{"type":"external_account","audience":"//iam.googleapis.com/locations/global/workforcePools/my-pool/providers/p","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","credential_source":{"url":"https://b.example/t","headers":{"A":"b"},"format":{"type":"json","subject_token_field_name":"t"}}}`))
	f.Add([]byte(`{"type":"external_account","audience":"//iam.googleapis.com/` + externalProvider + `","subject_token_type":"urn:ietf:params:oauth:token-type:id_token","credential_source":{"executable":{"command":"a b","timeout_millis":5001,"output_file":"é"}}}`))
	f.Add([]byte(strings.ReplaceAll(external, "googleapis.com", "apis.example")))
	f.Add([]byte(strings.ReplaceAll(external, "169.254.169.254", "[::ffff:169.254.169.254]")))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseExternalAccount("creds.json", data, programs)
		if err != nil {
			checkProblems(t, err, data)
			return
		}
		checkHosts(t, c)
		if _, err := provider(c.To.GCP.Provider); err != nil {
			t.Errorf("provider: %v", err)
		}
		checkWritten(t, c)
	})
}

func checkHosts(t *testing.T, c Crossing) {
	t.Helper()
	google, metadata := []string{".googleapis.com"}, []string{"169.254.169.254", "fd00:ec2::254"}
	urls := map[string][]string{c.To.GCP.TokenURL: google, c.To.GCP.ImpersonationURL: google}
	if aws := c.From.AWS; aws != nil {
		urls[aws.External.URL], urls[aws.External.RegionURL], urls[aws.External.IMDSv2TokenURL] = metadata, metadata, metadata
	}
	for raw, hosts := range urls {
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
}

// checkWritten writes a crossing twice with a reading in between. What the first file left to its reader, the second
// says, and from then on nothing changes.
func checkWritten(t *testing.T, c Crossing) {
	t.Helper()
	written, err := WriteExternalAccount(c)
	if err != nil {
		t.Fatalf("%+v is not written: %v", c, err)
	}
	again, err := ParseExternalAccount("creds.json", written, programs)
	if err != nil || len(again.Warnings) != 0 {
		t.Fatalf("%s\ndoes not read back: %v %q", written, err, again.Warnings)
	}
	if diff := cmp.Diff(c.From, again.From, cmp.Comparer(func(a, b stile.Secret) bool { return a.Reveal() == b.Reveal() }), cmp.Comparer(sameExecutable)); diff != "" {
		t.Error(diff)
	}
	if c.To.GCP.ServiceAccount != again.To.GCP.ServiceAccount || c.To.GCP.Lifetime != again.To.GCP.Lifetime || c.To.GCP.WorkforceUserProject != again.To.GCP.WorkforceUserProject {
		t.Errorf("%+v became %+v", c.To.GCP, again.To.GCP)
	}
	twice, err := WriteExternalAccount(again)
	if diff := cmp.Diff(string(written), string(twice)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// sameExecutable takes the default timeout, which gcloud writes out, for none.
func sameExecutable(a, b *Executable) bool {
	if a == nil || b == nil {
		return a == b
	}
	const byDefault = Duration(30 * time.Second)
	return slices.Equal(a.Command, b.Command) && a.OutputFile == b.OutputFile && (a.Timeout == b.Timeout || a.Timeout == 0 && b.Timeout == byDefault)
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

// What was set reads back, nothing else has changed, and to set it again changes nothing.
func FuzzSetAWSProfile(f *testing.F) {
	f.Add([]byte(awsConfig), "from-gcp", "region", "us-east-1", false)
	f.Add([]byte(awsConfig), "broken", "output", "json", false)
	f.Add([]byte("[default]\r\nregion = x ; y"), "", "region", "eu-west-1", true)
	f.Add([]byte("\xef\xbb\xbf[p]\na:b\n  c\n\n#d\n[q]"), "p", "e", "f", true)
	f.Fuzz(func(t *testing.T, file []byte, profile, key, value string, credentials bool) {
		kind := ConfigFile
		if credentials {
			kind = CredentialsFile
		}
		set := func(file []byte) ([]byte, error) { return SetAWSProfile(file, kind, profile, []Setting{{key, value}}) }
		got, err := set(file)
		if err != nil {
			if !errors.Is(err, stile.ErrMisuse) {
				t.Fatalf("not ErrMisuse: %v", err)
			}
			return
		}
		if again, err := set(got); err != nil || string(again) != string(got) {
			t.Errorf("set again: %q became %q, %v", got, again, err)
		}
		if read := settingOf(t, got, kind, profile, key); len(read) != 1 || read[0] != value {
			t.Errorf("%q reads back as %q", value, read)
		}
		checkUnchanged(t, string(file), string(got))
	})
}

// settingOf reads the values that a key has in a profile.
func settingOf(t *testing.T, file []byte, kind AWSFile, profile, key string) (values []string) {
	t.Helper()
	r := newReader(ForeignPolicy{})
	sections := r.ini("file", file)
	if err := r.err(); err != nil {
		t.Fatal(err)
	}
	profile = strings.Join(strings.Fields(profile), " ")
	if profile == "" {
		profile = "default"
	}
	for _, name := range kind.section(profile) {
		if s := sections[name]; s != nil {
			for _, f := range s.body.fields {
				if f.key == key {
					values = append(values, f.value.text)
				}
			}
		}
	}
	return values
}

// checkUnchanged cuts off what both begin and end with: of the old file, no more than one line may be left.
func checkUnchanged(t *testing.T, old, changed string) {
	t.Helper()
	i := 0
	for i < min(len(old), len(changed)) && old[i] == changed[i] {
		i++
	}
	old, changed = old[i:], changed[i:]
	for old != "" && changed != "" && old[len(old)-1] == changed[len(changed)-1] {
		old, changed = old[:len(old)-1], changed[:len(changed)-1]
	}
	if strings.Contains(old, "\n") {
		t.Errorf("%q became %q", old, changed)
	}
}

// Whatever the words, a shell reads them back.
func FuzzCredentialProcess(f *testing.F) {
	for _, c := range commands {
		f.Add(strings.Join(c.words, "\x00"))
	}
	f.Fuzz(func(t *testing.T, joined string) {
		words := strings.Split(joined, "\x00")
		value, err := CredentialProcess(words...)
		if err != nil {
			if !errors.Is(err, stile.ErrMisuse) {
				t.Fatalf("not ErrMisuse: %v", err)
			}
			return
		}
		if diff := cmp.Diff(words, split(t, value)); diff != "" {
			t.Errorf("%s:\n%s", value, diff)
		}
	})
}
