package bedrock

import (
	"cmp"
	"slices"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/blocks"
	"tallyroute/providers/jsonraw"
)

// passed are members that clients may set by the names of Converse.
var passed = []string{"guardrailConfig", "performanceConfig", "requestMetadata", "promptVariables", "additionalModelResponseFieldPaths"}

// read are further members that are taken by the names of AWS or of the models.
var read = []string{"additionalModelRequestFields", "thinking", "anthropic_beta", "top_k"}

// Encode writes a request as a call of Converse or ConverseStream.
func (a Adapter) Encode(x providers.Exchange) (providers.Call, error) {
	return encode(x, familyOf(x.Target.Upstream), path(x, "/converse", "/converse-stream"))
}

// encode writes the call for a model of a family.
func encode(x providers.Exchange, f family, path string) (providers.Call, error) {
	x, dropped, err := blocks.Quirks(x)
	if err != nil {
		return providers.Call{}, err
	}
	e := &encoder{x: x, family: f, names: make(map[string]bool)}
	if err := e.read(); err != nil {
		return providers.Call{}, err
	}
	e.plan()
	if err := e.write(); err != nil {
		return providers.Call{}, err
	}
	return providers.Call{Path: path, Header: accept(x), Body: e.w.Bytes(), Dropped: slices.Concat(dropped, e.s.Dropped, e.c.Lost)}, nil
}

// encoder is one request under way.
type encoder struct {
	x      providers.Exchange
	family family
	c      *blocks.Conversation
	s      *blocks.Settings
	tools  []blocks.Tool
	choice blocks.Choice
	think  anthropic.Thinking
	names  map[string]bool // of documents, which must differ
	w      blocks.Writer
}

func (e *encoder) read() (err error) {
	if e.c, err = blocks.Read(e.x.Request); err != nil {
		return err
	}
	if e.tools, e.choice, err = blocks.Tools(e.x.Request); err != nil {
		return err
	}
	if e.s, err = blocks.ReadSettings(e.x, slices.Concat(read, passed)...); err != nil {
		return err
	}
	if e.family == claude { // which thinks within it
		e.s.MaxTokens = cmp.Or(e.s.MaxTokens, blocks.FallbackOutput)
	}
	return nil
}

// plan decides what depends on several members.
func (e *encoder) plan() {
	e.planTools()
	if e.family == claude && e.object("thinking") == nil {
		e.think = anthropic.Plan(e.x.Target.Upstream, e.s, e.c, e.choice)
	}
	if e.s.JSON {
		e.c.System = append(e.c.System, blocks.Block{Kind: blocks.Text, Text: jsonraw.Quote(blocks.OnlyJSON)})
	}
	for _, name := range []string{"user", "safety_identifier"} {
		if jsonraw.Text(e.x.Request.Get(name)) != "" {
			e.s.Drop(name)
		}
	}
	if e.choice.Serial && len(e.tools) > 0 {
		e.s.Drop("parallel_tool_calls")
	}
}

// planTools: there is no way to forbid tools but to leave them out, and none to
// leave them out where there were calls before.
func (e *encoder) planTools() {
	switch {
	case len(e.tools) > 0 && e.choice.Mode == "none" && e.c.Calls():
		e.s.Drop("tool_choice")
	case e.choice.Mode == "none" && !e.c.Calls():
		e.tools = nil
	case len(e.tools) == 0 && e.c.Calls():
		for _, name := range e.c.CallNames() {
			e.tools = append(e.tools, blocks.Tool{Name: name, Schema: []byte(blocks.AnyInput)})
		}
	}
}

// object is a member that is an object, nil for anything else.
func (e *encoder) object(name string) []byte {
	if raw := e.x.Request.Get(name); len(raw) > 0 && raw[0] == '{' {
		return raw
	}
	return nil
}

func (e *encoder) write() error {
	w := &e.w
	w.Open('{')
	w.Key("messages")
	w.Open('[')
	for _, t := range e.c.Turns {
		if err := e.turn(t); err != nil {
			return err
		}
	}
	w.Close(']')
	if len(e.c.System) > 0 {
		w.Key("system")
		if err := e.list(e.c.System); err != nil {
			return err
		}
	}
	if err := e.toolConfig(); err != nil {
		return err
	}
	e.inference()
	e.format()
	e.additional()
	switch e.s.Tier {
	case "", "auto":
	case "default", "flex", "priority", "reserved":
		w.Key("serviceTier")
		w.Open('{')
		w.TextMember("type", e.s.Tier)
		w.Close('}')
	default:
		e.s.Drop("service_tier")
	}
	for _, name := range passed {
		if raw := e.x.Request.Get(name); !jsonraw.IsNull(raw) {
			w.Member(name, raw)
		}
	}
	w.Close('}')
	return nil
}

