// SPDX-License-Identifier: Apache-2.0

package gce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/gce"
)

// expires_in is of the moment of the request, though the token is the same.
func TestTokenCountsDown(t *testing.T) {
	t.Parallel()
	c := newCloud()
	var past atomic.Int64
	c.now = func() time.Time { return noon.Add(time.Duration(past.Load())) }
	h := c.handler(t, c.crossing())
	for _, test := range []struct {
		past time.Duration
		left int
	}{
		{0, 3600}, {time.Millisecond, 3599}, {999 * time.Millisecond, 3599}, {time.Second, 3599}, {56*time.Minute + 15*time.Second, 225},
		{time.Hour - time.Second, 1}, {0, 3600}, {time.Hour - time.Second + 1, 0}, {time.Hour, 0}, {2 * time.Hour, 0},
	} {
		past.Store(int64(test.past))
		w := get(h, account+"token")
		if test.left == 0 {
			if w.Code != 503 || strings.Contains(w.Body.String(), "secret") || !errors.Is(c.lastNote(t).Err, stile.ErrTemporary) {
				t.Errorf("after %v: got %d %s", test.past, w.Code, w.Body)
			}
			continue
		}
		want := fmt.Sprintf(`{"access_token":"secret.access[]","expires_in":%d,"token_type":"Bearer"}`, test.left)
		if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Length") != fmt.Sprint(len(want)) {
			t.Errorf("after %v: got %d %v %s, want %s", test.past, w.Code, w.Header(), w.Body, want)
		}
		if n := c.lastNote(t); n.Endpoint != "gce" || n.Crossing != "warehouse" || n.What != "access token" || !n.Expires.Equal(noon.Add(time.Hour)) || n.Err != nil {
			t.Errorf("noted %+v", n)
		}
	}
	if n := c.made.Load(); n != 1 {
		t.Errorf("%d suppliers were asked for, want one", n)
	}
}

// A token that JSON must escape is still one string.
func TestTokenIsEscaped(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	x.Google.AccessToken = func([]string) (stile.Supplier, error) {
		f := c.supplier(stile.KindAccessToken, "")
		f.cred.Token = stile.NewSecret("a\"b\\c\n}")
		return f, nil
	}
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(get(c.handler(t, x), account+"token").Body.Bytes(), &got); err != nil || got.AccessToken != "a\"b\\c\n}" {
		t.Errorf("got %q, %v", got.AccessToken, err)
	}
}

