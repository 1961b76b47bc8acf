// SPDX-License-Identifier: Apache-2.0

package labgcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Limits of an access boundary. Source: sts/v1 discovery, GoogleIdentityStsV1AccessBoundary.
const (
	maxBoundaryRules      = 10
	maxBoundaryText       = 2048
	maxBoundaryExpression = 2048
)

// A boundary is the most that a token can do, whoever has it.
type boundary []boundaryRule

// A boundaryRule makes the permissions of some roles available on one bucket.
type boundaryRule struct {
	bucket    string
	roles     []string
	condition cel.Program // nil: none
}

// downscope answers an exchange whose subject is one of Google's own access tokens: it gives the same identity with
// less power. Only the wording of refusals is ours.
func (q *call) downscope(form url.Values, options map[string]any) (answer, error) {
	bad := func(description, format string, args ...any) (answer, error) {
		return answer{}, q.refuse(oauthError(http.StatusBadRequest, invalidRequest, description), format, args...)
	}
	if form.Get("audience") != "" {
		return bad(`Invalid value for "audience".`, "an access token is bounded, not federated: it takes no audience")
	}
	text, ok := options["accessBoundary"]
	if !ok {
		return bad(`Invalid value for "options".`, "the options hold no accessBoundary, so there is nothing to do")
	}
	rules, err := readBoundary(text)
	if err != nil {
		return bad(`Invalid value for "options": the access boundary is malformed.`, "the access boundary: %v", err)
	}
	q.entry.OK("the access boundary has %d rules, each for one bucket", len(rules))
	token, failed := q.lookup(form.Get("subject_token"), q.now)
	if failed != nil {
		return answer{}, q.refuse(oauthError(http.StatusBadRequest, invalidGrant, "Invalid subject token."), "%s", failed.check)
	}
	q.entry.Caller = token.principal
	if token.boundary != nil {
		return bad("The subject token already has an access boundary.", "the token is bounded already, and cannot be bounded again")
	}
	token.boundary = rules
	answers := map[string]any{"access_token": q.mint("dr", token), "issued_token_type": typeAccessToken, "token_type": "Bearer"}
	if !token.person { // a person's lives as long as the one it was made of, and STS does not say how long
		answers["expires_in"] = lifeSeconds(q.now, token.expires)
	}
	q.entry.OK("a token of %s is given out that can do no more than the boundary allows", token.principal)
	return noStore(jsonAnswer(http.StatusOK, answers)), nil
}

var (
	boundaryResource = regexp.MustCompile(`^//storage\.googleapis\.com/projects/_/buckets/([a-z0-9._-]+)$`)
	errBoundary      = errors.New("want accessBoundaryRules, 1 to 10 of them")
)

func readBoundary(v any) (boundary, error) {
	object, ok := v.(map[string]any)
	if !ok || len(fmt.Sprint(v)) > maxBoundaryText {
		return nil, errBoundary
	}
	list, ok := object["accessBoundaryRules"].([]any)
	if !ok || len(object) != 1 || len(list) == 0 || len(list) > maxBoundaryRules {
		return nil, errBoundary
	}
	var b boundary
	for i, item := range list {
		rule, err := readBoundaryRule(item)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		b = append(b, rule)
	}
	return b, nil
}

func readBoundaryRule(v any) (boundaryRule, error) {
	object, _ := v.(map[string]any)
	for name := range object {
		if !slices.Contains([]string{"availableResource", "availablePermissions", "availabilityCondition"}, name) {
			return boundaryRule{}, errors.New("a field is unknown")
		}
	}
	resource, _ := object["availableResource"].(string)
	m := boundaryResource.FindStringSubmatch(resource)
	if m == nil {
		return boundaryRule{}, errors.New("availableResource is not //storage.googleapis.com/projects/_/buckets/BUCKET")
	}
	rule := boundaryRule{bucket: m[1]}
	var permissions []string
	if !storeStrings(&permissions, object["availablePermissions"]) || len(permissions) == 0 {
		return boundaryRule{}, errors.New("availablePermissions is no list of roles")
	}
	for _, p := range permissions {
		name, ok := strings.CutPrefix(p, "inRole:")
		if _, known := roles[name]; !ok || !known {
			return boundaryRule{}, errors.New("availablePermissions: want inRole: and a role that exists")
		}
		rule.roles = append(rule.roles, name)
	}
	return rule.withCondition(object["availabilityCondition"])
}

