// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

func ask(url string) remote.Request {
	return remote.Request{Op: "ask", Cloud: "the cloud", Method: http.MethodPost, URL: url, Limit: 100}
}

func TestDoRefusesWhatIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		}, "longer than 100 bytes"},
		"closes early": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			_, _ = io.WriteString(w, "half")
		}, "closed before the answer was complete"},
		"closes at once": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cannot reach 127.0.0.1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.serve)
			t.Cleanup(server.Close)
			_, err := remote.Do(t.Context(), server.Client(), ask(server.URL+"?secret=hunter2"))
			if !errors.Is(err, stile.ErrTemporary) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a temporary error that contains %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats the query: %v", err)
			}
		})
	}
}

func TestDoFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("http://elsewhere.invalid/", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	q := ask(server.URL)
	res, err := remote.Do(t.Context(), server.Client(), q)
	if err != nil {
		t.Fatal(err)
	}
	if refusal := q.Refusal(res, "", "", ""); !strings.Contains(refusal.Error(), "redirect") {
		t.Errorf("got %v, want an error that names the redirect", refusal)
	}
}

// silent never answers, as a black-holed address does.
type silent struct{}

func (silent) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestDoSaysWhoItWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, err := remote.Do(t.Context(), &http.Client{Transport: silent{}}, ask("https://sts.example"))
		if want := "no answer from the cloud within 30s"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	})
}

func TestDoTellsCancelledFromSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := remote.Do(ctx, &http.Client{Transport: silent{}}, ask("https://sts.example"))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, stile.ErrTemporary) {
			t.Errorf("got %v, want the caller's own deadline and not a temporary failure", err)
		}
	})
}

func TestCleanKeepsSecretsOut(t *testing.T) {
	t.Parallel()
	q := remote.Request{Secrets: []stile.Secret{stile.NewSecret("tok en/+secret")}}
	got := q.Clean("echo tok en/+secret and tok+en%2F%2Bsecret and tok%20en%2F+secret\r\n\x00\xff" + strings.Repeat("y", 5000))
	if strings.Contains(got, "en/+secret") || strings.Contains(got, "en%2F") {
		t.Errorf("a secret came through: %s", got)
	}
	if len(got) > 700 || strings.ContainsAny(got, "\r\n\x00") || !utf8.ValidString(got) {
		t.Errorf("not bounded or not clean: %q", got)
	}
}
