// SPDX-License-Identifier: Apache-2.0

package labaws

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/stile-project/stile/lab/journal"
	"github.com/stile-project/stile/lab/oidc"
	awstrust "github.com/stile-project/stile/trust/aws"
)

// agentHosts are where the agent says it may be called.
var agentHosts = []string{"169.254.170.23", "fd00:ec2::23"}

// answer is the agent and, behind it, EKS's AssumeRoleForPodIdentity.
func (s *ClusterServer) answer(r *http.Request, e *journal.Entry) (Keys, error) {
	if r.URL.Path != agentPath || r.Method != http.MethodGet {
		e.Fail("credentials are read with GET at %s", agentPath)
		return Keys{}, refuse(http.StatusNotFound, "", "404 page not found")
	}
	if host := hostname(r.Host); !slices.Contains(agentHosts, host) && !isLoopback(host) {
		e.Fail("the agent is called by its own address: %.64q is not", host)
		return Keys{}, refuse(http.StatusForbidden, "", "Access Denied. Called agent through invalid address, please use either %v address not %.64s", agentHosts, host)
	}
	token := r.Header.Get("Authorization")
	if token == "" {
		e.Fail("the Authorization header holds the service account's token: it is empty")
		return Keys{}, refuse(http.StatusBadRequest, "", "Service account token cannot be empty")
	}
	account, err := s.authenticate(r, token, e)
	if err != nil {
		return Keys{}, err
	}
	e.Caller = "system:serviceaccount:" + account.namespace + ":" + account.name
	s.mu.Lock()
	roleARN, ok := s.roles[account]
	s.mu.Unlock()
	if !ok {
		e.Fail("%s has a Pod Identity association with a role", e.Caller)
		return Keys{}, refuse(http.StatusNotFound, "ResourceNotFoundException", "No association found for service account %s in namespace %s", account.name, account.namespace)
	}
	return s.assume(r, account, roleARN, e)
}

// authenticate holds the token to what EKS wants of it: this cluster's signature, the agent's audience, its time.
func (s *ClusterServer) authenticate(r *http.Request, token string, e *journal.Entry) (serviceAccount, error) {
	if _, _, err := oidc.Unverified(token); err != nil {
		e.Fail("the token is a JSON Web Token: %v", err)
		return serviceAccount{}, refuse(http.StatusBadRequest, "", "Service account token cannot be parsed: token is malformed")
	}
	invalid := func(why string) error { return refuse(http.StatusBadRequest, "InvalidTokenException", "%s", why) }
	claims, err := oidc.Verifier{Net: reach{s.cloud.net}}.Verify(r.Context(), s.Issuer(), token)
	if err != nil {
		e.Fail("the token is signed with a key of cluster %s: %v", s.cluster.Name, err)
		return serviceAccount{}, invalid("The token's signature could not be verified.")
	}
	e.OK("the token is signed with a key of cluster %s", s.cluster.Name)
	if !slices.Contains(stringList(claims["aud"]), podAudience) {
		e.Fail("the token is made out to %s", podAudience)
		return serviceAccount{}, invalid("The token included in the request is invalid: unexpected audience.")
	}
	if seconds, ok := wholeNumber(claims["exp"]); !ok || !s.cloud.now().Before(time.Unix(seconds, 0)) {
		e.Fail("the token has not expired")
		return serviceAccount{}, refuse(http.StatusBadRequest, "ExpiredTokenException", "The token included in the request is expired.")
	}
	account, err := boundAccount(claims)
	if err != nil {
		e.Fail("the token names a service account and a pod: %v", err)
		return serviceAccount{}, invalid("The token included in the request is invalid: missing claim.")
	}
	e.OK("it is made out to %s, for service account %s in namespace %s", podAudience, account.name, account.namespace)
	return account, nil
}

func boundAccount(claims map[string]any) (serviceAccount, error) {
	bound, _ := claims["kubernetes.io"].(map[string]any)
	account, _ := bound["serviceaccount"].(map[string]any)
	pod, _ := bound["pod"].(map[string]any)
	namespace, _ := bound["namespace"].(string)
	name, _ := account["name"].(string)
	if podName, _ := pod["name"].(string); namespace == "" || name == "" || podName == "" {
		return serviceAccount{}, errors.New("it is not bound to a pod")
	}
	return serviceAccount{namespace, name}, nil
}

func stringList(v any) []string {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	items, _ := v.([]any)
	var list []string
	for _, item := range items {
		if text, ok := item.(string); ok {
			list = append(list, text)
		}
	}
	return list
}

// assume opens a session of the role for the pod, tagged with where it runs; all the tags are transitive.
// Source: EKS User Guide, "Grant Pods access to AWS resources based on tags".
func (s *ClusterServer) assume(r *http.Request, account serviceAccount, roleARN string, e *journal.Entry) (Keys, error) {
	clusterARN := arn{partitionOf(s.cluster.Region), "eks", s.cluster.Region, s.cluster.Account, "cluster/" + s.cluster.Name}.String()
	q := sessionRequest{roleARN: roleARN, name: sessionNameOf(s.cluster.Name, account.pod()), tags: map[string]string{}}
	keys := []string{"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-pod-name", "kubernetes-pod-uid", "kubernetes-service-account"}
	values := []string{clusterARN, s.cluster.Name, account.namespace, account.pod(), uuidOf("pod " + account.namespace + " " + account.name), account.name}
	if err := q.addTags(keys, values, keys); err != nil {
		return Keys{}, err
	}
	ctx := s.cloud.requestContext(r, endpoint{service: "sts", region: s.cluster.Region, partition: partitionOf(s.cluster.Region)}, nil)
	ctx = with(with(ctx, q.context()), map[string][]string{"aws:SourceArn": {clusterARN}, "aws:SourceAccount": {s.cluster.Account}})
	role := s.cloud.findRole(roleARN)
	if role == nil {
		e.Fail("role %s exists", roleARN)
		return Keys{}, refuse(http.StatusBadRequest, "AccessDeniedException", "Unauthorized Exception! EKS does not have permissions to assume the associated role.")
	}
	for _, action := range q.actions("sts:AssumeRole") {
		if !trusts(role, awstrust.Principal{Kind: awstrust.Service, ID: podAudience}, action, ctx, e) {
			return Keys{}, refuse(http.StatusBadRequest, "AccessDeniedException", "Unauthorized Exception! EKS does not have permissions to assume the associated role.")
		}
	}
	given := s.cloud.mint(credential{who: role.assumedBy(q.name), tags: q.tags, transitive: q.transitive}, deliveredLife, 0)
	e.OK("keys of %s are given out, good until %s", roleARN, given.Expires.Format(time.RFC3339))
	return given, nil
}

// sessionNameOf is eks-CLUSTER-POD-ID, with the names cut to fit 64 characters.
func sessionNameOf(cluster, pod string) string {
	return "eks-" + cluster[:min(len(cluster), 10)] + "-" + pod[:min(len(pod), 11)] + "-" + newRequestID()
}

func hostname(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.Atoi(port); err == nil {
			return name
		}
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
