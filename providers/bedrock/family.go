package bedrock

import (
	"slices"
	"strings"

	"tallyroute/providers/anthropic"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/schema"
	"tallyroute/providers/translate"
)

// family is the family that a model belongs to, which decides which extra fields it takes.
type family string

const (
	claude family = "claude"
	nova   family = "nova"
	nova2  family = "nova-2" // the models that reason
	gptOSS family = "gpt-oss"
	gpt    family = "openai.gpt-"
	qwen   family = "qwen"
	others family = ""
)

// familyOf finds the family by the ID of a model or of its inference profile.
func familyOf(model string) family {
	for _, f := range []family{claude, nova2, nova, gptOSS, gpt, qwen} {
		if strings.Contains(model, string(f)) {
			return f
		}
	}
	return others
}

// extra collects the model's own fields. The first value set for a field wins.
type extra struct {
	jsonraw.Object

	names []string
}

func (x *extra) set(name string, value []byte) {
	if value == nil || slices.Contains(x.names, name) {
		return
	}
	x.names = append(x.names, name)
	x.Raw(name, value)
}

// additional writes the fields that only models of one family take. What the client sets
// there itself takes precedence.
func (e *encoder) additional() {
	var x extra
	for name, value := range jsonraw.Each(e.Object("additionalModelRequestFields")) {
		x.set(string(name), value)
	}
	e.reasoning(&x)
	e.takeTopK(&x)
	if beta := e.Member("anthropic_beta"); jsonraw.IsArray(beta) && e.family == claude {
		x.set("anthropic_beta", beta)
	}
	e.o.Object("additionalModelRequestFields", x.Object)
}

func (e *encoder) reasoning(x *extra) {
	if native := e.Object("thinking"); native != nil && e.family != claude {
		x.set("thinking", native)
		return
	}
	effort := e.Effort()
	if !effort.Asked {
		return
	}
	switch e.family {
	case claude:
		x.set("thinking", e.think.Raw)
		if e.think.Effort != "" {
			x.set("output_config", jsonraw.One("effort", jsonraw.Quote(e.think.Effort)))
		}
	case nova2:
		x.set("reasoningConfig", []byte(novaReasoning(effort.Level)))
	case gptOSS:
		x.set("reasoning_effort", jsonraw.Quote(level(effort.Level)))
	case gpt: // whose levels depend on the model, and were adapted to it earlier
		if effort.Level == "" {
			e.DropEffort()
			return
		}
		x.set("reasoning_effort", jsonraw.Quote(effort.Level))
	case qwen:
		x.set("reasoning_config", jsonraw.Quote(level(effort.Level)))
	case nova, others:
		if effort.Level != "none" {
			e.DropEffort()
		}
	}
}

func novaReasoning(effort string) string {
	if effort == "none" {
		return `{"type":"disabled"}`
	}
	return `{"type":"enabled","maxReasoningEffort":"` + level(effort) + `"}`
}

// level maps an effort to one of the three levels that every model knows.
func level(effort string) string {
	switch effort {
	case "none", "minimal", "low":
		return "low"
	case "high", "xhigh", "max":
		return "high"
	}
	return "medium"
}

func (e *encoder) takeTopK(x *extra) {
	switch k := e.set.TopK; {
	case k == nil:
	case e.family == claude:
		x.set("top_k", k)
	case e.family == nova || e.family == nova2:
		x.set("inferenceConfig", jsonraw.One("topK", k))
	default:
		e.Drop("top_k")
	}
}

// subset returns the JSON Schema subset that a tool's parameters may use. Strict tools of all
// models use Claude's grammar; models other than Claude do not support references.
func (e *encoder) subset(t translate.Tool) *schema.Subset {
	if t.Strict {
		return anthropic.Strict()
	}
	s := anthropic.Plain()
	s.Inline, s.Bare = e.family != claude, true
	return s
}

// own marks reasoning in Bedrock's own form: encrypted, or from models whose reasoning is
// not signed the way Claude's is.
const own = "bedrock-converse-v1"

// format returns the mark for a family's reasoning. Claude's signatures are valid on any host.
func (f family) format() string {
	if f == claude {
		return anthropic.Format
	}
	return own
}
