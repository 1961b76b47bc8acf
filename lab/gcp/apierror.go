// SPDX-License-Identifier: Apache-2.0

package labgcp

import "net/http"

// An errorDetail is google.rpc.ErrorInfo in an error's details.
type errorDetail struct {
	Type     string            `json:"@type"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

func errorInfo(reason, domain string, metadata map[string]string) errorDetail {
	return errorDetail{"type.googleapis.com/google.rpc.ErrorInfo", reason, domain, metadata}
}

// rpcStatus names the canonical code that goes with an HTTP status. Source: google/rpc/code.proto.
var rpcStatus = map[int]string{
	http.StatusBadRequest:            "INVALID_ARGUMENT",
	http.StatusUnauthorized:          "UNAUTHENTICATED",
	http.StatusForbidden:             "PERMISSION_DENIED",
	http.StatusNotFound:              "NOT_FOUND",
	http.StatusRequestEntityTooLarge: "INVALID_ARGUMENT",
	http.StatusInternalServerError:   "INTERNAL",
}

// apiError is an error as Google's newer APIs write it (google.rpc.Status over HTTP).
func apiError(status int, message string, details ...errorDetail) answer {
	type body struct {
		Code    int           `json:"code"`
		Message string        `json:"message"`
		Status  string        `json:"status"`
		Details []errorDetail `json:"details,omitempty"`
	}
	a := jsonAnswer(status, map[string]body{"error": {status, message, rpcStatus[status], details}})
	a.code, a.message = rpcStatus[status], message
	return a
}

func invalidArgument() answer {
	return apiError(http.StatusBadRequest, "Request contains an invalid argument.")
}

func (a answer) with(header, value string) answer {
	a.header.Set(header, value)
	return a
}

// permissionDenied is IAM's refusal of one permission. It does not tell a missing resource from a closed one.
func permissionDenied(permission string) answer {
	return apiError(http.StatusForbidden, "Permission '"+permission+"' denied on resource (or it may not exist).",
		errorInfo("IAM_PERMISSION_DENIED", "iam.googleapis.com", map[string]string{"permission": permission}))
}

// An api names a service and one of its methods, as error details do.
type api struct {
	service, method string
	scopes          []string // a token needs one of these
}

const realm = `Bearer realm="https://accounts.google.com/"`

func (a api) metadata() map[string]string {
	return map[string]string{"service": a.service, "method": a.method}
}

// unauthenticated is the 401 that every newer API gives for a token it cannot use.
func (a api) unauthenticated(e *credentialError) answer {
	if e.missing {
		return apiError(http.StatusUnauthorized, "Request is missing required authentication credential. "+expected,
			errorInfo("CREDENTIALS_MISSING", "googleapis.com", a.metadata())).with("Www-Authenticate", realm)
	}
	return apiError(http.StatusUnauthorized, "Request had invalid authentication credentials. "+expected,
		errorInfo(e.reason, "googleapis.com", a.metadata())).with("Www-Authenticate", realm+`, error="invalid_token"`)
}

const expected = "Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
	"See https://developers.google.com/identity/sign-in/web/devconsole-project."

// authenticate finds the token a request carries and checks that its scopes open this method.
func (q *call) authenticate(a api) (accessToken, error) {
	token, failed := q.bearer()
	if failed != nil {
		return accessToken{}, q.refuse(a.unauthenticated(failed), "%s", failed.check)
	}
	if !token.hasScope(a.scopes...) {
		return accessToken{}, q.refuse(
			apiError(http.StatusForbidden, "Request had insufficient authentication scopes.",
				errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", a.metadata())).
				with("Www-Authenticate", realm+`, error="insufficient_scope", scope="`+join(a.scopes)+`"`),
			"the token's scopes are %s; this method needs one of %s", listed(token.scopes), listed(a.scopes))
	}
	q.entry.OK("the token carries a scope that opens this method")
	if token.boundary != nil {
		return accessToken{}, q.refuse(apiError(http.StatusForbidden, "The caller does not have permission"), "the token has an access boundary, and boundaries open Cloud Storage alone")
	}
	return token, q.checkCharge(a, token)
}
