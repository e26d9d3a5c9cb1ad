package chat

import (
	"bytes"
	"iter"

	"tallyroute/providers/jsonraw"
)

// Message is one element of messages, as a view into the body.
type Message struct {
	Raw  []byte // the whole object: the same bytes for as long as a client resends it
	Role jsonraw.Quoted
	Name jsonraw.Quoted // nil if there is none
}

// PieceKind says what a Piece of a message is, and so by which rule it counts.
type PieceKind uint8

// The kinds.
const (
	PieceText     PieceKind = iota // Text: content, a refusal, reasoning
	PieceToolCall                  // Name, and Text: the arguments or the input
	PieceImage                     // Text: the URL; Detail
	PieceAudio                     // Text: base64 data; Detail: the format
	PieceFile                      // Text: file_data or the file's id; Name: the file's name
	PieceMedia                     // Text: base64 data, a URL or an id, as a provider's own format has it; Detail: its media type or format
	PieceOther                     // Raw alone: a member or content part of no known kind
)

// Piece is something in a message that costs tokens.
type Piece struct {
	Kind   PieceKind
	Type   string // the member of the message or content part it comes from: "text", "image_url", "tool_calls", …
	Text   jsonraw.Quoted
	Name   jsonraw.Quoted
	Detail string // of an image "low", "high", "auto", of audio "wav", "mp3", …; "" where the client does not say
	Raw    []byte // its JSON
}

// DataURL reports whether an image or file carries its bytes in the request.
func (p Piece) DataURL() bool {
	const scheme = "data:"
	head := p.Text[:min(len(p.Text), 2+6*len(scheme))] // all that five letters and their escapes may take
	text := head.Bytes()
	return len(text) >= len(scheme) && bytes.EqualFold(text[:len(scheme)], []byte(scheme))
}

// Messages are the elements of messages, in order.
func (r *Request) Messages() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		base := r.Get("messages")
		for _, m := range r.messages {
			if !yield(Message{Raw: m.whole.Of(base), Role: m.role.Of(base), Name: orNil(m.name, base)}) {
				return
			}
		}
	}
}

// orNil is the bytes of a range, nil for the empty one.
func orNil(s jsonraw.Span, b []byte) []byte {
	if s.End == 0 {
		return nil
	}
	return s.Of(b)
}
