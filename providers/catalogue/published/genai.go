package published

import (
	"encoding/json"
	"regexp"
	"strings"

	"tallyroute/billing"
)

// genaiKinds maps the members of prices that are in dollars per million tokens.
var genaiKinds = map[string]string{
	"input_mtok": "prompt", "output_mtok": "completion", "cache_read_mtok": "cache_read", "cache_write_mtok": "cache_write",
	"cache_write_1h_mtok": "cache_write_1h", "input_audio_mtok": "audio_prompt", "output_audio_mtok": "audio_completion",
	"output_reasoning_mtok": "reasoning",
}

// genai reads a list of providers, each with models whose names are given as patterns.
func genai(providers []any) (*List, error) {
	l := &List{Format: formatGenAI}
	for _, v := range providers {
		p, _ := v.(map[string]any)
		id, _ := p["id"].(string)
		models, _ := p["models"].([]any)
		for _, v := range models {
			m, _ := v.(map[string]any)
			name, _ := m["id"].(string)
			match, ok := readMatcher(m["match"], 0)
			if id == "" || name == "" || !ok {
				continue
			}
			e := Entry{Name: name}
			r := newRates()
			genaiPrices(r, latest(m["prices"]))
			e.Prices, e.Left = r.prices()
			l.rules = append(l.rules, rule{provider: id, match: match, entry: e})
		}
	}
	if len(l.rules) == 0 {
		return nil, errFormat
	}
	return l, nil
}

// latest returns the current prices of a model: the only ones, or the most recent in a
// history. Prices for certain hours of the day are skipped, because the ledger prices by the
// day.
func latest(v any) map[string]any {
	if prices, ok := v.(map[string]any); ok {
		return prices
	}
	history, _ := v.([]any)
	var best map[string]any
	since := ""
	for _, v := range history {
		h, _ := v.(map[string]any)
		c, bound := h["constraint"].(map[string]any)
		start, dated := c["start_date"].(string)
		prices, _ := h["prices"].(map[string]any)
		if bound && !dated || best != nil && start < since {
			continue
		}
		best, since = prices, start
	}
	return best
}

func genaiPrices(r *rates, prices map[string]any) {
	standard := tier{service: billing.TierStandard}
	for member, v := range prices {
		kind, known := genaiKinds[member]
		switch {
		case member == "requests_kcount":
			r.fee, _ = amount(v, perThousand)
		case !known:
			r.leave(member)
		default:
			base, steps := v, []any(nil)
			if tiered, ok := v.(map[string]any); ok {
				base = tiered["base"]
				steps, _ = tiered["tiers"].([]any)
			}
			if n, ok := amount(base, perMillion); ok {
				r.set(standard, kind, n)
			}
			genaiSteps(r, kind, steps)
		}
	}
	// A kind without a step of its own costs the same at every length.
	for t, kinds := range r.tiers {
		if t == standard {
			continue
		}
		for kind, n := range r.tiers[standard] {
			if _, ok := kinds[kind]; !ok && (kind == "prompt" || kind == "completion") {
				kinds[kind] = n
			}
		}
	}
}

func genaiSteps(r *rates, kind string, steps []any) {
	for _, v := range steps {
		step, _ := v.(map[string]any)
		start, ok := step["start"].(json.Number)
		if !ok {
			continue
		}
		over, err := start.Int64()
		n, ok := amount(step["price"], perMillion)
		if err == nil && over > 0 && ok {
			r.set(tier{billing.TierStandard, over}, kind, n)
		}
	}
}

// matcher is a pattern for names.
type matcher struct {
	kind string // "equals", "starts_with", "ends_with", "contains", "regex", "or" or "and"
	text string
	re   *regexp.Regexp
	of   []matcher
}

const maxMatchers = 8 // nested within each other

func readMatcher(v any, depth int) (matcher, bool) {
	m, _ := v.(map[string]any)
	for kind, v := range m {
		out := matcher{kind: kind}
		switch kind {
		case "or", "and":
			list, _ := v.([]any)
			for _, v := range list {
				inner, ok := readMatcher(v, depth+1)
				if !ok {
					return matcher{}, false
				}
				out.of = append(out.of, inner)
			}
			return out, len(out.of) > 0 && depth < maxMatchers
		case "regex":
			text, _ := v.(string)
			re, err := regexp.Compile(text)
			out.re = re
			return out, err == nil && text != ""
		case "equals", "starts_with", "ends_with", "contains":
			text, _ := v.(string)
			out.text = strings.ToLower(text)
			return out, text != ""
		}
	}
	return matcher{}, false
}

// fits reports whether a lower-case name matches.
func (m matcher) fits(name string) bool {
	switch m.kind {
	case "equals":
		return name == m.text
	case "starts_with":
		return strings.HasPrefix(name, m.text)
	case "ends_with":
		return strings.HasSuffix(name, m.text)
	case "contains":
		return strings.Contains(name, m.text)
	case "regex":
		return m.re.MatchString(name)
	}
	for _, inner := range m.of {
		if inner.fits(name) == (m.kind == "or") {
			return m.kind == "or"
		}
	}
	return m.kind == "and"
}
