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

// Words is a text on its way from a provider to the client: the inside of a JSON string, with
// its original escapes.
type Words []byte

// Add adds a JSON string; anything else adds nothing. The first piece is not copied.
func (w *Words) Add(raw []byte) {
	inside := jsonraw.Inside(raw)
	if !utf8.Valid(inside) {
		inside = []byte(string([]rune(string(inside)))) // U+FFFD in place of invalid UTF-8
	}
	if len(*w) == 0 {
		*w = inside[:len(inside):len(inside)]
		return
	}
	*w = append(*w, inside...)
}

// AddText adds a plain text, escaping it as necessary.
func (w *Words) AddText(text string) { *w = jsonraw.AppendInside((*w)[:len(*w):len(*w)], text) }

// Text returns the text with the escapes decoded.
func (w Words) Text() string {
	if bytes.IndexByte(w, '\\') < 0 {
		return string(w)
	}
	return string(jsonraw.AppendText(make([]byte, 0, len(w)), w))
}

// WordsOf returns the words of a JSON string.
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

// Whole reports whether a text is a complete JSON object, as the arguments of a call are once
// all their pieces have arrived.
func Whole(text []byte) bool { return jsonraw.IsObject(text) && Valid(text) == nil }

// Characters returns the number of characters that a JSON string represents.
func Characters(raw []byte) int64 { return int64(utf8.RuneCount(jsonraw.Quoted(raw).Bytes())) }

// Head is what a complete response, and each chunk of a streamed one, begins with.
type Head struct {
	ID, Model string
	Created   int64  // Unix seconds
	Tier      string // service_tier in OpenAI's words; "" if not given
}

func (h Head) write(o *jsonraw.Object, kind string) {
	o.Text("id", h.ID)
	o.Text("object", kind)
	o.Int("created", h.Created)
	o.Text("model", h.Model)
	o.Some("service_tier", h.Tier)
}

// Message is what one choice says, or its next piece in a stream.
type Message struct {
	Text, Refusal, Reasoning Words
	Details                  [][]byte // elements of reasoning_details
	Calls                    []ToolCall
	Annotations, Images      [][]byte
	Audio                    []byte // an object
	Logprobs                 []byte // the value of logprobs
	Unbilled                 bool   // the refusal is an explanation, ours or the provider's, and not output of the model
}

// ToolCall is a tool call in a response, or the next piece of one.
type ToolCall struct {
	Index     int
	ID        string // in the first piece
	Name      Words  // in the first piece
	Arguments Words
	Custom    bool   // a custom tool, whose Arguments are free text
	Extra     []byte // extra_content
}

// Choice is one choice of a complete response.
type Choice struct {
	Message

	Index  int
	Finish string // in OpenAI's words
	Native string // the provider's name for it
}

// Response returns a complete response. usage is nil if the provider reported none.
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

// NativeResponse returns a complete response with the given body; the other arguments say
// what is in it.
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

// members adds everything except the role and the content.
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

// says reports whether the message contains what a client is waiting for.
func (m *Message) says() bool {
	return len(m.Text)+len(m.Refusal)+len(m.Reasoning)+len(m.Calls)+len(m.Images)+len(m.Audio) > 0
}

// media returns the number of pictures and audio pieces in the message.
func (m *Message) media() int { return len(m.Images) + min(len(m.Audio), 1) }

// text returns everything that counts as output.
func (m *Message) text() string {
	switch len(m.Text) + len(m.Refusal) + len(m.Reasoning) + len(m.Calls) {
	case len(m.Text):
		return m.Text.Text()
	case len(m.Reasoning):
		return m.Reasoning.Text()
	}
	return string(m.appendText(nil))
}

// appendText appends everything that counts as output.
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

// words returns the names of the members that describe the call.
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

// oneLine returns the JSON without line breaks, as an event requires.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return data
	}
	return jsonraw.Compact(data)
}

// Derived returns an identifier that is always the same for the same parts, for things that
// the provider gives no id.
func Derived(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return prefix + hex.EncodeToString(h.Sum(nil)[:12])
}

// AnswerID returns an identifier for a response to which its provider gives none. It differs
// between the requests of a conversation, which grow, even if their responses begin alike:
// clients identify tool calls by ids derived from it.
func AnswerID(x providers.Exchange, data []byte) string {
	grown := 0
	if x.Request != nil {
		grown = len(x.Request.Body())
	}
	return Derived("chatcmpl-", string(data), strconv.Itoa(grown))
}

// Unix returns an RFC 3339 time in Unix seconds, or the time from now if the text is not a
// valid one.
func Unix(text string, now func() time.Time) int64 {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.Unix()
	}
	return now().Unix()
}
