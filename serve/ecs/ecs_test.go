// SPDX-License-Identifier: Apache-2.0

package ecs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/ecs"
	"github.com/stile-project/stile/serve/offer"
)

var now = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

const (
	bearer       = "Bearer-0123456789"
	secretKey    = `abc/EXAMPLE+"\key`
	sessionToken = "IQoJEXAMPLETOKEN"
	roleARN      = "arn:aws:iam::111122223333:role/team/reader"
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

var refused = &stile.Error{Op: "assume the role", Cloud: "AWS STS", Status: 403, Code: "AccessDenied",
	Message: "Not authorized to perform sts:AssumeRoleWithWebIdentity", Sent: []slog.Attr{slog.String("role", roleARN)}, Hint: "see its trust policy", Err: stile.ErrRefused}

// world is one crossing for each way to answer.
func world() []offer.Crossing {
	crossing := func(name string, s stile.Supplier) offer.Crossing {
		return offer.Crossing{Name: name, AWS: &offer.AWS{Session: s, RoleARN: roleARN}}
	}
	return []offer.Crossing{
		crossing("good", gives(credential(time.Hour), nil)), crossing("short", gives(credential(time.Minute), nil)),
		crossing("a/b c%é", gives(credential(time.Hour), nil)),
		crossing("dead", gives(credential(0), nil)), crossing("empty", gives(stile.Credential{}, nil)),
		crossing("forbidden", gives(stile.Credential{}, refused)), crossing("down", gives(stile.Credential{}, &stile.Error{Op: "reach AWS STS", Err: stile.ErrTemporary, RetryAfter: time.Second})),
		crossing("foreign", gives(stile.Credential{}, errors.New("it said "+secretKey))),
		crossing("token", gives(stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(secretKey), Expires: now.Add(time.Hour)}, nil)),
	}
}

func newHandler(t testing.TB, o ecs.Options) *ecs.Handler {
	t.Helper()
	if o.TokenFile == "" {
		o.Token = stile.NewSecret(bearer)
	}
	o.Clock = clock
	h, err := ecs.New(world(), o)
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
	return w, notes, nil
}

func authorized() http.Header { return http.Header{"Authorization": {bearer}} }

const good = `{"RoleArn":"arn:aws:iam::111122223333:role/team/reader","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"abc/EXAMPLE+\"\\key",` +
	`"Token":"IQoJEXAMPLETOKEN","Expiration":"2026-11-22T04:00:00Z","AccountId":"111122223333"}`

