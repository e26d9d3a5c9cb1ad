package policy

import (
	"slices"
	"strings"
)

// Wider returns where a policy allows something that the one above it doesn't. Whatever a
// policy leaves out, it inherits. Hours in different time zones aren't compared. Nothing
// that any level forbids is ever allowed: this check serves those who write policies, so
// that none claims what it can't grant.
func (p *Policy) Wider(above *Policy, groups Groups) []Fault {
	if p == nil || above == nil {
		return nil
	}
	var all faults
	for _, l := range []struct {
		name       string
		own, above []string
	}{
		{"models", groups.spread(p.Models), groups.spread(above.Models)},
		{"providers", p.Providers, above.Providers},
		{"endpoints", p.Endpoints, above.Endpoints},
		{"features", p.Features, above.Features},
		{"origins", p.Origins, above.Origins},
		{"referers", p.Referers, above.Referers},
	} {
		for _, e := range l.own {
			_, model, _ := strings.Cut(e, "/") // of any provider
			if l.above != nil && !covers(l.above, e) && (l.name != "models" || !covers(l.above, model)) {
				all.add(l.name, "has %q, which the level above does not allow", e)
			}
		}
	}
	allowed := parseRanges(above.AllowedCIDRs)
	for _, e := range p.AllowedCIDRs {
		if own, ok := ParseRange(e); above.AllowedCIDRs != nil && (!ok || !CoversRange(allowed, own)) {
			all.add("allowed_cidrs", "has %s, which the level above does not allow", e)
		}
	}
	most := above.maxima()
	for i, n := range p.maxima() {
		if limit := *most[i].value; limit > 0 && *n.value > limit {
			all.add(n.name, "must be at most %d, as at the level above", limit)
		}
	}
	if p.Hours != nil && above.Hours != nil && hoursWider(p.Hours, above.Hours) {
		all.add("hours", "has some that the level above does not allow")
	}
	return all
}

// hoursWider compares hours minute by minute, if all are in one time zone.
func hoursWider(own, above []Hours) bool {
	for _, h := range slices.Concat(own, above) {
		if h.Zone != own[0].Zone || h.fault() != "" {
			return false
		}
	}
	allowed := week(above)
	for i, in := range week(own) {
		if in && !allowed[i] {
			return true
		}
	}
	return false
}

// week says for each minute of the week whether it falls within the hours.
func week(list []Hours) (in [7 * 24 * 60]bool) {
	for _, one := range list {
		h := one.compile()
		for i := range in {
			day, minute := i/(24*60), i%(24*60)
			if h.covers(day, minute) {
				in[i] = true
			}
		}
	}
	return in
}
