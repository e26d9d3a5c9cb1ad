package providers

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

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
	Most  []string // members that bound its units: paths below the member itself, or at the top level
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

// Meters are all that a price can be given for.
func Meters() []string {
	return []string{
		MeterWebSearch, MeterWebFetch, MeterCodeExecution, MeterContainer, MeterFileSearch, MeterGrounding, MeterMaps, MeterImage,
		MeterCitation, chat.MeterCitationTokens, MeterToolCall, chat.MeterSearchMedium, chat.MeterSearchHigh,
	}
}

// Bound is how many units are held for a use: what the request allows, or what is
// seldom passed where it allows any number. What is used beyond is booked all the
// same, as an overrun.
func (u Use) Bound() int64 {
	if u.Most > 0 {
		return u.Most
	}
	switch u.Meter {
	case MeterContainer, MeterGrounding, MeterMaps, MeterImage, chat.MeterSearchMedium, chat.MeterSearchHigh:
		return 1
	case chat.MeterCitationTokens:
		return 50_000
	case MeterCitation:
		return 25
	}
	return 10
}

// Verdict is what the members of a request mean to one target. Members are given by
// where they lie in the request.
type Verdict struct {
	Uses     []Use
	Unpriced []Member // may cost what nobody can know before
	Selects  []Member // name a model, or who serves it
	Stored   []Member // name what is stored at the provider
	Extra    int64    // bytes of text that add to the bound of the output
}

// Member is one of a request: where it lies, and its name in tables, which for a tool
// has its type instead of its position.
type Member struct{ Path, Name string }

// Judge says what the members of a request mean to t, as it will be sent there. It is
// the zero Verdict for most requests.
func (t *Target) Judge(r *chat.Request) (v Verdict) {
	t.judge(judgement{v: &v, table: t.Quirks.Members, request: r}, r.Noted())
	return v
}

// JudgeNative is Judge for a request that is sent as its client wrote it: what would be
// left out otherwise is sent, too.
func (t *Target) JudgeNative(r *chat.Request, n *Native) (v Verdict) {
	j := judgement{v: &v, table: t.Quirks.Members, request: r, whole: true}
	t.judge(j, r.Noted())
	t.judge(j, n.Aside)
	return v
}

func (t *Target) judge(j judgement, list []chat.Noted) {
	for _, n := range list {
		top, _, _ := strings.Cut(n.Name, ".")
		if n.Name == chat.NotedReference {
			top = "messages"
		}
		if !slices.Contains(operations[t.Can.Operation].ours, top) && !t.Sends(top) {
			continue
		}
		if n.Name == chat.NotedTool && jsonraw.IsObject(n.Value) {
			j.tool(n)
		} else {
			j.member(n)
		}
	}
}

// judgement is a verdict that is being reached.
type judgement struct {
	v       *Verdict
	table   Members
	request *chat.Request
	whole   bool // all of it is sent
}

// rule is what the table says of a name.
func (j judgement) rule(name string) (Rule, bool) {
	rule, ok := j.table.Rule(name)
	return rule, ok && (!j.whole || rule.Class != Unsent)
}

func (j judgement) member(n chat.Noted) {
	if jsonraw.IsNull(n.Value) {
		return
	}
	rule, ok := j.table[n.Name]
	inner := j.table.hasInside(n.Name)
	if !ok && inner {
		j.within(n)
		return
	}
	if !ok {
		rule, ok = j.rule(n.Name)
	}
	if !ok && n.Name == chat.NotedReference {
		rule, ok = Rule{Class: Stored}, true
	}
	switch {
	case ok && rule.Class == Unsent:
		return
	case !ok || !rule.takes(n.Value):
		j.v.Unpriced = append(j.v.Unpriced, Member{n.Path, n.Name})
		return
	case inner && rule.Class == Stored && jsonraw.IsObject(n.Value): // an id is a text; an object says more
	default:
		j.apply(rule, n)
	}
	if inner {
		j.below(n)
	}
}

// within judges a member of which only what is in it means something: an object, or a
// list of such.
func (j judgement) within(n chat.Noted) {
	if !hasMembers(n.Value) {
		j.v.Unpriced = append(j.v.Unpriced, Member{n.Path, n.Name})
		return
	}
	j.below(n)
}

// hasMembers reports an object, or a list that consists of such.
func hasMembers(value []byte) bool {
	if !jsonraw.IsArray(value) {
		return jsonraw.IsObject(value)
	}
	for element := range jsonraw.Elements(value) {
		if !hasMembers(element) {
			return false
		}
	}
	return true
}

