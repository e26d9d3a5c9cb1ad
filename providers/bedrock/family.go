package bedrock

import (
	"strings"

	"tallyroute/providers/anthropic"
	"tallyroute/providers/jsonraw"
)

// family is whose model it is, which decides what it takes besides what all do.
type family string

const (
	claude family = "claude"
	nova   family = "nova"
	nova2  family = "nova-2" // those that reason
	gptOSS family = "gpt-oss"
	qwen   family = "qwen"
	others family = ""
)

// familyOf goes by the id of a model or of its inference profile.
func familyOf(model string) family {
	for _, f := range []family{claude, nova2, nova, gptOSS, qwen} {
		if strings.Contains(model, string(f)) {
			return f
		}
	}
	return others
}

// extra are fields of the model itself, in order.
type extra struct {
	names  []string
	values map[string][]byte
}

func (x *extra) set(name string, value []byte) {
	if value == nil || x.values[name] != nil {
		return
	}
	if x.values == nil {
		x.values = make(map[string][]byte)
	}
	x.names, x.values[name] = append(x.names, name), value
}

// additional writes what only models of one family take. What the client says
// there itself goes first.
func (e *encoder) additional() {
	var x extra
	for name, value := range jsonraw.Each(e.object("additionalModelRequestFields")) {
		x.set(string(name), value)
	}
	e.reasoning(&x)
	e.topK(&x)
	if beta := e.x.Request.Get("anthropic_beta"); len(beta) > 0 && beta[0] == '[' && e.family == claude {
		x.set("anthropic_beta", beta)
	}
	if len(x.names) == 0 {
		return
	}
	w := &e.w
	w.Key("additionalModelRequestFields")
	w.Open('{')
	for _, name := range x.names {
		w.Raw(append(append(jsonraw.Quote(name), ':'), x.values[name]...))
	}
	w.Close('}')
}

func (e *encoder) reasoning(x *extra) {
	s := e.s
	if native := e.object("thinking"); native != nil {
		x.set("thinking", native)
		return
	}
	if s.Effort == "" && s.Budget == 0 {
		return
	}
	switch e.family {
	case claude:
		x.set("thinking", e.think.Raw)
		if e.think.Effort != "" {
			x.set("output_config", []byte(`{"effort":"`+e.think.Effort+`"}`))
		}
	case nova2:
		x.set("reasoningConfig", []byte(novaReasoning(s.Effort)))
	case gptOSS:
		x.set("reasoning_effort", jsonraw.Quote(level(s.Effort)))
	case qwen:
		x.set("reasoning_config", jsonraw.Quote(level(s.Effort)))
	case nova, others:
		if s.Effort != "none" {
			s.Drop("reasoning_effort")
		}
	}
}

func novaReasoning(effort string) string {
	if effort == "none" {
		return `{"type":"disabled"}`
	}
	return `{"type":"enabled","maxReasoningEffort":"` + level(effort) + `"}`
}

// level is one of the three that all know.
func level(effort string) string {
	switch effort {
	case "none", "minimal", "low":
		return "low"
	case "high", "xhigh", "max":
		return "high"
	}
	return "medium"
}

func (e *encoder) topK(x *extra) {
	switch k := e.s.TopK; {
	case k == nil:
	case e.family == claude && !e.think.On:
		x.set("top_k", k)
	case e.family == nova || e.family == nova2:
		x.set("inferenceConfig", append(append([]byte(`{"topK":`), k...), '}'))
	default:
		e.s.Drop("top_k")
	}
}

// own marks reasoning that Bedrock gave out in its own way, encrypted or of models
// whose reasoning nobody signs as Claude's is.
const own = "bedrock-converse-v1"

// format marks the reasoning of a family. Claude's signatures hold wherever it runs.
func (f family) format() string {
	if f == claude {
		return anthropic.Format
	}
	return own
}
