package policy

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// ClaimsCondition is an expression that must be true of the claims of an identity token:
// claims.repository == "acme/app". A claim that is not there is equal to nothing but nil.
type ClaimsCondition struct{ program *vm.Program }

// claimsFacts are what such a condition sees.
type claimsFacts struct {
	Claims map[string]any `expr:"claims"`
}

// CompileClaims checks a condition, within the same bounds as those of policies.
func CompileClaims(must string) (ClaimsCondition, error) {
	if len(must) > longestMust {
		return ClaimsCondition{}, fmt.Errorf("must have at most %d bytes", longestMust)
	}
	var bound cost
	program, err := expr.Compile(must, expr.Env(&claimsFacts{}), expr.AsBool(), expr.MaxNodes(mostNodes), expr.DisableAllBuiltins(),
		expr.EnableBuiltin("len"), expr.EnableBuiltin("lower"), expr.Patch(&bound))
	switch {
	case err != nil:
		return ClaimsCondition{}, fmt.Errorf("is no condition: %s", strings.Join(strings.Fields(err.Error()), " "))
	case bound.fault != "":
		return ClaimsCondition{}, fmt.Errorf("must not have %s", bound.fault)
	}
	return ClaimsCondition{program}, nil
}

// Holds reports whether the condition is true. One that cannot be worked out is not.
func (c ClaimsCondition) Holds(claims map[string]any) bool {
	result, err := expr.Run(c.program, &claimsFacts{claims})
	is, ok := result.(bool)
	return err == nil && ok && is
}
