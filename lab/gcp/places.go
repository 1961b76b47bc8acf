// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/stile-project/stile/trust/gcp"
)

// A MetadataServer is what a workload finds at http://metadata.google.internal, in a place where the platform also
// tells it things through its environment.
type MetadataServer struct {
	http.Handler
	environment map[string]string
}

// Environment are the variables that the platform sets for the workload.
func (m *MetadataServer) Environment() map[string]string { return m.environment }

// A Service is a program on Cloud Run, or a function of Cloud Run functions.
type Service struct {
	Project        string // the project's id
	Region         string // such as europe-west1
	Name           string
	ServiceAccount string // its e-mail
	Function       string // the entry point's name, for a function; empty: a service of Cloud Run
}

// CloudRun starts an instance of a service. Its metadata server has what the container contract promises and no more:
// no zone, no attributes, no claims of a machine. It repeats an ID token until shortly before its end.
// Source: Cloud Run, "Container runtime contract".
func (c *Cloud) CloudRun(v Service) *MetadataServer {
	sum := sha256.Sum256([]byte(v.Project + "/" + v.Name))
	s := c.newMetadataServer(Machine{Project: v.Project, Name: v.Name, ServiceAccount: v.ServiceAccount, Scopes: []string{scopePlatform}}, hex.EncodeToString(sum[:]))
	s.bare, s.identity = true, s.repeatedIdentity
	s.instance = func() directory {
		return directory{"id": s.id, "region": s.within("regions", v.Region), "service-accounts": s.serviceAccounts()}
	}
	env := map[string]string{"K_SERVICE": v.Name, "K_REVISION": v.Name + "-00001-abc", "K_CONFIGURATION": v.Name, "PORT": "8080"}
	if v.Function != "" {
		env["FUNCTION_TARGET"], env["FUNCTION_SIGNATURE_TYPE"] = v.Function, "http"
	}
	return &MetadataServer{c.metadataHandler(s), env}
}

// An App is a service of App Engine's standard environment, of the second generation.
type App struct {
	Project        string // the project's id
	Zone           string // as App Engine names its own, such as eu2
	ServiceAccount string // its e-mail
	Runtime        string // such as go126; empty: go126
}

// AppEngine starts an instance of an app. Its metadata server has what App Engine documents and no more.
// Source: App Engine, "Accessing instance metadata".
func (c *Cloud) AppEngine(v App) *MetadataServer {
	s := c.newMetadataServer(Machine{Project: v.Project, Name: "default", ServiceAccount: v.ServiceAccount, Scopes: []string{scopePlatform}}, "")
	s.bare, s.identity = true, s.repeatedIdentity
	s.instance = func() directory {
		return directory{"zone": s.within("zones", v.Zone), "service-accounts": s.serviceAccounts()}
	}
	if v.Runtime == "" {
		v.Runtime = "go126"
	}
	return &MetadataServer{c.metadataHandler(s), map[string]string{
		"GAE_APPLICATION": "e~" + v.Project, "GAE_ENV": "standard", "GAE_INSTANCE": "00c61b117c", "GAE_RUNTIME": v.Runtime,
		"GAE_SERVICE": "default", "GAE_VERSION": "20261122t030405", "GOOGLE_CLOUD_PROJECT": v.Project, "PORT": "8081",
	}}
}

// repeatedIdentity signs an ID token with the e-mail in either format, and gives it again while it is good.
func (s *metadataServer) repeatedIdentity(q *call, sa ServiceAccount, audience string) (string, error) {
	t, kept, err := s.keep("identity "+audience, q.now, func() (keptToken, error) {
		text, err := s.cloud.idToken(sa, audience, sa.UniqueID, q.now, emailClaims(sa))
		return keptToken{text, q.now.Add(idTokenLife)}, err
	})
	if kept {
		q.entry.OK("this platform keeps ID tokens: the one given out before is good for another %s", spell(t.expires.Sub(q.now)))
	}
	return t.text, err
}

// A Pod is a workload on Google Kubernetes Engine with Workload Identity Federation.
type Pod struct {
	Project string // the project's id
	Zone    string // the node's, such as europe-west1-b
	Cluster string

	Namespace      string
	KubernetesName string // of the Kubernetes service account
	// ServiceAccount is the e-mail in the annotation iam.gke.io/gcp-service-account. Empty: the Kubernetes service
	// account is not linked, so the workload has no ID tokens.
	ServiceAccount string
}

