// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
)

const workloadID = "spiffe://example.org/ns/jobs/sa/etl"

// field writes one protobuf field with a length.
func field(number protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value))
}

// jwtSVID is a JWTSVID message, with its hint.
func jwtSVID(id, token string) string { return field(1, id) + field(2, token) + field(3, "internal") }

// message is a gRPC message with its length in front.
func message(body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))) + body
}

// socketPath is for one socket, and short: systems allow a hundred bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api") //nolint:usetesting // a test's own directory has the test's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// serve opens a Workload API's socket of the kind that network names, and gives its URI.
func serve(t *testing.T, network string, handler http.HandlerFunc) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = socketPath(t)
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	if network == "unix" {
		return "unix://" + address
	}
	return "tcp://" + listener.Addr().String()
}

// grpc answers with a body and then a status.
func grpc(w http.ResponseWriter, body, status, text string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	_, _ = io.WriteString(w, body)
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("Grpc-Message", text)
}

// workloadAPI makes out JWT-SVIDs of two identities for the audience asked, and refuses what the specification refuses.
func workloadAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.ProtoMajor != 2 || r.Method != http.MethodPost || r.Header.Get("Te") != "trailers" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		http.Error(w, "no gRPC", http.StatusUnsupportedMediaType)
		return
	case r.URL.Path != "/SpiffeWorkloadAPI/FetchJWTSVID":
		grpc(w, "", "12", "unknown method")
		return
	case r.Header.Get("workload.spiffe.io") != "true":
		grpc(w, "", "3", "security header missing from request")
		return
	}
	wanted, id := asked(string(body))
	if wanted == "" {
		grpc(w, "", "3", "audience must be specified")
		return
	}
	svids := ""
	for _, has := range []string{workloadID, "spiffe://example.org/second"} {
		if id == "" || id == has {
			svids += field(1, jwtSVID(has, token(map[string]any{"sub": has, "aud": []string{wanted}})))
		}
	}
	if svids == "" {
		grpc(w, "", "7", "no identity issued")
		return
	}
	grpc(w, message(svids), "0", "")
}

// asked reads a JWTSVIDRequest, and gives no audience where there is none.
func asked(body string) (audience, id string) {
	if len(body) < 5 || body != message(body[5:]) {
		return "", ""
	}
	for rest := []byte(body[5:]); len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 || kind != protowire.BytesType {
			return "", ""
		}
		value, m := protowire.ConsumeString(rest[n:])
		if m < 0 {
			return "", ""
		}
		switch number {
		case 1:
			audience = value
		case 2:
			id = value
		}
		rest = rest[n+m:]
	}
	return audience, id
}

func TestSPIFFE(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			socket := serve(t, network, workloadAPI)
			first := token(map[string]any{"sub": workloadID, "aud": []string{audience}})
			for _, source := range []*fromoidc.SPIFFE{
				{Socket: socket, Clock: clock},
				{Lookup: environment(map[string]string{"SPIFFE_ENDPOINT_SOCKET": socket}), Clock: clock},
				{Socket: socket, Lookup: environment(map[string]string{"SPIFFE_ENDPOINT_SOCKET": "unix:///none"}), ID: workloadID, Clock: clock},
			} {
				got, err := source.SubjectToken(t.Context(), audience)
				isToken(t, got, err, first, workloadID, noon.Add(time.Hour))
			}
			second := &fromoidc.SPIFFE{Socket: socket, ID: "spiffe://example.org/second", Audience: "api://x", Clock: clock}
			got, err := second.SubjectToken(t.Context(), audience)
			isToken(t, got, err, token(map[string]any{"sub": "spiffe://example.org/second", "aud": []string{"api://x"}}), "spiffe://example.org/second", noon.Add(time.Hour))
		})
	}
}

func TestSPIFFEManyAtOnce(t *testing.T) {
	t.Parallel()
	source := &fromoidc.SPIFFE{Socket: serve(t, "unix", workloadAPI), Clock: clock}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			wanted := strings.Repeat("a", i+1)
			got, err := source.SubjectToken(t.Context(), wanted)
			isToken(t, got, err, token(map[string]any{"sub": workloadID, "aud": []string{wanted}}), workloadID, noon.Add(time.Hour))
		})
	}
	all.Wait()
}

