package providers

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Quirks are declared differences of a target from the OpenAI format. Those that change a
// request are applied in the OpenAI format before the codec sees it, so they work the same
// for every wire format. Whatever is lost by them is reported to the client. The last ones
// are settings that only some formats read.
type Quirks struct {
	Rename map[string]string // top-level member → the provider's name for it
	// Drop lists top-level members that the provider refuses; tools.NAME stands for members
	// of the elements of tools.
	Drop []string
	// Known lists the only top-level members that the provider accepts, under its own names,
	// in addition to those that every request has; all others are dropped. Empty means any.
	Known []string
	// Refuse lists top-level members that the provider does not support and without which the
	// response would not be the one asked for: a request that has them is refused.
	Refuse []string
	Bounds map[string]Bound // the minimum and maximum of numeric top-level members
	// Efforts lists the levels of reasoning_effort that the model accepts, lowest first.
	// Another level becomes the next higher one, or else the highest. Empty means any.
	Efforts []string
	// Sampling is one of the constants Sampling…: how the model can be told to sample; ""
	// means in every way.
	Sampling string
	// NoReasoning maps the members that switch reasoning off to their values, in JSON.
	NoReasoning map[string]string
	// Reasons is ReasonsAlways if the model cannot be told not to reason, and ReasonsAsked if
	// it reasons only when told to.
	Reasons string
	// ForcedTools is ForcedUnreasoned if a call can be forced only while the model does not
	// reason.
	ForcedTools string
	// Prefill is PrefillNever if a conversation must end with the user: the model does not
	// continue an answer that has been begun.
	Prefill string
	// SignCalls is SignDetails if the calls in earlier answers must be signed. Unsigned calls
	// get a marker with which the model accepts them.
	SignCalls string
	// Search is SearchNever if web_search_options does not trigger a search: a request that
	// has it is refused.
	Search string
	// Members says what the members that the provider accepts mean for what a request costs
	// or can reach.
	Members Members
	// AllowedTools is AllowedTaken if tool_choice may list allowed tools. Otherwise only those
	// are sent.
	AllowedTools string
	// CallIDs is CallIDsNine if ids of tool calls must be nine letters and digits.
	CallIDs string
	// Results is ResultsAnswered if the assistant must answer the results of tools before
	// anybody else may speak.
	Results string
	// Unreported lists meters whose use the provider does not report: a request that may use one
	// is charged for one unit.
	Unreported []string

	Roles         map[string]string // role of a message → the provider's name for it
	MessageRename map[string]string // member of an assistant message → the provider's name for it
	// MessageDrop lists members of messages that the provider refuses; content.NAME and
	// tool_calls.NAME stand for members of the elements of those.
	MessageDrop []string
	// Alternate is set if user and assistant must take turns after the system message:
	// consecutive messages of one side are merged.
	Alternate bool
	// CallMembers lists the text members that an assistant message with tool calls must have.
	// Any that are missing are added as empty strings.
	CallMembers []string

	// MaxTokens is the member that limits the output, "max_tokens" or
	// "max_completion_tokens"; "" means max_tokens.
	MaxTokens string
	// NoStreamUsage is set if stream_options is refused or ignored.
	NoStreamUsage bool
	// Vectors is VectorsInt8 if embeddings are 8-bit numbers in base64 and no other encoding
	// can be requested.
	Vectors    string
	Path       string // of chat completions, relative to BaseURL; "" means the format's own
	APIVersion string // for formats whose calls name a version
}

// VectorsInt8 stands for vectors of 8-bit numbers in base64, as Perplexity sends them.
const VectorsInt8 = "int8"

// Bound is the minimum and maximum of a number, in JSON; "" means none.
type Bound struct{ Min, Max string }

// Over returns the quirks q laid over base, such as a model's over its provider's: lists and
// maps are merged, and of single values q's are used where it sets them.
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
	q.Unreported = union(base.Unreported, q.Unreported)
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
		{&q.AllowedTools, base.AllowedTools},
		{&q.CallIDs, base.CallIDs},
		{&q.Results, base.Results},
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

