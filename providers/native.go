package providers

import (
	"slices"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Format is a wire format that clients and providers may both speak.
type Format string

// The formats besides that of chat completions.
const (
	Messages  Format = "messages"  // Anthropic's
	Responses Format = "responses" // OpenAI's
)

// Native is a request as its client wrote it in another format than that of chat
// completions. A provider that speaks it is sent these bytes, but for what a codec must
// edit; all others are sent the chat completion that stands for it.
type Native struct {
	Format Format
	Body   []byte
	Betas  []string // that the client's header asks for
	// Aside is what of Body has no place in the chat completion, and is judged besides it
	// where Body is sent.
	Aside []chat.Noted
	// Unseen is how many bytes of Aside the model reads.
	Unseen int64
	// Only is why the request cannot be made as a chat completion; nil where it can.
	Only error
}

// NativeCodec is a codec whose Encode edits Exchange.Native where it is set, and whose
// Decode and Stream then return what the provider said, byte for byte, as the body and the
// data of chunks, one for each event.
type NativeCodec interface {
	ChatCodec
	// Speaks is the format that t is called in.
	Speaks(t *Target) Format
}

// For reports whether t can be sent n as it is.
func (n *Native) For(t *Target) bool {
	if n == nil {
		return false
	}
	codec, ok := t.Adapter.Chat.(NativeCodec)
	return ok && codec.Speaks(t) == n.Format
}

// native writes the call for a request that is sent as it is. Of the declared quirks those
// hold that say what the provider does not take.
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

// TakesBeta reports that a beta may be asked for: where what may cost anything is refused,
// its line in the table must say that it is free.
func (x Exchange) TakesBeta(member, beta string) bool {
	if !x.Bounded {
		return true
	}
	rule, ok := x.Target.Quirks.Members[member]
	return ok && rule.Class == Free && slices.Contains(rule.Values, beta)
}

// Betas are the names in values of a header that lists them.
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
