// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds on evaluating. In CEL's own units the default AWS mapping costs under 20, and maxCost takes some hundredths of
// a second. Regular expressions need a bound of their own: (x{0,1000}) written 300 times costs CEL little and Go minutes.
// The deadline is for what CEL does not charge at all, such as failing over and over inside exists.
const (
	maxCost    = 100_000
	maxItems   = 100_000 // strings and list items alive at once
	maxProgram = 1_000   // instructions of one compiled regular expression; [a-z]{1,64} has 130
	deadline   = 2 * time.Second
)

// The two environments never change once made, and making one is slow.
var (
	mappingEnv = sync.OnceValues(func() (*cel.Env, error) {
		return cel.NewEnv(append(language(), cel.Variable("assertion", claims))...)
	})
	conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
		return cel.NewEnv(append(language(),
			cel.Variable("assertion", claims),
			cel.Variable("google", claims),
			cel.Variable("attribute", cel.MapType(cel.StringType, cel.StringType)))...)
	})
	claims = cel.MapType(cel.StringType, cel.DynType)
)

// language is standard CEL and the string functions Google documents for mappings: extract (IAM Conditions reference),
// split (federation with Azure DevOps) and lowerAscii (identity providers that vary in letter case). The other members of
// CEL's string library are left out: an expression that only works here is no help, and join and replace can make
// something huge out of something small in one step, past any cost limit.
func language() []cel.EnvOption {
	onString := func(name string, gives *cel.Type, args []*cel.Type, does cel.OverloadOpt) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload("string_"+name, append([]*cel.Type{cel.StringType}, args...), gives, does))
	}
	return []cel.EnvOption{
		cel.EnableMacroCallTracking(), // so that an explanation shows has(…) as it was written
		cel.ParserExpressionSizeLimit(MaxCondition),
		cel.RegexProgramSizeLimit(maxProgram), // written out or put together as it runs
		onString("extract", cel.StringType, []*cel.Type{cel.StringType}, cel.BinaryBinding(celExtract)),
		onString("split", cel.ListType(cel.StringType), []*cel.Type{cel.StringType}, cel.BinaryBinding(celSplit)),
		onString("lowerAscii", cel.StringType, nil, cel.UnaryBinding(celLowerASCII)),
	}
}

// evaluate runs a program until it ends, exceeds a bound or ctx does.
func evaluate(ctx context.Context, program cel.Program, vars map[string]any) (ref.Val, *cel.EvalDetails, error) {
	value, details, err := program.ContextEval(ctx, vars)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil, fmt.Errorf("time limit exceeded: not done after %v", deadline)
	}
	return value, details, err
}

// bounds keep a hostile expression from hanging its evaluator.
func bounds() []cel.ProgramOption {
	byLength := func(args []ref.Val, _ ref.Val) *uint64 {
		n := uint64(1)
		if s, ok := args[0].(types.String); ok {
			n += uint64(len(s))
		}
		return &n
	}
	return []cel.ProgramOption{
		cel.InterruptCheckFrequency(1),
		cel.CostLimit(maxCost),
		cel.MemoryLimit(maxItems),
		cel.CostTrackerOptions(
			cost.OverloadTracker("string_extract", byLength),
			cost.OverloadTracker("string_split", byLength),
			cost.OverloadTracker("string_lowerAscii", byLength),
		),
	}
}

func celExtract(value, template ref.Val) ref.Val {
	before, after, err := parseTemplate(string(template.(types.String)))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.String(extract(string(value.(types.String)), before, after))
}

func celSplit(value, separator ref.Val) ref.Val {
	parts := strings.Split(string(value.(types.String)), string(separator.(types.String)))
	return types.NewStringList(types.DefaultTypeAdapter, parts)
}

func celLowerASCII(value ref.Val) ref.Val {
	return types.String(strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, string(value.(types.String))))
}

// extract is the text between the first before and the next after: from the start if before is empty, to the end if
// after is. Where either is not found, it is the empty string.
func extract(s, before, after string) string {
	_, rest, found := strings.Cut(s, before)
	if !found {
		return ""
	}
	if after == "" {
		return rest
	}
	wanted, _, found := strings.Cut(rest, after)
	if !found {
		return ""
	}
	return wanted
}

// parseTemplate splits an extract template, 'before{name}after', around its one name in braces.
func parseTemplate(template string) (before, after string, err error) {
	before, rest, opened := strings.Cut(template, "{")
	name, after, closed := strings.Cut(rest, "}")
	if !opened || !closed || name == "" || strings.ContainsAny(before+name+after, "{}") {
		return "", "", fmt.Errorf("extract template %.100q: want text with one {name} in it", template)
	}
	return before, after, nil
}

// checkTemplates reads the extract templates that are written out in an expression, so that a faulty one is found before
// the first caller meets it.
func checkTemplates(checked *cel.Ast) error {
	var faults []error
	root := ast.NavigateAST(checked.NativeRep())
	for _, call := range ast.MatchDescendants(root, ast.FunctionMatcher("extract")) {
		for _, arg := range call.AsCall().Args() {
			if arg.Kind() != ast.LiteralKind {
				continue
			}
			if template, ok := arg.AsLiteral().(types.String); ok {
				_, _, err := parseTemplate(string(template))
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}
