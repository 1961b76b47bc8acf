// SPDX-License-Identifier: Apache-2.0

package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// A service is the keys of a key service, behind each of its protocols: it gives a ciphertext for a plaintext, and only
// under the same key the plaintext back. Nobody's signature or token is looked at but Vault's.
type service struct {
	mu      sync.Mutex
	keys    map[string]map[string][]byte // plaintexts by key and ciphertext
	refuses string                       // the protocol's own code for what everything is answered with
	silent  chan struct{}                // until it is closed, nothing is answered
}

func newService(keys ...string) *service {
	s := &service{keys: map[string]map[string][]byte{}}
	for _, key := range keys {
		s.keys[key] = map[string][]byte{}
	}
	return s
}

// refuse has everything refused with code, or nothing.
func (s *service) refuse(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = code
}

// hang has nothing answered until the function it returns is called.
func (s *service) hang() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	silent := make(chan struct{})
	s.silent = silent
	return func() { close(silent) }
}

// wait returns the code that everything is refused with.
func (s *service) wait() string {
	s.mu.Lock()
	silent, code := s.silent, s.refuses
	s.mu.Unlock()
	if silent != nil {
		<-silent // whatever becomes of the caller
	}
	return code
}

func (s *service) encrypt(key string, plaintext []byte) (ciphertext string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[key] == nil {
		return "", false
	}
	ciphertext = "vault:v1:" + rand.Text()
	s.keys[key][ciphertext] = bytes.Clone(plaintext)
	return ciphertext, true
}

func (s *service) decrypt(key string, ciphertext []byte) (plaintext []byte, known, decrypts bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	plaintext, decrypts = s.keys[key][string(ciphertext)]
	return plaintext, s.keys[key] != nil, decrypts
}

// owner is the key under which there is such a ciphertext.
func (s *service) owner(ciphertext []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, all := range s.keys {
		if all[string(ciphertext)] != nil {
			return key
		}
	}
	return ""
}

// amazon speaks AWS KMS. Source: AWS KMS API Reference, Encrypt and Decrypt.
func (s *service) amazon(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		KeyId                     string
		Plaintext, CiphertextBlob []byte
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &ask)
	answer := map[string]any{}
	code := s.wait()
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		ciphertext, known := s.encrypt(ask.KeyId, ask.Plaintext)
		answer["CiphertextBlob"] = []byte(ciphertext)
		if !known && code == "" {
			code = "NotFoundException"
		}
	case "TrentService.Decrypt":
		owner := s.owner(ask.CiphertextBlob)
		answer["Plaintext"], _, _ = s.decrypt(owner, ask.CiphertextBlob)
		if code == "" && owner == "" {
			code = "InvalidCiphertextException"
		} else if code == "" && ask.KeyId != "" && ask.KeyId != owner { // without a key, any that decrypts will do
			code = "IncorrectKeyException"
		}
	default:
		code = "UnknownOperationException"
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"__type": code, "message": "User: arn:aws:iam::111122223333:user/x\nis not authorized"}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// vault speaks the transit engine. Source: Vault HTTP API, transit secrets engine.
func (s *service) vault(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Plaintext, Ciphertext string }
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &ask)
	verb, key := path.Split(strings.TrimPrefix(r.URL.Path, "/v1/transit/"))
	data := map[string]string{}
	code := s.wait()
	var known bool
	decrypts := true
	if verb == "encrypt/" {
		plaintext, _ := base64.StdEncoding.DecodeString(ask.Plaintext)
		data["ciphertext"], known = s.encrypt(key, plaintext)
	} else {
		var plaintext []byte
		plaintext, known, decrypts = s.decrypt(key, []byte(ask.Ciphertext))
		data["plaintext"] = base64.StdEncoding.EncodeToString(plaintext)
	}
	fail := func(status int, text string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string][]string{"errors": {text}})
	}
	switch {
	case code == "empty":
		w.WriteHeader(http.StatusNotFound)
	case code == "no data":
		_, _ = io.WriteString(w, `{"data": {}}`)
	case code == "sealed":
		fail(http.StatusServiceUnavailable, "Vault is sealed")
	case code != "" || r.Header.Get("X-Vault-Token") != "hunter2":
		fail(http.StatusForbidden, "permission denied")
	case !known:
		fail(http.StatusBadRequest, "encryption key not found")
	case !decrypts:
		fail(http.StatusBadRequest, "cipher: message authentication failed")
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}
}

// A google speaks Cloud KMS. Source: google.cloud.kms.v1.KeyManagementService.
type google struct {
	kmspb.UnimplementedKeyManagementServiceServer
	*service
}

var googleCodes = map[string]codes.Code{"PermissionDenied": codes.PermissionDenied, "ResourceExhausted": codes.ResourceExhausted, "Internal": codes.Internal,
	"FailedPrecondition": codes.FailedPrecondition, "Unauthenticated": codes.Unauthenticated, "Unavailable": codes.Unavailable}

func (g google) Encrypt(_ context.Context, ask *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	if code := g.wait(); code != "" {
		return nil, status.Error(googleCodes[code], "refused")
	}
	ciphertext, known := g.encrypt(ask.Name, ask.Plaintext)
	if !known {
		return nil, status.Error(codes.NotFound, "CryptoKey not found")
	}
	return &kmspb.EncryptResponse{Ciphertext: []byte(ciphertext)}, nil
}

func (g google) Decrypt(_ context.Context, ask *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	if code := g.wait(); code != "" {
		return nil, status.Error(googleCodes[code], "refused")
	}
	plaintext, known, decrypts := g.decrypt(ask.Name, ask.Ciphertext)
	switch {
	case !known:
		return nil, status.Error(codes.NotFound, "CryptoKey not found")
	case !decrypts:
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	return &kmspb.DecryptResponse{Plaintext: plaintext}, nil
}

// A place is a key service under test.
type place struct {
	*service
	open func(t *testing.T, key string) *Key
}

const ring = "projects/p/locations/l/keyRings/r/cryptoKeys/"

func openedAt(t *testing.T, key *Key, err error) *Key {
	t.Helper()
	if err != nil {
		t.Fatal("Open:", err)
	}
	t.Cleanup(func() {
		if err := key.Close(); err != nil {
			t.Error("Close:", err)
		}
	})
	return key
}

func amazonAt(t *testing.T) place {
	s := newService("one", "two")
	server := httptest.NewServer(http.HandlerFunc(s.amazon))
	t.Cleanup(server.Close)
	return place{service: s, open: func(t *testing.T, key string) *Key {
		k, err := Open(t.Context(), "awskms:///"+key+"?region=eu-west-1&anonymous=true&endpoint="+server.URL)
		return openedAt(t, k, err)
	}}
}

func googleAt(t *testing.T) place {
	s := newService(ring+"one", ring+"two")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(server, google{service: s})
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return place{service: s, open: func(t *testing.T, key string) *Key {
		u := &url.URL{Scheme: "gcpkms", Host: "projects", Path: strings.TrimPrefix(ring, "projects") + key}
		k, err := openGoogleWith(t.Context(), u, option.WithEndpoint(listener.Addr().String()), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		return openedAt(t, k, err)
	}}
}

// vaultAt takes its address and token from the environment, so a test with it cannot be parallel.
func vaultAt(t *testing.T) place {
	s := newService("one", "two")
	server := httptest.NewServer(http.HandlerFunc(s.vault))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "hunter2")
	return place{service: s, open: func(t *testing.T, key string) *Key {
		k, err := Open(t.Context(), "hashivault://"+key)
		return openedAt(t, k, err)
	}}
}
