// SPDX-License-Identifier: Apache-2.0

package imds_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/imds"
	"github.com/stile-project/stile/serve/offer"
)

var now = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

const (
	secretKey    = `abc/EXAMPLE+"\key`
	sessionToken = "IQoJEXAMPLETOKEN"
	roleARN      = "arn:aws:iam::111122223333:role/team/reader"
	role         = "/latest/meta-data/iam/security-credentials/reader"
	ttlHeader    = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenHeader  = "X-Aws-Ec2-Metadata-Token"
)

type supplier func() (stile.Credential, error)

func (s supplier) Credential(context.Context) (stile.Credential, error) { return s() }

func gives(c stile.Credential, err error) stile.Supplier {
	return supplier(func() (stile.Credential, error) { return c, err })
}

func credential(left time.Duration) stile.Credential {
	return stile.Credential{Kind: stile.KindAWSSession, Expires: now.Add(left), Session: stile.Session{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: stile.NewSecret(secretKey), SessionToken: stile.NewSecret(sessionToken)}}
}

var (
	refused = &stile.Error{Op: "assume the role", Cloud: "AWS STS", Status: 403, Code: "AccessDenied",
		Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity", Hint: "see its trust policy", Err: stile.ErrRefused}
	down = &stile.Error{Op: "reach AWS STS", Err: stile.ErrTemporary, RetryAfter: time.Second}
)

func crossing(s stile.Supplier) offer.Crossing {
	return offer.Crossing{Name: "images", AWS: &offer.AWS{Session: s, RoleARN: roleARN, Region: "eu-west-1"}}
}

func newHandler(t testing.TB, c offer.Crossing, o imds.Options) *imds.Handler {
	t.Helper()
	if o.Clock == nil {
		o.Clock = clock
	}
	h, err := imds.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A written is an answer as the handler wrote it.
type written struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *written) Header() http.Header { return w.header }
func (w *written) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}
func (w *written) Write(b []byte) (int, error) { w.WriteHeader(200); return w.body.Write(b) }

// ask sends target as it is, and returns what was noted too.
func ask(h http.Handler, method, target string, header http.Header) (*written, []offer.Handed, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, nil, err
	}
	var notes []offer.Handed
	ctx := offer.WithNote(context.Background(), func(n offer.Handed) { notes = append(notes, n) })
	w := &written{header: http.Header{}}
	h.ServeHTTP(w, (&http.Request{Method: method, URL: u, Header: header, Host: "127.0.0.1"}).WithContext(ctx))
	w.WriteHeader(200) // as net/http does
	return w, notes, nil
}

// newToken is a token that lives for a minute, as a request carries it.
func newToken(t testing.TB, h http.Handler) http.Header {
	t.Helper()
	w, _, err := ask(h, "PUT", "/latest/api/token", http.Header{ttlHeader: {"60"}})
	if err != nil || w.status != 200 {
		t.Fatal(w.status, err)
	}
	return http.Header{tokenHeader: {w.body.String()}}
}

func titled(title string) string {
	return `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>` + title + `</title>
 </head>
 <body>
  <h1>` + title + `</h1>
 </body>
</html>
`
}

