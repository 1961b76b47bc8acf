// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stile-project/stile"
)

func TestSetAWSProfile(t *testing.T) {
	t.Parallel()
	region := []Setting{{"region", "eu-west-1"}}
	for _, test := range []struct {
		name, file, profile string
		kind                AWSFile
		settings            []Setting
		want                string
	}{
		{"empty file", "", "p", ConfigFile, region, "[profile p]\nregion = eu-west-1\n"},
		{"empty credentials", "", "p", CredentialsFile, region, "[p]\nregion = eu-west-1\n"},
		{"default", "", "", ConfigFile, region, "[default]\nregion = eu-west-1\n"},
		{"default spelt out", "[profile default]\nregion = x\n", "default", ConfigFile, region, "[profile default]\nregion = eu-west-1\n"},
		{"only a comment", "# mine", "p", ConfigFile, region, "# mine\n\n[profile p]\nregion = eu-west-1\n"},
		{"new section", "[default]\nregion = x\n", "p", ConfigFile, region, "[default]\nregion = x\n\n[profile p]\nregion = eu-west-1\n"},
		{"new section below a blank line", "[default]\n\n", "p", ConfigFile, region, "[default]\n\n[profile p]\nregion = eu-west-1\n"},
		{"carriage returns", "[default]\r\nregion = x\r\n", "p", ConfigFile, region, "[default]\r\nregion = x\r\n\r\n[profile p]\r\nregion = eu-west-1\r\n"},
		{"byte order mark", "\xef\xbb\xbf[profile p]\n", "p", ConfigFile, region, "\xef\xbb\xbf[profile p]\nregion = eu-west-1\n"},
		{"change", "[profile p]\noutput = json\nREGION=us-east-1\n# end\n", "p", ConfigFile, region, "[profile p]\noutput = json\nregion = eu-west-1\n# end\n"},
		{"change with a colon", "[profile p]\nregion: us-east-1\n", "p", ConfigFile, region, "[profile p]\nregion = eu-west-1\n"},
		{"no change", "[profile p]\n  # why\nregion  =eu-west-1  \n", "p", ConfigFile, region, "[profile p]\n  # why\nregion  =eu-west-1  \n"},
		{"no final line end, changed", "[profile p]\nregion = x", "p", ConfigFile, region, "[profile p]\nregion = eu-west-1"},
		{"no final line end, added", "[profile p]\r\noutput = json", "p", ConfigFile, region, "[profile p]\r\noutput = json\r\nregion = eu-west-1"},
		{"no final line end, bare header", "[profile p]", "p", ConfigFile, append(region, Setting{"output", "json"}), "[profile p]\nregion = eu-west-1\noutput = json"},
		{"above the next section's comment", "[profile p]\noutput = json\n\n# of q\n[profile q]\nregion = x\n", "p", ConfigFile, region, "[profile p]\noutput = json\nregion = eu-west-1\n\n# of q\n[profile q]\nregion = x\n"},
		{"below nested settings", "[profile p]\ns3 =\n  region = nested\n\n  max = 1\n# end\n", "p", ConfigFile, region, "[profile p]\ns3 =\n  region = nested\n\n  max = 1\nregion = eu-west-1\n# end\n"},
		{"comment behind the value", "[profile p]\r\nregion = x ; the near one\r\n", "p", ConfigFile, region, "[profile p]\r\n; the near one\r\nregion = eu-west-1\r\n"},
		{"comment behind the same value", "[profile p]\nregion = eu-west-1\t# near", "p", ConfigFile, region, "[profile p]\n# near\nregion = eu-west-1"},
		{"header with a comment", "[ profile  p ] # mine\n", "p", ConfigFile, region, "[ profile  p ] # mine\nregion = eu-west-1\n"},
		{"quoted name", "[profile \"two words\"]\n", "two words", ConfigFile, region, "[profile \"two words\"]\nregion = eu-west-1\n"},
		{"another's name", "[p]\n[profile pp]\n", "p", ConfigFile, region, "[p]\n[profile pp]\n\n[profile p]\nregion = eu-west-1\n"},
		{"lines that are none", "[profile p]\nwhat\n[profile q]\nand what\n", "p", ConfigFile, region, "[profile p]\nwhat\nregion = eu-west-1\n[profile q]\nand what\n"},
	} {
		got, err := SetAWSProfile([]byte(test.file), test.kind, test.profile, test.settings)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
		again, err := SetAWSProfile(got, test.kind, test.profile, test.settings)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%s: set again: %q, %v", test.name, again, err)
		}
	}
}

