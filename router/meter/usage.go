package meter

import (
	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// Use is what is known about an attempt when it has ended.
type Use struct {
	Candidate   *plan.Candidate
	Attempt     int // from 1
	Status      billing.Status
	ErrorKind   string      // of an attempt that the client did not wait for
	Usage       *chat.Usage // as reported; nil if it was not
	Text        string      // the output that was passed through
	Thought     int         // bytes of it that are reasoning
	Media       int         // images and pieces of audio that were passed through
	Told        int         // how many of them had arrived when Usage was reported, if that is partial
	ResponseID  string
	TierDropped bool // the provider was not told the requested tier
	Answered    Answered
}

// Answered is a model that answered instead of the requested one.
type Answered struct {
	Model  string              // the provider's name for it; "" if it is the one that was asked for
	Prices *billing.PriceSheet // nil if none are known
}

// Counter counts what passed through us for one attempt, as its target's tokenizer does.
type Counter interface {
	Bound() int64 // cheap, and never below the prompt's true count
	Least() int64 // never above it
	Prompt() (tokens.Estimate, error)
	Text(text string) (tokens.Estimate, error)
}

// usage is what an attempt is booked with, and how that is known.
type usage struct {
	tokens   billing.Tokens
	source   billing.Provenance
	disputed bool
	observed bool // the prompt is what the provider reported
}

func reported(u *chat.Usage) billing.Tokens {
	return billing.Tokens{
		Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning,
		CacheWrite1h: u.CacheWrite1h, AudioInput: u.AudioInput, AudioOutput: u.AudioOutput,
	}
}

// weigh checks what a provider reported against what is known about the attempt. What is booked
// is never below either: a report above what can be explained is booked as it is, since the
// bill will say so, and disputed; one below what passed through us gives way to the count; and
// for an impossible value the larger of count and hold is booked.
func (m *Meter) weigh(u Use, tier string, count Counter) usage {
	most := m.Most(u.Candidate)
	if u.Usage == nil {
		t, source := counted(u, most, count)
		return usage{tokens: t, source: source}
	}
	b := m.reading(u, tier)
	if u.Usage.Lump > 0 {
		b.divide(u, most, count)
	}
	b.replaceImpossible(u, most, count)
	if u.Usage.Partial {
		b.goOn(u, count)
	}
	b.raisePrompt(most.Input, count, m.Request.Needs())
	b.raiseOutput(u, most, count)
	b.disputed = b.disputed || u.Usage.Outside && !m.proven(b.tokens.Prompt(), count) || !m.explained(b.tokens, u.Text, most, count)
	return b
}

// reading returns what the counts of a report mean. If they can be read in several ways, the
// cost that the provider states for the answer decides, if it matches one of them. If they
// contradict each other and nothing decides, the more expensive reading is disputed.
func (m *Meter) reading(u Use, tier string) usage {
	told := u.Usage
	b := usage{tokens: reported(told), source: billing.Reported, observed: true}
	hidden := told.Unitemised && !u.Candidate.Target.Can.Reasoning
	b.disputed = told.Invalid || told.Contradiction || hidden
	if stated := billing.Money(told.Cost.Nano); stated > 0 && u.Candidate.Priced {
		for _, t := range readings(told) {
			if m.comesTo(u, tier, t).Meets(stated) {
				b.tokens, b.disputed = t, told.Invalid
				return b
			}
		}
	}
	if told.Contradiction && told.Beside > b.tokens.Output {
		b.tokens = besides(b.tokens, told.Beside)
	}
	return b
}

// readings returns the ways to read a report, the one intended by its format first.
func readings(u *chat.Usage) []billing.Tokens {
	all := []billing.Tokens{reported(u)}
	if u.Beside > 0 {
		all = append(all, besides(all[0], u.Beside))
	}
	if u.CacheBeside {
		for _, t := range all {
			t.Input = billing.SatAdd(t.Input, t.CacheRead+t.CacheWrite)
			all = append(all, t)
		}
	}
	return all
}

// besides returns t with reasoning in addition to its output.
func besides(t billing.Tokens, reasoning int64) billing.Tokens {
	t.Output, t.Reasoning = billing.SatAdd(t.Output, reasoning), reasoning
	return t
}

// divide splits a total that does not say what is prompt and what is output: the prompt is our
// count, and the output is the rest, or the tokens of its text.
func (b *usage) divide(u Use, most billing.Tokens, count Counter) {
	b.observed = false
	if most.Output == 0 {
		b.tokens.Input = u.Usage.Lump
		return
	}
	t, source := counted(u, most, count)
	b.source = source
	b.tokens.Input = min(t.Input, u.Usage.Lump)
	b.tokens.Output = max(u.Usage.Lump-b.tokens.Input, t.Output)
}

// goOn adds what came after it to usage that was reported before an answer's end. What was
// reported before any text is a start value, or reasoning.
func (b *usage) goOn(u Use, count Counter) {
	before := b.tokens.Output
	if u.Told == 0 {
		before = b.tokens.Reasoning
	}
	after, exact := countText(u.Text[u.Told:], count)
	whole, exactly := countText(u.Text, count)
	b.tokens.Output = max(b.tokens.Output, billing.SatAdd(before, after), whole)
	b.source = b.certain(tokens.Estimate{Exact: exact && exactly})
}

// countText counts text. No token is shorter than a byte.
func countText(text string, count Counter) (n int64, exact bool) {
	counted, err := count.Text(text)
	if err != nil {
		return int64(len(text)), false
	}
	return counted.Tokens, counted.Exact
}

// comesTo returns what t and everything else that was used cost in a tier.
func (m *Meter) comesTo(u Use, tier string, t billing.Tokens) billing.Money {
	price, _ := priceOf(u.Candidate, tier, t)
	cost, _, _ := price.Charge(t, metered(u.Usage, nil), nil)
	return cost.Total
}

// impossible reports whether a count cannot be true.
func impossible(n int64) bool { return n < 0 || n > chat.MaxUsage }

func possible(n int64) int64 {
	if impossible(n) {
		return 0
	}
	return n
}

// replaceImpossible substitutes the larger of count and hold for a prompt or an output for
// which the report is impossible, or the lower bound that a count other than a whole number implies.
func (b *usage) replaceImpossible(u Use, most billing.Tokens, count Counter) {
	prompt, output := impossible(b.tokens.Prompt()), impossible(b.tokens.Output)
	if f := u.Usage.Figures; f != nil {
		prompt, output = prompt || f.Input < 0, output || f.Output < 0
	}
	if !prompt && !output {
		return
	}
	t, source := counted(u, most, count)
	b.source, b.disputed = source, true
	if prompt {
		b.tokens.Input, b.tokens.CacheRead, b.tokens.CacheWrite = max(t.Input, most.Input, possible(b.tokens.Prompt())), 0, 0
		b.tokens.CacheWrite1h, b.tokens.AudioInput = 0, 0
		b.observed = false
	}
	if output {
		b.tokens.Output = max(t.Output, most.Output, possible(b.tokens.Output))
		b.tokens.Reasoning, b.tokens.AudioOutput = 0, 0
	}
	if prompt && b.tokens.Input > t.Input || output && b.tokens.Output > t.Output {
		b.source = billing.Bounded
	}
}

// lowSlack is how many tokens a report may be below an exact count in addition to a quarter:
// providers leave out some of what we count as theirs.
const lowSlack = 16

// raisePrompt uses our count of the prompt if the report is too far below it: below an exact
// count, or below what any tokenizer makes of the text. A report that is close to the bound is
// not worth a count. How many tokens images and documents have is not known well enough to
// tell.
func (b *usage) raisePrompt(most int64, count Counter, needs chat.Needs) {
	prompt := b.tokens.Prompt()
	media := needs.Vision || needs.Audio || needs.Documents
	if prompt > 0 && (media || count.Bound()/(2*tokens.BytesPerToken)-lowSlack <= prompt) {
		return
	}
	counted, err := count.Prompt()
	if err != nil {
		counted = tokens.Estimate{Tokens: most}
	}
	low := counted.Tokens*3/4 - lowSlack
	if !counted.Exact {
		low = count.Least()
		counted.Tokens = max(min(counted.Tokens, most), low)
	}
	if prompt > 0 && prompt >= low || counted.Tokens <= prompt {
		return
	}
	b.tokens.Input = billing.SatAdd(b.tokens.Input, counted.Tokens-prompt)
	b.disputed, b.observed, b.source = true, false, b.certain(counted)
}

// raiseOutput uses our count of the text if the report is below it: below what any tokenizer
// makes of the text, or well below what the model's own does. Text that a tool at the provider
// returned may be in the prompt instead, if that has more than can have come from us; and
// reasoning that is shown need not all be charged.
func (b *usage) raiseOutput(u Use, most billing.Tokens, count Counter) {
	if u.Media > 0 && b.tokens.Output <= 0 {
		t, source := counted(u, most, count)
		b.tokens.Output, b.disputed, b.source = t.Output, true, source
		return
	}
	text, least := u.Text, tokens.AtLeast(u.Text)
	if u.Thought > 0 && b.tokens.Output > 0 {
		least -= least * int64(min(u.Thought, len(text))) / int64(max(len(text), 1))
	}
	if least+least/8 <= b.tokens.Output {
		return
	}
	if beyond := b.tokens.Prompt() - count.Bound(); b.tokens.Output > 0 && b.tokens.Output+beyond >= 2*least {
		return
	}
	counted, err := count.Text(text)
	if err != nil {
		counted = tokens.Estimate{Tokens: int64(len(text))} // no token is shorter than a byte
	}
	short := least > b.tokens.Output || counted.Exact && u.Thought == 0 && counted.Tokens > b.tokens.Output+b.tokens.Output/lowSlack+2
	if !short || counted.Tokens <= b.tokens.Output {
		return
	}
	b.tokens.Output = counted.Tokens
	b.disputed, b.source = true, b.certain(counted)
}

// certain returns how certain the booked usage is when a count is used as well.
func (b *usage) certain(count tokens.Estimate) billing.Provenance {
	if b.source == billing.Bounded || !count.Exact {
		return billing.Bounded
	}
	return billing.Counted
}

// How far a report may be above our own count before it needs an explanation: double, plus what
// providers add to a prompt invisibly.
const (
	disputeFactor = 2
	disputeSlack  = 1000
)

// explained reports whether the size of t can be explained. Most reports pass the cheap test
// against the bound; only the others make us count. Work at the provider explains any growth;
// images, audio and documents explain that of a prompt.
func (m *Meter) explained(t billing.Tokens, text string, most billing.Tokens, count Counter) bool {
	if t.Prompt() > count.Bound()/disputeFactor+disputeSlack {
		counted, err := count.Prompt()
		if err != nil || t.Prompt() > billing.SatMul(counted.Tokens, disputeFactor)+disputeSlack {
			needs := m.Request.Needs()
			return m.Request.Hosted() || needs.Vision || needs.Audio || needs.Documents
		}
	}
	// Hidden reasoning makes an output longer than its text, but not longer than the bound that
	// was sent.
	if t.Output > most.Output {
		counted, err := count.Text(text)
		if err != nil || t.Output > billing.SatMul(counted.Tokens, disputeFactor)+disputeSlack {
			return m.Request.Hosted()
		}
	}
	return true
}

// proven reports whether the text of a prompt alone has nearly that many tokens.
func (m *Meter) proven(prompt int64, count Counter) bool {
	counted, err := count.Prompt()
	return err == nil && counted.Tokens >= prompt*3/4
}

// mostOfMedia is the most tokens that an image in an answer is known to have: 6,208, for 1024
// by 1536 pixels in high quality from OpenAI's gpt-image-1
// (https://platform.openai.com/docs/guides/image-generation); those from Gemini have at most
// 2,520 (https://ai.google.dev/gemini-api/docs/image-generation). A piece of audio has fewer.
const mostOfMedia = 6_208

// counted returns what passed through us if the provider did not report usage: the prompt and
// the text that arrived. An inexact count is meant to be an upper bound, so no more than was
// held is charged by it, unless the text proves that there was more.
func counted(u Use, most billing.Tokens, count Counter) (billing.Tokens, billing.Provenance) {
	source := billing.Counted
	prompt, err := count.Prompt()
	if err != nil {
		prompt = tokens.Estimate{Tokens: most.Input}
	}
	if !prompt.Exact {
		source, prompt.Tokens = billing.Bounded, min(prompt.Tokens, most.Input)
	}
	output, err := count.Text(u.Text)
	if err != nil {
		output = tokens.Estimate{Tokens: int64(len(u.Text))} // no token is shorter than a byte
	}
	if u.Media > 0 {
		output = tokens.Estimate{Tokens: billing.SatAdd(output.Tokens, billing.SatMul(int64(u.Media), mostOfMedia))}
	}
	if !output.Exact {
		source = billing.Bounded
		if tokens.AtLeast(u.Text) <= most.Output {
			output.Tokens = min(output.Tokens, most.Output)
		}
	}
	return billing.Tokens{Input: prompt.Tokens, Output: output.Tokens}, source
}
