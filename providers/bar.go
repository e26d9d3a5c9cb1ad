package providers

import "slices"

// Rights is what a key, and the operator, let a request hold.
type Rights struct {
	Budget bool // money or tokens are bounded: what may cost anything is refused
	Models bool // only some models may be asked for: what names others is refused
	Stored bool // what is stored at providers may be named
	// Allow are members that the operator takes for free, by their names in tables:
	// PROVIDER/MEMBER, or PROVIDER/MODEL/MEMBER. What they name needs a right all the
	// same.
	Allow []string
	// Strict refuses what may cost anything to every key.
	Strict bool
}

// Bounded reports that what may cost anything is refused.
func (r Rights) Bounded() bool { return r.Budget || r.Strict }

// Bar is why a request may not be sent to a target: the first member that its key has
// no right to.
type Bar struct {
	Class  Class // Stored, Selects or Refused
	Member string
	// Allow is what the operator would have to allow; "" where that does not help.
	Allow string
}

// String says it as a reason for not taking a target.
func (b *Bar) String() string {
	switch b.Class {
	case Stored:
		return b.Member + " names what is stored at the provider"
	case Selects:
		return b.Member + " names a model other than the one that is asked for"
	case Unknown, Free, Unsent, Priced, Extends, Content, Refused:
	}
	return "what " + b.Member + " costs is not known"
}

// Bar is the first member that may not be sent to t; nil where all may.
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

// Named are the members that are sent though nobody can know what they cost.
func (v Verdict) Named() (paths []string) {
	for _, members := range [][]Member{v.Unpriced, v.Selects} {
		for _, m := range members {
			paths = append(paths, m.Path)
		}
	}
	return paths
}

func (r Rights) allows(t *Target, name string) bool {
	return len(r.Allow) > 0 && (slices.Contains(r.Allow, t.Provider+"/"+name) || slices.Contains(r.Allow, t.Name()+"/"+name))
}
