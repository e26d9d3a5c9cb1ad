package anthropic

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// version is the only version of the format.
const version = "2023-06-01"

// Names of betas that certain content in a request needs.
const betaFiles = "files-api-2025-04-14"

// passed lists the members that clients may set by Anthropic's own names.
var passed = []string{"container", "inference_geo", "cache_control", "context_management", "mcp_servers", "speed"}

// Encode writes a request as a call to the Messages API.
func (a Completions) Encode(x providers.Exchange) (providers.Call, error) {
	if x.Native != nil {
		return a.native(x)
	}
	e := encoder{host: a.host}
	format := translate.Format{Path: a.path(x), Tools: true, Effort: true, Cache: true, Native: true, Reasoning: true, Failures: true}
	call, err := translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e.Request = r
		err := e.write()
		return e.o.Bytes(), err
	})
	if err == nil && a.host.Version == "" {
		call.Header = http.Header{"Anthropic-Version": {version}}
		if len(e.betas) > 0 {
			call.Header["Anthropic-Beta"] = []string{strings.Join(e.betas, ",")}
		}
	}
	return call, err
}

// encoder holds one request while it is being encoded.
type encoder struct {
	*translate.Request

	host   Host
	system []translate.Part
	sides  []translate.Side
	tools  []translate.Tool
	choice translate.ToolChoice
	set    translate.Settings
	bound  int64 // on the output, in tokens
	think  Thinking
	betas  []string
	o      jsonraw.Object
}

func (e *encoder) write() error {
	if err := e.read(); err != nil {
		return err
	}
	e.plan()
	o := &e.o
	if e.host.Version == "" {
		o.Text("model", e.Model())
	} else {
		o.Text("anthropic_version", e.host.Version)
	}
	o.Int("max_tokens", e.bound)
	if err := e.messages(); err != nil {
		return err
	}
	e.writeTools()
	e.settings()
	if e.Stream() && !e.host.NoStream {
		o.Word("stream", "true")
	}
	if e.host.Version != "" && len(e.betas) > 0 {
		o.Key("anthropic_beta")
		o.Open('[')
		for _, b := range e.betas {
			o.Value(jsonraw.Quote(b))
		}
		o.Close(']')
	}
	return nil
}

func (e *encoder) read() (err error) {
	if e.system, e.sides, err = e.Sides(claudes); err != nil {
		return err
	}
	if e.choice, err = e.Choice(); err != nil {
		return err
	}
	if e.tools, err = e.Tools(); err != nil {
		return err
	}
	if e.choice.One() == "" && len(e.choice.Names) > 0 {
		e.tools = slices.DeleteFunc(e.tools, func(t translate.Tool) bool { return !e.choice.Allows(t) })
	}
	if slices.ContainsFunc(e.tools, func(t translate.Tool) bool { return t.Type == "custom" && t.Function != nil }) {
		return translate.RefuseCustom()
	}
	if err := e.readBetas(); err != nil {
		return err
	}
	for i := range e.tools {
		if err := e.hosted(&e.tools[i]); err != nil {
			return err
		}
	}
	e.bound = cmp.Or(e.Bound(), e.Target.MaxOutput, translate.FallbackOutput)
	return e.Options(e.options())
}

// Limits on the betas that a request asks for, which become a header.
const (
	mostBetas   = 32
	longestBeta = 128
)

// readBetas reads the names of betas, given as a list or as one comma-separated string.
func (e *encoder) readBetas() error {
	member := e.Member("anthropic_beta")
	var names []string
	for raw := range jsonraw.Elements(member) {
		names = append(names, jsonraw.Text(raw))
	}
	if jsonraw.Text(member) != "" {
		names = strings.Split(jsonraw.Text(member), ",")
	}
	for _, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if len(name) > longestBeta || len(e.betas) == mostBetas || strings.ContainsFunc(name, notInBeta) {
			return &chat.FieldError{
				Code: "invalid_value", Param: "anthropic_beta",
				Message: fmt.Sprintf("want at most %d names of betas, in letters, digits, '.', '_' and '-'", mostBetas),
			}
		}
		e.betas = append(e.betas, name)
	}
	return nil
}

func notInBeta(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
}

// claudes reports whether reasoning is Claude's or of unknown origin.
func claudes(d translate.Detail) bool {
	return d.Format == "" || strings.HasPrefix(d.Format, "anthropic")
}

// options returns the handlers of the top-level members that the format can express.
func (e *encoder) options() map[string]translate.Option {
	options := e.set.Options("1")
	for _, name := range slices.Concat(passed, []string{
		"parallel_tool_calls", "user", "safety_identifier", "metadata", "service_tier", "output_config", "anthropic_beta",
	}) {
		options[name] = translate.Read
	}
	return options
}

