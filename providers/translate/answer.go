package translate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Words are a text on its way from a provider to the client: the inside of a JSON
// string, with the escapes that it came with.
type Words []byte

// Add adds a JSON string; anything else adds nothing. The first piece is not copied.
func (w *Words) Add(raw []byte) {
	inside := jsonraw.Inside(raw)
	if !utf8.Valid(inside) {
		inside = []byte(string([]rune(string(inside)))) // U+FFFD for what is not UTF-8
	}
	if len(*w) == 0 {
		*w = inside[:len(inside):len(inside)]
		return
	}
	*w = append(*w, inside...)
}

// AddText adds a text.
func (w *Words) AddText(text string) { *w = jsonraw.AppendInside((*w)[:len(*w):len(*w)], text) }

// Text is the text that the words spell.
func (w Words) Text() string {
	if bytes.IndexByte(w, '\\') < 0 {
		return string(w)
	}
	return string(jsonraw.AppendText(make([]byte, 0, len(w)), w))
}

// WordsOf are the words of a JSON string.
func WordsOf(raw []byte) (w Words) {
	w.Add(raw)
	return w
}

// member adds a member to o unless there are no words.
func (w Words) member(o *jsonraw.Object, name string) {
	if len(w) > 0 {
		o.Inside(name, w)
	}
}

// Whole reports a text that is a JSON object from its beginning to its end, as the
// arguments of a call are once all their pieces have come.
func Whole(text []byte) bool { return jsonraw.IsObject(text) && Valid(text) == nil }

// Characters is how many characters a JSON string spells.
func Characters(raw []byte) int64 { return int64(utf8.RuneCount(jsonraw.Quoted(raw).Bytes())) }

// Head is what a whole answer and each chunk of a streamed one begin with.
type Head struct {
	ID, Model string
	Created   int64  // Unix seconds
	Tier      string // service_tier in the OpenAI format's words; "" is not said
}

func (h Head) write(o *jsonraw.Object, kind string) {
	o.Text("id", h.ID)
	o.Text("object", kind)
	o.Int("created", h.Created)
	o.Text("model", h.Model)
	o.Some("service_tier", h.Tier)
}

// Message is what one choice says, whole or the next piece of it.
type Message struct {
	Text, Refusal, Reasoning Words
	Details                  [][]byte // elements of reasoning_details
	Calls                    []ToolCall
	Annotations, Images      [][]byte
	Audio                    []byte // an object
	Logprobs                 []byte // the value of logprobs
	Unbilled                 bool   // the refusal is an explanation, ours or the provider's, and no output of the model
}

// ToolCall is a call of a tool in an answer, or the next piece of one.
type ToolCall struct {
	Index     int
	ID        string // of the first piece
	Name      Words  // of the first piece
	Arguments Words
	Custom    bool   // a custom tool, whose Arguments are its free text
	Extra     []byte // extra_content
}

// Choice is one choice of a whole answer.
type Choice struct {
	Message

	Index  int
	Finish string // in the OpenAI format's words
	Native string // the provider's word for it
}

// Response is a whole answer. usage is nil where the provider reported none.
func Response(h Head, choices []Choice, usage *Usage) *chat.Response {
	var o jsonraw.Object
	h.write(&o, "chat.completion")
	o.Key("choices")
	o.Open('[')
	for i := range choices {
		choices[i].write(&o)
	}
	o.Close(']')
	if usage != nil {
		usage.write(&o)
	}
	return NativeResponse(h, choices, usage, oneLine(o.Bytes()))
}

// NativeResponse is a whole answer whose body is known: what it says is told besides.
func NativeResponse(h Head, choices []Choice, usage *Usage, body []byte) *chat.Response {
	r := &chat.Response{Model: h.Model, ID: h.ID, Body: body}
	var text []byte
	for i := range choices {
		c := &choices[i]
		text = c.appendText(text)
		r.Thought += len(c.Reasoning)
		r.Media += c.media()
		if r.Finish == "" {
			r.Finish = c.Finish
		}
	}
	if usage != nil {
		r.Usage = usage.Chat(h.Tier)
	}
	r.Text = string(text)
	return r
}