func TestSPIFFERefuses(t *testing.T) {
	t.Parallel()
	good := message(field(1, jwtSVID(workloadID, token(map[string]any{"sub": workloadID}))))
	status := func(code, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { grpc(w, "", code, text) }
	}
	body := func(content string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { grpc(w, content, "0", "") }
	}
	cases := map[string]struct {
		handler http.HandlerFunc
		kind    error
		words   string
	}{
		"no identity":        {status("7", "no identity issued"), stile.ErrNoIdentity, "PermissionDenied: no identity issued"},
		"no header":          {status("3", "security header missing"), stile.ErrRefused, "InvalidArgument: security header missing"},
		"starting":           {status("14", "agent%20is starting%0Aup"), stile.ErrTemporary, "Unavailable: agent is starting up"},
		"bad percent":        {status("13", "50%"), stile.ErrTemporary, "Internal: 50%"},
		"no such method":     {status("12", ""), stile.ErrRefused, "hint: this Workload API gives no JWT-SVIDs"},
		"too busy":           {status("8", ""), stile.ErrTemporary, "ResourceExhausted"},
		"unknown status":     {status("99", "x"), stile.ErrTemporary, "status 99: x"},
		"status is no code":  {status("hunter2", ""), stile.ErrTemporary, "no gRPC status"},
		"status in headers":  {func(w http.ResponseWriter, _ *http.Request) { headersOnly(w, "7") }, stile.ErrNoIdentity, "PermissionDenied"},
		"no status":          {func(w http.ResponseWriter, _ *http.Request) { headersOnly(w, "") }, stile.ErrTemporary, "no gRPC status"},
		"no gRPC":            {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hunter2") }, stile.ErrTemporary, "cannot be read: no gRPC"},
		"not found":          {http.NotFound, stile.ErrTemporary, "cannot be read: no gRPC"},
		"no message":         {body(""), stile.ErrTemporary, "no gRPC message"},
		"compressed":         {body("\x01" + good[1:]), stile.ErrTemporary, "compressed"},
		"two messages":       {body(good + good), stile.ErrTemporary, "not exactly one"},
		"cut short":          {body(good[:len(good)-1]), stile.ErrTemporary, "not exactly one"},
		"no protobuf":        {body(message("hunter2")), stile.ErrTemporary, "no protobuf message"},
		"no protobuf inside": {body(message(field(1, "hunter2"))), stile.ErrTemporary, "no protobuf message"},
		"not UTF-8":          {body(message(field(1, jwtSVID("spiffe://\xff", "x")))), stile.ErrTemporary, "no protobuf message"},
		"no SVID":            {body(message("")), stile.ErrTemporary, "no JWT-SVID"},
		"empty SVID":         {body(message(field(1, ""))), stile.ErrTemporary, "the token is empty"},
		"no token":           {body(message(field(1, field(1, workloadID)))), stile.ErrTemporary, "the token is empty"},
		"no ID":              {body(message(field(1, field(2, token(nil))))), stile.ErrTemporary, "without a SPIFFE ID"},
		"no JWT":             {body(message(field(1, jwtSVID(workloadID, "hunter2")))), stile.ErrTemporary, "no JWT"},
		"another audience":   {body(message(field(1, jwtSVID(workloadID, token(map[string]any{"aud": "x"}))))), stile.ErrTemporary, "made out to"},
		"expired":            {body(message(field(1, jwtSVID(workloadID, token(map[string]any{"exp": 1}))))), stile.ErrTemporary, "expired"},
		"too long":           {body(strings.Repeat("x", 1<<20)), stile.ErrTemporary, "longer than"},
		"hangs up":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, stile.ErrTemporary, "the SPIFFE Workload API"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&fromoidc.SPIFFE{Socket: serve(t, "unix", c.handler), Clock: clock}).SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words)
		})
	}
}

// headersOnly answers with a status and nothing else, as gRPC servers do when they refuse at once.
func headersOnly(w http.ResponseWriter, status string) {
	w.Header().Set("Content-Type", "application/grpc")
	if status != "" {
		w.Header().Set("Grpc-Status", status)
	}
	w.WriteHeader(http.StatusOK)
}

