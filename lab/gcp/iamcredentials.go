// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limits of IAM Credentials. Source: iamcredentials/v1 discovery.
const (
	maxLife     = time.Hour
	maxLongLife = 12 * time.Hour
	maxSignedIn = 12 * time.Hour // how far ahead the exp of a signed JWT may lie
)

// A credentialsMethod is one of the four things one identity can ask in the name of another.
type credentialsMethod struct {
	name       string // as in the path
	rpc        string
	permission string
	answer     func(*call, *credentialsRequest) (answer, error)
}

var credentialsMethods = []credentialsMethod{
	{"generateAccessToken", "GenerateAccessToken", permGetAccessToken, (*call).generateAccessToken},
	{"generateIdToken", "GenerateIdToken", permGetOpenIDToken, (*call).generateIDToken},
	{"signJwt", "SignJwt", permSignJWT, (*call).signJWT},
	{"signBlob", "SignBlob", permSignBlob, (*call).signBlob},
}

// A credentialsRequest holds the fields of all four methods; each method knows its own.
type credentialsRequest struct {
	delegates          []string
	scope              []string
	lifetime           string
	audience           string
	includeEmail       bool
	organizationNumber bool // no project here belongs to an organization, so the claim is never there
	payload            string
	target             ServiceAccount
	targetKnown        bool
	targetRef          string
	life               time.Duration
}

func (m credentialsMethod) fields(r *credentialsRequest) fields {
	f := fields{"delegates": &r.delegates}
	switch m.name {
	case "generateAccessToken":
		f["scope"], f["lifetime"] = &r.scope, &r.lifetime
	case "generateIdToken":
		f["audience"], f["includeEmail"], f["organizationNumberIncluded"] = &r.audience, &r.includeEmail, &r.organizationNumber
	default:
		f["payload"] = &r.payload
	}
	return f
}

func (c *Cloud) iamCredentialsHandler() http.Handler {
	mux := http.NewServeMux()
	handlers := map[string]http.Handler{}
	for _, m := range credentialsMethods {
		handlers[m.name] = c.serve("IAM Credentials", m.name, m.serve)
	}
	unknown := c.serve("IAM Credentials", "unknown path", (*call).unknownPath)
	mux.HandleFunc("POST /v1/projects/{project}/serviceAccounts/{call}", func(w http.ResponseWriter, r *http.Request) {
		ref, method, _ := strings.Cut(r.PathValue("call"), ":")
		h, ok := handlers[method]
		if !ok || ref == "" {
			unknown.ServeHTTP(w, r)
			return
		}
		r.SetPathValue("account", ref)
		h.ServeHTTP(w, r)
	})
	mux.Handle("/", unknown)
	return mux
}

// serve checks who calls, what they ask, and whether they may, in that order.
func (m credentialsMethod) serve(q *call) (answer, error) {
	token, err := q.authenticate(api{
		service: "iamcredentials.googleapis.com",
		method:  "google.iam.credentials.v1.IAMCredentials." + m.rpc,
		scopes:  []string{scopePlatform, scopeIAM},
	})
	if err != nil {
		return answer{}, err
	}
	var req credentialsRequest
	if err := q.readFields(m.fields(&req)); err != nil {
		return answer{}, err
	}
	// "The - wildcard character is required; replacing it with a project ID is invalid."
	if q.r.PathValue("project") != "-" {
		return answer{}, q.refuse(invalidArgument(), "the path names a project, where only - is allowed")
	}
	if err := m.check(q, &req); err != nil {
		return answer{}, err
	}
	req.targetRef = q.r.PathValue("account")
	req.target, req.targetKnown = q.findAccount(req.targetRef)
	if err := q.checkChain(token, m.permission, &req); err != nil {
		return answer{}, err
	}
	return m.answer(q, &req)
}

// check looks at the fields before anyone's rights.
func (m credentialsMethod) check(q *call, req *credentialsRequest) (err error) {
	switch m.name {
	case "generateAccessToken":
		return q.checkAccessTokenFields(req)
	case "generateIdToken":
		if req.audience == "" {
			return q.refuse(invalidArgument(), "no audience is asked for")
		}
	case "signJwt":
		return q.checkClaimsSet(req.payload)
	}
	return nil
}

func (q *call) checkAccessTokenFields(req *credentialsRequest) error {
	if len(req.scope) == 0 {
		return q.refuse(invalidArgument(), "no scope is asked for")
	}
	for _, s := range req.scope {
		if !knownScope(s) {
			return q.refuse(invalidArgument(), "%q is no scope of Google's", clip(s, 80))
		}
	}
	req.life = tokenLife
	if req.lifetime != "" {
		life, err := parseLifetime(req.lifetime)
		if err != nil {
			return q.refuse(invalidArgument(), "the lifetime %q: %v", clip(req.lifetime, 32), err)
		}
		req.life = life
	}
	return nil
}

var durationText = regexp.MustCompile(`^(-?[0-9]{1,12})(?:\.[0-9]{1,9})?s$`)