// A new token with the same end is a new answer.
func TestTokenRotates(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	f := c.supplier(stile.KindAccessToken, "first")
	x.Google.AccessToken = func([]string) (stile.Supplier, error) { return f, nil }
	h := c.handler(t, x)
	for _, token := range []string{"first", "second", "third"} {
		f.cred.Token = stile.NewSecret(token)
		for range 2 {
			if w := get(h, account+"token"); !strings.Contains(w.Body.String(), `"`+token+`"`) {
				t.Errorf("got %s, want %s", w.Body, token)
			}
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("https://x.example.com/%d", i)
	}
	for _, test := range []struct {
		name, query string
		own         []string
		want        string // the scopes that the token is for
		status      int
	}{
		{"none", "", nil, "", 200},
		{"empty", "scopes=", nil, "", 200},
		{"only commas", "scopes=,,", nil, "", 200},
		{"the default's", "scopes=" + platform, nil, "", 200},
		{"its own", "scopes=" + bigQuery, []string{bigQuery}, "", 200},
		{"its own in another order", "scopes=" + readOnly + "," + bigQuery, []string{readOnly, bigQuery, readOnly}, "", 200},
		{"others", "scopes=" + url.QueryEscape(readOnly+","+bigQuery), nil, bigQuery + "," + readOnly, 200},
		{"fewer", "scopes=" + bigQuery, []string{bigQuery, readOnly}, bigQuery, 200},
		{"more", "scopes=" + bigQuery + "," + readOnly, []string{bigQuery}, "", 200},
		{"all, of fewer", "scopes=" + platform, []string{bigQuery, readOnly}, "", 200},
		{"all and one, of fewer", "scopes=" + platform + "," + readOnly, []string{bigQuery, readOnly}, "", 200},
		{"nonsense, of few", "scopes=nonsense", []string{bigQuery}, "", 200},
		{"others, of all and one", "scopes=" + readOnly, []string{bigQuery, platform}, readOnly, 200},
		{"twice the same", "scopes=" + bigQuery + ",," + bigQuery, nil, bigQuery, 200},
		{"two parameters", "scopes=" + readOnly + "&scopes=" + bigQuery, nil, bigQuery + "," + readOnly, 200},
		{"unbound", "transport=tcp&binding-enforcement=off", nil, "", 200},
		{"bound by mTLS", "transport=mtls&binding-enforcement=on", nil, "", 400},
		{"bound by ALTS", "transport=alts", nil, "", 400},
		{"bound by something", "binding-enforcement=on", nil, "", 400},
		{"not a scope", "scopes=nonsense", nil, "", 400},
		{"parted by spaces", "scopes=" + bigQuery + "+" + readOnly, nil, "", 400},
		{"a line", "scopes=" + bigQuery + "%0a", nil, "", 400},
		{"long", "scopes=https://" + strings.Repeat("a", 300), nil, "", 400},
		{"many", "scopes=" + strings.Join(many, ","), nil, "", 400},
		{"as many as may be", "scopes=" + strings.Join(many[1:], ","), nil, strings.Join(slices.Sorted(slices.Values(many[1:])), ","), 200},
		{"huge", "scopes=" + strings.Repeat(bigQuery+",", 1000), nil, "", 400},
		{"malformed", "scopes=%zz", nil, "", 400},
		{"semicolon", "a;b", nil, "", 400},
	} {
		c := newCloud()
		x := c.crossing()
		x.Google.Scopes = test.own
		w := get(c.handler(t, x), account+"token?"+test.query)
		want := `{"access_token":"secret.access[` + test.want + `]",`
		if w.Code != test.status || test.status == 200 && !strings.HasPrefix(w.Body.String(), want) {
			t.Errorf("%s: got %d %s, want %d %s", test.name, w.Code, w.Body, test.status, want)
		}
		if n := c.lastNote(t); (n.Err != nil) != (test.status != 200) || n.Err != nil && !errors.Is(n.Err, stile.ErrMisuse) {
			t.Errorf("%s: noted %+v", test.name, n)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	for _, test := range []struct {
		name, query string
		status      int
		body        string
	}{
		{"plain", "audience=a", 200, "secret.id[a]"},
		{"standard", "audience=a&format=standard&licenses=FALSE", 200, "secret.id[a]"},
		{"full", "audience=a&format=full&licenses=TRUE", 200, "secret.id[a]"},
		{"escaped", "audience=https%3A%2F%2Fimages.example.com%2Fx%3Fy%3Dz&format=full", 200, "secret.id[https://images.example.com/x?y=z]"},
		{"as Node has it", "format=full&audience=https://images.example.com/x?y=z", 200, "secret.id[https://images.example.com/x?y=z]"},
		{"as gcloud has it", "audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE", 200, "secret.id[32555940559.apps.googleusercontent.com]"},
		{"AWS", "audience=sts.amazonaws.com/111122223333", 200, "secret.id[sts.amazonaws.com/111122223333]"},
		{"none", "", 400, "non-empty audience parameter required"},
		{"empty", "audience=&format=full", 400, "non-empty audience parameter required"},
		{"two", "audience=a&audience=b", 400, "more than one audience"},
		{"two, one empty", "audience=&audience=b", 400, "more than one audience"},
		{"long as may be", "audience=" + strings.Repeat("a", 2048), 200, "secret.id[" + strings.Repeat("a", 2048) + "]"},
		{"long", "audience=" + strings.Repeat("a", 2049), 400, "longer than 2048 bytes"},
		{"huge", "audience=" + strings.Repeat("a", 1<<20), 400, "longer than 16384 bytes"},
		{"a line", "audience=a%0d%0ab", 400, "printable"},
		{"a space", "audience=a+b", 400, "printable"},
		{"not ASCII", "audience=%c3%a9", 400, "printable"},
		{"format", "audience=a&format=other", 400, "invalid format parameter"},
		{"malformed", "audience=%zz", 400, "malformed"},
		{"other error", "audience=refused", 503, "no ID token for refused could be had"},
	} {
		w := get(h, account+"identity?"+test.query)
		if body := w.Body.String(); w.Code != test.status || (test.status == 200 && body != test.body) || !strings.Contains(body, test.body) {
			t.Errorf("%s: got %d %.200q, want %d %.200q", test.name, w.Code, body, test.status, test.body)
		}
		if test.status == 400 && (strings.Contains(w.Body.String(), "misused") || strings.Contains(w.Body.String(), "read the")) {
			t.Errorf("%s: %s: want plain words", test.name, w.Body)
		}
		if test.status != 200 && strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %s", test.name, w.Body)
		}
		if n := c.lastNote(t); (n.Err == nil) != (test.status == 200) || n.Err == nil && !strings.HasPrefix(n.What, "ID token for ") {
			t.Errorf("%s: noted %+v", test.name, n)
		}
	}
}

// An ID token for one audience is never given for another, and none is an access token.
func TestAudiencesAndScopesNeverMix(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h := c.handler(t, c.crossing())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 300 {
				audience := fmt.Sprintf("aud-%d", (i*31+j)%100)
				if w := get(h, account+"identity?audience="+audience); w.Body.String() != "secret.id["+audience+"]" {
					t.Errorf("for %s: %d %s", audience, w.Code, w.Body)
				}
				scope := fmt.Sprintf("https://scope/%d", (i*17+j)%100)
				if w := get(h, account+"token?scopes="+scope); !strings.Contains(w.Body.String(), `"secret.access[`+scope+`]"`) {
					t.Errorf("for %s: %d %s", scope, w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		err    error
		status int
		body   string
		retry  string
	}{
		{"refused", &stile.Error{Op: "exchange the subject token", Cloud: "Google STS", Status: 400, Code: "invalid_target", Message: "no such provider", Hint: "name the provider", Err: stile.ErrRefused},
			403, "exchange the subject token: Google STS answered 400 invalid_target: no such provider\nhint: name the provider\n", ""},
		{"wrapped", fmt.Errorf("a secret of someone's: %w", &stile.Error{Op: "cross", Err: stile.ErrNoIdentity}), 503, "cross: no identity here\n", ""},
		{"misuse", &stile.Error{Op: "cross", Err: stile.ErrMisuse}, 403, "cross: misused\n", ""},
		{"temporary", &stile.Error{Op: "exchange the subject token", Cloud: "Google STS", Status: 503, RetryAfter: 1500 * time.Millisecond, Err: stile.ErrTemporary},
			503, "exchange the subject token: Google STS answered 503\n", "2"},
		{"not ours", errors.New("a secret"), 503, "no access token could be had\n", ""},
		{"late", fmt.Errorf("a secret: %w", context.DeadlineExceeded), 503, "timed out waiting for a new access token\n", ""},
		{"left", context.Canceled, 503, "no access token could be had\n", ""},
	} {
		c := newCloud()
		c.err = test.err
		h := c.handler(t, c.crossing())
		w := get(h, account+"token")
		if w.Code != test.status || w.Body.String() != test.body || w.Header().Get("Retry-After") != test.retry || w.Header().Get("Content-Type") != words || w.Header().Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s: got %d %v %q, want %d %q", test.name, w.Code, w.Header(), w.Body, test.status, test.body)
		}
		if n := c.lastNote(t); !errors.Is(n.Err, test.err) || !n.Expires.IsZero() {
			t.Errorf("%s: noted %+v", test.name, n)
		}
		if w := get(h, account+"identity?audience=a"); w.Code != test.status {
			t.Errorf("%s: identity got %d", test.name, w.Code)
		}
	}
}

// What is no token of the right kind is not handed out, whatever the supplier says.
func TestNeverEmpty(t *testing.T) {
	t.Parallel()
	token := stile.NewSecret("secret")
	for name, cred := range map[string]stile.Credential{
		"nothing":      {},
		"no token":     {Kind: stile.KindAccessToken, Expires: noon.Add(time.Hour)},
		"no expiry":    {Kind: stile.KindAccessToken, Token: token},
		"dead":         {Kind: stile.KindAccessToken, Token: token, Expires: noon},
		"ID token":     {Kind: stile.KindIDToken, Token: token, Expires: noon.Add(time.Hour)},
		"no kind":      {Token: token, Expires: noon.Add(time.Hour)},
		"AWS session":  {Kind: stile.KindAWSSession, Expires: noon.Add(time.Hour)},
		"almost ended": {Kind: stile.KindAccessToken, Token: token, Expires: noon.Add(time.Second - 1)},
	} {
		c := newCloud()
		x := c.crossing()
		x.Google.AccessToken = func([]string) (stile.Supplier, error) { return &fake{cloud: c, cred: cred}, nil }
		if w := get(c.handler(t, x), account+"token"); w.Code != 503 || strings.Contains(w.Body.String(), "secret") || c.lastNote(t).Err == nil {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
	c := newCloud()
	x := c.crossing()
	x.Google.AccessToken = func([]string) (stile.Supplier, error) { return nil, nil }
	if w := get(c.handler(t, x), account+"token"); w.Code != 503 {
		t.Errorf("no supplier: got %d", w.Code)
	}
	x.Google.IDToken = func(string) (stile.Supplier, error) {
		return c.supplier(stile.KindAccessToken, "an access token"), nil
	}
	if w := get(c.handler(t, x), account+"identity?audience=a"); w.Code != 503 {
		t.Errorf("an access token as an ID token: got %d %s", w.Code, w.Body)
	}
}

// A caller that makes up audiences costs no more than 64 suppliers at a time, and those in use stay.
func TestShelfIsBounded(t *testing.T) {
	t.Parallel()
	c := newCloud()
	h, err := gce.New(c.crossing(), gce.Options{Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	get(h, account+"token")
	for i := range 1000 {
		get(h, account+"identity?audience=keep")
		get(h, fmt.Sprintf("%sidentity?audience=%d", account, i))
	}
	if made, closed := c.made.Load(), c.closed.Load(); made != 1002 || made-closed != 65 {
		t.Errorf("%d made and %d closed: want 1002, and all but 64 and the crossing's own closed", made, closed)
	}
	for i := range 100 {
		get(h, fmt.Sprintf("%stoken?scopes=https://x/%d", account, i))
	}
	if made, closed := c.made.Load(), c.closed.Load(); made-closed != 129 {
		t.Errorf("%d are open", made-closed)
	}
	h.Close()
	h.Close()
	if open := c.made.Load() - c.closed.Load(); open != 1 {
		t.Errorf("%d are open after Close, want the crossing's own", open)
	}
	for _, path := range []string{"token", "token?scopes=" + readOnly, "identity?audience=late"} {
		if w := get(h, account+path); w.Code != 200 {
			t.Errorf("%s after Close: %d", path, w.Code)
		}
	}
	if open := c.made.Load() - c.closed.Load(); open != 1 {
		t.Errorf("%d are open after late requests", open)
	}
}

// A supplier is not closed under a request that waits for it, and is when the last such one is done.
func TestSupplierInUseIsNotClosed(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	first := c.supplier(stile.KindIDToken, "first")
	first.hold = make(chan struct{})
	started := make(chan struct{}, 2)
	var mu sync.Mutex
	firstClosed := false
	idToken := x.Google.IDToken
	x.Google.IDToken = func(audience string) (stile.Supplier, error) {
		if audience != "first" {
			return idToken(audience)
		}
		return &watched{fake: first, started: started, onClose: func() { mu.Lock(); firstClosed = true; mu.Unlock() }}, nil
	}
	h := c.handler(t, x)
	answers := make(chan *httptest.ResponseRecorder, 1)
	go func() { answers <- get(h, account+"identity?audience=first") }()
	<-started
	for i := range 100 {
		get(h, fmt.Sprintf("%sidentity?audience=%d", account, i))
	}
	mu.Lock()
	if firstClosed {
		t.Error("closed while in use")
	}
	mu.Unlock()
	close(first.hold)
	if w := <-answers; w.Body.String() != "secret.first" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	mu.Lock()
	defer mu.Unlock()
	if !firstClosed {
		t.Error("not closed after its last use")
	}
}

type watched struct {
	*fake
	started chan struct{}
	onClose func()
}

func (w *watched) Credential(ctx context.Context) (stile.Credential, error) {
	w.started <- struct{}{}
	return w.fake.Credential(ctx)
}

func (w *watched) Close() { w.onClose() }

// Concurrent first requests ask for one supplier of the crossing's own, and an error is not kept.
func TestOwnSupplierIsAskedForOnce(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	accessToken := x.Google.AccessToken
	fails := true
	x.Google.AccessToken = func(scopes []string) (stile.Supplier, error) {
		if fails {
			return nil, &stile.Error{Op: "cross", Err: stile.ErrTemporary}
		}
		for range 1000 { // while the others come
			runtime.Gosched()
		}
		return accessToken(scopes)
	}
	h := c.handler(t, x)
	if w := get(h, account+"token"); w.Code != 503 {
		t.Errorf("got %d", w.Code)
	}
	fails = false
	together(t, h, account+"token")
	if n := c.made.Load(); n != 1 {
		t.Errorf("asked for %d times", n)
	}
}

// Of suppliers made at once for one audience, one stays.
func TestShelfKeepsOneOfEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		x := c.crossing()
		idToken := x.Google.IDToken
		x.Google.IDToken = func(audience string) (stile.Supplier, error) {
			time.Sleep(time.Second) // while the others come
			return idToken(audience)
		}
		together(t, c.handler(t, x), account+"identity?audience=a")
		if made, closed := c.made.Load(), c.closed.Load(); made != 16 || closed != 15 {
			t.Errorf("%d made and %d closed", made, closed)
		}
	})
}

// together sends 16 good requests at once.
func together(t *testing.T, h http.Handler, path string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if w := get(h, path); w.Code != 200 {
				t.Errorf("got %d", w.Code)
			}
		})
	}
	wg.Wait()
}

// A client that is gone takes nothing with it.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	c := newCloud()
	x := c.crossing()
	f := c.supplier(stile.KindAccessToken, "late")
	f.hold = make(chan struct{})
	x.Google.AccessToken = func([]string) (stile.Supplier, error) { return f, nil }
	h := c.handler(t, x)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w := ask(h, request(http.MethodGet, account+"token").WithContext(ctx)); w.Code != 503 {
		t.Errorf("got %d", w.Code)
	}
	close(f.hold)
	if w := get(h, account+"token"); w.Code != 200 {
		t.Errorf("got %d", w.Code)
	}
}
