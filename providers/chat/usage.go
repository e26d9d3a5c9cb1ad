package chat

import (
	"errors"
	"math"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// MaxUsage is the largest count of tokens that can be. What is reported beyond it is
// kept up to maxReported, to be shown.
const (
	MaxUsage    = 1_000_000_000
	maxReported = 1_000_000_000_000
)

// counts are the numbers of a usage object as they stand there.
type counts struct {
	found, invalid, broken    bool // broken: one of the three main counts cannot be
	prompt, completion, total int64
	cacheRead, cacheWrite     int64
	audioIn, audioOut         int64
	write5m, write1h          int64 // of cacheWrite
	reasoning                 int64

	metered  Metered // what is counted besides tokens
	research bool    // the reasoning is counted beside all else, as of an answer to a research
	cost     Cost    // stated beside the counts
	upstream Cost    // what the provider's own provider asks, for cost to be complete
	byok     bool    // it asks that of us, by an account of our own

	present  bool  // there is an object
	plain    int   // how many of the three main counts are written as the format has them
	strange  bool  // something is null that may not be
	saidRead int64 // of cacheRead, what is said where the format has it
}

// read takes the numbers of a usage object; anything else it passes over.
func (n *counts) read(c *jsonraw.Cursor) {
	n.present = n.present || c.Peek() == '{'
	c.Object(func(name []byte) {
		switch string(name) {
		case "prompt_tokens":
			n.main(c, &n.prompt)
		case "completion_tokens":
			n.main(c, &n.completion)
		case "total_tokens":
			n.main(c, &n.total)
		case "prompt_tokens_details":
			n.strange = n.strange || c.Peek() != '{'
			c.Object(func(name []byte) { n.detail(c, name) })
		case "completion_tokens_details":
			n.strange = n.strange || c.Peek() != '{'
			c.Object(func(name []byte) { n.outputDetail(c, name) })
		default:
			n.dialect(c, name)
		}
	})
}

// main takes one of the three counts that are always there.
func (n *counts) main(c *jsonraw.Cursor, to *int64) {
	if '0' <= c.Peek() && c.Peek() <= '9' {
		n.plain++
	}
	invalid := n.invalid
	n.invalid = false
	*to = max(*to, n.take(c))
	n.broken = n.broken || n.invalid
	n.invalid = n.invalid || invalid
}

// part takes one of the counts that say what the main ones consist of. One that
// cannot be says nothing.
func (n *counts) part(c *jsonraw.Cursor, to *int64) {
	if v := n.take(c); v <= MaxUsage {
		*to = max(*to, v)
	}
}

// odd reports that what was read says something else than the format would have
// it say, or in another way.
func (n counts) odd() bool {
	if !n.found {
		return n.present
	}
	u := n.usage()
	return n.strange || n.invalid || n.plain != 3 || n.total != n.prompt+n.completion ||
		n.prompt != u.Input+u.CacheRead+u.CacheWrite || n.completion != u.Output || n.saidRead != u.CacheRead
}

func (n *counts) detail(c *jsonraw.Cursor, name []byte) {
	n.strange = n.strange || c.Peek() == 'n'
	switch string(name) {
	case "cached_tokens":
		n.part(c, &n.saidRead)
		n.cacheRead = max(n.cacheRead, n.saidRead)
	case "cache_write_tokens":
		n.part(c, &n.cacheWrite)
	case "audio_tokens":
		n.part(c, &n.audioIn)
	default:
		c.Skip()
	}
}

func (n *counts) outputDetail(c *jsonraw.Cursor, name []byte) {
	n.strange = n.strange || c.Peek() == 'n'
	switch string(name) {
	case "reasoning_tokens":
		n.part(c, &n.reasoning)
	case "audio_tokens":
		n.part(c, &n.audioOut)
	default:
		c.Skip()
	}
}

// lifetime reads how long what was written to the cache is kept.
func (n *counts) lifetime(c *jsonraw.Cursor, name []byte) {
	switch string(name) {
	case "ephemeral_5m_input_tokens":
		n.part(c, &n.write5m)
	case "ephemeral_1h_input_tokens":
		n.part(c, &n.write1h)
	default:
		c.Skip()
	}
}

// dialect reads what providers say beside the format. It tells the same as the
// details do, so the larger number counts.
func (n *counts) dialect(c *jsonraw.Cursor, name []byte) {
	switch string(name) {
	case "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens":
		n.part(c, &n.cacheRead)
	case "cache_creation_input_tokens":
		n.part(c, &n.cacheWrite)
	case "cache_creation":
		c.Object(func(name []byte) { n.lifetime(c, name) })
	case "cost", "cost_in_usd_ticks", "estimated_cost", "cost_details", "is_byok":
		n.stated(c, string(name))
	case "server_tool_use", "server_tool_use_details", "server_side_tool_usage_details", "server_side_tool_usage":
		c.Object(func(name []byte) { n.tool(c, string(name)) })
	case "reasoning_tokens":
		n.part(c, &n.reasoning)
	case "num_search_queries", "citation_tokens", "num_sources_used", "search_context_size":
		n.search(c, string(name))
	default:
		c.Skip()
	}
}

// tool reads how often a tool was called at the provider. Names that are not those of
// calls say the same again in other ways.
func (n *counts) tool(c *jsonraw.Cursor, name string) {
	if meter := MeterOf(name); meter != "" {
		var calls int64
		n.part(c, &calls)
		n.metered.Add(meter, calls)
		return
	}
	c.Skip()
}

// search reads what Perplexity and xAI say of searches. Perplexity counts what was
// thought in a research beside the completion.
func (n *counts) search(c *jsonraw.Cursor, name string) {
	var units int64
	switch name {
	case "search_context_size":
		switch string(c.Skip()) {
		case `"medium"`:
			n.metered.Raise(MeterSearchMedium, 1)
		case `"high"`:
			n.metered.Raise(MeterSearchHigh, 1)
		}
		return
	case "num_sources_used":
		n.part(c, &units)
		n.metered.Raise(MeterCitation, units)
	case "citation_tokens":
		n.part(c, &units)
		n.metered.Raise(MeterCitationTokens, units)
		n.research = true
	default:
		n.part(c, &units)
		n.metered.Raise(MeterWebSearch, units)
		n.research = true
	}
}

// stated reads what the provider says that the answer cost.
func (n *counts) stated(c *jsonraw.Cursor, name string) {
	switch raw := c.Skip(); name {
	case "is_byok":
		n.byok = string(raw) == "true"
	case "cost_details":
		n.upstream = ParseCost("cost", jsonraw.Lookup(raw, "upstream_inference_cost"))
	default:
		if cost := ParseCost(name, raw); cost.Stated {
			n.cost = cost
		}
	}
}

// take reads one count. Whole numbers with a fraction of zero are taken. What cannot
// be makes the usage invalid: too large a number stays as large as can be shown, and
// anything else says nothing.
func (n *counts) take(c *jsonraw.Cursor) int64 {
	raw := c.Skip()
	if jsonraw.IsNull(raw) {
		return 0
	}
	n.found = true
	v, ok := ParseCount(raw)
	n.invalid = n.invalid || !ok
	return v
}

// ParseCount reads a count of tokens. It reports false where there can be no such
// count: of one that is too large it is as much as can be shown, of others 0.
func ParseCount(raw []byte) (int64, bool) {
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		if v = int64(min(max(f, -1), maxReported)); err != nil && !errors.Is(err, strconv.ErrRange) || f != math.Trunc(f) {
			v = -1
		}
	}
	return min(max(v, 0), maxReported), 0 <= v && v <= MaxUsage
}

