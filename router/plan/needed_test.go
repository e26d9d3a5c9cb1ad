package plan

import (
	"testing"

	"tallyroute/providers"
)

// A cheaper candidate that would leave out something the answer depends on is placed behind all
// that would not.
func TestCandidateThatDoesAllOfARequestComesFirst(t *testing.T) {
	var offers []Offer
	for _, c := range []struct {
		name, price string
		quirks      providers.Quirks
	}{
		{"a-known", "1", providers.Quirks{Known: []string{"temperature"}}},
		{"b-never", "2", providers.Quirks{Search: providers.SearchNever, Bounds: map[string]providers.Bound{"n": {Max: "1"}}}},
		{"c-sampling", "3", providers.Quirks{Sampling: providers.SamplingNever}},
		{"d-able", "4", providers.Quirks{}},
	} {
		o := offer(t, c.name, c.price, c.price)
		o.Target.Quirks = c.quirks
		offers = append(offers, o)
	}
	for members, want := range map[string]string{
		`"temperature":1`:                         "a-known",
		`"n":1,"logprobs":false`:                  "a-known",
		`"tool_choice":"auto"`:                    "a-known",
		`"web_search_options":{}`:                 "c-sampling",
		`"web_search_options":{},"logprobs":true`: "d-able",
		`"n":2`: "c-sampling",
		`"response_format":{"type":"json_object"}`:     "b-never",
		`"parallel_tool_calls":false,"top_logprobs":3`: "b-never",
	} {
		in := input(t, offers...)
		in.Request = request(t, `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hi"}],`+members+`}`)
		in.Counted = true
		p, _ := Make(in)
		if got := p.Candidates[0]; got.Target.Provider != want || got.Loses != "" {
			t.Errorf("%s: %s, which loses %q, want %s", members, got.Target.Provider, got.Loses, want)
		}
		if last := p.Candidates[len(p.Candidates)-1]; !last.Usable() {
			t.Errorf("%s: %s is left out", members, last.Target.Provider)
		}
	}
}
