// SPDX-License-Identifier: Apache-2.0

package toaws_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
	toaws "github.com/stile-project/stile/to/aws"
)

const (
	partner = "444455556666"
	first   = "arn:aws:iam::" + stage.Account + ":role/first"
	further = "arn:aws:iam::" + partner + ":role/data/further"
)

// chain is the scene with a first role that the resizer may become, and a further one of a partner's account, whose trust
// wants an external id and a tag.
func chain(t *testing.T) scene {
	t.Helper()
	s := set(t)
	a := s.World.AWS
	for _, role := range []labaws.Role{
		{Account: stage.Account, Name: "first", MaxSession: 12 * time.Hour, Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"` + further + `"}]}`,
			Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity",
				"Condition":{"StringEquals":{"accounts.google.com:sub":"` + s.ResizerID + `","accounts.google.com:oaud":"` + stage.ImagesAudience + `"}}}]}`},
		{Account: partner, Name: "further", Path: "/data/", MaxSession: 12 * time.Hour, Permissions: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"*"}]}`,
			Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + first + `"},"Action":["sts:AssumeRole","sts:TagSession"],
				"Condition":{"StringEquals":{"sts:ExternalId":"stile-7","aws:RequestTag/team":"data"}}}]}`},
	} {
		if err := a.AddRole(role); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.AddBucket(partner, "partner-data", stage.Region); err != nil {
		t.Fatal(err)
	}
	if err := a.PutObject("partner-data", "rows.csv", []byte("1\n")); err != nil {
		t.Fatal(err)
	}
	return s
}

func next(change func(*toaws.NextRole)) func(*toaws.Role) {
	return func(r *toaws.Role) {
		r.ARN = first
		r.Then = &toaws.NextRole{ARN: further, ExternalID: "stile-7", Tags: map[string]string{"team": "data", "cost center": "A/7"}}
		change(r.Then)
	}
}

func TestFurtherRole(t *testing.T) {
	t.Parallel()
	s := chain(t)
	cases := map[string]struct {
		change  func(*toaws.NextRole)
		session string
		lives   time.Duration
	}{
		"as it comes":     {func(*toaws.NextRole) {}, stage.Resizer, time.Hour},
		"named and brief": {func(n *toaws.NextRole) { n.SessionName, n.Duration = "nightly", 15*time.Minute }, "nightly", 15 * time.Minute},
		"an hour":         {func(n *toaws.NextRole) { n.Duration = time.Hour }, stage.Resizer, time.Hour},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cred, err := s.become(next(c.change))
			if err != nil {
				t.Fatal(err)
			}
			want := "arn:aws:sts::" + partner + ":assumed-role/further/" + c.session
			if cred.Principal != want || cred.Session.AccountID != partner {
				t.Errorf("got %s of account %s, want %s", cred.Principal, cred.Session.AccountID, want)
			}
			if left := time.Until(cred.Expires); left > c.lives || left < c.lives-time.Minute {
				t.Errorf("lives %s, want %s", left, c.lives)
			}
		})
	}
}

func TestFurtherRoleReadsWhatItMay(t *testing.T) {
	t.Parallel()
	s := chain(t)
	role := &toaws.Role{Region: stage.Region, WebAudience: stage.ImagesAudience, Client: s.client()}
	next(func(*toaws.NextRole) {})(role)
	read := func() error {
		_, err := s.bucket(stile.Cross(s.source(), role)).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("partner-data"), Key: aws.String("rows.csv")})
		return err
	}
	if err := read(); err != nil {
		t.Error(err)
	}
	role.Then.Policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`
	if err := read(); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("what the session policy leaves out: %v, want AccessDenied", err)
	}
}

func TestAWSRefusesTheFurtherRole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change     func(*toaws.NextRole)
		code, hint string
	}{
		"another external id": {func(n *toaws.NextRole) { n.ExternalID = "stile-8" }, "AccessDenied", "external id"},
		"no external id":      {func(n *toaws.NextRole) { n.ExternalID = "" }, "AccessDenied", "external id"},
		"no tag":              {func(n *toaws.NextRole) { n.Tags = nil }, "AccessDenied", "sts:TagSession"},
		"no such role":        {func(n *toaws.NextRole) { n.ARN += "x" }, "AccessDenied", "sts:AssumeRole"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := chain(t)
			_, err := s.become(next(c.change))
			var e *stile.Error
			if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || e.Code != c.code || e.Op != "assume the further role" || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %v (hint %q), want %s and %q", err, e.Hint, c.code, c.hint)
			}
		})
	}
}

