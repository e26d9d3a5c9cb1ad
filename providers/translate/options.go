package translate

import (
	"errors"
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// ErrLost is what an option returns that cannot be expressed and may be left out.
var ErrLost = errors.New("translate: the provider has no word for this")

// Option writes one top-level member of a request in the provider's words. Its
// errors are ErrLost, or a reason to refuse the request.
type Option func(value []byte) error

// Options calls, for each top-level member that says something, the option of its
// name, and gives the names of those that were lost: what has no option, and what
// its option calls lost. Members that every adapter reads by itself (the model, the
// messages, the stream and the bound of the output) are passed over.
func Options(x providers.Exchange, options map[string]Option) (lost []string, refused error) {
	for name, value := range x.Request.Members() {
		n := string(name)
		if common(n) || jsonraw.Present(value) == nil || says(n, value) == nil {
			continue
		}
		err := ErrLost
		if option := options[n]; option != nil {
			err = option(value)
		}
		if errors.Is(err, ErrLost) {
			lost, err = append(lost, shown(n)), nil
		}
		if err != nil {
			return nil, under(n, err)
		}
	}
	return lost, nil
}

// Declared is x without the members that the target's quirks drop, and the names of
// those of them that said something.
func Declared(x providers.Exchange) (left providers.Exchange, lost []string) {
	for _, name := range x.Target.Quirks.Drop {
		if jsonraw.Present(x.Request.Get(name)) != nil {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		x.Request = x.Request.Without(lost...)
	}
	return x, lost
}

// under names the member that an error is about.
func under(name string, err error) error {
	if e := (*chat.FieldError)(nil); errors.As(err, &e) && e.Param == "" {
		e.Param = name
	}
	return err
}

func common(name string) bool {
	switch name {
	case "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens":
		return true
	}
	return false
}

// silent are values that ask for what happens anyway.
var silent = map[string][]string{
	"n":                   {"1"},
	"parallel_tool_calls": {"true"},
	"logprobs":            {"false"},
	"top_logprobs":        {"0"},
	"store":               {"false"},
	"frequency_penalty":   {"0", "0.0"},
	"presence_penalty":    {"0", "0.0"},
	"logit_bias":          {"{}"},
	"metadata":            {"{}"},
	"service_tier":        {`"auto"`, `"default"`},
	"tools":               {"[]"},
	"stop":                {"[]"},
	"modalities":          {`["text"]`},
	"verbosity":           {`"medium"`},
}

// says is a value unless it asks for what happens anyway.
func says(name string, value []byte) []byte {
	if slices.Contains(silent[name], string(value)) {
		return nil
	}
	return value
}

// shown is a client's name for a member as a header may repeat it.
func shown(name string) string {
	const most = 64
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == ',' {
			return '?'
		}
		return r
	}, name)
	return name[:min(len(name), most)]
}

// Unsupported refuses a member.
func Unsupported(message string) error {
	return &chat.FieldError{Code: "unsupported_parameter", Message: message}
}

// MaxOutput is the bound of the output to send: the client's own unless ours is
// lower; 0 is none.
func MaxOutput(x providers.Exchange) int64 {
	own, most := x.Request.MaxOutput(), x.MaxOutput
	if most > 0 && (own == 0 || own > most) {
		return most
	}
	return own
}

// Strings is a JSON array of a value that may be one string or several.
func Strings(value []byte) []byte {
	if value[0] == '"' {
		return jsonraw.Array([][]byte{value})
	}
	return value
}

// Tools are the elements of tools.
func Tools(x providers.Exchange) [][]byte {
	return slices.Collect(jsonraw.Elements(x.Request.Tools()))
}

// ToolChoice is what tool_choice asks for.
type ToolChoice struct {
	Mode  string   // "auto", "none" or "required"
	Names []string // the only functions that may be called; none given: any
}

// ReadToolChoice reads tool_choice in any of its forms.
func ReadToolChoice(value []byte) (ToolChoice, error) {
	if value[0] == '"' {
		switch mode := jsonraw.Text(value); mode {
		case "auto", "none", "required":
			return ToolChoice{Mode: mode}, nil
		case "any":
			return ToolChoice{Mode: "required"}, nil
		}
		return ToolChoice{}, Unsupported("is no choice of tools that is known")
	}
	if name := jsonraw.Text(jsonraw.Lookup(value, "function", "name")); name != "" {
		return ToolChoice{Mode: "required", Names: []string{name}}, nil
	}
	if name := jsonraw.Text(jsonraw.Lookup(value, "custom", "name")); name != "" {
		return ToolChoice{Mode: "required", Names: []string{name}}, nil
	}
	if allowed := jsonraw.Lookup(value, "allowed_tools"); allowed != nil {
		c := ToolChoice{Mode: jsonraw.Text(jsonraw.Lookup(allowed, "mode"))}
		for tool := range jsonraw.Elements(jsonraw.Lookup(allowed, "tools")) {
			c.Names = append(c.Names, jsonraw.Text(jsonraw.Lookup(tool, "function", "name")))
		}
		if len(c.Names) > 0 && (c.Mode == "auto" || c.Mode == "required") {
			return c, nil
		}
	}
	return ToolChoice{}, Unsupported("is no choice of tools that is known")
}

// Effort is how much a model is asked to think.
type Effort struct {
	Level  string // none, minimal, low, medium, high, xhigh, or "" where only Budget says
	Budget int64  // tokens; -1 is not said
	Hidden bool   // the thoughts are not wanted in the answer
	Asked  bool   // somebody says anything at all
}

// ReadEffort reads reasoning_effort, and the members reasoning and thinking by
// which other routers and providers say the same.
func ReadEffort(r *chat.Request) Effort {
	e := Effort{Budget: -1}
	if raw := jsonraw.Present(r.Get("thinking")); jsonraw.IsObject(raw) {
		e.Asked = true
		if jsonraw.Text(jsonraw.Lookup(raw, "type")) == "disabled" {
			e.Level = "none"
		}
		e.budget(jsonraw.Lookup(raw, "budget_tokens"))
	}
	if raw := jsonraw.Present(r.Get("reasoning")); jsonraw.IsObject(raw) {
		e.Asked = true
		if level := jsonraw.Text(jsonraw.Lookup(raw, "effort")); level != "" {
			e.Level = level
		}
		if string(jsonraw.Lookup(raw, "enabled")) == "false" {
			e.Level = "none"
		}
		e.Hidden = string(jsonraw.Lookup(raw, "exclude")) == "true"
		e.budget(jsonraw.Lookup(raw, "max_tokens"))
	}
	if level := jsonraw.Text(r.Get("reasoning_effort")); level != "" {
		e.Asked, e.Level = true, level
	}
	return e
}

func (e *Effort) budget(raw []byte) {
	if raw = jsonraw.Present(raw); raw != nil {
		var c Counter
		e.Budget = c.Take(raw)
	}
}
