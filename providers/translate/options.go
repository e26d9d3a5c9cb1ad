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

// ErrLost is what an option returns that cannot be expressed and may be left out.
var ErrLost = errors.New("translate: the provider has no word for this")

// Option writes one top-level member of a request in the provider's words. Its
// errors are ErrLost, or a reason to refuse the request.
type Option func(value []byte) error

// Read is the option of a member that the format reads by itself.
func Read([]byte) error { return nil }

// Options calls, for each top-level member that says something, the option of its
// name. What has none is refused where the answer would be another one without it,
// and told as lost otherwise. Members that every format reads by itself are passed
// over: the model, the messages, the stream, the bound of the output, and where the
// format declares to read them, tools and how much is to be thought.
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

// needed is why a member for which a format has no option is not left out.
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

// reads reports a member that the format reads by itself.
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

// Unsupported refuses a member.
func Unsupported(message string) error {
	return &chat.FieldError{Code: "unsupported_parameter", Message: message}
}

// Strings are the elements of a value that may be one string or several.
func Strings(value []byte) [][]byte {
	if jsonraw.IsString(value) {
		return [][]byte{value}
	}
	return slices.Collect(jsonraw.Elements(value))
}

// Within brings a number between two bounds, of which "" means none: it is the number
// itself, or the bound, of which a format tells as if the member had been lost.
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

// Is reports a number that is v.
func Is(raw []byte, v float64) bool {
	f, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && f == v
}

// Settings are the members that most formats take under some name. Values are JSON,
// nil where the client does not say.
type Settings struct {
	Temperature, TopP, TopK []byte
	Stop                    [][]byte
	Answer                  AnswerFormat
}

// Options reads the settings. A temperature above the hottest is brought down to it,
// and texts to stop at that are white space alone are left out: providers refuse them.
// Both are told as lost.
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
	JSON         bool   // an answer that is JSON: some object, or what Schema says
	Schema, Name []byte // a JSON Schema and its name, as JSON; nil for none
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

// Schema is a JSON Schema of the client's as s has it. What is lost by it is told
// under the name of the member that it stands in.
func (r *Request) Schema(member string, s *schema.Subset, raw []byte) []byte {
	reduced, lost := s.Reduce(raw)
	for _, keyword := range lost {
		r.Lose(member + "." + keyword)
	}
	return reduced
}

// OnlyJSON is what a model is told where its provider has no mode for answers that
// are some JSON object.
const OnlyJSON = "Answer with a single JSON object and nothing else: no text around it and no code fence."

// Effort is how much a model is asked to think.
type Effort struct {
	Asked  bool   // somebody says anything at all
	Level  string // none, minimal, low, medium, high, xhigh, max; "" is what the provider thinks right
	Budget int64  // tokens; 0 is not said
	Hidden bool   // the thoughts are not wanted in the answer
}

// ReadEffort reads reasoning_effort, and the members reasoning and thinking by
// which other routers and providers say the same. Where several say something, the
// first of these counts.
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

// ReadThinking reads the member thinking alone.
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

// budget takes a number of tokens; that of none is a wish not to think.
func (e *Effort) budget(raw []byte) {
	if jsonraw.IsNull(raw) {
		return
	}
	var c Counter
	if e.Budget = c.Take(raw); e.Budget == 0 {
		e.Level = "none"
	}
}

// Effort is how much the model is asked to think.
func (r *Request) Effort() Effort { return ReadEffort(r.Exchange.Request) }

// DropEffort tells that the model is not asked to think, though the client does.
func (r *Request) DropEffort() {
	for _, name := range []string{"reasoning_effort", "reasoning", "thinking"} {
		if r.Member(name) != nil {
			r.Drop(name)
		}
	}
}

// DropSampling tells that members cannot stand beside reasoning, in the order of the
// request, but for those that are 1 and so ask for what happens anyway.
func (r *Request) DropSampling(members map[string][]byte) {
	for name := range r.Exchange.Request.Members() {
		if value := members[string(name)]; value != nil && (string(name) == "top_k" || !Is(value, 1)) {
			r.Drop(string(name))
		}
	}
}

// Members is the table of a format that is translated into: what it has no word for is
// not sent. Only tools are what they are, and files that the provider has.
func Members(lines ...providers.Line) providers.Members {
	return providers.NewMembers(
		providers.Unsent.Of("*", "tools.function.*", "tools.custom.*"),
		providers.Unknown.Of("tools.*"),
		providers.Stored.Of("reference", "messages.content.file.file_id"),
	).With(lines...)
}
