package translate

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/schema"
)

// ErrLost is returned by an option for a value that cannot be expressed and may be left out.
var ErrLost = errors.New("translate: the provider's format cannot express this")

// Option writes one top-level member of a request in the provider's format. It returns
// ErrLost, or a reason to refuse the request.
type Option func(value []byte) error

// Read is the option for a member that the format reads on its own.
func Read([]byte) error { return nil }

// Options calls the option of each top-level member that says something. A member without an
// option is refused if the response would not be the one asked for without it, and otherwise
// reported as lost. Members that every format reads on its own are skipped: the model, the
// messages, the stream, the output limit and, if the format declares them, tools and
// reasoning effort.
func (r *Request) Options(options map[string]Option) error {
	r.asked = true
	for name, value := range r.Exchange.Request.Members() {
		n := string(name)
		option := options[n]
		if chat.Idle(name, value) || option == nil && r.format.reads(n) {
			continue
		}
		err := needed(n)
		if option != nil {
			err = option(value)
		}
		if errors.Is(err, ErrLost) {
			r.Drop(n)
			continue
		}
		if err != nil {
			return under(n, err)
		}
	}
	return nil
}

// needed returns the error for a member that the format has no option for and that must not
// be left out, or ErrLost if it may be.
func needed(name string) error {
	switch name {
	case "tools":
		return Unsupported("cannot be given to this model")
	case "functions":
		return Unsupported("is the old form of tools, which this model cannot be given; use tools")
	case "n":
		return Unsupported("must be 1: this model gives one choice")
	case "modalities":
		return Unsupported("must be text alone: this model answers with nothing else")
	case "web_search_options":
		return Unsupported("is not known to this model, which searches nothing")
	}
	return ErrLost
}

// under names the member that an error is about.
func under(name string, err error) error {
	if e := (*chat.FieldError)(nil); errors.As(err, &e) && e.Param == "" {
		e.Param = name
	}
	return err
}

// reads reports whether the format reads a member on its own.
func (f Format) reads(name string) bool {
	switch name {
	case "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens":
		return true
	case "tools", "tool_choice":
		return f.Tools
	case "reasoning_effort", "reasoning", "thinking":
		return f.Effort
	}
	return false
}

// Unsupported returns the error that refuses a member.
func Unsupported(message string) error {
	return &chat.FieldError{Code: "unsupported_parameter", Message: message}
}

// Strings returns the elements of a value that may be one string or several.
func Strings(value []byte) [][]byte {
	if jsonraw.IsString(value) {
		return [][]byte{value}
	}
	return slices.Collect(jsonraw.Elements(value))
}

// Within clamps a number between two bounds, of which "" means none. It returns the number,
// or else the bound and ErrLost, so that the member is reported as lost.
func Within(value []byte, low, high string) ([]byte, error) {
	v, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return nil, Unsupported("must be a number")
	}
	if least, err := strconv.ParseFloat(low, 64); err == nil && v < least {
		return []byte(low), ErrLost
	}
	if most, err := strconv.ParseFloat(high, 64); err == nil && v > most {
		return []byte(high), ErrLost
	}
	return value, nil
}

// Is reports whether a value is the number v.
func Is(raw []byte, v float64) bool {
	f, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && f == v
}

// Settings are the members that most formats have under some name. Values are JSON, nil if
// absent.
type Settings struct {
	Temperature, TopP, TopK []byte
	Stop                    [][]byte
	Answer                  AnswerFormat
}

// Options returns the options that read the settings. A temperature above hottest is lowered
// to it, and stop sequences of nothing but white space are left out, because providers refuse
// them. Both are reported as lost.
func (s *Settings) Options(hottest string) map[string]Option {
	as := func(to *[]byte) Option {
		return func(value []byte) error { *to = value; return nil }
	}
	return map[string]Option{
		"temperature": func(value []byte) (err error) {
			s.Temperature, err = Within(value, "", hottest)
			return err
		},
		"top_p": as(&s.TopP), "top_k": as(&s.TopK),
		"stop": func(value []byte) (err error) {
			s.Stop, err = stopWords(value)
			return err
		},
		"response_format": func(value []byte) (err error) {
			s.Answer, err = ReadAnswerFormat(value)
			return err
		},
	}
}

