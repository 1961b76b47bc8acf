// SPDX-License-Identifier: Apache-2.0

package fromoidc

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"time"

	"github.com/stile-project/stile"
)

// ServiceAccountDir is where Kubernetes mounts a pod's own token, namespace and the API server's CA.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// KubernetesFile is a [stile.Source] that reads the projected service-account token of a pod, anew for each exchange:
// the kubelet replaces it well before it expires. The volume fixes the audience, so it is checked:
//
//	volumes:
//	- name: stile
//	  projected:
//	    sources:
//	    - serviceAccountToken: {path: token, audience: AUDIENCE}
//
// A pod that may create tokens needs no such volume: see [TokenRequest].
// Source: Kubernetes documentation, "Configure Service Accounts for Pods", service account token volume projection.
type KubernetesFile struct {
	// Path is the token's. Empty: the pod's own token in [ServiceAccountDir], which most clusters make out to the API
	// server alone.
	Path string
	// Audience is the volume's, where that is another name than the target's own. Empty: the target's.
	Audience string
	// Clock tells whether the token is still good. Nil: time.Now.
	Clock func() time.Time
}

func (k *KubernetesFile) file() *File {
	return &File{Path: cmp.Or(k.Path, path.Join(ServiceAccountDir, "token")), Audience: k.Audience, Clock: k.Clock}
}

// CacheKey is that of a [File].
func (k *KubernetesFile) CacheKey() stile.Key { return k.file().CacheKey() }

// SubjectToken reads the pod's token and checks that it is for audience.
func (k *KubernetesFile) SubjectToken(_ context.Context, audience string) (stile.SubjectToken, error) {
	return k.file().subjectToken(audience, fmt.Sprintf("mount a projected volume with serviceAccountToken: {path: token, audience: %q}", cmp.Or(k.Audience, audience)))
}
