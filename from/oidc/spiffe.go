// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

const (
	socketVariable = "SPIFFE_ENDPOINT_SOCKET"
	fetchSVID      = "ask the SPIFFE Workload API for a JWT-SVID"
)

// SPIFFE is a [stile.Source] that asks the SPIFFE Workload API on this machine for a JWT-SVID, for the very audience
// wanted. The zero SPIFFE is ready for use where SPIFFE_ENDPOINT_SOCKET is set.
// Source: SPIFFE Workload Endpoint, sections 4 to 6; SPIFFE Workload API, section 6.2, FetchJWTSVID.
type SPIFFE struct {
	// Socket is unix:///PATH, or tcp://IP:PORT with a loopback or link-local address. Empty: what SPIFFE_ENDPOINT_SOCKET says.
	Socket string
	// ID is the SPIFFE ID wanted, for a workload that has several. Empty: the workload's first.
	ID string
	// Audience is whom the token is made out to, where that is another name than the target's own. Empty: the target's.
	Audience string
	// Lookup finds variables. Nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the endpoint, the identity, the audience, and what the agent can see of this process: it decides by
// that who is asking, so two programs of one user may be two workloads. Without an endpoint it is the zero Key.
func (s *SPIFFE) CacheKey() stile.Key {
	if s.socket() == "" {
		return stile.Key{}
	}
	return stile.NewKey("from/oidc SPIFFE", append([]string{s.socket(), s.ID, s.Audience}, attested()...)...)
}

func (s *SPIFFE) socket() string {
	fallback, _ := lookup(s.Lookup)(socketVariable)
	return cmp.Or(s.Socket, fallback)
}

// SubjectToken asks for a JWT-SVID for audience.
func (s *SPIFFE) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	p := proof{op: fetchSVID, from: "what the Workload API gave", audience: cmp.Or(s.Audience, audience), now: now(s.Clock), kinds: issued}
	if p.audience == "" {
		return stile.SubjectToken{}, noAudience(fetchSVID)
	}
	if s.ID != "" && !strings.HasPrefix(s.ID, "spiffe://") {
		return stile.SubjectToken{}, &stile.Error{Op: fetchSVID, Err: fmt.Errorf("%w: SPIFFE ID %.100q: want spiffe://TRUST-DOMAIN/PATH", stile.ErrMisuse, s.ID)}
	}
	network, address, err := s.endpoint()
	if err != nil {
		return stile.SubjectToken{}, err
	}
	svids, err := fetchJWTSVID(ctx, network, address, p.audience, s.ID)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	for _, v := range svids {
		if s.ID == "" || v.id == s.ID {
			return v.subjectToken(p)
		}
	}
	return stile.SubjectToken{}, &stile.Error{Op: fetchSVID, Hint: "register the workload with the SPIFFE provider under that ID",
		Err: fmt.Errorf("%w: none of the %d JWT-SVIDs given is for %.200q", stile.ErrNoIdentity, len(svids), cmp.Or(s.ID, "anyone"))}
}

// subjectToken makes sure that the token is for the identity it was given for.
func (v svid) subjectToken(p proof) (stile.SubjectToken, error) {
	token, err := p.subjectToken(v.token)
	if err == nil && !strings.HasPrefix(v.id, "spiffe://") {
		return stile.SubjectToken{}, p.fail(p.kinds.unreadable, "", errors.New("a JWT-SVID without a SPIFFE ID"))
	}
	if err == nil {
		token.Subject = v.id
	}
	return token, err
}

// endpoint reads the socket's URI and makes sure that a socket in the file system is there.
// Source: SPIFFE Workload Endpoint, section 4.
func (s *SPIFFE) endpoint() (network, address string, err error) {
	raw := s.socket()
	if raw == "" {
		return "", "", &stile.Error{Op: fetchSVID, Hint: "mount the Workload API's socket into the workload and name it in " + socketVariable,
			Err: fmt.Errorf("%w: no SPIFFE Workload API: %s is not set", stile.ErrNoIdentity, socketVariable)}
	}
	network, address, err = parseSocket(raw)
	if err != nil {
		return "", "", &stile.Error{Op: fetchSVID, Err: fmt.Errorf("%w: the Workload API's socket: %w", stile.ErrMisuse, err)}
	}
	if network != "unix" {
		return network, address, nil
	}
	if info, err := os.Stat(address); err != nil || info.Mode()&fs.ModeSocket == 0 {
		if err == nil {
			err = errors.New("it is no socket")
		}
		return "", "", &stile.Error{Op: fetchSVID, Hint: "start the SPIFFE agent, or mount its socket into the workload",
			Err: fmt.Errorf("%w: the Workload API's socket %s: %w", stile.ErrNoIdentity, address, plain(err))}
	}
	return network, address, nil
}

func parseSocket(raw string) (network, address string, err error) {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", "", errors.New("want unix:///PATH or tcp://IP:PORT")
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !path.IsAbs(u.Path) {
			return "", "", errors.New("want unix:///PATH, with three slashes")
		}
		return "unix", u.Path, nil
	case "tcp":
		at, err := netip.ParseAddrPort(u.Host)
		switch {
		case err != nil || at.Port() == 0 || u.Path != "":
			return "", "", errors.New("want tcp://IP:PORT")
		case !at.Addr().IsLoopback() && !at.Addr().IsLinkLocalUnicast():
			return "", "", errors.New("want a loopback or link-local address: tokens would cross the network in clear")
		}
		return "tcp", at.String(), nil
	}
	return "", "", errors.New("want unix:///PATH or tcp://IP:PORT")
}

// fetchJWTSVID makes the one call, over a connection of its own: the answer is good for minutes, a connection for less.
func fetchJWTSVID(ctx context.Context, network, address, audience, id string) ([]svid, error) {
	q := remote.Request{
		Op: fetchSVID, Cloud: "the SPIFFE Workload API", Method: http.MethodPost, URL: "http://localhost" + fetchMethod,
		Header: http.Header{
			"Content-Type":         {"application/grpc+proto"},
			"Te":                   {"trailers"},
			"Workload.spiffe.io":   {"true"}, // so that no request forgery from a browser or proxy passes for a workload
			"Grpc-Accept-Encoding": {"identity"},
		},
		Body: frame(appendRequest(nil, audience, id)), Limit: maxContent,
		Sent: []slog.Attr{slog.String("socket", network+"://"+address), slog.String("audience", audience)},
	}
	transport := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	res, err := remote.Do(ctx, &http.Client{Transport: transport}, q)
	if err != nil {
		return nil, err
	}
	body, err := unary(q, res)
	if err != nil {
		return nil, err
	}
	svids, err := readSVIDs(body)
	if err != nil {
		return nil, q.Malformed(res, err.Error())
	}
	return svids, nil
}