func TestAnswers(t *testing.T) {
	t.Parallel()
	const (
		lost   = `{"code":"NotFound","message":"no crossing is answered at this path; want /v1/credentials/NAME"}`
		denied = `{"code":"AccessDeniedException","message":"refused: the Authorization header is missing or is not this endpoint's token; set AWS_CONTAINER_AUTHORIZATION_TOKEN, or its _FILE, for this program"}`
		method = `{"code":"MethodNotAllowed","message":"credentials are read with GET"}`
	)
	cases := map[string]struct {
		method, target string
		header         http.Header
		status         int
		body           string
		noted          string // crossing, and "ok" or "refused"
	}{
		"good":                    {"GET", "/v1/credentials/good", authorized(), 200, good, "good ok"},
		"a query":                 {"GET", "/v1/credentials/good?x=/..", authorized(), 200, good, "good ok"},
		"percent-encoded":         {"GET", "/v1/credentials/%67ood", authorized(), 200, good, "good ok"},
		"a name with a slash":     {"GET", ecs.Path("a/b c%é"), authorized(), 200, good, "a/b c%é ok"},
		"its decoded path":        {"GET", "/v1/credentials/a/b%20c%25%C3%A9", authorized(), 404, lost, ""},
		"encoded twice":           {"GET", "/v1/credentials/%2567ood", authorized(), 404, lost, ""},
		"no such name":            {"GET", "/v1/credentials/other", authorized(), 404, lost, ""},
		"in capitals":             {"GET", "/v1/credentials/Good", authorized(), 404, lost, ""},
		"no name":                 {"GET", "/v1/credentials/", authorized(), 404, lost, ""},
		"the root":                {"GET", "/v1/credentials", authorized(), 404, lost, ""},
		"a slash at the end":      {"GET", "/v1/credentials/good/", authorized(), 404, lost, ""},
		"two slashes":             {"GET", "/v1/credentials//good", authorized(), 404, lost, ""},
		"up and down":             {"GET", "/v1/credentials/../credentials/good", authorized(), 404, lost, ""},
		"up, encoded":             {"GET", "/v1/credentials/x%2f%2e%2e%2fgood", authorized(), 404, lost, ""},
		"another prefix":          {"GET", "/v1/credentialsgood", authorized(), 404, lost, ""},
		"ECS's own path":          {"GET", "/v2/credentials/good", authorized(), 404, lost, ""},
		"a prefix encoded":        {"GET", "/v1/%63redentials/good", authorized(), 404, lost, ""},
		"nothing":                 {"GET", "/", authorized(), 404, lost, ""},
		"less than the floor":     {"GET", "/v1/credentials/short", authorized(), 200, strings.Replace(good, "04:00:00", "03:01:00", 1), "short ok"},
		"no token":                {"GET", "/v1/credentials/good", nil, 401, denied, "good refused"},
		"no token, no crossing":   {"GET", "/v1/credentials/other", nil, 401, denied, " refused"},
		"a wrong token":           {"GET", "/v1/credentials/good", http.Header{"Authorization": {bearer[1:]}}, 401, denied, "good refused"},
		"the beginning of it":     {"GET", "/v1/credentials/good", http.Header{"Authorization": {bearer[:5]}}, 401, denied, "good refused"},
		"more than it":            {"GET", "/v1/credentials/good", http.Header{"Authorization": {bearer + "0"}}, 401, denied, "good refused"},
		"an empty token":          {"GET", "/v1/credentials/good", http.Header{"Authorization": {""}}, 401, denied, "good refused"},
		"with Bearer before it":   {"GET", "/v1/credentials/good", http.Header{"Authorization": {"Bearer " + bearer}}, 401, denied, "good refused"},
		"two tokens":              {"GET", "/v1/credentials/good", http.Header{"Authorization": {bearer, bearer}}, 401, denied, "good refused"},
		"HEAD":                    {"HEAD", "/v1/credentials/good", authorized(), 405, method, ""},
		"POST":                    {"POST", "/v1/credentials/good", authorized(), 405, method, ""},
		"no method that is known": {"get", "/v1/credentials/good", authorized(), 405, method, ""},
		"an ended session":        {"GET", "/v1/credentials/dead", authorized(), 503, `{"code":"ServiceUnavailable","message":"hand out an AWS session: temporary: the session ended at 2026-11-22T03:00:00Z"}`, "dead refused"},
		"no credential":           {"GET", "/v1/credentials/empty", authorized(), 500, `{"code":"InternalServerError","message":"hand out an AWS session: not a session that an AWS SDK could use: the crossing gave another kind of credential: kind 0; offer only crossings into AWS here"}`, "empty refused"},
		"another kind":            {"GET", "/v1/credentials/token", authorized(), 500, `{"code":"InternalServerError","message":"hand out an AWS session: not a session that an AWS SDK could use: the crossing gave another kind of credential: access token; offer only crossings into AWS here"}`, "token refused"},
		"a refusal":               {"GET", "/v1/credentials/forbidden", authorized(), 403, `{"code":"AccessDenied","message":"assume the role: AWS STS answered 403 AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity (sent role arn:aws:iam::111122223333:role/team/reader); see its trust policy"}`, "forbidden refused"},
		"an outage":               {"GET", "/v1/credentials/down", authorized(), 503, `{"code":"ServiceUnavailable","message":"reach AWS STS: temporary"}`, "down refused"},
		"an error of another's":   {"GET", "/v1/credentials/foreign", authorized(), 503, `{"code":"ServiceUnavailable","message":"no credential could be had just now; see stile's log"}`, "foreign refused"},
	}
	h := newHandler(t, ecs.Options{})
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, notes, err := ask(h, c.method, c.target, c.header)
			if err != nil {
				t.Fatal(err)
			}
			if w.status != c.status {
				t.Errorf("got status %d, want %d", w.status, c.status)
			}
			if diff := cmp.Diff(c.body, w.body.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := w.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("got Content-Type %q", got)
			}
			if got := w.header.Get("Allow"); (got == "GET") != (c.status == 405) {
				t.Errorf("got Allow %q", got)
			}
			if got := noted(notes); got != c.noted {
				t.Errorf("noted %q, want %q", got, c.noted)
			}
		})
	}
}

func noted(notes []offer.Handed) string {
	var lines []string
	for _, n := range notes {
		word := "ok"
		if n.Err != nil {
			word = "refused"
		}
		if n.Endpoint != "ecs" || n.What != "AWS session" || n.Expires.IsZero() != (n.Err != nil) {
			word = fmt.Sprintf("%+v", n)
		}
		lines = append(lines, n.Crossing+" "+word)
	}
	return strings.Join(lines, "\n")
}

func TestRoot(t *testing.T) {
	t.Parallel()
	h := newHandler(t, ecs.Options{Root: "good"})
	for target, want := range map[string]int{"/v1/credentials": 200, "/v1/credentials/good": 200, "/v1/credentials/": 404} {
		if w, _, _ := ask(h, "GET", target, authorized()); w.status != want {
			t.Errorf("%s: got %d, want %d", target, w.status, want)
		}
	}
	if w, _, _ := ask(h, "GET", "/v1/credentials", nil); w.status != 401 {
		t.Errorf("without a token: got %d", w.status)
	}
}

