// SPDX-License-Identifier: Apache-2.0

package fromaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stile-project/stile"
	fromaws "github.com/stile-project/stile/from/aws"
	"github.com/stile-project/stile/lab"
	labaws "github.com/stile-project/stile/lab/aws"
	"github.com/stile-project/stile/lab/stage"
)

var (
	_ stile.Identified = (*fromaws.Caller)(nil)
	_ stile.Identified = (*fromaws.WebIdentityToken)(nil)
)

// session gives new keys of a role each time it is asked, under one session name.
func (s scene) session(role, name string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		keys, err := s.World.AWS.Session(role, name, time.Hour)
		return aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.SessionToken}, err
	})
}

func (s scene) caller(role, name string) *fromaws.Caller {
	return &fromaws.Caller{Credentials: s.session(role, name), Region: fromaws.FixedRegion(stage.Region), Client: &http.Client{Transport: s.World.Network(nil)}}
}

func prove(t *testing.T, source stile.Identified, role bool) stile.Key {
	t.Helper()
	key, err := source.Identity(t.Context(), provider, role)
	if err != nil {
		t.Fatal(err)
	}
	if key.IsZero() {
		t.Fatal("no key")
	}
	return key
}

// The lab's STS says who each caller is, as AWS would.
func TestCallerIdentityTellsAccountsRolesAndSessionsApart(t *testing.T) {
	t.Parallel()
	s := set(t)
	one := s.caller(stage.Role, "i-1")
	if prove(t, one, false) != prove(t, one, false) || prove(t, one, true) != prove(t, one, true) {
		t.Error("a session that is renewed is another identity")
	}
	elsewhere := s.caller(stage.Role, "i-1")
	elsewhere.Region = fromaws.FixedRegion("us-east-2")
	if prove(t, elsewhere, false) != prove(t, one, false) {
		t.Error("one identity is another in another region")
	}
	two := s.caller(stage.Role, "i-2")
	if prove(t, one, false) == prove(t, two, false) {
		t.Error("two sessions are one identity: Google can tell them apart")
	}
	if prove(t, one, true) != prove(t, two, true) {
		t.Error("two sessions of one role are two, and the role alone was asked for")
	}
	other := s.caller(stage.OtherRole, "i-1")
	for _, role := range []bool{false, true} {
		if prove(t, one, role) == prove(t, other, role) {
			t.Errorf("role %t: two roles are one identity", role)
		}
	}
}

// A role that was deleted and made again has another unique id, and is another role.
func TestCallerIdentityIsThatOfTheRoleThatIs(t *testing.T) {
	t.Parallel()
	first, again := saying(t, stsAnswer("arn:aws:sts::111122223333:assumed-role/r/s", "111122223333", "AROAFIRST:s")), saying(t, stsAnswer("arn:aws:sts::111122223333:assumed-role/r/s", "111122223333", "AROAAGAIN:s"))
	for _, role := range []bool{false, true} {
		if prove(t, first, role) == prove(t, again, role) {
			t.Errorf("role %t: they are one", role)
		}
	}
}

func TestCallerIdentityKeysAreTheirOwn(t *testing.T) {
	t.Parallel()
	seen := map[stile.Key]string{}
	for _, who := range [][3]string{
		{"arn:aws:sts::111122223333:assumed-role/r/one", "111122223333", "AROA1:one"},
		{"arn:aws:sts::444455556666:assumed-role/r/one", "444455556666", "AROA1:one"},
		{"arn:aws-cn:sts::111122223333:assumed-role/r/one", "111122223333", "AROA1:one"},
		{"arn:aws:sts::111122223333:assumed-role/other/one", "111122223333", "AROA1:one"},
		{"arn:aws:iam::111122223333:user/alice", "111122223333", "AIDA1"},
		{"arn:aws:iam::111122223333:user/team/alice", "111122223333", "AIDA1"},
		{"arn:aws:iam::111122223333:user/alice", "111122223333", "AIDA2"},
		{"arn:aws:iam::111122223333:root", "111122223333", "111122223333"},
		{"arn:aws:sts::111122223333:federated-user/bob", "111122223333", "111122223333:bob"},
	} {
		source := saying(t, stsAnswer(who[0], who[1], who[2]))
		keys := []stile.Key{prove(t, source, false)}
		if role := prove(t, source, true); strings.Contains(who[0], "assumed-role") {
			keys = append(keys, role)
		} else if role != keys[0] {
			t.Errorf("%s: a user is another with role", who)
		}
		for _, key := range keys {
			if other, twice := seen[key]; twice {
				t.Errorf("%s and %s are one", who, other)
			}
			seen[key] = fmt.Sprint(who)
		}
	}
}

