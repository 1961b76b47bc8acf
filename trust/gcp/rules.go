// SPDX-License-Identifier: Apache-2.0

// Package gcptrust evaluates what a Google workload identity pool provider makes of a caller: the attribute mapping
// that turns an AWS identity or an OIDC token's claims into google.subject, google.groups and attribute.NAME, and the
// attribute condition that lets the caller in.
//
//	rules, err := gcptrust.Compile(gcptrust.DefaultAWS(), "attribute.aws_role.endsWith('/etl-role')")
//	mapped, err := rules.Map(map[string]any{"account": "111122223333", "arn": "arn:aws:sts::…", "userid": "AROA…"})
//	admitted, err := rules.Admits(assertion, mapped)
//	bindable := mapped.Members("projects/123456789012/locations/global/workloadIdentityPools/aws-pool")
//
// Expressions are CEL as Google runs it: the standard operators, macros and functions, and extract, split and
// lowerAscii. A mapping sees assertion; the condition sees assertion, google and attribute as well. Expressions may come
// from strangers: what one can cost is bounded.
//
// Source of the limits and names: Google IAM v1, WorkloadIdentityPoolProvider.
package gcptrust

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Limits on a provider's rules. Source: Google IAM v1, WorkloadIdentityPoolProvider.
const (
	MaxExpression = 2048 // characters of one mapping expression
	MaxCondition  = 4096 // characters of the condition
	MaxCustom     = 50   // custom attributes, attribute.NAME
)

const (
	subjectKey   = "google.subject"
	groupsKey    = "google.groups"
	customPrefix = "attribute."
)

var customKey = regexp.MustCompile(`^attribute\.[a-z0-9_]{1,100}$`)

// DefaultAWS is the mapping Google uses for an AWS provider that has none of its own: the subject is the caller's ARN,
// and attribute.aws_role is the same ARN without the session name. A mapping of one's own replaces all of it.
func DefaultAWS() map[string]string {
	return map[string]string{
		subjectKey: "assertion.arn",
		"attribute.aws_role": "assertion.arn.contains('assumed-role')" +
			" ? assertion.arn.extract('{account_arn}assumed-role/') + 'assumed-role/' + assertion.arn.extract('assumed-role/{role_name}/')" +
			" : assertion.arn",
	}
}

// Rules are one provider's mapping and condition, compiled. They are safe for concurrent use.
type Rules struct {
	keys      []string // of mapping, in order, so that the first failure is always the same one
	mapping   map[string]cel.Program
	condition *condition // nil: there is none
}

// Compile checks a provider's mapping and condition as Google does when the provider is created. The mapping must have
// google.subject, and may have google.groups and up to [MaxCustom] custom attributes. An empty condition admits everyone.
func Compile(mapping map[string]string, condition string) (*Rules, error) {
	r := &Rules{mapping: make(map[string]cel.Program, len(mapping))}
	if _, ok := mapping[subjectKey]; !ok {
		return nil, errors.New("attribute mapping: google.subject is required")
	}
	r.keys = slices.Sorted(maps.Keys(mapping))
	if err := checkKeys(r.keys); err != nil {
		return nil, fmt.Errorf("attribute mapping: %w", err)
	}
	for _, key := range r.keys {
		program, err := compileMapping(key, mapping[key])
		if err != nil {
			return nil, fmt.Errorf("attribute mapping: %s: %w", key, err)
		}
		r.mapping[key] = program
	}
	if condition == "" {
		return r, nil
	}
	var err error
	if r.condition, err = compileCondition(condition); err != nil {
		return nil, fmt.Errorf("attribute condition: %w", err)
	}
	return r, nil
}

func checkKeys(keys []string) error {
	custom := 0
	for _, key := range keys {
		switch {
		case key == subjectKey, key == groupsKey:
		case customKey.MatchString(key):
			custom++
		default:
			return fmt.Errorf("key %.120q: want google.subject, google.groups or attribute.NAME, where NAME is 1 to 100 of a-z, 0-9 and _", key)
		}
	}
	if custom > MaxCustom {
		return fmt.Errorf("%d custom attributes, at most %d are allowed", custom, MaxCustom)
	}
	return nil
}

func compileMapping(key, expression string) (cel.Program, error) {
	env, err := mappingEnv()
	if err != nil {
		return nil, err
	}
	ast, err := compile(env, expression, MaxExpression)
	if err != nil {
		return nil, err
	}
	want := cel.StringType
	if key == groupsKey {
		want = cel.ListType(cel.StringType)
	}
	if !want.IsAssignableType(ast.OutputType()) && !ast.OutputType().IsAssignableType(want) {
		return nil, fmt.Errorf("the expression gives %s, want %s", ast.OutputType(), want)
	}
	return env.Program(ast, bounds()...)
}

// compile reads an expression of at most limit characters and checks its types and extract templates.
func compile(env *cel.Env, expression string, limit int) (*cel.Ast, error) {
	if n := utf8.RuneCountInString(expression); n > limit {
		return nil, fmt.Errorf("%d characters, at most %d are allowed", n, limit)
	}
	if !utf8.ValidString(expression) {
		return nil, errors.New("not valid UTF-8")
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if err := checkTemplates(ast); err != nil {
		return nil, err
	}
	return ast, nil
}

// Map turns an assertion into attributes. The assertion is the GetCallerIdentity answer (account, arn, userid) for AWS,
// and the token's claims for OIDC, where json.Number is read as an integer if it is one.
//
// A claim that an expression needs and the assertion lacks is an error, as is an empty subject. google.subject and custom
// attributes must come out as strings, google.groups as a list of strings; nothing is converted, so that a number or list
// that would have to be guessed at in a binding is refused here. Too large a result is a [*LimitError].
func (r *Rules) Map(assertion map[string]any) (Attributes, error) {
	a := Attributes{Custom: map[string]string{}}
	vars := map[string]any{"assertion": orEmpty(assertion)}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for _, key := range r.keys {
		value, _, err := evaluate(ctx, r.mapping[key], vars)
		if err != nil {
			return Attributes{}, fmt.Errorf("mapping %s: %w", key, err)
		}
		if err := a.set(key, value); err != nil {
			return Attributes{}, fmt.Errorf("mapping %s: %w", key, err)
		}
	}
	if a.Subject == "" {
		return Attributes{}, errors.New("mapping google.subject: the expression gave an empty string")
	}
	return a, a.checkSize()
}

func (a *Attributes) set(key string, value ref.Val) (err error) {
	switch key {
	case subjectKey:
		a.Subject, err = text(value)
	case groupsKey:
		a.Groups, err = texts(value)
	default:
		a.Custom[strings.TrimPrefix(key, customPrefix)], err = text(value)
	}
	return err
}

func text(value ref.Val) (string, error) {
	s, ok := value.(types.String)
	if !ok {
		return "", fmt.Errorf("the expression gave %s, want string", value.Type())
	}
	return string(s), nil
}

func texts(value ref.Val) ([]string, error) {
	list, ok := value.(traits.Lister)
	if !ok {
		return nil, fmt.Errorf("the expression gave %s, want a list of strings", value.Type())
	}
	all := []string{}
	for it := list.Iterator(); it.HasNext() == types.True; {
		s, err := text(it.Next())
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", len(all)+1, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func orEmpty(assertion map[string]any) map[string]any {
	if assertion == nil {
		return map[string]any{}
	}
	return assertion
}
