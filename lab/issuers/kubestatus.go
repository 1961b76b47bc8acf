// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"errors"
	"fmt"
	"net/http"
)

// A status is a Kubernetes Status, the form of every refusal.
// Source: k8s.io/apimachinery pkg/api/errors, whose words these are.
type status struct {
	Kind       string   `json:"kind"`
	APIVersion string   `json:"apiVersion"`
	Metadata   struct{} `json:"metadata"`
	Status     string   `json:"status"`
	Message    string   `json:"message"`
	Reason     string   `json:"reason"`
	Details    *details `json:"details,omitempty"`
	Code       int      `json:"code"`
}

type details struct {
	Name   string  `json:"name,omitempty"`
	Group  string  `json:"group,omitempty"`
	Kind   string  `json:"kind,omitempty"`
	Causes []cause `json:"causes,omitempty"`
}

type cause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Field   string `json:"field"`
}

func (s *status) Error() string { return s.Reason + ": " + s.Message }

func newStatus(code int, reason, message string, d *details) *status {
	return &status{Kind: "Status", APIVersion: "v1", Status: "Failure", Message: message, Reason: reason, Details: d, Code: code}
}

func asStatus(err error) *status {
	if s, ok := errors.AsType[*status](err); ok {
		return s
	}
	return newStatus(http.StatusInternalServerError, "InternalError", "Internal error occurred: failed to generate token", nil)
}

func unauthorized() error {
	return newStatus(http.StatusUnauthorized, "Unauthorized", "Unauthorized", nil)
}

func forbidden(user string, whose Account) error {
	return newStatus(http.StatusForbidden, "Forbidden",
		fmt.Sprintf(`serviceaccounts %q is forbidden: User %q cannot create resource "serviceaccounts/token" in API group "" in the namespace %q`, clip(whose.Name, 253), user, clip(whose.Namespace, 63)),
		&details{Name: clip(whose.Name, 253), Kind: "serviceaccounts"})
}

func notFound(resource, name string) error {
	name = clip(name, 253)
	return newStatus(http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", resource, name), &details{Name: name, Kind: resource})
}

func notThere() error {
	return newStatus(http.StatusNotFound, "NotFound", "the server could not find the requested resource", &details{})
}

func methodNotAllowed() error {
	return newStatus(http.StatusMethodNotAllowed, "MethodNotAllowed", "the server does not allow this method on the requested resource", &details{})
}

func badRequest(message string) error {
	return newStatus(http.StatusBadRequest, "BadRequest", message, nil)
}

func conflict(resource, name, message string) error {
	name = clip(name, 253)
	return newStatus(http.StatusConflict, "Conflict", fmt.Sprintf("Operation cannot be fulfilled on %s %q: %s", resource, name, message), &details{Name: name, Kind: resource})
}

func unsupportedMedia() error {
	return newStatus(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: application/json", nil)
}

func tooLarge() error {
	return newStatus(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Request entity is too large: limit is %d", maxRequestBody), nil)
}

func invalid(name, field, message string) error {
	return newStatus(http.StatusUnprocessableEntity, "Invalid",
		fmt.Sprintf("TokenRequest.authentication.k8s.io %q is invalid: %s: %s", clip(name, 253), field, message),
		&details{Name: clip(name, 253), Group: "authentication.k8s.io", Kind: "TokenRequest", Causes: []cause{{Reason: "FieldValueInvalid", Message: message, Field: field}}})
}
