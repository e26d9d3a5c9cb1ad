package providers

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Quirks are declared differences of a target from the OpenAI format. Those that
// change a request are applied to it in the OpenAI format, before the codec sees
// it, and so they hold for every wire format alike. What is lost by them is told to
// the client. The last ones are settings that some formats read.
type Quirks struct {
	Rename map[string]string // top-level member → the provider's name for it
	// Drop are top-level members that the provider refuses, and tools.NAME members of the
	// elements of tools.
	Drop []string
	// Known are the only top-level members that the provider takes, by its names,
	// besides those that every request has; all others are dropped. Empty: any.
	Known []string
	// Refuse are top-level members that the provider cannot do, and without which
	// the answer would be another one: with them a request is refused.
	Refuse []string
	Bounds map[string]Bound // the least and the most of top-level members that are numbers
	// Efforts are the levels of reasoning_effort that the model takes, from the lowest
	// on: another one becomes the next above, or the highest. Empty: any.
	Efforts []string
	// Sampling is one of the constants Sampling…: how the model can be told to sample;
	// "" is in every way.
	Sampling string
	// NoReasoning are the members, with their values in JSON, that switch reasoning off.
	NoReasoning map[string]string
	// Reasons is ReasonsAlways where the model cannot be told not to reason, ReasonsAsked where
	// it does so only when it is told to.
	Reasons string
	// ForcedTools is ForcedUnreasoned where a call can only be forced while the model does
	// not reason.
	ForcedTools string
	// Prefill is PrefillNever where a conversation has to end with the user: the model does
	// not go on with an answer that has been begun.
	Prefill string
	// SignCalls is SignDetails where calls of earlier answers must be signed: those that
	// are not get the mark by which the model takes them nevertheless.
	SignCalls string
	// Search is SearchNever where web_search_options leads to no search: with it a
	// request is refused.
	Search string
	// Members are what the members that the provider takes mean for what a request
	// costs or reaches.
	Members Members

	Roles         map[string]string // role of a message → the provider's name for it
	MessageRename map[string]string // member of a message of the assistant → the provider's name for it
	// MessageDrop are members of messages that the provider refuses, and content.NAME and
	// tool_calls.NAME those of the elements of these.
	MessageDrop []string
	// Alternate is set where user and assistant must take turns, with the system before
	// them: what one says in several messages becomes one.
	Alternate bool
	// CallMembers are texts that a message of the assistant with calls must have:
	// where another provider gave none, they are empty.
	CallMembers []string

	// MaxTokens is the member that bounds the output, "max_tokens" or
	// "max_completion_tokens"; "" is max_tokens.
	MaxTokens string
	// NoStreamUsage is set where stream_options is refused or ignored.
	NoStreamUsage bool
	// Vectors is VectorsInt8 where embeddings are 8-bit numbers in base64, and
	// there is nothing else to be asked for.
	Vectors    string
	Path       string // of chat completions below BaseURL; "" is that of the format
	APIVersion string // of formats whose calls name one
}

// VectorsInt8 are vectors of 8-bit numbers in base64, as Perplexity has them.
const VectorsInt8 = "int8"

// Bound is the least and the most of a number, in JSON; "" means none.
type Bound struct{ Min, Max string }

// Over are the quirks q declared over those of base, as those of a model are over
// those of its provider: what is listed adds up, what can have one value has that of
// q where q gives it.
func (q Quirks) Over(base Quirks) Quirks {
	q.Rename = merged(base.Rename, q.Rename)
	q.Bounds = merged(base.Bounds, q.Bounds)
	q.Members = q.Members.Over(base.Members)
	q.NoReasoning = merged(base.NoReasoning, q.NoReasoning)
	q.Roles = merged(base.Roles, q.Roles)
	q.MessageRename = merged(base.MessageRename, q.MessageRename)
	q.Drop = union(base.Drop, q.Drop)
	q.Refuse = union(base.Refuse, q.Refuse)
	q.MessageDrop = union(base.MessageDrop, q.MessageDrop)
	q.CallMembers = union(base.CallMembers, q.CallMembers)
	if len(q.Efforts) == 0 {
		q.Efforts = base.Efforts
	}
	if len(q.Known) == 0 {
		q.Known = base.Known
	}
	q.NoStreamUsage = q.NoStreamUsage || base.NoStreamUsage
	q.Alternate = q.Alternate || base.Alternate
	for _, s := range []struct {
		to   *string
		from string
	}{
		{&q.MaxTokens, base.MaxTokens},
		{&q.Sampling, base.Sampling},
		{&q.Reasons, base.Reasons},
		{&q.Search, base.Search},
		{&q.ForcedTools, base.ForcedTools},
		{&q.Prefill, base.Prefill},
		{&q.SignCalls, base.SignCalls},
		{&q.Vectors, base.Vectors},
		{&q.Path, base.Path},
		{&q.APIVersion, base.APIVersion},
	} {
		if *s.to == "" {
			*s.to = s.from
		}
	}
	return q
}