func TestCallerIdentitySendsWhatItSigned(t *testing.T) {
	t.Parallel()
	var sent *http.Request
	c := &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("us-gov-west-1"), FIPS: true, Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		sent = r
		return respond(200, stsAnswer("arn:aws-us-gov:iam::111122223333:root", "111122223333", "111122223333")), nil
	})}}
	prove(t, c, true)
	if sent.URL.String() != "https://sts.us-gov-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15" || sent.Header.Get("X-Goog-Cloud-Target-Resource") != "" {
		t.Errorf("sent %s with %v", sent.URL, sent.Header)
	}
}

func TestCallerIdentityFails(t *testing.T) {
	t.Parallel()
	const role, account = "arn:aws:sts::111122223333:assumed-role/r/s", "111122223333"
	good := stsAnswer(role, account, "AROA1:s")
	cases := map[string]struct {
		status int
		body   string
		kind   error
		words  string
	}{
		"refused":          {403, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>InvalidClientTokenId</Code><Message>` + example.SessionToken + `</Message></Error></ErrorResponse>`, stile.ErrRefused, "InvalidClientTokenId"},
		"throttled":        {400, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`, stile.ErrTemporary, "Rate exceeded"},
		"broken":           {503, "", stile.ErrTemporary, "503"},
		"no XML":           {200, "hunter2", stile.ErrTemporary, "not the XML"},
		"cut short":        {200, good[:len(good)-10], stile.ErrTemporary, "not the XML"},
		"another document": {200, strings.ReplaceAll(good, "GetCallerIdentityResponse", "Other"), stile.ErrTemporary, "not the XML"},
		"another space":    {200, strings.ReplaceAll(good, "sts.amazonaws.com", "hunter2.example"), stile.ErrTemporary, "not the XML"},
		"two documents":    {200, good + good, stile.ErrTemporary, "not one answer"},
		"more behind":      {200, good + "hunter2", stile.ErrTemporary, "not one answer"},
		"two results":      {200, strings.Replace(good, "<GetCallerIdentityResult>", "<GetCallerIdentityResult></GetCallerIdentityResult><GetCallerIdentityResult>", 1), stile.ErrTemporary, "not one answer"},
		"two ARNs":         {200, strings.Replace(good, "<Arn>", "<Arn>arn:aws:iam::111122223333:root</Arn><Arn>", 1), stile.ErrTemporary, "not one each"},
		"no account":       {200, strings.Replace(good, "<Account>111122223333</Account>", "", 1), stile.ErrTemporary, "not one each"},
		"account differs":  {200, stsAnswer(role, "444455556666", "AROA1:s"), stile.ErrTemporary, "another account"},
		"short account":    {200, stsAnswer("arn:aws:iam::1:root", "1", "1"), stile.ErrTemporary, "letters"},
		"no id":            {200, stsAnswer(role, account, ""), stile.ErrTemporary, "letters"},
		"session differs":  {200, stsAnswer(role, account, "AROA1:other"), stile.ErrTemporary, "do not agree"},
		"no session":       {200, stsAnswer("arn:aws:sts::111122223333:assumed-role/r", account, "AROA1:"), stile.ErrTemporary, "do not agree"},
		"slashed session":  {200, stsAnswer(role+"/t", account, "AROA1:s/t"), stile.ErrTemporary, "do not agree"},
		"a bucket":         {200, stsAnswer("arn:aws:s3::111122223333:b", account, "x"), stile.ErrTemporary, "neither"},
		"a role itself":    {200, stsAnswer("arn:aws:iam::111122223333:role/r", account, "AROA1"), stile.ErrTemporary, "neither"},
		"control letters":  {200, stsAnswer("arn:aws:iam::111122223333:user/a&#10;b", account, "AIDA1"), stile.ErrTemporary, "letters"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1"), Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				return respond(c.status, c.body), nil
			})}}
			key, err := source.Identity(t.Context(), provider, false)
			if _, ours := errors.AsType[*stile.Error](err); !ours || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || !key.IsZero() {
				t.Fatalf("got %v, want %v with %q", err, c.kind, c.words)
			}
			for _, secret := range []string{example.SecretAccessKey, example.SessionToken, "hunter2"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
	for name, source := range map[string]stile.Identified{"empty caller": &fromaws.Caller{}, "empty token": &fromaws.WebIdentityToken{}} {
		if _, err := source.Identity(t.Context(), "a", false); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%s: got %v, want misuse", name, err)
		}
	}
}

func TestCallerIdentityGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired")
	c := &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1"), Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		cancel(tired)
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}}
	if _, err := c.Identity(ctx, provider, false); !errors.Is(err, tired) {
		t.Errorf("got %v", err)
	}
}

// Tokens for OIDC providers name the role; the instance is all that tells one machine's from another's.
func TestWebIdentityTokenIdentity(t *testing.T) {
	t.Parallel()
	s := set(t)
	on := func(instance, role string) *fromaws.WebIdentityToken {
		place := &lab.Place{Metadata: s.World.AWS.EC2(labaws.Instance{ID: instance, Region: stage.Region, Zone: stage.Region + "a", RoleARN: role})}
		source := s.source()
		source.Credentials = instanceKeys(t, s, place)
		return source
	}
	one, two := on("i-0000000000000000a", stage.Role), on("i-0000000000000000b", stage.Role)
	if prove(t, one, false) != prove(t, one, false) {
		t.Error("a renewed token is another identity")
	}
	if prove(t, one, false) == prove(t, two, false) {
		t.Error("two instances are one: the token tells them apart")
	}
	if prove(t, one, true) != prove(t, two, true) {
		t.Error("two instances of one role are two, and the role alone was asked for")
	}
	tagged := on("i-0000000000000000a", stage.Role)
	tagged.Tags = map[string]string{"team": "other"}
	if prove(t, tagged, true) == prove(t, one, true) {
		t.Error("other tags are one identity")
	}
	if elsewhere, err := one.Identity(t.Context(), "https://vault.example", true); err != nil || elsewhere == prove(t, one, true) {
		t.Errorf("another audience is the same identity, %v", err)
	}
}

func FuzzCallerIdentity(f *testing.F) {
	f.Add(stsAnswer("arn:aws:sts::111122223333:assumed-role/r/s", "111122223333", "AROA1:s"))
	f.Add(stsAnswer("arn:aws:iam::111122223333:user/a/b", "111122223333", "AIDA1") + "\n<!-- -->")
	f.Add(`<?xml version="1.0" encoding="latin1"?><a/>`)
	f.Fuzz(func(t *testing.T, body string) {
		source := saying(t, body)
		whole, err := source.Identity(t.Context(), "a", false)
		role, errRole := source.Identity(t.Context(), "a", true)
		if (err == nil) != (errRole == nil) || (err == nil) == whole.IsZero() || (errRole == nil) == role.IsZero() {
			t.Fatalf("%s, %v and %s, %v", whole, err, role, errRole)
		}
		if _, ours := errors.AsType[*stile.Error](err); err != nil && !ours {
			t.Errorf("%T is no error of ours", err)
		}
	})
}

// stsAnswer is what STS says to GetCallerIdentity (AWS STS API, GetCallerIdentity, examples).
func stsAnswer(arn, account, id string) string {
	return `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>` + arn + `</Arn>
    <UserId>` + id + `</UserId>
    <Account>` + account + `</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>
`
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// saying is a caller whose STS always says the same.
func saying(t *testing.T, body string) *fromaws.Caller {
	t.Helper()
	return &fromaws.Caller{Credentials: fixed(example), Region: fromaws.FixedRegion("eu-west-1"), Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		return respond(200, body), nil
	})}}
}

// instanceKeys asks an instance's metadata service for keys of its role, anew each time.
func instanceKeys(t *testing.T, s scene, place *lab.Place) aws.CredentialsProvider {
	t.Helper()
	client := &http.Client{Transport: s.World.Network(place)}
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		ask := func(method, path, header, value string) string {
			req, err := http.NewRequestWithContext(ctx, method, "http://169.254.169.254"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(header, value)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d, %v", path, res.StatusCode, err)
			}
			return string(text)
		}
		token := ask(http.MethodPut, "/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		const list = "/latest/meta-data/iam/security-credentials/"
		name := ask(http.MethodGet, list, "X-Aws-Ec2-Metadata-Token", token)
		return readKeys(ask(http.MethodGet, list+name, "X-Aws-Ec2-Metadata-Token", token))
	})
}

func readKeys(text string) (aws.Credentials, error) {
	var keys struct{ AccessKeyID, SecretAccessKey, Token string }
	err := json.Unmarshal([]byte(text), &keys)
	return aws.Credentials{AccessKeyID: keys.AccessKeyID, SecretAccessKey: keys.SecretAccessKey, SessionToken: keys.Token}, err
}
