// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

const (
	maxRequestBody = 3 << 20 // bytes, of any request to the API server
	anonymous      = "system:anonymous"
)

// A tokenRequest is authentication.k8s.io/v1 TokenRequest, both ways.
type tokenRequest struct {
	Kind       string       `json:"kind"`
	APIVersion string       `json:"apiVersion"`
	Metadata   metadata     `json:"metadata"`
	Spec       tokenSpec    `json:"spec"`
	Status     *tokenStatus `json:"status,omitempty"`
}

type metadata struct {
	Name              string `json:"name,omitempty"`
	Namespace         string `json:"namespace,omitempty"`
	CreationTimestamp string `json:"creationTimestamp,omitempty"`
}

type tokenSpec struct {
	Audiences         []string     `json:"audiences"`
	ExpirationSeconds *int64       `json:"expirationSeconds"`
	BoundObjectRef    *boundObject `json:"boundObjectRef"`
}

type boundObject struct {
	Kind       string `json:"kind,omitempty"`
	APIVersion string `json:"apiVersion,omitempty"`
	Name       string `json:"name,omitempty"`
	UID        string `json:"uid,omitempty"`
}

type tokenStatus struct {
	Token               string `json:"token"`
	ExpirationTimestamp string `json:"expirationTimestamp"`
}

// An apiCall is one request to the API server.
type apiCall struct {
	*ClusterServer
	r     *http.Request
	entry journal.Entry
}

// ServeHTTP is the API server. It knows one thing: to create tokens of service accounts, for who may.
// Source: Kubernetes API, TokenRequest; k8s.io/kubernetes pkg/registry/core/serviceaccount/storage.
func (s *ClusterServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &apiCall{ClusterServer: s, r: r, entry: journal.Entry{Time: s.directory.now(), Cloud: "Kubernetes", Service: "API server", Operation: "unknown path"}}
	answer, err := c.answer()
	status, body := http.StatusCreated, any(answer)
	if err != nil {
		refused := asStatus(err)
		status, body = refused.Code, refused
		c.entry.Code, c.entry.Message = refused.Reason, refused.Message
	}
	c.entry.Status = status
	s.directory.journal.Add(c.entry) // first, so that whoever has the answer finds the entry
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache, private")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (c *apiCall) answer() (*tokenRequest, error) {
	whose, known := tokenPath(c.r.URL.Path)
	caller, err := c.authenticate()
	if err != nil {
		return nil, err
	}
	if !known {
		c.entry.Fail("the lab's API server has something at this path")
		return nil, notThere()
	}
	c.entry.Operation = "create serviceaccounts/token"
	if c.r.Method != http.MethodPost {
		c.entry.Fail("tokens are created with POST")
		return nil, methodNotAllowed()
	}
	if err := c.authorize(caller, whose); err != nil {
		return nil, err
	}
	q, err := c.read(whose)
	if err != nil {
		return nil, err
	}
	return c.create(whose, q)
}

// tokenPath reads /api/v1/namespaces/NAMESPACE/serviceaccounts/NAME/token.
func tokenPath(path string) (Account, bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 8 || strings.Join(append(slices.Clone(parts[:4]), parts[5], parts[7]), "/") != "/api/v1/namespaces/serviceaccounts/token" || parts[4] == "" || parts[6] == "" {
		return Account{}, false
	}
	return Account{parts[4], parts[6]}, true
}

