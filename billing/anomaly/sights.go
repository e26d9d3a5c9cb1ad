package anomaly

import (
	"net/netip"
	"strings"
	"time"

	"tallyroute/billing/access"
)

// Kind is an aspect of a key's use that can be seen for the first time.
type Kind string

// The kinds.
const (
	Network Kind = "network" // the first 24 bits of an IPv4 address, or 64 of an IPv6 address
	Country Kind = "country" // ISO code
	Agent   Kind = "agent"   // the program, without its version
	Model   Kind = "model"   // as requested
)

// Sight records that something was seen in a key's use.
type Sight struct {
	KeyID       string
	Kind        Kind
	Value       string
	First, Last time.Time
}

// refresh notes that a sight was seen again: to the hour, so that few updates have to be
// stored.
func (s *Sight) refresh(at time.Time) {
	if at.Sub(s.Last) >= time.Hour {
		s.Last = at
	}
}

// Told is the kind of a sight that records that a figure, its value, was reported as
// unusual, and for how long it lasted.
const Told Kind = "told"

// Limits on what is known about a key.
const (
	// mostSights is how many are kept of one kind. A key with more is used from everywhere.
	mostSights = 200
	// mostValue is the maximum length of a value, in bytes.
	mostValue = 120
	// learned is how long, and learnedFrom for how many requests, a key is watched before
	// anything about it counts as new.
	learned     = 3 * day
	learnedFrom = 50 // requests
	// A key with this many new values of a kind in the last newIn can be expected to meet
	// more.
	newOften = 3
	newIn    = 4 * week
)

// seen holds the sights of a key, by kind and value.
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

// note notes a sight if there is room, and reports whether it is the first.
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

// varies reports whether a key has lately met so many new values of a kind, after its
// initial ones, that one more means nothing.
func (a seen) varies(k Kind, began, now time.Time) bool {
	n := 0
	for _, s := range a[k] {
		if s.First.After(began.Add(learned)) && now.Sub(s.First) < newIn && s.First.Before(now) {
			n++
		}
	}
	return n >= newOften || len(a[k]) >= mostSights
}

// networkOf returns the network of an address; "" if it is unknown.
func networkOf(address string) string {
	if n := access.NetworkOf(address); n.IsValid() {
		return n.String()
	}
	return ""
}

// agentOf returns the program that identifies itself with agent.
func agentOf(agent string) string {
	return short(strings.ToLower(access.Program(agent)))
}

// short returns a value truncated to the length that is kept.
func short(s string) string {
	if len(s) > mostValue {
		s = strings.ToValidUTF8(s[:mostValue], "")
	}
	return s
}

// Countries returns the country of an address; "" if it is unknown.
type Countries interface {
	Country(a netip.Addr) string
}
