// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stile-project/stile"
)

// aToken is made out to "a", until 2286.
const aToken = "e30.eyJzdWIiOiIxIiwiYXVkIjoiYSIsImV4cCI6OTk5OTk5OTk5OX0.c2ln"

var then = time.Unix(1e9, 0)

// printable fails unless err is fit for a terminal, and short.
func printable(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	control := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	if control || !utf8.ValidString(text) || len(text) > 2000 {
		t.Errorf("not fit to print: %q", text)
	}
}

func FuzzExecutableResponse(f *testing.F) {
	f.Add([]byte(`{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"`+aToken+`","expiration_time":1795316645}`), true)
	f.Add([]byte(`{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"PHNhbWw+"}`), false)
	f.Add([]byte(`{"version":1,"success":false,"code":"401","message":"not\u0000 logged in\u001b[31m"}`), false)
	f.Add([]byte(`{"version":1e999}`), false)
	f.Add([]byte("null"), true)
	f.Fuzz(func(t *testing.T, text []byte, needsExpiry bool) {
		r, err := readResponse(text, needsExpiry, then)
		if err != nil {
			printable(t, err)
			if !errors.Is(err, stile.ErrTemporary) && !errors.Is(err, stile.ErrNoIdentity) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if needsExpiry && r.Expires == 0 || r.IDToken == "" && r.SAML == "" {
			t.Errorf("%+v was taken", r)
		}
		token, err := r.subjectToken(proof{audience: "a", now: then, kinds: issued, skip: needsExpiry})
		if err != nil {
			printable(t, err)
			return
		}
		if token.Value.IsZero() || token.Type != r.Type || !token.Expires.IsZero() && !token.Expires.After(then) || needsExpiry && token.Expires.IsZero() {
			t.Errorf("%+v gave a %s until %s", r, token.Type, token.Expires)
		}
	})
}

// says answers every request with the same bytes.
type says struct {
	status int
	body   []byte
}

func (s says) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(s.body))}, nil
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte(`{"count":1,"value":"`+aToken+`"}`))
	f.Add(201, []byte(`{"kind":"TokenRequest","status":{"token":"`+aToken+`"}}`))
	f.Add(200, []byte(aToken))
	f.Add(403, []byte(`{"kind":"Status","reason":"Forbidden","message":"no\u001b"}`))
	f.Add(400, []byte(`{"error":{"code":1},"error_description":"\ud800"}`))
	f.Add(500, []byte("\xff\x00"))
	dir := f.TempDir()
	for _, name := range []string{"token", "namespace"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("n"), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		client := &http.Client{Transport: says{status, body}}
		clock := func() time.Time { return then }
		all := func(string) (string, bool) { return "https://github.example/", true }
		for name, source := range map[string]stile.Source{
			"GitHub Actions": &GitHubActions{Lookup: all, Client: client, Clock: clock},
			"URL":            &URL{URL: "https://broker.example/", Client: client, Clock: clock},
			"URL with JSON":  &URL{URL: "https://broker.example/", Field: "value", Client: client, Clock: clock},
			"TokenRequest":   &TokenRequest{APIServer: "https://cluster.example", ServiceAccount: "s", Dir: dir, Client: client, Clock: clock},
		} {
			token, err := source.SubjectToken(t.Context(), "a")
			if err == nil {
				if token.Value.IsZero() || status < 200 || status > 299 || strings.Count(token.Value.Reveal(), ".") != 2 {
					t.Errorf("%s: status %d gave %+v", name, status, token)
				}
				continue
			}
			printable(t, err)
			if _, ok := errors.AsType[*stile.Error](err); !ok {
				t.Errorf("%s: not an error of ours: %v", name, err)
			}
		}
	})
}

func FuzzWorkloadAPIAnswer(f *testing.F) {
	f.Add(frame(appendSVID(nil, svid{"spiffe://example.org/a", aToken})))
	f.Add(frame(appendSVID(appendSVID(nil, svid{"spiffe://example.org/a", aToken}), svid{})))
	f.Add(frame([]byte{8, 1, 0x15, 0, 0, 0, 0, 0x0b, 0x0c}))
	f.Add([]byte{0, 0, 0, 0, 200, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		message, err := unframe(body)
		if err != nil {
			printable(t, err)
			return
		}
		if !bytes.Equal(frame(message), body) {
			t.Errorf("%q was taken for a message", body)
		}
		svids, err := readSVIDs(message)
		if err != nil {
			printable(t, err)
			return
		}
		var written []byte
		for _, v := range svids {
			written = appendSVID(written, v)
		}
		if again, err := readSVIDs(written); err != nil || !slices.Equal(again, svids) {
			t.Errorf("%q, written and read again: %q, %v", svids, again, err)
		}
	})
}

// appendSVID adds one more to a JWTSVIDResponse.
func appendSVID(b []byte, v svid) []byte {
	var inner []byte
	inner = protowire.AppendString(protowire.AppendTag(inner, 1, protowire.BytesType), v.id)
	inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), v.token)
	return protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), inner)
}

func FuzzSockets(f *testing.F) {
	f.Add("unix:///run/spire/agent.sock")
	f.Add("tcp://127.0.0.1:8081")
	f.Add("tcp://[::1%25lo]:8081")
	f.Add("unix:run")
	f.Fuzz(func(t *testing.T, raw string) {
		network, address, err := parseSocket(raw)
		switch {
		case err != nil:
			printable(t, err)
		case network == "unix" && strings.HasPrefix(address, "/"):
		case network == "tcp" && strings.ContainsAny(address, "0123456789") && !strings.ContainsAny(address, "/@ "):
		default:
			t.Errorf("%q was taken for %s %q", raw, network, address)
		}
	})
}

func FuzzSafeURL(f *testing.F) {
	f.Add("https://broker.example/t?x=1")
	f.Add("http://169.254.169.254/metadata")
	f.Add("http://127.0.0.1@hunter2.example/")
	f.Add("http://[::ffff:169.254.169.254%25x]/")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := safeURL(raw)
		if err != nil {
			printable(t, err)
			return
		}
		again, err := safeURL(u.String())
		if err != nil || again.Host != u.Host || u.Scheme != "https" && !unheard(u.Hostname()) {
			t.Errorf("%q was taken for %s, and then %v, %v", raw, u, again, err)
		}
	})
}
