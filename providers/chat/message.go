package chat

import (
	"bytes"
	"iter"

	"tallyroute/providers/jsonraw"
)

// Message is one element of messages, as a view into the body.
type Message struct {
	Raw  []byte // the whole object: the same bytes whenever a client resends it
	Role jsonraw.Quoted
	Name jsonraw.Quoted // nil if there is none
}

// PieceKind is the kind of a Piece, which decides how it is counted.
type PieceKind uint8

// The kinds.
const (
	PieceText     PieceKind = iota // Text: content, a refusal, reasoning
	PieceToolCall                  // Name, and Text: the arguments or the input
	PieceImage                     // Text: the URL; Detail
	PieceAudio                     // Text: base64 data; Detail: the format
	PieceFile                      // Text: file_data or the file's id; Name: the file's name
	PieceMedia                     // Text: base64 data, a URL or an id, in a provider's own format; Detail: its media type or format
	PieceOther                     // only Raw: a member or content part of unknown kind
)

// Piece is something in a message that costs tokens.
type Piece struct {
	Kind   PieceKind
	Type   string // the member of the message or content part that it comes from: "text", "image_url", "tool_calls", …
	Text   jsonraw.Quoted
	Name   jsonraw.Quoted
	Detail string // of an image "low", "high", "auto"; of audio "wav", "mp3", …; "" if the client does not say
	Raw    []byte // as JSON
}

// DataURL reports whether an image or file is contained in the request as a data: URL.
func (p Piece) DataURL() bool {
	const scheme = "data:"
	head := p.Text[:min(len(p.Text), 2+6*len(scheme))] // the longest spelling of the scheme, with all its letters escaped
	text := head.Bytes()
	return len(text) >= len(scheme) && bytes.EqualFold(text[:len(scheme)], []byte(scheme))
}

// Messages yields the elements of messages, in order.
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

// orNil returns the bytes of a range, or nil for an empty range.
func orNil(s jsonraw.Span, b []byte) []byte {
	if s.End == 0 {
		return nil
	}
	return s.Of(b)
}

// Pieces yields everything in m that costs tokens, apart from its role and name, in the order
// of the body. It leaves out nothing that a model may see: anything of unknown kind is a
// PieceOther.
func (m Message) Pieces() iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		for name, raw := range jsonraw.Each(m.Raw) {
			if !pieces(intern(name), raw, yield) {
				return
			}
		}
	}
}

// intern returns a name as a string, without allocating for the common ones.
func intern(name []byte) string {
	for _, usual := range [...]string{"role", "content", "type", "text", "image_url", "tool_calls", "tool_call_id", "name", "refusal"} {
		if string(name) == usual {
			return usual
		}
	}
	return string(name)
}

// pieces yields the pieces of one member of a message; it returns false to end the iteration.
func pieces(name string, raw []byte, yield func(Piece) bool) bool {
	switch {
	case jsonraw.IsNull(raw) || name == "role" || name == "name" || name == "cache_control":
		return true
	case raw[0] == '[' && (name == "content" || name == "images"): // images is where the pictures of earlier answers are
		return each(raw, func(element []byte) bool { return partPieces(element, yield) })
	case raw[0] == '[' && name == "tool_calls":
		return each(raw, func(element []byte) bool { return yield(callPiece(name, element)) })
	case name == "function_call":
		return yield(functionPiece(name, raw))
	case raw[0] == '"' && (name == "content" || name == "refusal" || name == "reasoning" || name == "reasoning_content"):
		return yield(Piece{Kind: PieceText, Type: name, Text: raw, Raw: raw})
	}
	p := Piece{Kind: PieceOther, Type: name, Raw: raw}
	if name == "audio" {
		p, _ = nativeMedia(p)
	}
	return yield(p)
}

// each calls f for the elements of an array until f returns false.
func each(array []byte, f func([]byte) bool) bool {
	for element := range jsonraw.Elements(array) {
		if !f(element) {
			return false
		}
	}
	return true
}

