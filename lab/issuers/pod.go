// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"fmt"
	"path"
	"strings"
	"sync"
	"time"
)

const (
	// AccountFolder is where a pod finds its account's token for the API server, the cluster's CA and its namespace.
	AccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

	accountTokenLife  = 3607 * time.Second // of the token in AccountFolder; a figure of Kubernetes'
	shortestTokenLife = 10 * time.Minute
	longestTokenLife  = 1 << 32 * time.Second
	usualTokenLife    = time.Hour
	renewAfterDay     = 24 * time.Hour // the kubelet renews what is older, whatever its life
)

// A Projection is a projected volume's serviceAccountToken.
type Projection struct {
	Path     string        // absolute, in the pod's file system
	Audience string        // empty: the API server's
	Life     time.Duration // expirationSeconds: 10m to 2^32 s; zero: 1h
}

// A PodSpec is a pod, as far as its identity is concerned.
type PodSpec struct {
	Name        string  // empty: the account's, with a suffix
	Account     Account // whom it runs as; it has to exist
	Projections []Projection

	// NoToken is automountServiceAccountToken: false: AccountFolder is not there.
	NoToken bool
}

// A Pod is a running pod. The kubelet writes its files.
type Pod struct {
	cluster *ClusterServer
	name    podName
	node    string
	uid     string
	account Account

	mu     sync.Mutex
	mounts []*mount
}

// A mount is one projected token as the kubelet keeps it.
type mount struct {
	Projection
	token           string
	issued, expires time.Time
}

// Start starts a pod.
func (s *ClusterServer) Start(spec PodSpec) (*Pod, error) {
	if spec.Name == "" {
		spec.Name = spec.Account.Name + "-7d4b9c8f6-x2x7k"
	}
	p := &Pod{cluster: s, name: podName{spec.Account.Namespace, spec.Name}, node: "node-1", uid: newUUID(), account: spec.Account}
	if err := p.mount(spec); err != nil {
		return nil, fmt.Errorf("starting pod %.64q: %w", spec.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !kubeSubdomain.MatchString(spec.Name):
		return nil, fmt.Errorf("starting pod %.64q: want a name that Kubernetes takes", spec.Name)
	case !s.accounts[spec.Account]:
		return nil, fmt.Errorf("starting pod %s: there is no service account %.128q in namespace %.64q", spec.Name, spec.Account.Name, spec.Account.Namespace)
	case s.pods[p.name] != nil:
		return nil, fmt.Errorf("starting pod %s: there is one", spec.Name)
	}
	s.pods[p.name] = p
	return p, nil
}

func (p *Pod) mount(spec PodSpec) error {
	if !spec.NoToken {
		p.mounts = []*mount{{Projection: Projection{Path: AccountFolder + "/token", Life: accountTokenLife}}}
	}
	for _, m := range spec.Projections {
		if m.Life == 0 {
			m.Life = usualTokenLife
		}
		switch {
		case !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || strings.HasPrefix(m.Path, AccountFolder+"/"):
			return fmt.Errorf("projection %.128q: want an absolute path of its own", m.Path)
		case m.Life < shortestTokenLife:
			return fmt.Errorf("projection %s: expirationSeconds: may not specify a duration less than 10 minutes", m.Path)
		case m.Life > longestTokenLife:
			return fmt.Errorf("projection %s: expirationSeconds: may not specify a duration larger than 2^32 seconds", m.Path)
		}
		p.mounts = append(p.mounts, &mount{Projection: m})
	}
	for _, m := range p.mounts {
		if m.Audience == "" {
			m.Audience = p.cluster.cluster.APIAudience
		}
	}
	return nil
}

// Delete ends the pod. The API server takes its tokens no more; whoever checks a token by the issuer's keys alone does,
// until it expires.
func (p *Pod) Delete() {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	if p.cluster.pods[p.name] == p {
		delete(p.cluster.pods, p.name)
	}
}

// Account is whom the pod runs as.
func (p *Pod) Account() Account { return p.account }

// Variables are what every pod finds.
func (p *Pod) Variables() Variables {
	return Variables{"KUBERNETES_SERVICE_HOST": p.cluster.cluster.APIServer, "KUBERNETES_SERVICE_PORT": "443", "HOSTNAME": p.name.name}
}

// Files are what the pod's containers find now. The kubelet replaces a token once 80 % of its life, or a day, is over.
// Source: Kubernetes documentation, "Launch a Pod using service account token projection".
func (p *Pod) Files() (Files, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := Files{}
	for _, m := range p.mounts {
		if err := p.renew(m); err != nil {
			return nil, fmt.Errorf("writing the files of pod %s: %w", p.name.name, err)
		}
		files[m.Path] = m.token
		if path.Dir(m.Path) != AccountFolder {
			continue
		}
		ca, err := p.cluster.ca()
		if err != nil {
			return nil, fmt.Errorf("writing the files of pod %s: %w", p.name.name, err)
		}
		files[AccountFolder+"/namespace"], files[AccountFolder+"/ca.crt"] = p.name.namespace, string(ca.pem())
	}
	return files, nil
}

// File is what one file holds now.
func (p *Pod) File(name string) (string, error) {
	files, err := p.Files()
	if err != nil {
		return "", err
	}
	content, ok := files[name]
	if !ok {
		return "", fmt.Errorf("pod %s has no file %.128q", p.name.name, name)
	}
	return content, nil
}

func (p *Pod) renew(m *mount) error {
	now := p.cluster.directory.clock()
	if m.token != "" && now.Before(m.issued.Add(m.expires.Sub(m.issued)*8/10)) && now.Sub(m.issued) < renewAfterDay {
		return nil
	}
	life := p.cluster.shortened(m.Life)
	raw, issued, expires, err := p.cluster.token(binding{account: p.account, pod: p, audiences: []string{m.Audience}, life: life})
	if err != nil {
		return err
	}
	m.token, m.issued, m.expires = raw, issued, expires
	return nil
}

// shortened is a token's life under the cluster's own limit.
func (s *ClusterServer) shortened(life time.Duration) time.Duration {
	if longest := s.cluster.MaxTokenLife; longest != 0 && life > longest {
		return longest
	}
	return life
}
