package anthropic

import (
	"strings"

	"tallyroute/providers/blocks"
)

// Thinking is what a request's wish for reasoning becomes.
type Thinking struct {
	On     bool   // the model is to think, so that sampling cannot be changed
	Raw    []byte // of the member "thinking"; nil for none
	Effort string // of output_config; "" is not said
}

// Budgets of models that are given one, in tokens. The format allows none below
// the least.
const (
	leastBudget  = 1024
	lowBudget    = 2048
	mediumBudget = 8192
	highBudget   = 16384
	mostBudget   = 32768
)

// Plan decides how a model is asked to think: newer ones by effort, older ones by
// a budget. Where the format forbids to think, because a tool is forced, because
// the bound of the answer leaves no room, or because a call under way was made
// without thinking, and where the model is too old to, the wish is dropped, and s
// says so.
func Plan(model string, s *blocks.Settings, c *blocks.Conversation, choice blocks.Choice) Thinking {
	if s.Effort == "" && s.Budget == 0 {
		return Thinking{}
	}
	if s.Effort == "none" {
		return Thinking{Raw: []byte(`{"type":"disabled"}`)}
	}
	adaptive := adapts(model)
	forced := choice.Mode == "required" || choice.Mode == "named"
	if forced || !thinks(model) || !adaptive && (s.MaxTokens <= leastBudget || c.Unfinished()) {
		if s.Effort != "" {
			s.Drop("reasoning_effort")
		} else {
			s.Drop("reasoning")
		}
		return Thinking{}
	}
	if adaptive {
		return Thinking{On: true, Raw: []byte(`{"type":"adaptive","display":"summarized"}`), Effort: effort(s)}
	}
	var w blocks.Writer
	w.Open('{')
	w.TextMember("type", "enabled")
	w.IntMember("budget_tokens", budget(s))
	w.Close('}')
	return Thinking{On: true, Raw: w.Bytes()}
}

// effort is one that the format knows.
func effort(s *blocks.Settings) string {
	switch s.Effort {
	case "minimal":
		return "low"
	case "low", "medium", "high", "xhigh", "max":
		return s.Effort
	}
	switch {
	case s.Budget == 0:
		return ""
	case s.Budget <= lowBudget:
		return "low"
	case s.Budget <= mediumBudget:
		return "medium"
	}
	return "high"
}

// budget is the client's or that of its effort, with room left for the answer.
func budget(s *blocks.Settings) int64 {
	want := s.Budget
	if want == 0 {
		switch s.Effort {
		case "minimal":
			want = leastBudget
		case "low":
			want = lowBudget
		case "high":
			want = highBudget
		case "xhigh", "max":
			want = mostBudget
		default:
			want = mediumBudget
		}
	}
	return max(leastBudget, min(want, s.MaxTokens/4*3))
}

// adapts reports a model that decides by itself how long it thinks: from version
// 4.6 on.
func adapts(model string) bool { return versionOf(model) >= 406 }

// thinks reports a model that can be asked to: from version 3.7 on, and those of
// which no version is known.
func thinks(model string) bool {
	v := versionOf(model)
	return v == 0 || v >= 307
}

// versionOf is a model's version, 406 for 4.6, and 0 where its name tells none.
// Names are claude-sonnet-4-6, claude-3-7-sonnet-20250219 and the like, with what
// hosts put around them.
func versionOf(model string) int {
	_, rest, ok := strings.Cut(model, "claude")
	if !ok {
		return 0
	}
	version, found := 0, false
	for word := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune("-@.:_/", r) }) {
		n, ok := number(word)
		switch {
		case ok && found:
			return version + n
		case ok:
			version, found = 100*n, true
		case found:
			return version
		}
	}
	return version
}

// number is one of at most two digits: longer ones are dates.
func number(word string) (int, bool) {
	if word == "" || len(word) > 2 || strings.Trim(word, "0123456789") != "" {
		return 0, false
	}
	n := 0
	for _, c := range word {
		n = n*10 + int(c-'0')
	}
	return n, true
}
