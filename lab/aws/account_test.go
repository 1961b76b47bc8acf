// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	cloud := New(Config{Clock: time.Now})
	role := func(change func(*Role)) func() error {
		r := Role{Account: home, Name: "r", Trust: trustsEC2}
		change(&r)
		return func() error { return cloud.AddRole(r) }
	}
	for name, c := range map[string]struct {
		add  func() error
		want string
	}{
		"role in no account":          {role(func(r *Role) { r.Account = "1" }), "want 12 digits"},
		"role without a name":         {role(func(r *Role) { r.Name = "" }), "1 to 64"},
		"role of a bad path":          {role(func(r *Role) { r.Path = "team" }), "/SOME/PATH/"},
		"role of half an hour":        {role(func(r *Role) { r.MaxSession = time.Hour / 2 }), "1h to 12h"},
		"role of 13 hours":            {role(func(r *Role) { r.MaxSession = 13 * time.Hour }), "1h to 12h"},
		"role with no trust policy":   {role(func(r *Role) { r.Trust = "" }), "trust policy"},
		"role with broken permission": {role(func(r *Role) { r.Permissions = "{" }), "permissions policy"},
		"user of a bad name":          {func() error { _, err := cloud.AddUser(home, "a b", ""); return err }, "1 to 64"},
		"user with broken permission": {func() error { _, err := cloud.AddUser(home, "a", "{"); return err }, "permissions policy"},
		"provider over http":          {func() error { return cloud.AddOIDCProvider(home, "http://x.example") }, "https://HOST/PATH"},
		"provider with a port":        {func() error { return cloud.AddOIDCProvider(home, "https://x.example:8443") }, "no port"},
		"provider with a query":       {func() error { return cloud.AddOIDCProvider(home, "https://x.example/?a=b") }, "https://HOST/PATH"},
		"101 client ids": {func() error {
			return cloud.AddOIDCProvider(home, "https://x.example", strings.Split(strings.Repeat("a,", 100)+"a", ",")...)
		}, "at most 100"},
		"a client id of 256":       {func() error { return cloud.AddOIDCProvider(home, "https://x.example", strings.Repeat("a", 256)) }, "1 to 255"},
		"an unknown partition":     {func() error { return cloud.SetPartition(home, "aws-moon") }, "aws-us-gov"},
		"bucket of a bad name":     {func() error { return cloud.AddBucket(home, "A_B", irishReg) }, "3 to 63"},
		"bucket in no region":      {func() error { return cloud.AddBucket(home, "abc", "eu-west-9") }, "no region"},
		"object in no bucket":      {func() error { return cloud.PutObject("nowhere", "k", nil) }, "nowhere"},
		"session of no role":       {func() error { _, err := cloud.Session(target, "vm1", time.Hour); return err }, "no such role"},
		"managed policy of no ARN": {func() error { return cloud.AddManagedPolicy("x", everything) }, "policy/NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.add(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestHandlerKnowsTheHosts(t *testing.T) {
	t.Parallel()
	cloud := New(Config{Clock: time.Now})
	for host, want := range map[string]bool{
		"sts.amazonaws.com": true, "sts.eu-west-1.amazonaws.com": true, "STS.EU-WEST-1.AMAZONAWS.COM": true, "sts-fips.us-east-1.amazonaws.com": true,
		"sts.cn-north-1.amazonaws.com.cn": true, "sts.us-gov-west-1.amazonaws.com": true,
		"s3.amazonaws.com": true, "s3.eu-west-1.amazonaws.com": true, "b.s3.eu-west-1.amazonaws.com": true, "a.b.s3.eu-west-1.amazonaws.com": true,
		"b.s3.amazonaws.com": true, "b.s3.dualstack.eu-west-1.amazonaws.com": true, "s3.cn-north-1.amazonaws.com.cn": true,
		"": false, "amazonaws.com": false, "sts.eu-west-9.amazonaws.com": false, "sts-fips.eu-west-1.amazonaws.com": false,
		"sts.cn-north-1.amazonaws.com": false, "sts.eu-west-1.amazonaws.com.cn": false, "sts.amazonaws.com.cn": false,
		"iam.amazonaws.com": false, "sts.eu-west-1.amazonaws.com.evil.example": false, ".s3.eu-west-1.amazonaws.com": false,
	} {
		if _, ok := cloud.Handler(host); ok != want {
			t.Errorf("%q: %v, want %v", host, ok, want)
		}
	}
}

// A role given new policies keeps its sessions, and the new policies hold for them at once.
func TestAddRoleAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.role(Role{Account: stranger, Name: "goal", Trust: trusting(home, justAssume, "{}")})
	keys := w.session(etlARN)
	call := func() answer {
		return w.do(w.signed(keys, irishReg, irish, assume("arn:aws:iam::444455556666:role/goal"), 0))
	}
	if a := call(); a.Status != 200 {
		t.Fatalf("refused: %s", a.Message)
	}
	w.role(Role{Account: home, Name: "etl", Path: "/team/", Trust: trustsEC2})
	w.wantRefusal(call(), 403, "AccessDenied", "sts:AssumeRole")
}

func TestKeysPrintNoSecret(t *testing.T) {
	t.Parallel()
	keys := Keys{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "hush", SessionToken: "hush"}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "keys", keys, "many", []Keys{keys})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb, keys)
		fmt.Fprintf(&b, verb, &keys)
		fmt.Fprintf(&b, verb, credential{Keys: keys})
	}
	if strings.Contains(b.String(), "hush") || strings.Contains(b.String(), fmt.Sprintf("%x", "hush")) {
		t.Errorf("a secret shows:\n%s", b.String())
	}
}

// The journal of a whole exchange, good and bad, holds no secret.
func TestJournalHoldsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.role(Role{Account: home, Name: "from-gcp", Trust: robust, Permissions: everything})
	keys, token := w.session(etlARN), w.googleToken(nil)
	for _, r := range []string{webCall(token), webCall(token, "RoleSessionName", "!"), webCall(token + "x")} {
		w.do(post(t, irish, r))
	}
	signed := w.signed(keys, irishReg, irish, whoAmI, 0)
	_, signature, _ := strings.Cut(signed.Header.Get("Authorization"), "Signature=")
	w.do(signed)
	w.do(w.signed(keys, irishReg, irish, whoAmI, time.Hour))
	entries := w.journal.Take()
	if len(entries) != 5 {
		t.Fatalf("%d entries, want one for each of 5 requests", len(entries))
	}
	text := mustJSON(t, entries)
	for name, secret := range map[string]string{
		"secret access key": keys.SecretAccessKey, "session token": keys.SessionToken, "ID token": token,
		"ID token's signature": token[strings.LastIndex(token, ".")+1:], "signature": signature,
	} {
		if strings.Contains(text, secret) {
			t.Errorf("the journal holds the %s", name)
		}
	}
}

// FuzzARN holds that an ARN is its own text, and that a role's ARN has every part a role has.
func FuzzARN(f *testing.F) {
	f.Add(etlARN)
	f.Add("arn:aws:s3:::bucket/key:with:colons")
	f.Add("arn:aws:iam::111122223333:role/")
	f.Add("arn:::::")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseARN(s)
		if err != nil {
			if len(err.Error()) > 1024 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if a.String() != s {
			t.Fatalf("got %q, want %q", a.String(), s)
		}
		role, path, name, err := parseRoleARN(s)
		if err == nil && (role.String() != s || role.resource != "role"+path+name || name == "" || len(role.account) != 12) {
			t.Fatalf("%q: path %q, name %q", s, path, name)
		}
	})
}