func (r boundaryRule) withCondition(v any) (boundaryRule, error) {
	if v == nil {
		return r, nil
	}
	object, _ := v.(map[string]any)
	expression, _ := object["expression"].(string)
	if expression == "" || len(expression) > maxBoundaryExpression {
		return r, fmt.Errorf("availabilityCondition: want an expression of 1 to %d characters", maxBoundaryExpression)
	}
	env, err := boundaryEnv()
	if err != nil {
		return r, err
	}
	parsed, issues := env.Compile(expression)
	if issues.Err() != nil || parsed.OutputType() != cel.BoolType {
		return r, errors.New("availabilityCondition: the expression is no condition in CEL")
	}
	r.condition, err = env.Program(parsed, cel.CostLimit(100_000))
	return r, err
}

// boundaryEnv is what a condition can look at. Source: IAM, "Attribute reference for IAM Conditions".
var boundaryEnv = sync.OnceValues(func() (*cel.Env, error) {
	texts := cel.MapType(cel.StringType, cel.StringType)
	return cel.NewEnv(
		cel.Variable("resource", texts), cel.Variable("api", texts),
		cel.ParserExpressionSizeLimit(maxBoundaryExpression), cel.RegexProgramSizeLimit(1_000),
		cel.Function("getAttribute", cel.MemberOverload("api_getAttribute", []*cel.Type{texts, cel.StringType, cel.StringType}, cel.StringType, cel.FunctionBinding(getAttribute))),
	)
})

func getAttribute(args ...ref.Val) ref.Val {
	attributes, ok := args[0].Value().(map[string]string)
	name, isName := args[1].Value().(string)
	if !ok || !isName {
		return types.NewErr("getAttribute is asked of something other than api")
	}
	if value, found := attributes[name]; found {
		return types.String(value)
	}
	return args[2]
}

// allows reports whether a rule makes the permission available. The object is empty for the bucket itself.
func (b boundary) allows(ctx context.Context, a access, object, prefix string) bool {
	name, kind := "projects/_/buckets/"+a.bucket, "storage.googleapis.com/Bucket"
	if object != "" {
		name, kind = name+"/objects/"+object, "storage.googleapis.com/Object"
	}
	api := map[string]string{}
	if a.permission == permObjectsList {
		api["storage.googleapis.com/objectListPrefix"] = prefix
	}
	vars := map[string]any{"resource": map[string]string{"name": name, "type": kind, "service": "storage.googleapis.com"}, "api": api}
	return slices.ContainsFunc(b, func(r boundaryRule) bool {
		has := slices.ContainsFunc(r.roles, func(role string) bool { return slices.Contains(roles[role].permissions, a.permission) })
		return has && a.bucket == r.bucket && r.holds(ctx, vars)
	})
}

func (r boundaryRule) holds(ctx context.Context, vars map[string]any) bool {
	if r.condition == nil {
		return true
	}
	bounded, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	value, _, err := r.condition.ContextEval(bounded, vars)
	return err == nil && value == types.True
}

// withinBoundary refuses what the token's boundary, if it has one, leaves out.
func (q *call) withinBoundary(token accessToken, a access, object string) error {
	if token.boundary == nil {
		return nil
	}
	if !token.boundary.allows(q.r.Context(), a, object, q.r.URL.Query().Get("prefix")) {
		return q.refuse(storageError(http.StatusForbidden, "forbidden", a.denial(storageName(token))),
			"the token's access boundary leaves out %s on bucket %s", a.permission, clip(a.bucket, 80))
	}
	q.entry.OK("the token's access boundary makes %s available on bucket %s", a.permission, a.bucket)
	return nil
}
