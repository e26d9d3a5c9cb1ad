package chat

import "encoding/json"

// Request is the client's body plus the few members that are read. It is
// immutable: With and Without return changed copies.
type Request struct {
	body []byte
}

// Limits are the bounds of a request that an operator may move. The zero value
// is the default.
type Limits struct {
	N int64 // most choices one request may ask for; 0 is MaxN
}

// Parse is ParseRequest with other bounds.
func (l Limits) Parse(body []byte) (*Request, error) { return &Request{body: body}, nil }

// ParseRequest scans body once, strictly. *FieldError where it is refused.
func ParseRequest(body []byte) (*Request, error) { return Limits{}.Parse(body) }

// Body is the request as bytes. It must not be changed.
func (r *Request) Body() []byte { return r.body }

// Model is the member "model".
func (r *Request) Model() string { return "" }

// Stream is the member "stream".
func (r *Request) Stream() bool { return false }

// WantsUsage reports stream_options.include_usage.
func (r *Request) WantsUsage() bool { return false }

// N is how many choices are asked for; 1 where the client does not say.
func (r *Request) N() int64 { return 1 }

// MaxOutput is max_completion_tokens or max_tokens; 0 where the client gives none.
func (r *Request) MaxOutput() int64 { return 0 }

// Needs is what a model must be able to do for this request.
func (r *Request) Needs() Needs { return Needs{} }

// EndUser is "safety_identifier" or "user", cleaned, at most 256 bytes.
func (r *Request) EndUser() string { return "" }

// Get is the raw value of a top-level member, nil where there is none. Names match exactly.
func (r *Request) Get(member string) json.RawMessage { return nil }

// Tools is the member "tools", nil where there is none or it is null.
func (r *Request) Tools() json.RawMessage { return nil }

// ResponseFormat is the member "response_format", nil where there is none or it is null.
func (r *Request) ResponseFormat() json.RawMessage { return nil }

// Needs is what a request asks of a model.
type Needs struct {
	Stream, Tools, Vision, Audio, Documents, JSONSchema bool
}
