// Package plan decides which targets may serve a request, in which order they are tried, and
// why the others are not. It is pure: prices, health and random numbers are among its
// arguments, and it has no clock.
//
// Its files, from the bottom up: candidate.go, tier.go, ability.go, strategy.go, plan.go,
// refusal.go; credential.go stands alone.
package plan