func merged[V any](base, over map[string]V) map[string]V {
	if len(base) == 0 {
		return over
	}
	all := maps.Clone(base)
	maps.Copy(all, over)
	return all
}

func union(base, more []string) []string {
	all := slices.Clip(base)
	for _, s := range more {
		if !slices.Contains(base, s) {
			all = append(all, s)
		}
	}
	return all
}

// Of are the quirks of an adapter or a provider as they hold for an operation: what is
// known are members of chats.
func (q Quirks) Of(o Operation) Quirks {
	if !operations[o].known {
		q.Known = nil
	}
	return q
}

// change reports whether any rule could change a request.
func (q *Quirks) change() bool {
	return len(q.Rename)+len(q.Drop)+len(q.Known)+len(q.Refuse)+len(q.Bounds)+len(q.Efforts)+len(q.Sampling) > 0 ||
		len(q.NoReasoning)+len(q.ForcedTools)+len(q.Search)+len(q.Reasons)+len(q.Prefill)+len(q.SignCalls) > 0 ||
		len(q.Roles)+len(q.MessageRename)+len(q.MessageDrop)+len(q.CallMembers) > 0 || q.Alternate
}

// Output is the provider's name for the bound of the output in the OpenAI format.
func (q *Quirks) Output() string {
	name := q.MaxTokens
	if name == "" {
		name = maxTokens
	}
	if to := q.Rename[name]; to != "" {
		return to
	}
	return name
}

// Sends reports whether a top-level member of the OpenAI format reaches the provider.
func (t Target) Sends(name string) bool {
	q := &t.Quirks
	to := name
	if renamed := q.Rename[name]; renamed != "" {
		to = renamed
	}
	return !slices.Contains(q.Drop, name) && !slices.Contains(q.Drop, to) && (len(q.Known) == 0 || slices.Contains(q.Known, to))
}

const (
	maxTokens     = "max_tokens"
	maxCompletion = "max_completion_tokens"
)

// declared is x as its target's quirks have it, with the names of what is lost. It is
// x itself, without a copy, where they change nothing.
func (x Exchange) declared() (Exchange, []string, error) {
	if !x.Target.Quirks.change() && !x.mustNotStore() {
		return x, nil, nil
	}
	return x.changed()
}

// mustNotStore reports that the client asks for an answer to be kept that may not be.
func (x Exchange) mustNotStore() bool { return x.Request.Stores() && !x.Stored }

func (x Exchange) changed() (Exchange, []string, error) {
	p := pass{q: &x.Target.Quirks, row: &operations[x.Operation], r: x.Request, reasons: x.Target.Can.Reasoning}
	if err := p.reasoning(); err != nil {
		return x, nil, err
	}
	for name, value := range x.Request.Members() {
		if err := p.member(name, value); err != nil {
			return x, nil, err
		}
	}
	if p.row.output && !p.takes([]byte(p.q.Output())) {
		x.MaxOutput = 0
		p.lose([]byte(maxTokens), x.Request.Get(maxTokens))
		p.lose([]byte(maxCompletion), x.Request.Get(maxCompletion))
	}
	p.setQuiet()
	p.messages()
	if x.mustNotStore() {
		p.lose([]byte("store"), x.Request.Get("store"))
	}
	if len(p.sets)+len(p.drops) == 0 {
		return x, p.lost, nil
	}
	r, err := x.Request.Edit(p.sets, p.drops...)
	if err != nil {
		return x, nil, fmt.Errorf("providers: quirks: %w", err)
	}
	x.Request = r
	return x, p.lost, nil
}

