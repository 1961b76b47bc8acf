// SPDX-License-Identifier: Apache-2.0

package gce

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/serve/offer"
)

const (
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

	longestQuery    = 16 << 10
	longestAudience = 2 << 10
	mostScopes      = 64
	longestScope    = 256

	accessToken = "access token"
)

// encoded is an answer as it was last written. The same token with as many seconds left is the same answer.
type encoded struct {
	token  stile.Secret
	left   int64
	body   []byte
	length []string
}

// token serves an access token for the scopes that the query names, or those of the crossing.
func (h *Handler) token(w http.ResponseWriter, r *http.Request) {
	scopes, err := h.askedScopes(r.URL.RawQuery)
	if err != nil {
		h.refuse(w, r, accessToken, http.StatusBadRequest, err)
		return
	}
	from, err := h.accessTokens(scopes)
	if err != nil {
		h.refuse(w, r, accessToken, statusOfAsking(err), err)
		return
	}
	defer h.scopes.put(from)
	cred, left, ok := h.obtain(w, r, from, stile.KindAccessToken, accessToken)
	if !ok {
		return
	}
	e := from.encoded.Load()
	if e == nil || e.token != cred.Token || e.left != left {
		if e, err = encode(cred.Token, left); err != nil {
			h.refuse(w, r, accessToken, http.StatusServiceUnavailable, err)
			return
		}
		from.encoded.Store(e)
	}
	offer.Note(r, offer.Handed{Endpoint: endpoint, Crossing: h.name, What: accessToken, Expires: cred.Expires})
	header := w.Header()
	header["Content-Type"] = typeJSON
	header["Content-Length"] = e.length
	_, _ = w.Write(e.body) //nolint:gosec // JSON, and a client that left asks again
}

func encode(token stile.Secret, left int64) (*encoded, error) {
	quoted, err := json.Marshal(token.Reveal())
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, len(quoted)+80)
	body = append(body, `{"access_token":`...)
	body = append(body, quoted...)
	body = append(body, `,"expires_in":`...)
	body = strconv.AppendInt(body, left, 10)
	body = append(body, `,"token_type":"Bearer"}`...)
	return &encoded{token: token, left: left, body: body, length: []string{strconv.Itoa(len(body))}}, nil
}

// identity serves an ID token for the audience that the query names. Whichever format is asked for, the claims are
// those that the crossing's tokens have; licences are a machine's, and there is none.
func (h *Handler) identity(w http.ResponseWriter, r *http.Request) {
	audience, err := askedAudience(r.URL.RawQuery)
	if err != nil {
		h.refuse(w, r, "ID token", http.StatusBadRequest, err)
		return
	}
	what := "ID token for " + audience
	from, err := h.idents.take(audience, func() (stile.Supplier, error) { return supplied(h.google.IDToken(audience)) })
	if err != nil {
		h.refuse(w, r, what, statusOfAsking(err), err)
		return
	}
	defer h.idents.put(from)
	cred, _, ok := h.obtain(w, r, from, stile.KindIDToken, what)
	if !ok {
		return
	}
	offer.Note(r, offer.Handed{Endpoint: endpoint, Crossing: h.name, What: what, Expires: cred.Expires})
	token := cred.Token.Reveal()
	header := w.Header()
	header["Content-Type"] = typeText
	header["Content-Length"] = []string{strconv.Itoa(len(token))}
	_, _ = io.WriteString(w, token) // a client that left asks again
}

// obtain asks for the credential, and says how many whole seconds it is good for: at least one. If there is none, it
// refuses the request.
func (h *Handler) obtain(w http.ResponseWriter, r *http.Request, from *supply, kind stile.Kind, what string) (cred stile.Credential, left int64, ok bool) {
	cred, err := from.from.Credential(r.Context())
	left = int64(cred.Expires.Sub(h.clock()) / time.Second)
	switch {
	case err != nil:
	case cred.Kind != kind || cred.Token.IsZero():
		err = &stile.Error{Op: "hand out a token", Err: fmt.Errorf("the crossing gave no %s", kind)}
	case left < 1:
		err = &stile.Error{Op: "hand out a token", Err: fmt.Errorf("%w: the one at hand has expired", stile.ErrTemporary)}
	default:
		return cred, left, true
	}
	h.refuse(w, r, what, statusOf(err), err)
	return stile.Credential{}, 0, false
}