// Of returns the quirks of an adapter or a provider for an operation: Known applies only to
// chat completions.
func (q Quirks) Of(o Operation) Quirks {
	if !operations[o].known {
		q.Known = nil
	}
	return q
}

// change reports whether any rule could change a request.
func (q *Quirks) change() bool {
	return len(q.Rename)+len(q.Drop)+len(q.Known)+len(q.Refuse)+len(q.Bounds)+len(q.Efforts)+len(q.Sampling) > 0 ||
		len(q.NoReasoning)+len(q.ForcedTools)+len(q.Search)+len(q.Reasons)+len(q.Prefill)+len(q.SignCalls)+len(q.Results) > 0 ||
		len(q.Roles)+len(q.MessageRename)+len(q.MessageDrop)+len(q.CallMembers) > 0 || q.Alternate
}

// Output returns the provider's name for the output limit, in the OpenAI format.
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
func (t *Target) Sends(name string) bool {
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

// declared returns x with its target's quirks applied, and the names of what is lost. It
// returns x itself, without a copy, if they change nothing.
func (x Exchange) declared() (Exchange, []string, error) {
	if !x.Target.Quirks.change() && !x.mustNotStore() {
		return x, nil, nil
	}
	return x.changed()
}

// mustNotStore reports whether the client asks for the answer to be stored when that is not
// allowed.
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

// pass collects the changes to a request.
type pass struct {
	q   *Quirks
	row *operation
	r   *chat.Request

	reasons bool // the model can reason
	quiet   bool // the model is told not to reason
	open    bool // the results of tools are the last thing that was said

	sets  []jsonraw.Member
	drops []string
	lost  []string // members that were dropped although they said something, and those brought within bounds
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

// refuses reports whether a request that has the member is refused.
func (q *Quirks) refuses(name []byte) bool {
	return has(q.Refuse, name) || q.Search == SearchNever && string(name) == searchMember
}

// takes reports whether the provider accepts a member, given by the provider's name for it.
func (p *pass) takes(name []byte) bool {
	return !has(p.q.Drop, name) && (len(p.q.Known) == 0 || has(p.q.Known, name))
}

// member applies the rules for one member: it is refused, or brought within bounds and then
// renamed or dropped.
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

// forget removes a member without reporting it.
func (p *pass) forget(name []byte) {
	p.drops = append(p.drops, string(name))
	p.sets = slices.DeleteFunc(p.sets, func(m jsonraw.Member) bool { return m.Name == string(name) })
}

// lose removes a member and reports it as lost, unless it said nothing.
func (p *pass) lose(name, value []byte) {
	if value == nil {
		return
	}
	p.forget(name)
	if !chat.Idle(name, value) {
		p.lost = Lose(p.lost, string(name))
	}
}

func refused(name string) *Error {
	return &Error{
		Kind: KindUnfit, Status: http.StatusBadRequest, Err: fmt.Errorf("providers: quirks: %s is refused", name),
		Detail: chat.Error{
			Message: "This provider cannot do " + name + ".", Type: "invalid_request_error", Param: name, Code: "unsupported_parameter",
		},
	}
}

// messages applies the rules for messages. Renaming roles, and taking back what we added to
// an earlier answer, loses nothing; anything else is reported as "messages.NAME".
func (p *pass) messages() {
	members := len(p.q.MessageRename)+len(p.q.MessageDrop)+len(p.q.CallMembers)+len(p.q.SignCalls) > 0
	if !members && len(p.q.Roles) == 0 && !p.q.Alternate && p.q.Prefill != PrefillNever && p.q.Results == "" {
		return
	}
	var list [][]byte // nil until a message changes
	i := 0
	for m := range p.r.Messages() {
		raw := m.Raw
		if before := p.answered(m); before != nil {
			if list == nil {
				list = p.first(i)
			}
			list = append(list, before)
		}
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

// first returns the first n messages unchanged.
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

// message returns one message with the changes applied, or its own bytes if there are none.
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

// without returns a list whose elements lack the members that the provider refuses, which are
// those of names that begin with the prefix within. It returns the list itself if no element
// has any of them, and calls lose for each member removed.
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
