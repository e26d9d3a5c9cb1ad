package providers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Message histories come from other providers, from clients that truncate them, and from
// models that invented a tool. Providers refuse a history whose calls and results do not
// match, so before anything else each call is followed by exactly one result.

// paired returns x with a history in which every call has a result and every result a call,
// and the names of what was lost. It returns x itself if that already holds.
func (x Exchange) paired(a aliases) (Exchange, []string, error) {
	if x.Operation != Chat || !called(x.Request) {
		return x, nil, nil
	}
	h := history{r: x.Request, aliases: a, nine: x.Target.Quirks.CallIDs == CallIDsNine}
	h.read()
	h.match()
	h.fill()
	list := h.list()
	if !h.changed {
		return x, nil, nil
	}
	r, err := x.Request.Edit([]jsonraw.Member{{Name: "messages", Value: jsonraw.Array(list)}})
	if err != nil {
		return x, nil, fmt.Errorf("providers: history: %w", err)
	}
	x.Request = r
	return x, h.lost, nil
}

// called reports whether the history contains tool calls or results.
func called(r *chat.Request) bool {
	for m := range r.Messages() {
		switch string(m.Role.Bytes()) {
		case "tool":
			return true
		case "assistant":
			if bytes.Contains(m.Raw, []byte(`"tool_calls"`)) {
				return true
			}
		}
	}
	return false
}

// history holds the messages of one request.
type history struct {
	r        *chat.Request
	messages []said
	calls    []madeCall
	byID     map[string][]int // calls by their ids in the client's request
	aliases  aliases
	nine     bool // ids have nine letters and digits
	lost     []string
	changed  bool
}

// said is one message.
type said struct {
	raw   []byte
	tool  bool
	calls []int // made in this message, if it is the assistant's
	id    string
	name  string
}

// madeCall is a tool call made by the assistant.
type madeCall struct {
	message  int // index of the message that contains it
	raw      []byte
	id, name string
	as       string // the id to send
	result   int    // index of the message that answers it; -1 until there is one
}

func (h *history) read() {
	h.byID = make(map[string][]int)
	taken := make(map[string]bool)
	for m := range h.r.Messages() {
		s := said{raw: m.Raw, tool: string(m.Role.Bytes()) == "tool"}
		switch {
		case s.tool:
			s.id, s.name = jsonraw.Text(jsonraw.Lookup(m.Raw, "tool_call_id")), m.Name.String()
		case string(m.Role.Bytes()) == "assistant" && bytes.Contains(m.Raw, []byte(`"tool_calls"`)):
			for raw := range jsonraw.Elements(jsonraw.Lookup(m.Raw, "tool_calls")) {
				c := madeCall{message: len(h.messages), raw: raw, id: jsonraw.Text(jsonraw.Lookup(raw, "id")), result: -1}
				c.name = jsonraw.Text(jsonraw.Lookup(raw, "function", "name"))
				c.as = h.unique(c.id, taken)
				h.byID[c.id] = append(h.byID[c.id], len(h.calls))
				s.calls = append(s.calls, len(h.calls))
				h.calls = append(h.calls, c)
			}
		}
		h.messages = append(h.messages, s)
	}
}

// mostID is the length of the longest call id that every provider accepts.
const mostID = 40

// unique returns an id that the provider accepts and that no earlier call has: id itself if
// that qualifies.
func (h *history) unique(id string, taken map[string]bool) string {
	as := id
	if len(as) > mostID {
		sum := sha256.Sum256([]byte(as))
		as = "call_" + hex.EncodeToString(sum[:12])
	}
	if as == "" || taken[as] {
		as = "call_" + strconv.Itoa(len(h.calls))
	}
	if h.nine && !isNine(as) {
		as = nineOf(as)
	}
	for taken[as] {
		if as += "_"; h.nine {
			as = nineOf(as)
		}
	}
	taken[as] = true
	return as
}

// isNine reports whether an id has nine letters and digits.
func isNine(id string) bool {
	return len(id) == 9 && !strings.ContainsFunc(id, func(r rune) bool { return !letter(r) || r == '_' || r == '-' })
}

