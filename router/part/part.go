// Package part says with which limits of parts a request is counted: of the model and the
// credential that serve it, and of whom it is for.
package part

import (
	"slices"
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
)

// Crowd remembers names for which there is no room for a limit of their own. They share one,
// and are tried again after a while.
type Crowd struct {
	mu    sync.Mutex
	until map[string]time.Time // by the id of the budget that they would have
}

const (
	crowdedFor  = time.Minute
	mostCrowded = 10_000
)

func (c *Crowd) has(id string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.until[id])
}

func (c *Crowd) note(id string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil || len(c.until) >= mostCrowded {
		c.until = make(map[string]time.Time)
	}
	c.until[id] = now.Add(crowdedFor)
}

// Limits are the limits of parts that bind one request: with whom it is counted, beside
// its key and the owners of that.
type Limits struct {
	key     *billing.Key
	at      time.Time
	groups  policy.Groups
	crowd   *Crowd
	decided map[string]billing.Budget // by the id of the budget of a name alone
}

// Of are the limits of parts that bind a request of a key at an instant; nil where there are
// none. Those that name models may name groups of them.
func Of(key *billing.Key, at time.Time, groups policy.Groups, crowd *Crowd) *Limits {
	if !key.Parted() {
		return nil
	}
	return &Limits{key: key, at: at, groups: groups, crowd: crowd, decided: make(map[string]billing.Budget)}
}

// Budgets are those that a call of a target is counted with.
func (l *Limits) Budgets(t *providers.Target) (all []billing.Budget) {
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

// name is whose part a call of a target is; "" where nobody vouches for the name.
func (l *Limits) name(p billing.Part, t *providers.Target) string {
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

// credential is what that of a target is called: by its provider, where that has one.
func credential(t *providers.Target) string {
	if t.Account == "" {
		return t.Provider
	}
	return t.Provider + "/" + t.Account
}

// means reports that a budget for a part names this one: a provider stands for all of its
// credentials, a model for that of every provider.
func (l *Limits) means(b *billing.Budget, name string, t *providers.Target) bool {
	switch b.Part {
	case billing.PartModel:
		return l.groups.In([]string{b.Named}, name) || l.groups.In([]string{b.Named}, t.Name())
	case billing.PartCredential:
		return policy.Match(b.Named, name) || policy.Match(b.Named, t.Provider)
	}
	return b.Named == name
}

// below is the budget of a name, or the one that it shares with others.
func (l *Limits) below(b *billing.Budget, name string) billing.Budget {
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

// Share has a name share a limit with others from now on, and reports that there is such.
func (l *Limits) Share(id string) bool {
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

// Named is how rows name the limits of a call; nil where there are none.
func (l *Limits) Named() func(*providers.Target) []string {
	if l == nil {
		return nil
	}
	return l.ids
}

// ids are how the row of a call of a target names them.
func (l *Limits) ids(t *providers.Target) (ids []string) {
	for _, b := range l.Budgets(t) {
		ids = append(ids, b.ID)
	}
	return ids
}

// Lines are the budgets of a call of a target in their windows, but for those that a hold
// is of already.
func (l *Limits) Lines(t *providers.Target, held []billing.HoldLine) (lines []billing.HoldLine, err error) {
	for _, b := range l.Budgets(t) {
		if slices.ContainsFunc(held, func(h billing.HoldLine) bool { return h.Budget.ID == b.ID }) {
			continue
		}
		w, err := b.Window(l.at)
		if err != nil {
			return nil, err
		}
		lines = append(lines, billing.HoldLine{Budget: b, Window: w})
	}
	return lines, nil
}
