// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-project/stile/lab/stage"
)

const secretInFile = "hushhush-do-not-quote-me"

// badFiles are contents that no reader should take, each with a secret that no error should quote.
var badFiles = map[string]string{
	"empty":          "",
	"garbage":        "\x00\x01}{][<>" + secretInFile + "\x1b[31m\n",
	"not UTF-8":      "version: 1\n\xff\xfe: " + secretInFile + "\n[profile x]\nrole_arn = \xff\n",
	"UTF-16":         "\xff\xfev\x00e\x00r\x00s\x00",
	"10 MB":          strings.Repeat(secretInFile, 10<<20/len(secretInFile)),
	"truncated JSON": stage.CredentialFile[:len(stage.CredentialFile)/2],
	"wrong types":    `{"type":"external_account","audience":7,"credential_source":"` + secretInFile + `","token_url":[]}`,
	"deep":           strings.Repeat("[", 200000),
	"a key":          `{"type":"service_account","private_key":"` + secretInFile + `"}`,
	"an AWS secret":  "[default]\naws_secret_access_key = " + secretInFile + "\n",
}

// fileInputs are the ways a file comes in: FILE stands for its path.
var fileInputs = map[string]struct {
	args []string
	env  []string
}{
	"config":                  {[]string{"token", "warehouse", "--config", "FILE"}, nil},
	"config check":            {[]string{"config", "check", "FILE"}, nil},
	"STILE_CONFIG":            {[]string{"exec", "images", "--", "sh", "-c", "echo ran"}, []string{"STILE_CONFIG=FILE"}},
	"credential file":         {[]string{"token", "--credential-file", "FILE"}, nil},
	"STILE_CREDENTIAL_FILE":   {[]string{"env"}, []string{"STILE_CREDENTIAL_FILE=FILE"}},
	"Google's own variable":   {[]string{"token"}, []string{"GOOGLE_APPLICATION_CREDENTIALS=FILE"}},
	"AWS configuration":       {[]string{"credential-process", "--profile", "x"}, []string{"AWS_CONFIG_FILE=FILE"}},
	"AWS credentials":         {[]string{"credential-process", "--profile", "x"}, []string{"AWS_SHARED_CREDENTIALS_FILE=FILE"}},
	"AWS profile of a source": {[]string{"token", "--provider", stage.Provider, "--source-profile", "x"}, []string{"AWS_CONFIG_FILE=FILE"}},
	"CA file":                 {[]string{"token", "--provider", stage.Provider, "--ca-file", "FILE"}, nil},
}

// nowhere makes this process a workload with no identity and no file of its machine's owner.
func nowhere(t *testing.T) *workload {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, os.DevNull)
	}
	for _, name := range []string{"STILE_CONFIG", "STILE_CREDENTIAL_FILE", "STILE_CA_FILE", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_PROFILE",
		"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE", "HTTPS_PROXY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	return &workload{}
}

func inProcess(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return outcome{code: code, stdout: out.String(), stderr: errs.String()}
}

func TestBadFiles(t *testing.T) {
	for input, how := range fileInputs {
		t.Run(input, func(t *testing.T) {
			w := nowhere(t)
			path := filepath.Join(t.TempDir(), "input")
			for _, v := range replaced(how.env, path) {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			for name, content := range badFiles {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				got := inProcess(t, replaced(how.args, path)...)
				if got.code != misused || got.stdout != "" {
					t.Errorf("%s: exit code %d, standard output %.100q, standard error %.1000s", name, got.code, got.stdout, got.stderr)
				}
				if err := w.untidy(got.stderr); err != nil {
					t.Errorf("%s: %v\n%.1000s", name, err, got.stderr)
				}
				if strings.Contains(got.stderr, secretInFile[:8]) {
					t.Errorf("%s: the error quotes the file", name)
				}
			}
		})
	}
}

func replaced(list []string, path string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "FILE", path)
	}
	return list
}

// flagInputs are commands that are good but for the flag's value, which comes last.
var flagInputs = map[string][]string{
	"provider":          {"token", "--provider"},
	"service account":   {"token", "--provider", stage.Provider, "--service-account"},
	"delegate":          {"token", "--provider", stage.Provider, "--service-account", stage.Reader, "--delegate"},
	"scope":             {"token", "--provider", stage.Provider, "--scope"},
	"lifetime":          {"token", "--provider", stage.Provider, "--service-account", stage.Reader, "--lifetime"},
	"timeout":           {"token", "--provider", stage.Provider, "--timeout"},
	"assume role":       {"token", "--provider", stage.Provider, "--assume-role"},
	"source profile":    {"token", "--provider", stage.Provider, "--source-profile"},
	"role":              {"credential-process", "--region", stage.Region, "--role"},
	"region":            {"credential-process", "--role", stage.FromGCP, "--region"},
	"session name":      {"credential-process", "--role", stage.FromGCP, "--region", stage.Region, "--session-name"},
	"duration":          {"credential-process", "--role", stage.FromGCP, "--region", stage.Region, "--duration"},
	"policy":            {"credential-process", "--role", stage.FromGCP, "--region", stage.Region, "--policy"},
	"policy ARN":        {"credential-process", "--role", stage.FromGCP, "--region", stage.Region, "--policy-arn"},
	"profile":           {"credential-process", "--profile"},
	"shell":             {"env", "--provider", stage.Provider, "--shell"},
	"config":            {"token", "--config"},
	"credential file":   {"token", "--credential-file"},
	"CA file":           {"token", "--provider", stage.Provider, "--ca-file"},
	"crossing":          {"token"},
	"location to check": {"config", "check"},
	"command":           {"exec", "--provider", stage.Provider, "--"},
}

var badValues = map[string]string{
	"one letter":    "?",
	"too long":      strings.Repeat("x", 100000),
	"not UTF-8":     "\xff\xfe\xfd",
	"escapes":       "\x1b[31mred\x1b[0m\r\nstile: hint: not ours",
	"a list":        "a,b,,c",
	"a path upward": "../../../../etc/../nonexistent",
	"a number":      "-9999999999999999999999",
	"a format":      "%s%n%!d(MISSING)",
}

func TestBadFlagValues(t *testing.T) {
	for flag, args := range flagInputs {
		t.Run(flag, func(t *testing.T) {
			w := nowhere(t)
			for name, value := range badValues {
				got := inProcess(t, append(slices.Clone(args), value)...)
				// What only a cloud can judge, a scope or a session's policy, gets as far as looking for an identity.
				right := got.code == misused || got.code == noIdentity || flag == "command" && got.code == 127
				if !right || got.stdout != "" {
					t.Errorf("%s: exit code %d, standard output %.100q, standard error %.1000s", name, got.code, got.stdout, got.stderr)
				}
				if err := w.untidy(got.stderr); err != nil {
					t.Errorf("%s: %v\n%.1000s", name, err, got.stderr)
				}
			}
		})
	}
}
