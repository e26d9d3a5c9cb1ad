package policy

import "github.com/expr-lang/expr/vm"

// ClaimsCondition is an expression that must hold for the claims of an identity token, such
// as claims.repository == "acme/app". A missing claim equals only nil.
type ClaimsCondition struct{ program *vm.Program }

// claimsFacts are the facts available to such a condition.
type claimsFacts struct {
	Claims map[string]any `expr:"claims"`
}

// CompileClaims compiles a condition, within the same limits as the conditions of policies.
func CompileClaims(must string) (ClaimsCondition, error) {
	program, err := compileMust(must, &claimsFacts{})
	return ClaimsCondition{program}, err
}

// Holds reports whether the condition is true. A condition that can't be evaluated doesn't
// hold.
func (c ClaimsCondition) Holds(claims map[string]any) bool {
	return holds(c.program, &claimsFacts{claims})
}
