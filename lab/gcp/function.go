// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/stile-project/stile/lab/oidc"
)

// A function is a program behind a URL that answers only to an ID token made out to that URL.
type function struct{ name, project, url string }

// AddFunction makes a function and gives its URL, https://REGION-PROJECT.cloudfunctions.net/NAME. It answers a caller
// whose ID token has that URL as its audience and whose service account has roles/run.invoker or
// roles/cloudfunctions.invoker on functions/NAME or the project.
func (c *Cloud) AddFunction(project, region, name string) (url string, err error) {
	if !regionName.MatchString(region) || !plainName.MatchString(name) {
		return "", fmt.Errorf("function %q in region %q: want a name such as greet and a region such as europe-west1", clip(name, 64), clip(region, 64))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.projects[project] == nil {
		return "", fmt.Errorf("function %s: there is no project %q", name, clip(project, 64))
	}
	if c.functionByName(name) != nil {
		return "", fmt.Errorf("function %s exists", name)
	}
	key := region + "-" + project + ".cloudfunctions.net/" + name
	c.functions[key] = &function{name: name, project: project, url: "https://" + key}
	return "https://" + key, nil
}

// functionByName finds a function. The caller holds the lock.
func (c *Cloud) functionByName(name string) *function {
	for _, f := range c.functions {
		if f.name == name {
			return f
		}
	}
	return nil
}

func (c *Cloud) functionHandler(host string) http.Handler {
	return c.serve("Cloud Functions", "invoke", func(q *call) (answer, error) {
		name, _, _ := strings.Cut(strings.TrimPrefix(q.r.URL.Path, "/"), "/")
		q.mu.Lock()
		f := q.functions[host+"/"+name]
		q.mu.Unlock()
		if f == nil {
			return answer{}, q.refuse(htmlAnswer(http.StatusNotFound, "The requested URL was not found on this server."), "there is no function at this address")
		}
		return q.invoke(f)
	})
}

// invoke answers 403 to a caller with no token or no role, and 401 to one whose token is no good.
func (q *call) invoke(f *function) (answer, error) {
	raw, ok := q.identityToken()
	if !ok {
		return answer{}, q.refuse(closed().with("Www-Authenticate", "Bearer"), "the request carries no ID token")
	}
	sa, err := q.caller(f, raw)
	if err != nil {
		return answer{}, err
	}
	resources := []string{"functions/" + f.name, "projects/" + f.project}
	b, ok, pending := q.allowed(sa.members(), q.now, []string{permInvokeRun, permInvokeFunctions}, resources)
	if !ok {
		why := "nobody gave %s the right to call this function"
		if pending {
			why = "%s was given the right to call this function moments ago, and the grant has not spread yet"
		}
		return answer{}, q.refuse(closed().with("Www-Authenticate", `Bearer error="insufficient_scope"`), why, sa.Email)
	}
	q.entry.OK("%s may call the function: %s is granted to %s", sa.Email, b.role, b.member)
	h := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	return answer{status: http.StatusOK, header: h, body: []byte("Hello, " + sa.Email + ", this is " + f.name + ".\n")}, nil
}

func (q *call) identityToken() (string, bool) {
	headers := q.r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, raw, _ := strings.Cut(headers[0], " ")
	return strings.TrimSpace(raw), strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(raw) != ""
}

// caller checks an ID token and finds the service account it speaks for.
func (q *call) caller(f *function, raw string) (ServiceAccount, error) {
	claims, err := oidc.Verifier{Net: ownKeys{q.issuer}, Algorithms: []string{"RS256"}}.Verify(q.r.Context(), issuerURL, raw)
	if err != nil {
		return ServiceAccount{}, q.refuse(badIDToken(), "the token is no ID token that Google signed: %s", clip(err.Error(), 160))
	}
	if claims["iss"] != issuerURL {
		return ServiceAccount{}, q.refuse(badIDToken(), "the token's issuer is not %s", issuerURL)
	}
	if claims["aud"] != f.url {
		return ServiceAccount{}, q.refuse(badIDToken(), "the token is for the audience %s, not for %s", clip(fmt.Sprint(claims["aud"]), 200), f.url)
	}
	issued, issuedOK := unixTime(claims["iat"])
	expires, expiresOK := unixTime(claims["exp"])
	if !issuedOK || !expiresOK || issued.After(q.now.Add(clockSkew)) || !q.now.Before(expires) {
		return ServiceAccount{}, q.refuse(badIDToken(), "the token has expired or is not valid yet")
	}
	sub, _ := claims["sub"].(string)
	sa, ok := q.findAccount(sub)
	if !ok {
		return ServiceAccount{}, q.refuse(badIDToken(), "the token's subject is no service account")
	}
	q.entry.Caller = sa.Email
	q.entry.OK("the ID token is Google's, speaks for %s, and is made out to this function", sa.Email)
	return sa, nil
}

func closed() answer {
	return htmlAnswer(http.StatusForbidden, "Your client does not have permission to get the requested URL from this server.")
}

func badIDToken() answer {
	return htmlAnswer(http.StatusUnauthorized, "Your client does not have permission to the requested URL.").
		with("Www-Authenticate", `Bearer error="invalid_token" error_description="The access token could not be verified"`)
}

// ownKeys reads Google's own discovery pages without leaving the house.
type ownKeys struct{ issuer *oidc.Issuer }

func (o ownKeys) RoundTrip(r *http.Request) (*http.Response, error) {
	h := o.issuer.Handler()
	if r.URL.String() == certsURL {
		h = o.issuer.JWKS()
	}
	page := &pageWriter{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(page, r)
	return &http.Response{StatusCode: page.status, Header: page.header, Body: io.NopCloser(&page.body), Request: r}, nil
}
