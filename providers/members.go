package providers

import (
	"maps"
	"strings"

	"tallyroute/providers/chat"
)

// The meters, as package chat names them.
const (
	MeterWebSearch     = chat.MeterWebSearch
	MeterWebFetch      = chat.MeterWebFetch
	MeterCodeExecution = chat.MeterCodeExecution
	MeterContainer     = chat.MeterContainer
	MeterFileSearch    = chat.MeterFileSearch
	MeterGrounding     = chat.MeterGrounding
	MeterMaps          = chat.MeterMaps
	MeterImage         = chat.MeterImage
	MeterCitation      = chat.MeterCitation
	MeterToolCall      = chat.MeterToolCall
)

// Use is how much a request may use of what a provider charges for besides tokens.
type Use struct {
	Meter string
	Most  int64 // units; 0 is not bounded by the request
}

// Class is what a member of a request means for what the request costs or reaches.
type Class string

// The classes.
const (
	Unknown Class = ""         // of what no table names: it may cost anything
	Free    Class = "free"     // costs no more than the tokens that are held
	Unsent  Class = "unsent"   // the format has no word for it: it is left out
	Priced  Class = "priced"   // is charged by a meter
	Extends Class = "extends"  // adds its text to the bound of the output
	Refused Class = "unpriced" // may cost what nobody can know before: a second bound of the output, a surcharge, work without end
	Selects Class = "selects"  // names a model, or who serves it, besides the member model
	Content Class = "content"  // is part of the prompt; a file_id in it names what is stored at the provider
	Stored  Class = "stored"   // names what is stored at the provider, or stores it
)

// Rule is what a table says of a member.
type Rule struct {
	Class Class
	Meter string   // of what is priced
	Most  []string // members that bound its units, below the member itself or at the top level
	Each  int64    // units where nothing bounds them; 0 is not known
	// Values are the only ones of the class, of a text or of the elements of a list;
	// nil are all. Others may cost anything.
	Values []string
}

// Members is a table: what the members of requests mean beyond those that mean the
// same to every model. Names are paths without positions: messages.content.fps. Tools
// of a provider are named by their type, without a date: tools.web_search.max_uses.
// NAME.* is all below NAME that has no line of its own, and * all there is. Where
// members below a name are in the table, or NAME.* is, they are judged one by one;
// else a value is judged as a whole.
type Members map[string]Rule

// Line is a rule and the names that it is for, separated by white space. NAME=VALUE is
// one value of a member.
type Line struct {
	Rule  Rule
	Names string
}

// Of are lines of a class.
func (c Class) Of(names ...string) Line { return Line{Rule{Class: c}, strings.Join(names, " ")} }

// PricedBy is the line of members that a meter charges for.
func PricedBy(meter string, each int64, name string, most ...string) Line {
	return Line{Rule{Class: Priced, Meter: meter, Each: each, Most: most}, name}
}

// NewMembers is the table of lines.
func NewMembers(lines ...Line) Members { return make(Members).With(lines...) }

// With are the lines of m and more.
func (m Members) With(lines ...Line) Members {
	all := maps.Clone(m)
	for _, l := range lines {
		for name := range strings.FieldsSeq(l.Names) {
			all.add(name, l.Rule)
		}
	}
	return all
}

func (m Members) add(name string, r Rule) {
	if at, value, ok := strings.Cut(name, "="); ok {
		name, r.Values = at, append(m[at].Values, value)
	}
	m[name] = r
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		if inner := name[:i] + inside; name[:i] != "tools" {
			m[inner] = Rule{}
		}
	}
}

// inside marks a member whose own members have lines.
const inside = "/"

// hasInside reports that the members below a name are judged one by one.
func (m Members) hasInside(name string) bool {
	_, ok := m[name+inside]
	return ok
}

// Rule is what the table says of a name: by its own line, or by the nearest of those
// for all below a name that it lies below.
func (m Members) Rule(name string) (Rule, bool) {
	if r, ok := m[name]; ok {
		return r, true
	}
	for at := name; at != ""; {
		i := max(strings.LastIndexByte(at, '.'), 0)
		star := "*"
		if at = at[:i]; at != "" {
			star = at + ".*"
		}
		if r, ok := m[star]; ok {
			return r, r.Class != ""
		}
	}
	return Rule{}, false
}

// Over is the table m over another one.
func (m Members) Over(base Members) Members {
	switch {
	case len(m) == 0:
		return base
	case len(base) == 0:
		return m
	}
	all := maps.Clone(base)
	maps.Copy(all, m)
	return all
}