// nineOf returns nine letters and digits that stand for an id.
func nineOf(id string) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(id))
	to := make([]byte, 9)
	for i := range to {
		to[i] = letters[int(sum[i])%len(letters)]
	}
	return string(to)
}

// match finds the call that each result belongs to. If a call has several results, the last
// one counts; a result without a call becomes a user message.
func (h *history) match() {
	for i := range h.messages {
		m := &h.messages[i]
		if !m.tool {
			continue
		}
		c := h.callOf(i)
		if c < 0 {
			if m.tool = false; !h.elsewhere() {
				h.messages[i].raw = spoken(m.raw)
				h.lose(fmt.Sprintf("messages[%d].tool_call_id", i))
			}
			continue
		}
		if h.calls[c].result >= 0 {
			h.lose(fmt.Sprintf("messages[%d]", h.calls[c].result))
		}
		h.calls[c].result = i
	}
}

// uncalled introduces a result whose call is not in the history.
const uncalled = "The result of a tool that was called before this conversation:"

// spoken turns a tool result into a user message.
func spoken(raw []byte) []byte {
	var text, o jsonraw.Object
	text.Text("type", "text")
	text.Text("text", uncalled)
	list := [][]byte{text.Bytes()}
	switch content := jsonraw.Lookup(raw, "content"); {
	case jsonraw.IsArray(content):
		for part := range jsonraw.Elements(content) {
			list = append(list, part)
		}
	case jsonraw.IsString(content):
		list[0] = []byte(`{"type":"text","text":` + string(jsonraw.Quote(uncalled+"\n"+jsonraw.Text(content))) + "}")
	}
	o.Text("role", "user")
	o.Raw("content", jsonraw.Array(list))
	return o.Bytes()
}

// elsewhere reports whether the provider keeps a part of the conversation.
func (h *history) elsewhere() bool {
	return slices.ContainsFunc([]string{"previous_response_id", "conversation", "cached_content"}, func(name string) bool {
		return jsonraw.Present(h.r.Get(name)) != nil
	})
}

// callOf returns the call that message i answers: the latest one before it without a result;
// failing that, the next one after it; failing that, the last one with the same id. It
// returns -1 if there is none.
func (h *history) callOf(i int) int {
	m := &h.messages[i]
	list := h.byID[m.id]
	if m.id == "" {
		list = h.waiting(i, m.name)
	}
	for _, c := range slices.Backward(list) {
		if h.calls[c].message < i && h.calls[c].result < 0 {
			return h.first(c)
		}
	}
	for _, c := range list {
		if h.calls[c].result < 0 {
			return c
		}
	}
	if len(list) == 0 {
		return -1
	}
	return list[len(list)-1]
}

// first returns the first call in the same message that has the same id as c and no result
// yet.
func (h *history) first(c int) int {
	for _, other := range h.messages[h.calls[c].message].calls {
		if h.calls[c].id != "" && h.calls[other].id == h.calls[c].id && h.calls[other].result < 0 {
			return other
		}
	}
	return c
}

// waiting returns the calls that a result without an id may answer: those with its name, or
// any if it has no name either, in the nearest preceding assistant message with calls.
func (h *history) waiting(i int, name string) (list []int) {
	for j := i - 1; j >= 0; j-- {
		if len(h.messages[j].calls) == 0 {
			continue
		}
		for _, c := range slices.Backward(h.messages[j].calls) {
			if h.calls[c].result < 0 && (name == "" || h.calls[c].name == name) {
				list = append(list, c) // callOf searches backwards, so the first call is taken first
			}
		}
		return list
	}
	return nil
}

// unanswered is the result given to a call that has none, for instance because somebody
// interrupted it.
const unanswered = "There is no result: the call was not answered."

// fill adds a result to each call that has none, because every provider expects one.
func (h *history) fill() {
	for i := range h.messages {
		for _, c := range h.messages[i].calls {
			if h.calls[c].result >= 0 {
				continue
			}
			var o jsonraw.Object
			o.Text("role", "tool")
			o.Text("tool_call_id", h.calls[c].as)
			o.Text("content", unanswered)
			h.calls[c].result = len(h.messages)
			h.messages = append(h.messages, said{raw: o.Bytes(), tool: true, id: h.calls[c].as})
			h.lose(fmt.Sprintf("messages[%d].tool_calls", i))
		}
	}
}

