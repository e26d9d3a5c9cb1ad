package providers

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Class says what a member of a request means for what the request costs or can reach.
type Class string

// The classes.
const (
	Unknown Class = ""         // in no table: may cost any amount
	Free    Class = "free"     // costs no more than the tokens that are held
	Unsent  Class = "unsent"   // cannot be expressed in the provider's format, so it is left out
	Priced  Class = "priced"   // charged by a meter
	Extends Class = "extends"  // adds its text to the output limit
	Refused Class = "unpriced" // cost cannot be known in advance: a second output limit, unbounded work
	Charged Class = "charged"  // the same, and tokens do not show it afterwards: a tool or a surcharge without a known price
	Selects Class = "selects"  // names a model, or who serves it, in addition to the member model
	Content Class = "content"  // part of the prompt; a file_id in it names something stored at the provider
	Stored  Class = "stored"   // names something stored at the provider, or stores it
)

// Rule is what a table says about a member.
type Rule struct {
	Class Class
	Meter string   // that charges for it, if it is priced
	Most  []string // members that limit its units: paths below the member itself, or at the top level
	Each  int64    // units if nothing limits them; 0 means unknown
	// Values lists the values that the class applies to, for a string or for the elements of
	// a list; nil means all. Any other value may cost any amount; Others says whether it is
	// charged.
	Values []string
	Others Class
}

// Members is a table of what the members of requests mean, apart from those that mean the
// same to every model. Names are paths without positions: messages.content.fps. A provider's
// tools are named by their type, without a date: tools.web_search.max_uses. NAME.* stands for
// everything below NAME that has no line of its own, and * for everything. If the table has
// members below a name, or NAME.*, they are judged one by one; otherwise a value is judged as
// a whole.
type Members map[string]Rule

// Line is a rule and the names that it applies to, separated by white space. NAME=VALUE
// stands for one value of a member, and NAME=* for all but those that have been named.
type Line struct {
	Rule  Rule
	Names string
}

// Of returns the line that puts the names into class c.
func (c Class) Of(names ...string) Line { return Line{Rule{Class: c}, strings.Join(names, " ")} }

// PricedBy returns the line for members that a meter charges for.
func PricedBy(meter string, each int64, name string, most ...string) Line {
	return Line{Rule{Class: Priced, Meter: meter, Each: each, Most: most}, name}
}

// NewMembers returns a table with the given lines.
func NewMembers(lines ...Line) Members { return make(Members).With(lines...) }

// With returns a copy of m with more lines.
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
		named := m[at]
		if name = at; value == "*" {
			named.Others = r.Class
			r = named
		} else {
			r.Values, r.Others = append(named.Values, value), named.Others
		}
	}
	m[name] = r
	if r.Values == nil && (r.Class == Selects || r.Class == Stored) {
		m[spelled+folded(name)] = Rule{Class: r.Class}
	}
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		if inner := name[:i] + inside; name[:i] != "tools" {
			m[inner] = Rule{}
		}
	}
}

// inside marks a member whose own members have lines, and spelled what a name means in any
// spelling.
const inside, spelled = "/", "~"

// folded returns a name without what differs between spellings: file_ids is fileIds is FileIDs.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(unicode.ToUpper(r)) // some letters have two lower cases
	}, name)
}

// hasInside reports whether the members below a name are judged one by one.
func (m Members) hasInside(name string) bool {
	_, ok := m[name+inside]
	return ok
}

// Rule returns what the table says about a name: its own line, or else the nearest wildcard
// above it.
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

// Over returns the table m laid over base.
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

// Meters returns all meters that can have a price.
func Meters() []string {
	return []string{
		MeterWebSearch, MeterWebFetch, MeterCodeExecution, MeterContainer, MeterFileSearch, MeterGrounding, MeterMaps, MeterImage,
		MeterCitation, chat.MeterCitationTokens, MeterToolCall, chat.MeterSearchMedium, chat.MeterSearchHigh,
	}
}

// Bound returns the number of units to hold for a use: what the request allows, or, if it
// sets no limit, a number that is seldom exceeded. Anything used beyond that is still booked,
// as an overrun.
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

// Verdict is what the members of a request mean to one target. Members are identified by
// their place in the request.
type Verdict struct {
	Uses     []Use
	Unpriced []Member // cost cannot be known in advance
	Charged  []Member // those of them that are charged besides tokens
	Selects  []Member // name a model, or who serves it
	Stored   []Member // name something stored at the provider
	Extra    int64    // bytes of text that add to the output limit
}

