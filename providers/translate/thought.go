package translate

import (
	"encoding/base64"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Thought is a piece of reasoning from a provider that sends it in pieces, with what the
// provider needs to verify it when it comes back.
type Thought struct {
	Index           int // of the block of reasoning that it belongs to
	Format          string
	Text, Signature Words // nil if absent
	Data            Words // encrypted reasoning; nil if absent
}

// Think adds a thought. An empty one adds nothing.
func (m *Message) Think(t Thought) {
	if len(t.Text)+len(t.Signature)+len(t.Data) == 0 {
		return
	}
	if len(t.Text) > 0 {
		m.Reasoning = append(m.Reasoning[:len(m.Reasoning):len(m.Reasoning)], t.Text...)
	}
	var o jsonraw.Object
	switch {
	case t.Data != nil:
		o.Text("type", "reasoning.encrypted")
		o.Inside("data", t.Data)
	default:
		o.Text("type", "reasoning.text")
		if t.Text != nil || len(t.Signature) == 0 {
			o.Inside("text", t.Text)
		}
	}
	t.Signature.member(&o, "signature")
	o.Text("format", t.Format)
	o.Int("index", int64(t.Index))
	m.Details = append(m.Details, o.Bytes())
}

// Citation says that a part of the response's text comes from a web page, the only kind of
// source that the OpenAI format has.
type Citation struct {
	URL, Title []byte // as JSON
	Start, End int64  // range of the text, in characters
}

// Cite adds a citation, unless it has no URL.
func (m *Message) Cite(c Citation) {
	if len(jsonraw.Inside(c.URL)) == 0 {
		return
	}
	if len(jsonraw.Inside(c.Title)) == 0 {
		c.Title = c.URL
	}
	var o jsonraw.Object
	o.Text("type", "url_citation")
	o.Key("url_citation")
	o.Open('{')
	o.Int("start_index", c.Start)
	o.Int("end_index", c.End)
	o.Raw("url", c.URL)
	o.Raw("title", c.Title)
	o.Close('}')
	m.Annotations = append(m.Annotations, o.Bytes())
}

// Detail is one element of reasoning_details.
type Detail struct {
	Type      string // reasoning.text, reasoning.summary, reasoning.encrypted
	Format    string // whose it is, such as "google-gemini-v1"; "" if unknown
	ID        string
	Text      string
	Signature string
	Data      string
	Raw       []byte

	index string
}

// Verified reports whether a provider can verify that the thought is its own.
func (d Detail) Verified() bool { return d.Signature != "" || d.Data != "" }

// details reads reasoning_details. Pieces of one thought that a client collected from a
// stream without joining them are joined.
func (t *Turn) details(list []byte) {
	for raw := range jsonraw.Elements(list) {
		t.detail(raw)
	}
}

// detail reads one element, or a part in which Anthropic's clients send reasoning back.
func (t *Turn) detail(raw []byte) {
	d := readDetail(raw)
	if n := len(t.Details) - 1; n >= 0 && d.continues(t.Details[n]) {
		last := &t.Details[n]
		last.Text += d.Text
		last.Signature = d.Signature
		return
	}
	t.Details = append(t.Details, d)
}

// continues reports whether d is a piece of the same thought as before. A signature ends the
// thought.
func (d Detail) continues(before Detail) bool {
	const text = "reasoning.text"
	return d.index != "" && d.index == before.index && d.Type == text && before.Type == text && before.Signature == "" &&
		d.Format == before.Format && d.ID == before.ID
}

func readDetail(raw []byte) Detail {
	d := Detail{Raw: raw}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "type":
			d.Type = jsonraw.Text(value)
		case "format":
			d.Format = jsonraw.Text(value)
		case "id":
			d.ID = jsonraw.Text(value)
		case "text", "summary", "thinking":
			d.Text = jsonraw.Text(value)
		case "signature":
			d.Signature = jsonraw.Text(value)
		case "data":
			d.Data = jsonraw.Text(value)
		case "index":
			d.index = string(value)
		}
	}
	switch d.Type {
	case "thinking":
		d.Type = "reasoning.text"
	case "redacted_thinking":
		d.Type = "reasoning.encrypted"
	}
	return d
}

// carriedMark starts a signature, or the data of hidden reasoning, that carries what a
// provider needs to see again through a client of another format. No provider's own values
// start like this.
const carriedMark = "tallyroute1."

// Carry packs reasoning_details and the extra_content of calls, by call id, into one string;
// "" if there is nothing to pack.
func Carry(details [][]byte, calls []ReplyCall) string {
	var o, extras jsonraw.Object
	o.Array("details", details)
	for _, c := range calls {
		if c.Extra != nil && c.ID != "" {
			extras.Raw(c.ID, c.Extra)
		}
	}
	o.Object("calls", extras)
	if o.Empty() {
		return ""
	}
	return carriedMark + base64.RawURLEncoding.EncodeToString(o.Bytes())
}

// Carried unpacks what Carry packed, and returns a function from a call's id to its
// extra_content. It returns false for any other text.
func Carried(text string) (details [][]byte, extra func(call string) []byte, ok bool) {
	packed, ok := strings.CutPrefix(text, carriedMark)
	if !ok {
		return nil, nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(packed)
	if err != nil || Valid(raw) != nil {
		return nil, nil, false
	}
	calls := jsonraw.Lookup(raw, "calls")
	return list(jsonraw.Lookup(raw, "details")), func(call string) []byte { return jsonraw.Lookup(calls, call) }, true
}
