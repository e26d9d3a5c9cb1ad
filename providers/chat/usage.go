package chat

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
)

// MaxUsage is the largest token count that is believed. Larger reported counts are kept for
// display, up to maxReported.
const (
	MaxUsage    = 1_000_000_000
	maxReported = 1_000_000_000_000
)

// counts holds the numbers of a usage object as they were reported.
type counts struct {
	found, invalid, broken    bool // broken: one of the three main counts is impossible
	prompt, completion, total int64
	figures                   [2]int64 // prompt and completion as they were reported
	output                    bool     // there is a completion count, even if it is 0
	cacheRead, cacheWrite     int64
	audioIn, audioOut, textIn int64
	partOut                   int64 // the largest of the other parts of the completion
	write5m, write1h          int64 // parts of cacheWrite
	reasoning                 int64

	metered  Metered // what is counted besides tokens
	research bool    // reasoning is counted in addition to everything else, as in a research response
	cost     Cost    // stated next to the counts
	upstream Cost    // what the provider's own provider charges; added to cost if byok
	byok     bool    // that charge goes to an account of our own

	present  bool  // there is an object
	plain    int   // how many of the three main counts are written as the format requires
	strange  bool  // something is null that must not be, or has its name from another format
	saidRead int64 // the part of cacheRead that is reported where the format has it
}

// read reads the numbers of a usage object and skips anything else.
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

// named reads one of the three main counts under its name in another format, which some
// providers use in this one.
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

// main reads one of the three counts that are always present.
func (n *counts) main(c *jsonraw.Cursor, to, figure *int64) {
	if '0' <= c.Peek() && c.Peek() <= '9' {
		n.plain++
	}
	raw := c.Skip()
	v, ok := n.take(raw)
	n.broken = n.broken || !ok
	if !ok || v > *figure {
		*figure = v
	}
	if !ok {
		v = max(v, LeastCount(raw))
	}
	*to = max(*to, v)
}

// part reads a count of something that the main counts consist of. An impossible one is
// ignored.
func (n *counts) part(c *jsonraw.Cursor, to *int64) {
	if v, ok := n.take(c.Skip()); ok {
		*to = max(*to, v)
	}
}

// odd reports whether the numbers deviate from the format, in what they say or in how they
// say it.
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

// lifetime reads how long the tokens written to the cache are kept.
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

// dialect reads what providers report outside the format. It repeats what the details say, so
// the larger number counts.
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

// tool reads how often a tool was called at the provider. Names that do not count calls
// report the same in other ways.
func (n *counts) tool(c *jsonraw.Cursor, name string) {
	if meter := MeterOf(name); meter != "" {
		var calls int64
		n.part(c, &calls)
		n.metered.Add(meter, calls)
		return
	}
	c.Skip()
}

// search reads what Perplexity and xAI report about searches. In a research response,
// Perplexity counts reasoning in addition to the completion.
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

// stated reads the cost that the provider states.
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

// take reads one count. Whole numbers written with a zero fraction are accepted, although
// many clients cannot read them. An impossible count makes the usage invalid.
func (n *counts) take(raw []byte) (v int64, ok bool) {
	if jsonraw.IsNull(raw) {
		return 0, true
	}
	n.found, n.strange = true, n.strange || !isCount(raw)
	v, ok = ParseCount(raw)
	n.invalid = n.invalid || !ok
	return v, ok
}

// ParseCount reads a token count as it was reported, limited to what can be displayed. It
// returns false if the count is impossible: negative, not a whole number (which gives -1), or
// too large.
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

// LeastCount returns a lower bound from a count that is not a JSON integer: a string or a
// fraction.
func LeastCount(raw []byte) int64 {
	f, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || !(0 < f && f <= MaxUsage) {
		return 0
	}
	return int64(math.Ceil(f))
}

// isOddNumber reports whether a value is a number that is not written as a count.
func isOddNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') && !isCount(raw)
}

// WholeCounts returns a usage object whose counts, including those in its details, are
// written as clients can read them: 8e0 and "8" become 8, and impossible counts are left out.
// It returns the object itself if nothing has to change.
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

// usage makes the kinds disjoint. In the format, cached tokens are part of the prompt and
// reasoning is part of the completion. If the total exceeds prompt plus completion, something
// is additional to them: reasoning, the cache or audio if exactly that closes the gap, or
// else output that the provider does not itemise, or the prompt if there is no prompt count.
// Likewise, cached tokens in excess of the prompt must be additional to it, and reasoning in
// excess of the completion. A total that equals the sum may still leave out what is
// additional; the cost that the provider states can show that. If the counts contradict each
// other and nothing settles it, the more expensive interpretation is used.
func (n counts) usage() Usage {
	n.cacheWrite = max(n.cacheWrite, n.write5m+n.write1h)
	cached := n.cacheRead + n.cacheWrite
	if n.broken {
		n.total = 0 // a difference to the others would mean nothing
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
	switch own := agrees && n.textIn == n.prompt; { // the provider itself says what is additional
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

// reasoningBeside adds reasoning that is additional to the completion, and returns what is
// left of the gap.
func (n *counts) reasoningBeside(u *Usage, gap int64) int64 {
	const another = 8 // tolerance, because some count reasoning with another tokenizer
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

// beyond adds parts that are larger than the whole they are reported to belong to, and must
// therefore be additional to it. It reports whether there were any.
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
