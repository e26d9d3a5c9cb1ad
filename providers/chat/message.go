package chat

import "iter"

// Message is one element of messages, as a view into the body.
type Message struct {
	Raw  []byte // the whole object, the same bytes for as long as a client resends it
	Role Quoted
	Name Quoted // nil where there is none
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
	PieceOther                     // Type, and Raw alone: a member or content part of no known kind
)

// Piece is something in a message that costs tokens.
type Piece struct {
	Kind   PieceKind
	Type   string // the content part's type, or the member the piece comes from: "text", "tool_calls", "tool_call_id"
	Text   Quoted
	Name   Quoted
	Detail string // of an image: "low", "high", "auto", …; "" where the client does not say
	Raw    []byte // its JSON
}

// DataURL reports whether an image or file carries its bytes in the request.
func (p Piece) DataURL() bool { return false }

// Messages are the elements of messages, in order.
func (r *Request) Messages() iter.Seq[Message] { return func(func(Message) bool) {} }

// Pieces are all that costs tokens in m besides its role and name. Nothing that
// the client sent is left out: what is of no known kind is a PieceOther.
func (m Message) Pieces() iter.Seq[Piece] { return func(func(Piece) bool) {} }
