package translate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Head is what a whole answer and each chunk of a streamed one begin with.
type Head struct {
	ID, Model string
	Created   int64  // Unix seconds
	Tier      string // service_tier in the OpenAI format's words; "" is not said
}

func (h Head) object(kind string) jsonraw.Object {
	var o jsonraw.Object
	o.Text("id", h.ID)
	o.Text("object", kind)
	o.Int("created", h.Created)
	o.Text("model", h.Model)
	o.Some("service_tier", h.Tier)
	return o
}

// Message is what one choice says, whole or the next piece of it.
type Message struct {
	Text, Refusal, Reasoning string
	Details                  [][]byte // elements of reasoning_details
	Calls                    []Said
	Logprobs                 []byte         // the value of logprobs
	More                     jsonraw.Object // further members
}

// Said is a call of a function in an answer, or the next piece of one.
type Said struct {
	Index     int
	ID, Name  string // of the first piece
	Arguments string
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
func Response(h Head, choices []Choice, usage *Usage) (*chat.Response, error) {
	o := h.object("chat.completion")
	list := make([][]byte, len(choices))
	for i, c := range choices {
		list[i] = c.whole()
	}
	o.Raw("choices", jsonraw.Array(list))
	if usage != nil {
		o.Raw("usage", usage.object())
	}
	r, err := chat.ParseResponse(oneLine(o.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	if r.Usage != nil {
		r.Usage.Invalid = r.Usage.Invalid || usage.Invalid
	}
	return r, nil
}

// whole is the choice as the element of choices.
func (c *Choice) whole() []byte {
	var o, m jsonraw.Object
	m.Text("role", "assistant")
	if c.Text == "" && (len(c.Calls) > 0 || c.Refusal != "") {
		m.Raw("content", []byte("null"))
	} else {
		m.Text("content", c.Text)
	}
	if c.Refusal == "" {
		m.Raw("refusal", []byte("null"))
	}
	c.members(&m, Said.whole)
	o.Int("index", int64(c.Index))
	o.Raw("message", m.Bytes())
	o.Raw("logprobs", orNull(c.Logprobs))
	o.Text("finish_reason", c.Finish)
	o.Some("native_finish_reason", c.Native)
	return o.Bytes()
}

// members adds all but the role and the content.
func (m *Message) members(o *jsonraw.Object, write func(Said) []byte) {
	o.Some("refusal", m.Refusal)
	o.Some("reasoning_content", m.Reasoning)
	o.Array("reasoning_details", m.Details)
	calls := make([][]byte, len(m.Calls))
	for i, c := range m.Calls {
		calls[i] = write(c)
	}
	o.Array("tool_calls", calls)
	o.Join(m.More)
}

func (c Said) whole() []byte {
	var o, f jsonraw.Object
	o.Text("id", c.ID)
	f.Text("name", c.Name)
	if c.Custom {
		o.Text("type", "custom")
		f.Text("input", c.Arguments)
		o.Raw("custom", f.Bytes())
	} else {
		o.Text("type", "function")
		f.Text("arguments", c.Arguments)
		o.Raw("function", f.Bytes())
	}
	o.Raw("extra_content", c.Extra)
	return o.Bytes()
}

// piece is the call as an element of a delta. The format has no type there for
// custom tools, and so it is left out.
func (c Said) piece() []byte {
	var o, f jsonraw.Object
	o.Int("index", int64(c.Index))
	if c.Custom {
		o.Some("id", c.ID)
		f.Some("name", c.Name)
		f.Text("input", c.Arguments)
		o.Raw("custom", f.Bytes())
		return o.Bytes()
	}
	if c.ID != "" {
		o.Text("id", c.ID)
		o.Text("type", "function")
		f.Text("name", c.Name)
	}
	f.Text("arguments", c.Arguments)
	o.Raw("function", f.Bytes())
	o.Raw("extra_content", c.Extra)
	return o.Bytes()
}

func orNull(raw []byte) []byte {
	if raw == nil {
		return []byte("null")
	}
	return raw
}

// oneLine is JSON without line ends, as an event needs it.
func oneLine(data []byte) []byte {
	if !bytes.ContainsAny(data, "\r\n") {
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

// Unix is a time as RFC 3339 writes it in Unix seconds, and what now says where
// the text is none.
func Unix(text string, now func() time.Time) int64 {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.Unix()
	}
	return now().Unix()
}
