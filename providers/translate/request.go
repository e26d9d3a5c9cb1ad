package translate

import (
	"cmp"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// Format is what a wire format declares to support. If a request contains something that the
// format does not declare, that is reported as lost, or the request is refused.
type Format struct {
	Path   string // of a call, unless the target's quirks set another
	Tools  bool   // it accepts functions, and sees calls and results
	Effort bool   // it can be told how much to reason
	Cache  bool   // it has cache_control on messages, parts and tools
	Native bool   // it accepts content parts under its own names
	// Reasoning is set if the format is shown what the assistant thought. The codec itself
	// reports as lost whatever the provider cannot verify.
	Reasoning bool
	Failures  bool // it is told that a tool call failed
	Extra     bool // it reads extra_content, on messages and calls
	Images    bool // it is shown the pictures that the assistant made, as parts after the other parts
	// JSONStream is set if a stream may have the media type application/json.
	JSONStream bool
}

// Request is a chat completion request while it is being translated into a format.
type Request struct {
	providers.Exchange
	Conversation

	dropped []string // top-level members that are lost
	asked   bool     // Options was called
}

// Encode writes a call: it reads the request as f declares and calls write to produce the
// body. Whatever is lost on the way is reported.
func Encode(x providers.Exchange, f Format, write func(r *Request) ([]byte, error)) (providers.Call, error) {
	r := &Request{Exchange: x}
	if err := r.Conversation.read(x.Request, f); err != nil {
		return providers.Call{}, err
	}
	body, err := write(r)
	if err == nil && !r.asked {
		err = r.Options(nil)
	}
	if err != nil {
		return providers.Call{}, err
	}
	return providers.Call{
		Path: cmp.Or(x.Target.Quirks.Path, f.Path), Body: body, Dropped: slices.Concat(r.dropped, r.Lost), JSONStream: f.JSONStream,
	}, nil
}

// Drop reports that a top-level member is lost.
func (r *Request) Drop(name string) { r.dropped = providers.Lose(r.dropped, name) }

// Bound returns the output limit to send: the client's own unless ours is lower; 0 means
// none.
func (r *Request) Bound() int64 {
	own, most := r.Exchange.Request.MaxOutput(), r.MaxOutput
	if most > 0 && (own == 0 || own > most) {
		return most
	}
	return own
}

// Member returns the raw value of a top-level member that says something, or nil.
func (r *Request) Member(name string) []byte { return jsonraw.Present(r.Exchange.Request.Get(name)) }

// Object returns a top-level member that is an object, or nil.
func (r *Request) Object(name string) []byte {
	if raw := r.Member(name); jsonraw.IsObject(raw) {
		return raw
	}
	return nil
}

// Stream reports whether a stream is asked for.
func (r *Request) Stream() bool { return r.Exchange.Request.Stream() }

// Model returns the model's name at the provider.
func (r *Request) Model() string { return r.Target.Upstream }

// FallbackOutput is the output limit for formats that require one, if none is known.
const FallbackOutput = 4096
