// Package chat handles the wire format of chat completions: requests, responses, chunks and
// errors in the OpenAI format, kept as the bytes that arrived plus views of the few members
// that a router reads. It never decodes a body into a struct and encodes it again.
package chat

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// Limits on requests, so that no parser further on has to cope with worse.
const (
	MaxMessages = 16384 // unless Limits says otherwise, as for the next two
	MaxParts    = 16384
	MaxN        = 8 // choices
	MaxMetadata = 16
	MaxInputs   = 2048 // texts, or lists of tokens, in one embedding request
	MaxModel    = 256  // bytes of the model's name
	maxEndUser  = 256

	maxDimensions = 1 << 20 // of a vector
)

// Limits are the limits on requests that an operator can change. A zero field means the
// default.
type Limits struct {
	N        int64 // the highest number of choices that a request may ask for
	Messages int64
	// Parts limits the list elements that a format translates one by one: content parts, tool
	// calls and reasoning of all messages, and tools.
	Parts int64
}

func (l Limits) filled() Limits {
	for _, d := range []struct {
		at    *int64
		value int64
	}{{&l.N, MaxN}, {&l.Messages, MaxMessages}, {&l.Parts, MaxParts}} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	return l
}

// Room counts what a request in another format contains while it is being read, so that one
// over the limits is refused before all of it has been translated.
type Room struct{ most, taken int64 }

// Room returns room for as many messages and parts as a request may have.
func (l Limits) Room() *Room {
	l = l.filled()
	return &Room{most: l.Messages + l.Parts}
}

// Take makes room for one more element of the list param. It returns a *FieldError if there
// is no room left.
func (r *Room) Take(param string) error {
	if r.taken++; r.taken > r.most {
		err := tooMany(r.most, "messages, parts and tools")
		err.Param = param
		return err
	}
	return nil
}

// tooMany returns the error for a request with more of something than is allowed.
func tooMany(most int64, what string) *jsonraw.FieldError {
	return jsonraw.Wrong("is beyond the " + strconv.FormatInt(most, 10) + " " + what + " that a request may have; send fewer")
}

// Request is the client's body plus the few members that are read. It is immutable: With and
// Without return changed copies.
type Request struct {
	views

	index jsonraw.Index
}

// ParseRequest scans body once, strictly, and returns a *FieldError if it is refused. The
// Request keeps body, which must not be changed afterwards.
func ParseRequest(body []byte) (*Request, error) { return Limits{}.Parse(body) }

// Parse is like ParseRequest, with the limits in l.
func (l Limits) Parse(body []byte) (*Request, error) {
	return parse(body, views{root: &root, limits: l.filled(), messages: make([]messageIndex, 0, 16)})
}

func parse(body []byte, v views) (*Request, error) {
	r := &Request{views: v}
	index, err := jsonraw.Scan(body, v.root, &r.views)
	if err == nil {
		err = r.bounds()
	}
	if err != nil {
		return nil, err
	}
	r.index, r.settled = index, true
	return r, nil
}

// bounds refuses a request with both output limits, since a provider might obey either.
func (v *views) bounds() *jsonraw.FieldError {
	if v.maxTokens > 0 && v.maxCompletion > 0 {
		return (&jsonraw.FieldError{
			Code:    "invalid_value",
			Message: "set max_completion_tokens or max_tokens, not both",
		}).Under([]byte("max_tokens"))
	}
	return nil
}

// Body returns the request as bytes, which must not be changed.
func (r *Request) Body() []byte { return r.index.Bytes() }

// Model returns the member "model".
func (r *Request) Model() string { return r.model }

// Stream returns the member "stream".
func (r *Request) Stream() bool { return r.stream }

// WantsUsage returns the member include_usage of stream_options.
func (r *Request) WantsUsage() bool { return r.wantsUsage }

// N returns the number of choices asked for; 1 if the client does not say.
func (r *Request) N() int64 { return max(r.n, 1) }

// MaxOutput returns max_completion_tokens or max_tokens; 0 if the client sets neither.
func (r *Request) MaxOutput() int64 { return max(r.maxCompletion, r.maxTokens) }

// Needs returns what a model must be able to do for this request.
func (r *Request) Needs() Needs {
	return Needs{
		Stream:     r.stream,
		Tools:      r.need&(needTools|needFunctions) != 0,
		Vision:     r.need&needVision != 0,
		Audio:      r.need&(needAudio|needVoice) != 0,
		Documents:  r.need&needDocuments != 0,
		JSONSchema: r.need&needSchema != 0,
	}
}

// MayHoldMedia reports whether the messages may contain anything other than text. A part may
// contain or name something without saying so in its type.
func (r *Request) MayHoldMedia() bool {
	return r.media || r.need&(needVision|needAudio|needDocuments) != 0
}

