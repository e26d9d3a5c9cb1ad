package translate

import "tallyroute/providers/jsonraw"

// Thought is a piece of reasoning that a provider gives out in pieces, with what it
// needs to believe it when it comes back.
type Thought struct {
	Index           int // of the block of reasoning that it is a part of
	Format          string
	Text, Signature Words // nil for none
	Data            Words // where the reasoning is encrypted; nil for none
}

// Think adds a thought; one that says nothing adds nothing.
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

// Citation says that a part of an answer's text is drawn from a page of the web, the
// only kind of source that the OpenAI format has.
type Citation struct {
	URL, Title []byte // as JSON
	Start, End int64  // of the text, in characters
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