// authenticate tells who calls. Nobody is system:anonymous, who is known and has no rights; a bad token is refused.
func (c *apiCall) authenticate() (user string, err error) {
	header := c.r.Header.Get("Authorization")
	raw, bearer := cutFold(header, "Bearer ")
	if !bearer || strings.TrimSpace(raw) == "" {
		c.entry.Caller = anonymous
		c.entry.OK("the request carries no bearer token, so its caller is %s", anonymous)
		return anonymous, nil
	}
	user, why := c.reviewToken(strings.TrimSpace(raw))
	if why != nil {
		c.entry.Fail("the bearer token is one of this cluster's for its API server: %v", why)
		return "", unauthorized()
	}
	c.entry.Caller = user
	c.entry.OK("the bearer token is %s's, in force, and made out to %s", user, c.cluster.APIAudience)
	return user, nil
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// reviewToken checks a token as the API server does: against its own keys, then whether whoever it names still exists.
func (c *apiCall) reviewToken(raw string) (user string, why error) {
	claims, err := oidc.Verifier{Net: pagesOf{c.issuer.made()}, Algorithms: []string{"RS256"}}.Verify(c.r.Context(), c.cluster.Issuer, raw)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	var t struct {
		Issuer    string   `json:"iss"`
		Subject   string   `json:"sub"`
		Audiences []string `json:"aud"`
		Expires   int64    `json:"exp"`
		NotBefore int64    `json:"nbf"`
		About     struct {
			Namespace string            `json:"namespace"`
			Account   map[string]string `json:"serviceaccount"`
			Pod       map[string]string `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(text, &t) != nil {
		return "", errors.New("its claims are not those of a service account token")
	}
	now := c.directory.clock().Unix()
	account := Account{t.About.Namespace, t.About.Account["name"]}
	switch {
	case t.Issuer != c.cluster.Issuer:
		return "", errors.New("another issuer")
	case now >= t.Expires:
		return "", fmt.Errorf("it expired %d s ago", now-t.Expires)
	case now < t.NotBefore:
		return "", errors.New("it is not valid yet")
	case !slices.Contains(t.Audiences, c.cluster.APIAudience):
		return "", fmt.Errorf("it is for %.200q", t.Audiences)
	case t.Subject != account.Subject():
		return "", errors.New("its subject is not the service account it names")
	}
	return t.Subject, c.alive(account, t.About.Account["uid"], t.About.Pod)
}

func (c *apiCall) alive(a Account, uid string, pod map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.accounts[a] || uid != c.reference("serviceaccount", a.Namespace, a.Name)["uid"] {
		return errors.New("its service account is gone")
	}
	if pod == nil {
		return nil
	}
	if p := c.pods[podName{a.Namespace, pod["name"]}]; p == nil || p.uid != pod["uid"] {
		return errors.New("its pod is gone")
	}
	return nil
}

// pagesOf lets the API server read its own keys without a network.
type pagesOf struct{ issuer *oidc.Issuer }

func (p pagesOf) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.issuer.Handler().ServeHTTP(w, r)
	return w.Result(), nil
}

func (c *apiCall) authorize(user string, whose Account) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for who, list := range c.creators {
		if who.Subject() == user && list[whose] {
			c.entry.OK("a Role lets %s create tokens of %s in %s", user, whose.Name, whose.Namespace)
			return nil
		}
	}
	c.entry.Fail("a Role lets %s create tokens of %s in %s", user, clip(whose.Name, 128), clip(whose.Namespace, 64))
	return forbidden(user, whose)
}

func (c *apiCall) read(whose Account) (tokenRequest, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind != "application/json" && (err == nil || c.r.Header.Get("Content-Type") != "") {
		c.entry.Fail("the body is JSON, by its Content-Type")
		return tokenRequest{}, unsupportedMedia()
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, maxRequestBody+1))
	if err != nil || len(body) > maxRequestBody {
		c.entry.Fail("the body is at most %d bytes", maxRequestBody)
		return tokenRequest{}, tooLarge()
	}
	var q tokenRequest
	if json.Unmarshal(body, &q) != nil {
		c.entry.Fail("the body is a TokenRequest")
		return q, badRequest("the object provided is unrecognized (must be of type TokenRequest): couldn't get version/kind; json parse error")
	}
	switch {
	case q.APIVersion != "" && q.APIVersion != "authentication.k8s.io/v1", q.Kind != "" && q.Kind != "TokenRequest":
		c.entry.Fail("the body is an authentication.k8s.io/v1 TokenRequest")
		return q, badRequest(fmt.Sprintf("%s in version %q cannot be handled as a TokenRequest: no kind %q is registered for version %q in scheme", clip(q.Kind, 64), clip(q.APIVersion, 64), clip(q.Kind, 64), clip(q.APIVersion, 64)))
	case q.Metadata.Namespace != "" && q.Metadata.Namespace != whose.Namespace:
		c.entry.Fail("the body's namespace is the path's")
		return q, badRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return q, c.validate(q)
}

// validate is ValidateTokenRequest of k8s.io/kubernetes pkg/apis/authentication/validation.
func (c *apiCall) validate(q tokenRequest) error {
	if q.Spec.ExpirationSeconds == nil {
		return nil
	}
	var words string
	seconds := *q.Spec.ExpirationSeconds
	switch {
	case seconds < int64(shortestTokenLife/time.Second):
		words = "may not specify a duration less than 10 minutes"
	case seconds > int64(longestTokenLife/time.Second):
		words = "may not specify a duration larger than 2^32 seconds"
	default:
		return nil
	}
	c.entry.Fail("the life asked for, %d s, is one that Kubernetes gives: it %s", seconds, words)
	return invalid(q.Metadata.Name, "spec.expirationSeconds", fmt.Sprintf("Invalid value: %d: %s", seconds, words))
}

func (c *apiCall) create(whose Account, q tokenRequest) (*tokenRequest, error) {
	pod, err := c.bound(whose, q.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	if len(q.Spec.Audiences) == 0 {
		q.Spec.Audiences = []string{c.cluster.APIAudience}
	}
	life := usualTokenLife
	if q.Spec.ExpirationSeconds != nil {
		life = time.Duration(*q.Spec.ExpirationSeconds) * time.Second
	}
	life = c.shortened(life)
	raw, issued, expires, err := c.token(binding{account: whose, pod: pod, audiences: q.Spec.Audiences, life: life})
	if err != nil {
		return nil, err
	}
	c.entry.OK("so it gets a token of %s for %.200q, good for %v", whose.Subject(), q.Spec.Audiences, life)
	seconds := int64(life / time.Second)
	q.Spec.ExpirationSeconds = &seconds
	return &tokenRequest{Kind: "TokenRequest", APIVersion: "authentication.k8s.io/v1", Spec: q.Spec,
		Metadata: metadata{Name: whose.Name, Namespace: whose.Namespace, CreationTimestamp: issued.Format(time.RFC3339)},
		Status:   &tokenStatus{Token: raw, ExpirationTimestamp: expires.Format(time.RFC3339)}}, nil
}

// bound finds the account, and the pod that the token shall end with, if one is named.
func (c *apiCall) bound(whose Account, ref *boundObject) (*Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.accounts[whose] {
		c.entry.Fail("service account %s exists in %s", clip(whose.Name, 128), clip(whose.Namespace, 64))
		return nil, notFound("serviceaccounts", whose.Name)
	}
	if ref == nil {
		return nil, nil
	}
	p := c.pods[podName{whose.Namespace, ref.Name}]
	switch {
	case ref.Kind != "Pod" || ref.APIVersion != "v1":
		c.entry.Fail("the token is bound to a pod, which is all that the lab has")
		return nil, badRequest(fmt.Sprintf("cannot bind token to object of type %s, Kind=%s", clip(ref.APIVersion, 64), clip(ref.Kind, 64)))
	case p == nil:
		c.entry.Fail("the pod to bind to exists")
		return nil, notFound("pods", ref.Name)
	case p.account != whose:
		c.entry.Fail("the pod to bind to runs as the account")
		return nil, badRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with serviceaccount %q", whose.Name, p.account.Name))
	case ref.UID != "" && ref.UID != p.uid:
		c.entry.Fail("the pod to bind to has the uid named")
		return nil, conflict("pods", ref.Name, fmt.Sprintf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", clip(ref.UID, 64)))
	}
	return p, nil
}