// accessTokens gives the supply for some scopes: the crossing's own for none, or for just its own.
func (h *Handler) accessTokens(scopes []string) (*supply, error) {
	if len(scopes) > 0 && !slices.Equal(scopes, h.ownScopes) {
		return h.scopes.take(strings.Join(scopes, " "), func() (stile.Supplier, error) { return supplied(h.google.AccessToken(slices.Clone(scopes))) })
	}
	if own := h.own.Load(); own != nil {
		return own, nil
	}
	h.asking.Lock()
	defer h.asking.Unlock()
	if own := h.own.Load(); own != nil {
		return own, nil
	}
	from, err := supplied(h.google.AccessToken(nil))
	if err != nil {
		return nil, err
	}
	own := &supply{from: from, lasting: true}
	h.own.Store(own)
	return own, nil
}

func supplied(from stile.Supplier, err error) (stile.Supplier, error) {
	if err == nil && from == nil {
		err = errors.New("no supplier was given")
	}
	return from, err
}

// statusOfAsking differs from statusOf where the request asks for what the crossing cannot give.
func statusOfAsking(err error) int {
	if errors.Is(err, stile.ErrMisuse) {
		return http.StatusBadRequest
	}
	return statusOf(err)
}

// A question is a query that was read before: a program asks the same one again and again.
type question struct {
	raw    string
	scopes []string
}

func (h *Handler) askedScopes(rawQuery string) ([]string, error) {
	if rawQuery == "" {
		return nil, nil
	}
	if last := h.last.Load(); last != nil && last.raw == rawQuery {
		return last.scopes, nil
	}
	scopes, err := readScopes(rawQuery)
	if err == nil {
		scopes = h.within(scopes)
		h.last.Store(&question{rawQuery, scopes})
	}
	return scopes, err
}

// within gives the scopes that were asked for if the crossing has them all, and else none, which stands for its own: it gives
// no wider token than that, and says so to nobody, as Compute Engine does for a machine with narrow scopes. Google's libraries
// for Node always ask for scopes, whatever the machine has, and take a refusal for the end.
// Source: Compute Engine, "Authenticate workloads using service accounts", access scopes.
func (h *Handler) within(scopes []string) []string {
	beyond := func(scope string) bool { return !slices.Contains(h.ownScopes, scope) }
	if slices.ContainsFunc(scopes, beyond) && beyond(cloudPlatform) {
		return nil
	}
	return scopes
}

// readScopes reads scopes, in order and each once, parted by commas as nowhere else in OAuth. None: the crossing's own.
func readScopes(rawQuery string) ([]string, error) {
	const op = "read the scopes asked for"
	query, err := parse(op, rawQuery)
	if err != nil {
		return nil, err
	}
	if t := query.Get("transport"); t == "mtls" || t == "alts" || query.Get("binding-enforcement") == "on" {
		return nil, misuse(op, "let the client ask for unbound tokens", "tokens bound to a certificate are not to be had here")
	}
	var scopes []string
	for _, value := range query["scopes"] {
		for scope := range strings.SplitSeq(value, ",") {
			switch {
			case scope == "":
				continue
			case len(scope) > longestScope || !printable(scope):
				return nil, misuse(op, "", fmt.Sprintf("a scope is longer than %d bytes, or not of printable ASCII without spaces", longestScope))
			}
			scopes = append(scopes, scope)
		}
	}
	if scopes = inOrder(scopes); len(scopes) > mostScopes {
		return nil, misuse(op, "", fmt.Sprintf("more than %d scopes", mostScopes))
	}
	return scopes, nil
}

// inOrder sorts scopes and drops the second of two: their order says nothing, and every order must be one question.
func inOrder(scopes []string) []string {
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// askedAudience reads the audience and the format.
func askedAudience(rawQuery string) (string, error) {
	const op = "read the audience asked for"
	query, err := parse(op, rawQuery)
	if err != nil {
		return "", err
	}
	audiences := query["audience"]
	switch {
	case len(audiences) == 0 || len(audiences) == 1 && audiences[0] == "":
		return "", misuse(op, "", "non-empty audience parameter required")
	case len(audiences) > 1:
		return "", misuse(op, "", "more than one audience: an ID token is for one")
	case len(audiences[0]) > longestAudience || !printable(audiences[0]):
		return "", misuse(op, "", fmt.Sprintf("the audience is longer than %d bytes, or not of printable ASCII without spaces", longestAudience))
	}
	if format := query.Get("format"); format != "" && format != "standard" && format != "full" {
		return "", misuse(op, "", "invalid format parameter: want standard or full")
	}
	return audiences[0], nil
}

func parse(op, rawQuery string) (url.Values, error) {
	if len(rawQuery) > longestQuery {
		return nil, misuse(op, "", fmt.Sprintf("the query is longer than %d bytes", longestQuery))
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, misuse(op, "", "the query is malformed") // the cause would quote it
	}
	return query, nil
}

// printable holds of ASCII that is to be seen.
func printable(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
