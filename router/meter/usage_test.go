package meter

import (
	"errors"
	"math"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// fixed is a counter with fixed results.
type fixed struct {
	bound, prompt, text int64
	least               int64
	inexact             bool
	err                 error
}

func (f fixed) Bound() int64 { return f.bound }

func (f fixed) Least() int64 { return f.least }

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

// A prompt of 100 tokens is bounded by 400; 50 tokens of output are requested, and 400 are held
// for the prompt. The text that arrived has 12 words and 20 tokens.
func TestUsageIsNeverBelowTheEvidence(t *testing.T) {
	const text = "one two three four five six seven eight nine ten eleven twelve"
	count := fixed{bound: 400, prompt: 100, text: 20}
	inexact := count
	inexact.inexact, inexact.least = true, 30
	failing := count
	failing.err = errCount
	type want struct {
		source   billing.Provenance
		disputed bool
		tokens   billing.Tokens
	}
	usage := func(u chat.Usage) *chat.Usage { return &u }
	invalid := func(u chat.Usage) *chat.Usage { // 0 stands for a reported -1
		f := u
		for _, n := range []*int64{&f.Input, &f.Output} {
			if *n == 0 {
				*n = -1
			}
		}
		u.Invalid, u.Figures = true, &f
		return &u
	}
	in := func(prompt, output int64) billing.Tokens { return billing.Tokens{Input: prompt, Output: output} }
	for name, tt := range map[string]struct {
		usage *chat.Usage
		text  string
		count Counter
		want
	}{
		// What is believed, or must be because the bill will say so.
		"as expected": {
			usage(chat.Usage{Input: 100, Output: 20}), text, count,
			want{billing.Reported, false, in(100, 20)},
		},
		"nothing for nothing": {usage(chat.Usage{Input: 100}), "", count, want{billing.Reported, false, in(100, 0)}},
		"a tokenizer that makes fewer": {
			usage(chat.Usage{Input: 60, Output: 13}), text, inexact,
			want{billing.Reported, false, in(60, 13)},
		},
		"twice the prompt and more": {
			usage(chat.Usage{Input: 1200, Output: 20}), text, count,
			want{billing.Reported, false, in(1200, 20)},
		},
		"beyond that": {
			usage(chat.Usage{Input: 1201, Output: 20}), text, count,
			want{billing.Reported, true, in(1201, 20)},
		},
		"a web search": {
			usage(chat.Usage{Input: 18_432, Output: 20}), text, count,
			want{billing.Reported, true, in(18_432, 20)},
		},
		"above every context": {
			usage(chat.Usage{Input: 90_000_000, Output: 20}), text, count,
			want{billing.Reported, true, in(90_000_000, 20)},
		},
		"the most that there can be": {
			usage(chat.Usage{Input: 1_000_000_000, Output: 20}), text, count,
			want{billing.Reported, true, in(1_000_000_000, 20)},
		},
		"cached beyond that": {
			usage(chat.Usage{CacheRead: 399, Input: 900, Output: 20}), text, count,
			want{billing.Reported, true, billing.Tokens{Input: 900, CacheRead: 399, Output: 20}},
		},
		"thoughts within the bound": {
			usage(chat.Usage{Input: 100, Output: 50, Reasoning: 30}), text, count,
			want{billing.Reported, false, billing.Tokens{Input: 100, Output: 50, Reasoning: 30}},
		},
		"more output than was asked": {
			usage(chat.Usage{Input: 100, Output: 1040}), text, count,
			want{billing.Reported, false, in(100, 1040)},
		},
		"much more": {
			usage(chat.Usage{Input: 100, Output: 1041}), text, count,
			want{billing.Reported, true, in(100, 1041)},
		},
		"ten times what was asked": {
			usage(chat.Usage{Input: 100, Output: 2849, Reasoning: 2809}), text, count,
			want{billing.Reported, true, billing.Tokens{Input: 100, Output: 2849, Reasoning: 2809}},
		},
		"too much, and not countable": {
			usage(chat.Usage{Input: 1201, Output: 20}), text, failing,
			want{billing.Reported, true, in(1201, 20)},
		},
		"less than the hold, not the sum": {
			usage(chat.Usage{Input: 399, Output: 49}), text, count,
			want{billing.Reported, false, in(399, 49)},
		},

		// What passed through us is a lower bound.
		"nothing for a text":            {usage(chat.Usage{Input: 100}), text, count, want{billing.Counted, true, in(100, 20)}},
		"nothing for a text, like ours": {usage(chat.Usage{Input: 100}), text, inexact, want{billing.Bounded, true, in(100, 20)}},
		"nothing for a text, no count": {
			usage(chat.Usage{Input: 100}), text, failing,
			want{billing.Bounded, true, in(100, int64(len(text)))},
		},
		"fewer tokens than words": {
			usage(chat.Usage{Input: 100, Output: 11}), text, inexact,
			want{billing.Bounded, true, in(100, 20)},
		},
		"one token": {
			usage(chat.Usage{Input: 100, Output: 1}), text, count,
			want{billing.Counted, true, in(100, 20)},
		},
		"fewer than its own tokenizer": {
			usage(chat.Usage{Input: 100, Output: 12}), text, count,
			want{billing.Counted, true, in(100, 20)},
		},
		"all of it called reasoning": {
			usage(chat.Usage{Input: 100, Output: 2, Reasoning: 2}), text, count,
			want{billing.Counted, true, billing.Tokens{Input: 100, Output: 20, Reasoning: 2}},
		},
		"no prompt":            {usage(chat.Usage{Output: 20}), text, count, want{billing.Counted, true, in(100, 20)}},
		"no prompt, like ours": {usage(chat.Usage{Output: 20}), text, inexact, want{billing.Bounded, true, in(100, 20)}},
		"no prompt, no count":  {usage(chat.Usage{Output: 20}), text, failing, want{billing.Bounded, true, in(400, 20)}},
		"one token of prompt": {
			usage(chat.Usage{Input: 1, Output: 20}), text, count,
			want{billing.Counted, true, in(100, 20)},
		},
		"one cached token of prompt": {
			usage(chat.Usage{CacheRead: 1, Output: 20}), text, count,
			want{billing.Counted, true, billing.Tokens{Input: 99, CacheRead: 1, Output: 20}},
		},
		"fewer tokens than it has words": {
			usage(chat.Usage{Input: 29, Output: 20}), text, inexact,
			want{billing.Bounded, true, in(100, 20)},
		},
		"a generous estimate of ours": {
			usage(chat.Usage{Input: 31, Output: 20}), text, inexact,
			want{billing.Reported, false, in(31, 20)},
		},
		"half of the prompt": {
			usage(chat.Usage{Input: 30, Output: 20}), text, count,
			want{billing.Counted, true, in(100, 20)},
		},
		"what a tool said is in the prompt": {
			usage(chat.Usage{Input: 900, Output: 3}), text, count,
			want{billing.Reported, false, in(900, 3)},
		},
		"nothing at all":             {usage(chat.Usage{}), text, count, want{billing.Counted, true, in(100, 20)}},
		"no output, too much prompt": {usage(chat.Usage{Input: 60_000}), text, count, want{billing.Counted, true, in(60_000, 20)}},

		// For an impossible value the larger of count and hold is used, and the rest stays.
		"negative output": {invalid(chat.Usage{Input: 100}), text, count, want{billing.Bounded, true, in(100, 50)}},
		"negative prompt": {invalid(chat.Usage{Output: 20}), text, count, want{billing.Bounded, true, in(400, 20)}},
		"negative part, much else": {
			invalid(chat.Usage{Input: 60_000, Output: 20}), text, count,
			want{billing.Reported, true, in(60_000, 20)},
		},
		"nothing that can be": {invalid(chat.Usage{}), text, count, want{billing.Bounded, true, in(400, 50)}},
		"counts above the hold": {
			invalid(chat.Usage{}), text,
			fixed{bound: 999, prompt: 500, text: 90},
			want{billing.Counted, true, in(500, 90)},
		},
		"10^9 and one": {
			invalid(chat.Usage{Input: 1_000_000_001, Output: 20}), text, count,
			want{billing.Bounded, true, in(400, 20)},
		},
		"10^12 of output": {
			invalid(chat.Usage{Input: 100, Output: 1_000_000_000_000}), text, count,
			want{billing.Bounded, true, in(100, 50)},
		},
		"below nothing": {usage(chat.Usage{Input: -7, Output: 20}), text, count, want{billing.Bounded, true, in(400, 20)}},
		"all that an integer holds": {
			usage(chat.Usage{Input: math.MaxInt64, CacheRead: math.MaxInt64, Output: math.MaxInt64}), text, count,
			want{billing.Bounded, true, in(400, 50)},
		},

		// Without a report the count is used; the hold does not limit an exact count.
		"none":                       {nil, text, count, want{billing.Counted, false, in(100, 20)}},
		"none, and no own tokenizer": {nil, text, inexact, want{billing.Bounded, false, in(100, 20)}},
		"none, and not countable":    {nil, text, failing, want{billing.Bounded, false, in(400, 50)}},
		"none, more than was held":   {nil, text, fixed{bound: 400, prompt: 500, text: 90}, want{billing.Counted, false, in(500, 90)}},
		"none, an estimate of more": {
			nil, text,
			fixed{bound: 400, prompt: 500, text: 90, inexact: true},
			want{billing.Bounded, false, in(400, 50)},
		},
		"none, more words than were held": {
			nil, strings.Repeat(text+" ", 5),
			fixed{bound: 400, prompt: 100, text: 90, inexact: true},
			want{billing.Bounded, false, in(100, 90)},
		},
	} {
		m := Meter{Request: request(t, `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"x"}]}`)}
		c := plan.Candidate{Target: &providers.Target{Provider: "p", Model: "m"}, Hold: 400, MaxOutput: 50}
		row, observed := m.Used(Use{Candidate: &c, Attempt: 1, Status: billing.StatusOK, Usage: tt.usage, Text: tt.text}, tt.count)
		if got := (want{row.UsageSource, row.Disputed, row.Tokens}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
		if row.Status != billing.StatusOK {
			t.Errorf("%s: the status is %s", name, row.Status)
		}
		told := tt.usage
		if told != nil && told.Figures != nil {
			told = told.Figures
		}
		if (row.Reported != nil) != tt.disputed || tt.disputed && *row.Reported != reported(told) {
			t.Errorf("%s: reported is %+v", name, row.Reported)
		}
		if own := tt.usage != nil && tt.usage.Input+tt.usage.CacheRead == row.Tokens.Prompt(); observed != own {
			t.Errorf("%s: observed is %t", name, observed)
		}
	}
}

// The text does not show the tokens of an image: if its provider does not report them, what was
// held is charged, but no more of it than images have.
func TestPicturesAreNotFree(t *testing.T) {
	count := fixed{bound: 400, prompt: 100, text: 20}
	type want struct {
		source   billing.Provenance
		disputed bool
		output   int64
	}
	for name, tt := range map[string]struct {
		usage *chat.Usage
		held  int64
		want
	}{
		"not reported":              {nil, 50_000, want{billing.Bounded, false, 20 + 2*6_208}},
		"not reported, little held": {nil, 50, want{billing.Bounded, false, 50}},
		"reported as nothing":       {&chat.Usage{Input: 100}, 50_000, want{billing.Bounded, true, 20 + 2*6_208}},
		"reported":                  {&chat.Usage{Input: 100, Output: 2_580}, 50_000, want{billing.Reported, false, 2_580}},
	} {
		m := Meter{Request: request(t, `{"model":"m","messages":[{"role":"user","content":"x"}]}`)}
		c := plan.Candidate{Target: &providers.Target{Provider: "p", Model: "m"}, Hold: 400, MaxOutput: tt.held}
		row, _ := m.Used(Use{
			Candidate: &c, Attempt: 1, Status: billing.StatusOK, Usage: tt.usage, Text: "twelve words", Media: 2,
		}, count)
		if got := (want{row.UsageSource, row.Disputed, row.Tokens.Output}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// Work that a request makes the provider do explains additional usage.
func TestWorkAtTheProviderIsNotDisputed(t *testing.T) {
	count := fixed{bound: 400, prompt: 100, text: 1}
	for member, disputed := range map[string]bool{
		`"seed":1`: true,
		`"tools":[{"type":"function","function":{"name":"f"}}]`: true,
		`"tools":[{"url_context":{}}]`:                          false,
		`"tools":[{"type":"web_search_20250305"}]`:              false,
		`"web_search_options":{}`:                               false,
		`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]}],"x":1`: false,
		`"previous_response_id":"resp_1"`: false,
	} {
		m := Meter{Request: request(t, `{"model":"m","max_tokens":50,`+
			strings.TrimSuffix(member+`,"messages":[{"role":"user","content":"x"}]`,
				`,"x":1,"messages":[{"role":"user","content":"x"}]`)+`}`)}
		c := plan.Candidate{Target: &providers.Target{Provider: "p", Model: "m"}, Hold: 400, MaxOutput: 50}
		row, _ := m.Used(Use{
			Candidate: &c, Attempt: 1, Status: billing.StatusOK, Text: "x",
			Usage: &chat.Usage{Input: 10_317, Output: 1},
		}, count)
		if row.Disputed != disputed || row.Tokens.Input != 10_317 {
			t.Errorf("%s: disputed is %t, %+v", member, row.Disputed, row.Tokens)
		}
	}
}
