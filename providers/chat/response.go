package chat

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Usage is what a response says that it used, in four disjoint kinds whatever the provider's
// own convention is. All other kinds are parts of these.
type Usage struct {
	Input      int64 // prompt tokens neither read from nor written to a cache
	CacheRead  int64
	CacheWrite int64
	Output     int64
	Reasoning  int64

	CacheWrite1h int64 // part of CacheWrite: kept for an hour rather than minutes
	AudioInput   int64 // part of Input
	AudioOutput  int64 // part of Output, apart from Reasoning
	// ServiceTier is the tier that the provider says it served, in its own words; "" if it
	// does not say.
	ServiceTier string
	// Invalid means that a count is impossible: negative, not a whole number, or above
	// MaxUsage. If that is one of the main counts, Figures has the counts as they were
	// reported, except that one that is not a whole number is -1, and all are limited to
	// 10^12. Here such a count is 0, or 10^12 at most; an impossible count of a part is left
	// out.
	Invalid bool
	Figures *Usage
	// Contradiction means that the counts do not fit together, and Unitemised that a part of
	// Output follows only from the total.
	Contradiction, Unitemised bool
	// Outside means that more of the prompt was cached than the prompt has tokens, so that
	// the cached tokens were taken as additional to it although the total does not include
	// them.
	Outside bool
	// Lump is the total if nothing says how it divides into prompt and output, which are both
	// 0 in that case.
	Lump int64
	// Partial means that the usage was reported before the end of the response.
	Partial bool
	// Beside is the number of reasoning tokens that may be additional to Output instead of a
	// part of it, and CacheBeside means the same for the cache and Input. The counts allow
	// both interpretations, and Cost may show which is right.
	Beside      int64
	CacheBeside bool
	Cost        Cost // as stated by the provider
	// Metered is what was used besides tokens, and only what the provider reports.
	Metered Metered
}

// Response is a complete response in the OpenAI format, as bytes, with the views that its
// adapter read from it.
type Response struct {
	Body   []byte
	Model  string
	ID     string
	Finish string // finish_reason of the first choice
	Usage  *Usage // nil if the provider reported none
	Text   string // content, refusals, reasoning and tool-call text of all choices, for counting if Usage is nil
	// Odd means that Body may differ from OpenAI's schema: something is missing, is null
	// although it must not be, has another type or is in another place.
	Odd bool
	// Thought is the number of bytes of Text that are reasoning. Some providers show
	// reasoning without charging for all of it.
	Thought int
	// Media is the number of pictures and audio pieces in the response. Their tokens cannot
	// be estimated from a text.
	Media int
}

// Chunk is one event of a streamed response in the OpenAI format: the JSON after "data: ",
// without line breaks. [DONE] is not a chunk; the stream ends with io.EOF instead.
type Chunk struct {
	Data      []byte
	Usage     *Usage         // set on the chunk that reports usage
	UsageOnly bool           // has usage and no choices: not for clients that did not ask for it
	Content   bool           // has text, a tool call, a refusal or reasoning: after it, failover is impossible
	Text      string         // everything in it that counts as output: content, refusal, reasoning, tool names and arguments
	Thought   int            // as in a Response
	Media     int            // as in a Response
	Finish    string         // finish_reason, if this chunk has one
	ID, Model jsonraw.Quoted // of the response, as they are in Data
	Role      bool           // it states a role
	Metered   Metered        // what was used besides tokens, if Usage does not say
	Odd       bool           // as in a Response; always set for a tool call, whose meaning depends on earlier chunks
}

// Stream is a streamed response. Next returns io.EOF after a complete response,
// io.ErrUnexpectedEOF if it was cut short (no finish reason arrived), or an error that says
// what was wrong. Data is valid until the next call.
type Stream interface {
	Next() (Chunk, error)
	// Told returns the usage reported so far, which is all that is known if the response is
	// cut short.
	Told() Told
	io.Closer
}

// Told is the usage that a stream has reported so far. It never decreases: what a stream
// takes back later was used all the same.
type Told struct {
	Usage *Usage // nil if none was reported
	Text  int    // bytes of text that had arrived by then
	Model string // the answering model, as the provider last named it; "" if it does not say

	text     int // bytes of text so far
	finished bool
}

// Note records what a chunk says.
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

// Mark notes that usage is reported at this point, to be read only if it is needed.
func (t *Told) Mark() { t.Text = t.text }