func (e *encoder) turn(t blocks.Turn) error {
	list := taken(t.Blocks)
	if len(list) == 0 {
		return nil
	}
	role := "user"
	if t.Assistant {
		role = "assistant"
	}
	e.w.Open('{')
	e.w.TextMember("role", role)
	e.w.Key("content")
	if err := e.list(list); err != nil {
		return err
	}
	e.w.Close('}')
	return nil
}

func (e *encoder) toolConfig() error {
	if len(e.tools) == 0 {
		return nil
	}
	w := &e.w
	w.Key("toolConfig")
	w.Open('{')
	w.Key("tools")
	w.Open('[')
	for _, t := range e.tools {
		if t.Raw != nil && jsonraw.Lookup(t.Raw, "systemTool") == nil && jsonraw.Lookup(t.Raw, "toolSpec") == nil {
			return blocks.Unsupported("tools", "this provider has no tools of its own by that name")
		}
		e.tool(t)
	}
	w.Close(']')
	switch e.choice.Mode {
	case "auto":
		w.Member("toolChoice", []byte(`{"auto":{}}`))
	case "required":
		w.Member("toolChoice", []byte(`{"any":{}}`))
	case "named":
		w.Key("toolChoice")
		w.Open('{')
		w.Key("tool")
		w.Open('{')
		w.Member("name", e.choice.Name)
		w.Close('}')
		w.Close('}')
	}
	w.Close('}')
	return nil
}

func (e *encoder) tool(t blocks.Tool) {
	w := &e.w
	if t.Raw != nil {
		w.Raw(t.Raw)
		return
	}
	w.Open('{')
	w.Key("toolSpec")
	w.Open('{')
	w.Member("name", t.Name)
	w.Member("description", t.Description)
	w.Key("inputSchema")
	w.Open('{')
	w.Member("json", t.Schema)
	w.Close('}')
	if string(t.Strict) == "true" {
		w.Member("strict", t.Strict)
	}
	w.Close('}')
	w.Close('}')
	e.cachePoint(t.Cache)
}

// inference writes the settings that every model has.
func (e *encoder) inference() {
	w, s := &e.w, e.s
	w.Key("inferenceConfig")
	w.Open('{')
	if s.MaxTokens > 0 {
		w.IntMember("maxTokens", s.MaxTokens)
	}
	if e.think.On {
		if s.Temperature != nil && !isOne(s.Temperature) {
			s.Drop("temperature")
		}
		if s.TopP != nil && !isOne(s.TopP) {
			s.Drop("top_p")
		}
	} else {
		w.Member("temperature", s.Temperature)
		if s.Temperature == nil || e.family != claude || !isOne(s.TopP) {
			w.Member("topP", s.TopP)
		}
	}
	if len(s.Stop) > 0 {
		w.Key("stopSequences")
		w.Open('[')
		for _, word := range s.Stop {
			w.Raw(word)
		}
		w.Close(']')
	}
	w.Close('}')
}

func isOne(raw []byte) bool {
	f, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && f == 1
}

// format asks for an answer by a schema, which goes as text.
func (e *encoder) format() {
	if e.s.Schema == nil {
		return
	}
	w := &e.w
	w.Key("outputConfig")
	w.Open('{')
	w.Key("textFormat")
	w.Open('{')
	w.TextMember("type", "json_schema")
	w.Key("structure")
	w.Open('{')
	w.Key("jsonSchema")
	w.Open('{')
	w.TextMember("schema", string(e.s.Schema))
	if name := jsonraw.Text(e.s.SchemaName); name != "" {
		w.TextMember("name", name)
	}
	for range 4 {
		w.Close('}')
	}
}

// taken leaves out reasoning that is of another provider, which nobody could verify.
func taken(list []blocks.Block) []blocks.Block {
	kept := make([]blocks.Block, 0, len(list))
	for _, b := range list {
		switch {
		case b.Kind == blocks.Thinking && b.Format != "" && b.Format != own && b.Format != anthropic.Format,
			b.Kind == blocks.Redacted && b.Format != "" && b.Format != own:
		default:
			kept = append(kept, b)
		}
	}
	return kept
}
