// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

// URL is a [stile.Source] that gets a token from a URL: a broker on this machine, or the metadata service of another
// cloud. It cannot choose the audience, so it checks it. Redirects are not followed.
// Source: AIP-4117, URL-sourced credentials.
type URL struct {
	// URL is https, or plain http to this machine or to a metadata service's address. Required.
	URL string
	// Header is sent along. Its values are secrets.
	Header map[string]stile.Secret
	// Field is the member of a JSON object that holds the token. Empty: the whole answer is the token.
	Field string
	// Type is what the token is presented as. Empty: [stile.TokenTypeJWT].
	Type stile.TokenType
	// Audience is whom the token is made out to, where that is another name than the target's own. Empty: the target's.
	Audience string
	// InsecureSkipAudience takes a token whatever it is made out to, and one that is no JWT. The far side still checks.
	InsecureSkipAudience bool
	// Client makes the request. Nil: http.DefaultClient for https, one that uses no proxy for http.
	Client *http.Client
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the URL, the headers, and how the token is read and presented.
func (u *URL) CacheKey() stile.Key {
	parts := []string{u.URL, u.Field, string(u.Type), u.Audience, strconv.FormatBool(u.InsecureSkipAudience)}
	for _, name := range u.names() {
		parts = append(parts, name, u.Header[name].Reveal()) // a Key cannot be read back
	}
	return stile.NewKey("from/oidc URL", parts...)
}

func (u *URL) names() []string {
	names := make([]string, 0, len(u.Header))
	for name := range u.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// SubjectToken gets a token and checks that it is for audience.
func (u *URL) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "get the token from its URL"
	where, err := safeURL(u.URL)
	if err != nil {
		return stile.SubjectToken{}, &stile.Error{Op: op, Err: fmt.Errorf("%w: the URL of the token: %w", stile.ErrMisuse, err)}
	}
	p := proof{op: op, from: "what " + where.Host + " gave", audience: cmp.Or(u.Audience, audience), skip: u.InsecureSkipAudience,
		typ: u.Type, now: now(u.Clock), kinds: kinds{unreadable: stile.ErrTemporary, elsewhere: stile.ErrMisuse, expired: stile.ErrTemporary},
		hint: "ask for that audience in the URL, or say as the source's audience what the far side allows"}
	if p.audience == "" {
		return stile.SubjectToken{}, noAudience(op)
	}
	q := remote.Request{Op: op, Cloud: "the token's URL at " + where.Host, Method: http.MethodGet, URL: where.String(), Header: http.Header{}, Limit: maxContent}
	for _, name := range u.names() {
		if err := fitHeader(name, u.Header[name].Reveal()); err != nil {
			return stile.SubjectToken{}, &stile.Error{Op: op, Err: fmt.Errorf("%w: header %.100q: %w", stile.ErrMisuse, name, err)}
		}
		q.Header.Set(name, u.Header[name].Reveal())
		q.Secrets = append(q.Secrets, u.Header[name])
	}
	res, err := remote.Do(ctx, clientFor(u.Client, where), q)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if !res.OK() {
		code, message := spoken(res.Body)
		return stile.SubjectToken{}, q.Refusal(res, code, message, "")
	}
	raw, err := member(res.Body, u.Field)
	if err != nil {
		return stile.SubjectToken{}, q.Malformed(res, err.Error())
	}
	return p.subjectToken(raw)
}

// spoken finds the words in a refusal where it has any, in OAuth's way or in that of most APIs. The rest is not
// repeated: nobody knows what it holds.
func spoken(body []byte) (code, message string) {
	var said struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
		Message     string          `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "", ""
	}
	if json.Unmarshal(said.Error, &code) != nil {
		code = ""
	}
	return code, cmp.Or(said.Description, said.Message)
}

// clientFor takes plain http past any proxy: it goes to this machine or to an address that no proxy can reach.
func clientFor(client *http.Client, where *url.URL) *http.Client {
	if client == nil && where.Scheme == "http" {
		return remote.Direct()
	}
	return client
}

// safeURL takes https to anywhere, and http to where nobody listens in. Its errors do not quote the URL.
func safeURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, errors.New("there is none")
	case err != nil, u.Opaque != "":
		return nil, errors.New("it is malformed")
	case u.Hostname() == "":
		return nil, errors.New("want https://HOST/PATH")
	case u.User != nil:
		return nil, errors.New("it holds a user or password: send those as a header")
	case u.Fragment != "":
		return nil, errors.New("it has a fragment, which is never sent")
	case u.Scheme == "https", u.Scheme == "http" && unheard(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("want https; plain http is for loopback and for the addresses of metadata services")
}

// metadata are the addresses where clouds answer on the machine's own host: EC2 and its likes, ECS, EKS.
var metadata = []string{"169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23"}

// unheard reports whether plain http to host stays on the machine.
func unheard(host string) bool {
	if host == "localhost" || host == "metadata.google.internal" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && (address.IsLoopback() || slices.Contains(metadata, address.String()))
}

// fitHeader keeps a value from becoming more headers, and a name from changing where the request goes. Its errors do
// not quote the value.
func fitHeader(name, value string) error {
	letters := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
	switch {
	case name == "" || strings.Trim(name, letters) != "":
		return errors.New("want the letters of a header's name")
	case slices.Contains([]string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer"}, http.CanonicalHeaderKey(name)):
		return errors.New("the request sets it itself")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return errors.New("its value has control characters, perhaps a line end")
	}
	return nil
}