// list returns the messages with each result after its call.
func (h *history) list() [][]byte {
	list := make([][]byte, 0, len(h.messages))
	order := -1 // index of the last message added, in the original order
	add := func(i int, raw []byte) {
		h.changed = h.changed || i < order || !same(raw, h.messages[i].raw)
		order = i
		list = append(list, raw)
	}
	for i := range h.messages {
		m := &h.messages[i]
		if m.tool {
			continue
		}
		add(i, h.asked(m))
		for _, c := range h.inOrder(m.calls) {
			add(h.calls[c].result, h.answer(&h.calls[c]))
		}
	}
	h.changed = h.changed || len(list) != len(h.messages)
	return list
}

// inOrder returns those of the calls that have results, in the order of the results.
func (h *history) inOrder(calls []int) []int {
	list := slices.DeleteFunc(slices.Clone(calls), func(c int) bool { return h.calls[c].result < 0 })
	slices.SortFunc(list, func(a, b int) int { return h.calls[a].result - h.calls[b].result })
	return list
}

func same(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// asked returns a message with its calls under names and ids that every provider accepts.
func (h *history) asked(m *said) []byte {
	if len(m.calls) == 0 {
		if calls := jsonraw.Lookup(m.raw, "tool_calls"); jsonraw.IsEmptyArray(calls) {
			return jsonraw.Edit(m.raw, nil, "tool_calls")
		}
		return m.raw
	}
	var list [][]byte
	changed := false
	for _, i := range m.calls {
		c := &h.calls[i]
		raw := c.raw
		if c.as != c.id {
			raw = jsonraw.Edit(raw, []jsonraw.Member{{Name: "id", Value: jsonraw.Quote(c.as)}})
		}
		if name := h.plain(c.name); name != c.name {
			f := jsonraw.Edit(jsonraw.Lookup(raw, "function"), []jsonraw.Member{{Name: "name", Value: jsonraw.Quote(name)}})
			raw = jsonraw.Edit(raw, []jsonraw.Member{{Name: "function", Value: f}})
		}
		changed = changed || !same(raw, c.raw)
		list = append(list, raw)
	}
	if !changed {
		return m.raw
	}
	return jsonraw.Edit(m.raw, []jsonraw.Member{{Name: "tool_calls", Value: jsonraw.Array(list)}})
}

// answer returns the result of a call, under the id and the name that the call has now.
func (h *history) answer(c *madeCall) []byte {
	m := &h.messages[c.result]
	var sets []jsonraw.Member
	if m.id != c.as {
		sets = append(sets, jsonraw.Member{Name: "tool_call_id", Value: jsonraw.Quote(c.as)})
	}
	if name := h.plain(m.name); name != m.name {
		sets = append(sets, jsonraw.Member{Name: "name", Value: jsonraw.Quote(name)})
	}
	if len(sets) == 0 {
		return m.raw
	}
	return jsonraw.Edit(m.raw, sets)
}

// plain returns the name under which a called tool is sent. A tool that is not declared was
// invented by the model, so its name may be changed freely.
func (h *history) plain(name string) string {
	if as := h.aliases.sent[name]; as != "" {
		return as
	}
	if name == "" || PlainName(name) == name {
		return name
	}
	h.lose("messages.tool_calls.function.name")
	return PlainName(name)
}

// mostName is the length of the longest tool name that every provider accepts.
const mostName = 64

// PlainName returns a tool's name in the characters and the length that every provider
// accepts: letters, digits, "_" and "-", at most 64 of them.
func PlainName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if letter(r) {
			return r
		}
		return '_'
	}, name)
	if len(plain) > mostName {
		sum := sha256.Sum256([]byte(name))
		plain = plain[:mostName-9] + "_" + hex.EncodeToString(sum[:4])
	}
	return plain
}

func letter(r rune) bool {
	return r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z' && r < 0x80
}

// lose records the name of something that is lost, up to a limit.
func (h *history) lose(name string) {
	h.changed = true
	if len(h.lost) < 16 && !slices.Contains(h.lost, name) {
		h.lost = append(h.lost, name)
	}
}
