// SPDX-License-Identifier: Apache-2.0

package config

import "github.com/stile-project/stile"

// FromOIDC is a token that an issuer of neither cloud made out. Exactly one of its pointers is set.
type FromOIDC struct {
	Audience  string `json:"audience,omitempty"`   // whom the token is made out to, where the target goes by another name; empty: the target's own
	TokenType string `json:"token_type,omitempty"` // "jwt" or "id_token": what Google is told that the token is; empty: "jwt"

	File          *TokenFile     `json:"file,omitempty"`
	URL           *TokenURL      `json:"url,omitempty"`
	Environment   *TokenVariable `json:"environment,omitempty"`
	Executable    *Executable    `json:"executable,omitempty"`
	GitHubActions *GitHubActions `json:"github_actions,omitempty"`
	GitLabCI      *GitLabCI      `json:"gitlab_ci,omitempty"`
	Kubernetes    *Kubernetes    `json:"kubernetes,omitempty"`
	TokenRequest  *TokenRequest  `json:"token_request,omitempty"`
	SPIFFE        *SPIFFE        `json:"spiffe,omitempty"`
}

// TokenFile is a file that holds a token, read anew each time.
type TokenFile struct {
	Path  string `json:"path"`
	Field string `json:"field,omitempty"` // the member of a JSON object that is the token; empty: the whole file is
}

// TokenURL is a URL that answers a token.
type TokenURL struct {
	URL     string                  `json:"url"`               // https, or http to this machine or a metadata service
	Headers map[string]stile.Secret `json:"headers,omitempty"` // sent along; the values are never printed
	Field   string                  `json:"field,omitempty"`   // the member of a JSON object that is the token; empty: the whole answer is
}

// TokenVariable is an environment variable that holds a token.
type TokenVariable struct {
	Variable string `json:"variable"`
}

// Executable is a program that prints a token by Google's protocol. A file may name one only where the caller allows it:
// see [ForeignPolicy]. Source: AIP-4117, executable-sourced credentials.
type Executable struct {
	Command    []string `json:"command"`               // the program and its arguments; no shell sees them
	Timeout    Duration `json:"timeout,omitempty"`     // 5s to 2m; 0: 30s
	OutputFile string   `json:"output_file,omitempty"` // where the program leaves its last answer; empty: nowhere
}

// GitHubActions is the ID token of a GitHub Actions job, which needs permissions: {id-token: write}.
type GitHubActions struct{}

// GitLabCI is an ID token of a GitLab CI/CD job.
type GitLabCI struct {
	Variable string `json:"variable,omitempty"` // the id_tokens entry; empty: GITLAB_OIDC_TOKEN
}

// Kubernetes is the projected service-account token of a pod.
type Kubernetes struct {
	Path string `json:"path,omitempty"` // empty: the pod's own token
}

// TokenRequest is a service-account token that the Kubernetes API server makes out on request.
type TokenRequest struct {
	Namespace      string   `json:"namespace,omitempty"`       // empty: the pod's own
	ServiceAccount string   `json:"service_account,omitempty"` // empty: the pod's own
	Expiration     Duration `json:"expiration,omitempty"`      // 10m to 24h, which the server may shorten; 0: 1h
}

// SPIFFE is a JWT-SVID of the SPIFFE Workload API.
type SPIFFE struct {
	Socket string `json:"socket,omitempty"` // unix:///PATH or tcp://ADDRESS:PORT; empty: SPIFFE_ENDPOINT_SOCKET
}