// EndUser returns "safety_identifier" or "user", cleaned, at most 256 bytes.
func (r *Request) EndUser() string {
	user := jsonraw.Text(r.Get("safety_identifier"))
	if user == "" {
		user = jsonraw.Text(r.Get("user"))
	}
	for len(user) > maxEndUser {
		_, size := utf8.DecodeLastRuneInString(user)
		user = user[:len(user)-size]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, user)
}

// Session returns the id that the request gives its session, in "session_id" or in its
// metadata; "" if neither is a string.
func (r *Request) Session() string {
	raw := jsonraw.Present(r.Get("session_id"))
	if metadata, ok := jsonraw.IndexOf(r.Get("metadata")); ok && raw == nil {
		raw = metadata.Get("session_id")
	}
	if !jsonraw.IsString(raw) {
		return ""
	}
	return jsonraw.Text(raw)
}

// Get returns the raw value of a top-level member, or nil if there is none. Names match
// exactly.
func (r *Request) Get(name string) json.RawMessage { return r.index.Get(name) }

// Members yields the top-level members in order: decoded name, raw value.
func (r *Request) Members() iter.Seq2[[]byte, []byte] { return r.index.Members() }

// Tools returns the member "tools", or nil if it is absent or null.
func (r *Request) Tools() json.RawMessage { return jsonraw.Present(r.Get("tools")) }

// ResponseFormat returns the member "response_format", or nil if it is absent or null.
func (r *Request) ResponseFormat() json.RawMessage { return jsonraw.Present(r.Get("response_format")) }

// Needs is what a request requires of a model.
type Needs struct {
	Stream, Tools, Vision, Audio, Documents, JSONSchema bool
}

// Hosted reports whether the provider does work of its own for this request, so that the
// prompt, the response or both grow beyond what can be seen here: with tools that run there,
// searches, or contexts and files that it stores.
func (r *Request) Hosted() bool {
	if r.need&needHosted != 0 {
		return true
	}
	for name, value := range r.Members() {
		if grows(string(name)) && !slices.Contains([]string{"null", "false"}, string(value)) {
			return true
		}
	}
	return false
}

// grows reports whether a member makes the provider do or add something that is not in the
// request.
func grows(name string) bool {
	switch name {
	case "web_search_options", "web_search", "search_parameters", "enable_search", "search_options", "plugins", // searches
		"mcp_servers", "container", "connectors", "documents", "data_sources", "venice_parameters", // tools and documents
		"previous_response_id", "conversation", "prompt", "cached_content", "cachedContent": // contexts
		return true
	}
	return false
}

// idle maps members to the values that ask for the default behaviour.
var idle = map[string][]string{
	"n":                   {"1"},
	"parallel_tool_calls": {"true"},
	"logprobs":            {"false"},
	"top_logprobs":        {"0"},
	"store":               {"false"},
	"frequency_penalty":   {"0"},
	"presence_penalty":    {"0"},
	"logit_bias":          {"{}"},
	"metadata":            {"{}"},
	"service_tier":        {`"auto"`, `"default"`},
	"tools":               {"[]"},
	"stop":                {"[]"},
	"modalities":          {`["text"]`},
	"verbosity":           {`"medium"`},
}

// Idle reports whether the value of a top-level member asks for the default behaviour, so
// that nothing is lost by leaving it out. null does so for every member.
func Idle(name, value []byte) bool {
	if jsonraw.IsNull(value) {
		return true
	}
	values := idle[string(name)]
	if len(values) == 0 {
		return false
	}
	if f, err := strconv.ParseFloat(string(value), 64); err == nil {
		value = strconv.AppendFloat(nil, f, 'f', -1, 64) // so that 0.0 becomes 0
	}
	return slices.Contains(values, string(bytes.TrimPrefix(jsonraw.Compact(value), []byte("-"))))
}

// thinks lists the members by which a request asks for reasoning, at any provider.
var thinks = [...]string{
	"reasoning_effort", "reasoning", "thinking", "thinking_config", "thinking_budget", "enable_thinking", "include_reasoning",
	"reasoning_format", "chat_template_kwargs",
}

// Reasons reports whether the request asks for reasoning.
func (r *Request) Reasons() bool {
	return slices.ContainsFunc(thinks[:], func(name string) bool { return asks(r.Get(name)) }) ||
		bytes.Contains(r.Get("extra_body"), []byte("think"))
}

// AsksForReasoning reports whether a top-level member asks for reasoning.
func AsksForReasoning(name string, value []byte) bool {
	return slices.Contains(thinks[:], name) && asks(value)
}

// asks reports whether a value is anything other than a refusal: null, false, "none", 0, or
// an object that is disabled.
func asks(raw []byte) bool {
	raw = jsonraw.Present(raw)
	if index, ok := jsonraw.IndexOf(raw); ok {
		return string(index.Get("type")) != `"disabled"` && string(index.Get("enabled")) != "false" &&
			string(index.Get("effort")) != `"none"` && string(index.Get("enable_thinking")) != "false"
	}
	return raw != nil && !slices.Contains([]string{"false", `"none"`, "0"}, string(raw))
}
