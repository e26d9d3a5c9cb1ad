package published

import (
	"fmt"
	"strings"
	"testing"

	"tallyroute/billing"
)

const lite = `{
  "sample_spec": {"litellm_provider": "one of", "input_cost_per_token": 0},
  "big": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
      "cache_read_input_token_cost": 1.2500000000000002e-07,
    "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
    "input_cost_per_token_batches": 6.25e-07, "output_cost_per_token_batches": 5e-06, "input_cost_per_token_flex": 6.25e-07,
    "input_cost_per_token_above_200k_tokens_priority": 4e-06, "output_cost_per_token_above_200k_tokens_priority": 2e-05,
    "output_cost_per_reasoning_token": 2e-05, "output_cost_per_image": 0.04, "search_context_cost_per_query": {"low": 0.01}},
  "together_ai/Maker/Open-70B": {"litellm_provider": "together_ai", "mode": "chat", "input_cost_per_token": 8.8e-07,
      "output_cost_per_token": 8.8e-07, "input_cost_per_audio_token": 0},
  "vectors": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08},
  "pictures": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_image": 0.02, "input_cost_per_token": null},
  "odd": {"litellm_provider": "openai", "input_cost_per_token": -1, "output_cost_per_token": "0.1"},
  "wild": {"litellm_provider": "openai", "input_cost_per_token": 1e400, "output_cost_per_token": 1}
}`

const dev = `{"date": "2026-07-02", "providers": {
  "openai": {"models": {"big": {"cost": {"input": 1.25, "output": 10, "cache_read": 0.125, "cache_write": 0, "image": 3, "tiers": [
    {"tier": {"type": "context", "size": 200000}, "input": 2.5, "output": 15}, {"tier": {"type": "hour", "size": 3},
        "input": 9, "output": 9}]}},
    "plan": {"name": "none"}}},
  "togetherai": {"models": {"maker/open-70b": {"cost": {"input": 0.88, "output": 0.88, "reasoning": 2, "input_audio": 4,
      "output_audio": 8}}}}}}`

const gen = `[{"id": "openai", "models": [
  {"id": "big", "match": {"or": [{"equals": "BIG"}, {"and": [{"starts_with": "big-"}, {"ends_with": "-x"}]}]}, "prices": [
    {"prices": {"input_mtok": 9, "output_mtok": 9}},
    {"constraint": {"start_date": "2026-03-01"}, "prices": {"input_mtok": {"base": 1.25, "tiers": [{"start": 200000,
        "price": 2.5}]}, "output_mtok": 10, "web_searches_kcount": 10, "requests_kcount": 5}},
    {"constraint": {"start_date": "2026-01-01"}, "prices": {"input_mtok": 8, "output_mtok": 8}},
    {"constraint": {"start_time": "16:30:00Z", "end_time": "00:30:00Z"}, "prices": {"input_mtok": 1, "output_mtok": 1}}]},
  {"id": "any", "match": {"regex": "^any-\\d+$"}, "prices": {"input_mtok": 1, "output_mtok": 2, "cache_write_mtok": 1.25,
      "cache_write_1h_mtok": 2}},
  {"id": "broken", "match": {"regex": "("}, "prices": {"input_mtok": 1, "output_mtok": 2}}]}]`

func show(e Entry) string {
	var b strings.Builder
	for _, p := range e.Prices {
		fmt.Fprintf(&b, "%s>%d %s/%s", p.ServiceTier, p.MinInput, p.Input.Short(), p.Output.Short())
		for _, kind := range []struct {
			name      string
			rate, not billing.Money
		}{
			{"read", p.CacheRead, p.Input},
			{"write", p.CacheWrite, p.Input},
			{"1h", p.CacheWrite1h, p.CacheWrite},
			{"reasoning", p.Reasoning, p.Output},
			{"heard", p.AudioInput, p.Input},
			{"spoken", p.AudioOutput, p.Output},
			{"fee", p.Request, 0},
		} {
			if kind.rate != kind.not {
				fmt.Fprintf(&b, " %s %s", kind.name, kind.rate.Short())
			}
		}
		b.WriteString("; ")
	}
	return b.String() + strings.Join(e.Left, ", ")
}