// usage makes the kinds disjoint. By the format, cached tokens are part of the
// prompt and reasoning is part of the completion. What the total has beyond the
// two shows that some stand beside them: reasoning, the cache or audio, where
// just that closes the gap, or else output that the provider does not itemise.
// More cached tokens than prompt can only stand beside it, too, and more reasoning
// than completion where there is no total to say otherwise. A total that agrees with
// the two may leave out reasoning like the completion does; what the provider says
// that the answer cost can show that.
func (n counts) usage() Usage {
	if n.broken {
		n.total = 0 // what it has beyond the others tells nothing
	}
	n.cacheWrite = max(n.cacheWrite, n.write5m+n.write1h)
	cached := n.cacheRead + n.cacheWrite
	gap := max(n.total-n.prompt-n.completion, 0)
	var beside int64
	switch {
	case gap == n.reasoning, (n.total == 0 || n.research) && n.reasoning > n.completion:
		n.completion, gap = n.completion+n.reasoning, 0
	case gap == 0:
		beside = n.reasoning
	}
	if cached > n.prompt || cached > 0 && cached == gap {
		n.prompt, gap = n.prompt+cached, max(gap-cached, 0)
	}
	if gap == n.audioIn {
		n.prompt, gap = n.prompt+gap, 0
	}
	n.completion += gap
	reasoning := min(n.reasoning, n.completion) // some count it with another tokenizer
	u := Usage{
		Input:        n.prompt - cached,
		CacheRead:    n.cacheRead,
		CacheWrite:   n.cacheWrite,
		Output:       n.completion,
		Reasoning:    reasoning,
		CacheWrite1h: n.write1h,
		AudioInput:   min(n.audioIn, n.prompt-cached),
		AudioOutput:  min(n.audioOut, n.completion-reasoning),
		Invalid:      n.invalid,
		Metered:      n.metered,
	}
	if u.Cost = n.cost; n.byok {
		u.Cost = u.Cost.Plus(n.upstream)
	}
	if u.Cost.Stated {
		u.Beside = beside
	}
	return u
}
