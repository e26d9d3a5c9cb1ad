package chat

import "tallyroute/providers/jsonraw"

// Told is what a stream has told of its usage so far. What it takes back later was used
// all the same, so that it never becomes less.
type Told struct {
	Usage *Usage // nil where it told nothing
	Text  int    // how many bytes of the text had come by then
	Model string // which answers, by the provider's last word; "" where it does not say

	text     int // bytes, so far
	finished bool
}

// Note notes what a chunk says.
func (t *Told) Note(c *Chunk) {
	t.text += len(c.Text)
	t.finished = t.finished || c.Finish != "" || c.UsageOnly
	if len(c.Model) > len(`""`) && string(c.Model[1:len(c.Model)-1]) != t.Model {
		t.Model = c.Model.String()
	}
	if c.Usage != nil {
		t.Mark()
		t.hear(*c.Usage)
		t.Usage.Partial = !t.finished
	}
}

// Mark notes that usage is told here, which is read only where it is needed.
func (t *Told) Mark() { t.Text = t.text }

// With is t with what was told at the mark, unless the whole usage is known.
func (t Told) With(u *Usage) Told {
	if u != nil && (t.Usage == nil || t.Usage.Partial) {
		t.hear(*u)
		t.Usage.Partial = true
	}
	return t
}

func (t *Told) hear(u Usage) {
	if t.Usage == nil || t.Usage.total() <= u.total() {
		t.Usage = &u
		return
	}
	more := *t.Usage // it may be in other hands
	t.Usage = &more
}

func (u *Usage) total() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.Output }

// Some reports usage that shows work: a provider that says as much will bill it.
func (u *Usage) Some() bool { return u != nil && u.total() > 0 }

// UsageOf reads the usage of an answer that need not be one otherwise; nil where it
// has none.
func UsageOf(body []byte) *Usage {
	c := jsonraw.NewCursor(jsonraw.Lookup(body, "usage"))
	var n counts
	n.read(&c)
	if !n.found {
		return nil
	}
	u := n.usage()
	return &u
}
