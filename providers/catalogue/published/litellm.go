package published

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tallyroute/billing"
)

// liteLLMKinds maps the members of entries that price tokens.
var liteLLMKinds = map[string]string{ //nolint:gosec // "token" is what a model reads, not a credential
	"input_cost_per_token": "prompt", "output_cost_per_token": "completion",
	"cache_read_input_token_cost": "cache_read", "input_cost_per_token_cache_hit": "cache_read",
	"cache_creation_input_token_cost": "cache_write", "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
	"output_cost_per_reasoning_token": "reasoning",
	"input_cost_per_audio_token":      "audio_prompt", "output_cost_per_audio_token": "audio_completion",
}

// liteLLMMember splits a member's name into kind, prompt length in thousands, and service.
var liteLLMMember = regexp.MustCompile(`^(.*?)(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority))?$`)

// liteLLM reads a mapping from names, mostly provider/model, to entries with prices in dollars
// per token.
func liteLLM(doc map[string]any) (*List, error) {
	l := &List{Format: formatLiteLLM, exact: make(map[string]Entry)}
	for name, v := range doc {
		m, ok := v.(map[string]any)
		provider, named := m["litellm_provider"].(string)
		if !ok || !named || name == "sample_spec" {
			continue
		}
		e := liteLLMEntry(name, m)
		model := name
		if prefix, rest, ok := strings.Cut(name, "/"); ok && (prefix == provider || provider == "vertex_ai" ||
			strings.HasPrefix(provider, prefix)) {
			model = rest
		}
		l.exact[key(provider, model)] = e
	}
	if len(l.exact) == 0 {
		return nil, errFormat
	}
	return l, nil
}

func liteLLMEntry(name string, m map[string]any) Entry {
	r := newRates()
	for member, v := range m {
		parts := liteLLMMember.FindStringSubmatch(member)
		kind, known := liteLLMKinds[parts[1]]
		if !known {
			if n, ok := amount(v, perMillion); ok && n > 0 && strings.Contains(member, "cost") {
				r.leave(member)
			}
			continue
		}
		n, ok := amount(v, perToken)
		if !ok {
			continue
		}
		t := tier{service: liteLLMService(parts[3])}
		if parts[2] != "" {
			thousands, _ := strconv.ParseInt(parts[2], 10, 32)
			t.over = thousands * 1000
		}
		if _, better := m["cache_read_input_token_cost"]; better && parts[1] == "input_cost_per_token_cache_hit" {
			continue
		}
		r.set(t, kind, n)
	}
	if slices.Contains([]string{"embedding"}, modeOf(m)) {
		for _, kinds := range r.tiers {
			if _, ok := kinds["completion"]; !ok {
				kinds["completion"] = 0 // there is no output to pay for
			}
		}
	}
	e := Entry{Name: name}
	e.Prices, e.Left = r.prices()
	if search, ok := liteLLMSearch(m); ok && len(e.Prices) > 0 {
		e.Prices[0].Fees = []billing.FeeRate{search}
	}
	return e
}

// liteLLMSearch returns the price of a search, or of a prompt that is answered with searches,
// if it does not depend on the size of the search context.
func liteLLMSearch(m map[string]any) (billing.FeeRate, bool) {
	sizes, _ := m["search_context_cost_per_query"].(map[string]any)
	low, ok := amount(sizes["search_context_size_low"], perMillion)
	high, also := amount(sizes["search_context_size_high"], perMillion)
	if !ok || !also || low != high {
		return billing.FeeRate{}, false
	}
	meter := "web_search"
	provider, _ := m["litellm_provider"].(string)
	google := provider == "gemini" || strings.HasPrefix(provider, "vertex_ai-language")
	if google && low == 35*billing.NanoPerUSD/1000 { // the price for Gemini 2
		meter = "grounding"
	}
	return billing.FeeRate{Meter: meter, Unit: low}, true
}

func modeOf(m map[string]any) string {
	mode, _ := m["mode"].(string)
	return mode
}

func liteLLMService(suffix string) string {
	switch suffix {
	case "":
		return billing.TierStandard
	case "batches":
		return billing.TierBatch
	}
	return suffix
}
