package authzcore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// Limits of conditions.
const (
	maxConditions      = 200
	maxParameters      = 64
	maxExpressionBytes = 8 << 10
	maxExpressionDepth = 50
	// conditionCost is what one evaluation may cost, in CEL's units: about one
	// for an operation, one for ten bytes of a text that is looked at.
	conditionCost = 1000
	// interruptEvery is how many rounds of a comprehension lie between two looks
	// at the context.
	interruptEvery = 100
)

// condition is a condition of a model: an expression in CEL over parameters.
type condition struct {
	name   string
	module string
	at     place
	// id is the number in Names.
	id uint16
	// parameters, sorted by name.
	parameters []parameter
	expression string
	// normal is the expression without what means nothing: white space outside of
	// texts, comments, needless parentheses.
	normal  string
	program cel.Program
}

// parameter is a parameter of a condition.
type parameter struct {
	name string
	typ  parameterType
}

// find returns the parameter of a name; nil when there is none.
func (c *condition) find(name string) *parameter {
	i, found := slices.BinarySearchFunc(c.parameters, name, func(p parameter, name string) int { return compare(p.name, name) })
	if !found {
		return nil
	}
	return &c.parameters[i]
}

// baseEnv is CEL's standard library and the language's own type ipaddress.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.EagerlyValidateDeclarations(true),
		cel.EnableMacroCallTracking(), // for the normal form
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ParserExpressionSizeLimit(maxExpressionBytes),
		addressFunctions(),
	)
})

// expressionError is a mistake in an expression, at a place in it.
type expressionError struct {
	// line and column are 1-based and 0-based, as CEL has them.
	line, column int
	message      string
}

func (e *expressionError) Error() string { return e.message }

// compile makes the condition ready to be evaluated.
//
// Errors: *expressionError.
func (c *condition) compile() error {
	base, err := baseEnv()
	if err != nil {
		return fmt.Errorf("condition environment: %w", err)
	}
	options := make([]cel.EnvOption, len(c.parameters))
	for i, p := range c.parameters {
		options[i] = cel.Variable(p.name, p.typ.cel())
	}
	env, err := base.Extend(options...)
	if err != nil {
		return &expressionError{message: err.Error()}
	}
	ast, issues := env.CompileSource(common.NewStringSource(c.expression, c.name))
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return &expressionError{line: first.Location.Line(), column: first.Location.Column(), message: first.Message}
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return &expressionError{message: fmt.Sprintf("the expression must be true or false, but is of type %s", ast.OutputType())}
	}
	if err := checkPatterns(ast); err != nil {
		return err
	}
	if c.normal, err = cel.AstToString(ast); err != nil {
		return &expressionError{message: err.Error()}
	}
	c.program, err = env.Program(ast,
		cel.EvalOptions(cel.OptOptimize), cel.OptimizeRegex(interpreter.MatchesRegexOptimization),
		cel.CostLimit(conditionCost), cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		return &expressionError{message: err.Error()}
	}
	return nil
}

// settled are values cast for a condition: each parameter that was given has
// either a typed value or an error.
type settled struct {
	of    *condition
	typed map[string]any
	wrong map[string]*ContextError
}

// cast turns values of the condition's parameters into the types that its
// expression works with. Other names are ignored.
func (c *condition) cast(values map[string]any) *settled {
	out := &settled{of: c, typed: make(map[string]any, min(len(values), len(c.parameters)))}
	for i := range c.parameters {
		p := &c.parameters[i]
		value, given := values[p.name]
		if !given {
			continue
		}
		typed, err := p.typ.cast(value)
		if err == nil {
			out.typed[p.name] = typed
			continue
		}
		if out.wrong == nil {
			out.wrong = map[string]*ContextError{}
		}
		out.wrong[p.name] = &ContextError{Condition: c.name, Parameter: p.name, Detail: err.Error()}
	}
	return out
}

// err is the error of the first parameter, by name, that has one.
func (s *settled) err() error {
	for i := range s.of.parameters {
		if wrong := s.wrong[s.of.parameters[i].name]; wrong != nil {
			return wrong
		}
	}
	return nil
}

// merge joins the values of a relationship and, for what they leave open, those
// of a question. missing are the parameters that neither has, sorted.
//
// Errors: *ContextError, of a value that is used.
func (c *condition) merge(own, given *settled) (values map[string]any, missing []string, err error) {
	values = given.typed
	if len(own.typed) > 0 {
		values = make(map[string]any, len(c.parameters))
	}
	for i := range c.parameters {
		name := c.parameters[i].name
		mine, settled := own.typed[name]
		theirs, known := given.typed[name]
		switch {
		case settled:
			values[name] = mine
		case own.wrong[name] != nil:
			return nil, nil, own.wrong[name]
		case given.wrong[name] != nil:
			return nil, nil, given.wrong[name]
		case !known:
			missing = append(missing, name)
		case len(own.typed) > 0:
			values[name] = theirs
		}
	}
	return values, missing, nil
}

// evaluate evaluates the expression; every parameter must be among the values.
//
// Errors: *ConditionError; ctx.Err().
func (c *condition) evaluate(ctx context.Context, typed map[string]any) (bool, error) {
	out, _, err := c.program.ContextEval(ctx, typed)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		return false, &ConditionError{Condition: c.name, Detail: plainText(err)}
	}
	met, ok := out.(types.Bool)
	if !ok {
		return false, &ConditionError{Condition: c.name, Detail: "the expression is neither true nor false"}
	}
	return bool(met), nil
}

// plainText is an error of CEL without the values that it may hold.
func plainText(err error) string {
	text := err.Error()
	if failed, ok := errors.AsType[*types.Err](err); ok {
		text = failed.String()
	}
	for _, known := range []string{"cost limit exceeded", "division by zero", "modulus by zero", "no such overload", "overflow", "index out of bounds"} {
		if strings.Contains(text, known) {
			return known
		}
	}
	if strings.Contains(text, "no such key") {
		return "a map has no such key"
	}
	return "the expression cannot be evaluated with these values"
}

// canonical is the condition's line in the canonical form of a model.
func (c *condition) canonical() []string {
	words := []string{"condition", c.name, fmt.Sprintf("%q", c.module)}
	for _, p := range c.parameters {
		words = append(words, p.name+":"+p.typ.String())
	}
	return append(words, fmt.Sprintf("%q", c.normal))
}
