package blocks

import (
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Settings are the members of a request besides its messages and tools. Raw
// values are nil where the client does not say.
type Settings struct {
	MaxTokens               int64 // 0 where nobody knows a bound
	Temperature, TopP, TopK []byte
	Stop                    [][]byte // JSON strings
	Effort                  string   // of reasoning: "", none, minimal, low, medium, high, xhigh or max
	Budget                  int64    // of reasoning, in tokens; 0 is not said
	Schema                  []byte   // that the answer must obey
	SchemaName              []byte   // as JSON
	JSON                    bool     // the answer must be a JSON object
	Tier                    string   // service_tier
	User                    string   // who the client works for, as it says
	Dropped                 []string // members that say something which is lost
}

// FallbackOutput bounds an answer where a format needs a bound and nobody knows one.
const FallbackOutput = 4096

// ReadSettings reads all but messages and tools. native are the members that the
// provider knows by its own names; what neither it nor this knows is dropped, and
// said so. What changes the answer's shape is refused with a *chat.FieldError.
func ReadSettings(x providers.Exchange, native ...string) (*Settings, error) {
	r := x.Request
	s := &Settings{MaxTokens: bound(x), User: r.EndUser()}
	if r.N() > 1 {
		return nil, &chat.FieldError{Code: "invalid_value", Param: "n", Message: "this provider gives one choice per request"}
	}
	for name, raw := range r.Members() {
		if jsonraw.IsNull(raw) { // null
			continue
		}
		n := string(name)
		known, err := s.read(n, raw)
		if err != nil {
			return nil, err
		}
		if !known && !slices.Contains(native, n) && !idle(n, raw) {
			s.Drop(n)
		}
	}
	return s, nil
}

// Drop notes that a member is lost.
func (s *Settings) Drop(name string) {
	if !slices.Contains(s.Dropped, name) {
		s.Dropped = append(s.Dropped, name)
	}
}

// bound is what bounds the output: what the router says, the client, or the model.
func bound(x providers.Exchange) int64 {
	own, most := x.Request.MaxOutput(), x.MaxOutput
	switch {
	case most > 0 && (own == 0 || own > most):
		return most
	case own > 0:
		return own
	}
	return x.Target.MaxOutput
}

// read takes a member; false is one that is not known here.
func (s *Settings) read(name string, raw []byte) (bool, error) {
	switch name {
	case "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
		"tools", "tool_choice", "parallel_tool_calls", "functions", "user", "safety_identifier":
	case "temperature":
		s.Temperature = raw
		if v, err := strconv.ParseFloat(string(raw), 64); err == nil && v > 1 {
			s.Temperature = []byte("1")
			s.Drop(name)
		}
	case "top_p":
		s.TopP = raw
	case "top_k":
		s.TopK = raw
	case "stop":
		s.stop(raw)
	case "reasoning_effort":
		s.Effort = jsonraw.Text(raw)
	case "reasoning":
		s.reasoning(raw)
	case "response_format":
		return true, s.format(raw)
	case "service_tier":
		s.Tier = jsonraw.Text(raw)
	case "modalities":
		for word := range jsonraw.Elements(raw) {
			if jsonraw.Text(word) != "text" {
				return true, Unsupported(name, "this provider answers with text alone")
			}
		}
	case "audio", "web_search_options", "function_call":
		return true, Unsupported(name, "this provider has no such thing")
	default:
		return false, nil
	}
	return true, nil
}

// idle reports a value that asks for what happens anyway.
func idle(name string, raw []byte) bool {
	switch name {
	case "frequency_penalty", "presence_penalty", "top_logprobs":
		v, err := strconv.ParseFloat(string(raw), 64)
		return err == nil && v == 0
	case "logprobs", "store":
		return string(raw) == "false"
	case "logit_bias", "metadata":
		return strings.Trim(string(raw), "{ }\r\n\t") == ""
	}
	return false
}

// stop reads a string or a list. Providers refuse sequences of white space alone.
func (s *Settings) stop(raw []byte) {
	take := func(word []byte) {
		if strings.TrimSpace(jsonraw.Text(word)) == "" {
			s.Drop("stop")
			return
		}
		s.Stop = append(s.Stop, word)
	}
	if raw[0] == '"' {
		take(raw)
	}
	for word := range jsonraw.Elements(raw) {
		take(word)
	}
}

// reasoning reads the object by which OpenRouter's clients ask for it.
func (s *Settings) reasoning(raw []byte) {
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "effort":
			s.Effort = jsonraw.Text(value)
		case "max_tokens":
			s.Budget, _ = strconv.ParseInt(string(value), 10, 64)
		case "enabled":
			if string(value) == "false" {
				s.Effort = "none"
			} else if s.Effort == "" {
				s.Effort = "medium"
			}
		}
	}
}

func (s *Settings) format(raw []byte) error {
	switch kind := jsonraw.Text(jsonraw.Lookup(raw, "type")); kind {
	case "text", "":
	case "json_object":
		s.JSON = true
	case "json_schema":
		if s.Schema = jsonraw.Lookup(raw, "json_schema", "schema"); len(s.Schema) == 0 || s.Schema[0] != '{' {
			return Unsupported("response_format.json_schema.schema", "must be a JSON Schema")
		}
		s.SchemaName = jsonraw.Lookup(raw, "json_schema", "name")
	default:
		return Unsupported("response_format.type", "must be text, json_object or json_schema")
	}
	return nil
}

// OnlyJSON is what the model is told where the provider has no mode for answers
// that are some JSON object.
const OnlyJSON = "Answer with a single JSON object and nothing else: no text around it and no code fence."
