package published

import (
	"encoding/json"
	"strings"

	"tallyroute/billing"
)

// modelsDevKinds maps the members of a cost that are in dollars per million tokens.
var modelsDevKinds = map[string]string{
	"input": "prompt", "output": "completion", "cache_read": "cache_read", "cache_write": "cache_write",
	"reasoning": "reasoning", "input_audio": "audio_prompt", "output_audio": "audio_completion",
}

// looksLikeModelsDev reports whether a document maps providers to groups that have models.
func looksLikeModelsDev(doc map[string]any) bool {
	for _, v := range doc {
		p, ok := v.(map[string]any)
		if !ok {
			continue
		}
		if models, ok := p["models"].(map[string]any); ok && len(models) > 0 {
			return true
		}
	}
	return false
}

func modelsDev(providers map[string]any) (*List, error) {
	l := &List{Format: formatModelsDev, exact: make(map[string]Entry)}
	for provider, v := range providers {
		p, _ := v.(map[string]any)
		models, _ := p["models"].(map[string]any)
		for id, v := range models {
			m, ok := v.(map[string]any)
			if !ok {
				continue
			}
			cost, _ := m["cost"].(map[string]any)
			l.exact[key(provider, id)] = modelsDevEntry(id, cost)
		}
	}
	if len(l.exact) == 0 {
		return nil, errFormat
	}
	return l, nil
}

func modelsDevEntry(id string, cost map[string]any) Entry {
	r := newRates()
	modelsDevCost(r, tier{service: billing.TierStandard}, cost)
	tiers, _ := cost["tiers"].([]any)
	for _, v := range tiers {
		step, _ := v.(map[string]any)
		if over, ok := modelsDevStep(step); ok {
			modelsDevCost(r, tier{service: billing.TierStandard, over: over}, step)
		} else {
			r.leave("a tier that is not of the length of the prompt")
		}
	}
	if long, ok := cost["context_over_200k"].(map[string]any); ok && len(tiers) == 0 {
		modelsDevCost(r, tier{service: billing.TierStandard, over: 200_000}, long)
	}
	e := Entry{Name: id}
	e.Prices, e.Left = r.prices()
	return e
}

// modelsDevStep returns the prompt length above which a step applies.
func modelsDevStep(step map[string]any) (over int64, ok bool) {
	t, _ := step["tier"].(map[string]any)
	if kind, named := t["type"].(string); named && kind != "context" {
		return 0, false
	}
	size, ok := t["size"].(json.Number)
	if !ok {
		return 0, false
	}
	over, err := size.Int64()
	return over, err == nil && over > 0
}

func modelsDevCost(r *rates, t tier, cost map[string]any) {
	for member, v := range cost {
		n, ok := amount(v, perMillion)
		if !ok {
			continue
		}
		if kind, known := modelsDevKinds[member]; known {
			r.set(t, kind, n)
		} else if n > 0 && !strings.HasPrefix(member, "cach") {
			r.leave(member)
		}
	}
}