func TestNewMisused(t *testing.T) {
	t.Parallel()
	one := world()[:1]
	token := stile.NewSecret(bearer)
	cases := map[string]struct {
		crossings []offer.Crossing
		options   ecs.Options
	}{
		"no token":             {one, ecs.Options{}},
		"a token and a file":   {one, ecs.Options{Token: token, TokenFile: "token"}},
		"a token of two lines": {one, ecs.Options{Token: stile.NewSecret("a\nb")}},
		"a token and a space":  {one, ecs.Options{Token: stile.NewSecret("token ")}},
		"a token not of ASCII": {one, ecs.Options{Token: stile.NewSecret("tökén")}},
		"a token too long":     {one, ecs.Options{Token: stile.NewSecret(strings.Repeat("a", 8<<10+1))}},
		"no crossing":          {nil, ecs.Options{Token: token}},
		"no name":              {[]offer.Crossing{{AWS: one[0].AWS}}, ecs.Options{Token: token}},
		"a name that goes up":  {[]offer.Crossing{{Name: "..", AWS: one[0].AWS}}, ecs.Options{Token: token}},
		"two of one name":      {[]offer.Crossing{one[0], one[0]}, ecs.Options{Token: token}},
		"into Google":          {[]offer.Crossing{{Name: "g", Google: &offer.Google{}}}, ecs.Options{Token: token}},
		"no supplier":          {[]offer.Crossing{{Name: "g", AWS: &offer.AWS{}}}, ecs.Options{Token: token}},
		"a root that is not":   {one, ecs.Options{Token: token, Root: "other"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if h, err := ecs.New(c.crossings, c.options); !errors.Is(err, stile.ErrMisuse) || h != nil && err == nil {
				t.Errorf("got %v", err)
			} else if strings.Contains(err.Error(), bearer) {
				t.Errorf("the error has the token: %v", err)
			}
		})
	}
}