// plan makes the decisions that depend on several members.
func (e *encoder) plan() {
	if len(e.tools) == 0 && e.Called() { // calls in the history require declared tools
		e.tools, e.choice = e.CalledTools(), translate.ToolChoice{Mode: "none"}
	}
	if e.Object("thinking") != nil {
		for _, name := range []string{"reasoning_effort", "reasoning"} {
			if e.Member(name) != nil {
				e.Drop(name)
			}
		}
	}
	e.think = Plan(e.Request, Room{Bound: e.bound, Forced: e.choice.Mode == "required", Unfinished: translate.Unfinished(e.sides)})
	Sample(e.Request, e.think, &e.set)
	if !Continues(e.Model()) {
		e.sides = e.AskOn(e.sides)
	}
	if e.set.Answer.JSON && e.set.Answer.Schema == nil {
		e.system = append(e.system, translate.Part{Text: jsonraw.Quote(translate.OnlyJSON)})
	}
}

func (e *encoder) messages() error {
	o := &e.o
	if len(e.system) > 0 {
		o.Key("system")
		o.Open('[')
		if err := e.parts(nil, e.system); err != nil {
			return err
		}
		o.Close(']')
	}
	return translate.WriteSides(o, e.sides, e.blocks)
}

func (e *encoder) writeTools() {
	if len(e.tools) == 0 {
		return
	}
	tools, loosened := Loosen(e.tools, e.set.Answer.Schema)
	if loosened {
		e.Lose("tools.strict")
	}
	o := &e.o
	o.Key("tools")
	o.Open('[')
	for _, t := range tools {
		if t.Function == nil {
			o.Value(t.Raw) // already in Anthropic's format
			continue
		}
		o.Open('{')
		o.Raw("name", t.Name)
		o.Raw("description", t.Description)
		subset := Plain()
		if t.Strict {
			subset = Strict()
		}
		o.Raw("input_schema", e.Schema("tools", subset, t.ObjectSchema()))
		if t.Strict {
			o.Word("strict", "true")
		}
		o.Raw("cache_control", t.Cache)
		o.Close('}')
	}
	o.Close(']')
	e.writeChoice()
}

func (e *encoder) writeChoice() {
	serial := string(e.Member("parallel_tool_calls")) == "false"
	kind := e.choice.Mode
	switch {
	case e.choice.One() != "":
		kind = "tool"
	case kind == "required":
		kind = "any"
	case kind == "" && serial:
		kind = "auto"
	case kind == "":
		return
	}
	o := &e.o
	o.Key("tool_choice")
	o.Open('{')
	o.Text("type", kind)
	o.Some("name", e.choice.One())
	if serial && kind != "none" {
		o.Word("disable_parallel_tool_use", "true")
	}
	o.Close('}')
}

func (e *encoder) settings() {
	o := &e.o
	o.Array("stop_sequences", e.set.Stop)
	o.Raw("temperature", e.set.Temperature)
	o.Raw("top_p", e.set.TopP)
	o.Raw("top_k", e.set.TopK)
	o.Raw("thinking", e.think.Raw)
	e.output()
	e.user()
	switch tier := jsonraw.Text(e.Member("service_tier")); tier {
	case "":
	case "auto":
		o.Text("service_tier", "auto")
	case "default", "standard_only":
		o.Text("service_tier", "standard_only")
	default:
		e.Drop("service_tier")
	}
	for _, name := range passed {
		o.Raw(name, e.Member(name))
	}
}

// output writes output_config: the response schema and the effort, along with whatever else
// the client sets there.
func (e *encoder) output() {
	native := e.Object("output_config")
	if asked := jsonraw.Text(jsonraw.Lookup(native, "effort")); asked != "" {
		if e.think.Effort = Level(e.Model(), asked); e.think.Effort != asked {
			e.Drop("output_config")
		}
	}
	var config jsonraw.Object
	for name, value := range jsonraw.Each(native) {
		n := string(name)
		if n == "format" && e.set.Answer.Schema != nil || n == "effort" {
			continue
		}
		config.Raw(n, value)
	}
	config.Some("effort", e.think.Effort)
	if e.set.Answer.Schema != nil {
		config.Key("format")
		config.Open('{')
		config.Text("type", "json_schema")
		config.Raw("schema", e.Schema("response_format", Strict(), e.set.Answer.Schema))
		config.Close('}')
	}
	e.o.Object("output_config", config)
}

// user writes the end user of the call, which is all that metadata can hold.
func (e *encoder) user() {
	id := e.Exchange.Request.EndUser()
	for name, value := range jsonraw.Each(e.Object("metadata")) {
		if string(name) == "user_id" {
			id = jsonraw.Text(value)
			continue
		}
		e.Drop("metadata")
	}
	if id != "" {
		e.o.Raw("metadata", jsonraw.One("user_id", jsonraw.Quote(id)))
	}
}
