// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"context"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

type condition struct {
	program cel.Program
	traced  cel.Program // evaluates every part and remembers what each gave
	checked *ast.AST
}

func compileCondition(expression string) (*condition, error) {
	env, err := conditionEnv()
	if err != nil {
		return nil, err
	}
	checked, err := compile(env, expression, MaxCondition)
	if err != nil {
		return nil, err
	}
	if out := checked.OutputType(); !cel.BoolType.IsAssignableType(out) && !out.IsAssignableType(cel.BoolType) {
		return nil, fmt.Errorf("the expression gives %s, want bool", out)
	}
	program, err := env.Program(checked, bounds()...)
	if err != nil {
		return nil, err
	}
	traced, err := env.Program(checked, append(bounds(), cel.EvalOptions(cel.OptExhaustiveEval|cel.OptTrackState))...)
	if err != nil {
		return nil, err
	}
	return &condition{program: program, traced: traced, checked: checked.NativeRep()}, nil
}

// Admits reports whether the condition lets this caller in; without a condition, everyone is. A condition that cannot be
// decided, because a claim is missing or it gives something else than a bool, is an error and admits nobody.
func (r *Rules) Admits(assertion map[string]any, a Attributes) (bool, error) {
	if r.condition == nil {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	value, _, err := evaluate(ctx, r.condition.program, variables(assertion, a))
	if err != nil {
		return false, fmt.Errorf("attribute condition: %w", err)
	}
	admitted, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("attribute condition: the expression gave %s, want bool", value.Type())
	}
	return bool(admitted), nil
}

func variables(assertion map[string]any, a Attributes) map[string]any {
	google := map[string]any{"subject": a.Subject}
	if a.Groups != nil {
		google["groups"] = a.Groups
	}
	custom := a.Custom
	if custom == nil {
		custom = map[string]string{}
	}
	return map[string]any{"assertion": orEmpty(assertion), "google": google, "attribute": custom}
}
