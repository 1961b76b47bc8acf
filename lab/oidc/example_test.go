// SPDX-License-Identifier: Apache-2.0

package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

// world is a network with one host in it.
type world struct{ handler http.Handler }

func (w world) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func Example() {
	issuer := oidc.NewIssuer("https://token.example", time.Now)
	token, err := issuer.Sign(map[string]any{"iss": issuer.URL(), "sub": "robin", "exp": 1795320245})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier := oidc.Verifier{Net: world{issuer.Handler()}, Algorithms: []string{"RS256"}}
	claims, err := verifier.Verify(context.Background(), "https://token.example", token)
	fmt.Println(claims["sub"], claims["exp"], err)

	_, err = verifier.Verify(context.Background(), "https://token.example", token[:len(token)-2])
	fmt.Println(err != nil)
	// Output:
	// robin 1795320245 <nil>
	// true
}
