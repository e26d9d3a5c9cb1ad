package translate

import (
	"cmp"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// Format is what a wire format declares of itself. What it does not declare is, where
// a request holds it, told as lost or refused.
type Format struct {
	Path   string // of a call, unless the target's quirks name another
	Tools  bool   // it can be given functions, and is shown calls and results
	Effort bool   // it can be told how much to think
	Cache  bool   // it has cache_control, on messages, parts and tools
	Native bool   // it takes content parts by names of its own
	// Reasoning is set where it is shown what the assistant thought, as far as it
	// believes it: what it does not, it tells as lost by itself.
	Reasoning bool
	Failures  bool // it is told that a tool could not do it
	Extra     bool // it reads extra_content, of messages and calls
	Images    bool // it is shown the pictures that the assistant made: the parts behind its others
	// JSONStream is set where a stream may be of the media type application/json.
	JSONStream bool
}

// Request is a chat completion request on its way into a format.
type Request struct {
	providers.Exchange
	Conversation

	dropped []string // top-level members that are lost
	asked   bool     // Options was called
}

// Encode writes a call: it reads the request as f declares and lets write make the
// body of it. What was lost on the way is told.
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

// Drop tells that a top-level member is lost.
func (r *Request) Drop(name string) { r.dropped = providers.Lose(r.dropped, name) }

// Bound is the bound of the output to send: the client's own unless ours is lower;
// 0 means none.
func (r *Request) Bound() int64 {
	own, most := r.Exchange.Request.MaxOutput(), r.MaxOutput
	if most > 0 && (own == 0 || own > most) {
		return most
	}
	return own
}

// Member is the raw value of a top-level member that says something, or nil.
func (r *Request) Member(name string) []byte { return jsonraw.Present(r.Exchange.Request.Get(name)) }

// Object is a top-level member that is an object, or nil.
func (r *Request) Object(name string) []byte {
	if raw := r.Member(name); jsonraw.IsObject(raw) {
		return raw
	}
	return nil
}

// Stream reports that a stream is asked for.
func (r *Request) Stream() bool { return r.Exchange.Request.Stream() }

// Model is the model's name at the provider.
func (r *Request) Model() string { return r.Target.Upstream }

// FallbackOutput bounds an answer where a format needs a bound and nobody knows one.
const FallbackOutput = 4096
