package anthropic

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/blocks"
	"tallyroute/providers/jsonraw"
)

// version is the only one there is of the format.
const version = "2023-06-01"

// Betas that what a request may hold is a part of.
const betaFiles = "files-api-2025-04-14"

// passed are members that clients may set by Anthropic's own names.
var passed = []string{"top_k", "container", "inference_geo", "cache_control", "context_management", "mcp_servers", "speed"}

// read are further members that are taken by Anthropic's names.
var read = []string{"thinking", "output_config", "metadata", "anthropic_beta"}

// Encode writes a request as a call of the Messages API.
func (a Adapter) Encode(x providers.Exchange) (providers.Call, error) {
	x, dropped, err := blocks.Quirks(x)
	if err != nil {
		return providers.Call{}, err
	}
	e := &encoder{x: x, host: a.host, model: x.Target.Upstream}
	if err := e.read(); err != nil {
		return providers.Call{}, err
	}
	e.plan()
	if err := e.write(); err != nil {
		return providers.Call{}, err
	}
	call := providers.Call{Path: a.path(x), Body: e.w.Bytes(), Dropped: slices.Concat(dropped, e.s.Dropped, e.c.Lost)}
	if a.host.Version == "" {
		call.Header = http.Header{"Anthropic-Version": {version}}
		if len(e.betas) > 0 {
			call.Header["Anthropic-Beta"] = []string{strings.Join(e.betas, ",")}
		}
	}
	return call, nil
}

// encoder is one request under way.
type encoder struct {
	x      providers.Exchange
	host   Host
	model  string
	c      *blocks.Conversation
	s      *blocks.Settings
	tools  []blocks.Tool
	choice blocks.Choice
	think  Thinking
	betas  []string
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
	e.s.MaxTokens = cmp.Or(e.s.MaxTokens, blocks.FallbackOutput)
	return nil
}

