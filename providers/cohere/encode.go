package cohere

import (
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/schema"
	"tallyroute/providers/translate"
)

// path is the chat endpoint below the base URL https://api.cohere.com.
const path = "/v2/chat"

// Encode writes a chat call.
func (completions) Encode(x providers.Exchange) (providers.Call, error) {
	format := translate.Format{Path: path, Tools: true, Effort: true, Reasoning: true}
	return translate.Encode(x, format, func(r *translate.Request) ([]byte, error) {
		e := encoder{Request: r}
		err := e.write()
		return e.o.Bytes(), err
	})
}

// encoder collects the members of a request.
type encoder struct {
	*translate.Request

	o         jsonraw.Object
	documents [][]byte
}

func (e *encoder) write() error {
	e.o.Text("model", e.Model())
	if err := e.messages(); err != nil {
		return err
	}
	if err := e.Options(e.options()); err != nil {
		return err
	}
	if n := e.Bound(); n > 0 {
		e.o.Int("max_tokens", n)
	}
	if err := e.tools(); err != nil {
		return err
	}
	e.thinking()
	e.o.Array("documents", e.documents)
	e.o.Raw("stream", strconv.AppendBool(nil, e.Stream()))
	return nil
}

func (e *encoder) thinking() {
	effort := e.Effort()
	if !effort.Asked {
		return
	}
	e.o.Key("thinking")
	e.o.Open('{')
	if effort.Level == "none" {
		e.o.Text("type", "disabled")
	} else {
		e.o.Text("type", "enabled")
		if effort.Budget > 0 {
			e.o.Int("token_budget", effort.Budget)
		}
	}
	e.o.Close('}')
}

// options returns the handlers of the top-level members that the format can express.
func (e *encoder) options() map[string]translate.Option {
	as := func(name string) translate.Option {
		return func(value []byte) error { e.o.Raw(name, value); return nil }
	}
	within := func(name, low, high string) translate.Option {
		return func(value []byte) error {
			value, err := translate.Within(value, low, high)
			e.o.Raw(name, value)
			return err
		}
	}
	return map[string]translate.Option{
		"temperature": within("temperature", "", "1"), "top_p": within("p", "0.01", "0.99"), "top_k": as("k"),
		"p": as("p"), "k": as("k"), "seed": as("seed"), "frequency_penalty": as("frequency_penalty"),
		"presence_penalty": as("presence_penalty"),
		"stop":             func(value []byte) error { e.o.Array("stop_sequences", translate.Strings(value)); return nil },
		"safety_mode":      as("safety_mode"), "citation_options": as("citation_options"), "priority": as("priority"),
		"strict_tools": as("strict_tools"),
		"documents": func(value []byte) error {
			e.documents = append(e.documents, translate.Strings(value)...)
			return nil
		},
		"response_format": e.responseFormat,
	}
}

func (e *encoder) responseFormat(value []byte) error {
	f, err := translate.ReadAnswerFormat(value)
	if err != nil || !f.JSON {
		return err
	}
	if f.Schema == nil {
		f.Schema = jsonraw.Present(jsonraw.Lookup(value, "schema")) // where Cohere itself has it
	}
	e.o.Key("response_format")
	e.o.Open('{')
	e.o.Text("type", "json_object")
	if f.Schema != nil {
		f.Schema = e.Schema("response_format", subset(), f.Schema)
	}
	e.o.Raw("json_schema", f.Schema)
	e.o.Close('}')
	return nil
}

// tools writes the functions. Cohere's tool choice covers all functions or none, so a choice
// of some is expressed by declaring only those. Strictness applies to all or none as well.
func (e *encoder) tools() error {
	c, err := e.Choice()
	if err != nil {
		return err
	}
	tools, err := e.Functions(c)
	if err != nil || len(tools) == 0 {
		return err
	}
	if c.Mode == "required" || c.Mode == "none" {
		e.o.Text("tool_choice", strings.ToUpper(c.Mode))
	}
	strict := e.strict(tools)
	e.o.Key("tools")
	e.o.Open('[')
	for _, t := range tools {
		if t.Parameters == nil {
			t.Parameters = []byte(translate.AnyInput)
		}
		if strict {
			t.Parameters = e.Schema("tools", subset(), t.Parameters)
		}
		e.function(t)
	}
	e.o.Close(']')
	if strict && e.Member("strict_tools") == nil {
		e.o.Word("strict_tools", "true")
	}
	return nil
}

// mostFields is how many properties strict tools may have together.
const mostFields = 200

// strict reports whether tools are sent as strict ones, which is all of them or none.
func (e *encoder) strict(tools []translate.Tool) bool {
	if string(e.Member("strict_tools")) == "true" {
		return true
	}
	if !slices.ContainsFunc(tools, func(t translate.Tool) bool { return t.Strict }) {
		return false
	}
	fields := 0
	for _, t := range tools {
		reduced, _ := subset().Reduce(t.ObjectSchema())
		fields += schema.SizeOf(reduced).Properties
	}
	if fields > mostFields || !e.Target.Sends("strict_tools") {
		e.Lose("tools.strict")
		return false
	}
	return true
}

// subset returns the subset of JSON Schema that Cohere accepts. Source: "Unsupported schema
// features" at https://docs.cohere.com/docs/structured-outputs.
func subset() *schema.Subset {
	return &schema.Subset{
		Keywords: []string{
			"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "title", "description", "default",
			"format", "pattern",
		},
		Formats: []string{"date-time", "uuid", "date", "time"}, Inline: true, Anchored: true, Filled: true,
	}
}

func (e *encoder) function(t translate.Tool) {
	e.o.Open('{')
	e.o.Text("type", "function")
	e.o.Key("function")
	e.o.Open('{')
	e.o.Raw("name", t.Name)
	e.o.Raw("description", t.Description)
	e.o.Raw("parameters", t.Parameters)
	e.o.Close('}')
	e.o.Close('}')
}