func TestTree(t *testing.T) {
	t.Parallel()
	const keys = `{"Code":"Success","LastUpdated":"2026-11-22T03:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"abc/EXAMPLE+\"\\key","Token":"IQoJEXAMPLETOKEN","Expiration":"2026-11-22T04:00:00Z"}`
	lost := titled("404 - Not Found")
	cases := map[string]string{
		"/latest":                    "dynamic\nmeta-data",
		"/latest/":                   "dynamic\nmeta-data",
		"/2021-03-23":                "dynamic\nmeta-data",
		"/latest/meta-data":          "iam/\nplacement/",
		"/latest/meta-data/":         "iam/\nplacement/",
		"/latest/meta-data/iam":      "info\nsecurity-credentials/",
		"/latest/meta-data/iam/info": `{"Code":"Success","LastUpdated":"2026-11-22T03:00:00Z","InstanceProfileArn":"arn:aws:iam::111122223333:instance-profile/reader"}`,
		"/latest/meta-data/iam/security-credentials":      "reader",
		"/latest/meta-data/iam/security-credentials/":     "reader",
		"/2012-01-12/meta-data/iam/security-credentials/": "reader",
		role:       keys,
		role + "/": keys,
		"/latest/meta-data/iam/security-credentials/%72eader": keys,
		"/latest/meta-data/placement/":                        "availability-zone\nregion",
		"/latest/meta-data/placement/region":                  "eu-west-1",
		"/latest/meta-data/placement/availability-zone":       "eu-west-1a",
		"/latest/meta-data/placement/availability-zone/":      "eu-west-1a",
		"/latest/dynamic":                                     "instance-identity/",
		"/latest/dynamic/instance-identity/":                  "document",
		"/latest/dynamic/instance-identity/document":          `{"accountId":"111122223333","availabilityZone":"eu-west-1a","region":"eu-west-1","version":"2017-09-30"}`,
		"/latest/dynamic/instance-identity/signature":         lost,
		"/latest/user-data":                                   lost,
		"/latest/api/":                                        lost,
		"/latest/meta-data/instance-id":                       lost,
		"/Latest/meta-data/":                                  lost,
		"/2009-04-04/meta-data/":                              lost,
		"/2021-03-24/meta-data/":                              lost,
		"/meta-data/":                                         lost,
		"//latest/meta-data/":                                 lost,
		"/latest//meta-data/":                                 lost,
		"/latest//":                                           lost,
		"/latest/meta-data//":                                 lost,
		"/latest/x/../meta-data/":                             lost,
		"/latest/x/%2e%2e/meta-data/":                         lost,
		"/latest%2fmeta-data/":                                lost,
		role + "s":                                            lost,
		"/latest/meta-data/iam/security-credentials/Reader":   lost,
		"/computeMetadata/v1/":                                lost,
	}
	h := newHandler(t, crossing(gives(credential(time.Hour), nil)), imds.Options{})
	token := newToken(t, h)
	for target, want := range cases {
		w, notes, err := ask(h, "GET", target, token)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, w.body.String()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", target, diff)
		}
		status, kind := 200, "text/plain"
		if want == lost {
			status, kind = 404, "text/html"
		}
		if w.status != status || w.header.Get("Content-Type") != kind || w.header.Get("Server") != "EC2ws" {
			t.Errorf("%s: got %d, %v", target, w.status, w.header)
		}
		if noted := len(notes) == 1 && notes[0] == (offer.Handed{Endpoint: "imds", Crossing: "images", What: "AWS session", Expires: now.Add(time.Hour)}); noted != (want == keys) || len(notes) > 1 {
			t.Errorf("%s: noted %v", target, notes)
		}
	}
	if w, _, _ := ask(h, "GET", "/", token); !strings.HasPrefix(w.body.String(), "2012-01-12\n") || !strings.HasSuffix(w.body.String(), "\nlatest") {
		t.Errorf("got %q", w.body.String())
	}
}

