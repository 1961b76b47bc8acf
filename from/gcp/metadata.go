// SPDX-License-Identifier: Apache-2.0

// Package fromgcp proves a Google Cloud identity to another cloud by a Google-signed ID token.
//
// A workload in Google Cloud has [Metadata]. [Impersonated] and [SignedJWT] speak for another service account by way of
// IAM Credentials, [ApplicationDefault] is a developer's own machine, and [Key] a service-account key. [ReadClaims]
// shows what the other side's trust will see.
package fromgcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
)

// DefaultHost is where Google Cloud's machines find their metadata server. The address needs no name service.
const DefaultHost = "169.254.169.254"

const (
	flavor = "Metadata-Flavor"
	cloud  = "the metadata server"
	root   = "/computeMetadata/v1/"

	// timeout is what a metadata server on the same host may take; off Google Cloud nothing answers at all.
	timeout = 5 * time.Second
)

// Metadata is a [stile.Source] of ID tokens from the metadata server of GCE, GKE, Cloud Run, Functions and App Engine.
// The workload's service account needs no IAM permission for it. The zero Metadata is ready for use.
// Source: Compute Engine, "Verify the identity of a VM"; Go module cloud.google.com/go/compute/metadata.
type Metadata struct {
	// Host is the metadata server as host or host:port. Empty: [DefaultHost].
	Host string
	// Account is the service account's e-mail. Empty: the default account.
	Account string
	// Format is "standard", or "full" for the claims of the machine and the e-mail, where the platform has them.
	// Empty: "full".
	Format string
	// Client makes the requests, which are plain http. Nil: one that uses no proxy.
	Client *http.Client
	// Clock tells whether a token is still good. Nil: time.Now.
	Clock func() time.Time
}

// CacheKey covers the server, the account and the format. What the server says is for this machine alone to know, or for
// this pod.
func (m *Metadata) CacheKey() stile.Key {
	return stile.NewKey("from/gcp metadata", cmp.Or(m.Host, DefaultHost), m.account(), cmp.Or(m.Format, "full"))
}

// SubjectToken asks for an ID token for audience, with the e-mail claim where the platform can give it.
func (m *Metadata) SubjectToken(ctx context.Context, audience string) (stile.SubjectToken, error) {
	const op = "ask for an ID token"
	if audience == "" {
		return stile.SubjectToken{}, noAudience(op)
	}
	path := "instance/service-accounts/" + url.PathEscape(m.account()) + "/identity?" +
		url.Values{"audience": {audience}, "format": {cmp.Or(m.Format, "full")}}.Encode()
	body, err := m.get(ctx, op, path, slog.String("audience", audience))
	if err != nil {
		return stile.SubjectToken{}, err
	}
	return presentable(op, cloud, strings.TrimSpace(body), audience, m.now())
}

// An Identity is what the metadata server says of this workload.
type Identity struct {
	Email         string // the service account; on GKE without a linked one, the workload pool
	ProjectID     string
	ProjectNumber string
	Zone          string // "europe-west1-b"; empty on Cloud Run, Functions and App Engine, which have no zone to tell
	Region        string // "europe-west1"; empty where the platform does not say
}

// Whoami asks who this workload is. It needs no permission.
func (m *Metadata) Whoami(ctx context.Context) (Identity, error) {
	const op = "ask who this workload is"
	var id Identity
	for _, q := range []struct {
		path     string
		into     *string
		required bool
	}{
		{"instance/service-accounts/" + url.PathEscape(m.account()) + "/email", &id.Email, true},
		{"project/project-id", &id.ProjectID, true},
		{"project/numeric-project-id", &id.ProjectNumber, true},
		{"instance/zone", &id.Zone, false},
		{"instance/region", &id.Region, false},
	} {
		body, err := m.get(ctx, op, q.path)
		if err != nil && (q.required || !isNotFound(err)) {
			return Identity{}, err
		}
		*q.into = strings.TrimSpace(body)
	}
	id.Zone, id.Region = lastPart(id.Zone), lastPart(id.Region)
	return id, nil
}

