package authzcore

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	openfgav1 "github.com/openfga/api/proto/openfga/v1"
)

// addConditions takes the conditions that a file defines.
func (r *reader) addConditions(s *source, parsed *openfgav1.AuthorizationModel) {
	names := make([]string, 0, len(parsed.GetConditions()))
	for name := range parsed.GetConditions() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := s.conditionAt(name)
		if r.ctx.Err() != nil {
			return
		}
		if len(r.schema.conditions) >= maxConditions {
			r.report(at.problem(fmt.Sprintf("a model has at most %d conditions", maxConditions)))
			return
		}
		if other := r.schema.conditions[name]; other != nil {
			p := at.problem(fmt.Sprintf("condition %s is defined already in %s", name, owner(other.module, other.at.file)))
			p.Conflict = other.at.file != s.path
			r.report(p)
			continue
		}
		if err := checkName("condition", "name", name); err != nil {
			r.report(at.problem(err.Error()))
			continue
		}
		r.addCondition(s, at, parsed.GetConditions()[name])
	}
}

func (r *reader) addCondition(s *source, at place, parsed *openfgav1.Condition) {
	c := &condition{name: parsed.GetName(), module: s.module, at: at, expression: parsed.GetExpression()}
	if len(c.expression) > maxExpressionBytes {
		r.report(at.problem(fmt.Sprintf("the expression of a condition has at most %d bytes", maxExpressionBytes)))
		return
	}
	if len(parsed.GetParameters()) > maxParameters {
		r.report(at.problem(fmt.Sprintf("a condition has at most %d parameters", maxParameters)))
		return
	}
	for name, ref := range parsed.GetParameters() {
		typ := typeOfParameter(ref)
		if !typ.known() {
			r.report(at.problem(fmt.Sprintf("parameter %s has no type of the language", name)))
			return
		}
		c.parameters = append(c.parameters, parameter{name: name, typ: typ})
	}
	slices.SortFunc(c.parameters, func(a, b parameter) int { return compare(a.name, b.name) })
	r.schema.conditions[c.name] = c
	var wrong *expressionError
	switch err := c.compile(); {
	case errors.As(err, &wrong):
		r.report(s.inExpression(at, c.expression, wrong).problem(fmt.Sprintf("condition %s: %s", c.name, wrong.message)))
	case err != nil:
		r.report(at.problem(err.Error()))
	}
}

func typeOfParameter(ref *openfgav1.ConditionParamTypeRef) parameterType {
	name := func(n openfgav1.ConditionParamTypeRef_TypeName) string {
		return strings.ToLower(strings.TrimPrefix(n.String(), "TYPE_NAME_"))
	}
	out := parameterType{name: name(ref.GetTypeName())}
	if generic := ref.GetGenericTypes(); len(generic) == 1 {
		out.of = &parameterType{name: name(generic[0].GetTypeName())}
	}
	return out
}

// conditionAt returns where a condition is defined.
func (s *source) conditionAt(name string) place {
	at, _ := s.find(func(d definition) bool { return d.keyword == "condition" && d.name == name }, 0)
	return at
}

// inExpression returns where in the file a mistake in an expression is: the
// parser keeps the expression's lines, but not where they stood.
func (s *source) inExpression(at place, expression string, wrong *expressionError) place {
	lines := strings.Split(expression, "\n")
	n, found := s.onLine[at.line-1]
	if !found || wrong.line < 1 || wrong.line > len(lines) {
		return at
	}
	text := lines[wrong.line-1]
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return at
	}
	d := s.definitions[n]
	for i := d.line; i < d.end; i++ {
		if c := strings.Index(s.lines[i], trimmed); c >= 0 {
			indent := strings.Index(text, trimmed)
			return s.at(i, c+max(wrong.column-indent, 0))
		}
	}
	return at
}
