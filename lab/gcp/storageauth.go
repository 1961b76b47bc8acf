// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The scopes that open Cloud Storage, for reading and for writing. Source: storage/v1 discovery.
var (
	storageReadScopes = []string{
		scopePrefix + "devstorage.read_only", scopePrefix + "devstorage.read_write", scopePrefix + "devstorage.full_control",
		scopePlatform, scopeReadOnly,
	}
	storageWriteScopes = []string{
		scopePrefix + "devstorage.read_write", scopePrefix + "devstorage.full_control", scopePlatform,
	}
)

// A storageFault is one entry of the errors list that older APIs answer with.
type storageFault struct {
	Message      string `json:"message"`
	Domain       string `json:"domain"`
	Reason       string `json:"reason"`
	LocationType string `json:"locationType,omitempty"`
	Location     string `json:"location,omitempty"`
}

// storageError is an error as Cloud Storage's JSON API writes it.
func storageError(status int, reason, message string) answer {
	return storageFaultAnswer(status, storageFault{Message: message, Domain: "global", Reason: reason})
}

func storageFaultAnswer(status int, f storageFault) answer {
	type body struct {
		Code    int            `json:"code"`
		Message string         `json:"message"`
		Errors  []storageFault `json:"errors"`
	}
	a := jsonAnswer(status, map[string]body{"error": {status, f.Message, []storageFault{f}}})
	a.code, a.message = f.Reason, f.Message
	return a
}

func storageUnauthorized(reason, message, challenge string) answer {
	return storageFaultAnswer(http.StatusUnauthorized, storageFault{message, "global", reason, "header", "Authorization"}).
		with("Www-Authenticate", realm+challenge)
}

// An access is what a storage request needs.
type access struct {
	permission string
	bucket     string // empty: the project's buckets
	project    string
	object     bool // the permission is on an object, not the bucket itself
}

// thing names what is refused, as Cloud Storage's messages do.
func (a access) thing() string {
	switch {
	case a.object:
		return "the Google Cloud Storage object"
	case a.bucket != "":
		return "the Google Cloud Storage bucket"
	}
	return "the Google Cloud project"
}

func (a access) resources() []string {
	project := "projects/" + a.project
	if a.bucket == "" {
		return []string{project}
	}
	return []string{"buckets/" + a.bucket, project}
}

// denial is the sentence for a caller without the permission.
func (a access) denial(who string) string {
	return fmt.Sprintf("%s does not have %s access to %s. Permission '%s' denied on resource (or it may not exist).", who, a.permission, a.thing(), a.permission)
}

// authorize checks the token, its scopes, and the permission. Without a token it looks whether everyone may.
func (q *call) authorize(a access) (accessToken, error) {
	token, failed := q.bearer()
	switch {
	case failed != nil && failed.missing:
		return accessToken{}, q.authorizeEveryone(a)
	case failed != nil:
		return accessToken{}, q.refuse(storageUnauthorized("authError", "Invalid Credentials", `, error="invalid_token"`), "%s", failed.check)
	}
	scopes := storageReadScopes
	if a.writes() {
		scopes = storageWriteScopes
	}
	if !token.hasScope(scopes...) {
		return accessToken{}, q.refuse(storageError(http.StatusForbidden, "forbidden", "Provided scope(s) are not authorized").
			with("Www-Authenticate", realm+`, error="insufficient_scope", scope="`+join(scopes)+`"`),
			"the token's scopes are %s; this needs one of %s", listed(token.scopes), listed(scopes))
	}
	q.entry.OK("the token carries a scope for Cloud Storage")
	if !q.permitted(token.principal, token.members, a.permission, a.resources()...) {
		return accessToken{}, &refusal{storageError(http.StatusForbidden, "forbidden", a.denial(storageName(token)))}
	}
	return token, q.checkStorageCharge(token)
}

func (a access) writes() bool {
	return a.permission == permObjectsCreate || a.permission == permObjectsDelete
}

// storageName is whom a refusal is addressed to: an e-mail address, or "Caller" for a federated identity.
func storageName(t accessToken) string {
	if t.email != "" {
		return t.email
	}
	return "Caller"
}

func (q *call) authorizeEveryone(a access) error {
	if _, ok, _ := q.allowed([]string{"allUsers"}, q.now, []string{a.permission}, a.resources()); ok {
		q.entry.OK("everyone has %s here, so no token is needed", a.permission)
		return nil
	}
	return q.refuse(storageUnauthorized("required", a.denial("Anonymous caller"), ""), "the request carries no token, and not everyone has %s here", a.permission)
}

// authorizeIn finds the bucket and checks the caller's right to it, or to the object that the path names.
func (q *call) authorizeIn(p storagePath, permission string, object bool) error {
	token, a, err := q.authorizeBucket(p.bucket, permission, object)
	if err != nil {
		return err
	}
	return q.withinBoundary(token, a, p.object)
}

// authorizeBucket is authorizeIn but for the token's access boundary, which may look at the object's name. A bucket that
// does not exist is said to be missing only to a caller with a token that works.
func (q *call) authorizeBucket(name, permission string, object bool) (accessToken, access, error) {
	b, ok := q.bucket(name)
	if !ok {
		if _, failed := q.bearer(); failed != nil {
			return accessToken{}, access{}, q.refuse(storageUnauthorized("authError", "Invalid Credentials", `, error="invalid_token"`), "%s", failed.check)
		}
		return accessToken{}, access{}, q.refuse(storageError(http.StatusNotFound, "notFound", "The specified bucket does not exist."), "there is no bucket %s", clip(name, 80))
	}
	a := access{permission: permission, bucket: b.name, project: b.project, object: object}
	token, err := q.authorize(a)
	return token, a, err
}

// unknownParameter refuses a precondition that is not emulated: to ignore it would be to break its promise.
func (q *call) unknownParameter(known ...string) error {
	for name := range q.r.URL.Query() {
		if strings.HasPrefix(name, "if") && !slices.Contains(known, name) {
			return q.refuse(storageError(http.StatusBadRequest, "invalid", "This lab does not honour the parameter "+clip(name, 40)+"."), "the precondition %s is not emulated", clip(name, 40))
		}
	}
	return nil
}
