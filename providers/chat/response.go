package chat

import (
	"io"

	"tallyroute/providers/jsonraw"
)

// Usage is what an answer says it used, in four disjoint kinds whatever the
// provider's own convention is. The other kinds are already inside these.
type Usage struct {
	Input      int64 // prompt tokens neither read from nor written to a cache
	CacheRead  int64
	CacheWrite int64
	Output     int64
	Reasoning  int64

	CacheWrite1h int64 // inside CacheWrite: kept for an hour rather than minutes
	AudioInput   int64 // inside Input
	AudioOutput  int64 // inside Output, beside Reasoning
	// ServiceTier is what the provider says it served, in its own words; "" where
	// it does not say.
	ServiceTier string
	// Invalid says that a count cannot be: it was negative, no whole number, or above
	// MaxUsage. Figures are the counts as they were reported, where that is one of
	// the main ones: one that is not a whole number is -1 there, and all are within 10^12.
	// Here such a count is 0, or 10^12 at most, and of the counts that say what others
	// consist of it is left out.
	Invalid bool
	Figures *Usage
	// Contradiction says that the counts do not fit together, and Unitemised that some of
	// Output is told by the total alone.
	Contradiction, Unitemised bool
	// Outside says that more of the prompt was cached than there is by the total, so
	// that it was taken to stand beside the prompt.
	Outside bool
	// Lump is the total where nothing says what of it is prompt and what output: both
	// are 0 here then.
	Lump int64
	// Partial says that it was told before the answer's end.
	Partial bool
	// Beside is reasoning that may not be part of Output but stand beside it, and
	// CacheBeside says the same of the cache and Input: the counts allow for both, and
	// Cost may tell.
	Beside      int64
	CacheBeside bool
	Cost        Cost // what the provider says that the answer cost
	// Metered is what was used besides tokens. It has no more than the provider says.
	Metered Metered
}

// Response is a whole answer in the OpenAI format, as bytes, with the views
// that its adapter read from it.
type Response struct {
	Body   []byte
	Model  string
	ID     string
	Finish string // finish_reason of the first choice
	Usage  *Usage // nil where the provider reported none
	Text   string // content, refusals, reasoning and tool-call text of all choices, for counting where Usage is nil
	// Odd says that Body may differ from OpenAI's schema: something is missing, null
	// where it may not be, of another type or said in another place.
	Odd bool
	// Thought is how many bytes of Text are reasoning, which some providers show
	// without charging for all of it.
	Thought int
	// Media is how many pictures and pieces of sound came. No text tells their tokens.
	Media int
}

// Chunk is one event of a streamed answer in the OpenAI format: the JSON after
// "data: ", without line ends. [DONE] is not a chunk; the stream's io.EOF is.
type Chunk struct {
	Data      []byte
	Usage     *Usage         // set on the chunk that reports usage
	UsageOnly bool           // carries usage and no choices: not for clients that did not ask for it
	Content   bool           // carries text, a tool call, a refusal or reasoning: after it there is no failover
	Text      string         // what of it counts as output: content, refusal, reasoning, tool names and arguments
	Thought   int            // as in a Response
	Media     int            // as in a Response
	Finish    string         // finish_reason, when this chunk brings one
	ID, Model jsonraw.Quoted // of the answer, as they stand in Data
	Role      bool           // it says whose words they are
	Metered   Metered        // what it says was done besides, where Usage does not
	Odd       bool           // as in a Response; a tool call always is, for what it means depends on the chunks before
}

// Stream is a streamed answer. Next returns io.EOF after a complete answer,
// io.ErrUnexpectedEOF where it was cut short (no finish reason came), or an
// error that says what was wrong. Data is valid until the next call.
type Stream interface {
	Next() (Chunk, error)
	// Told is what was told of the usage so far: all that is known of it where the
	// answer does not come to its end.
	Told() Told
	io.Closer
}

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

// Exceeds reports a usage of more than another one, which may be nil.
func (u *Usage) Exceeds(other *Usage) bool {
	return u != nil && (other == nil || u.total() > other.total())
}

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