// With returns t with u, the usage reported at the mark, unless the complete usage is known.
func (t Told) With(u *Usage) Told {
	if u != nil && (t.Usage == nil || t.Usage.Partial) {
		t.hear(*u)
		t.Usage.Partial = true
	}
	return t
}

func (t *Told) hear(u Usage) {
	if t.Usage != nil {
		u.raise(t.Usage)
	}
	t.Usage = &u
}

// raise sets u, the later of two reports, to the larger prompt and the larger output. If each
// report has one of them, they contradict each other.
func (u *Usage) raise(earlier *Usage) {
	prompt, output := earlier.prompt() > u.prompt(), earlier.Output > u.Output
	u.Contradiction = u.Contradiction || prompt && u.Output > earlier.Output || output && u.prompt() > earlier.prompt()
	if prompt {
		u.Input, u.CacheRead, u.CacheWrite = earlier.Input, earlier.CacheRead, earlier.CacheWrite
		u.CacheWrite1h, u.AudioInput = earlier.CacheWrite1h, earlier.AudioInput
		u.Outside, u.CacheBeside = earlier.Outside, earlier.CacheBeside
	}
	if output {
		u.Output, u.Reasoning, u.AudioOutput = earlier.Output, earlier.Reasoning, earlier.AudioOutput
		u.Unitemised, u.Beside = earlier.Unitemised, earlier.Beside
	}
	if prompt || output {
		u.Invalid, u.Figures = u.Invalid || earlier.Invalid, cmp.Or(u.Figures, earlier.Figures)
		u.Contradiction = u.Contradiction || earlier.Contradiction
	}
	if u.Cost.Nano < earlier.Cost.Nano {
		u.Cost = earlier.Cost
	}
	if u.Metered = slices.Clone(u.Metered); len(earlier.Metered) > 0 {
		u.Metered.Include(earlier.Metered)
	}
	u.Lump = max(u.Lump, earlier.Lump)
	u.ServiceTier = cmp.Or(u.ServiceTier, earlier.ServiceTier)
}

func (u *Usage) prompt() int64 { return u.Input + u.CacheRead + u.CacheWrite }

// Exceeds reports whether u reports more usage than other, which may be nil.
func (u *Usage) Exceeds(other *Usage) bool {
	return u != nil && (other == nil || u.prompt() > other.prompt() || u.Output > other.Output || u.Cost.Nano > other.Cost.Nano)
}

// Some reports whether the usage shows any work: a provider that reports some will bill it.
func (u *Usage) Some() bool { return u != nil && u.prompt()+u.Output > 0 }

// UsageOf reads the usage of a body that need not be a valid response; it returns nil if
// there is none.
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

// Streamed returns a complete response as a stream, for providers that don't stream although
// they were asked to: one chunk with all the content, and one with the usage.
func (r *Response) Streamed() (Stream, error) {
	body := jsonraw.Compact(r.Body)
	var choices [][]byte
	for choice := range jsonraw.Elements(jsonraw.Lookup(body, "choices")) {
		delta := numbered(jsonraw.Lookup(choice, "message"))
		choices = append(choices, jsonraw.Edit(choice, []jsonraw.Member{{Name: "delta", Value: delta}}, "message"))
	}
	kind := jsonraw.Member{Name: "object", Value: []byte(`"chat.completion.chunk"`)}
	all, err := ParseChunk(jsonraw.Edit(body, []jsonraw.Member{kind, {Name: "choices", Value: jsonraw.Array(choices)}}, "usage"))
	if err != nil {
		return nil, err
	}
	s := &streamed{chunks: []Chunk{all}}
	if r.Usage != nil {
		last, err := ParseChunk(jsonraw.Edit(body, []jsonraw.Member{kind, {Name: "choices", Value: []byte("[]")}}))
		if err != nil {
			return nil, err
		}
		last.Usage, last.UsageOnly = r.Usage, true
		s.chunks = append(s.chunks, last)
	}
	return s, nil
}

// Whole returns a stream as a complete response, for providers that stream although they were
// not asked to. Its error is the stream's if that does not end well.
func Whole(s Stream) (*Response, error) {
	var all grown
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		all.add("", c.Data)
	}
	all.complete()
	r, err := ParseResponse(all.bytes(nil))
	if err != nil {
		return nil, err
	}
	r.Usage = s.Told().Usage
	return r, nil
}

