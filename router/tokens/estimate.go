package tokens

import (
	"context"
	"math"
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Tokenizer says how a model's tokens are estimated. It has the same fields as
// providers.Tokenizer, and can be converted from it.
type Tokenizer struct {
	Encoding        string // O200k or Cl100k; anything else is a tokenizer that is not known here
	Percent         int64  // of the count; 0 is 100 for the two encodings and 150 otherwise
	Images          string // "openai-tile" or "openai-patch"; anything else uses the most expensive rule
	ImageMultiplier int64  // scales the rule, in hundredths; 0 is 100
}

// own reports whether the model's tokenizer is one of the two.
func (t Tokenizer) own() bool { return t.Encoding == O200k || t.Encoding == Cl100k }

func (t Tokenizer) percent() int64 {
	switch {
	case t.Percent > 0:
		return t.Percent
	case t.own():
		return 100
	}
	return 150
}

func (t Tokenizer) imagePercent() int64 {
	if t.ImageMultiplier > 0 {
		return t.ImageMultiplier
	}
	return 100
}

// alike returns the same value for all tokenizers that differ in Percent alone.
func (t Tokenizer) alike() string {
	encoding := ""
	if t.own() {
		encoding = t.Encoding
	}
	return encoding + "\x00" + t.Images + "\x00" + strconv.FormatInt(t.imagePercent(), 10)
}

// BytesPerToken is the usual length of a token in English text. It is for estimates that may be
// off either way: rate limits, not quotas.
const BytesPerToken = 4

// Estimate is a number of tokens.
type Estimate struct {
	Tokens int64
	// Exact: counted with the model's own tokenizer and by documented rules. Otherwise Tokens is
	// meant to be an upper bound.
	Exact bool
	// Likely is the approximate number of tokens: it leaves out what makes Tokens an upper bound
	// if counting ended early, the tokenizer is a different one, or only the provider knows how
	// it counts an image or audio. It may be too low.
	Likely int64
}

// tally is an estimate in progress.
type tally struct {
	text    int64 // counted text, scaled by Percent
	fixed   int64 // the rest
	loose   int64 // the part of both that is only there to make the estimate an upper bound
	inexact bool
}

func (a *tally) add(b tally) {
	a.text, a.fixed, a.loose = plus(a.text, b.text), plus(a.fixed, b.fixed), plus(a.loose, b.loose)
	a.inexact = a.inexact || b.inexact
}

func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Bound returns an upper bound on the tokens of r's prompt. If there is only text, it costs
// next to nothing: every tokenizer that works on bytes makes at most one token of each, and the
// body has more bytes than the prompt that is made from it, except for what normalisation may
// add. Images and the like are counted by their rules.
func (c *Counter) Bound(r *chat.Request, t Tokenizer) int64 {
	rules := t.rules()
	n := int64(len(r.Body())) + rules.priming + r.InputCount()*perInput
	if !t.own() {
		n += expandsJSON(r.Body())
	}
	if r.Needs().Tools {
		n += rules.tools
	}
	if r.ResponseFormat() != nil {
		n += rules.format
	}
	if !r.MayHoldMedia() {
		return n
	}
	for m := range r.Messages() {
		for p := range m.Pieces() {
			if v, ok := c.media(p, t); ok {
				n = plus(n-int64(len(p.Text)), v.fixed)
			}
		}
	}
	return n
}

// Prompt returns how many tokens the prompt of r has: counted as far as that is affordable, and
// a bound otherwise.
func (c *Counter) Prompt(ctx context.Context, r *chat.Request, t Tokenizer) (Estimate, error) {
	s, err := c.begin(ctx, t)
	if err != nil {
		return Estimate{}, err
	}
	return s.estimate(s.prompt(r), c.Bound(r, t))
}

// prompt adds up the elements of a prompt: messages and what primes an answer to them, other
// members, and inputs.
func (s *session) prompt(r *chat.Request) tally {
	sum := s.inputs(r)
	primed := false
	for m := range r.Messages() {
		if !primed {
			sum.fixed, primed = plus(sum.fixed, s.rules.priming), true
		}
		sum.add(s.remembered("message", m.Raw, func() tally { return s.message(m) }))
	}
	for name, raw := range r.Members() {
		sum.add(s.member(string(name), raw))
	}
	return sum
}

// Least returns a lower bound, for any tokenizer, of the tokens in the texts of r. Assistant
// turns are not counted: providers drop parts of them, such as reasoning.
func Least(r *chat.Request) (n int64) {
	var pace jsonraw.Pace
	for m := range r.Messages() {
		if string(m.Role) == `"assistant"` {
			continue
		}
		for p := range m.Pieces() {
			if p.Kind == chat.PieceText || p.Kind == chat.PieceToolCall {
				n += AtLeast(p.Text.Bytes())
			}
		}
		pace.Add(len(m.Raw))
	}
	return n
}

// Text returns how many tokens the text of an answer has.
func (c *Counter) Text(ctx context.Context, text string, t Tokenizer) (Estimate, error) {
	s, err := c.begin(ctx, t)
	if err != nil {
		return Estimate{}, err
	}
	b := valid([]byte(text))
	bound := int64(len(b))
	if !t.own() {
		bound += expands(b)
	}
	return s.estimate(s.count(b), bound)
}

// estimate turns a tally into an estimate.
func (s *session) estimate(sum tally, bound int64) (Estimate, error) {
	if s.err != nil {
		return Estimate{}, s.err
	}
	n := min(plus(scale(sum.text, s.t.percent()), sum.fixed), bound)
	likely := min(plus(sum.text, sum.fixed)-sum.loose, n)
	return Estimate{Tokens: n, Exact: !sum.inexact && s.t.own() && s.t.percent() == 100, Likely: likely}, nil
}