// partPieces yields the contents of one content part. It looks at the members and not at
// "type", because some providers do.
func partPieces(part []byte, yield func(Piece) bool) bool {
	for name, raw := range jsonraw.Each(part) {
		p := Piece{Type: intern(name), Raw: raw}
		if p.Type == "source" {
			if inner := jsonraw.Lookup(raw, "content"); inner != nil {
				if !pieces("content", inner, yield) { // a document of texts and pictures
					return false
				}
				continue
			}
			p.Type = sourceOf(part, raw)
		}
		if m, ok := nativeMedia(p); ok {
			if !yield(m) {
				return false
			}
			continue
		}
		switch {
		case jsonraw.IsNull(raw) || p.Type == "type" || p.Type == "cache_control":
			continue
		case raw[0] == '"' && (p.Type == "text" || p.Type == "refusal"):
			p.Kind, p.Text = PieceText, raw
		case p.Type == "image_url":
			p.Kind = PieceImage
			p.read("url", "", "detail")
		case p.Type == "input_audio":
			p.Kind = PieceAudio
			p.read("data", "", "format")
		case p.Type == "file":
			p.Kind = PieceFile
			p.read("file_data", "filename", "")
			if p.Text == nil {
				p.read("file_id", "filename", "")
			}
		case p.Type == "content" && raw[0] == '[': // of a tool result
			if !each(raw, func(element []byte) bool { return partPieces(element, yield) }) {
				return false
			}
			continue
		default:
			p.Kind = PieceOther
		}
		if !yield(p) {
			return false
		}
	}
	return true
}

// sourceOf returns the kind of thing that a source holds: "image" or "document", by the type
// of its part, or "source" for a plain text that says where a search result comes from.
func sourceOf(part, source []byte) string {
	if jsonraw.IsString(source) && !(Piece{Text: source}).DataURL() {
		return "source"
	}
	switch kind := jsonraw.Text(jsonraw.Lookup(part, "type")); kind {
	case "image", "document", "video", "audio":
		return kind
	}
	return "input_file"
}

// nativeMedia returns the piece for a picture, audio, video or document given in a provider's
// own format: Anthropic's source, Google's inlineData and fileData, or the forms of Bedrock
// and the Responses API.
func nativeMedia(p Piece) (Piece, bool) {
	switch p.Type {
	case "inline_data", "inlineData", "file_data", "fileData", "image", "document", "video", "audio",
		"file_url", "file_id", "video_url", "document_url", "input_image", "input_file", "input_video":
	default:
		return p, false
	}
	media := p
	media.Kind = PieceMedia
	if media.find(p.Raw, 0); media.Text == nil {
		return p, false
	}
	return media, true
}

// find looks for the data, or a reference to it, in an object and in the objects within it.
func (p *Piece) find(raw []byte, depth int) {
	const deepest = 3
	if jsonraw.IsString(raw) {
		p.Text = raw
		return
	}
	if !jsonraw.IsObject(raw) || depth > deepest {
		return
	}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "data", "bytes", "url", "uri", "file_uri", "fileUri", "file_id", "file_data", "image_url", "source", "s3Location":
			if text := string(jsonraw.Lookup(raw, "type")); text != `"text"` {
				p.find(value, depth+1)
			}
		case "media_type", "mime_type", "mimeType", "format":
			if jsonraw.IsString(value) {
				p.Detail = jsonraw.Quoted(value).String()
			}
		}
	}
}

// callPiece returns the piece for an element of tool_calls.
func callPiece(from string, call []byte) Piece {
	for name, raw := range jsonraw.Each(call) {
		if (string(name) == "function" || string(name) == "custom") && raw[0] == '{' {
			p := functionPiece(from, raw)
			p.Raw = call
			return p
		}
	}
	return Piece{Kind: PieceOther, Type: from, Raw: call}
}

// functionPiece returns the piece for a call of a function or a custom tool. Arguments that
// are not a string make it a piece of unknown kind.
func functionPiece(from string, call []byte) Piece {
	p := Piece{Kind: PieceToolCall, Type: from, Raw: call}
	p.read("arguments", "name", "")
	if p.Text == nil {
		p.read("input", "name", "")
	}
	if p.Text == nil {
		p.Kind = PieceOther
	}
	return p
}

// read fills p from the members of its object; a bare string becomes the text.
func (p *Piece) read(text, name, detail string) {
	if p.Raw[0] == '"' {
		p.Text = p.Raw
		return
	}
	for member, raw := range jsonraw.Each(p.Raw) {
		switch {
		case raw[0] != '"':
		case string(member) == text:
			p.Text = raw
		case string(member) == name:
			p.Name = raw
		case string(member) == detail:
			p.Detail = jsonraw.Quoted(raw).String()
		}
	}
}
