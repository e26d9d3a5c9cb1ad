package openai

import (
	"bytes"
	"encoding/hex"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// normaliser makes responses conform to OpenAI's schema: it adds what is required, removes
// nulls that are not allowed, and moves things to where clients look for them. Members that
// the schema does not know stay as they are, and so do all other bytes. A normaliser serves
// one response.
type normaliser struct {
	x       providers.Exchange
	stream  bool
	id      string // of the response; known from the first chunk on
	head    []byte // the first chunk of a stream
	choices map[string]*choice
	usage   *chat.Usage // of what is being normalised
}

// choice is what a stream has said so far for one of its choices.
type choice struct {
	role, finished bool
	calls          []call
	at             int            // the call continued last
	named          map[string]int // the provider's index → ours of its last call there
}

// call is a tool call in a stream.
type call struct{ id, kind, name string } // kind is "function" or "custom"

// edits collects the changes to one object.
type edits struct {
	set  []jsonraw.Member
	drop []string
}

func (e *edits) put(name string, value []byte) {
	e.set = append(e.set, jsonraw.Member{Name: name, Value: value})
}

// change sets a member, unless it already has the value.
func (e *edits) change(name string, from, to []byte) {
	if !bytes.Equal(from, to) {
		e.put(name, to)
	}
}

func (e *edits) leave(name string) { e.drop = append(e.drop, name) }

func (e *edits) apply(object []byte) []byte { return jsonraw.Edit(object, e.set, e.drop...) }

var null = []byte("null")

// object holds the members of an object.
type object map[string][]byte

// read returns the members of an object. If a name occurs twice, the last one counts.
func read(raw []byte) object {
	o := make(object)
	for name, value := range jsonraw.Each(raw) {
		o[string(name)] = value
	}
	return o
}

// answer normalises a complete response or a chunk.
func (m *normaliser) answer(body []byte, usage *chat.Usage) []byte {
	m.usage = usage
	o, e := read(body), &edits{}
	m.identity(o, e, body)
	kind := `"chat.completion"`
	if m.stream {
		kind = `"chat.completion.chunk"`
	}
	e.change("object", o["object"], []byte(kind))
	e.change("created", o["created"], whole(o["created"]))
	if o["model"] == nil || jsonraw.Text(o["model"]) == "" {
		e.put("model", jsonraw.Quote(m.x.Target.Upstream))
	}
	m.words(o, e)
	m.usageOf(o, e)
	e.change("choices", o["choices"], m.choicesOf(o["choices"]))
	body = e.apply(body)
	if m.stream && m.head == nil {
		m.head = bytes.Clone(body)
	}
	return body
}

// begin records a first chunk that is in order.
func (m *normaliser) begin(c chat.Chunk) bool {
	m.id, m.head = string(c.ID.Bytes()), bytes.Clone(c.Data)
	m.state("0").role = true
	return true
}

// ends records the finish reason of the only choice, unless it has to be changed.
func (m *normaliser) ends(reason string) bool {
	c := m.state("0")
	if c.finished || reason == "stop" && len(c.calls) > 0 {
		return false
	}
	c.finished = true
	return true
}

// identity gives a response an id if it has none, and all chunks the same one.
func (m *normaliser) identity(o object, e *edits, body []byte) {
	id := jsonraw.Text(o["id"])
	if m.id == "" {
		if m.id = id; id == "" {
			m.id = "chatcmpl-" + digest(body)
		}
	}
	if id != m.id || o["id"] == nil {
		e.put("id", jsonraw.Quote(m.id))
	}
}

// digest derives a name from bytes: the same response gets the same name.
func digest(parts ...[]byte) string {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write(p) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// whole returns a number without its fraction; 0 for anything else.
func whole(raw []byte) []byte {
	if len(raw) == 0 || raw[0] == '"' {
		raw = []byte(jsonraw.Text(raw))
	}
	if _, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return raw
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 || f > 1<<53 {
		return []byte("0")
	}
	return strconv.AppendInt(nil, int64(f), 10)
}

// tiers maps providers' names to the tiers of the format.
var tiers = map[string]string{"standard": "default", "on_demand": "default", "performance": "priority"}

// words normalises service_tier and system_fingerprint.
func (m *normaliser) words(o object, e *edits) {
	if raw, ok := o["system_fingerprint"]; ok && raw[0] != '"' {
		e.leave("system_fingerprint")
	}
	raw, ok := o["service_tier"]
	if !ok || jsonraw.IsNull(raw) {
		return
	}
	switch tier := jsonraw.Text(raw); tier {
	case "auto", "default", "flex", "scale", "priority", "fast":
	default:
		if to := tiers[tier]; to != "" {
			e.put("service_tier", jsonraw.Quote(to))
		} else {
			e.leave("service_tier")
		}
	}
}

// choicesOf normalises every choice.
func (m *normaliser) choicesOf(raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '[' {
		return []byte("[]")
	}
	i := -1
	return each(raw, func(c []byte) []byte {
		i++
		return m.choice(c, i)
	})
}

// each applies f to the elements of an array. It returns raw itself if none changes.
func each(raw []byte, f func([]byte) []byte) []byte {
	out, changed := []byte{'['}, false
	for element := range jsonraw.Elements(raw) {
		to := f(element)
		changed = changed || !bytes.Equal(to, element)
		if to == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, to...)
	}
	if !changed {
		return raw
	}
	return append(out, ']')
}

func (m *normaliser) choice(raw []byte, i int) []byte {
	o, e := read(raw), &edits{}
	index := o["index"]
	if len(index) == 0 || index[0] < '0' || index[0] > '9' {
		index = strconv.AppendInt(nil, int64(i), 10)
	}
	e.change("index", o["index"], index)
	name, other := "message", "delta"
	if m.stream {
		name, other = other, name
	}
	said := o[name]
	if len(said) == 0 || said[0] != '{' {
		if said = o[other]; len(said) == 0 || said[0] != '{' {
			said = []byte("{}")
		}
		if text := o["text"]; len(text) > 0 && text[0] == '"' && string(said) == "{}" {
			said = jsonraw.Edit(said, []jsonraw.Member{{Name: "content", Value: text}})
		}
	}
	state := m.state(string(index))
	e.change(name, o[name], m.message(said, state))
	if to := m.logprobs(o["logprobs"]); o["logprobs"] != nil || !m.stream {
		e.change("logprobs", o["logprobs"], to)
	}
	e.change("finish_reason", o["finish_reason"], m.finish(o["finish_reason"], said, state))
	return e.apply(raw)
}

// Limits on what is remembered of one stream, whatever a provider sends.
const (
	maxChoices = 256
	maxCalls   = 1024 // per choice; anything beyond that is treated as part of the last call
)

// state returns what is known of a choice.
func (m *normaliser) state(index string) *choice {
	if m.choices == nil {
		m.choices = make(map[string]*choice)
	}
	if m.choices[index] == nil && len(m.choices) >= maxChoices {
		index = "" // the choices over the limit share one
	}
	if m.choices[index] == nil {
		m.choices[index] = new(choice)
	}
	return m.choices[index]
}

// ending returns a chunk that finishes the choices of a stream that nothing has finished; nil
// if there are none.
func (m *normaliser) ending() []byte {
	var list [][]byte
	for _, index := range slices.Sorted(maps.Keys(m.choices)) {
		c := m.choices[index]
		if c.finished || index == "" {
			continue
		}
		c.finished = true
		reason := "stop"
		if len(c.calls) > 0 {
			reason = "tool_calls"
		}
		list = append(list, []byte(`{"index":`+index+`,"delta":{},"logprobs":null,"finish_reason":"`+reason+`"}`))
	}
	if list == nil {
		return nil
	}
	choices := slices.Concat([]byte("["), joined(list), []byte("]"))
	return jsonraw.Edit(m.head, []jsonraw.Member{{Name: "choices", Value: choices}}, "usage", "x_groq")
}

// finish returns the finish reason by its name in the format. A stream sends it once.
func (m *normaliser) finish(raw, said []byte, c *choice) []byte {
	reason := jsonraw.Text(raw)
	if m.stream && (reason == "" || c.finished) {
		return null
	}
	c.finished = true
	to := finishReason(reason)
	called := len(c.calls) > 0
	if !m.stream {
		for range jsonraw.Elements(jsonraw.Lookup(said, "tool_calls")) {
			called = true
		}
	}
	if to == "stop" && called && !m.forced() {
		to = "tool_calls"
	}
	return jsonraw.Quote(to)
}

// forced reports whether the client has named the one function to be called. In that case the
// format itself has "stop" as the reason.
func (m *normaliser) forced() bool {
	choice := m.x.Request.Get("tool_choice")
	return len(choice) > 0 && choice[0] == '{'
}

// usageOf sets the three counts according to their meaning in the format.
func (m *normaliser) usageOf(o object, e *edits) {
	raw, u := o["usage"], m.usage
	if u == nil {
		if _, ok := o["usage"]; ok && (!m.stream || !jsonraw.IsNull(raw)) {
			e.leave("usage")
		}
		return
	}
	if len(raw) == 0 || raw[0] != '{' {
		if !m.x.Request.WantsUsage() && m.stream {
			return
		}
		raw = []byte("{}")
	}
	e.change("usage", o["usage"], usage(raw, u))
}

func usage(raw []byte, u *chat.Usage) []byte {
	raw, _ = chat.WholeCounts(raw)
	o, e := read(raw), &edits{}
	prompt := u.Input + u.CacheRead + u.CacheWrite
	total := prompt + u.Output
	if told, ok := ownCounts(o, u); ok {
		prompt, total = told, count(o["total_tokens"])
	}
	for _, c := range []struct {
		name  string
		value int64
	}{{"prompt_tokens", prompt}, {"completion_tokens", u.Output}, {"total_tokens", total}} {
		if count(o[c.name]) != c.value {
			e.put(c.name, strconv.AppendInt(nil, c.value, 10))
		}
	}
	details(o, e, "prompt_tokens_details", "cached_tokens", u.CacheRead)
	details(o, e, "completion_tokens_details", "reasoning_tokens", u.Reasoning)
	return e.apply(raw)
}

// ownCounts reports whether the prompt count is the provider's own, although more is charged,
// because audio or cached tokens are, by the details, additional to it. The details then say
// the rest.
func ownCounts(o object, u *chat.Usage) (prompt int64, ok bool) {
	prompt, completion, total := count(o["prompt_tokens"]), count(o["completion_tokens"]), count(o["total_tokens"])
	cached, audio := count(jsonraw.Lookup(o["prompt_tokens_details"], "cached_tokens")),
		count(jsonraw.Lookup(o["prompt_tokens_details"], "audio_tokens"))
	switch gap := total - prompt - completion; {
	case prompt < 0 || completion != u.Output || gap < 0:
		return 0, false
	case gap == 0:
		return prompt, cached > prompt && count(jsonraw.Lookup(o["prompt_tokens_details"], "text_tokens")) == prompt
	default:
		return prompt, gap == audio
	}
}

// count returns a number of tokens, or -1 for anything else.
func count(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// details makes sure that a count is where the format has it, and removes nulls.
func details(o object, e *edits, name, member string, least int64) {
	raw, ok := o[name]
	if !ok && least == 0 {
		return
	}
	if !ok || raw[0] != '{' {
		if least == 0 {
			e.leave(name)
			return
		}
		raw = []byte("{}")
	}
	in := &edits{}
	for inner, value := range jsonraw.Each(raw) {
		if jsonraw.IsNull(value) {
			in.leave(string(inner))
		}
	}
	if count(jsonraw.Lookup(raw, member)) < least {
		in.put(member, strconv.AppendInt(nil, least, 10))
	}
	e.change(name, o[name], in.apply(raw))
}