func TestClockOfTheFurtherRole(t *testing.T) {
	t.Parallel()
	s := chain(t)
	_, err := s.become(func(r *toaws.Role) {
		next(func(*toaws.NextRole) {})(r)
		r.Clock = func() time.Time { return time.Now().Add(-time.Hour) }
	})
	var e *stile.Error
	if !errors.Is(err, stile.ErrRefused) || !errors.As(err, &e) || !strings.Contains(e.Hint, "clock") {
		t.Errorf("got %v, want a refusal that names the clock", err)
	}
}

func TestMisuseOfTheFurtherRoleAsksNoCloud(t *testing.T) {
	t.Parallel()
	s := chain(t)
	tags := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint("k", i)] = "v"
		}
		return m
	}
	cases := map[string]struct {
		change func(*toaws.Role)
		words  string
	}{
		"over an hour":          {next(func(n *toaws.NextRole) { n.Duration = time.Hour + time.Second }), "after 1h"},
		"first over an hour":    {func(r *toaws.Role) { next(func(*toaws.NextRole) {})(r); r.Duration = 2 * time.Hour }, "after 1h"},
		"a minute":              {next(func(n *toaws.NextRole) { n.Duration = time.Minute }), "from 15m to 1h"},
		"uneven":                {next(func(n *toaws.NextRole) { n.Duration = time.Hour - time.Millisecond }), "whole seconds"},
		"no ARN":                {next(func(n *toaws.NextRole) { n.ARN = "" }), "further role"},
		"a user":                {next(func(n *toaws.NextRole) { n.ARN = "arn:aws:iam::111122223333:user/alice" }), "further role"},
		"session name":          {next(func(n *toaws.NextRole) { n.SessionName = "a b" }), "session name"},
		"external id":           {next(func(n *toaws.NextRole) { n.ExternalID = "x" }), "external id"},
		"policy":                {next(func(n *toaws.NextRole) { n.Policy = "{" }), "session policy"},
		"fifty-one tags":        {next(func(n *toaws.NextRole) { n.Tags = tags(51) }), "at most 50"},
		"tag of nothing":        {next(func(n *toaws.NextRole) { n.Tags = map[string]string{"": "v"} }), "session tag"},
		"tag with a line break": {next(func(n *toaws.NextRole) { n.Tags = map[string]string{"a\nb": "v"} }), "session tag"},
		"long value":            {next(func(n *toaws.NextRole) { n.Tags = map[string]string{"a": strings.Repeat("v", 257)} }), "256"},
		"tag of Amazon's":       {next(func(n *toaws.NextRole) { n.Tags = map[string]string{"AWS:x": "v"} }), "Amazon's own"},
		"tags alike":            {next(func(n *toaws.NextRole) { n.Tags = map[string]string{"Team": "a", "team": "b"} }), "twice"},
		"no region": {func(r *toaws.Role) {
			next(func(*toaws.NextRole) {})(r)
			r.Region, r.Endpoint = "", "https://sts.example"
		}, "no region"},
	}
	s.World.Journal.Take()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role := &toaws.Role{Region: stage.Region, Client: s.client()}
			c.change(role)
			if _, err := role.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret("x")}); !errors.Is(err, stile.ErrMisuse) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want misuse and %q", err, c.words)
			}
		})
	}
	if asked := s.World.Journal.Take(); len(asked) != 0 {
		t.Errorf("a cloud was asked: %v", asked)
	}
}

// later lets the first request through, and answers the second itself.
type later struct {
	http.RoundTripper
	answer func(*http.Request, string) (int, string)
}

func (l later) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		return l.RoundTripper.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, text := l.answer(r, string(body))
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}, nil
}

