// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/jwt"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/shape"
)

const (
	// minLifetime is the API server's own. Source: Kubernetes API, authentication.k8s.io/v1 TokenRequest.
	minLifetime = 10 * time.Minute
	maxLifetime = (1 << 32) * time.Second

	requestToken = "ask Kubernetes for a token"
)

// TokenRequest is a [stile.Source] that asks the Kubernetes API server for a token of a service account, for the very
// audience wanted. In a pod the zero TokenRequest asks for a token of the pod's own account; the account needs the verb
// create on the resource serviceaccounts/token.
// Source: Kubernetes API, authentication.k8s.io/v1 TokenRequest.
type TokenRequest struct {
	// APIServer is the API server's URL. Empty: that of KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
	APIServer string
	// Namespace is the service account's. Empty: what the file namespace in Dir says.
	Namespace string
	// ServiceAccount is the name of the account. Empty: the one whose token is in Dir.
	ServiceAccount string
	// Lifetime is how long the token lasts, in whole seconds from 10m; the API server may shorten it. Zero: 1h.
	Lifetime time.Duration
	// Dir holds the files token, ca.crt and namespace, read anew each time. Empty: [ServiceAccountDir].
	Dir string
	// Audience is whom the token is made out to, where that is another name than the target's own. Empty: the target's.
	Audience string
	// Lookup finds variables. Nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Client makes the request. Nil: one that trusts the ca.crt in Dir and nothing else.
	Client *http.Client
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the API server, the account, and the claims of the token in Dir that asks for the other, less those
// that change when it is renewed. Without that token or a server it is the zero Key.
func (t *TokenRequest) CacheKey() stile.Key {
	server, err := t.server()
	if err != nil {
		return stile.Key{}
	}
	bearer, err := t.read("token")
	if err != nil || bearer == "" {
		return stile.Key{}
	}
	namespace := t.Namespace
	if namespace == "" {
		if namespace, err = t.read("namespace"); err != nil {
			return stile.Key{}
		}
	}
	return stile.NewKey("from/oidc TokenRequest", server, namespace, t.ServiceAccount, jwt.Stable(bearer), t.dir(), strconv.FormatInt(int64(t.Lifetime), 10), t.Audience)
}

// SubjectToken asks for a token for audience.
func (t *TokenRequest) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	p := proof{op: requestToken, from: "what the API server gave", audience: cmp.Or(t.Audience, audience), now: now(t.Clock), kinds: issued}
	if p.audience == "" {
		return stile.SubjectToken{}, noAudience(requestToken)
	}
	if t.Lifetime != 0 && (t.Lifetime < minLifetime || t.Lifetime > maxLifetime || t.Lifetime%time.Second != 0) {
		return stile.SubjectToken{}, misused("lifetime %s: want whole seconds from 10m", t.Lifetime)
	}
	q, err := t.request(p.audience)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	client := t.Client
	if client == nil {
		transport, err := t.transport()
		if err != nil {
			return stile.SubjectToken{}, err
		}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	res, err := remote.Do(ctx, client, q)
	if err != nil {
		return stile.SubjectToken{}, err
	}
	if !res.OK() {
		return stile.SubjectToken{}, t.refusal(q, res)
	}
	var answer struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if json.Unmarshal(res.Body, &answer) != nil || answer.Status.Token == "" {
		return stile.SubjectToken{}, q.Malformed(res, "no TokenRequest with a status.token")
	}
	return p.subjectToken(answer.Status.Token)
}

func (t *TokenRequest) request(audience string) (remote.Request, error) {
	server, err := t.server()
	if err != nil {
		return remote.Request{}, err
	}
	bearer, err := t.read("token")
	if err != nil {
		return remote.Request{}, err
	}
	if err := fitHeader("Authorization", bearer); err != nil || bearer == "" {
		return remote.Request{}, &stile.Error{Op: requestToken, Err: fmt.Errorf("%w: the file %s holds no token", stile.ErrNoIdentity, filepath.Join(t.dir(), "token"))}
	}
	namespace, account, err := t.account(bearer)
	if err != nil {
		return remote.Request{}, err
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
		"spec": map[string]any{"audiences": []string{audience}, "expirationSeconds": int64(cmp.Or(t.Lifetime, time.Hour) / time.Second)},
	})
	if err != nil {
		return remote.Request{}, err
	}
	return remote.Request{Op: requestToken, Cloud: "the Kubernetes API server", Method: http.MethodPost,
		URL:     server + "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + account + "/token",
		Header:  http.Header{"Authorization": {"Bearer " + bearer}, "Content-Type": {"application/json"}, "Accept": {"application/json"}},
		Body:    body,
		Secrets: []stile.Secret{stile.NewSecret(bearer)},
		Sent:    []slog.Attr{slog.String("service account", namespace+"/"+account), slog.String("audience", audience)},
	}, nil
}