// Member is a member of a request: its path, and its name in the tables. In the name, a tool
// has its type instead of its position.
type Member struct{ Path, Name string }

// Judge returns what the members of a request, in the form sent to t, mean there. For most
// requests this is the zero Verdict.
func (t *Target) Judge(r *chat.Request) (v Verdict) {
	t.judge(judgement{v: &v, table: t.Quirks.Members, request: r}, r.Noted())
	return v
}

// JudgeNative is like Judge, for a request that is sent as its client wrote it, so that
// nothing is left out.
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

// judgement is a verdict in the making.
type judgement struct {
	v       *Verdict
	table   Members
	request *chat.Request
	whole   bool // the request is sent as it is, with nothing left out
}

// rule returns what the table says about a name.
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
	if !ok { // some providers do not care for the spelling
		rule, ok = j.table[spelled+folded(n.Name)]
	}
	if !ok && n.Name == chat.NotedReference {
		rule, ok = Rule{Class: Stored}, true
	}
	switch {
	case ok && rule.Class == Unsent:
		return
	case !ok || !rule.takes(n.Value):
		j.unpriced(n, rule.Others)
		return
	case inner && rule.Class == Stored && jsonraw.IsObject(n.Value): // an id is a string; an object says more
	default:
		j.apply(rule, n)
	}
	if inner {
		j.below(n)
	}
}

// within judges a member that has no meaning beyond that of its contents: an object, or a
// list of objects.
func (j judgement) within(n chat.Noted) {
	if !hasMembers(n.Value) {
		j.unpriced(n, Unknown)
		return
	}
	j.below(n)
}

// unpriced records a member whose cost cannot be known, by what is known of it.
func (j judgement) unpriced(n chat.Noted, class Class) {
	m := Member{n.Path, n.Name}
	j.v.Unpriced = append(j.v.Unpriced, m)
	if class == Charged {
		j.v.Charged = append(j.v.Charged, m)
	}
}

// hasMembers reports whether a value is an object, or a list of nothing but objects.
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

// takes reports whether the rule applies to a value.
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

// apply records what a member means by its class. A member that is switched off means
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
	case Refused, Charged:
		j.unpriced(n, rule.Class)
	case Selects:
		j.v.Selects = append(j.v.Selects, Member{n.Path, n.Name})
	case Stored:
		j.v.Stored = append(j.v.Stored, Member{n.Path, n.Name})
	case Content:
		if names(n.Value, func(name string) bool { return name == "file_id" }) {
			j.v.Stored = append(j.v.Stored, Member{n.Path, n.Name})
		}
	case Unknown, Free, Unsent:
	}
}

// names reports whether a value contains a member with such a name at any depth.
func names(value []byte, such func(name string) bool) bool {
	for element := range jsonraw.Elements(value) {
		if names(element, such) {
			return true
		}
	}
	for name, inner := range jsonraw.Each(value) {
		if such(string(name)) || names(inner, such) {
			return true
		}
	}
	return false
}

// identifies reports whether a member is named like the id of something.
func identifies(name string) bool {
	return slices.ContainsFunc([]string{"_id", "_ids", "Id", "Ids", "ID", "IDs", "StoreNames", "_store_names"}, func(end string) bool {
		return strings.HasSuffix(name, end) && len(name) > len(end)
	})
}

// most returns how many units a priced member may use: the lowest of the limits that the
// client sets, or else what the rule says.
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

// pathName returns a client's name with the characters replaced that have a meaning in paths.
func pathName(name []byte) string {
	return shown(strings.Map(func(r rune) rune {
		if strings.ContainsRune(".[]*/=", r) {
			return '?'
		}
		return r
	}, string(name[:min(len(name), 64)])))
}

// tool judges an element of tools: by its type or, if it has none, by each of its members, as
// in Google's and Amazon's formats. A tool of the client has the type function or custom.
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
	case !ok && !own: // somebody else's tool, which may be charged by the call
		j.unpriced(n, Charged)
		if names(n.Value, identifies) {
			j.v.Stored = append(j.v.Stored, Member{n.Path, n.Name})
		}
		if names(n.Value, func(name string) bool { return folded(name) == "model" || folded(name) == "models" }) {
			j.v.Selects = append(j.v.Selects, Member{n.Path, n.Name})
		}
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

// toolMembers lists the members that any tool may have.
var toolMembers = []string{"type", "function", "custom", "id", "index", "name", "description", "cache_control", "parameters", "strict"}

// withoutDate returns the type of a tool without the date of its version.
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
