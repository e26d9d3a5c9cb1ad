package blocks

import (
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Kinds of reasoning_details, as clients of OpenRouter know them.
const (
	detailText      = "reasoning.text"
	detailEncrypted = "reasoning.encrypted"
)

// thoughts reads reasoning_details. Those that a client has gathered from a
// stream and not joined are joined by their index.
func thoughts(details []byte) []Block {
	var list []Block
	last := ""
	for raw := range jsonraw.Elements(details) {
		b, index := detail(raw)
		if b.Kind == Native {
			continue
		}
		if n := len(list) - 1; n >= 0 && index != "" && index == last && b.Kind == Thinking && list[n].Kind == Thinking && list[n].Signature == nil {
			list[n].Text = join(list[n].Text, b.Text)
			list[n].Signature = b.Signature
			continue
		}
		list, last = append(list, b), index
	}
	kept := list[:0]
	for _, b := range list {
		if b.Kind == Redacted || b.Signature != nil {
			kept = append(kept, b)
		}
	}
	return kept
}

// detail reads one; what is of no use here is a Native block.
func detail(raw []byte) (b Block, index string) {
	b.Kind = Native
	b.Text = jsonraw.Quoted(`""`)
	for name, value := range jsonraw.Each(raw) {
		if jsonraw.IsNull(value) {
			continue
		}
		switch string(name) {
		case "type":
			switch jsonraw.Text(value) {
			case detailText, "thinking":
				b.Kind = Thinking
			case detailEncrypted, "redacted_thinking":
				b.Kind = Redacted
			}
		case "text", "thinking", "data":
			if value[0] == '"' {
				b.Text = value
			}
		case "signature":
			if len(jsonraw.Inside(value)) > 0 {
				b.Signature = value
			}
		case "format":
			b.Format = jsonraw.Text(value)
		case "index":
			index = string(value)
		}
	}
	return b, index
}

// join is two JSON strings as one.
func join(a, b jsonraw.Quoted) jsonraw.Quoted {
	out := make([]byte, 0, len(a)+len(b))
	out = append(append(append(out, '"'), jsonraw.Inside(a)...), jsonraw.Inside(b)...)
	return append(out, '"')
}

// Detail is a piece of reasoning as it is given out.
type Detail struct {
	Index     int    // of the block of reasoning that it is a part of
	Text      []byte // the inside of a JSON string
	Signature []byte // the same; nil for none
	Data      []byte // the same, where the reasoning is encrypted
	Format    string
}

// JSON is the detail as an element of reasoning_details.
func (d Detail) JSON() []byte {
	var w Writer
	w.Open('{')
	if d.Data != nil {
		w.TextMember("type", detailEncrypted)
		w.Key("data")
		w.Inside(d.Data)
	} else {
		w.TextMember("type", detailText)
		if d.Text != nil || d.Signature == nil {
			w.Key("text")
			w.Inside(d.Text)
		}
	}
	if d.Signature != nil {
		w.Key("signature")
		w.Inside(d.Signature)
	}
	w.TextMember("format", d.Format)
	w.Key("index")
	w.Raw(strconv.AppendInt(nil, int64(d.Index), 10))
	w.Close('}')
	return w.Bytes()
}
