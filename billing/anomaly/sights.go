package anomaly

import (
	"net/netip"
	"strings"
	"time"

	"tallyroute/billing/access"
)

// Kind is what of a key's use can be seen for the first time.
type Kind string

// The kinds.
const (
	Network Kind = "network" // of 24 bits, or 64 of an IPv6 address
	Country Kind = "country" // by its ISO code
	Agent   Kind = "agent"   // the program, without its version
	Model   Kind = "model"   // as it was asked for
)

// Sight is that something of a key's use was seen.
type Sight struct {
	KeyID       string
	Kind        Kind
	Value       string
	First, Last time.Time
}

// refresh notes that a sight was seen again: to the hour, so that few have to be stored.
func (s *Sight) refresh(at time.Time) {
	if at.Sub(s.Last) >= time.Hour {
		s.Last = at
	}
}

// Told as the kind of a sight says that a figure, its value, was told as unusual, and how
// long it was.
const Told Kind = "told"

// Bounds of what is known of a key.
const (
	// mostSights are kept of one kind. A key that has more is used from everywhere.
	mostSights = 200
	// mostValue is how long a value may be.
	mostValue = 120
	// learned is for how long, and on how many of its days, a key is watched before anything
	// of it is new.
	learned     = 3 * day
	learnedFrom = 50 // requests
	// A key that has met so many new ones in the time before will meet more.
	newOften = 3
	newIn    = 4 * week
)

// seen are the sights of a key, by kind and value.
type seen map[Kind]map[string]*Sight

func seenOf(list []Sight) seen {
	all := make(seen)
	for i := range list {
		s := list[i]
		if all[s.Kind] == nil {
			all[s.Kind] = make(map[string]*Sight)
		}
		all[s.Kind][s.Value] = &s
	}
	return all
}

// note notes a sight where there is room, and reports whether it is the first.
func (a seen) note(s Sight) (first bool) {
	of := a[s.Kind]
	if of == nil {
		of = make(map[string]*Sight)
		a[s.Kind] = of
	}
	if was := of[s.Value]; was != nil {
		was.refresh(s.Last)
		return false
	}
	if len(of) >= mostSights && s.Kind != Told {
		return false
	}
	of[s.Value] = &s
	return true
}

// varies reports whether a key has met so many new ones of a kind lately, after those that
// it began with, that one more says nothing.
func (a seen) varies(k Kind, began, now time.Time) bool {
	n := 0
	for _, s := range a[k] {
		if s.First.After(began.Add(learned)) && now.Sub(s.First) < newIn && s.First.Before(now) {
			n++
		}
	}
	return n >= newOften || len(a[k]) >= mostSights
}

// networkOf is the network of an address, "" where that is not known.
func networkOf(address string) string {
	if n := access.NetworkOf(address); n.IsValid() {
		return n.String()
	}
	return ""
}

// agentOf is the program that calls itself so.
func agentOf(agent string) string {
	return short(strings.ToLower(access.Program(agent)))
}

// short is a value that is not longer than is kept.
func short(s string) string {
	if len(s) > mostValue {
		s = strings.ToValidUTF8(s[:mostValue], "")
	}
	return s
}

// Countries says in which country an address is, "" where that is not known.
type Countries interface {
	Country(a netip.Addr) string
}
