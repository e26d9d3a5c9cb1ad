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

// Take is one count, 0 where there is none or there can be no such count.
func (c *Counter) Take(raw []byte) int64 {
	var n int64
	c.Read(raw, &n)
	return n
}

// Read takes one count into to, and leaves it where there is none: of an answer that
// counts several times, the last counts.
func (c *Counter) Read(raw []byte, to *int64) {
	if jsonraw.IsNull(raw) {
		return
	}
	c.Found = true
	v, ok := chat.ParseCount(raw)
	if !ok {
		c.Invalid, v = true, 0
	}
	*to = v
}

// At is Take of the value at a path.
func (c *Counter) At(object []byte, path ...string) int64 {
	return c.Take(jsonraw.Lookup(object, path...))
}

// Usage is what an answer used, by the OpenAI format's convention: what was read
// from or written to a cache and audio are parts of Prompt, reasoning and audio of
// Completion.
type Usage struct {
	Counter

	Prompt, CacheRead, CacheWrite, AudioInput int64
	CacheWrite5m, CacheWrite1h                int64 // of CacheWrite, where the provider tells how long it keeps what
	Completion, Reasoning, AudioOutput        int64
	Cost                                      chat.Cost // what the provider says that the answer cost
	Metered                                   chat.Metered
}

// Tools reads how often tools were called at the provider, by their names.
func (u *Usage) Tools(counts []byte) {
	for name, value := range jsonraw.Each(counts) {
		if meter := chat.MeterOf(string(name)); meter != "" {
			u.Metered.Raise(meter, u.Take(value))
		}
	}
}

// State reads what the provider says that the answer cost, where it says so in the
// words of the OpenAI format.
func (u *Usage) State(usage []byte) {
	for _, name := range [...]string{"cost", "cost_in_usd_ticks"} {
		if cost := chat.ParseCost(name, jsonraw.Lookup(usage, name)); cost.Stated {
			u.Cost = cost
		}
	}
	if string(jsonraw.Lookup(usage, "is_byok")) == "true" {
		u.Cost = u.Cost.Plus(chat.ParseCost("cost", jsonraw.Lookup(usage, "cost_details", "upstream_inference_cost")))
	}
}

// settle brings the parts within their wholes. More cached tokens than prompt can
// only stand beside it; some count reasoning with another tokenizer.
func (u *Usage) settle() {
	u.CacheWrite = max(u.CacheWrite, u.CacheWrite5m+u.CacheWrite1h)
	if cached := u.CacheRead + u.CacheWrite; cached > u.Prompt {
		u.Prompt += cached
	}
	u.Reasoning = min(u.Reasoning, u.Completion)
}

// Chat is the usage in disjoint kinds; nil where there is none.
func (u *Usage) Chat(tier string) *chat.Usage {
	if u == nil {
		return nil
	}
	u.settle()
	input := u.Prompt - u.CacheRead - u.CacheWrite
	return &chat.Usage{
		Input: input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, CacheWrite1h: u.CacheWrite1h,
		Output: u.Completion, Reasoning: u.Reasoning,
		AudioInput: min(max(u.AudioInput, 0), input), AudioOutput: min(max(u.AudioOutput, 0), u.Completion-u.Reasoning),
		ServiceTier: tier, Invalid: u.Invalid, Cost: u.Cost, Metered: u.Metered,
	}
}

// write adds the usage object.
func (u *Usage) write(o *jsonraw.Object) {
	u.settle()
	o.Key("usage")
	o.Open('{')
	o.Int("prompt_tokens", u.Prompt)
	o.Int("completion_tokens", u.Completion)
	o.Int("total_tokens", u.Prompt+u.Completion)
	o.Key("prompt_tokens_details")
	o.Open('{')
	o.Int("cached_tokens", u.CacheRead)
	if u.CacheWrite > 0 {
		o.Int("cache_write_tokens", u.CacheWrite)
	}
	o.Int("audio_tokens", u.AudioInput)
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
	o.Int("reasoning_tokens", u.Reasoning)
	o.Int("audio_tokens", u.AudioOutput)
	o.Close('}')
	o.Close('}')
}
