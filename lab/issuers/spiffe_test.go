// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

const (
	etlID  = "spiffe://example.org/etl"
	saleID = "spiffe://example.org/sale"
	fetch  = "/SpiffeWorkloadAPI/FetchJWTSVID"
)

// call puts an agent on a socket and calls it by hand.
func (s *setup) call(path string, header [][2]string, body []byte, ids ...string) wireCall {
	s.t.Helper()
	domain, err := s.AddTrustDomain(TrustDomain{Name: "example.org"})
	if err != nil {
		s.t.Fatal(err)
	}
	agent, err := domain.Agent(ids...)
	if err != nil {
		s.t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "spiffe") // t.TempDir is too long for a socket's name
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	socket, err := agent.Listen(filepath.Join(folder, "s"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer socket.Close()
	conn, err := (&net.Dialer{}).DialContext(s.t.Context(), "unix", strings.TrimPrefix(socket.Variables()["SPIFFE_ENDPOINT_SOCKET"], "unix://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	got, err := callByHand(conn, path, header, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

var grpcHeader = [][2]string{{"content-type", "application/grpc"}, {"te", "trailers"}, {"workload.spiffe.io", "true"}}

func request(q svidRequest) []byte {
	var message []byte
	for _, a := range q.audiences {
		message = appendBytes(message, 1, a)
	}
	if q.spiffeID != "" {
		message = appendBytes(message, 2, q.spiffeID)
	}
	return message
}

func TestFetchJWTSVID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask  svidRequest
		want []string
	}{
		"all":          {svidRequest{[]string{audience}, ""}, []string{etlID, saleID}},
		"one":          {svidRequest{[]string{audience}, saleID}, []string{saleID}},
		"two audience": {svidRequest{[]string{audience, "b"}, etlID}, []string{etlID}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			got := s.call(fetch, grpcHeader, frame(request(c.ask)), etlID, saleID)
			if diff := cmp.Diff([]string{"HEADERS", "DATA", "HEADERS END"}, got.frames); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
			if got.header[":status"] != "200" || got.header["content-type"] != "application/grpc" || got.trailer["grpc-status"] != "0" {
				t.Errorf("header %v, trailer %v", got.header, got.trailer)
			}
			svids := readSVIDs(t, got.data)
			var ids []string
			for _, one := range svids {
				ids = append(ids, one.id)
				claims := s.claims("https://oidc-discovery.example.org", one.token)
				want := map[string]any{"iss": "https://oidc-discovery.example.org", "sub": one.id, "aud": list(c.ask.audiences),
					"iat": number(s.time().Unix()), "exp": number(s.time().Unix() + 300)}
				if diff := cmp.Diff(want, claims); diff != "" {
					t.Errorf("claims (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(c.want, ids); diff != "" {
				t.Errorf("identities (-want +got):\n%s", diff)
			}
		})
	}
}

func list(texts []string) []any {
	var out []any
	for _, s := range texts {
		out = append(out, s)
	}
	return out
}

// readSVIDs reads the answer's message, with the server's measure of fields but not its writer of them.
func readSVIDs(t *testing.T, data []byte) []svid {
	t.Helper()
	if len(data) < 5 || data[0] != 0 || int(data[3])<<8|int(data[4]) != len(data)-5 {
		t.Fatalf("%d bytes of data are no gRPC message", len(data))
	}
	var svids []svid
	for rest := data[5:]; len(rest) > 0; {
		one, size := field(rest[1:], 2)
		if rest[0] != 0x0a || size < 0 {
			t.Fatal("the message is no JWTSVIDResponse")
		}
		rest = rest[1+size:]
		id, idSize := field(one[1:], 2)
		token, _ := field(one[2+idSize:], 2)
		if one[0] != 0x0a || one[1+idSize] != 0x12 {
			t.Fatal("the message holds no JWTSVID")
		}
		svids = append(svids, svid{string(id), string(token)})
	}
	return svids
}

func TestWorkloadAPIRefusals(t *testing.T) {
	t.Parallel()
	good := frame(request(svidRequest{[]string{audience}, ""}))
	without := slices.Clone(grpcHeader[:2])
	for name, c := range map[string]struct {
		path    string
		header  [][2]string
		body    []byte
		ids     []string
		code    string
		message string
	}{
		"no security header":      {fetch, without, good, []string{etlID}, "3", "security header missing from request"},
		"another security header": {fetch, append(slices.Clone(without), [2]string{"workload.spiffe.io", "1"}), good, []string{etlID}, "3", "security header missing from request"},
		"no audience":             {fetch, grpcHeader, frame(nil), []string{etlID}, "3", "audience must be specified"},
		"an empty audience":       {fetch, grpcHeader, frame([]byte{0x0a, 0}), []string{etlID}, "3", "audience must be specified"},
		"no SPIFFE ID":            {fetch, grpcHeader, frame(request(svidRequest{[]string{audience}, "etl"})), []string{etlID}, "3", "invalid requested SPIFFE ID: scheme is missing or invalid"},
		"dots in a SPIFFE ID":     {fetch, grpcHeader, frame(request(svidRequest{[]string{audience}, etlID + "/../x"})), []string{etlID}, "3", "invalid requested SPIFFE ID: path cannot contain dot segments"},
		"an unknown workload":     {fetch, grpcHeader, good, nil, "7", "no identity issued"},
		"another identity":        {fetch, grpcHeader, frame(request(svidRequest{[]string{audience}, saleID})), []string{etlID}, "7", "no identity issued"},
		"an unknown method":       {"/SpiffeWorkloadAPI/FetchCake", grpcHeader, good, []string{etlID}, "12", "unknown method FetchCake for service SpiffeWorkloadAPI"},
		"an unknown service":      {"/Cake/FetchJWTSVID", grpcHeader, good, []string{etlID}, "12", "unknown service Cake"},
		"compressed":              {fetch, grpcHeader, append([]byte{1}, good[1:]...), []string{etlID}, "12", `grpc: Decompressor is not installed for grpc-encoding ""`},
		"cut short":               {fetch, grpcHeader, good[:len(good)-1], []string{etlID}, "13", "unexpected EOF"},
		"no message":              {fetch, grpcHeader, nil, []string{etlID}, "13", "unexpected EOF"},
		"two messages":            {fetch, grpcHeader, append(slices.Clone(good), good...), []string{etlID}, "13", "cardinality violation"},
		"too long":                {fetch, grpcHeader, []byte{0, 0, 0x40, 0, 1}, []string{etlID}, "8", "received message larger than max"},
		"not protobuf":            {fetch, grpcHeader, frame([]byte{0xff}), []string{etlID}, "13", "cannot parse invalid wire-format data"},
		"not UTF-8":               {fetch, grpcHeader, frame([]byte{0x0a, 1, 0xff}), []string{etlID}, "13", "invalid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			got := s.call(c.path, c.header, c.body, c.ids...)
			if diff := cmp.Diff([]string{"HEADERS END"}, got.frames); diff != "" {
				t.Errorf("a refusal is headers alone (-want +got):\n%s", diff)
			}
			if got.header[":status"] != "200" || got.header["content-type"] != "application/grpc" || got.header["grpc-status"] != c.code || !strings.Contains(got.header["grpc-message"], c.message) {
				t.Errorf("got %v, want %s %s", got.header, c.code, c.message)
			}
			if s.reason() == "" {
				t.Error("the journal says nothing failed")
			}
		})
	}
}

func TestWorkloadAPITakesGRPCAlone(t *testing.T) {
	t.Parallel()
	s := start(t)
	domain, err := s.AddTrustDomain(TrustDomain{Name: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := domain.Agent(etlID)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, fetch, bytes.NewReader(frame(request(svidRequest{[]string{audience}, ""}))))
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Workload.spiffe.io", "true")
	agent.ServeHTTP(w, r) // HTTP/1.1
	if w.Code != http.StatusUnsupportedMediaType || strings.Contains(w.Body.String(), "eyJ") {
		t.Errorf("got %d", w.Code)
	}
}

func TestSocketEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	domain, err := start(t).AddTrustDomain(TrustDomain{Name: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := domain.Agent(etlID)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	socket, err := agent.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Listen(path); err == nil {
		t.Error("two listen on one socket")
	}
	socket.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestTrustDomainRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, d := range []TrustDomain{{}, {Name: "Example.org"}, {Name: "a/b"}, {Name: "a", Issuer: "http://a"}, {Name: "a", Life: time.Millisecond}, {Name: "a", Issuer: GitHubIssuer}} {
		if _, err := s.AddTrustDomain(d); err == nil {
			t.Errorf("%+v was added", d)
		}
	}
	domain, err := s.AddTrustDomain(TrustDomain{Name: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "etl", "spiffe://example.org", "spiffe://example.com/etl", "spiffe://example.org/", "spiffe://example.org/a//b", "spiffe://example.org/../etl", "https://example.org/etl"} {
		if _, err := domain.Agent(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

func FuzzParseSVIDRequest(f *testing.F) {
	f.Add(request(svidRequest{[]string{audience, "b"}, etlID}))
	f.Add([]byte{0x08, 0x96, 0x01, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0x0b})
	f.Fuzz(func(t *testing.T, message []byte) {
		q, err := parseSVIDRequest(message)
		if err != nil {
			if !reflect.DeepEqual(q, svidRequest{}) {
				t.Errorf("half a request %+v beside %v", q, err)
			}
			return
		}
		again, err := parseSVIDRequest(request(q))
		if err != nil || !slices.Equal(again.audiences, q.audiences) || again.spiffeID != q.spiffeID {
			t.Errorf("%+v reads again as %+v, %v", q, again, err)
		}
	})
}