// TestTokenFileIsLookedAt: the token that was right a moment ago is taken without a look at the file, and no other is.
func TestTokenFileIsLookedAt(t *testing.T) {
	t.Parallel()
	at, path := now, filepath.Join(t.TempDir(), "token")
	h, err := ecs.New(world(), ecs.Options{TokenFile: path, Clock: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		after time.Duration // since the last step; may be less than nothing, where the clock was set
		file  string        // empty: as it was
		token string
		want  int
	}{
		{0, "token-1", "token-1", 200},
		{0, "token-2", "token-1", 200},
		{99 * time.Millisecond, "", "token-1", 200},
		{time.Millisecond, "", "token-1", 401},
		{0, "token-3", "token-3", 200},
		{0, "", "token-1", 401},
		{0, "token-4", "token-5", 401},
		{0, "", "token-3", 401},
		{0, "", "token-4", 200},
		{0, "token-5", "token-4", 200},
		{-time.Hour, "", "token-4", 401},
		{0, "", "", 401},
	} {
		at = at.Add(step.after)
		if step.file != "" {
			if err := os.WriteFile(path, []byte(step.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w, _, err := ask(h, "GET", "/v1/credentials/good", http.Header{"Authorization": {step.token}})
		if err != nil || w.status != step.want {
			t.Errorf("step %d: got %d, %v; want %d", i, w.status, err, step.want)
		}
	}
}

func TestUnknownIsLeftOut(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]string{
		"":          `{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"abc/EXAMPLE+\"\\key","Token":"IQoJEXAMPLETOKEN","Expiration":"2026-11-22T04:00:00Z"}`,
		`not "one"`: `{"RoleArn":"not \"one\"","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"abc/EXAMPLE+\"\\key","Token":"IQoJEXAMPLETOKEN","Expiration":"2026-11-22T04:00:00Z"}`,
	} {
		h, err := ecs.New([]offer.Crossing{{Name: "c", AWS: &offer.AWS{Session: gives(credential(time.Hour), nil), RoleARN: arn}}}, ecs.Options{Token: stile.NewSecret(bearer), Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		if w, _, _ := ask(h, "GET", ecs.Path("c"), authorized()); w.body.String() != want {
			t.Errorf("got %s\nwant %s", w.body.String(), want)
		}
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	h := newHandler(t, ecs.Options{TokenFile: path})
	try := func(what, token string, want int) {
		t.Helper()
		w, notes, err := ask(h, "GET", "/v1/credentials/good", http.Header{"Authorization": {token}})
		if err != nil {
			t.Fatal(err)
		}
		if w.status != want || (notes[0].Err == nil) != (want == 200) {
			t.Errorf("%s: got %d, noted %v; want %d", what, w.status, notes, want)
		}
		if want == 503 && strings.Contains(w.body.String(), path) {
			t.Errorf("%s: the answer tells where the file is: %s", what, w.body.String())
		}
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace := func(content string, age time.Duration) {
		t.Helper()
		next := path + ".next"
		if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chtimes(next, now.Add(-age), now.Add(-age)), os.Rename(next, path)); err != nil {
			t.Fatal(err)
		}
	}
	try("missing", "", 503)
	try("missing", "token-1", 503)
	for what, content := range map[string]string{"empty": "", "a line break": "\n", "two lines": "a\nb", "a space before it": " a", "not ASCII": "é", "too long": strings.Repeat("a", 8<<10+1)} {
		write(content)
		try(what, content, 503)
		try(what, "", 503)
		try(what, strings.TrimSpace(content), 503)
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		write("token-0" + end)
		try("well formed", "token-0", 200)
		try("well formed", "token-0"+end+"x", 401)
	}
	longest := strings.Repeat("a", 8<<10)
	write(longest + "\r\n")
	try("the longest", longest, 200)

	write("token-1")
	try("written in place", "token-1", 200)
	write("token-2") // the same length, and perhaps within one tick of the clock
	try("written in place again", "token-2", 200)
	try("written in place again", "token-1", 401)

	for i := range 3 {
		replace(fmt.Sprint("token-", i), time.Hour) // as old, and as long
		try("replaced", fmt.Sprint("token-", i), 200)
		try("replaced, and known", fmt.Sprint("token-", i), 200)
		try("replaced", fmt.Sprint("token-", i+1), 401)
	}
	rewrite := func(content string, age time.Duration) { // all that tells the file from what it was is its bytes
		t.Helper()
		write(content)
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	rewrite("token-3", time.Second)
	try("written a moment ago", "token-3", 200)
	rewrite("token-4", time.Second)
	try("written in the same moment", "token-4", 200)
	try("written in the same moment", "token-3", 401)
	rewrite("token-5", time.Hour)
	try("written long ago", "token-5", 200)
	rewrite("token-6", time.Hour)
	try("not read again while it looks the same", "token-5", 200)

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	try("removed", "token-2", 503)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	try("a folder", "token-2", 503)
	try("a folder", "", 503)
}

// TestNoSecretInErrors holds every refusal, and what is noted of it, against all that is secret.
func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	h := newHandler(t, ecs.Options{})
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, c := range world() {
		for _, header := range []http.Header{nil, authorized(), {"Authorization": {"wrong-" + bearer}}} {
			for _, method := range []string{"GET", "POST"} {
				w, notes, err := ask(h, method, ecs.Path(c.Name), header)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range notes {
					if c.Name != "foreign" { // what others write into errors is the log's affair
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
	for _, secret := range []string{secretKey, strings.ReplaceAll(secretKey, `"\`, `\"\\`), "abc/EXAMPLE", sessionToken, bearer} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("found %q in\n%s", secret, log.String())
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, target := range []string{"/v1/credentials/good", "/v1/credentials/%67ood", "/v1/credentials", "/v1/credentials/..%2fgood", "//v1/credentials/good", "*", "http://x/v1/credentials/good", "/v1/credentials/empty"} {
		f.Add("GET", target, bearer)
		f.Add("HEAD", target, "")
	}
	h := newHandler(f, ecs.Options{Root: "good"})
	names := map[string]bool{ecs.Path("good"): true, ecs.Path("short"): true, ecs.Path("a/b c%é"): true, "/v1/credentials": true}
	f.Fuzz(func(t *testing.T, method, target, token string) {
		w, notes, err := ask(h, method, target, http.Header{"Authorization": {token}})
		if err != nil {
			return
		}
		if w.status < 200 || w.status > 599 || len(notes) > 1 {
			t.Fatalf("status %d, noted %v", w.status, notes)
		}
		var body map[string]string
		if err := json.Unmarshal(w.body.Bytes(), &body); err != nil {
			t.Fatalf("%q: %v", w.body.String(), err)
		}
		if w.status != 200 {
			if body["code"] == "" || body["message"] == "" {
				t.Errorf("got %v", body)
			}
			return
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := url.PathUnescape(strings.TrimPrefix(u.EscapedPath(), "/v1/credentials/"))
		if method != "GET" || token != bearer || !names[u.EscapedPath()] && !names[ecs.Path(name)] {
			t.Errorf("%s %q with %q was answered", method, target, token)
		}
		for _, field := range []string{"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} {
			if body[field] == "" {
				t.Errorf("no %s in %v", field, body)
			}
		}
	})
}
