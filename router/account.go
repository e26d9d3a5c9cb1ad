package router

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"time"

	"tallyroute/providers"
	"tallyroute/router/health"
)

// mostAccounts is how many credentials of one provider are tried for a request.
const mostAccounts = 3

// healthKeys are the names by which the health of a target and of its provider
// are kept. With several credentials each has a health of its own: one that is
// refused, or has used up its rate, says nothing about the others.
func healthKeys(t providers.Target) (target, provider string) {
	if t.Account == "" {
		return t.Name(), t.Provider
	}
	return t.Name() + "#" + t.Account, t.Provider + "#" + t.Account
}

// state is how a target stands: as well as its best credential does.
func (r *Router) state(t providers.Target, now time.Time) health.State {
	if len(t.Credentials) == 0 {
		return r.Health.State(t.Name(), t.Provider, now)
	}
	best := health.State{Status: health.Open}
	first := true
	for _, c := range t.Credentials {
		if c.Weight == 0 {
			continue
		}
		s := r.Health.State(accountKeys(t, c, now))
		if first || s.Status < best.Status || s.Status == best.Status && s.RetryAfter < best.RetryAfter {
			best, first = s, false
		}
	}
	return best
}

func accountKeys(t providers.Target, c providers.Credential, now time.Time) (target, provider string, at time.Time) {
	target, provider = healthKeys(t.With(c))
	return target, provider, now
}

// accounts is c with each of the credentials with which it may be called: those
// that are ready first, each before another by the chance that its weight gives it.
func (r *Router) accounts(c Candidate) iter.Seq[Candidate] {
	return func(yield func(Candidate) bool) {
		if len(c.Target.Credentials) == 0 {
			yield(c)
			return
		}
		for _, credential := range r.drawn(c.Target) {
			account := c
			account.Target = c.Target.With(credential)
			if !yield(account) {
				return
			}
		}
	}
}

// drawn draws credentials by weight until none or enough are left.
func (r *Router) drawn(t providers.Target) []providers.Credential {
	now := r.o.Clock()
	left := slices.DeleteFunc(slices.Clone(t.Credentials), func(c providers.Credential) bool { return c.Weight <= 0 })
	var list []providers.Credential
	for len(left) > 0 {
		var sum int64
		for _, c := range left {
			sum += int64(c.Weight)
		}
		n := r.o.Random(sum)
		i := 0
		for n -= int64(left[0].Weight); n >= 0; n -= int64(left[i].Weight) {
			i++
		}
		list = append(list, left[i])
		left = slices.Delete(left, i, i+1)
	}
	slices.SortStableFunc(list, func(a, b providers.Credential) int {
		return cmp.Compare(r.Health.State(accountKeys(t, a, now)).Status, r.Health.State(accountKeys(t, b, now)).Status)
	})
	return list[:min(len(list), mostAccounts)]
}

// anotherMay reports that a call failed for what another credential may not meet.
func anotherMay(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind.AnotherCredential() || errors.Is(err, errTrialTaken)
}