// takes reports a value that the rule is for.
func (r Rule) takes(value []byte) bool {
	if r.Values == nil {
		return true
	}
	if jsonraw.IsArray(value) {
		for element := range jsonraw.Elements(value) {
			if !r.takes(element) {
				return false
			}
		}
		return true
	}
	if !jsonraw.IsString(value) {
		return slices.Contains(r.Values, string(value))
	}
	for word := range strings.SplitSeq(jsonraw.Text(value), ",") {
		if !slices.Contains(r.Values, strings.TrimSpace(word)) {
			return false
		}
	}
	return true
}

// apply notes what a member of a class means. One that is switched off asks for
// nothing.
func (j judgement) apply(rule Rule, n chat.Noted) {
	if rule.Class != Free && (string(n.Value) == "false" || jsonraw.IsEmptyArray(n.Value)) {
		return
	}
	switch rule.Class {
	case Priced:
		j.v.Uses = append(j.v.Uses, Use{Meter: rule.Meter, Most: j.most(rule, n.Value)})
	case Extends:
		j.v.Extra += int64(len(n.Value))
	case Refused:
		j.v.Unpriced = append(j.v.Unpriced, Member{n.Path, n.Name})
	case Selects:
		j.v.Selects = append(j.v.Selects, Member{n.Path, n.Name})
	case Stored:
		j.v.Stored = append(j.v.Stored, Member{n.Path, n.Name})
	case Content:
		if names(n.Value, "file_id") {
			j.v.Stored = append(j.v.Stored, Member{n.Path, n.Name})
		}
	case Unknown, Free, Unsent:
	}
}

// names reports a member of that name anywhere in a value.
func names(value []byte, member string) bool {
	for element := range jsonraw.Elements(value) {
		if names(element, member) {
			return true
		}
	}
	for name, inner := range jsonraw.Each(value) {
		if string(name) == member || names(inner, member) {
			return true
		}
	}
	return false
}

// most is how many units a priced member may use: the least of the bounds that the
// client gives, else what the rule says.
func (j judgement) most(rule Rule, value []byte) int64 {
	least := rule.Each
	for _, name := range rule.Most {
		raw := jsonraw.Lookup(value, strings.Split(name, ".")...)
		if raw == nil {
			raw = j.request.Get(name)
		}
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil && n > 0 && (least == 0 || least == rule.Each || n < least) {
			least = n
		}
	}
	return least
}

// below judges the members of a value, or of its elements.
func (j judgement) below(n chat.Noted) {
	if jsonraw.IsArray(n.Value) {
		i := 0
		for element := range jsonraw.Elements(n.Value) {
			j.below(chat.Noted{Path: n.Path + "[" + strconv.Itoa(i) + "]", Name: n.Name, Value: element})
			i++
		}
		return
	}
	for name, value := range jsonraw.Each(n.Value) {
		j.member(chat.Noted{Path: n.Path + "." + pathName(name), Name: n.Name + "." + pathName(name), Value: value})
	}
}

// pathName is a client's name that cannot be taken for a path.
func pathName(name []byte) string {
	return shown(strings.Map(func(r rune) rune {
		if strings.ContainsRune(".[]*/=", r) {
			return '?'
		}
		return r
	}, string(name[:min(len(name), 64)])))
}

// tool judges an element of tools: by its type, or where it has none, by each of its
// members, as Google and Amazon have them. One of the client itself has the type
// function here.
func (j judgement) tool(n chat.Noted) {
	kind := jsonraw.Text(jsonraw.Lookup(n.Value, "type"))
	if kind == "" {
		for _, own := range []string{"function", "custom"} {
			if jsonraw.IsObject(jsonraw.Lookup(n.Value, own)) {
				kind = own
			}
		}
	}
	if kind == "" {
		j.below(n)
		return
	}
	n.Name += "." + withoutDate(pathName([]byte(kind)))
	rule, ok := j.rule(n.Name)
	own := kind == "function" || kind == "custom"
	switch {
	case ok && rule.Class == Unsent:
		return
	case !ok && !own:
		j.v.Unpriced = append(j.v.Unpriced, Member{n.Path, n.Name})
		return
	case !own:
		j.apply(rule, n)
	}
	for name, value := range jsonraw.Each(n.Value) {
		if !slices.Contains(toolMembers, string(name)) || !own && string(name) == "parameters" {
			j.member(chat.Noted{Path: n.Path + "." + pathName(name), Name: n.Name + "." + pathName(name), Value: value})
		}
	}
}

// toolMembers are those that a tool may have whatever it is.
var toolMembers = []string{"type", "function", "custom", "id", "index", "name", "description", "cache_control", "parameters", "strict"}

// withoutDate is the type of a tool without the day since when it has been so.
func withoutDate(kind string) string {
	for _, date := range []string{"_00000000", "_0000_00_00"} {
		end := len(kind) - len(date)
		if end > 0 && strings.Map(digitsAsZero, kind[end:]) == date {
			return kind[:end]
		}
	}
	return kind
}

func digitsAsZero(r rune) rune {
	if '0' <= r && r <= '9' {
		return '0'
	}
	return r
}
