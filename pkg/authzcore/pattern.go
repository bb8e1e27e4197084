package authzcore

import (
	"fmt"
	"regexp/syntax"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// maxPatternSteps bounds the program of a regular expression: the time to match
// is the product of it and the text's length.
const maxPatternSteps = 500

// checkPatterns bounds the regular expressions of matches. Their patterns must
// be texts in the expression: what it takes to compile one that comes with a
// question is not bounded by the cost limit.
//
// Errors: *expressionError.
func checkPatterns(of *cel.Ast) error {
	native := of.NativeRep()
	for _, call := range ast.MatchDescendants(ast.NavigateAST(native), ast.FunctionMatcher("matches")) {
		arguments := call.AsCall().Args()
		pattern := arguments[len(arguments)-1]
		at := native.SourceInfo().GetStartLocation(call.ID())
		refuse := func(message string) error {
			return &expressionError{line: at.Line(), column: at.Column(), message: message}
		}
		if pattern.Kind() != ast.LiteralKind {
			return refuse("the pattern of matches must be a text in quotes")
		}
		text, ok := pattern.AsLiteral().(types.String)
		if !ok {
			return refuse("the pattern of matches must be a text in quotes")
		}
		parsed, err := syntax.Parse(string(text), syntax.Perl)
		if err != nil {
			return refuse("the pattern of matches is no regular expression")
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil || len(program.Inst) > maxPatternSteps {
			return refuse(fmt.Sprintf("the pattern of matches has more than %d steps", maxPatternSteps))
		}
	}
	return nil
}
