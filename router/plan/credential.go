package plan

import (
	"cmp"
	"slices"

	"tallyroute/providers"
	"tallyroute/router/health"
)

// mostCredentials is how many credentials of one provider are tried for a request.
const mostCredentials = 3

// Best returns the state of a target that may be called with any of these credentials, whose
// states are given: that of its best credential. A credential without a weight takes no calls.
func Best(credentials []providers.Credential, states []health.State) health.State {
	best := health.State{Status: health.Open}
	first := true
	for i, s := range states {
		if credentials[i].Weight == 0 {
			continue
		}
		if first || s.Status < best.Status || s.Status == best.Status && s.RetryAfter < best.RetryAfter {
			best, first = s, false
		}
	}
	return best
}

// Draw returns the credentials to call a target with, in order: ready ones first, spare ones
// after the others, and otherwise in a random order according to their weights. random(n)
// returns a number from 0 to n-1.
func Draw(credentials []providers.Credential, states []health.State, random func(n int64) int64) []providers.Credential {
	type ticket struct {
		credential providers.Credential
		status     health.Status
	}
	var left, drawn []ticket
	for i, c := range credentials {
		if c.Weight > 0 {
			left = append(left, ticket{c, states[i].Status})
		}
	}
	for len(left) > 0 {
		var sum int64
		for _, t := range left {
			sum += int64(t.credential.Weight)
		}
		n := random(sum)
		i := 0
		for n -= int64(left[0].credential.Weight); n >= 0; n -= int64(left[i].credential.Weight) {
			i++
		}
		drawn = append(drawn, left[i])
		left = slices.Delete(left, i, i+1)
	}
	slices.SortStableFunc(drawn, func(a, b ticket) int {
		return cmp.Or(cmp.Compare(a.status, b.status), compareSpare(a.credential, b.credential))
	})
	list := make([]providers.Credential, min(len(drawn), mostCredentials))
	for i := range list {
		list[i] = drawn[i].credential
	}
	return list
}

// compareSpare puts spare credentials last.
func compareSpare(a, b providers.Credential) int {
	switch {
	case a.Spare == b.Spare:
		return 0
	case a.Spare:
		return 1
	}
	return -1
}