func TestUnknownIsNotThere(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		name, arn, region string
		want              map[string]string // empty: 404
	}{
		"no region": {"c", roleARN, "", map[string]string{"meta-data": "iam/", "": "meta-data", "meta-data/placement/region": "", "meta-data/placement/availability-zone/": "", "dynamic/instance-identity/document": ""}},
		"no role": {"images/prod é", "", "eu-west-1", map[string]string{"meta-data/iam/": "security-credentials/", "meta-data/iam/security-credentials/": "images-prod--", "meta-data/iam/info": "",
			"dynamic/instance-identity/document": `{"availabilityZone":"eu-west-1a","region":"eu-west-1","version":"2017-09-30"}`}},
		"no name at all":     {"", "", "", map[string]string{"meta-data/iam/security-credentials/": "role"}},
		"dots":               {"..", "", "", map[string]string{"meta-data/iam/security-credentials/": "role"}},
		"a long name":        {strings.Repeat("n", 99), "", "", map[string]string{"meta-data/iam/security-credentials/": strings.Repeat("n", 64)}},
		"two lines":          {"a\nb", "", "", map[string]string{"meta-data/iam/security-credentials/": "a-b"}},
		"a role of China":    {"c", "arn:aws-cn:iam::111122223333:role/r+=,.@-_1", "", map[string]string{"meta-data/iam/security-credentials/": "r+=,.@-_1", "meta-data/iam/info": `{"Code":"Success","LastUpdated":"2026-11-22T03:00:00Z","InstanceProfileArn":"arn:aws-cn:iam::111122223333:instance-profile/r+=,.@-_1"}`}},
		"an ARN that is not": {"c", "arn:aws:iam::1:role/x", "", map[string]string{"meta-data/iam/info": "", "meta-data/iam/security-credentials/": "x"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(t, offer.Crossing{Name: c.name, AWS: &offer.AWS{Session: gives(credential(time.Hour), nil), RoleARN: c.arn, Region: c.region}}, imds.Options{})
			token := newToken(t, h)
			for path, want := range c.want {
				if w, _, _ := ask(h, "GET", "/latest/"+path, token); (w.status == 200) != (want != "") || want != "" && w.body.String() != want {
					t.Errorf("%s: got %d %q, want %q", path, w.status, w.body.String(), want)
				}
			}
			w, _, _ := ask(h, "GET", "/latest/meta-data/iam/security-credentials/", token)
			if w, _, _ := ask(h, "GET", "/latest/meta-data/iam/security-credentials/"+w.body.String(), token); w.status != 200 || !json.Valid(w.body.Bytes()) {
				t.Errorf("got %d %q", w.status, w.body.String())
			}
		})
	}
}

