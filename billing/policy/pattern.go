package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Groups maps group names, as used with an @, to their patterns.
type Groups map[string][]string

// Match reports whether a name matches a pattern, in which each * stands for any
// characters.
func Match(pattern, name string) bool {
	head, rest, some := strings.Cut(pattern, "*")
	if !some {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], next
	}
}

// In reports whether a name matches one of the patterns, including those of groups. An
// unknown group contains nothing.
func (g Groups) In(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if group, named := strings.CutPrefix(p, "@"); named {
			return slices.ContainsFunc(g[group], func(p string) bool { return Match(p, name) })
		}
		return Match(p, name)
	})
}

// spread returns the patterns with the groups among them expanded.
func (g Groups) spread(patterns []string) (list []string) {
	for _, p := range patterns {
		if group, named := strings.CutPrefix(p, "@"); named {
			list = append(list, g[group]...)
			continue
		}
		list = append(list, p)
	}
	return list
}

// covers reports whether everything that matches a pattern also matches one of the others.
// The pattern's own * is treated as a character that only a * matches.
func covers(others []string, pattern string) bool {
	return slices.ContainsFunc(others, func(o string) bool { return Match(o, pattern) })
}

// Covers reports whether all the listed models are covered by those above, or else returns
// the first one that isn't.
func (g Groups) Covers(above, models []string) (outside string, ok bool) {
	above = g.spread(above)
	for _, m := range g.spread(models) {
		if _, model, _ := strings.Cut(m, "/"); !covers(above, m) && !covers(above, model) { // of any provider
			return m, false
		}
	}
	return "", true
}

// ParseRange parses an address range or a single address. An IPv4 address is the same in
// either notation.
func ParseRange(text string) (netip.Prefix, bool) {
	if one, err := netip.ParseAddr(text); err == nil && one.Zone() == "" {
		return unmapped(netip.PrefixFrom(one, one.BitLen())), true
	}
	p, err := netip.ParsePrefix(text)
	return unmapped(p).Masked(), err == nil
}

// parseRanges parses ranges; one that is invalid contains no address.
func parseRanges(texts []string) (ranges []netip.Prefix) {
	for _, text := range texts {
		p, _ := ParseRange(text)
		ranges = append(ranges, p)
	}
	return ranges
}

// unmapped returns a range of IPv4 addresses in IPv4 notation.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// CoversRange reports whether one of the ranges contains every address of another.
func CoversRange(ranges []netip.Prefix, other netip.Prefix) bool {
	other = unmapped(other)
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool {
		p = unmapped(p)
		return p.Bits() <= other.Bits() && p.Contains(other.Addr())
	})
}

// within reports whether an address is in one of the ranges.
func within(ranges []netip.Prefix, from netip.Addr) bool {
	from = from.Unmap().WithZone("")
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(from) })
}

// mask returns the bits of the given names, each by its position among the known names.
func mask[B ~uint16](known, names []string) (sum B) {
	for i, name := range known {
		if slices.Contains(names, name) {
			sum |= 1 << i
		}
	}
	return sum
}

// namesOf returns the names of the given bits.
func namesOf[B ~uint16](known []string, bits B) (names []string) {
	for i, name := range known {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}