// pass gathers what is to be changed in a request.
type pass struct {
	q   *Quirks
	row *operation
	r   *chat.Request

	reasons bool // the model can
	quiet   bool // it is told not to

	sets  []jsonraw.Member
	drops []string
	lost  []string // those of drops that said something, and what was brought into bounds
}

// has is slices.Contains without a copy of the name.
func has(list []string, name []byte) bool {
	for _, s := range list {
		if s == string(name) {
			return true
		}
	}
	return false
}

// refuses reports a member with which a request is refused.
func (q *Quirks) refuses(name []byte) bool {
	return has(q.Refuse, name) || q.Search == SearchNever && string(name) == searchMember
}

// takes reports whether the provider takes a member by its name for it.
func (p *pass) takes(name []byte) bool {
	return !has(p.q.Drop, name) && (len(p.q.Known) == 0 || has(p.q.Known, name))
}

// member applies the rules for one member: it is refused, or brought into bounds,
// and then renamed or dropped.
func (p *pass) member(name, value []byte) error {
	if p.q.refuses(name) {
		if !chat.Idle(name, value) {
			return refused(string(name))
		}
		p.lose(name, value)
		return nil
	}
	if p.quiet && has(reasoning, name) {
		p.forget(name)
		if p.asksToReason(name, value) {
			p.lost = Lose(p.lost, string(name))
		}
		return nil
	}
	if p.fixed(name) {
		p.loseSampling(name, value)
		return nil
	}
	if p.q.Reasons == ReasonsAlways && has(reasoning, name) && !p.asksToReason(name, value) {
		p.lose(name, value)
		return nil
	}
	if string(name) == "tools" {
		rest := without(value, "tools.", p.q.Drop, func(name string, _ []byte) { p.lost = Lose(p.lost, name) })
		if !same(rest, value) {
			p.sets = append(p.sets, jsonraw.Member{Name: "tools", Value: rest})
			value = rest
		}
	}
	if to := p.taken(name, value); to != "" {
		p.sets = append(p.sets, jsonraw.Member{Name: string(name), Value: []byte(to)})
		p.lost = Lose(p.lost, string(name))
		value = []byte(to)
	}
	if has(p.row.ours, name) {
		return nil
	}
	to := p.q.Rename[string(name)]
	switch {
	case to == "" && p.takes(name):
	case to == "" || has(p.q.Drop, name) || !p.takes([]byte(to)) || p.r.Get(to) != nil:
		p.lose(name, value)
	default:
		p.forget(name)
		p.sets = append(p.sets, jsonraw.Member{Name: to, Value: value})
	}
	return nil
}

// forget takes a member out.
func (p *pass) forget(name []byte) {
	p.drops = append(p.drops, string(name))
	p.sets = slices.DeleteFunc(p.sets, func(m jsonraw.Member) bool { return m.Name == string(name) })
}

// lose takes a member out for good.
func (p *pass) lose(name, value []byte) {
	if value == nil {
		return
	}
	p.forget(name)
	if !chat.Idle(name, value) {
		p.lost = Lose(p.lost, string(name))
	}
}

// clamp is the bound that a number is beyond, "" where it is within.
func (b Bound) clamp(raw []byte) (to string) {
	value, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return "" // null
	}
	if least, err := strconv.ParseFloat(b.Min, 64); err == nil && value < least {
		to = b.Min
	}
	if most, err := strconv.ParseFloat(b.Max, 64); err == nil && value > most {
		to = b.Max
	}
	return to
}

func refused(name string) *Error {
	return &Error{
		Kind: KindUnfit, Status: http.StatusBadRequest, Err: fmt.Errorf("providers: quirks: %s is refused", name),
		Detail: chat.Error{
			Message: "This provider cannot do " + name + ".", Type: "invalid_request_error", Param: name, Code: "unsupported_parameter",
		},
	}
}