// write adds the choice as an element of choices.
func (c *Choice) write(o *jsonraw.Object) {
	o.Open('{')
	o.Int("index", int64(c.Index))
	o.Key("message")
	o.Open('{')
	o.Text("role", "assistant")
	if len(c.Text) == 0 && (len(c.Calls) > 0 || len(c.Refusal) > 0) {
		o.Word("content", "null")
	} else {
		o.Inside("content", c.Text)
	}
	if len(c.Refusal) == 0 {
		o.Word("refusal", "null")
	}
	c.members(o, ToolCall.whole)
	o.Close('}')
	o.Raw("logprobs", orNull(c.Logprobs))
	o.Text("finish_reason", c.Finish)
	o.Some("native_finish_reason", c.Native)
	o.Close('}')
}

// members adds all but the role and the content.
func (m *Message) members(o *jsonraw.Object, write func(ToolCall, *jsonraw.Object)) {
	m.Refusal.member(o, "refusal")
	m.Reasoning.member(o, "reasoning_content")
	o.Array("reasoning_details", m.Details)
	if len(m.Calls) > 0 {
		o.Key("tool_calls")
		o.Open('[')
		for _, c := range m.Calls {
			write(c, o)
		}
		o.Close(']')
	}
	o.Array("annotations", m.Annotations)
	o.Array("images", m.Images)
	o.Raw("audio", m.Audio)
}

// says reports that the message holds what a client is waiting for.
func (m *Message) says() bool {
	return len(m.Text)+len(m.Refusal)+len(m.Reasoning)+len(m.Calls)+len(m.Images)+len(m.Audio) > 0
}

// media is how many pictures and pieces of sound the message holds.
func (m *Message) media() int { return len(m.Images) + min(len(m.Audio), 1) }

// text is all that counts as output.
func (m *Message) text() string {
	switch len(m.Text) + len(m.Refusal) + len(m.Reasoning) + len(m.Calls) {
	case len(m.Text):
		return m.Text.Text()
	case len(m.Reasoning):
		return m.Reasoning.Text()
	}
	return string(m.appendText(nil))
}

// appendText appends all that counts as output.
func (m *Message) appendText(text []byte) []byte {
	text = jsonraw.AppendText(text, m.Text)
	if !m.Unbilled {
		text = jsonraw.AppendText(text, m.Refusal)
	}
	for _, c := range m.Calls {
		text = jsonraw.AppendText(jsonraw.AppendText(text, c.Name), c.Arguments)
	}
	return jsonraw.AppendText(text, m.Reasoning)
}

func (c ToolCall) whole(o *jsonraw.Object) {
	kind, arguments := c.words()
	o.Open('{')
	o.Text("id", c.ID)
	o.Text("type", kind)
	o.Key(kind)
	o.Open('{')
	o.Inside("name", c.Name)
	o.Inside(arguments, c.Arguments)
	o.Close('}')
	o.Raw("extra_content", c.Extra)
	o.Close('}')
}

// piece adds the call as an element of a delta.
func (c ToolCall) piece(o *jsonraw.Object) {
	kind, arguments := c.words()
	o.Open('{')
	o.Int("index", int64(c.Index))
	o.Some("id", c.ID)
	if c.ID != "" {
		o.Text("type", kind)
	}
	o.Key(kind)
	o.Open('{')
	if c.ID != "" {
		o.Inside("name", c.Name)
	}
	o.Inside(arguments, c.Arguments)
	o.Close('}')
	o.Raw("extra_content", c.Extra)
	o.Close('}')
}

// words are the names of the members that tell of the call.
func (c ToolCall) words() (kind, arguments string) {
	if c.Custom {
		return "custom", "input"
	}
	return "function", "arguments"
}

func orNull(raw []byte) []byte {
	if raw == nil {
		return []byte("null")
	}
	return raw
}

// oneLine is JSON without line ends, as an event needs it.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	return jsonraw.Compact(data)
}

// Derived is an identifier that the same parts always have: for what a provider
// gives none to.
func Derived(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return prefix + hex.EncodeToString(h.Sum(nil)[:12])
}

// AnswerID is an identifier for an answer to which its provider gives none. It differs
// between the requests of a conversation, which grow, even where their answers begin alike:
// clients know calls of tools by what is derived of it.
func AnswerID(x providers.Exchange, data []byte) string {
	grown := 0
	if x.Request != nil {
		grown = len(x.Request.Body())
	}
	return Derived("chatcmpl-", string(data), strconv.Itoa(grown))
}

// Unix is a time as RFC 3339 writes it in Unix seconds, and what now says where
// the text is none.
func Unix(text string, now func() time.Time) int64 {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.Unix()
	}
	return now().Unix()
}
