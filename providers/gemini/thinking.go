package gemini

import (
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// thinker describes how a model can be told how much to think: by a level since the third
// generation, by a budget of tokens before, and not at all if both are empty.
type thinker struct {
	levels      []string // in ascending order
	least, most int64    // limits of the budget, in tokens
	stops       bool     // a budget of 0 turns thinking off
}

// thinkerOf goes by the model's name. An unknown model is treated as the newest, all of
// which support the three levels. Source: the tables at
// https://ai.google.dev/gemini-api/docs/thinking, and what Google's models refuse.
func thinkerOf(model string) thinker {
	v := versionOf(model)
	flash := strings.Contains(model, "flash")
	switch {
	case strings.Contains(model, "gemma-3") || strings.Contains(model, "tts"):
		return thinker{}
	case strings.Contains(model, "robotics-er"):
		return thinker{least: 0, most: 24576, stops: true}
	case v < 205:
		return thinker{}
	case v < 300 && strings.Contains(model, "image"):
		return thinker{}
	case v < 300 && strings.Contains(model, "flash-lite"):
		return thinker{least: 512, most: 24576, stops: true}
	case v < 300 && flash:
		return thinker{most: 24576, stops: true}
	case v < 300:
		return thinker{least: 128, most: 32768}
	case v == 300 && strings.Contains(model, "pro"):
		return thinker{levels: []string{"LOW", "HIGH"}}
	case flash && v < 307:
		return thinker{levels: []string{"MINIMAL", "LOW", "MEDIUM", "HIGH"}}
	}
	return thinker{levels: []string{"LOW", "MEDIUM", "HIGH"}}
}

// newest is the version of models whose name has none, such as those called latest.
const newest = 399

// versionOf returns a model's version, such as 205 for 2.5.
func versionOf(model string) int {
	_, rest, ok := strings.Cut(model, "gemini-")
	if !ok || rest == "" || rest[0] < '0' || rest[0] > '9' {
		return newest
	}
	v := 100 * int(rest[0]-'0')
	if len(rest) > 2 && rest[1] == '.' && '0' <= rest[2] && rest[2] <= '9' {
		v += int(rest[2] - '0')
	}
	return v
}

// third reports whether a model refuses function calls without a signature.
func third(model string) bool { return strings.Contains(model, "gemini") && versionOf(model) >= 300 }

// How Google's own OpenAI endpoint maps reasoning_effort.
var (
	budgets = map[string]int64{"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
	levels  = map[string]string{
		"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH",
	}
	ranks = map[string]int{"MINIMAL": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3}
)

// thinking writes how much the model is to think, in the model's own terms. A setting
// that can't be honoured exactly is reported as lost.
func (e *encoder) thinking() error {
	own := e.ownThinking()
	effort := e.Effort()
	if !effort.Asked && own == nil {
		return nil
	}
	t := thinkerOf(e.Model())
	if len(t.levels) == 0 && t.most == 0 {
		if effort.Level != "none" {
			e.DropEffort()
		}
		if own != nil {
			e.Lose("thinking_config")
		}
		return nil
	}
	w := wish{budget: effort.Budget, level: levels[effort.Level], show: effort.Level != "none" && !effort.Hidden}
	switch budget, known := budgets[effort.Level]; {
	case own != nil:
		w = *own
	case effort.Budget > 0 || effort.Level == "":
	case !known:
		return &chat.FieldError{
			Code: "unsupported_parameter", Param: "reasoning_effort",
			Message: "is not an effort that this model accepts",
		}
	case len(t.levels) == 0:
		w.budget, w.bounded = budget, true
	}
	w.bounded = w.bounded || w.budget > 0
	exact := t.write(&e.config, w)
	if own == nil && len(t.levels) > 0 && (effort.Level == "xhigh" || effort.Level == "max") {
		exact = false // no level is above high
	}
	if !exact {
		if own != nil {
			e.Lose("thinking_config")
		} else {
			e.DropEffort()
		}
	}
	return nil
}

// wish is how much thinking a client asks for.
type wish struct {
	budget  int64 // in tokens, if bounded; -1 leaves it to the model
	bounded bool
	level   string
	show    bool // the answer should include the thoughts
}

// write writes the wish. It returns false if what it writes is not quite what was asked for.
func (t thinker) write(config *jsonraw.Object, w wish) (exact bool) {
	exact = true
	var o jsonraw.Object
	switch {
	case len(t.levels) == 0 && (w.bounded || w.level != ""):
		asked := w.budget
		if !w.bounded {
			asked = budgets[strings.ToLower(w.level)]
		}
		budget := t.budget(asked)
		o.Int("thinkingBudget", budget)
		exact = budget == asked
	case w.level != "" && (!w.bounded || len(t.levels) > 0):
		level := t.level(w.level)
		o.Text("thinkingLevel", level)
		exact = level == w.level
	case w.bounded:
		o.Int("thinkingBudget", w.budget) // still accepted in place of a level
	}
	if w.show {
		o.Word("includeThoughts", "true")
	}
	config.Object("thinkingConfig", o)
	return exact
}

// budget returns the nearest budget that the model accepts.
func (t thinker) budget(asked int64) int64 {
	if asked < 0 || asked == 0 && t.stops {
		return asked
	}
	return min(max(asked, t.least), t.most)
}

// level returns the model's nearest level, preferring a higher one.
func (t thinker) level(asked string) string {
	for _, l := range t.levels {
		if ranks[l] >= ranks[asked] {
			return l
		}
	}
	return t.levels[len(t.levels)-1]
}

// ownThinking returns the settings in Google's own terms, or nil if the client gave none.
func (e *encoder) ownThinking() *wish {
	if e.thought == nil {
		return nil
	}
	var w wish
	for name, v := range jsonraw.Each(e.thought) {
		switch string(name) {
		case "include_thoughts", "includeThoughts":
			w.show = string(v) == "true"
		case "thinking_budget", "thinkingBudget":
			if string(v) == "-1" {
				w.budget, w.bounded = -1, true
				break
			}
			var c translate.Counter
			w.budget = c.Take(v)
			w.bounded = c.Found && !c.Invalid
		case "thinking_level", "thinkingLevel":
			if w.level = strings.ToUpper(jsonraw.Text(v)); ranks[w.level] == 0 && w.level != "MINIMAL" {
				w.level = ""
			}
		}
	}
	return &w
}