// grown is a value that grows by what later chunks add to it.
type grown struct {
	raw     []byte   // a text without its closing quote, or another value as it is
	kind    byte     // '{' or '[' if it has members or elements
	names   []string // of the members; of elements, their indexes
	members map[string]*grown
}

// growing lists the members whose texts arrive in pieces. Other texts are repeated at most.
var growing = []string{
	"content", "refusal", "reasoning", "reasoning_content", "thinking", "arguments", "input", "text", "summary", "data", "transcript",
}

// add adds a later value of the member called name.
func (g *grown) add(name string, raw []byte) {
	switch {
	case jsonraw.IsObject(raw):
		g.kind = '{'
		for inner, value := range jsonraw.Each(raw) {
			if name == "tool_calls" && string(inner) == "index" {
				continue
			}
			if inner := string(inner); inner == "delta" {
				g.member("message").add(inner, value)
			} else {
				g.member(inner).add(inner, value)
			}
		}
	case jsonraw.IsArray(raw):
		g.kind = '['
		for e := range jsonraw.Elements(raw) {
			index := string(jsonraw.Lookup(e, "index"))
			if index == "" {
				index = "#" + strconv.Itoa(len(g.names))
			}
			g.member(index).add(name, e)
		}
	case jsonraw.IsString(raw) && jsonraw.IsString(g.raw) && slices.Contains(growing, name):
		g.raw = append(g.raw, jsonraw.Inside(raw)...)
	case jsonraw.IsString(raw) && (len(raw) > len(`""`) || !jsonraw.IsString(g.raw)):
		g.raw = append(g.raw[:0], raw[:len(raw)-1]...)
	case !jsonraw.IsString(raw) && (g.raw == nil || !jsonraw.IsNull(raw)):
		g.raw = append(g.raw[:0], raw...)
	}
}

// complete adds what every complete response has.
func (g *grown) complete() {
	g.member("object").raw = []byte(`"chat.completion`)
	for _, choice := range g.member("choices").members {
		message := choice.member("message")
		message.kind = '{'
		for _, m := range []*grown{choice.member("logprobs"), message.member("content"), message.member("refusal")} {
			m.add("", []byte("null"))
		}
		message.member("role").raw = []byte(`"assistant`)
	}
}

func (g *grown) member(name string) *grown {
	m := g.members[name]
	if m == nil {
		if m = new(grown); g.members == nil {
			g.members = make(map[string]*grown)
		}
		g.members[name] = m
		g.names = append(g.names, name)
	}
	return m
}

// bytes appends the value to b.
func (g *grown) bytes(b []byte) []byte {
	if g.kind == 0 {
		if b = append(b, g.raw...); jsonraw.IsString(g.raw) {
			b = append(b, '"')
		}
		return b
	}
	b = append(b, g.kind)
	for i, name := range g.names {
		if i > 0 {
			b = append(b, ',')
		}
		if g.kind == '{' {
			b = append(jsonraw.AppendQuote(b, name), ':')
		}
		b = g.members[name].bytes(b)
	}
	return append(b, g.kind+2) // the closing bracket
}

// numbered returns a message as the delta of a chunk, by adding an index to its tool calls.
func numbered(message []byte) []byte {
	var calls [][]byte
	for call := range jsonraw.Elements(jsonraw.Lookup(message, "tool_calls")) {
		index := strconv.AppendInt(nil, int64(len(calls)), 10)
		calls = append(calls, jsonraw.Edit(call, []jsonraw.Member{{Name: "index", Value: index}}))
	}
	if len(calls) == 0 {
		return message
	}
	return jsonraw.Edit(message, []jsonraw.Member{{Name: "tool_calls", Value: jsonraw.Array(calls)}})
}

// streamed is a complete response as a stream.
type streamed struct {
	chunks []Chunk // those that remain
	told   Told
}

var _ Stream = (*streamed)(nil)

func (s *streamed) Next() (Chunk, error) {
	if len(s.chunks) == 0 {
		return Chunk{}, io.EOF
	}
	c := s.chunks[0]
	s.chunks = s.chunks[1:]
	s.told.Note(&c)
	return c, nil
}

func (s *streamed) Told() Told { return s.told }

func (s *streamed) Close() error {
	s.chunks = nil
	return nil
}
