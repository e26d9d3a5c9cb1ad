package translate

import (
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Counter reads counts of tokens from a provider's answer.
type Counter struct {
	Found   bool // there was a count
	Invalid bool // one cannot be: it was negative, no whole number or too large
}

// Take is one count, 0 if there is none or there can be no such count.
func (c *Counter) Take(raw []byte) int64 { return max(c.figure(raw), 0) }

// At is Take of the value at a path.
func (c *Counter) At(object []byte, path ...string) int64 {
	return c.Take(jsonraw.Lookup(object, path...))
}

// Counted is the count at a path of an answer about a prompt; false where there is none.
func Counted(body []byte, path ...string) (int64, bool) {
	if Valid(body) != nil {
		return 0, false
	}
	var c Counter
	n := c.At(body, path...)
	return n, c.Found && !c.Invalid
}

// figure is one count as it was reported, 0 if there is none.
func (c *Counter) figure(raw []byte) int64 {
	if jsonraw.IsNull(raw) {
		return 0
	}
	c.Found = true
	v, ok := chat.ParseCount(raw)
	c.Invalid = c.Invalid || !ok
	return v
}

// Usage is what an answer used, by the OpenAI format's convention: what was read
// from or written to a cache and audio are parts of Prompt, reasoning and audio of
// Completion.
type Usage struct {
	Counter

	Prompt, CacheRead, CacheWrite, AudioInput int64
	CacheWrite5m, CacheWrite1h                int64 // of CacheWrite, where the provider tells how long it keeps what
	Completion, Reasoning, AudioOutput        int64
	Total                                     int64     // of all, where the provider tells it
	Cost                                      chat.Cost // what the provider says that the answer cost
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

// Take is one count as it was reported, 0 if there is none.
func (u *Usage) Take(raw []byte) int64 { return u.figure(raw) }

// At is Take of the value at a path.
func (u *Usage) At(object []byte, path ...string) int64 {
	return u.figure(jsonraw.Lookup(object, path...))
}

// Read takes one count into to, and leaves it if there is none: of an answer that
// counts several times, the last counts.
func (u *Usage) Read(raw []byte, to *int64) {
	if !jsonraw.IsNull(raw) {
		*to = u.figure(raw)
	}
}

// State reads what the provider says that the answer cost, where it says so in the
// words of the OpenAI format.
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

// settle brings the parts within their wholes. More cached tokens than prompt can
// only stand beside it; some count reasoning with another tokenizer. What the total
// has beyond the others is output that is not itemised, or the prompt if there is none.
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

// Chat is the usage in disjoint kinds; nil if there is none.
func (u *Usage) Chat(tier string) *chat.Usage {
	if u == nil {
		return nil
	}
	u.settle()
	input := u.Prompt - u.CacheRead - u.CacheWrite
	c := &chat.Usage{
		Input: input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, CacheWrite1h: u.CacheWrite1h,
		Output: u.Completion, Reasoning: u.Reasoning,
		AudioInput: min(max(u.AudioInput, 0), input), AudioOutput: min(max(u.AudioOutput, 0), u.Completion-u.Reasoning),
		ServiceTier: tier, Invalid: u.Invalid, Cost: u.Cost, Metered: u.Metered,
		Contradiction: u.contradiction, Unitemised: u.unitemised, Outside: u.outside, Lump: u.lump,
	}
	if u.Invalid {
		figures := *c
		c.Figures = &figures
		for _, n := range [...]*int64{
			&c.Input, &c.CacheRead, &c.CacheWrite, &c.CacheWrite1h, &c.Output, &c.Reasoning, &c.AudioInput,
			&c.AudioOutput,
		} {
			*n = max(*n, 0)
		}
	}
	return c
}

// write adds the usage object.
func (u *Usage) write(o *jsonraw.Object) {
	u.settle()
	o.Key("usage")
	o.Open('{')
	prompt, completion := max(u.Prompt, 0), max(u.Completion, 0)
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
