// SPDX-License-Identifier: Apache-2.0

// Package remote makes one bounded request to a cloud: a deadline, a size limit, no redirects, and errors that say
// which step was waiting for whom without ever repeating what was sent.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile"
)

// Bounds of one request, where a Request states none.
const (
	DefaultTimeout = 30 * time.Second
	DefaultLimit   = 1 << 20 // bytes of the answer's body
)

// A Request is one question to one cloud.
type Request struct {
	Op     string // the step, for errors: "exchange the subject token"
	Cloud  string // who is asked: "Google STS"
	Method string
	URL    string
	Header http.Header
	Body   []byte

	Sent    []slog.Attr    // what is presented, for errors; never a secret
	Secrets []stile.Secret // what must not come back in a message, should the far side echo it
	Timeout time.Duration  // zero: DefaultTimeout
	Limit   int64          // zero: DefaultLimit
}

// A Response is a whole answer, whatever its status.
type Response struct {
	Status  int
	Header  http.Header
	Body    []byte
	Trailer http.Header // what came after the body, where gRPC says how it went
}

// OK reports a 2xx status.
func (r *Response) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Do sends q through client and reads the whole answer. Redirects are not followed: a credential must not travel to
// a host nobody named. Every failure to get an answer is an [*stile.Error] of kind ErrTemporary, but for a malformed
// URL (ErrMisuse) and the caller's own cancellation.
func Do(ctx context.Context, client *http.Client, q Request) (*Response, error) {
	timeout := q.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	waited := fmt.Errorf("no answer from %s within %s", q.Cloud, timeout)
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, waited)
	defer cancel()

	req, err := http.NewRequestWithContext(bounded, q.Method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return nil, q.fail(stile.ErrMisuse, errors.New("the URL is malformed"))
	}
	for name, values := range q.Header {
		req.Header[name] = values
	}
	res, err := withoutRedirects(client).Do(req)
	if err != nil {
		return nil, q.unanswered(ctx, bounded, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := q.read(res.Body)
	if err != nil {
		if bounded.Err() != nil {
			return nil, q.unanswered(ctx, bounded, err)
		}
		return nil, err
	}
	return &Response{Status: res.StatusCode, Header: res.Header, Body: body, Trailer: res.Trailer}, nil
}

// Direct reaches link-local addresses, which no proxy can: the metadata services of both clouds.
var Direct = sync.OnceValue(func() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return &http.Client{Transport: t}
})

func withoutRedirects(client *http.Client) *http.Client {
	if client == nil {
		client = http.DefaultClient
	}
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func (q Request) read(body io.Reader) ([]byte, error) {
	limit := q.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, q.fail(stile.ErrTemporary, errors.New("the connection closed before the answer was complete"))
	}
	if int64(len(data)) > limit {
		return nil, q.fail(stile.ErrTemporary, fmt.Errorf("the answer is longer than %d bytes", limit))
	}
	return data, nil
}

// unanswered tells a caller who gave up from a far side that never spoke.
func (q Request) unanswered(ctx, bounded context.Context, err error) error {
	if ctx.Err() != nil {
		return &stile.Error{Op: q.Op, Cloud: q.Cloud, Sent: q.Sent, Err: fmt.Errorf("gave up waiting: %w", context.Cause(ctx))}
	}
	if bounded.Err() != nil {
		return q.fail(stile.ErrTemporary, context.Cause(bounded))
	}
	// *url.Error repeats the URL, whose query may hold what we present.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return q.fail(stile.ErrTemporary, fmt.Errorf("cannot reach %s: %s", hostOf(q.URL), plain(err)))
}

// plain says why a connection failed without the low-level wrapping, and never more than its text.
func plain(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "its name does not resolve"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "the host"
	}
	return u.Host
}

func (q Request) fail(kind, cause error) error {
	return &stile.Error{Op: q.Op, Cloud: q.Cloud, Sent: q.Sent, Err: fmt.Errorf("%w: %w", kind, cause)}
}

// Refusal makes the error for an answer that is not what was asked for. A 429 or 5xx is temporary, a redirect is
// named as such, all else is a refusal. Code and message are the cloud's own, cleaned by [Request.Clean].
func (q Request) Refusal(r *Response, code, message, hint string) *stile.Error {
	e := &stile.Error{
		Op: q.Op, Cloud: q.Cloud, Status: r.Status, Code: q.Clean(code), Message: q.Clean(message),
		Sent: q.Sent, Hint: hint, Err: stile.ErrRefused,
	}
	switch {
	case r.Status == http.StatusTooManyRequests || r.Status >= 500:
		e.Err = stile.ErrTemporary
		e.RetryAfter = retryAfter(r.Header.Get("Retry-After"))
	case r.Status >= 300 && r.Status < 400:
		e.Message = "a redirect, which is not followed with credentials"
		e.Hint = "name the right host in the configuration"
	}
	return e
}

// Malformed makes the error for a success whose body cannot be read. what says which part was wrong, in our words.
func (q Request) Malformed(r *Response, what string) *stile.Error {
	return &stile.Error{
		Op: q.Op, Cloud: q.Cloud, Status: r.Status, Message: "an answer that cannot be read: " + what, Sent: q.Sent,
		Hint: "something other than " + q.Cloud + " may be answering at " + hostOf(q.URL), Err: stile.ErrTemporary,
	}
}

func retryAfter(value string) time.Duration {
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// maxMessage bounds how much of a cloud's words an error repeats, in bytes.
const maxMessage = 600

// Clean makes a cloud's words fit for an error: on one line, valid UTF-8, of bounded length, and without anything
// that was presented as a secret, plain or percent-encoded.
func (q Request) Clean(text string) string {
	for _, secret := range q.Secrets {
		value := secret.Reveal()
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			if len(form) >= 8 {
				text = strings.ReplaceAll(text, form, "[secret]")
			}
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
