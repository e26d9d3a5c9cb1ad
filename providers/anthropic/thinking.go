package anthropic

import (
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Thinking is how a request for reasoning is expressed in the format.
type Thinking struct {
	On     bool   // the model is to think, which rules out sampling settings
	Raw    []byte // the member "thinking"; nil means none
	Effort string // for output_config; "" leaves it unset
}

// Thinking budgets for models that take one, in tokens. The format allows nothing below
// leastBudget.
const (
	leastBudget  = 1024
	lowBudget    = 2048
	mediumBudget = 8192
	highBudget   = 16384
	mostBudget   = 32768
)

// Room describes the rest of a request, as far as it decides whether the model may think.
type Room struct {
	Bound      int64 // on the output, in tokens
	Forced     bool  // a tool must be called
	Unfinished bool  // a pending call was made without thinking
}

// Plan decides how a model is asked to think: newer models by effort, older ones by a
// budget. Thinking is dropped if the format forbids it (because a tool call is forced,
// the limit on the output leaves no room, or a pending call was made without thinking) or if
// the model is too old. Settings in the format's own terms are adapted to what the model
// accepts. In both cases r reports the change.
func Plan(r *translate.Request, room Room) Thinking {
	e, model := r.Effort(), r.Model()
	native := known(r, r.Object("thinking"))
	adaptive := adapts(model)
	if native != nil { // overrides the other settings
		e = translate.ReadThinking(native)
	}
	switch {
	case !e.Asked:
		return Thinking{}
	case e.Level == "none":
		return Thinking{Raw: []byte(`{"type":"disabled"}`)}
	case room.Forced || !thinks(model) || !adaptive && (room.Bound <= leastBudget || room.Unfinished):
		r.DropEffort()
		return Thinking{}
	case native != nil:
		return ours(r, native, e, room)
	case adaptive:
		asked := effort(e)
		level := Level(model, asked)
		if level != asked && asked == e.Level {
			r.DropEffort()
		}
		return Thinking{On: true, Raw: []byte(`{"type":"adaptive","display":"summarized"}`), Effort: level}
	}
	var o jsonraw.Object
	o.Text("type", "enabled")
	o.Int("budget_tokens", budget(e, room.Bound))
	return Thinking{On: true, Raw: o.Bytes()}
}

// known returns the member "thinking" without the members that Anthropic does not know: other
// providers use the same name with members of their own.
func known(r *translate.Request, thinking []byte) []byte {
	var others []string
	for name := range jsonraw.Each(thinking) {
		if n := string(name); n != "type" && n != "budget_tokens" && n != "display" {
			others = append(others, n)
			r.Lose("thinking." + n)
		}
	}
	if thinking != nil && jsonraw.Text(jsonraw.Lookup(thinking, "type")) == "" {
		return nil
	}
	if len(others) == 0 {
		return thinking
	}
	return jsonraw.Edit(thinking, nil, others...)
}

// ours returns the client's own "thinking" member, adapted to what the model accepts.
func ours(r *translate.Request, native []byte, e translate.Effort, room Room) Thinking {
	kind := jsonraw.Text(jsonraw.Lookup(native, "type"))
	v := versionOf(r.Model())
	switch {
	case kind == "adaptive" && v != 0 && !adapts(r.Model()):
		r.Drop("thinking")
		return Thinking{On: true, Raw: set(native, "enabled", budget(e, room.Bound))}
	case kind == "enabled" && v >= 407: // which do not take a budget
		r.Drop("thinking")
		return Thinking{On: true, Raw: set(native, "adaptive", 0), Effort: effort(e)}
	case kind == "enabled" && (e.Budget < leastBudget || e.Budget >= room.Bound):
		r.Drop("thinking")
		return Thinking{On: true, Raw: set(native, kind, max(leastBudget, min(e.Budget, room.Bound/4*3)))}
	}
	return Thinking{On: true, Raw: native}
}

// set returns native with another type and budget; a budget of 0 means none.
func set(native []byte, kind string, budget int64) []byte {
	members := []jsonraw.Member{{Name: "type", Value: jsonraw.Quote(kind)}}
	if budget == 0 {
		return jsonraw.Edit(native, members, "budget_tokens")
	}
	return jsonraw.Edit(native, append(members, jsonraw.Member{Name: "budget_tokens", Value: strconv.AppendInt(nil, budget, 10)}))
}

// Level returns the effort that a model supports in place of one that it may not support;
// "" if it supports none.
func Level(model, asked string) string {
	switch v := versionOf(model); {
	case v == 0 || v >= 407:
		return asked
	case v == 406 && asked == "xhigh", v == 405 && (asked == "xhigh" || asked == "max"):
		asked = "high"
	case v < 405:
		return ""
	}
	if versionOf(model) == 405 && !strings.Contains(model, "opus") {
		return ""
	}
	return asked
}

// Sample removes the sampling settings that the model refuses from s, and r reports them:
// all of them with reasoning and since version 4.7, top_p next to a temperature since 4.1. A
// temperature or top_p of 1 is the default anyway, so its removal is not reported.
func Sample(r *translate.Request, t Thinking, s *translate.Settings) {
	switch v := versionOf(r.Model()); {
	case t.On || v >= 407:
		r.DropSampling(map[string][]byte{"temperature": s.Temperature, "top_p": s.TopP, "top_k": s.TopK})
		s.Temperature, s.TopP, s.TopK = nil, nil, nil
	case s.Temperature == nil:
	case v >= 401 || translate.Is(s.TopP, 1):
		r.DropSampling(map[string][]byte{"top_p": s.TopP})
		s.TopP = nil
	}
}

// Continues reports whether a model can continue an answer that ends the conversation.
// Later models need a user's turn.
func Continues(model string) bool { return versionOf(model) < 406 }

// effort returns an effort that the format supports; "" if nobody says how much.
func effort(e translate.Effort) string {
	switch e.Level {
	case "minimal":
		return "low"
	case "low", "medium", "high", "xhigh", "max":
		return e.Level
	}
	switch {
	case e.Budget == 0:
		return ""
	case e.Budget <= lowBudget:
		return "low"
	case e.Budget <= mediumBudget:
		return "medium"
	}
	return "high"
}

// budget returns the client's budget or that of its effort, with room left for the answer.
func budget(e translate.Effort, bound int64) int64 {
	want := e.Budget
	if want == 0 {
		switch e.Level {
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
	return max(leastBudget, min(want, bound/4*3))
}

// adapts reports whether a model decides by itself how long to think, as models from
// version 4.6 on do.
func adapts(model string) bool { return versionOf(model) >= 406 }

// thinks reports whether a model can be asked to think: models from version 3.7 on, and
// those whose version is unknown.
func thinks(model string) bool {
	v := versionOf(model)
	return v == 0 || v >= 307
}

// versionOf returns a model's version, such as 406 for 4.6, or 0 if its name has none. Names
// are claude-sonnet-4-6, claude-3-7-sonnet-20250219 and the like, with whatever hosts add
// around them.
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

// number parses a number of at most two digits; longer ones are dates.
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
