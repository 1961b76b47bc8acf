// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/lab/oidc"
)

// A Cluster is a Kubernetes cluster, as far as the identity of its pods is concerned.
type Cluster struct {
	Name string // required

	// Issuer is the URL of the issuer of its service accounts' tokens: [EKSIssuer], [GKEIssuer], or any https URL where
	// someone publishes the discovery document. Required.
	Issuer string

	// APIServer is the host name that pods reach the API server by. Empty: kubernetes.NAME.example.
	APIServer string

	// APIAudience is whom a token for the API server is made out to. Empty: the issuer, as the API server has it.
	APIAudience string

	// MaxTokenLife shortens the tokens that are asked for. Zero: as long as 2^32 seconds.
	// Source: kube-apiserver, --service-account-max-token-expiration.
	MaxTokenLife time.Duration
}

// EKSIssuer is the issuer of an EKS cluster: a host of the region's, and an id of 32 digits made of the name.
// Source: EKS User Guide, "Create an IAM OIDC provider for your cluster".
func EKSIssuer(region, cluster string) string {
	return "https://oidc.eks." + region + ".amazonaws.com/id/" + strings.ToUpper(hexOf("issuers "+region+cluster, 32))
}

// GKEIssuer is the issuer of a GKE cluster.
// Source: GKE documentation, "Workload Identity Federation for GKE"; Kubernetes Engine API, projects.locations.clusters.getJwks.
func GKEIssuer(project, location, cluster string) string {
	return "https://container.googleapis.com/v1/projects/" + project + "/locations/" + location + "/clusters/" + cluster
}

// keysOf is where each kind of cluster publishes its keys.
func keysOf(issuerURL string) string {
	switch {
	case strings.HasPrefix(issuerURL, "https://oidc.eks."):
		return issuerURL + "/keys"
	case strings.HasPrefix(issuerURL, "https://container.googleapis.com/"):
		return issuerURL + "/jwks"
	}
	return issuerURL + "/openid/v1/jwks" // the API server's own path
}

var (
	kubeName      = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	kubeSubdomain = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$`)
)

// An Account is a Kubernetes service account.
type Account struct{ Namespace, Name string }

// Subject is the sub of the account's tokens, and its user name.
func (a Account) Subject() string { return "system:serviceaccount:" + a.Namespace + ":" + a.Name }

func (a Account) check() error {
	if !kubeName.MatchString(a.Namespace) || !kubeSubdomain.MatchString(a.Name) {
		return fmt.Errorf("service account %.128q in namespace %.64q: want names that Kubernetes takes", a.Name, a.Namespace)
	}
	return nil
}

// A ClusterServer is a cluster: its issuer, its pods and, as an http.Handler, its API server.
//
// Source: Kubernetes documentation, "Managing Service Accounts" and "Configure Service Accounts for Pods".
type ClusterServer struct {
	directory *Directory
	cluster   Cluster
	issuer    *issuer
	ca        func() (*clusterCA, error)

	mu       sync.Mutex
	accounts map[Account]bool
	pods     map[podName]*Pod
	creators map[Account]map[Account]bool // who may create tokens, and of whom
}

type podName struct{ namespace, name string }

// AddCluster makes a cluster. Its issuer and its API server answer under their own host names.
func (d *Directory) AddCluster(c Cluster) (*ClusterServer, error) {
	if !kubeSubdomain.MatchString(c.Name) {
		return nil, fmt.Errorf("adding cluster %.64q: want lower-case letters, digits and hyphens", c.Name)
	}
	if c.APIServer == "" {
		c.APIServer = "kubernetes." + c.Name + ".example"
	}
	if c.APIAudience == "" {
		c.APIAudience = c.Issuer
	}
	i, err := d.newIssuer("Kubernetes", c.Issuer, oidc.JWKSURI(keysOf(c.Issuer)))
	if err != nil {
		return nil, fmt.Errorf("adding cluster %s: %w", c.Name, err)
	}
	s := &ClusterServer{directory: d, cluster: c, issuer: i, accounts: map[Account]bool{}, pods: map[podName]*Pod{}, creators: map[Account]map[Account]bool{}}
	s.ca = sync.OnceValues(func() (*clusterCA, error) { return newClusterCA(c.Name, d.clock()) })
	for _, path := range []string{"/api", "/apis"} {
		if err := d.add(c.APIServer, path, s); err != nil {
			return nil, fmt.Errorf("adding cluster %s: %w", c.Name, err)
		}
	}
	return s, nil
}

// Issuer is the iss of the cluster's tokens.
func (s *ClusterServer) Issuer() string { return s.cluster.Issuer }

// APIServer is the API server's URL.
func (s *ClusterServer) APIServer() string { return "https://" + s.cluster.APIServer }

// AddAccount makes a service account, which has no rights.
func (s *ClusterServer) AddAccount(a Account) error {
	if err := a.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[a] = true
	return nil
}

// AllowTokens gives who the verb create on serviceaccounts/token of whose account, by a Role with that resource name.
func (s *ClusterServer) AllowTokens(who, whose Account) error {
	if err := who.check(); err != nil {
		return err
	}
	if err := whose.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.creators[who] == nil {
		s.creators[who] = map[Account]bool{}
	}
	s.creators[who][whose] = true
	return nil
}

// A binding is what a token says beside its account: the pod that it lives and dies with, if any.
type binding struct {
	account   Account
	pod       *Pod
	audiences []string
	life      time.Duration
}

// token makes a service-account token. aud is a list even of one.
func (s *ClusterServer) token(b binding) (raw string, issued, expires time.Time, err error) {
	issued = s.directory.now()
	expires = issued.Add(b.life)
	about := map[string]any{"namespace": b.account.Namespace, "serviceaccount": s.reference("serviceaccount", b.account.Namespace, b.account.Name)}
	if b.pod != nil {
		about["pod"] = map[string]string{"name": b.pod.name.name, "uid": b.pod.uid}
		about["node"] = s.reference("node", "", b.pod.node)
	}
	raw, err = s.Token(map[string]any{
		"iss": s.cluster.Issuer, "sub": b.account.Subject(), "aud": b.audiences, "jti": newUUID(),
		"iat": issued.Unix(), "nbf": issued.Unix(), "exp": expires.Unix(), "kubernetes.io": about,
	})
	return raw, issued, expires, err
}

func (s *ClusterServer) reference(kind, namespace, name string) map[string]string {
	return map[string]string{"name": name, "uid": uuidOf(s.cluster.Issuer + " " + kind + " " + namespace + " " + name)}
}

// Token signs claims with the cluster's key, whatever they are: for tests of what is refused.
func (s *ClusterServer) Token(claims map[string]any) (string, error) {
	return s.issuer.made().Sign(maps.Clone(claims))
}