// lastPart is the name at the end of projects/NUMBER/zones/NAME.
func lastPart(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// AccessToken gives the workload's own access token, for reading within Google Cloud what a crossing needs first.
func (m *Metadata) AccessToken(ctx context.Context) (stile.Credential, error) {
	const op = "ask for an access token"
	asked := m.now()
	body, err := m.get(ctx, op, "instance/service-accounts/"+url.PathEscape(m.account())+"/token")
	if err != nil {
		return stile.Credential{}, err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.AccessToken == "" || answer.ExpiresIn <= 0 {
		return stile.Credential{}, &stile.Error{Op: op, Cloud: cloud, Err: fmt.Errorf("%w: the answer is no access token", stile.ErrTemporary)}
	}
	return stile.Credential{Kind: stile.KindAccessToken, Token: stile.NewSecret(answer.AccessToken), Principal: m.account(),
		Expires: asked.Add(time.Duration(answer.ExpiresIn) * time.Second)}, nil
}

// Credential is [Metadata.AccessToken], which makes a Metadata a [stile.Supplier].
func (m *Metadata) Credential(ctx context.Context) (stile.Credential, error) {
	return m.AccessToken(ctx)
}

func (m *Metadata) get(ctx context.Context, op, path string, sent ...slog.Attr) (string, error) {
	host := m.Host
	if host == "" {
		host = DefaultHost
	}
	client := m.Client
	if client == nil {
		client = remote.Direct()
	}
	q := remote.Request{Op: op, Cloud: cloud, Method: http.MethodGet, URL: "http://" + host + root + path,
		Header: http.Header{flavor: {"Google"}}, Timeout: timeout, Sent: sent}
	res, err := remote.Do(ctx, client, q)
	if err != nil {
		return "", m.absent(err)
	}
	if res.Header.Get(flavor) != "Google" {
		return "", &stile.Error{Op: op, Cloud: cloud, Hint: "run on Google Cloud, or set GCE_METADATA_HOST",
			Err: fmt.Errorf("%w: what answers at %s is not Google's metadata server", stile.ErrNoIdentity, host)}
	}
	if !res.OK() {
		return "", m.refused(q, res)
	}
	return string(res.Body), nil
}

// absent turns "nobody there" into "no identity here": off Google Cloud that is what it means.
func (m *Metadata) absent(err error) error {
	var e *stile.Error
	if errors.As(err, &e) && errors.Is(err, stile.ErrTemporary) {
		e.Err = fmt.Errorf("%w: %w", stile.ErrNoIdentity, e.Err)
		e.Hint = "run on Google Cloud, or set GCE_METADATA_HOST"
	}
	return err
}

func (m *Metadata) refused(q remote.Request, res *remote.Response) error {
	message := string(res.Body)
	if strings.Contains(res.Header.Get("Content-Type"), "html") && strings.Contains(message, "<") {
		message = http.StatusText(res.Status)
	}
	e := q.Refusal(res, "", message, "")
	if strings.Contains(string(res.Body), "missing IAM policy binding") {
		e.Hint = "grant roles/iam.workloadIdentityUser on the linked service account to serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]"
	}
	if res.Status == http.StatusNotFound {
		e.Err = stile.ErrNoIdentity
		e.Hint = "attach a service account to this workload"
		if strings.Contains(string(res.Body), "not annotated with a target Google service account") {
			e.Hint = "link the Kubernetes service account: grant it roles/iam.workloadIdentityUser on a Google service account and annotate it with iam.gke.io/gcp-service-account=EMAIL; or present the cluster's own token, a projected service account token, to an OIDC provider for the cluster's issuer"
		}
	}
	return e
}

func isNotFound(err error) bool {
	var e *stile.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

func (m *Metadata) account() string {
	return cmp.Or(m.Account, "default")
}

func (m *Metadata) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}