// What is written for a role reads back as a crossing.
func TestSetAWSProfileReadsBack(t *testing.T) {
	t.Parallel()
	file, err := SetAWSProfile([]byte(awsConfig), ConfigFile, "new", []Setting{
		{"role_arn", "arn:aws:iam::111122223333:role/from-gcp"}, {"role_session_name", "vm1"}, {"region", "eu-west-1"}, {"web_identity_token_file", "/var/run/token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseAWSProfile(Input{"config", file}, Input{}, "new", ForeignPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(To{AWS: &ToAWS{Role: "arn:aws:iam::111122223333:role/from-gcp", SessionName: "vm1", Region: "eu-west-1"}}, c.To); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(string(file), awsConfig) {
		t.Error("what was there has changed")
	}
}

func TestSetAWSProfileRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, profile, key, value, want string }{
		{"section twice", "[profile p]\n[profile q]\n[profile 'p']\n", "p", "region", "eu-west-1", "the AWS config file:3:1: the section stands at line 1 already: put the settings of both together"},
		{"default twice", "[default]\n[profile default]\n", "", "region", "eu-west-1", "the AWS config file:2:1: the section stands at line 1 already: put the settings of both together"},
		{"setting twice", "[profile p]\nregion = a\nRegion: b\n", "p", "region", "eu-west-1", "the AWS config file:3:1: region stands at line 2 already: remove one"},
		{"nested", "[profile p]\nregion =\n  a = b\n", "p", "region", "eu-west-1", "the AWS config file:2:1: region has indented lines below that belong to it: change it by hand"},
		{"indented settings", "[profile p]\n  output = a\n", "p", "region", "eu-west-1", "the AWS config file:2:1: the profile's settings are indented, which programs read in different ways: move them to the line's beginning"},
		{"indented section", "[profile p]\n [profile q]\n", "p", "region", "eu-west-1", "the AWS config file:2:1: an indented [section], which only some programs take for one: move it to the line's beginning"},
		{"indented own section", "[profile q]\n [profile p]\n", "p", "region", "eu-west-1", "the AWS config file:2:1: an indented [section], which only some programs take for one: move it to the line's beginning"},
		{"lone carriage return", "[profile p]\rregion = x\n", "p", "region", "eu-west-1", "the AWS config file:1:1: not a section: want [profile NAME] on a line of its own"},
		{"carriage return in a value", "[profile p]\noutput = x\ry\n", "p", "region", "eu-west-1", "the AWS config file:2:1: a carriage return within a line, where some begin a new one: save the file with plain line ends"},
		{"no section", "region = x\n", "p", "region", "eu-west-1", "the AWS config file:1:1: a setting before the first [section]: put it under its profile"},
		{"not UTF-8", "[profile p]\nx = \xff\n", "p", "region", "eu-west-1", "the AWS config file:2:5: not UTF-8 from here on: save the file as UTF-8"},
		{"new name", "", "two words", "region", "eu-west-1", "the AWS config file: a new profile's name: want letters, digits and _/.%@:+-, which every program reads"},
		{"name", "", "a]b", "region", "eu-west-1", "misused: the profile: want the name of a profile, at most 128 characters, without brackets"},
		{"key", "", "p", "Region", "eu-west-1", "misused: the key of a setting: want lower-case letters, digits and _"},
		{"no value", "", "p", "region", "", "misused: region: want a value"},
		{"two lines", "", "p", "output", "s3cret\n[profile q]", "misused: output: want one line of UTF-8 without control characters"},
		{"space at the end", "", "p", "output", "s3cret ", "misused: output: want no white space at either end"},
		{"comment", "", "p", "output", "s3cret #1", "misused: output: what follows # or ; would be read as a comment by some"},
		{"begins as a comment", "", "p", "output", ";s3cret", "misused: output: what follows # or ; would be read as a comment by some"},
		{"quoted", "", "p", "output", `"s3cret"`, "misused: output: quotation marks around the value would be dropped by some: leave them out"},
		{"shape", "", "p", "role_arn", "s3cret", "misused: role_arn: want arn:PARTITION:iam::ACCOUNT:role/NAME with the 12 digits of the account"},
	} {
		got, err := SetAWSProfile([]byte(test.file), ConfigFile, test.profile, []Setting{{test.key, test.value}})
		if err == nil || err.Error() != test.want || got != nil {
			t.Errorf("%s:\ngot  %q %v\nwant %s", test.name, got, err, test.want)
		}
		if !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: not ErrMisuse", test.name)
		}
	}
	if _, err := SetAWSProfile(nil, ConfigFile, "p", []Setting{{"a", "b"}, {"a", "c"}}); err == nil || err.Error() != "misused: a is given twice" {
		t.Errorf("twice: %v", err)
	}
}