// GKE starts a pod. The metadata server on its node answers for the pod, and not for the node.
//
// A linked pod gets its Google service account's tokens once serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME] has
// roles/iam.workloadIdentityUser on it. A pod that is not linked is known by the workload pool's name, and its access
// tokens are federated ones.
// Source: GKE, "About Workload Identity Federation for GKE".
func (c *Cloud) GKE(p Pod) *MetadataServer {
	s := c.newMetadataServer(Machine{Project: p.Project, Zone: p.Zone, Name: p.Cluster, ServiceAccount: p.ServiceAccount, Scopes: []string{scopePlatform}}, digits(p.Project+"/"+p.Cluster, 19))
	s.bare = true
	s.instance = func() directory {
		return directory{
			"attributes":       directory{"cluster-location": region(p.Zone), "cluster-name": p.Cluster, "cluster-uid": digits(p.Cluster, 16)},
			"hostname":         p.Cluster + "-node-1." + p.Zone + ".c." + p.Project + ".internal",
			"id":               number(s.id),
			"service-accounts": s.serviceAccounts(),
			"zone":             s.within("zones", p.Zone),
		}
	}
	pod := podAccount{p, s}
	s.serviceAccounts = func() directory {
		return s.accountPage(pod.email(), pod.serveToken, pod.serveIdentity)
	}
	return &MetadataServer{c.metadataHandler(s), map[string]string{
		"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOSTNAME": p.KubernetesName + "-0",
	}}
}

// A podAccount is a Kubernetes service account before Google.
type podAccount struct {
	Pod
	server *metadataServer
}

func (p podAccount) workloadPool() string { return p.Project + ".svc.id.goog" }

// email is the linked account's, or the name of the workload pool.
func (p podAccount) email() string {
	if p.ServiceAccount == "" {
		return p.workloadPool()
	}
	return p.ServiceAccount
}

func (p podAccount) principal() string {
	return "principal://iam.googleapis.com/" + p.pool() + "/subject/" + p.subject()
}

func (p podAccount) pool() string {
	return providerName{project: p.server.number, pool: p.workloadPool()}.poolName()
}

func (p podAccount) subject() string { return "ns/" + p.Namespace + "/sa/" + p.KubernetesName }

// members are the IAM members that name the pod. Source: GKE, "Principal identifiers for Workload Identity Federation".
func (p podAccount) members() []string {
	members := gcptrust.Attributes{Subject: p.subject()}.Members(p.pool())
	return append(members,
		"principalSet://iam.googleapis.com/"+p.pool()+"/namespace/"+p.Namespace,
		"serviceAccount:"+p.workloadPool()+"["+p.Namespace+"/"+p.KubernetesName+"]", "allUsers")
}

func (p podAccount) serveToken(q *call) (answer, error) {
	if p.ServiceAccount == "" {
		return p.serveFederated(q)
	}
	sa, err := p.linked(q, permGetAccessToken, "access")
	if err != nil {
		return answer{}, err
	}
	return p.server.serveToken(q, sa)
}

func (p podAccount) serveFederated(q *call) (answer, error) {
	q.entry.Caller = p.principal()
	t, _, err := p.server.keep("federated", q.now, func() (keptToken, error) {
		text := q.mint("d", accessToken{principal: p.principal(), members: p.members(), scopes: []string{scopePlatform}, issued: q.now, expires: q.now.Add(tokenLife)})
		return keptToken{text, q.now.Add(tokenLife)}, nil
	})
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("the Kubernetes service account is linked to no Google service account: its own identity gets a federated token")
	return compactJSON(map[string]any{"access_token": t.text, "expires_in": int(t.expires.Sub(q.now).Seconds()), "token_type": "Bearer"}), nil
}

// textUnlinked is what a node says to a pod that asks for an ID token and is not linked. The first sentence is known to
// the letter.
const textUnlinked = "Your Kubernetes service account (%s/%s) is not annotated with a target Google service account, which is a requirement for " +
	"retrieving Identity Tokens using Workload Identity.\nPlease add the iam.gke.io/gcp-service-account=[GSA_NAME]@[PROJECT_ID] annotation to your " +
	"Kubernetes service account.\nRefer to https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity\n"

func (p podAccount) serveIdentity(q *call) (answer, error) {
	if p.ServiceAccount == "" {
		q.entry.Caller = p.principal()
		return answer{}, q.refuse(plainError(http.StatusNotFound, fmt.Sprintf(textUnlinked, p.Namespace, p.KubernetesName)),
			"the Kubernetes service account %s/%s is linked to no Google service account, which alone has ID tokens", p.Namespace, p.KubernetesName)
	}
	sa, err := p.linked(q, permGetOpenIDToken, "identity")
	if err != nil {
		return answer{}, err
	}
	return p.server.serveIdentity(q, sa)
}

// linked checks that the pod may speak for its Google service account, as IAM Credentials would.
func (p podAccount) linked(q *call, permission, kind string) (ServiceAccount, error) {
	sa, known := q.findAccount(p.ServiceAccount)
	denied := plainError(http.StatusForbidden, "Unable to generate "+kind+" token; IAM returned 403 Forbidden: Permission '"+permission+"' denied on resource (or it may not exist).\n"+
		"This error could be caused by a missing IAM policy binding on the target IAM service account.\nFor more information, refer to the Workload Identity documentation:\n"+
		"\thttps://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#authenticating_to\n")
	if !known {
		return sa, q.refuse(denied, "there is no service account %s", clip(p.ServiceAccount, 128))
	}
	if !q.permitted(p.principal(), p.members(), permission, "serviceAccounts/"+sa.Email, "projects/"+sa.Project) {
		return sa, &refusal{denied}
	}
	return sa, nil
}

func plainError(status int, message string) answer {
	return answer{status: status, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(message), code: http.StatusText(status), message: message}
}
