package translate

import "tallyroute/providers/jsonraw"

// Detail is one element of reasoning_details.
type Detail struct {
	Type      string // reasoning.text, reasoning.summary, reasoning.encrypted
	Format    string // whose it is, such as "google-gemini-v1"; "" where nobody says
	ID        string
	Text      string
	Signature string
	Data      string
	Raw       []byte

	index string
}

// Verified reports that a provider can tell that the thought is its own.
func (d Detail) Verified() bool { return d.Signature != "" || d.Data != "" }

// details reads reasoning_details. Pieces of one thought, which a client has gathered
// from a stream and not joined, are joined.
func (t *Turn) details(list []byte) {
	for raw := range jsonraw.Elements(list) {
		t.detail(raw)
	}
}

// detail reads one, or a part in which Anthropic's clients give reasoning back.
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

// continues reports a piece of the same thought, of which the signature comes last.
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
