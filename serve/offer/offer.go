// SPDX-License-Identifier: Apache-2.0

// Package offer holds the words that all endpoints share: what is handed out, and what is noted of it. Each endpoint is
// a package beside this one; package serve puts them behind listeners and decides who may ask.
package offer

import (
	"context"
	"net/http"
	"time"

	"github.com/stile-project/stile"
)

// A Crossing is what an endpoint hands out, and what it says of it. Exactly one of AWS and Google is set.
type Crossing struct {
	Name   string
	AWS    *AWS    // for a crossing into AWS
	Google *Google // for a crossing into Google Cloud
}

// AWS is a crossing into AWS.
type AWS struct {
	Session stile.Supplier // of stile.KindAWSSession
	RoleARN string
	Region  string // empty: not known
}

// Google is a crossing into Google Cloud.
type Google struct {
	// AccessToken supplies tokens for scopes; with none, for those of the crossing. It fails with
	// [stile.ErrMisuse] for scopes that the crossing cannot give. Required.
	AccessToken func(scopes []string) (stile.Supplier, error)
	// IDToken supplies ID tokens for an audience. Nil where the crossing has no service account to issue
	// them, or a boundary, which would not bound them.
	IDToken func(audience string) (stile.Supplier, error)

	Email         string // of the service account; empty for direct access
	Scopes        []string
	Project       string // id; empty: not known
	ProjectNumber string // digits; empty: not known
	Zone          string // europe-west1-b; empty: not known
	Universe      string // empty: googleapis.com
}

// Handed is one answer to a request for a credential: what an audit needs and no secret.
type Handed struct {
	Endpoint string // ecs, imds or gce
	Crossing string
	What     string    // AWS session, access token, ID token for AUDIENCE
	Expires  time.Time // zero on failure
	Err      error     // why nothing was handed out
}

type noteKey struct{}

// WithNote has [Note] call note for requests with this context.
func WithNote(ctx context.Context, note func(Handed)) context.Context {
	return context.WithValue(ctx, noteKey{}, note)
}

// Note tells who serves the request what was handed out, or why not.
func Note(r *http.Request, h Handed) {
	if note, ok := r.Context().Value(noteKey{}).(func(Handed)); ok {
		note(h)
	}
}