func TestFaultsOfTheFurtherRole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		kind   error
		words  string
	}{
		"another action": {200, `<AssumeRoleWithWebIdentityResponse/>`, stile.ErrTemporary, "not the XML of AssumeRole"},
		"a part missing": {200, `<AssumeRoleResponse/>`, stile.ErrTemporary, "part missing"},
		"JSON":           {200, `{}`, stile.ErrTemporary, "cannot be read"},
		"unavailable":    {503, `<html>`, stile.ErrTemporary, "503"},
		"throttled":      {400, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`, stile.ErrTemporary, "Rate exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := chain(t)
			_, err := s.become(func(r *toaws.Role) {
				next(func(*toaws.NextRole) {})(r)
				r.Client = &http.Client{Transport: later{s.World.Network(nil), func(*http.Request, string) (int, string) { return c.status, c.body }}}
			})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || !strings.HasPrefix(err.Error(), "assume the further role") {
				t.Errorf("got %v, want kind %v and %q", err, c.kind, c.words)
			}
		})
	}
}

func TestFirstSessionStaysOutOfErrors(t *testing.T) {
	t.Parallel()
	s := chain(t)
	var token string
	_, err := s.become(func(r *toaws.Role) {
		next(func(*toaws.NextRole) {})(r)
		r.Client = &http.Client{Transport: later{s.World.Network(nil), func(req *http.Request, _ string) (int, string) {
			token = req.Header.Get("X-Amz-Security-Token")
			return 400, `<ErrorResponse><Error><Code>A</Code><Message>you sent ` + token + `</Message></Error></ErrorResponse>`
		}}}
	})
	if err == nil || token == "" || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "you sent [secret]") {
		t.Errorf("got %.300v, want the echo with the session token cut out", err)
	}
}

// TestHostsThatAreAsked takes the hosts from the AWS SDK's table: the lab has none that answer over IPv6 as well.
func TestHostsThatAreAsked(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*toaws.Role){
		"sts.eu-west-1.amazonaws.com":                     func(*toaws.Role) {},
		"sts.eu-west-1.api.aws":                           func(r *toaws.Role) { r.DualStack = true },
		"sts-fips.us-east-1.api.aws":                      func(r *toaws.Role) { r.Region, r.DualStack, r.FIPS = "us-east-1", true, true },
		"sts-fips.us-east-1.amazonaws.com":                func(r *toaws.Role) { r.Region, r.FIPS = "us-east-1", true },
		"sts.cn-north-1.amazonaws.com.cn":                 func(r *toaws.Role) { r.Region = "cn-north-1" },
		"sts.us-gov-west-1.amazonaws.com":                 func(r *toaws.Role) { r.Region = "us-gov-west-1" },
		"sts.eusc-de-east-1.amazonaws.eu":                 func(r *toaws.Role) { r.Region = "eusc-de-east-1" },
		"sts.example":                                     func(r *toaws.Role) { r.Endpoint = "https://sts.example/" },
		"sts.us-iso-east-1.c2s.ic.gov":                    func(r *toaws.Role) { r.Region = "us-iso-east-1" },
		"sts.us-isob-east-1.sc2s.sgov.gov":                func(r *toaws.Role) { r.Region = "us-isob-east-1" },
		"sts.cn-northwest-1.api.amazonwebservices.com.cn": func(r *toaws.Role) { r.Region, r.DualStack = "cn-northwest-1", true },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			role := &toaws.Role{ARN: stage.FromGCP, Region: stage.Region, Client: &http.Client{Transport: nobody{}}}
			change(role)
			_, err := role.Exchange(t.Context(), stile.SubjectToken{Value: stile.NewSecret("x")})
			if !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), "cannot reach "+want+":") {
				t.Errorf("got %v, want %s asked", err, want)
			}
		})
	}
}

type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody there")
}

func TestEveryFieldIsInTheKey(t *testing.T) {
	t.Parallel()
	further := func(change func(*toaws.NextRole)) toaws.Role {
		n := &toaws.NextRole{ARN: "a"}
		change(n)
		return toaws.Role{Then: n}
	}
	cases := map[string]toaws.Role{
		"plain": {}, "dual-stack": {DualStack: true}, "FIPS": {FIPS: true},
		"further": further(func(*toaws.NextRole) {}), "ARN": further(func(n *toaws.NextRole) { n.ARN = "b" }),
		"session": further(func(n *toaws.NextRole) { n.SessionName = "s" }), "external id": further(func(n *toaws.NextRole) { n.ExternalID = "s" }),
		"duration": further(func(n *toaws.NextRole) { n.Duration = time.Hour }), "policy": further(func(n *toaws.NextRole) { n.Policy = "s" }),
		"tag": further(func(n *toaws.NextRole) { n.Tags = map[string]string{"a": "b"} }), "other tag": further(func(n *toaws.NextRole) { n.Tags = map[string]string{"a": "c"} }),
	}
	seen := map[stile.Key]string{}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		role := cases[name]
		if other, dup := seen[role.CacheKey()]; dup {
			t.Errorf("%s and %s share a key", name, other)
		}
		seen[role.CacheKey()] = name
	}
}

func TestFurtherRoleIsNotAskedWhenTheFirstRefuses(t *testing.T) {
	t.Parallel()
	s := chain(t)
	s.World.Faults.Add(lab.Fault{Host: "sts." + stage.Region + ".amazonaws.com", Status: 503})
	s.World.Journal.Take()
	if _, err := s.become(next(func(*toaws.NextRole) {})); !errors.Is(err, stile.ErrTemporary) || !strings.HasPrefix(err.Error(), "assume the role by web identity") {
		t.Errorf("got %v", err)
	}
	for _, e := range s.World.Journal.Take() {
		if e.Operation == "AssumeRole" {
			t.Error("the further role was asked for")
		}
	}
}
