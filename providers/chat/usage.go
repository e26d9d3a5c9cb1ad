package chat

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"

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
	figures                   [2]int64 // of prompt and completion, as they were reported
	output                    bool     // there is a completion, be it 0
	cacheRead, cacheWrite     int64
	audioIn, audioOut, textIn int64
	partOut                   int64 // the largest of what else the completion consists of
	write5m, write1h          int64 // of cacheWrite
	reasoning                 int64

	metered  Metered // what is counted besides tokens
	research bool    // the reasoning is counted beside all else, as of an answer to a research
	cost     Cost    // stated beside the counts
	upstream Cost    // what the provider's own provider asks, for cost to be complete
	byok     bool    // it asks that of us, by an account of our own

	present  bool  // there is an object
	plain    int   // how many of the three main counts are written as the format has them
	strange  bool  // something is null that may not be, or has the name of another format
	saidRead int64 // of cacheRead, what is said where the format has it
}

// read takes the numbers of a usage object; anything else it passes over.
func (n *counts) read(c *jsonraw.Cursor) {
	n.present = n.present || c.Peek() == '{'
	c.Object(func(name []byte) {
		switch string(name) {
		case "prompt_tokens":
			n.main(c, &n.prompt, &n.figures[0])
		case "completion_tokens":
			n.output = c.Peek() != 'n'
			n.main(c, &n.completion, &n.figures[1])
		case "total_tokens":
			n.main(c, &n.total, new(int64))
		case "prompt_tokens_details":
			n.strange = n.strange || c.Peek() != '{'
			c.Object(func(name []byte) { n.detail(c, name) })
		case "completion_tokens_details":
			n.strange = n.strange || c.Peek() != '{'
			c.Object(func(name []byte) { n.outputDetail(c, name) })
		default:
			if !n.named(c, name) {
				n.dialect(c, name)
			}
		}
	})
}

// named takes one of the three counts under a name of another format, as some that speak
// this one have it.
func (n *counts) named(c *jsonraw.Cursor, name []byte) bool {
	switch string(name) {
	case "input_tokens", "inputTokens", "promptTokens", "promptTokenCount", "prompt_eval_count":
		n.main(c, &n.prompt, &n.figures[0])
	case "output_tokens", "outputTokens", "completionTokens", "candidatesTokenCount", "generated_tokens", "eval_count":
		n.output = c.Peek() != 'n'
		n.main(c, &n.completion, &n.figures[1])
	case "totalTokens", "totalTokenCount":
		n.main(c, &n.total, new(int64))
	default:
		return false
	}
	n.strange = true
	return true
}

// main takes one of the three counts that are always there.
func (n *counts) main(c *jsonraw.Cursor, to, figure *int64) {
	if '0' <= c.Peek() && c.Peek() <= '9' {
		n.plain++
	}
	v, ok := n.take(c)
	n.broken = n.broken || !ok
	if !ok || v > *figure {
		*figure = v
	}
	*to = max(*to, v)
}

// part takes one of the counts that say what the main ones consist of. One that
// cannot be says nothing.
func (n *counts) part(c *jsonraw.Cursor, to *int64) {
	if v, ok := n.take(c); ok {
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
	case "text_tokens":
		n.part(c, &n.textIn)
	default:
		n.strange = isOddNumber(c.Skip()) || n.strange
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
		raw := c.Skip()
		n.strange = isOddNumber(raw) || n.strange
		if v, ok := ParseCount(raw); ok && bytes.HasSuffix(name, []byte("_tokens")) {
			n.partOut = max(n.partOut, v)
		}
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
		if cost := ParseCost(name, raw); cost.Stated || cost.Absurd {
			n.cost = cost
		}
	}
}

// take reads one count. Whole numbers with a fraction of zero are taken, which many
// clients cannot read. What cannot be makes the usage invalid.
func (n *counts) take(c *jsonraw.Cursor) (v int64, ok bool) {
	raw := c.Skip()
	if jsonraw.IsNull(raw) {
		return 0, true
	}
	n.found, n.strange = true, n.strange || !isCount(raw)
	v, ok = ParseCount(raw)
	n.invalid = n.invalid || !ok
	return v, ok
}

// ParseCount reads a count of tokens as it was reported, as far as that can be shown.
// It reports false where there can be no such count: it is negative, -1 where it is no
// whole number, or too large.
func ParseCount(raw []byte) (int64, bool) {
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		if v = int64(min(max(f, -maxReported), maxReported)); err != nil && !errors.Is(err, strconv.ErrRange) || f != math.Trunc(f) {
			v = -1
		}
	}
	return min(max(v, -maxReported), maxReported), 0 <= v && v <= MaxUsage
}

// isOddNumber reports a number that is not written as counts are.
func isOddNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') && !isCount(raw)
}