func TestTokenRequests(t *testing.T) {
	t.Parallel()
	ttl := func(values ...string) http.Header { return http.Header{ttlHeader: values} }
	cases := map[string]struct {
		method, target string
		header         http.Header
		status         int
	}{
		"a second":             {"PUT", "/latest/api/token", ttl("1"), 200},
		"six hours":            {"PUT", "/latest/api/token", ttl("21600"), 200},
		"with a body":          {"PUT", "/latest/api/token?x", ttl("60"), 200},
		"no time":              {"PUT", "/latest/api/token", nil, 400},
		"an empty time":        {"PUT", "/latest/api/token", ttl(""), 400},
		"no seconds":           {"PUT", "/latest/api/token", ttl("0"), 400},
		"more than six hours":  {"PUT", "/latest/api/token", ttl("21601"), 400},
		"far more":             {"PUT", "/latest/api/token", ttl("99999999999999999999999999"), 400},
		"less than nothing":    {"PUT", "/latest/api/token", ttl("-1"), 400},
		"a sign":               {"PUT", "/latest/api/token", ttl("+1"), 400},
		"a fraction":           {"PUT", "/latest/api/token", ttl("1.5"), 400},
		"hexadecimal":          {"PUT", "/latest/api/token", ttl("0x10"), 400},
		"two times":            {"PUT", "/latest/api/token", ttl("60", "60"), 400},
		"through a proxy":      {"PUT", "/latest/api/token", http.Header{ttlHeader: {"60"}, "X-Forwarded-For": {"10.0.0.1"}}, 403},
		"through a quiet one":  {"PUT", "/latest/api/token", http.Header{ttlHeader: {"60"}, "X-Forwarded-For": {""}}, 403},
		"a slash at the end":   {"PUT", "/latest/api/token/", ttl("60"), 403},
		"two slashes":          {"PUT", "//latest/api/token", ttl("60"), 403},
		"of another version":   {"PUT", "/2021-03-23/api/token", ttl("60"), 403},
		"encoded":              {"PUT", "/latest/api/%74oken", ttl("60"), 403},
		"elsewhere":            {"PUT", "/latest/meta-data/", ttl("60"), 403},
		"GET":                  {"GET", "/latest/api/token", ttl("60"), 405},
		"POST":                 {"POST", "/latest/api/token", ttl("60"), 405},
		"OPTIONS":              {"OPTIONS", "/latest/api/token", nil, 200},
		"POST elsewhere":       {"POST", role, nil, 405},
		"DELETE elsewhere":     {"DELETE", role, nil, 405},
		"OPTIONS elsewhere":    {"OPTIONS", role, nil, 405},
		"no method that is so": {"put", "/latest/api/token", ttl("60"), 405},
	}
	h := newHandler(t, crossing(gives(credential(time.Hour), nil)), imds.Options{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, notes, err := ask(h, c.method, c.target, c.header)
			if err != nil {
				t.Fatal(err)
			}
			if w.status != c.status || len(notes) > 0 || w.header.Get("Server") != "EC2ws" {
				t.Errorf("got %d %v, noted %v; want %d", w.status, w.header, notes, c.status)
			}
			if (w.header.Get("Allow") != "") != (c.status == 405 || c.method == "OPTIONS") {
				t.Errorf("got Allow %q", w.header.Get("Allow"))
			}
			if token := c.status == 200 && c.method == "PUT"; token != (w.header.Get(ttlHeader) != "") || token && (w.header.Get(ttlHeader) != c.header.Get(ttlHeader) || w.body.Len() != 64) {
				t.Errorf("got %v %q", w.header, w.body.String())
			}
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	at := now
	offered := crossing(gives(credential(time.Hour), nil))
	o := imds.Options{Clock: func() time.Time { return at }}
	v2, other := newHandler(t, offered, o), newHandler(t, offered, o)
	o.AllowV1 = true
	v1 := newHandler(t, offered, o)
	try := func(what string, h http.Handler, header http.Header, want int) {
		t.Helper()
		for _, path := range []string{role, "/", "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/placement/region"} {
			w, notes, err := ask(h, "GET", path, header)
			if err != nil {
				t.Fatal(err)
			}
			if w.status != want || want == 401 && w.body.String() != titled("401 - Unauthorized") {
				t.Errorf("%s, %s: got %d %s; want %d", what, path, w.status, w.body.String(), want)
			}
			if path == role && (len(notes) != 1 || (notes[0].Err == nil) != (want == 200)) {
				t.Errorf("%s: noted %v", what, notes)
			}
		}
	}
	good, good1 := newToken(t, v2), newToken(t, v1)
	text := good[tokenHeader][0]
	if again := newToken(t, v2)[tokenHeader][0]; again == text {
		t.Error("two tokens are equal")
	}
	try("its own", v2, good, 200)
	try("its own, where none is needed", v1, good1, 200)
	try("none", v2, nil, 401)
	try("none, where none is needed", v1, nil, 200)
	raw, _ := base64.URLEncoding.DecodeString(text)
	foreign := map[string]http.Header{
		"another's":      newToken(t, other),
		"of version 1's": {tokenHeader: {"AQAEAN0x" + text[8:]}},
		"empty":          {tokenHeader: {""}},
		"two":            {tokenHeader: {text, text}},
		"shorter":        {tokenHeader: {text[:63]}},
		"longer":         {tokenHeader: {text + "A"}},
		"with a break":   {tokenHeader: {text[:62] + "\n" + text[62:]}},
		"huge":           {tokenHeader: {strings.Repeat("A", 1<<20)}},
		"of zeros":       {tokenHeader: {strings.Repeat("A", 64)}},
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		foreign[fmt.Sprint("changed at ", i)] = http.Header{tokenHeader: {base64.URLEncoding.EncodeToString(changed)}}
	}
	for what, header := range foreign {
		try(what, v2, header, 401)
		try(what, v1, header, 401)
	}
	var more []http.Header
	for range 300 { // more than are remembered as checked
		more = append(more, newToken(t, v2))
	}
	for range 2 {
		for _, header := range more {
			if w, _, err := ask(v2, "GET", "/", header); err != nil || w.status != 200 {
				t.Fatalf("one of many tokens: got %d, %v", w.status, err)
			}
		}
	}
	at = now.Add(time.Minute - 1)
	try("about to expire", v2, good, 200)
	at = now.Add(time.Minute)
	try("expired", v2, good, 401)
	try("expired, where none is needed", v1, good1, 401)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		supplier stile.Supplier
		status   int
		code     string
		message  string
		retry    string
	}{
		"refused":   {gives(stile.Credential{}, refused), 403, "AccessDenied", "assume the role: AWS STS answered 403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity; see its trust policy", ""},
		"an outage": {gives(stile.Credential{}, down), 503, "ServiceUnavailable", "reach AWS STS: temporary", "1"},
		"ended":     {gives(credential(0), nil), 503, "ServiceUnavailable", "hand out an AWS session: temporary: the session ended at 2026-11-22T03:00:00Z", ""},
		"empty":     {gives(stile.Credential{}, nil), 500, "InternalServerError", "hand out an AWS session: not a session that an AWS SDK could use: the crossing gave another kind of credential: kind 0; offer only crossings into AWS here", ""},
		"foreign":   {gives(stile.Credential{}, errors.New("it said "+secretKey)), 503, "ServiceUnavailable", "no credential could be had just now; see stile's log", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(t, crossing(c.supplier), imds.Options{})
			token := newToken(t, h)
			for _, path := range []string{role, role + "/", "/latest/meta-data/iam/info"} {
				w, notes, err := ask(h, "GET", path, token)
				if err != nil {
					t.Fatal(err)
				}
				var body map[string]string
				if err := json.Unmarshal(w.body.Bytes(), &body); err != nil {
					t.Fatal(err)
				}
				want := map[string]string{"Code": c.code, "LastUpdated": "2026-11-22T03:00:00Z", "Message": c.message}
				if diff := cmp.Diff(want, body); diff != "" || w.status != c.status || w.header.Get("Retry-After") != c.retry {
					t.Errorf("%s: got %d, want %d; %v; -want +got:\n%s", path, w.status, c.status, w.header, diff)
				}
				if noted := len(notes) == 1 && notes[0].Err != nil && notes[0].Crossing == "images"; noted != strings.HasPrefix(path, role) {
					t.Errorf("%s: noted %v", path, notes)
				}
			}
			if w, _, _ := ask(h, "GET", "/latest/meta-data/placement/region", token); w.status != 200 {
				t.Errorf("the region: got %d", w.status)
			}
		})
	}
}

