package translate

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Counter reads token counts from a provider's response.
type Counter struct {
	Found   bool // a count was present
	Invalid bool // a count was impossible: negative, not a whole number, or too large
}

// Take returns one count, or 0 if it is absent or impossible.
func (c *Counter) Take(raw []byte) int64 { return max(c.figure(raw), 0) }

// At returns the count at a path, as Take does.
func (c *Counter) At(object []byte, path ...string) int64 {
	return c.Take(jsonraw.Lookup(object, path...))
}

// Only returns an object with the named members of a body, such as those that make up its
// prompt.
func Only(body []byte, names ...string) (o jsonraw.Object) {
	for name, value := range jsonraw.Each(body) {
		if slices.Contains(names, string(name)) {
			o.Raw(string(name), value)
		}
	}
	return o
}

// Counted returns the count at a path of the response to a token-counting call; false if
// there is none.
func Counted(body []byte, path ...string) (int64, bool) {
	if Valid(body) != nil {
		return 0, false
	}
	var c Counter
	n := c.At(body, path...)
	return n, c.Found && !c.Invalid
}

// figure returns one count as it was reported, or 0 if there is none.
func (c *Counter) figure(raw []byte) int64 {
	if jsonraw.IsNull(raw) {
		return 0
	}
	c.Found = true
	v, ok := chat.ParseCount(raw)
	if !ok {
		c.Invalid = true
		if least := chat.LeastCount(raw); least > 0 {
			return unclear - least
		}
	}
	return v
}

// unclear is below every count that was reported as a whole number. Other counts are stored as
// unclear minus the lower bound that they imply.
const unclear = -10_000_000_000_000

// Usage is what a response used, by the OpenAI format's convention: tokens read from or
// written to a cache and audio input are part of Prompt; reasoning and audio output are part
// of Completion.
type Usage struct {
	Counter

	Prompt, CacheRead, CacheWrite, AudioInput int64
	CacheWrite5m, CacheWrite1h                int64 // parts of CacheWrite, if the provider reports how long it keeps them
	Completion, Reasoning, AudioOutput        int64
	Total                                     int64     // of everything, if the provider reports it
	Cost                                      chat.Cost // the cost that the provider states
	Metered                                   chat.Metered

	settled, contradiction, unitemised, outside bool

	lump int64
}

// Tools reads how often tools were called at the provider, by their names.
func (u *Usage) Tools(counts []byte) {
	for name, value := range jsonraw.Each(counts) {
		if meter := chat.MeterOf(string(name)); meter != "" {
			u.Metered.Raise(meter, max(u.Take(value), 0))
		}
	}
}

// Take returns one count as it was reported, or 0 if there is none.
func (u *Usage) Take(raw []byte) int64 { return u.figure(raw) }

// At returns the count at a path, as Take does. If several members have the same name, it returns
// the largest count.
func (u *Usage) At(object []byte, path ...string) int64 {
	last := len(path) - 1
	most, some := int64(0), false
	for name, value := range jsonraw.Each(jsonraw.Lookup(object, path[:last]...)) {
		if string(name) != path[last] || jsonraw.IsNull(value) {
			continue
		}
		if n := u.figure(value); !some || n > most {
			most, some = n, true
		}
	}
	return most
}

// Member returns an object among the members of another. If there are several with the same
// name, it returns one that has the members of all of them.
func Member(members iter.Seq2[[]byte, []byte], name string) []byte {
	var found []byte
	for n, value := range members {
		if string(n) == name && jsonraw.IsObject(value) {
			found = Both(found, value)
		}
	}
	return found
}

// Both returns an object that has the members of both.
func Both(a, b []byte) []byte {
	inside := bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSuffix(a, []byte("}")), []byte("{")))
	if len(inside) == 0 {
		return b
	}
	return slices.Concat(a[:len(a)-1], []byte(","), b[1:])
}

// Read reads one count into to, and leaves to unchanged if there is none: if a response
// reports a count several times, the last one is used.
func (u *Usage) Read(raw []byte, to *int64) {
	if !jsonraw.IsNull(raw) {
		*to = u.figure(raw)
	}
}

// State reads the cost that the provider states, if it uses the names of the OpenAI format.
func (u *Usage) State(usage []byte) {
	for _, name := range [...]string{"cost", "cost_in_usd_ticks"} {
		if cost := chat.ParseCost(name, jsonraw.Lookup(usage, name)); cost.Stated || cost.Absurd {
			u.Cost, u.contradiction = cost, cost.Absurd
		}
	}
	if string(jsonraw.Lookup(usage, "is_byok")) == "true" {
		u.Cost = u.Cost.Plus(chat.ParseCost("cost", jsonraw.Lookup(usage, "cost_details", "upstream_inference_cost")))
	}
}

