// SPDX-License-Identifier: Apache-2.0

package outlet

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
)

func sessionOf(id string) stile.Credential {
	return stile.Credential{Kind: stile.KindAWSSession, Expires: time.Date(2026, 11, 22, 4, 4, 5, 0, time.UTC),
		Session: stile.Session{AccessKeyID: id, SecretAccessKey: stile.NewSecret("se/cret+"), SessionToken: stile.NewSecret("to=ken"), AccountID: "111122223333"}}
}

func settingsOf(t testing.TB, id string) []setting {
	t.Helper()
	s, err := profileSettings(sessionOf(id))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const written = "aws_access_key_id = ASIA1\naws_secret_access_key = se/cret+\naws_session_token = to=ken\naws_account_id = 111122223333\n" +
	"x_security_token_expires = 2026-11-22T04:04:05Z\nx_managed_by = stile\n"

var within = strings.ReplaceAll(written, "= stile", "= stile, in a profile that was here")

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestSetProfile(t *testing.T) {
	t.Parallel()
	before := strings.ReplaceAll(written, "ASIA1", "ASIA0")
	for name, c := range map[string]struct{ file, want string }{
		"empty":                {"", "[p]\n" + written},
		"after another":        {"[default]\nregion = x\n", "[default]\nregion = x\n\n[p]\n" + written},
		"after a blank line":   {"# mine\n\n", "# mine\n\n\n[p]\n" + written},
		"no end of line":       {"[default]\nregion=x", "[default]\nregion=x\n[p]\n" + written},
		"Windows":              {"[default]\r\nregion=x\r\n", "[default]\r\nregion=x\r\n\r\n" + crlf("[p]\n"+written)},
		"ours":                 {"[a]\nx=y\n[p]\n" + before + "\n# of b\n[b]\n", "[a]\nx=y\n[p]\n" + written + "\n# of b\n[b]\n"},
		"ours, with more":      {"[p]\n# one\nregion = x\n" + before + "s3 =\n  a = b\n[b]", "[p]\n# one\nregion = x\n" + written + "s3 =\n  a = b\n[b]"},
		"ours without account": {"[p]\n" + strings.ReplaceAll(before, "aws_account_id = 111122223333\n", ""), "[p]\n" + strings.ReplaceAll(written, "aws_account_id = 111122223333\n", "") + "aws_account_id = 111122223333\n"},
		"ours, other case":     {"[p]\n" + strings.ReplaceAll(before, "aws_access_key_id =", "AWS_Access_Key_ID:"), "[p]\n" + written},
		"ours, botocore's":     {"[p]\naws_security_token = old\n" + before, "[p]\n" + written},
		"without keys":         {"[p] # me\nregion = x\n\n[b]\n", "[p] # me\n" + within + "region = x\n\n[b]\n"},
		"header alone":         {"[p]", "[p]\n" + strings.TrimSuffix(within, "\n")},
		"names that hold ours": {"[pp]\naws_access_key_id = 1\n[p.p]\n[p p]\n", "[pp]\naws_access_key_id = 1\n[p.p]\n[p p]\n\n[p]\n" + written},
		"others' nonsense":     {"[a]\n\x00\xff\n  [b]\nwhat\n[a]\n[c\n", "[a]\n\x00\xff\n  [b]\nwhat\n[a]\n[c\n\n[p]\n" + written},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := setProfile([]byte(c.file), "p", settingsOf(t, "ASIA1"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			again, err := setProfile(got, "p", settingsOf(t, "ASIA1"))
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("to set what is there changed it: %v\n%s", err, again)
			}
		})
	}
}

func TestSetProfileRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"somebody's keys":         {"[a]\n[p]\n# hm\naws_access_key_id = AKIASECRET\n", "line 4: the profile p has credentials that are not stile's (aws_access_key_id)"},
		"somebody's program":      {"[p]\ncredential_process = x\n", "(credential_process)"},
		"somebody's role":         {"[p]\nrole_arn = x\n", "(role_arn)"},
		"botocore's token":        {"[p]\nAWS_SECURITY_TOKEN=AKIASECRET\n", "(aws_security_token)"},
		"another mark":            {"[p]\nx_managed_by = AKIASECRET\naws_access_key_id = x\n", "not stile's"},
		"twice":                   {"[p]\n[a]\n[p]\n", "line 3: the profile stands at line 1 already"},
		"written otherwise":       {"[ p ]\n", "line 1: want [p]"},
		"quoted":                  {"[\"p\"]\n", "line 1: want [p]"},
		"indented":                {"[a]\n  [p]\n", "line 2: an indented [section]"},
		"indented within":         {"[p]\n  [b]\n", "line 2: an indented [section]"},
		"indented setting":        {"[p]\n  region = x\n", "line 2: indented"},
		"continued key":           {"[p]\nx_managed_by = stile\naws_session_token = x\n\n# hm\n  AKIASECRET\n", "line 6: indented"},
		"continued, Python's way": {"[p]\nx_managed_by = stile\naws_session_token = x\n\u00a0AKIASECRET = 1\n", "line 4: indented"},
		"no setting":              {"[p]\nAKIASECRET\n", "line 2: not a setting"},
		"a setting twice":         {"[p]\nregion=a\nREGION=b\n", "line 3: a setting that stands twice"},
		"JSON":                    {"{\"AKIASECRET\": 1}", "line 1: something else before the first [profile]"},
		"a byte order mark":       {"\xef\xbb\xbf[a]\n", "line 1: a byte order mark"},
		"what all sections have":  {"[DEFAULT]\naws_security_token = AKIASECRET\n[a]\n", "line 1: [DEFAULT]"},
		"the same, indented":      {"[a]\n  [ DEFAULT ]\n[p]\n", "line 2: [DEFAULT]"},
		"an old Macintosh":        {"[a]\nb = c\r", "line 2: a carriage return"},
		"a hidden line":           {"[a]\n# \r[p]\n", "line 2: a control character"},
		"a hidden line within":    {"[p]\nregion = x\rrole_arn = AKIASECRET\n", "line 2: a control character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, settings := range [][]setting{settingsOf(t, "ASIA1"), nil} {
				_, err := setProfile([]byte(c.file), "p", settings)
				if !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "AKIASECRET") {
					t.Errorf("got %v, want %s", err, c.want)
				}
			}
		})
	}
}

func TestDropProfile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, id, want string }{
		"alone":       {"[p]\n" + written, "ASIA1", ""},
		"any":         {"[p]\n" + written, "", ""},
		"between":     {"[a]\nx=y\n[p]\n" + written + "\n[b]\n", "ASIA1", "[a]\nx=y\n[b]\n"},
		"needed":      {"[a]\nx=y\n[p]\n" + written + "[b]\n", "ASIA1", "[a]\nx=y\n[b]\n"},
		"[DEFAULT]":   {"[DEFAULT]\na=b\n\n[p]\n" + written, "ASIA1", "[DEFAULT]\na=b\n"},
		"with more":   {"[p]\nregion = x\n" + written + "# why\n", "ASIA1", "[p]\nregion = x\n# why\n"},
		"another's":   {"[p]\n" + written, "ASIA2", "[p]\n" + written},
		"not ours":    {"[p]\naws_access_key_id = ASIA1\n", "ASIA1", "[p]\naws_access_key_id = ASIA1\n"},
		"not there":   {"[a]\n", "ASIA1", "[a]\n"},
		"nothing":     {"", "ASIA1", ""},
		"no last end": {"[p]\n" + strings.TrimSuffix(written, "\n"), "ASIA1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := dropProfile([]byte(c.file), "p", c.id)
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestProfileLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "\n", "\r\n", "[a]", "[a]\n", "[a]\n\n", "[a]\n\n\n", "[a]\r\n", "[a]\r\n\r\nb=c", "[a]\nb=c\r\n", "# me\n",
		"[p]", "[p]\n", "[p]\n\n", "[p]\r\n", "[p]\nregion = x", "[p]\n# me\n\nregion = x\n\n[b]\n", "[a]\n[p]\n[b]", "[a]\n\n[p] ; me\n\n\n[b]"} {
		now := []byte(file)
		for _, id := range []string{"ASIA0", "ASIA1", "ASIA2"} { // no more with each
			var err error
			for _, settings := range [][]setting{settingsOf(t, id), settingsOf(t, id+"X")} {
				if now, err = setProfile(now, "p", settings); err != nil {
					t.Fatal(err)
				}
			}
			if now, err = dropProfile(now, "p", id+"X"); err != nil || string(now) != file {
				t.Errorf("%q became %q, %v", file, now, err)
				break
			}
		}
	}
}

