// SPDX-License-Identifier: Apache-2.0

package gcptrust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// Explain says why the condition does not admit a caller: one line for each part joined by && that is not true, with the
// value of every variable in it.
//
//	attribute.aws_role == "arn:…/etl-role" is false: attribute.aws_role is "arn:…/etl-role-2"
//
// It is empty when the condition is true, or there is none.
func (r *Rules) Explain(assertion map[string]any, a Attributes) string {
	if r.condition == nil {
		return ""
	}
	if admitted, _ := r.Admits(assertion, a); admitted {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	_, details, err := evaluate(ctx, r.condition.traced, variables(assertion, a))
	if _, stopped := errors.AsType[interpreter.EvalCancelledError](err); stopped || details == nil || details.State() == nil {
		return fmt.Sprint("the condition could not be decided: ", err)
	}
	var lines []string
	for _, part := range conjuncts(r.condition.checked.Expr(), nil) {
		if value, _ := details.State().Value(part.ID()); value != types.True {
			lines = append(lines, r.condition.explain(part, details.State()))
		}
	}
	return strings.Join(lines, "\n")
}

// conjuncts are the parts of an expression that must all be true.
func conjuncts(e ast.Expr, parts []ast.Expr) []ast.Expr {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.LogicalAnd {
		return append(parts, e)
	}
	for _, arg := range e.AsCall().Args() {
		parts = conjuncts(arg, parts)
	}
	return parts
}

func (c *condition) explain(part ast.Expr, state interpreter.EvalState) string {
	written, err := cel.ExprToString(part, c.checked.SourceInfo())
	if err != nil {
		written = "a part of the condition"
	}
	value, _ := state.Value(part.ID())
	line := written + " is " + show(value)
	sep := ": "
	for _, v := range mentioned(ast.NavigateExpr(c.checked, part), nil) {
		value, _ := state.Value(v.id)
		line += sep + v.name + " is " + show(value)
		sep = ", "
	}
	return line
}

// longest bounds how much of one value an explanation shows, in bytes.
const longest = 200

func show(value ref.Val) string {
	switch value := value.(type) {
	case nil:
		return "not looked at"
	case *types.Err:
		return "undecided (" + value.String() + ")"
	case types.String:
		return fmt.Sprintf("%.*q", longest, string(value))
	}
	text := types.Format(value)
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

type variable struct {
	name string // as written: assertion.arn
	id   int64
}

// mentioned are the variables under an expression, each once and in the order written.
func mentioned(e ast.NavigableExpr, found []variable) []variable {
	if name := variableName(e); name != "" {
		if !slices.ContainsFunc(found, func(v variable) bool { return v.name == name }) {
			found = append(found, variable{name, e.ID()})
		}
		return found
	}
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() { // has(…): whether, not what
		return found
	}
	for _, child := range e.Children() {
		found = mentioned(child, found)
	}
	return found
}

// variableName is what an expression like assertion.arn or assertion['sub'] is called; empty for any other expression.
func variableName(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		if name := e.AsIdent(); name == "assertion" || name == "google" || name == "attribute" {
			return name
		}
	case ast.SelectKind:
		if of := variableName(e.AsSelect().Operand()); of != "" && !e.AsSelect().IsTestOnly() {
			return of + "." + e.AsSelect().FieldName()
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || call.Args()[1].Kind() != ast.LiteralKind {
			return ""
		}
		if of := variableName(call.Args()[0]); of != "" {
			return fmt.Sprintf("%s[%s]", of, types.Format(call.Args()[1].AsLiteral()))
		}
	}
	return ""
}