// plan decides what depends on several members.
func (e *encoder) plan() {
	raw := e.x.Request.Get("anthropic_beta")
	if beta := jsonraw.Text(raw); beta != "" {
		e.betas = append(e.betas, strings.Split(beta, ",")...)
	}
	for beta := range jsonraw.Elements(raw) {
		e.betas = append(e.betas, jsonraw.Text(beta))
	}
	if len(e.tools) == 0 && e.c.Calls() { // a history with calls must name their tools
		for _, name := range e.c.CallNames() {
			e.tools = append(e.tools, blocks.Tool{Name: name, Schema: []byte(blocks.AnyInput)})
		}
		e.choice = blocks.Choice{Mode: "none"}
	}
	if native := e.object("thinking"); native != nil {
		e.think = Thinking{Raw: native}
		if e.s.Effort != "" {
			e.s.Drop("reasoning_effort")
		}
	} else {
		e.think = Plan(e.model, e.s, e.c, e.choice)
	}
	if e.s.JSON {
		e.c.System = append(e.c.System, blocks.Block{Kind: blocks.Text, Text: jsonraw.Quote(blocks.OnlyJSON)})
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
	if e.host.Version == "" {
		w.TextMember("model", e.model)
	} else {
		w.TextMember("anthropic_version", e.host.Version)
	}
	w.IntMember("max_tokens", e.s.MaxTokens)
	if err := e.system(); err != nil {
		return err
	}
	if err := e.messages(); err != nil {
		return err
	}
	e.writeTools()
	e.settings()
	if e.x.Request.Stream() && !e.host.NoStream {
		w.Member("stream", []byte("true"))
	}
	if e.host.Version != "" && len(e.betas) > 0 {
		w.Key("anthropic_beta")
		w.Open('[')
		for _, b := range e.betas {
			w.Text(b)
		}
		w.Close(']')
	}
	w.Close('}')
	return nil
}

func (e *encoder) system() error {
	if len(e.c.System) == 0 {
		return nil
	}
	e.w.Key("system")
	return e.list(e.c.System)
}

func (e *encoder) messages() error {
	e.w.Key("messages")
	e.w.Open('[')
	for _, t := range e.c.Turns {
		t.Blocks = taken(t.Blocks)
		if len(t.Blocks) == 0 {
			continue
		}
		e.w.Open('{')
		role := "user"
		if t.Assistant {
			role = "assistant"
		}
		e.w.TextMember("role", role)
		e.w.Key("content")
		if err := e.list(t.Blocks); err != nil {
			return err
		}
		e.w.Close('}')
	}
	e.w.Close(']')
	return nil
}

// taken leaves out reasoning that is not Claude's, which nobody could verify.
func taken(list []blocks.Block) []blocks.Block {
	kept := make([]blocks.Block, 0, len(list))
	for _, b := range list {
		thought := b.Kind == blocks.Thinking || b.Kind == blocks.Redacted
		if !thought || b.Format == "" || strings.HasPrefix(b.Format, "anthropic") {
			kept = append(kept, b)
		}
	}
	return kept
}

func (e *encoder) writeTools() {
	if len(e.tools) == 0 {
		return
	}
	w := &e.w
	w.Key("tools")
	w.Open('[')
	for _, t := range e.tools {
		if t.Raw != nil {
			w.Raw(t.Raw)
			continue
		}
		w.Open('{')
		w.Member("name", t.Name)
		w.Member("description", t.Description)
		w.Member("input_schema", t.Schema)
		if string(t.Strict) == "true" {
			w.Member("strict", t.Strict)
		}
		w.Member("cache_control", t.Cache)
		w.Close('}')
	}
	w.Close(']')
	e.writeChoice()
}

func (e *encoder) writeChoice() {
	kind := ""
	switch e.choice.Mode {
	case "required":
		kind = "any"
	case "named":
		kind = "tool"
	case "auto", "none":
		kind = e.choice.Mode
	}
	if kind == "" && e.choice.Serial {
		kind = "auto"
	}
	if kind == "" {
		return
	}
	w := &e.w
	w.Key("tool_choice")
	w.Open('{')
	w.TextMember("type", kind)
	if kind == "tool" {
		w.Member("name", e.choice.Name)
	}
	if e.choice.Serial && kind != "none" {
		w.Member("disable_parallel_tool_use", []byte("true"))
	}
	w.Close('}')
}

func (e *encoder) settings() {
	w := &e.w
	if len(e.s.Stop) > 0 {
		w.Key("stop_sequences")
		w.Open('[')
		for _, s := range e.s.Stop {
			w.Raw(s)
		}
		w.Close(']')
	}
	e.sampling()
	if e.think.Raw != nil {
		w.Member("thinking", e.think.Raw)
	}
	e.output()
	e.user()
	switch e.s.Tier {
	case "":
	case "auto":
		w.TextMember("service_tier", "auto")
	case "default", "standard_only":
		w.TextMember("service_tier", "standard_only")
	default:
		e.s.Drop("service_tier")
	}
	for _, name := range passed {
		if raw := e.x.Request.Get(name); name != "top_k" && !jsonraw.IsNull(raw) {
			w.Member(name, raw)
		}
	}
}

// sampling leaves out what cannot stand beside reasoning, and a top_p that asks
// for nothing, which newer models refuse beside a temperature.
func (e *encoder) sampling() {
	w, s := &e.w, e.s
	if e.think.On {
		if s.Temperature != nil && !is(s.Temperature, 1) {
			s.Drop("temperature")
		}
		if s.TopK != nil {
			s.Drop("top_k")
		}
		if s.TopP != nil && !is(s.TopP, 1) {
			s.Drop("top_p")
		}
		return
	}
	w.Member("temperature", s.Temperature)
	if s.Temperature == nil || !is(s.TopP, 1) {
		w.Member("top_p", s.TopP)
	}
	w.Member("top_k", s.TopK)
}

// is reports whether a number is v.
func is(raw []byte, v float64) bool {
	f, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && f == v
}

// output writes output_config: the schema of the answer and the effort, over what
// the client says there itself.
func (e *encoder) output() {
	native := e.object("output_config")
	if native == nil && e.s.Schema == nil && e.think.Effort == "" {
		return
	}
	w := &e.w
	w.Key("output_config")
	w.Open('{')
	for name, value := range jsonraw.Each(native) {
		n := string(name)
		if n == "format" && e.s.Schema != nil || n == "effort" && e.think.Effort != "" {
			continue
		}
		w.Raw(append(append(jsonraw.Quote(n), ':'), value...))
	}
	if e.think.Effort != "" {
		w.TextMember("effort", e.think.Effort)
	}
	if e.s.Schema != nil {
		w.Key("format")
		w.Open('{')
		w.TextMember("type", "json_schema")
		w.Member("schema", e.s.Schema)
		w.Close('}')
	}
	w.Close('}')
}

// user writes for whom the call is made, which is all that metadata can hold.
func (e *encoder) user() {
	id := e.s.User
	for name, value := range jsonraw.Each(e.object("metadata")) {
		if string(name) == "user_id" {
			id = jsonraw.Text(value)
			continue
		}
		e.s.Drop("metadata")
	}
	if id != "" {
		e.w.Key("metadata")
		e.w.Open('{')
		e.w.TextMember("user_id", id)
		e.w.Close('}')
	}
}