func stopWords(value []byte) (words [][]byte, err error) {
	for _, word := range Strings(value) {
		if strings.TrimSpace(jsonraw.Text(word)) == "" {
			err = ErrLost
			continue
		}
		words = append(words, word)
	}
	return words, err
}

// AnswerFormat is what response_format asks for.
type AnswerFormat struct {
	JSON         bool   // a JSON response: any object, or what Schema describes
	Schema, Name []byte // a JSON Schema and its name, as JSON; nil if absent
}

// ReadAnswerFormat reads response_format.
func ReadAnswerFormat(value []byte) (AnswerFormat, error) {
	switch jsonraw.Text(jsonraw.Lookup(value, "type")) {
	case "text", "":
		return AnswerFormat{}, nil
	case "json_object":
		return AnswerFormat{JSON: true}, nil
	case "json_schema":
		f := AnswerFormat{
			JSON: true, Schema: jsonraw.Lookup(value, "json_schema", "schema"),
			Name: jsonraw.Lookup(value, "json_schema", "name"),
		}
		if !jsonraw.IsObject(f.Schema) {
			return f, under("response_format.json_schema.schema", Unsupported("must be a JSON Schema"))
		}
		return f, nil
	}
	return AnswerFormat{}, under("response_format.type", Unsupported("must be text, json_object or json_schema"))
}

// Schema returns a JSON Schema from the client, reduced to the subset s. Whatever is lost is
// reported under the name of the member that contains the schema.
func (r *Request) Schema(member string, s *schema.Subset, raw []byte) []byte {
	reduced, lost := s.Reduce(raw)
	for _, keyword := range lost {
		r.Lose(member + "." + keyword)
	}
	return reduced
}

// OnlyJSON is the instruction for a model whose provider has no mode for responses that are
// any JSON object.
const OnlyJSON = "Answer with a single JSON object and nothing else: no text around it and no code fence."

// Effort is how much a model is asked to reason.
type Effort struct {
	Asked  bool   // the request says anything about it
	Level  string // none, minimal, low, medium, high, xhigh, max; "" leaves it to the provider
	Budget int64  // tokens; 0 if not given
	Hidden bool   // reasoning is not wanted in the response
}

// ReadEffort reads reasoning_effort, and the members reasoning and thinking that other
// routers and providers use instead. If several are present, the first in this order counts.
func ReadEffort(r *chat.Request) Effort {
	e := ReadThinking(r.Get("thinking"))
	if raw := r.Get("reasoning"); jsonraw.IsObject(raw) {
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

// ReadThinking reads only the member thinking.
func ReadThinking(raw []byte) (e Effort) {
	if !jsonraw.IsObject(raw) {
		return e
	}
	e.Asked = true
	if jsonraw.Text(jsonraw.Lookup(raw, "type")) == "disabled" {
		e.Level = "none"
	}
	e.budget(jsonraw.Lookup(raw, "budget_tokens"))
	return e
}

// budget reads a number of tokens; 0 asks for no reasoning.
func (e *Effort) budget(raw []byte) {
	if jsonraw.IsNull(raw) {
		return
	}
	var c Counter
	if e.Budget = c.Take(raw); e.Budget == 0 {
		e.Level = "none"
	}
}

// Effort returns how much the model is asked to reason.
func (r *Request) Effort() Effort { return ReadEffort(r.Exchange.Request) }

// DropEffort reports that the model is not asked to reason although the client asked for it.
func (r *Request) DropEffort() {
	for _, name := range []string{"reasoning_effort", "reasoning", "thinking"} {
		if r.Member(name) != nil {
			r.Drop(name)
		}
	}
}

// DropSampling reports members that are incompatible with reasoning as lost, in the order of
// the request, except those that are 1 and so ask for the default.
func (r *Request) DropSampling(members map[string][]byte) {
	for name := range r.Exchange.Request.Members() {
		if value := members[string(name)]; value != nil && (string(name) == "top_k" || !Is(value, 1)) {
			r.Drop(string(name))
		}
	}
}

// Members returns the table of a format that is translated into. Members that the format
// cannot express are not sent; only tools, and files stored at the provider, keep their
// meaning.
func Members(lines ...providers.Line) providers.Members {
	return providers.NewMembers(
		providers.Unsent.Of("*", "tools.function.*", "tools.custom.*"),
		providers.Unknown.Of("tools.*"),
		providers.Stored.Of("reference", "messages.content.file.file_id"),
	).With(lines...)
}