// parseLifetime reads a duration as JSON writes google.protobuf.Duration, "3600s". Fractions of a second do not count.
func parseLifetime(s string) (time.Duration, error) {
	m := durationText.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New(`want seconds with an s, such as "3600s"`)
	}
	seconds, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || seconds < 1 {
		return 0, errors.New("want at least one second")
	}
	// Anything over a day is refused by its length alone, whatever it is.
	return time.Duration(min(seconds, 86400)) * time.Second, nil
}

// checkChain follows the delegation chain: the caller must be allowed to act through the first delegate, each delegate
// through the next, and the last one (or the caller, where there is none) must have the permission on the target.
// A missing account and a missing role get one answer, so that nobody can find out which accounts exist.
func (q *call) checkChain(token accessToken, permission string, req *credentialsRequest) error {
	who, members := token.principal, token.members
	for _, name := range req.delegates {
		ref, ok := strings.CutPrefix(name, "projects/-/serviceAccounts/")
		if !ok || ref == "" || strings.Contains(ref, "/") {
			return q.refuse(invalidArgument(), "the delegate %q is not written projects/-/serviceAccounts/EMAIL", clip(name, 128))
		}
		delegate, known := q.findAccount(ref)
		if err := q.mayUse(who, members, permImplicitDelegation, delegate, known, ref); err != nil {
			return err
		}
		who, members = delegate.Email, delegate.members()
	}
	return q.mayUse(who, members, permission, req.target, req.targetKnown, req.targetRef)
}

func (q *call) mayUse(who string, members []string, permission string, sa ServiceAccount, known bool, ref string) error {
	if !known {
		return q.refuse(permissionDenied(permission), "there is no service account %s", clip(ref, 128))
	}
	if !q.permitted(who, members, permission, "serviceAccounts/"+sa.Email, "projects/"+sa.Project) {
		return &refusal{permissionDenied(permission)}
	}
	return nil
}

func (q *call) generateAccessToken(req *credentialsRequest) (answer, error) {
	if longest := q.longestLife(req.target.Email); req.life > longest {
		text := fmt.Sprintf("Access tokens for service account %s can not have lifetimes of more than 1 hour. Use the Org Policy Constraint "+
			"constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours.", req.target.Email)
		return answer{}, q.refuse(apiError(http.StatusBadRequest, text), "a life of %s is asked for; %s is the most", spell(req.life), spell(longest))
	}
	expires := q.now.Add(req.life)
	text := q.accountToken(req.target, req.scope, q.now, req.life)
	q.entry.OK("an access token of %s is given out for %s, with the scopes %s", req.target.Email, spell(req.life), listed(req.scope))
	// Whole seconds: a fraction would break Python's reader, and rounding up would promise too much.
	return jsonAnswer(http.StatusOK, map[string]string{
		"accessToken": text,
		"expireTime":  expires.UTC().Truncate(time.Second).Format(time.RFC3339),
	}), nil
}

func (c *Cloud) longestLife(email string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.accounts[email]; a != nil && a.longTokens {
		return maxLongLife
	}
	return maxLife
}

func (q *call) generateIDToken(req *credentialsRequest) (answer, error) {
	var extra map[string]any
	if req.includeEmail {
		extra = emailClaims(req.target)
	}
	text, err := q.idToken(req.target, req.audience, req.target.UniqueID, q.now, extra)
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("an ID token of %s is given out for the audience %s, for an hour", req.target.Email, clip(req.audience, 200))
	return jsonAnswer(http.StatusOK, map[string]string{"token": text}), nil
}

// checkClaimsSet wants the payload to be a JSON object whose exp, if it has one, lies in the next 12 hours.
func (q *call) checkClaimsSet(payload string) error {
	claims, err := readObject([]byte(payload))
	if err != nil {
		return q.refuse(invalidArgument(), "the payload is not a JSON object: %v", err)
	}
	exp, ok := claims["exp"]
	if !ok {
		return nil
	}
	expires, ok := unixTime(exp)
	if !ok || !q.now.Before(expires) || expires.Sub(q.now) > maxSignedIn {
		return q.refuse(invalidArgument(), "the payload's exp is not a time in the next 12 hours")
	}
	return nil
}

func (q *call) signJWT(req *credentialsRequest) (answer, error) {
	key, err := q.ownKey(req.target.Email)
	if err != nil {
		return answer{}, err
	}
	signed, err := key.signJWT([]byte(req.payload))
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("the claims are signed with a key of %s", req.target.Email)
	return jsonAnswer(http.StatusOK, map[string]string{"keyId": key.id, "signedJwt": signed}), nil
}

func (q *call) signBlob(req *credentialsRequest) (answer, error) {
	payload, err := base64.StdEncoding.DecodeString(req.payload)
	if err != nil {
		return answer{}, q.refuse(invalidPayload("Invalid value at 'payload' (TYPE_BYTES), Base64 decoding failed"), "the payload is not base64")
	}
	key, err := q.ownKey(req.target.Email)
	if err != nil {
		return answer{}, err
	}
	signature, err := key.signBytes(payload)
	if err != nil {
		return answer{}, err
	}
	q.entry.OK("%d bytes are signed with a key of %s", len(payload), req.target.Email)
	return jsonAnswer(http.StatusOK, map[string]string{"keyId": key.id, "signedBlob": base64.StdEncoding.EncodeToString(signature)}), nil
}
