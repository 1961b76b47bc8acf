// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"net/http"
	"strings"
)

// discoveryPath follows an issuer's URL. Source: OpenID Connect Discovery 1.0, section 4.
const discoveryPath = "/.well-known/openid-configuration"

// A document is what discovery tells. Source: OpenID Connect Discovery 1.0, section 3.
type document struct {
	Issuer        string   `json:"issuer"`
	JWKSURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

// Handler answers for the issuer's own host: the discovery document under the issuer's path, and the keys where they
// live on that host too. It looks at the path alone; choosing by host name is the caller's part.
func (i *Issuer) Handler() http.Handler {
	host, path := splitURL(strings.TrimSuffix(i.url, "/"))
	pages := map[string]http.Handler{path + discoveryPath: i.discovery()}
	if keyHost, keyPath := splitURL(i.jwksURI); strings.EqualFold(keyHost, host) {
		pages[keyPath] = i.JWKS()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			answer(w, http.StatusNotFound, map[string]string{"error": "not_found"})
			return
		}
		page.ServeHTTP(w, r)
	})
}

// JWKS answers with the published keys, whatever the path: for an issuer whose keys live on another host.
func (i *Issuer) JWKS() http.Handler {
	return reading(func() any { return i.keys() })
}

func (i *Issuer) discovery() http.Handler {
	return reading(func() any {
		return document{
			Issuer:        i.url,
			JWKSURI:       i.jwksURI,
			ResponseTypes: []string{"id_token"},
			SubjectTypes:  []string{"public"},
			Algorithms:    i.algorithms(),
		}
	})
}

func (i *Issuer) algorithms() []string {
	list := []string{string(i.algorithm)}
	if i.beside != nil {
		list = append(list, i.beside.algorithms()...)
	}
	return list
}

// reading serves content to GET and HEAD and turns every other method away.
func reading(content func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			answer(w, http.StatusMethodNotAllowed, map[string]string{"error": "method_not_allowed"})
			return
		}
		answer(w, http.StatusOK, content())
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// splitURL tells a URL's host, port included, from its path. It asks nothing more of the URL, so an issuer with a
// faulty one can be made and then refused by whoever verifies.
func splitURL(url string) (host, path string) {
	_, rest, _ := strings.Cut(url, "://")
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		return rest[:slash], rest[slash:]
	}
	return rest, ""
}
