package translate

import (
	"math"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// most is the largest count of tokens that is believed.
const most = 1_000_000_000_000

// Counter reads counts of tokens from a provider's answer.
type Counter struct {
	Found   bool // there was a count
	Invalid bool // one could not be believed: negative, fractional or huge
}

// Take is one count, 0 where there is none. What cannot be believed is brought
// into bounds.
func (c *Counter) Take(raw []byte) int64 {
	if raw = jsonraw.Present(raw); raw == nil {
		return 0
	}
	c.Found = true
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		whole := math.Ceil(min(max(f, -1), most+1))
		c.Invalid = c.Invalid || err != nil || whole != f
		v = int64(whole)
	}
	c.Invalid = c.Invalid || v < 0 || v > most
	return min(max(v, 0), most)
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
	Completion, Reasoning, AudioOutput        int64
}

// object is the usage object.
func (u *Usage) object() []byte {
	var o, in, out jsonraw.Object
	o.Int("prompt_tokens", u.Prompt)
	o.Int("completion_tokens", u.Completion)
	o.Int("total_tokens", u.Prompt+u.Completion)
	in.Int("cached_tokens", u.CacheRead)
	if u.CacheWrite > 0 {
		in.Int("cache_write_tokens", u.CacheWrite)
	}
	in.Int("audio_tokens", u.AudioInput)
	out.Int("reasoning_tokens", u.Reasoning)
	out.Int("audio_tokens", u.AudioOutput)
	o.Raw("prompt_tokens_details", in.Bytes())
	o.Raw("completion_tokens_details", out.Bytes())
	return o.Bytes()
}