// messages applies the rules for messages. That roles have another name, and that
// what we have said of an earlier answer is taken back, loses nothing; the rest is
// told as "messages.NAME".
func (p *pass) messages() {
	members := len(p.q.MessageRename)+len(p.q.MessageDrop)+len(p.q.CallMembers)+len(p.q.SignCalls) > 0
	if !members && len(p.q.Roles) == 0 && !p.q.Alternate && p.q.Prefill != PrefillNever {
		return
	}
	var list [][]byte // nil until a message changes
	i := 0
	for m := range p.r.Messages() {
		raw := m.Raw
		if members || p.q.Roles[string(m.Role.Bytes())] != "" {
			raw = p.message(m)
		}
		if list == nil && (len(raw) != len(m.Raw) || &raw[0] != &m.Raw[0]) {
			list = p.first(i)
		}
		if list != nil {
			list = append(list, raw)
		}
		i++
	}
	if p.q.Alternate && !alternates(p.r) {
		if list == nil {
			list = p.first(i)
		}
		list = p.alternate(list)
	}
	if p.q.Prefill == PrefillNever && p.prefilled() {
		if list == nil {
			list = p.first(i)
		}
		list = append(list, []byte(`{"role":"user","content":"`+GoOn+`"}`))
		p.lost = Lose(p.lost, "messages.prefill")
	}
	if list != nil {
		p.sets = append(p.sets, jsonraw.Member{Name: "messages", Value: jsonraw.Array(list)})
	}
}

// first are the first n messages as they are.
func (p *pass) first(n int) [][]byte {
	list := make([][]byte, 0, n+1)
	for m := range p.r.Messages() {
		if len(list) == n {
			break
		}
		list = append(list, m.Raw)
	}
	return list
}

// message is one message with the changes; its own bytes if there are none.
func (p *pass) message(m chat.Message) []byte {
	var sets []jsonraw.Member
	var drops []string
	role := m.Role.String()
	if to := p.q.Roles[role]; to != "" {
		sets = append(sets, jsonraw.Member{Name: "role", Value: jsonraw.Quote(to)})
	}
	if len(p.q.MessageRename)+len(p.q.MessageDrop)+len(p.q.CallMembers)+len(p.q.SignCalls) == 0 {
		return jsonraw.Edit(m.Raw, sets)
	}
	if calls := jsonraw.Lookup(m.Raw, "tool_calls"); role == "assistant" && jsonraw.IsArray(calls) && !jsonraw.IsEmptyArray(calls) {
		sets = p.signCalls(m.Raw, calls, p.callMembers(m.Raw, sets))
	}
	for name, value := range jsonraw.Each(m.Raw) {
		to := p.q.MessageRename[string(name)]
		switch {
		case to != "" && role == "assistant":
			drops = append(drops, string(name))
			if jsonraw.Lookup(m.Raw, to) == nil {
				sets = append(sets, jsonraw.Member{Name: to, Value: value})
			}
		case has(p.q.MessageDrop, name):
			drops = append(drops, string(name))
			p.loseOfMessage(name, value)
		case jsonraw.IsArray(value) && (string(name) == "tool_calls" || string(name) == "content"):
			lose := func(name string, value []byte) { p.loseOfMessage([]byte(name), value) }
			rest := without(value, string(name)+".", p.q.MessageDrop, lose)
			if !same(rest, value) {
				sets = append(sets, jsonraw.Member{Name: string(name), Value: rest})
			}
		}
	}
	return jsonraw.Edit(m.Raw, sets, drops...)
}

// without are the elements of a list without the members that the provider refuses of
// them, which the names give with within before them; the list itself if it has none of
// these. lose is told of each.
func without(list []byte, within string, names []string, lose func(name string, value []byte)) []byte {
	var elements [][]byte // nil until one changes
	n := 0
	for e := range jsonraw.Elements(list) {
		rest := e
		for _, name := range names {
			member, ok := strings.CutPrefix(name, within)
			if !ok {
				continue
			}
			if value := jsonraw.Lookup(rest, member); value != nil {
				lose(name, value)
				rest = jsonraw.Edit(rest, nil, member)
			}
		}
		if elements == nil && !same(rest, e) {
			elements = slices.Collect(jsonraw.Elements(list))[:n]
		}
		if elements != nil {
			elements = append(elements, rest)
		}
		n++
	}
	if elements == nil {
		return list
	}
	return jsonraw.Array(elements)
}

// loseOfMessage notes that a member of a message is lost, unless it says nothing.
func (p *pass) loseOfMessage(name, value []byte) {
	told := "messages." + string(name)
	if !jsonraw.IsNull(value) && string(value) != "[]" && string(value) != `""` {
		p.lost = Lose(p.lost, told)
	}
}