// settle makes the parts fit into their totals. If there are more cached tokens than prompt
// tokens, they must be separate from the prompt; reasoning is capped at the completion,
// because some providers count it with another tokenizer. If the total exceeds the sum, the
// difference is output that is not itemised, or the prompt if that is missing.
func (u *Usage) settle() {
	if u.settled {
		return
	}
	u.settled = true
	u.CacheWrite = max(u.CacheWrite, u.CacheWrite5m+u.CacheWrite1h)
	if gap := u.Total - u.Prompt - u.Completion; u.Total > 0 && !u.Invalid {
		switch {
		case gap < 0:
			u.contradiction = true
		case u.Prompt == 0 && u.Completion == 0:
			u.lump = u.Total
		case u.Prompt == 0:
			u.Prompt = gap
		case gap > 0:
			u.Completion += gap
			u.unitemised = true
		}
	}
	if cached := u.CacheRead + u.CacheWrite; cached > u.Prompt {
		u.outside = u.Total > 0 && !u.Invalid && u.Total == u.Prompt+u.Completion
		u.Prompt += cached
	}
	u.Reasoning = min(u.Reasoning, u.Completion)
}

// Plus returns what two responses used together. Either may be nil.
func (u *Usage) Plus(other *Usage) *Usage {
	if u == nil || other == nil {
		return cmp.Or(u, other)
	}
	u.settle()
	other.settle()
	sum := *u
	to, more := sum.counts(), other.counts()
	for i := range to {
		*to[i] += *more[i]
	}
	sum.Found, sum.Invalid = u.Found || other.Found, u.Invalid || other.Invalid
	sum.contradiction = u.contradiction || other.contradiction
	sum.unitemised, sum.outside = u.unitemised || other.unitemised, u.outside || other.outside
	sum.Cost, sum.Metered = u.Cost.Plus(other.Cost), nil
	for _, m := range slices.Concat(u.Metered, other.Metered) {
		sum.Metered.Add(m.Meter, m.N)
	}
	return &sum
}

func (u *Usage) counts() [11]*int64 {
	return [...]*int64{
		&u.Prompt, &u.CacheRead, &u.CacheWrite, &u.AudioInput, &u.CacheWrite5m, &u.CacheWrite1h, &u.Completion, &u.Reasoning,
		&u.AudioOutput, &u.Total, &u.lump,
	}
}

// Chat returns the usage in disjoint kinds, or nil if there is none.
func (u *Usage) Chat(tier string) *chat.Usage {
	if u == nil {
		return nil
	}
	u.settle()
	input := u.Prompt - u.CacheRead - u.CacheWrite
	c := &chat.Usage{
		Input: input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, CacheWrite1h: u.CacheWrite1h,
		Output: u.Completion, Reasoning: u.Reasoning,
		AudioInput: min(max(u.AudioInput, 0), max(input, 0)), AudioOutput: min(max(u.AudioOutput, 0), max(u.Completion-u.Reasoning, 0)),
		ServiceTier: tier, Invalid: u.Invalid, Cost: u.Cost, Metered: u.Metered,
		Contradiction: u.contradiction, Unitemised: u.unitemised, Outside: u.outside, Lump: u.lump,
	}
	if u.Invalid {
		figures := *c
		figures.Input, figures.Output = figure(c.Input), figure(c.Output)
		c.Figures = &figures
		c.Input, c.Output = least(c.Input), least(c.Output)
		for _, n := range [...]*int64{
			&c.Input, &c.CacheRead, &c.CacheWrite, &c.CacheWrite1h, &c.Output, &c.Reasoning, &c.AudioInput,
			&c.AudioOutput,
		} {
			*n = max(*n, 0)
		}
	}
	return c
}

// figure returns a count as it was reported, or -1 if it is not a whole number.
func figure(n int64) int64 {
	if n < unclear {
		return -1
	}
	return n
}

// least returns the lower bound that a count implies.
func least(n int64) int64 {
	if n < unclear {
		return unclear - n
	}
	return n
}

// write adds the usage object.
func (u *Usage) write(o *jsonraw.Object) {
	u.settle()
	o.Key("usage")
	o.Open('{')
	prompt, completion := max(least(u.Prompt), 0), max(least(u.Completion), 0)
	o.Int("prompt_tokens", prompt)
	o.Int("completion_tokens", completion)
	o.Int("total_tokens", prompt+completion)
	o.Key("prompt_tokens_details")
	o.Open('{')
	o.Int("cached_tokens", max(u.CacheRead, 0))
	if u.CacheWrite > 0 {
		o.Int("cache_write_tokens", u.CacheWrite)
	}
	o.Int("audio_tokens", max(u.AudioInput, 0))
	o.Close('}')
	if u.CacheWrite5m+u.CacheWrite1h > 0 {
		o.Key("cache_creation")
		o.Open('{')
		o.Int("ephemeral_5m_input_tokens", u.CacheWrite5m)
		o.Int("ephemeral_1h_input_tokens", u.CacheWrite1h)
		o.Close('}')
	}
	o.Key("completion_tokens_details")
	o.Open('{')
	o.Int("reasoning_tokens", max(u.Reasoning, 0))
	o.Int("audio_tokens", max(u.AudioOutput, 0))
	o.Close('}')
	o.Close('}')
}
