package providers

import "slices"

// Rights is what a key and the operator allow a request to contain.
type Rights struct {
	Budget bool // spending is limited, in money or tokens: whatever may cost an unknown amount is refused
	Models bool // only certain models are allowed: a member that names another one is refused
	Stored bool // members may name things stored at the provider
	// Allow lists the members that the operator accepts as free, by their names in the
	// tables: PROVIDER/MEMBER or PROVIDER/MODEL/MEMBER. A member that names a model or
	// something stored still needs the right to do so.
	Allow []string
	// Strict refuses members of unknown cost for every key, limited or not.
	Strict bool
}

// Bounded reports whether members of unknown cost are refused.
func (r Rights) Bounded() bool { return r.Budget || r.Strict }

// Bar is the reason that a request can't be sent to a target: the first member that its key
// has no right to use.
type Bar struct {
	Class  Class // Stored, Selects or Refused
	Member string
	// Allow is the entry that the operator would have to add to Rights.Allow; "" where that
	// would not help.
	Allow string
}

// String returns the bar as a reason for skipping the target.
func (b *Bar) String() string {
	switch b.Class {
	case Stored:
		return b.Member + " names what is stored at the provider"
	case Selects:
		return b.Member + " names a model other than the one that is asked for"
	case Unknown, Free, Unsent, Priced, Extends, Content, Refused, Charged:
	}
	return "what " + b.Member + " costs is not known"
}

// Bar returns the bar for the first member that must not be sent to t, or nil if all may be
// sent.
func (v Verdict) Bar(r Rights, t *Target) *Bar {
	for _, b := range []struct {
		class   Class
		bars    bool
		members []Member
	}{
		{Stored, !r.Stored, v.Stored},
		{Selects, r.Models, v.Selects},
	} {
		if b.bars && len(b.members) > 0 {
			return &Bar{Class: b.class, Member: b.members[0].Path}
		}
	}
	if !r.Bounded() {
		return nil
	}
	for _, members := range [][]Member{v.Selects, v.Unpriced} {
		for _, m := range members {
			if !r.allows(t, m.Name) {
				return &Bar{Class: Refused, Member: m.Path, Allow: t.Provider + "/" + m.Name}
			}
		}
	}
	return nil
}

// Named returns the paths of the members whose cost cannot be known in advance.
func (v Verdict) Named() (paths []string) {
	for _, members := range [][]Member{v.Unpriced, v.Selects} {
		for _, m := range members {
			paths = append(paths, m.Path)
		}
	}
	return paths
}

// Costly reports whether members are sent that are charged besides tokens, at a price that nobody
// knows.
func (v Verdict) Costly(r Rights, t *Target) bool {
	return slices.ContainsFunc(v.Charged, func(m Member) bool { return !r.allows(t, m.Name) })
}

func (r Rights) allows(t *Target, name string) bool {
	return len(r.Allow) > 0 && (slices.Contains(r.Allow, t.Provider+"/"+name) || slices.Contains(r.Allow, t.Name()+"/"+name))
}
