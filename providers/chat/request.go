package chat

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Request is the client's body plus the few members that are read. It is
// immutable: With and Without return changed copies.
type Request struct {
	views

	body    []byte
	members []member
}

// Limits are the bounds of a request that an operator may move. The zero value
// is the default.
type Limits struct {
	N int64 // most choices one request may ask for; 0 is MaxN
}

// ParseRequest scans body once, strictly. *FieldError where it is refused. The
// Request keeps body, which must not be changed any more.
func ParseRequest(body []byte) (*Request, error) { return Limits{}.Parse(body) }

// Parse is ParseRequest with other bounds.
func (l Limits) Parse(body []byte) (*Request, error) {
	return parse(body, views{root: &root, limits: l, messages: make([]messageIndex, 0, 16)})
}

func parse(body []byte, v views) (*Request, error) {
	s := scanner{b: body, views: v, members: make([]member, 0, 16)}
	if err := s.request(); err != nil {
		return nil, err
	}
	return &Request{views: s.views, body: body, members: s.members}, nil
}

// bounds refuses two bounds of the output, of which a provider might obey either.
func (v *views) bounds() *FieldError {
	if v.maxTokens > 0 && v.maxCompletion > 0 {
		return (&FieldError{Code: "invalid_value", Message: "set max_completion_tokens or max_tokens, not both"}).under([]byte("max_tokens"))
	}
	return nil
}

// Body is the request as bytes. It must not be changed.
func (r *Request) Body() []byte { return r.body }

// Model is the member "model".
func (r *Request) Model() string { return r.model }

// Stream is the member "stream".
func (r *Request) Stream() bool { return r.stream }

// WantsUsage reports stream_options.include_usage.
func (r *Request) WantsUsage() bool { return r.wantsUsage }

// N is how many choices are asked for; 1 where the client does not say.
func (r *Request) N() int64 { return max(r.n, 1) }

// MaxOutput is max_completion_tokens or max_tokens; 0 where the client gives none.
func (r *Request) MaxOutput() int64 { return max(r.maxCompletion, r.maxTokens) }

// Needs is what a model must be able to do for this request.
func (r *Request) Needs() Needs {
	return Needs{
		Stream:     r.stream,
		Tools:      r.need&(needTools|needFunctions) != 0,
		Vision:     r.need&needVision != 0,
		Audio:      r.need&(needAudio|needVoice) != 0,
		Documents:  r.need&needDocuments != 0,
		JSONSchema: r.need&needSchema != 0,
		Embeddings: r.root == &embedding,
	}
}

// EndUser is "safety_identifier" or "user", cleaned, at most 256 bytes.
func (r *Request) EndUser() string {
	user := Text(r.Get("safety_identifier"))
	if user == "" {
		user = Text(r.Get("user"))
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

// Get is the raw value of a top-level member, nil where there is none. Names match exactly.
func (r *Request) Get(name string) json.RawMessage {
	if i := r.find(name); i >= 0 {
		return r.members[i].value.of(r.body)
	}
	return nil
}

// Members are the top-level members in their order: decoded name, raw value.
func (r *Request) Members() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, m := range r.members {
			if !yield(Quoted(m.key.of(r.body)).Bytes(), m.value.of(r.body)) {
				return
			}
		}
	}
}

// find is the position of a top-level member, -1 where there is none.
func (r *Request) find(name string) int {
	return slices.IndexFunc(r.members, func(m member) bool { return m.named(r.body, name) })
}

// named reports whether the name of m in b, escapes decoded, is name.
func (m member) named(b []byte, name string) bool {
	key := m.key.of(b)
	if len(key) < len(name)+2 {
		return false
	}
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1:len(key)-1]) == name
	}
	return Quoted(key).String() == name
}

// Tools is the member "tools", nil where there is none or it is null.
func (r *Request) Tools() json.RawMessage { return notNull(r.Get("tools")) }

// ResponseFormat is the member "response_format", nil where there is none or it is null.
func (r *Request) ResponseFormat() json.RawMessage { return notNull(r.Get("response_format")) }

func notNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// Needs is what a request asks of a model.
type Needs struct {
	Stream, Tools, Vision, Audio, Documents, JSONSchema bool
	// Embeddings says that vectors are asked for, and no text.
	Embeddings bool
}