// server gives the API server's URL without a slash at its end.
func (t *TokenRequest) server() (string, error) {
	raw, mustBe := t.APIServer, ""
	if raw == "" {
		host, _ := lookup(t.Lookup)("KUBERNETES_SERVICE_HOST")
		port, _ := lookup(t.Lookup)("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return "", &stile.Error{Op: requestToken, Hint: "run in a Kubernetes pod, or name the API server",
				Err: fmt.Errorf("%w: this is no Kubernetes pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set", stile.ErrNoIdentity)}
		}
		mustBe = net.JoinHostPort(host, port)
		raw = "https://" + mustBe
	}
	u, err := safeURL(raw)
	switch {
	case err == nil && u.RawQuery != "":
		err = errors.New("it has a query")
	case err == nil && mustBe != "" && u.Host != mustBe:
		err = errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no host and port")
	}
	if err != nil {
		return "", misused("the API server's URL: %w", err)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

func isNamespace(s string) bool { return shape.Name(s, 1, 63, "a-z0-9-") }

func isAccount(s string) bool { return shape.Name(s, 1, 253, "a-z0-9.-") }

// account finds out whose token is wanted. Names are checked, so that none becomes another path at the API server.
func (t *TokenRequest) account(bearer string) (namespace, account string, err error) {
	namespace, account = t.Namespace, t.ServiceAccount
	if account == "" {
		// The subject is system:serviceaccount:NAMESPACE:NAME.
		claims, err := jwt.Unverified(bearer)
		parts := strings.Split(claims.Subject, ":")
		if err != nil || len(parts) != 4 || parts[0] != "system" || parts[1] != "serviceaccount" {
			return "", "", misused("the token in %s does not say whose it is: name the service account", t.dir())
		}
		account = parts[3]
	}
	if namespace == "" {
		if namespace, err = t.read("namespace"); err != nil {
			return "", "", err
		}
	}
	switch {
	case !isNamespace(namespace):
		return "", "", misused("namespace %.100q: want up to 63 lower-case letters, digits and hyphens", namespace)
	case !isAccount(account):
		return "", "", misused("service account %.100q: want the name of a Kubernetes service account", account)
	}
	return namespace, account, nil
}

func (t *TokenRequest) dir() string { return cmp.Or(t.Dir, ServiceAccountDir) }

func (t *TokenRequest) read(name string) (string, error) {
	path := filepath.Join(t.dir(), name)
	content, err := readFile(path)
	if err != nil {
		return "", &stile.Error{Op: requestToken, Err: fmt.Errorf("%w: the file %s: %w", stile.ErrNoIdentity, path, err),
			Hint: "let the pod have its service account's files: automountServiceAccountToken: true"}
	}
	return strings.TrimSpace(string(content)), nil
}

// transport trusts the cluster's own CA, which may be replaced at any time.
func (t *TokenRequest) transport() (*http.Transport, error) {
	bundle, err := t.read("ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(bundle)) {
		return nil, &stile.Error{Op: requestToken, Err: fmt.Errorf("%w: the file %s holds no certificate", stile.ErrNoIdentity, filepath.Join(t.dir(), "ca.crt"))}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}

// refusal reads a Kubernetes Status.
func (t *TokenRequest) refusal(q remote.Request, res *remote.Response) error {
	var status struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	if json.Unmarshal(res.Body, &status) != nil {
		return q.Refusal(res, "", "an answer without a Kubernetes status", "")
	}
	hint := ""
	switch res.Status {
	case http.StatusForbidden:
		hint = "give the pod's account a Role with resources: [serviceaccounts/token], verbs: [create], or mount a projected token"
	case http.StatusUnauthorized:
		hint = "the token in " + t.dir() + " is not, or no longer, one of this cluster's"
	case http.StatusNotFound:
		hint = "name a service account that exists"
	}
	return q.Refusal(res, status.Reason, status.Message, hint)
}

func misused(format string, args ...any) error {
	return &stile.Error{Op: requestToken, Err: fmt.Errorf("%w: %w", stile.ErrMisuse, fmt.Errorf(format, args...))}
}