func TestProfileTakesNoOddValues(t *testing.T) {
	t.Parallel()
	for _, odd := range []string{"", "a b", "a\nb", "a\rb", "a#", ";a", `"a"`, "a\u00a0", "ä"} {
		c := sessionOf("ASIA1")
		c.Session.SessionToken = stile.NewSecret(odd)
		if _, err := profileSettings(c); err == nil || odd != "" && strings.Contains(err.Error(), odd) && odd != "a b" {
			t.Errorf("session token %q: %v", odd, err)
		}
	}
}

// FuzzSetProfile: what is outside of our profile stays as it is, what was written is read back, and taking it away
// leaves the rest.
func FuzzSetProfile(f *testing.F) {
	for _, seed := range []string{"", "[p]\nregion = x\n[b]\n", "[default]\r\na=b", "# x\n\n[a]\nk: v\n  c\n[p] ; x\nx_managed_by=stile\naws_access_key_id=1\n[c]", "[P]\n[p]\n\n\n", "[a]\n\r[p]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		cut, err := cutProfile(file, "p")
		if err != nil {
			if !errors.Is(err, stile.ErrMisuse) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(cut.bytes(), file) {
			t.Fatalf("cutting changed %q to %q", file, cut.bytes())
		}
		got, err := setProfile(file, "p", settingsOf(t, "ASIA1"))
		if err != nil {
			return
		}
		now, err := cutProfile(got, "p")
		if err != nil {
			t.Fatalf("%q cannot be read back: %v", got, err)
		}
		if !bytes.HasPrefix(got, cut.before) || !bytes.HasSuffix(got, cut.after) {
			t.Fatalf("%q became %q", file, got)
		}
		if rest := now.before[len(cut.before):]; len(bytes.Trim(rest, "\r\n")) > 0 || len(rest) > 4 || cut.found && len(rest) > 0 || !bytes.Equal(now.after, cut.after) {
			t.Fatalf("%q became %q", file, got)
		}
		for _, s := range settingsOf(t, "ASIA1") {
			if now.value(s.key) != s.value && (s.key != markKey || !now.marked()) {
				t.Fatalf("%s is %q in %q", s.key, now.value(s.key), got)
			}
		}
		for _, l := range cut.lines {
			if l.key != "" && !strings.Contains(strings.Join(append(ourKeys, "aws_security_token"), " "), l.key) && !bytes.Contains(got, []byte(strings.TrimRight(l.text, "\r\n"))) {
				t.Fatalf("%q is gone from %q", l.text, got)
			}
		}
		again, err := setProfile(got, "p", settingsOf(t, "ASIA1"))
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q became %q, %v", got, again, err)
		}
		dropped, err := dropProfile(got, "p", "ASIA1")
		if err != nil || !bytes.HasPrefix(dropped, bytes.TrimRight(cut.before, "\r\n")) || !bytes.HasSuffix(dropped, cut.after) {
			t.Fatalf("%q without it is %q, %v", got, dropped, err)
		}
		if !slices.ContainsFunc(cut.lines, func(l profileLine) bool { return slices.Contains(ourKeys, l.key) }) && !bytes.Equal(dropped, file) {
			t.Fatalf("%q came back as %q", file, dropped)
		}
	})
}