// TestHead: who asks for headers alone is handed nothing.
func TestHead(t *testing.T) {
	t.Parallel()
	h := newHandler(t, crossing(gives(credential(time.Hour), nil)), imds.Options{})
	if w, notes, _ := ask(h, "HEAD", role, newToken(t, h)); w.status != 200 || len(notes) != 0 {
		t.Errorf("got %d, noted %v", w.status, notes)
	}
	if w, _, _ := ask(h, "HEAD", role, nil); w.status != 401 {
		t.Errorf("without a token: got %d", w.status)
	}
}

func TestNewMisused(t *testing.T) {
	t.Parallel()
	for _, c := range []offer.Crossing{{Name: "c"}, {Name: "c", AWS: &offer.AWS{}}, {Name: "c", Google: &offer.Google{}}} {
		if _, err := imds.New(c, imds.Options{}); !errors.Is(err, stile.ErrMisuse) {
			t.Errorf("%v: got %v", c, err)
		}
	}
}

// TestNoSecretInErrors holds every refusal, and what is noted of it, against all that is secret.
func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	kind := stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(secretKey), Expires: now.Add(time.Hour)}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	secrets := []string{secretKey, strings.ReplaceAll(secretKey, `"\`, `\"\\`), "abc/EXAMPLE", sessionToken}
	for i, s := range []stile.Supplier{gives(credential(time.Hour), nil), gives(credential(0), nil), gives(kind, nil), gives(stile.Credential{}, refused), gives(stile.Credential{}, errors.New(secretKey))} {
		h := newHandler(t, crossing(s), imds.Options{})
		token := newToken(t, h)
		secrets = append(secrets, token[tokenHeader][0])
		for _, header := range []http.Header{nil, token, {tokenHeader: {token[tokenHeader][0] + "x"}}} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
				w, notes, err := ask(h, method, role, header)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range notes {
					if i < 4 { // what others write into errors is the log's affair
						logger.Error("noted", "handed", n, "err", n.Err)
						fmt.Fprintf(&log, "%v %+v %#v %s\n", n, n, n, n.Err)
					}
				}
				if w.status != 200 {
					log.Write(w.body.Bytes())
					fmt.Fprintln(&log, w.header)
				}
			}
		}
	}
	for _, secret := range secrets {
		if strings.Contains(log.String(), secret) {
			t.Errorf("found %q in\n%s", secret, log.String())
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	h := newHandler(t, crossing(supplier(func() (stile.Credential, error) { return credential(time.Hour), nil })), imds.Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				w, _, err := ask(h, "PUT", "/latest/api/token", http.Header{ttlHeader: {"60"}})
				if err != nil {
					t.Error(err)
					return
				}
				if w, _, err := ask(h, "GET", role, http.Header{tokenHeader: {w.body.String()}}); err != nil || w.status != 200 {
					t.Errorf("got %d, %v", w.status, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzRequest(f *testing.F) {
	for _, target := range []string{role, "/", "/latest/", "/latest/api/token", "/latest/meta-data/iam/info", "/latest/x/%2e%2e/meta-data", "//latest", "*", "http://x/latest/", "/latest/dynamic/instance-identity/document"} {
		f.Add("GET", target, "", "60", false)
		f.Add("PUT", target, "x", "0", true)
	}
	good := newHandler(f, crossing(gives(credential(time.Hour), nil)), imds.Options{})
	bad := newHandler(f, crossing(gives(stile.Credential{}, nil)), imds.Options{AllowV1: true})
	token := newToken(f, good)
	f.Fuzz(func(t *testing.T, method, target, given, ttl string, carry bool) {
		header := http.Header{tokenHeader: {given}, ttlHeader: {ttl}}
		if carry {
			header[tokenHeader] = token[tokenHeader]
		}
		w, notes, err := ask(good, method, target, header)
		if err != nil {
			return
		}
		if w.status < 200 || w.status > 599 || len(notes) > 1 || w.header.Get("Server") != "EC2ws" {
			t.Fatalf("status %d, %v, noted %v", w.status, w.header, notes)
		}
		if w.status == 200 && (method == "GET" || method == "HEAD") && !carry {
			t.Errorf("%s %q with %q was answered", method, target, given)
		}
		var keys struct{ Code, AccessKeyId, SecretAccessKey, Token, Expiration string }
		if secret := bytes.Contains(w.body.Bytes(), []byte("SecretAccessKey")); secret {
			if err := json.Unmarshal(w.body.Bytes(), &keys); err != nil || w.status != 200 || keys.AccessKeyId == "" || keys.SecretAccessKey == "" || keys.Token == "" || keys.Expiration == "" || keys.Code != "Success" {
				t.Errorf("got %d %q: %v", w.status, w.body.String(), err)
			}
		}
		delete(header, tokenHeader)
		if w, _, _ := ask(bad, method, target, header); bytes.Contains(w.body.Bytes(), []byte("Success")) || bytes.Contains(w.body.Bytes(), []byte("AccessKeyId")) {
			t.Errorf("with no credential: got %d %q", w.status, w.body.String())
		}
	})
}
