// SPDX-License-Identifier: Apache-2.0

package togcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stile-project/stile"
	"github.com/stile-project/stile/internal/remote"
	"github.com/stile-project/stile/internal/shape"
)

// Limits of a boundary. Source: Google STS v1 discovery, AccessBoundary.
const (
	maxRules      = 10
	maxBoundary   = 2048 // characters
	maxExpression = 2048
)

// A Boundary is a Credential Access Boundary: the most that a token can do, whatever its owner may. Google knows
// boundaries for Cloud Storage alone. Only [ParseBoundary] makes one.
type Boundary struct{ rules []BoundaryRule }

// A BoundaryRule makes roles available on one bucket. What the token can do is the union of its rules, and never more
// than its owner may.
type BoundaryRule struct {
	// Resource is //storage.googleapis.com/projects/_/buckets/BUCKET.
	Resource string `json:"availableResource"`
	// Permissions are roles, each written inRole:roles/NAME or inRole:projects/ID/roles/NAME.
	Permissions []string `json:"availablePermissions"`
	// Condition narrows the rule further. Nil: it holds for the whole bucket.
	Condition *BoundaryCondition `json:"availabilityCondition,omitempty"`
}

// A BoundaryCondition is an IAM condition on the object asked for.
type BoundaryCondition struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Expression is CEL, such as resource.name.startsWith('projects/_/buckets/BUCKET/objects/PREFIX').
	Expression string `json:"expression"`
}

// ParseBoundary reads a boundary as Google documents it, {"accessBoundary": {"accessBoundaryRules": […]}}, or without
// the outer object. An unknown field is an error: what a typing mistake leaves out would be open.
func ParseBoundary(text string) (Boundary, error) {
	rules, err := readRules([]byte(text))
	if err == nil {
		err = checkRules(rules)
	}
	if err != nil {
		return Boundary{}, fmt.Errorf("%w: the access boundary: %w", stile.ErrMisuse, err)
	}
	b := Boundary{rules}
	if n := len(b.String()); n > maxBoundary {
		return Boundary{}, fmt.Errorf("%w: the access boundary: %d characters: at most %d", stile.ErrMisuse, n, maxBoundary)
	}
	return b, nil
}

func readRules(text []byte) ([]BoundaryRule, error) {
	type inner struct {
		Rules []BoundaryRule `json:"accessBoundaryRules"`
	}
	var file struct {
		Boundary *inner `json:"accessBoundary"`
		inner
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&file); err != nil {
		var syntax *json.SyntaxError
		if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
			return nil, fmt.Errorf("the field %.64s is unknown", name)
		} else if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, errors.New("not a JSON object")
		}
		return nil, errors.New("a value of the wrong type")
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	if file.Boundary == nil {
		return file.Rules, nil
	}
	if file.Rules != nil {
		return nil, errors.New("rules both inside accessBoundary and beside it")
	}
	return file.Boundary.Rules, nil
}

func checkRules(rules []BoundaryRule) error {
	if len(rules) == 0 || len(rules) > maxRules {
		return fmt.Errorf("%d rules: want 1 to %d", len(rules), maxRules)
	}
	for i, r := range rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return nil
}

func (r BoundaryRule) check() error {
	if !shape.IsBoundedBucket(r.Resource) {
		return errors.New("availableResource: want //storage.googleapis.com/projects/_/buckets/BUCKET")
	}
	if len(r.Permissions) == 0 {
		return errors.New("availablePermissions: want at least one role")
	}
	for _, p := range r.Permissions {
		if !shape.IsBoundedRole(p) {
			return errors.New("availablePermissions: want inRole:roles/NAME, such as inRole:roles/storage.objectViewer")
		}
	}
	if c := r.Condition; c != nil && (strings.TrimSpace(c.Expression) == "" || len(c.Expression) > maxExpression) {
		return fmt.Errorf("availabilityCondition: want an expression of 1 to %d characters", maxExpression)
	}
	return nil
}

// String is the boundary as the JSON that [ParseBoundary] reads, on one line.
func (b Boundary) String() string {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false) // a condition's && would grow to twelve characters, and there is a limit
	if err := out.Encode(map[string][]BoundaryRule{"accessBoundaryRules": b.rules}); err != nil {
		return "" // strings always encode
	}
	return strings.TrimSpace(text.String())
}

// downscope trades a token for one that can do less, by a second exchange at STS.
// Source: IAM, "Downscope with Credential Access Boundaries"; the downscope package of golang.org/x/oauth2.
func (c *client) downscope(ctx context.Context, cred stile.Credential, boundary Boundary) (stile.Credential, error) {
	options, err := json.Marshal(map[string]json.RawMessage{"accessBoundary": json.RawMessage(boundary.String())})
	if err != nil {
		return stile.Credential{}, err
	}
	q := c.stsRequest("bound the access token", url.Values{
		"grant_type":           {grantExchange},
		"requested_token_type": {typeAccessToken},
		"subject_token":        {cred.Token.Reveal()},
		"subject_token_type":   {typeAccessToken},
		"options":              {string(options)},
	}, cred.Token, slog.String("principal", cred.Principal), slog.Int("rules", len(boundary.rules)))
	asked := c.now()
	res, err := remote.Do(ctx, c.http, q)
	if err != nil {
		return stile.Credential{}, err
	}
	if !res.OK() {
		return stile.Credential{}, boundaryRefusal(q, res)
	}
	token, life, err := readToken(res.Body)
	if err != nil {
		return stile.Credential{}, q.Malformed(res, err.Error())
	}
	bounded := stile.Credential{Kind: cred.Kind, Token: stile.NewSecret(token), Principal: cred.Principal, Expires: cred.Expires}
	if ends := asked.Add(life); life != 0 && ends.Before(cred.Expires) {
		bounded.Expires = ends
	}
	return bounded, nil
}

func boundaryRefusal(q remote.Request, res *remote.Response) error {
	err := stsRefusal(q, res)
	var e *stile.Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		e.Hint = "check each rule: one bucket, written //storage.googleapis.com/projects/_/buckets/BUCKET, and roles of Cloud Storage"
	}
	return err
}

// readToken reads a token answer and how long the token lives; zero where STS leaves that out, as it does for a token
// that lives as long as the one it was made of.
func readToken(body []byte) (token string, life time.Duration, err error) {
	var answer struct {
		AccessToken string       `json:"access_token"`
		ExpiresIn   *json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", 0, errors.New("not the JSON of a token answer")
	}
	if answer.AccessToken == "" {
		return "", 0, errors.New("no access_token")
	}
	if answer.ExpiresIn == nil {
		return answer.AccessToken, 0, nil
	}
	seconds, err := answer.ExpiresIn.Int64()
	if err != nil || seconds <= 0 || seconds > 24*3600 {
		return "", 0, errors.New("an expires_in that is no number of seconds")
	}
	return answer.AccessToken, time.Duration(seconds) * time.Second, nil
}
