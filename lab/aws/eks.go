// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
)

const (
	podAudience  = "pods.eks.amazonaws.com"
	irsaAudience = "sts.amazonaws.com"
	podTokenLife = 24 * time.Hour

	agentAddress = "http://169.254.170.23"
	agentPath    = "/v1/credentials"

	kubernetesFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
	irsaTokenFile    = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
	podTokenFile     = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
)

var kubernetesName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$`)

// A Cluster is an EKS cluster, as far as the identity of its pods is concerned.
type Cluster struct {
	Account string // 12 digits
	Name    string
	Region  string
}

// A ClusterServer is a cluster: the issuer of its service accounts' tokens, which answers under its own host name, and
// the Pod Identity agent of its nodes, which it serves itself.
//
// Source: EKS User Guide, "IAM roles for service accounts" and "EKS Pod Identity"; eks-pod-identity-agent.
type ClusterServer struct {
	cloud   *Cloud
	cluster Cluster
	oidc    *oidc.Issuer

	mu    sync.Mutex
	roles map[serviceAccount]string // by association
}

type serviceAccount struct{ namespace, name string }

// EKS makes a cluster.
func (c *Cloud) EKS(k Cluster) (*ClusterServer, error) {
	switch {
	case !accountPattern.MatchString(k.Account):
		return nil, fmt.Errorf("making cluster %.64q: account %.32q: want 12 digits", k.Name, k.Account)
	case partitionOf(k.Region) == "":
		return nil, fmt.Errorf("making cluster %.64q: no region %.32q", k.Name, k.Region)
	case !kubernetesName.MatchString(k.Name):
		return nil, fmt.Errorf("making cluster %.64q: want lower-case letters, digits and hyphens", k.Name)
	}
	host := "oidc.eks." + k.Region + ".amazonaws.com"
	path := "/id/" + clusterID(k.Account+" "+k.Region+" "+k.Name)
	s := &ClusterServer{cloud: c, cluster: k, oidc: oidc.NewIssuer("https://"+host+path, c.clock), roles: map[serviceAccount]string{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts, _ := c.issuers[host].(byPath)
	if hosts == nil {
		hosts = byPath{}
	}
	hosts = hosts.with(path, s.oidc.Handler())
	c.issuers[host] = hosts
	return s, nil
}

// byPath answers for the issuers of several clusters under one host name. It does not change once made.
type byPath map[string]http.Handler

func (b byPath) with(path string, h http.Handler) byPath {
	more := byPath{path: h}
	for p, old := range b {
		if p != path {
			more[p] = old
		}
	}
	return more
}

func (b byPath) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for path, h := range b {
		if strings.HasPrefix(r.URL.Path, path+"/") {
			h.ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

// Issuer is the URL that the cluster's tokens are issued by: what IRSA registers as an OIDC provider, with client id
// sts.amazonaws.com.
func (s *ClusterServer) Issuer() string { return s.oidc.URL() }

// Token is a projected token of a service account, as the kubelet writes one.
// Source: Kubernetes documentation, "Managing Service Accounts", bound tokens.
func (s *ClusterServer) Token(namespace, name string, life time.Duration, audiences ...string) (string, error) {
	account := serviceAccount{namespace, name}
	now := s.cloud.now()
	return s.oidc.Sign(map[string]any{
		"iss": s.Issuer(), "sub": "system:serviceaccount:" + namespace + ":" + name, "aud": audiences, "jti": newRequestID(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
		"kubernetes.io": map[string]any{
			"namespace":      namespace,
			"node":           map[string]string{"name": "ip-10-0-0-10." + s.cluster.Region + ".compute.internal", "uid": uuidOf("node " + s.Issuer())},
			"pod":            map[string]string{"name": account.pod(), "uid": uuidOf("pod " + namespace + " " + name)},
			"serviceaccount": map[string]string{"name": name, "uid": uuidOf("account " + namespace + " " + name)},
		},
	})
}

func (a serviceAccount) pod() string { return a.name + "-7d4b9c8f6-x2x7k" }

// Associate lets a service account's pods have a role by Pod Identity. The role's trust policy has to let
// pods.eks.amazonaws.com do sts:AssumeRole and sts:TagSession, which is seen when the first pod asks.
func (s *ClusterServer) Associate(namespace, name, roleARN string) error {
	if !kubernetesName.MatchString(namespace) || !kubernetesName.MatchString(name) {
		return fmt.Errorf("associating %.64q in %.64q: want names that Kubernetes takes", name, namespace)
	}
	a, _, _, err := parseRoleARN(roleARN)
	if err == nil && a.account != s.cluster.Account {
		err = fmt.Errorf("role ARN %.128q: the role is in another account than the cluster", roleARN)
	}
	if err != nil {
		return fmt.Errorf("associating %.64q in %.64q: %w", name, namespace, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[serviceAccount{namespace, name}] = roleARN
	return nil
}

// Pod is what every pod of a service account finds, one without any identity in AWS too.
func (s *ClusterServer) Pod(namespace, name string) (Environment, error) {
	token, err := s.Token(namespace, name, time.Hour, "https://kubernetes.default.svc")
	if err != nil {
		return Environment{}, err
	}
	return Environment{
		Variables: map[string]string{"KUBERNETES_SERVICE_HOST": "10.100.0.1", "KUBERNETES_SERVICE_PORT": "443"},
		Files:     map[string]string{kubernetesFolder + "/token": token, kubernetesFolder + "/namespace": namespace},
	}, nil
}

// PodIdentity is what a pod finds whose service account has an association.
func (s *ClusterServer) PodIdentity(namespace, name string) (Environment, error) {
	e, err := s.Pod(namespace, name)
	if err != nil {
		return Environment{}, err
	}
	if e.Files[podTokenFile], err = s.Token(namespace, name, podTokenLife, podAudience); err != nil {
		return Environment{}, err
	}
	s.webhook(e)
	e.Variables[fullURI] = agentAddress + agentPath
	e.Variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = podTokenFile
	return e, nil
}

// IRSA is what a pod finds whose service account is annotated with a role: a token for STS, and no keys.
func (s *ClusterServer) IRSA(namespace, name, roleARN string) (Environment, error) {
	e, err := s.Pod(namespace, name)
	if err != nil {
		return Environment{}, err
	}
	if e.Files[irsaTokenFile], err = s.Token(namespace, name, podTokenLife, irsaAudience); err != nil {
		return Environment{}, err
	}
	s.webhook(e)
	e.Variables["AWS_ROLE_ARN"], e.Variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = roleARN, irsaTokenFile
	return e, nil
}

// webhook adds what both webhooks add.
func (s *ClusterServer) webhook(e Environment) {
	e.Variables["AWS_REGION"], e.Variables["AWS_DEFAULT_REGION"] = s.cluster.Region, s.cluster.Region
	e.Variables["AWS_STS_REGIONAL_ENDPOINTS"] = "regional"
}

// ServeHTTP is the Pod Identity agent, as it answers at 169.254.170.23 on every node. It answers under loopback names as
// well, where a lab listens for other programs.
func (s *ClusterServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &journal.Entry{Time: s.cloud.clock(), Cloud: "AWS", Service: "EKS Pod Identity", Operation: "pod credentials"}
	keys, err := s.answer(r, e)
	if f := asFault(err); f != nil {
		e.Status, e.Code, e.Message = f.Status, f.Code, f.Message
		http.Error(w, agentError(f), f.Status)
	} else {
		e.Status = http.StatusOK
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Token":%q,"AccountId":%q,"Expiration":%q}`,
			keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, s.cluster.Account, keys.Expires.Format(time.RFC3339))
	}
	s.cloud.journal.Add(*e)
}

// agentError is the agent's own word, or EKS's as the agent passes it on: plain text, either way.
func agentError(f *fault) string {
	if f.Code == "" {
		return f.Message
	}
	return fmt.Sprintf("[%s]: (%s): %s, fault: client", newRequestID(), f.Code, f.Message)
}
