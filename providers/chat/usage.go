package chat

import (
	"math"
	"strconv"
)

// maxUsage is the largest count of tokens that is believed.
const maxUsage = 1_000_000_000_000

// counts are the numbers of a usage object as they stand there.
type counts struct {
	found, invalid            bool
	prompt, completion, total int64
	cacheRead, cacheWrite     int64
	audio, reasoning          int64
}

// read takes the numbers of a usage object; anything else it passes over.
func (n *counts) read(c *cursor) {
	c.object(func(name []byte) {
		switch string(name) {
		case "prompt_tokens":
			n.take(c, &n.prompt)
		case "completion_tokens":
			n.take(c, &n.completion)
		case "total_tokens":
			n.take(c, &n.total)
		case "prompt_tokens_details":
			c.object(func(name []byte) { n.detail(c, name) })
		case "completion_tokens_details":
			c.object(func(name []byte) {
				if string(name) != "reasoning_tokens" {
					c.skip()
					return
				}
				n.take(c, &n.reasoning)
			})
		default:
			n.dialect(c, name)
		}
	})
}

func (n *counts) detail(c *cursor, name []byte) {
	switch string(name) {
	case "cached_tokens":
		n.take(c, &n.cacheRead)
	case "cache_write_tokens":
		n.take(c, &n.cacheWrite)
	case "audio_tokens":
		n.take(c, &n.audio)
	default:
		c.skip()
	}
}

// dialect reads what providers say beside the format. It tells the same as the
// details do, so the larger number counts.
func (n *counts) dialect(c *cursor, name []byte) {
	switch string(name) {
	case "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens":
		n.take(c, &n.cacheRead)
	case "cache_creation_input_tokens":
		n.take(c, &n.cacheWrite)
	default:
		c.skip()
	}
}

// take reads one count. Whole numbers with a fraction of zero are taken; others
// are brought into bounds and make the usage invalid.
func (n *counts) take(c *cursor, to *int64) {
	raw := c.skip()
	if len(raw) == 0 || raw[0] == 'n' {
		return
	}
	n.found = true
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		whole := math.Ceil(min(max(f, -1), maxUsage+1))
		n.invalid = n.invalid || err != nil || whole != f
		v = int64(whole)
	}
	n.invalid = n.invalid || v < 0 || v > maxUsage
	*to = max(*to, min(max(v, 0), maxUsage))
}

// usage makes the kinds disjoint. Cached tokens are part of the prompt and
// reasoning is part of the completion, unless the numbers show that they stand
// beside it: a part that exceeds its whole, or that closes the gap to the total.
// A gap that nothing closes is output that the provider does not itemise.
func (n counts) usage() Usage {
	gap := max(n.total-n.prompt-n.completion, 0)
	beside := func(part, whole int64) int64 {
		if part <= whole && (part != gap || part == 0) {
			return 0
		}
		gap = max(gap-part, 0)
		return part
	}
	n.completion += beside(n.reasoning, n.completion)
	n.prompt += beside(n.cacheRead+n.cacheWrite, n.prompt)
	if n.audio == gap {
		n.prompt += gap
		gap = 0
	}
	return Usage{
		Input:      n.prompt - n.cacheRead - n.cacheWrite,
		CacheRead:  n.cacheRead,
		CacheWrite: n.cacheWrite,
		Output:     n.completion + gap,
		Reasoning:  n.reasoning,
		Invalid:    n.invalid,
	}
}
