package policy

import "github.com/expr-lang/expr/vm"

// ClaimsCondition is an expression that must be true of the claims of an identity token:
// claims.repository == "acme/app". A claim that is not there is equal to nothing but nil.
type ClaimsCondition struct{ program *vm.Program }

// claimsFacts are what such a condition sees.
type claimsFacts struct {
	Claims map[string]any `expr:"claims"`
}

// CompileClaims checks a condition, within the same bounds as those of policies.
func CompileClaims(must string) (ClaimsCondition, error) {
	program, err := compileMust(must, &claimsFacts{})
	return ClaimsCondition{program}, err
}

// Holds reports whether the condition is true. One that cannot be worked out is not.
func (c ClaimsCondition) Holds(claims map[string]any) bool {
	return holds(c.program, &claimsFacts{claims})
}