// commands are awkward ones, and how each is written.
var commands = []struct {
	words []string
	want  string
}{
	{[]string{"stile", "credential-process", "--role", "arn:aws:iam::111122223333:role/a+b=c,d.e@f_g-h", "--region=eu-west-1"}, "stile credential-process --role arn:aws:iam::111122223333:role/a+b=c,d.e@f_g-h --region=eu-west-1"},
	{[]string{"/opt/my tools/stile", "it's", `say "hi"`, `back\slash`}, `/opt/my\ tools/stile it\'s say\ \"hi\" back\\slash`},
	{[]string{"stile", "$HOME", "`id`", "~", "*", "a;b", "a|b", "a&b", "(c)", "<d>", "!e", "{f,g}", "[h]", "?", "^", "#i", "a #j", "a ;k"}, "stile \\$HOME \\`id\\` \\~ \\* a\\;b a\\|b a\\&b \\(c\\) \\<d\\> \\!e \\{f,g\\} \\[h\\] \\? \\^ \\#i a\\ \\#j a\\ \\;k"},
	{[]string{"stile", "", "ends in a space "}, `stile '' ends\ in\ a\ space' '`},
	{[]string{"FOO=bar", "a=b"}, `FOO\=bar a=b`},
	{[]string{"if", "then"}, `\if then`},
	{[]string{"stile", "é ü", "--policy", `{"Statement": [{"Effect": "Allow"}]}`}, `stile é\ ü --policy \{\"Statement\":\ \[\{\"Effect\":\ \"Allow\"\}\]\}`},
}

func TestCredentialProcess(t *testing.T) {
	t.Parallel()
	for _, test := range commands {
		got, err := CredentialProcess(test.words...)
		if err != nil || got != test.want {
			t.Errorf("%q:\ngot  %s %v\nwant %s", test.words, got, err, test.want)
		}
		if diff := cmp.Diff(test.words, split(t, got)); diff != "" {
			t.Errorf("%s:\n%s", got, diff)
		}
	}
	for _, words := range [][]string{nil, {""}, {" "}, {"stile", "a\nb"}, {"stile", "\xff"}, {"stile", strings.Repeat("x", valueLimit)}} {
		if got, err := CredentialProcess(words...); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%q: got %q, %v", words, got, err)
		}
	}
}

// A real shell reads the words back.
func TestCredentialProcessInShell(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no sh")
	}
	for _, test := range commands {
		value, err := CredentialProcess(append([]string{"printf", "%s\\n"}, test.words...)...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", value).Output()
		if want := strings.Join(test.words, "\n") + "\n"; err != nil || string(out) != want {
			t.Errorf("%s:\ngot  %q %v\nwant %q", value, out, err, want)
		}
	}
}

// split reads words by the rules that POSIX shells and shlex share: a backslash outside of quotation marks takes the
// next character as it is, and nothing means anything between single ones.
func split(t *testing.T, line string) (words []string) {
	t.Helper()
	var word strings.Builder
	begun, single, escaped := false, false, false
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\'':
			single, begun = !single, true
		case single:
			word.WriteRune(c)
		case c == '\\':
			escaped, begun = true, true
		case c == ' ':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		case strings.ContainsRune("\"$`~*;|&()<>!{}[]?^#\t\n", c):
			t.Fatalf("%s: %q stands bare", line, c)
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if escaped || single {
		t.Fatalf("%s: ends within a word", line)
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}
