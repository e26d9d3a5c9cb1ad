package router

import (
	"slices"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
)

// crowd remembers names for which there is no room for a limit of their own. They share one,
// and are tried again after a while.
type crowd struct {
	mu    sync.Mutex
	until map[string]time.Time // by the id of the budget that they would have
}

const (
	crowdedFor  = time.Minute
	mostCrowded = 10_000
)

func (c *crowd) has(id string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.until[id])
}

func (c *crowd) note(id string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil || len(c.until) >= mostCrowded {
		c.until = make(map[string]time.Time)
	}
	c.until[id] = now.Add(crowdedFor)
}

// partLimits are the part budgets that one request counts against: those of the model and the
// credential that serve it, and of whom it is for. They apply in addition to those of its key and
// the key's owners.
type partLimits struct {
	key     *billing.Key
	at      time.Time
	groups  policy.Groups
	crowd   *crowd
	decided map[string]billing.Budget // by the id of the budget for a name alone
}

// partLimitsOf returns the part budgets that apply to a request of a key at a given time; nil if there
// are none. Budgets that name models may name groups of models.
func partLimitsOf(key *billing.Key, at time.Time, groups policy.Groups, crowd *crowd) *partLimits {
	if !key.Parted() {
		return nil
	}
	return &partLimits{key: key, at: at, groups: groups, crowd: crowd, decided: make(map[string]billing.Budget)}
}

// budgets returns those that a call of a target counts against.
func (l *partLimits) budgets(t *providers.Target) (all []billing.Budget) {
	if l == nil {
		return nil
	}
	for i := range l.key.Budgets {
		b := &l.key.Budgets[i]
		if b.Part == "" {
			continue
		}
		name := l.name(b.Part, t)
		if name == "" || b.Named != "" && !l.means(b, name, t) {
			continue
		}
		all = append(all, l.below(b, name))
	}
	return all
}

// name returns the name whose part budget a call of a target counts against; "" if nobody
// vouches for it.
func (l *partLimits) name(p billing.Part, t *providers.Target) string {
	if tag, ok := p.Tag(); ok {
		return l.key.Tags[tag]
	}
	switch p {
	case billing.PartModel:
		return t.Model
	case billing.PartCredential:
		return credential(t)
	case billing.PartEndUser:
		return l.key.EndUser
	case billing.PartUser:
		if subject := l.key.Tags[billing.TagSubject]; subject != "" {
			return l.key.Tags[billing.TagIssuer] + " " + subject
		}
		return l.key.OwnerID
	}
	return ""
}

// credential returns the name of a target's credential, including its provider, if it has one.
func credential(t *providers.Target) string {
	if t.Account == "" {
		return t.Provider
	}
	return t.Provider + "/" + t.Account
}

// means reports whether a part budget refers to this name: a provider stands for all its
// credentials, a model for the same model at every provider.
func (l *partLimits) means(b *billing.Budget, name string, t *providers.Target) bool {
	switch b.Part { //nolint:exhaustive // other parts are named as they are
	case billing.PartModel:
		return l.groups.In([]string{b.Named}, name) || l.groups.In([]string{b.Named}, t.Name())
	case billing.PartCredential:
		return policy.Match(b.Named, name) || policy.Match(b.Named, t.Provider)
	}
	return b.Named == name
}

// below returns the budget of a name, or the one that it shares with others.
func (l *partLimits) below(b *billing.Budget, name string) billing.Budget {
	own := b.Below(name)
	if is, ok := l.decided[own.ID]; ok {
		return is
	}
	is := own
	if l.crowd.has(own.ID, l.at) {
		is = b.Rest()
	}
	l.decided[own.ID] = is
	return is
}

// share makes the name whose budget has this id share a limit with others from now on. It
// returns false if the name has no budget of its own here.
func (l *partLimits) share(id string) bool {
	if l == nil {
		return false
	}
	own, known := l.decided[id]
	if !known || own.IsRest() {
		return false
	}
	l.crowd.note(id, l.at)
	i := slices.IndexFunc(l.key.Budgets, func(b billing.Budget) bool { return b.ID == own.Parent })
	l.decided[id] = l.key.Budgets[i].Rest()
	return true
}

// ids returns the names of a call's limits, as its row shows them.
func (l *partLimits) ids(t *providers.Target) (ids []string) {
	for _, b := range l.budgets(t) {
		ids = append(ids, b.ID)
	}
	return ids
}

// lines returns the budgets of a call of a target in their windows, except those already in the
// hold.
func (l *partLimits) lines(t *providers.Target, held []billing.HoldLine) (lines []billing.HoldLine, err error) {
	for _, b := range l.budgets(t) {
		if slices.ContainsFunc(held, func(h billing.HoldLine) bool { return h.Budget.ID == b.ID }) {
			continue
		}
		line, err := b.Line(l.at)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}
