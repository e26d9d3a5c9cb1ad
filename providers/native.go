package providers

import (
	"slices"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Format is a wire format that clients and providers may both speak.
type Format string

// The formats other than chat completions.
const (
	Messages  Format = "messages"  // Anthropic's
	Responses Format = "responses" // OpenAI's
)

// Native is a request as its client wrote it, in a format other than chat completions. A
// provider that speaks the format is sent these bytes, apart from the edits that its codec
// must make; every other provider is sent the equivalent chat completion.
type Native struct {
	Format Format
	// Path is the endpoint below the format's main path; "" requests an answer. Other endpoints
	// have no equivalent in chat completions.
	Path  string
	Body  []byte
	Betas []string // requested in the client's header
	// Aside holds the members of Body that have no place in the chat completion. They are
	// judged in addition to it when Body is sent.
	Aside []chat.Noted
	// Unseen is the number of bytes of Aside that the model reads.
	Unseen int64
	// Only is the reason that the request cannot be expressed as a chat completion; nil if it
	// can.
	Only error
	// Foreign is an error about the first part or tool that the chat completion carries in the
	// client's format, because it has no equivalent; nil if there is none.
	Foreign error
}

// NativeCodec is a codec whose Encode edits Exchange.Native if that is set. Its Decode and
// Stream then return the provider's response byte for byte: as the body, or as the data of
// chunks, one chunk per event.
type NativeCodec interface {
	ChatCodec
	// Speaks returns the format in which t is called.
	Speaks(t *Target) Format
}

// Unbounded reports whether n's endpoint has no member that limits the output.
func (n *Native) Unbounded() bool { return n != nil && n.Path != "" }

// For reports whether n can be sent to t as it is.
func (n *Native) For(t *Target) bool {
	if n == nil {
		return false
	}
	codec, ok := t.Adapter.Chat.(NativeCodec)
	return ok && codec.Speaks(t) == n.Format
}

// native writes the call for a request that is sent as it is. Of the declared quirks, only
// those that say what the provider does not accept are applied.
func (x Exchange) native(codec Codec) (Call, error) {
	q := x.Target.Quirks.Of(x.Operation)
	var lost, gone []string
	for name := range jsonraw.Each(x.Native.Body) {
		switch {
		case q.refuses(name):
			return Call{}, refused(string(name))
		case slices.Contains(q.Drop, string(name)):
			lost, gone = append(lost, string(name)), append(gone, string(name))
		}
	}
	if len(gone) > 0 {
		n := *x.Native
		n.Body = jsonraw.Edit(n.Body, nil, gone...)
		x.Native = &n
	}
	call, err := codec.Encode(x)
	call.Dropped = told(lost, call.Dropped)
	return call, err
}

// TakesBeta reports whether the request may ask for a beta. Where members of unknown cost are
// refused, the beta's line in the table must say that it is free.
func (x Exchange) TakesBeta(member, beta string) bool {
	if !x.Bounded {
		return true
	}
	rule, ok := x.Target.Quirks.Members[member]
	return ok && rule.Class == Free && slices.Contains(rule.Values, beta)
}

// Betas returns the names listed in the values of a header.
func Betas(values []string) (names []string) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}
