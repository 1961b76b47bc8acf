// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"net/http"
	"strings"
)

// Handler answers for one of Google's host names, given without a port. It reports false for a name that is not
// Google's or has no service here.
func (c *Cloud) Handler(host string) (http.Handler, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	// A client with a device certificate speaks to SERVICE.mtls.googleapis.com; the service is the same.
	host = strings.Replace(host, ".mtls.googleapis.com", ".googleapis.com", 1)
	switch host {
	case "sts.googleapis.com":
		return c.stsHandler(), true
	case "iamcredentials.googleapis.com":
		return c.iamCredentialsHandler(), true
	case "oauth2.googleapis.com":
		return c.oauth2Handler(), true
	case "accounts.google.com":
		return c.accountsHandler(), true
	case "www.googleapis.com":
		return c.wwwHandler(), true
	case "cloudresourcemanager.googleapis.com":
		return c.resourceManagerHandler(), true
	case "storage.googleapis.com":
		return c.storageHandler(""), true
	}
	if bucket, ok := strings.CutSuffix(host, ".storage.googleapis.com"); ok && bucket != "" {
		return c.storageHandler(bucket), true
	}
	if label, ok := strings.CutSuffix(host, ".cloudfunctions.net"); ok && label != "" && !strings.Contains(label, ".") {
		return c.functionHandler(host), true
	}
	return nil, false
}

// wwwHandler is the host that older APIs share.
func (c *Cloud) wwwHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/oauth2/v3/certs", c.published("JWKS", c.issuer.JWKS()))
	mux.Handle("POST /oauth2/v4/token", c.serve("OAuth 2.0", "token", (*call).tokenGrant))
	mux.Handle("GET /service_accounts/v1/jwk/{email}", c.serve("IAM", "service account keys", (*call).accountKeys))
	mux.Handle("/", c.serve("Google APIs", "unknown path", (*call).unknownPath))
	storage := c.storageHandler("")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isStorageJSON(r.URL.Path) { // before the mux, which would tidy the object's name
			storage.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
