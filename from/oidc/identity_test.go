// SPDX-License-Identifier: Apache-2.0

package fromoidc_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stile-project/stile"
	fromoidc "github.com/stile-project/stile/from/oidc"
	"github.com/stile-project/stile/lab/issuers"
	"github.com/stile-project/stile/lab/stage"
)

func prove(t *testing.T, source stile.Source, audience string, role bool) stile.Key {
	t.Helper()
	key, err := source.(stile.Identified).Identity(t.Context(), audience, role)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Every issuer of the lab gives tokens by which a workload proves itself, alike each time, and like no other's.
func TestEverySourceProvesItself(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	seen := map[stile.Key]stage.Origin{}
	for _, o := range stage.Origins() {
		for name, source := range s.sources(o, stage.AWSVariable, stage.AWSFile) {
			key := prove(t, source, stage.STSAudience, false)
			agree(t, key, prove(t, source, stage.STSAudience, false))
			agree(t, key, prove(t, source, stage.STSAudience, true))
			if other, known := seen[key]; known && other != o {
				t.Errorf("%s of %s is one identity with %s", name, o, other)
			}
			seen[key] = o
		}
		for name, source := range s.sources(o, stage.GoogleVariable, stage.GoogleFile) {
			if _, known := seen[prove(t, source, o.Audience(), false)]; known {
				t.Errorf("%s of %s is one identity for two audiences", name, o)
			}
		}
	}
}

// A pod stays who it is when the kubelet renews its token, and is not the next pod of the same account.
func TestPodsAreIdentitiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := everywhere(t)
	of := func(pod *issuers.Pod) stile.Key {
		s.Pods[stage.Kubernetes] = pod
		return prove(t, &fromoidc.KubernetesFile{Path: filepath.Join(s.mounted(stage.Kubernetes), stage.AWSFile)}, stage.STSAudience, true)
	}
	start := func(name string) *issuers.Pod {
		pod, err := s.Clusters[stage.Kubernetes].Start(issuers.PodSpec{Name: name, Account: issuers.Account{Namespace: stage.Namespace, Name: stage.Pods},
			Projections: []issuers.Projection{{Path: stage.AWSFile, Audience: stage.STSAudience}}})
		if err != nil {
			t.Fatal(err)
		}
		return pod
	}
	first, second := start("one"), start("two")
	agree(t, of(first), of(first))
	differ(t, of(first), of(second))
	// Who may ask for tokens of the account is the account.
	request := &fromoidc.TokenRequest{Dir: filepath.Join(s.mounted(stage.Kubernetes), fromoidc.ServiceAccountDir), Lookup: second.Variables().Lookup, Client: s.client()}
	agree(t, prove(t, request, "a", false), prove(t, request, "a", false))
}

func TestIdentityOfRenewedTokens(t *testing.T) {
	t.Parallel()
	path := write(t, podsToken("a", 1))
	source := &fromoidc.File{Path: path, Clock: clock}
	before := prove(t, source, audience, false)
	put(t, path, podsToken("a", 2))
	agree(t, before, prove(t, source, audience, false))
	put(t, path, podsToken("b", 2))
	differ(t, before, prove(t, source, audience, false))
	put(t, path, podsToken("a", 2))
	typed := &fromoidc.File{Path: path, Type: stile.TokenTypeIDToken, Clock: clock}
	differ(t, before, prove(t, typed, audience, false))
}

func TestIdentityNeedsATokenThatTells(t *testing.T) {
	t.Parallel()
	saml := running("print", "TEST_PRINT="+response("", map[string]any{"token_type": string(fromoidc.TokenTypeSAML2), "id_token": nil, "saml_response": "hunter2hunter2"}))
	saml.InsecureSkipAudience = true
	for name, c := range map[string]struct {
		source stile.Source
		words  string
	}{
		"SAML":           {saml, "SAML"},
		"opaque":         {&fromoidc.URL{URL: "https://a", InsecureSkipAudience: true, Client: answering(200, "hunter2hunter2")}, "does not tell whose it is"},
		"no issuer":      {&fromoidc.Environment{Name: "A", Lookup: environment(map[string]string{"A": token(map[string]any{"iss": nil})}), Clock: clock}, "no iss"},
		"not told apart": {&fromoidc.Environment{Name: "A", Lookup: environment(map[string]string{"A": token(map[string]any{"sub": "\ufffd"})}), Clock: clock}, "told from one another"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := c.source.(stile.Identified).Identity(t.Context(), audience, false)
			isRefusal(t, err, stile.ErrMisuse, c.words)
			if !key.IsZero() {
				t.Error("an error, and a key")
			}
		})
	}
}

func TestIdentityFailsAsTheProofDoes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired")
	cancel(tired)
	none := environment(nil)
	for name, source := range map[string]stile.Identified{
		"file": &fromoidc.File{Path: "/none"}, "Kubernetes": &fromoidc.KubernetesFile{Path: "/none"}, "variable": &fromoidc.Environment{Name: "A", Lookup: none},
		"GitHub": &fromoidc.GitHubActions{Lookup: none}, "GitLab": &fromoidc.GitLabCI{Lookup: none}, "SPIFFE": &fromoidc.SPIFFE{Lookup: none},
		"TokenRequest": &fromoidc.TokenRequest{Lookup: none},
	} {
		if _, err := source.Identity(ctx, audience, false); !errors.Is(err, stile.ErrNoIdentity) {
			t.Errorf("%s: got %v, want no identity", name, err)
		}
	}
	if _, err := (&fromoidc.URL{URL: "https://a", Client: answering(403, "")}).Identity(t.Context(), audience, false); !errors.Is(err, stile.ErrRefused) {
		t.Errorf("got %v, want a refusal", err)
	}
	if _, err := (&fromoidc.Executable{Command: []string{"a"}}).Identity(t.Context(), audience, false); !errors.Is(err, stile.ErrMisuse) {
		t.Errorf("got %v, want misuse", err)
	}
}
