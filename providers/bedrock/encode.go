package bedrock

import (
	"cmp"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// passed lists the members that clients may set by Converse's names.
var passed = []string{"guardrailConfig", "performanceConfig", "requestMetadata", "promptVariables", "additionalModelResponseFieldPaths"}

// Encode writes a request as a Converse or ConverseStream call.
func (a completions) Encode(x providers.Exchange) (providers.Call, error) {
	return encode(x, familyOf(x.Target.Upstream), path(x, "/converse", "/converse-stream"))
}

// encode writes a call for a model of the given family.
func encode(x providers.Exchange, f family, path string) (providers.Call, error) {
	format := translate.Format{Path: path, Tools: true, Effort: true, Cache: true, Reasoning: true, Failures: true}
	call, err := translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e := &encoder{Request: r, family: f, names: make(map[string]bool)}
		err := e.write()
		return e.o.Bytes(), err
	})
	if err == nil {
		call.Header = accept(x)
	}
	return call, err
}

// encoder holds one request while it is being encoded.
type encoder struct {
	*translate.Request

	family family
	system []translate.Part
	sides  []translate.Side
	tools  []translate.Tool
	choice translate.ToolChoice
	set    translate.Settings
	bound  int64 // on the output; 0 means none
	think  anthropic.Thinking
	names  map[string]bool // of documents, which must be unique
	o      jsonraw.Object
}

func (e *encoder) read() (err error) {
	if e.system, e.sides, err = e.Sides(ours); err != nil {
		return err
	}
	if e.choice, err = e.Choice(); err != nil {
		return err
	}
	if e.tools, err = e.Tools(); err != nil {
		return err
	}
	for _, t := range e.tools {
		switch {
		case t.Type == "custom" && t.Function != nil:
			return translate.RefuseCustom()
		case t.Function == nil && jsonraw.Lookup(t.Raw, "systemTool") == nil && jsonraw.Lookup(t.Raw, "toolSpec") == nil:
			return translate.RefuseTool()
		}
	}
	// Amazon's reference says that the model's maximum is the default. In truth Claude is cut off at
	// 4,096 tokens (https://github.com/BerriAI/litellm/issues/41529), so the maximum is sent.
	e.bound = cmp.Or(e.Bound(), e.Target.MaxOutput)
	if e.family == claude { // whose thinking counts against it
		e.bound = cmp.Or(e.bound, translate.FallbackOutput)
	}
	return e.Options(e.options())
}

// options returns the handlers of the top-level members that the format can express.
func (e *encoder) options() map[string]translate.Option {
	options := e.set.Options("1")
	for _, name := range slices.Concat(passed, []string{"service_tier", "additionalModelRequestFields", "anthropic_beta"}) {
		options[name] = translate.Read
	}
	return options
}

// plan makes the decisions that depend on several members.
func (e *encoder) plan() {
	e.planTools()
	if e.family == claude {
		forced := e.choice.Mode == "required"
		e.think = anthropic.Plan(e.Request, anthropic.Room{Bound: e.bound, Forced: forced, Unfinished: translate.Unfinished(e.sides)})
		anthropic.Sample(e.Request, e.think, &e.set)
		if !anthropic.Continues(e.Model()) {
			e.sides = e.AskOn(e.sides)
		}
	}
	if e.set.Answer.JSON && e.set.Answer.Schema == nil {
		e.system = append(e.system, translate.Part{Text: jsonraw.Quote(translate.OnlyJSON)})
	}
}

// planTools adapts the tools to the tool choice. Converse can forbid tools only by leaving
// them out, and they can't be left out when the history contains calls.
func (e *encoder) planTools() {
	if e.choice.One() == "" {
		e.tools = slices.DeleteFunc(e.tools, func(t translate.Tool) bool { return !e.choice.Allows(t) })
	}
	switch {
	case len(e.tools) > 0 && e.choice.Mode == "none" && e.Called():
		e.Drop("tool_choice")
	case e.choice.Mode == "none" && !e.Called():
		e.tools = nil
	case len(e.tools) == 0 && e.Called():
		e.tools = e.CalledTools()
	}
}

func (e *encoder) write() error {
	if err := e.read(); err != nil {
		return err
	}
	e.plan()
	if err := e.messages(); err != nil {
		return err
	}
	e.toolConfig()
	e.inference()
	e.format()
	e.additional()
	switch tier := jsonraw.Text(e.Member("service_tier")); tier {
	case "", "auto":
	case "default", "flex", "priority", "reserved":
		e.o.Raw("serviceTier", jsonraw.One("type", jsonraw.Quote(tier)))
	default:
		e.Drop("service_tier")
	}
	for _, name := range passed {
		e.o.Raw(name, e.Member(name))
	}
	return nil
}

func (e *encoder) messages() error {
	o := &e.o
	if err := translate.WriteSides(o, e.sides, e.blocks); err != nil {
		return err
	}
	if len(e.system) == 0 {
		return nil
	}
	o.Key("system")
	o.Open('[')
	err := e.blocks(&translate.Turn{Parts: e.system})
	o.Close(']')
	return err
}

func (e *encoder) toolConfig() {
	if len(e.tools) == 0 {
		return
	}
	o := &e.o
	o.Key("toolConfig")
	o.Open('{')
	o.Key("tools")
	o.Open('[')
	for _, t := range e.tools {
		e.tool(t)
	}
	o.Close(']')
	switch name := e.choice.One(); {
	case name != "":
		o.Raw("toolChoice", jsonraw.One("tool", jsonraw.One("name", jsonraw.Quote(name))))
	case e.choice.Mode == "required":
		o.Word("toolChoice", `{"any":{}}`)
	case e.choice.Mode == "auto":
		o.Word("toolChoice", `{"auto":{}}`)
	}
	o.Close('}')
}

func (e *encoder) tool(t translate.Tool) {
	if t.Function == nil {
		e.o.Value(t.Raw)
		return
	}
	e.nest("toolSpec", func(o *jsonraw.Object) {
		o.Raw("name", t.Name)
		if len(t.Description) > len(`""`) { // Bedrock refuses an empty one
			o.Raw("description", t.Description)
		}
		o.Raw("inputSchema", jsonraw.One("json", e.Schema("tools", e.subset(t), t.ObjectSchema())))
		if t.Strict {
			o.Word("strict", "true")
		}
	})
	e.cachePoint(t.Cache)
}

// inference writes the settings that all models share.
func (e *encoder) inference() {
	o := &e.o
	o.Key("inferenceConfig")
	o.Open('{')
	if e.bound > 0 {
		o.Int("maxTokens", e.bound)
	}
	o.Raw("temperature", e.set.Temperature)
	o.Raw("topP", e.set.TopP)
	o.Array("stopSequences", e.set.Stop)
	o.Close('}')
}

// format asks for a response that matches a schema, which is sent as text.
func (e *encoder) format() {
	if e.set.Answer.Schema == nil {
		return
	}
	var schema, text jsonraw.Object
	schema.Text("schema", string(e.Schema("response_format", anthropic.Strict(), e.set.Answer.Schema)))
	schema.Some("name", jsonraw.Text(e.set.Answer.Name))
	text.Text("type", "json_schema")
	text.Raw("structure", jsonraw.One("jsonSchema", schema.Bytes()))
	e.o.Raw("outputConfig", jsonraw.One("textFormat", text.Bytes()))
}

// ours reports whether Bedrock can verify a piece of reasoning: its own, Claude's wherever
// it was signed unless it is redacted, and reasoning of unknown origin.
func ours(d translate.Detail) bool {
	return d.Format == "" || d.Format == own || d.Format == anthropic.Format && d.Data == ""
}