func TestSPIFFEWantsItsID(t *testing.T) {
	t.Parallel()
	socket := serve(t, "unix", func(w http.ResponseWriter, _ *http.Request) {
		grpc(w, message(field(1, jwtSVID(workloadID, token(nil)))), "0", "") // whatever was asked
	})
	_, err := (&fromoidc.SPIFFE{Socket: socket, ID: "spiffe://example.org/none", Clock: clock}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrNoIdentity, `none of the 1 JWT-SVIDs given is for "spiffe://example.org/none"`)
	_, err = (&fromoidc.SPIFFE{Socket: socket, ID: "etl"}).SubjectToken(t.Context(), audience)
	isRefusal(t, err, stile.ErrMisuse, "want spiffe://TRUST-DOMAIN/PATH")
	_, err = (&fromoidc.SPIFFE{Socket: socket}).SubjectToken(t.Context(), "")
	isRefusal(t, err, stile.ErrMisuse, "no audience")
}

func TestSPIFFESockets(t *testing.T) {
	t.Parallel()
	file := write(t, "x")
	closed := listen(t)
	address := closed.Addr().String()
	_ = closed.Close()
	cases := map[string]struct {
		socket string
		kind   error
		words  string
	}{
		"not set":          {"", stile.ErrNoIdentity, "SPIFFE_ENDPOINT_SOCKET is not set"},
		"not there":        {"unix:///none/such", stile.ErrNoIdentity, "/none/such: there is none"},
		"one slash":        {"unix:/none/such", stile.ErrNoIdentity, "/none/such: there is none"},
		"a file":           {"unix://" + file, stile.ErrNoIdentity, "it is no socket"},
		"nobody listens":   {"tcp://" + address, stile.ErrTemporary, "refused"},
		"a bare path":      {"/run/api.sock", stile.ErrMisuse, "want unix:///PATH or tcp://IP:PORT"},
		"two slashes":      {"unix://run/api.sock", stile.ErrMisuse, "with three slashes"},
		"a relative path":  {"unix:run/api.sock", stile.ErrMisuse, "want unix:///PATH"},
		"a query":          {"unix:///run/api.sock?x=hunter2", stile.ErrMisuse, "want unix:///PATH"},
		"a host name":      {"tcp://localhost:80", stile.ErrMisuse, "want tcp://IP:PORT"},
		"no port":          {"tcp://127.0.0.1", stile.ErrMisuse, "want tcp://IP:PORT"},
		"a path after it":  {"tcp://127.0.0.1:80/foo", stile.ErrMisuse, "want tcp://IP:PORT"},
		"another machine":  {"tcp://192.0.2.1:80", stile.ErrMisuse, "would cross the network in clear"},
		"a named pipe":     {"npipe:spire-agent", stile.ErrMisuse, "want unix:///PATH"},
		"https":            {"https://127.0.0.1:80", stile.ErrMisuse, "want unix:///PATH"},
		"no URI":           {"%zz-hunter2", stile.ErrMisuse, "want unix:///PATH"},
		"a password in it": {"tcp://user:hunter2@127.0.0.1:80", stile.ErrMisuse, "want unix:///PATH"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &fromoidc.SPIFFE{Lookup: environment(map[string]string{"SPIFFE_ENDPOINT_SOCKET": c.socket})}
			_, err := source.SubjectToken(t.Context(), audience)
			isRefusal(t, err, c.kind, c.words)
		})
	}
}

func TestSPIFFEGivesUpWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired")
	socket := serve(t, "unix", func(_ http.ResponseWriter, r *http.Request) {
		cancel(tired)
		<-r.Context().Done()
	})
	_, err := (&fromoidc.SPIFFE{Socket: socket}).SubjectToken(ctx, audience)
	isRefusal(t, err, tired, "gave up waiting")
}

func TestSPIFFEKeys(t *testing.T) {
	t.Parallel()
	none, set := environment(nil), environment(map[string]string{"SPIFFE_ENDPOINT_SOCKET": "unix:///b"})
	distinct(t, map[string]*fromoidc.SPIFFE{
		"socket": {Lookup: none, Socket: "unix:///a"}, "socket of the environment": {Lookup: set},
		"ID": {Lookup: set, ID: "spiffe://a"}, "audience": {Lookup: set, Audience: "a"},
	})
	if !(&fromoidc.SPIFFE{Lookup: none}).CacheKey().IsZero() {
		t.Error("there is no agent, and there is a key")
	}
}