// WholeCounts is a usage object whose counts, those in its details too, are written as
// clients can read them: 8e0 and "8" become 8, and what can be no count is left out. It
// is the object itself where all are so already.
func WholeCounts(usage []byte) (whole []byte, changed bool) {
	var set []jsonraw.Member
	var drop []string
	for name, value := range jsonraw.Each(usage) {
		count := strings.HasSuffix(string(name), "_tokens") || strings.HasSuffix(string(name), "_requests")
		switch {
		case jsonraw.IsObject(value):
			if whole, changed := WholeCounts(value); changed {
				set = append(set, jsonraw.Member{Name: string(name), Value: whole})
			}
		case !count || jsonraw.IsNull(value) || isCount(value):
		default:
			if n, ok := ParseCount([]byte(strings.Trim(string(value), `"`))); ok {
				set = append(set, jsonraw.Member{Name: string(name), Value: strconv.AppendInt(nil, n, 10)})
			} else {
				drop = append(drop, string(name))
			}
		}
	}
	if len(set)+len(drop) == 0 {
		return usage, false
	}
	return jsonraw.Edit(usage, set, drop...), true
}

// usage makes the kinds disjoint. By the format, cached tokens are part of the
// prompt and reasoning is part of the completion. What the total has beyond the
// two shows that some stand beside them: reasoning, the cache or audio, where
// just that closes the gap, or else output that the provider does not itemise, or the
// prompt if there is none. More cached tokens than prompt can only stand beside it,
// too, and more reasoning than completion. A total that agrees with the two may leave
// out what is beside them; what the provider says that the answer cost can show
// that. Where the counts contradict each other and nothing settles it, the dearer
// reading is taken.
func (n counts) usage() Usage {
	n.cacheWrite = max(n.cacheWrite, n.write5m+n.write1h)
	cached := n.cacheRead + n.cacheWrite
	if n.broken {
		n.total = 0 // what it has beyond the others tells nothing
	}
	u := Usage{CacheRead: n.cacheRead, CacheWrite: n.cacheWrite, Invalid: n.invalid, Cost: n.cost, Metered: n.metered}
	if n.byok {
		u.Cost = u.Cost.Plus(n.upstream)
	}
	if n.prompt == 0 && n.total > n.completion {
		if n.completion+cached == 0 {
			u.Lump, u.Contradiction = n.total, u.Cost.Absurd
			return u
		}
		n.prompt = n.total - n.completion
	}
	gap := n.total - n.prompt - n.completion
	told, agrees := n.total > 0, n.total > 0 && gap == 0
	if u.Contradiction = told && gap < 0; !told || gap < 0 {
		gap = 0
	}
	u.Contradiction = u.Contradiction || u.Cost.Absurd
	gap = n.reasoningBeside(&u, gap)
	if gap == 0 && !u.Cost.Stated {
		u.Contradiction = n.beyond() || u.Contradiction
	}
	switch own := agrees && n.textIn == n.prompt; { // the provider says itself what is beside
	case cached > n.prompt:
		u.Outside = agrees && !own
		n.prompt, gap = n.prompt+cached, max(gap-cached, 0)
	case cached > 0 && cached == gap:
		n.prompt, gap = n.prompt+cached, 0
	case cached > 0 && agrees:
		u.CacheBeside = u.Cost.Stated
	}
	if gap == n.audioIn {
		n.prompt, gap = n.prompt+gap, 0
	}
	n.completion += gap
	u.Unitemised = gap > 0 && n.output
	n.split(&u, cached)
	return u
}

// reasoningBeside adds reasoning that stands beside the completion, and returns what is
// left of the gap.
func (n *counts) reasoningBeside(u *Usage, gap int64) int64 {
	const another = 8 // some count reasoning with another tokenizer: no contradiction
	much := n.reasoning > n.completion+n.completion/another+another
	switch {
	case gap > 0 && gap == n.reasoning, (n.total == 0 || n.research) && n.reasoning > n.completion:
		n.completion += n.reasoning
		return 0
	case gap > 0:
	case u.Cost.Stated:
		u.Beside = n.reasoning
		u.Contradiction = u.Contradiction || much
	case much:
		n.completion += n.reasoning
		u.Contradiction = true
	}
	return gap
}

// beyond adds parts that are larger than the whole that they are said to be of, and so can
// only stand beside it.
func (n *counts) beyond() bool {
	out, in := max(n.audioOut, n.partOut), max(n.textIn, n.audioIn)
	if out <= n.completion {
		out = 0
	}
	if in <= n.prompt+n.cacheRead+n.cacheWrite {
		in = 0
	}
	n.completion, n.prompt = n.completion+out, n.prompt+in
	return out+in > 0
}

// split fills in the kinds of u.
func (n *counts) split(u *Usage, cached int64) {
	u.Input, u.Output = n.prompt-cached, n.completion
	u.Reasoning, u.CacheWrite1h = min(n.reasoning, n.completion), n.write1h
	u.AudioInput, u.AudioOutput = min(n.audioIn, u.Input), min(n.audioOut, n.completion-u.Reasoning)
	if !n.broken {
		return
	}
	figures := *u
	if n.figures[0] < 0 {
		figures.Input = n.figures[0]
	}
	if n.figures[1] < 0 {
		figures.Output = n.figures[1]
	}
	u.Figures = &figures
}
