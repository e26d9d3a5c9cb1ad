package meter

import (
	"errors"
	"math"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// fixed counts what it is told to.
type fixed struct {
	bound, prompt, text int64
	inexact             bool
	err                 error
}

func (f fixed) Bound() int64 { return f.bound }

func (f fixed) Prompt() (tokens.Estimate, error) {
	return tokens.Estimate{Tokens: f.prompt, Exact: !f.inexact}, f.err
}

func (f fixed) Text(string) (tokens.Estimate, error) {
	return tokens.Estimate{Tokens: f.text, Exact: !f.inexact}, f.err
}

func request(t *testing.T, body string) *chat.Request {
	t.Helper()
	req, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

var errCount = errors.New("cannot count")

// A prompt of 100 tokens is bounded by 400; 50 tokens of output are asked for, and
// the text that came has 10.
func TestUsageIsBelievedAsFarAsItCanBe(t *testing.T) {
	count := fixed{bound: 400, prompt: 100, text: 10}
	failing := count
	failing.err = errCount
	held := billing.Tokens{Input: 400, Output: 50}
	for name, tt := range map[string]struct {
		usage  *chat.Usage
		text   string
		count  Counter
		status billing.Status
		source billing.Provenance
		want   billing.Tokens
	}{
		"as expected":                 {&chat.Usage{Input: 100, Output: 10}, "ten", count, billing.StatusOK, billing.Reported, billing.Tokens{Input: 100, Output: 10}},
		"nothing for nothing":         {&chat.Usage{Input: 100}, "", count, billing.StatusOK, billing.Reported, billing.Tokens{Input: 100}},
		"nothing for a text":          {&chat.Usage{Input: 100}, "ten", count, billing.StatusDisputed, billing.Reported, billing.Tokens{Input: 100}},
		"twice the prompt and more":   {&chat.Usage{Input: 1200, Output: 10}, "ten", count, billing.StatusOK, billing.Reported, billing.Tokens{Input: 1200, Output: 10}},
		"beyond that":                 {&chat.Usage{Input: 1201, Output: 10}, "ten", count, billing.StatusDisputed, billing.Reported, billing.Tokens{Input: 400, Output: 10}},
		"cached beyond that":          {&chat.Usage{CacheRead: 399, Input: 900, Output: 10}, "ten", count, billing.StatusDisputed, billing.Reported, billing.Tokens{Input: 400, Output: 10}},
		"thoughts within the bound":   {&chat.Usage{Input: 100, Output: 50}, "ten", count, billing.StatusOK, billing.Reported, billing.Tokens{Input: 100, Output: 50}},
		"more output than was asked":  {&chat.Usage{Input: 100, Output: 1020}, "ten", count, billing.StatusOK, billing.Reported, billing.Tokens{Input: 100, Output: 1020}},
		"much more":                   {&chat.Usage{Input: 100, Output: 1021}, "ten", count, billing.StatusDisputed, billing.Reported, billing.Tokens{Input: 100, Output: 50}},
		"doubtful, and not countable": {&chat.Usage{Input: 1201, Output: 10}, "ten", failing, billing.StatusDisputed, billing.Reported, billing.Tokens{Input: 400, Output: 10}},
		"negative":                    {&chat.Usage{Input: 100, Output: -1, Invalid: true}, "ten", count, billing.StatusDisputed, billing.Counted, billing.Tokens{Input: 100, Output: 10}},
		"none":                        {nil, "ten", count, billing.StatusOK, billing.Counted, billing.Tokens{Input: 100, Output: 10}},
		"none, and no own tokenizer":  {nil, "ten", fixed{bound: 400, prompt: 100, text: 10, inexact: true}, billing.StatusOK, billing.Bounded, billing.Tokens{Input: 100, Output: 10}},
		"none, and not countable":     {nil, "ten", failing, billing.StatusOK, billing.Bounded, billing.Tokens{Input: 400, Output: 3}},
		"none, more than was held":    {nil, "ten", fixed{bound: 400, prompt: 500, text: 90}, billing.StatusOK, billing.Counted, held},
	} {
		m := Meter{Request: request(t, `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"x"}]}`)}
		c := plan.Candidate{Target: &providers.Target{Provider: "p", Model: "m"}, Hold: 400, MaxOutput: 50}
		row, believed := m.Used(Use{Candidate: c, Attempt: 1, Status: billing.StatusOK, Usage: tt.usage, Text: tt.text}, tt.count)
		if row.Status != tt.status || row.UsageSource != tt.source || row.Tokens != tt.want {
			t.Errorf("%s: %s, %s, %+v; want %s, %s, %+v", name, row.Status, row.UsageSource, row.Tokens, tt.status, tt.source, tt.want)
		}
		if believed != (tt.status == billing.StatusOK && tt.source == billing.Reported) {
			t.Errorf("%s: believed is %t", name, believed)
		}
	}
}

func TestDisputedUsageIsNoMoreThanWasHeld(t *testing.T) {
	held := billing.Tokens{Input: 100, Output: 50}
	for _, tt := range []struct{ reported, want billing.Tokens }{
		{billing.Tokens{Input: 60, CacheRead: 60, CacheWrite: 60}, billing.Tokens{Input: 60, CacheRead: 40}},
		{billing.Tokens{Input: -1, CacheRead: 7, CacheWrite: 200, CacheWrite1h: 200}, billing.Tokens{CacheRead: 7, CacheWrite: 93, CacheWrite1h: 100}},
		{billing.Tokens{Output: 51, Reasoning: -3, AudioInput: 101, AudioOutput: 52}, billing.Tokens{Output: 50, AudioInput: 100, AudioOutput: 50}},
		{billing.Tokens{Input: math.MaxInt64, CacheRead: math.MaxInt64, Output: math.MaxInt64}, held},
	} {
		if got := atMost(tt.reported, held); got != tt.want {
			t.Errorf("%+v becomes %+v, want %+v", tt.reported, got, tt.want)
		}
	}
}
