// SPDX-License-Identifier: Apache-2.0

package fromgcp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/shape"
)

// An impersonation speaks for one service account by another identity's access token.
// Source: IAM Credentials v1, projects.serviceAccounts.
type impersonation struct {
	account      string
	delegates    []string
	access       stile.Supplier
	quotaProject string
	endpoint     string
	client       *http.Client
}

// check keeps an e-mail from becoming another path.
func (i impersonation) check(op string) error {
	fail := func(what, value string, err error) error {
		return &stile.Error{Op: op, Err: fmt.Errorf("%w: %s %.200q: %w", stile.ErrMisuse, what, value, err)}
	}
	if _, err := shape.ServiceAccount(i.account); err != nil {
		return fail("service account", i.account, err)
	}
	for _, d := range i.delegates {
		if _, err := shape.ServiceAccount(d); err != nil {
			return fail("delegate", d, err)
		}
	}
	if _, err := shape.Project(i.quotaProject); i.quotaProject != "" && err != nil {
		return fail("quota project", i.quotaProject, err)
	}
	return nil
}

// call asks one method of IAM Credentials and reads the answer into result. permission is what the caller needs.
func (i impersonation) call(ctx context.Context, op, method, permission string, ask map[string]any, result any) (remote.Request, *remote.Response, error) {
	if err := i.check(op); err != nil {
		return remote.Request{}, nil, err
	}
	bearer, err := i.bearer(ctx, op)
	if err != nil {
		return remote.Request{}, nil, err
	}
	if len(i.delegates) > 0 {
		ask["delegates"] = resourceNames(i.delegates)
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return remote.Request{}, nil, err
	}
	q := remote.Request{
		Op: op, Cloud: "IAM Credentials", Method: http.MethodPost, URL: i.host() + "/v1/projects/-/serviceAccounts/" + i.account + ":" + method,
		Header: http.Header{"Authorization": {"Bearer " + bearer.Token.Reveal()}, "Content-Type": {"application/json"}}, Body: body,
		Secrets: []stile.Secret{bearer.Token}, Sent: []slog.Attr{slog.String("service account", i.account), slog.String("as", bearer.Principal)},
	}
	if i.quotaProject != "" {
		q.Header["X-Goog-User-Project"] = []string{i.quotaProject}
	}
	res, err := remote.Do(ctx, i.client, q)
	if err != nil {
		return q, nil, err
	}
	if !res.OK() {
		return q, res, iamRefusal(q, res, i.account, permission)
	}
	if err := json.Unmarshal(res.Body, result); err != nil {
		return q, res, q.Malformed(res, "not the JSON of "+method)
	}
	return q, res, nil
}

func (i impersonation) host() string {
	if i.endpoint == "" {
		return "https://iamcredentials.googleapis.com"
	}
	return strings.TrimSuffix(i.endpoint, "/")
}

// bearer is the access token of whoever impersonates; without one named, this workload's own.
func (i impersonation) bearer(ctx context.Context, op string) (stile.Credential, error) {
	access := i.access
	if access == nil {
		access = &Metadata{}
	}
	cred, err := access.Credential(ctx)
	if err != nil {
		return stile.Credential{}, err
	}
	if cred.Kind != stile.KindAccessToken {
		return stile.Credential{}, &stile.Error{Op: op, Err: fmt.Errorf("%w: impersonation takes a Google access token, and Access gives an %s", stile.ErrMisuse, cred.Kind)}
	}
	return cred, nil
}

// key covers what decides whose token it is, and whose rights allow it.
func (i impersonation) key(kind string, more ...string) stile.Key {
	var access stile.Key
	switch a := i.access.(type) {
	case nil:
		access = (&Metadata{}).CacheKey()
	case stile.Crossing:
		if a.Keyed() {
			access = a.Key()
		}
	case stile.Keyed:
		access = a.CacheKey()
	}
	if access.IsZero() {
		return stile.Key{} // whose rights these are cannot be told
	}
	return stile.NewKey(kind, append([]string{i.account, fmt.Sprintf("%q", i.delegates), access.String(), i.quotaProject, i.host()}, more...)...)
}

func resourceNames(emails []string) []string {
	names := make([]string, 0, len(emails))
	for _, email := range emails {
		names = append(names, "projects/-/serviceAccounts/"+email)
	}
	return names
}

func iamRefusal(q remote.Request, res *remote.Response, account, permission string) error {
	var body struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(res.Body, &body) != nil {
		return q.Refusal(res, "", "an answer without a Google API error", "")
	}
	hint := ""
	switch {
	case strings.Contains(body.Error.Message, "serviceusage.services.use"):
		hint = "grant roles/serviceusage.serviceUsageConsumer on the quota project, or name another one: gcloud auth application-default set-quota-project PROJECT"
	case body.Error.Status == "PERMISSION_DENIED":
		hint = "grant roles/iam.serviceAccountTokenCreator, which has " + permission + ", on " + account + " to whoever asks; with delegates, each needs it on the next. A grant may need some minutes"
	}
	return q.Refusal(res, body.Error.Status, body.Error.Message, hint)
}