func TestRead(t *testing.T) {
	for _, tt := range []struct{ list, provider, model, want string }{
		{lite, "openai", "big", "standard>0 1.25/10 read 0.125 reasoning 20; standard>200001 2.5/15 reasoning 20; batch>0 0.625/5 " +
			"reasoning 20; flex tier without a whole price, output_cost_per_image, priority tier without a whole price"},
		{lite, "openai", "BIG", "standard>0 1.25/10 read 0.125 reasoning 20; standard>200001 2.5/15 reasoning 20; batch>0 0.625/5 " +
			"reasoning 20; flex tier without a whole price, output_cost_per_image, priority tier without a whole price"},
		{lite, "together", "Maker/Open-70B", "standard>0 0.88/0.88; audio_prompt of nothing"},
		{lite, "openai", "vectors", "standard>0 0.02/0; "},
		{lite, "openai", "pictures", "input_cost_per_image"},
		{lite, "openai", "odd", ""},
		{lite, "openai", "wild", ""},
		{lite, "groq", "big", "none"},
		{lite, "openai", "sample_spec", "none"},
		{dev, "openai", "big", "standard>0 1.25/10 read 0.125; standard>200001 2.5/15; a tier that is not of the length of the prompt, " +
			"cache_write of nothing, image"},
		{dev, "together", "Maker/Open-70B", "standard>0 0.88/0.88 reasoning 2 heard 4 spoken 8; "},
		{dev, "openai", "plan", ""},
		{gen, "openai", "big", "standard>0 1.25/10 fee 0.005; standard>200001 2.5/10 fee 0.005; web_searches_kcount"},
		{gen, "openai", "big-5-x", "standard>0 1.25/10 fee 0.005; standard>200001 2.5/10 fee 0.005; web_searches_kcount"},
		{gen, "openai", "big-5", "none"},
		{gen, "openai", "any-12", "standard>0 1/2 write 1.25 1h 2; "},
		{gen, "openai", "broken", "none"},
		{gen, "groq", "big", "none"},
	} {
		l, err := Read([]byte(tt.list))
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if e, ok := l.Find(tt.provider, tt.model); ok {
			got = show(e)
		}
		if got != tt.want {
			t.Errorf("%s %s/%s:\n got %s\nwant %s", l.Format, tt.provider, tt.model, got, tt.want)
		}
	}
	if l, _ := Read([]byte(dev)); l.Date != "2026-07-02" || l.Format != "models.dev" || l.Size() != 3 {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{
		"", "null", "[]", "{}", `{"a":1}`, `[{"id":"x"}]`, `{"providers":{}}`, "not JSON", `"text"`,
		`{"a":{"b":1}}`,
	} {
		if l, err := Read([]byte(bad)); err == nil {
			t.Errorf("%s is read as %s", bad, l.Format)
		}
	}
}

// models.dev publishes its providers without an enclosing group.
func TestRead_ModelsDevPlain(t *testing.T) {
	l, err := Read([]byte(`{"acme": {"id": "acme", "models": {"large": {"cost": {"input": 1, "output": 2, "context_over_200k": {"input": ` +
		`2, "output": 4}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	e, ok := l.Find("acme", "large")
	if got := show(e); !ok || l.Date != "" || got != "standard>0 1/2; standard>200001 2/4; " {
		t.Errorf("%q, %+v", got, l)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{lite, dev, gen} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Read(data)
		if err != nil {
			return
		}
		for _, e := range l.exact {
			for _, p := range e.Prices {
				if p.Input < 0 || p.CacheRead == 0 && p.Input > 0 || p.Reasoning == 0 && p.Output > 0 || p.AudioInput == 0 && p.Input > 0 {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}
