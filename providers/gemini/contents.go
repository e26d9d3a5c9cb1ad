package gemini

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// contents writes the conversation. System messages become one instruction, wherever they
// occur; the results of one round of calls form one turn. Before Gemini 3, a result can
// only be text, so any other parts of it move to a user turn.
func (e *encoder) contents() error {
	if versionOf(e.Model()) < 300 {
		e.ShowResults(func(p translate.Part) bool { return p.Kind != translate.Text })
	}
	var results [][]byte
	flush := func() {
		if len(results) > 0 {
			e.turn("user", results)
			results = nil
		}
	}
	for i := range e.Turns {
		t := &e.Turns[i]
		if t.Role == "tool" {
			result, err := e.result(t)
			if err != nil {
				return err
			}
			results = append(results, result)
			continue
		}
		flush()
		if err := e.said(t); err != nil {
			return err
		}
	}
	flush()
	if len(e.turns) == 0 { // Google requires at least one
		e.turn("user", spoken(e.system))
		e.system = nil
	}
	return nil
}

// turn adds a turn. The first must be the user's.
func (e *encoder) turn(role string, parts [][]byte) {
	if len(e.turns) == 0 && role != "user" {
		e.turn("user", spoken(nil))
	}
	var o jsonraw.Object
	o.Text("role", role)
	o.Raw("parts", jsonraw.Array(parts))
	e.turns = append(e.turns, o.Bytes())
}

// said writes what the system, a user or the assistant said.
func (e *encoder) said(t *translate.Turn) error {
	if t.Role == "assistant" {
		return e.assistant(t)
	}
	t.Parts = slices.DeleteFunc(t.Parts, func(p translate.Part) bool { // Google refuses empty texts
		return p.Kind == translate.Text && len(p.Text.Bytes()) == 0
	})
	parts, err := e.parts(t)
	if err != nil {
		return err
	}
	if t.Role == "system" {
		e.system = append(e.system, parts...)
		return nil
	}
	e.turn("user", spoken(parts))
	return nil
}

// spoken returns the parts of a user's turn, or a placeholder if there are none.
func spoken(parts [][]byte) [][]byte {
	if len(parts) == 0 {
		return [][]byte{text(jsonraw.Quote(translate.Silence))}
	}
	return parts
}

func text(quoted []byte) []byte { return jsonraw.One("text", quoted) }

func (e *encoder) parts(t *translate.Turn) ([][]byte, error) {
	var list [][]byte
	for _, p := range t.Parts {
		if p.Kind == translate.Text {
			list = append(list, text(p.Text))
			continue
		}
		part, err := e.media(t, p)
		if err != nil {
			return nil, err
		}
		if p.Detail != "" && p.Detail != "auto" {
			e.Lose("messages.image_url.detail")
		}
		list = append(list, part)
	}
	return list, nil
}

// media writes an image, audio, a video or a document: its bytes, or the address from which
// Google fetches it.
func (e *encoder) media(t *translate.Turn, p translate.Part) ([]byte, error) {
	m := p.Media
	mime := m.MIME
	if mime == "" && p.Kind == translate.Image {
		mime = "image/jpeg" // Google also inspects the bytes
	}
	var o jsonraw.Object
	if m.Inline() {
		if mime == "" {
			return nil, t.Refuse(p, "does not say of which media type it is")
		}
		o.Text("mimeType", mime)
		o.Raw("data", quoted(m.Data))
		return jsonraw.One("inlineData", o.Bytes()), nil
	}
	at := m.URL
	if at == "" {
		at = m.ID
	}
	if !strings.Contains(at, "://") {
		return nil, t.Refuse(p, "must carry its bytes as a data URL, or the URI of a file that Google can read")
	}
	o.Some("mimeType", mime)
	o.Text("fileUri", at)
	return jsonraw.One("fileData", o.Bytes()), nil
}

// quoted returns base64 data as a JSON string.
func quoted(data []byte) []byte {
	return append(append(append(make([]byte, 0, len(data)+2), '"'), data...), '"')
}

// result writes a function's result, which must be an object.
func (e *encoder) result(t *translate.Turn) ([]byte, error) {
	if t.Called == "" {
		return nil, t.Unanswerable()
	}
	var o jsonraw.Object
	var media [][]byte
	for _, p := range t.Parts {
		if p.Kind == translate.Text {
			continue
		}
		part, err := e.media(t, p)
		if err != nil {
			return nil, err
		}
		media = append(media, part)
	}
	o.Some("id", t.CallID)
	o.Text("name", t.Called)
	o.Raw("response", object(t.PlainText()))
	o.Array("parts", media)
	return jsonraw.One("functionResponse", o.Bytes()), nil
}

// object returns a text as an object: the one that it encodes, or one that wraps it. Google
// would take "$ref" in an object as a reference to another part, so such text is wrapped.
func object(text string) []byte {
	raw := []byte(strings.TrimSpace(text))
	if !json.Valid(raw) || raw[0] != '{' && raw[0] != '[' || bytes.Contains(raw, []byte(`"$ref"`)) {
		return jsonraw.One("result", jsonraw.Quote(text))
	}
	if raw[0] == '[' {
		return jsonraw.One("result", raw)
	}
	return raw
}

// assistant writes the model's turn: its reasoning, its text and its calls, each with its
// signature.
func (e *encoder) assistant(t *translate.Turn) error {
	s := e.signatures(t)
	list := s.thoughts
	parts, err := e.parts(t)
	if err != nil {
		return err
	}
	var made [][]byte
	for i, p := range t.Parts {
		switch {
		case p.Made:
			made = append(made, s.image(parts[i], len(made), e.Model()))
		case p.Kind != translate.Text || len(p.Text.Bytes()) > 0:
			list = append(list, parts[i])
		}
	}
	list = append(s.text(list), made...)
	for i, call := range t.Calls {
		list = append(list, written(call, s.of(call, i, e.Model())))
	}
	if len(list) > 0 {
		e.turn("model", list)
	}
	return nil
}

func written(call translate.Call, signature string) []byte {
	var f, o jsonraw.Object
	f.Some("id", call.ID)
	f.Text("name", call.Name)
	f.Raw("args", call.Object())
	o.Raw("functionCall", f.Bytes())
	o.Some("thoughtSignature", signature)
	return o.Bytes()
}

// signed holds what reasoning_details return to Google.
type signed struct {
	thoughts [][]byte          // parts
	answer   string            // the signature of the text
	calls    map[string]string // the signatures of calls, by call ID
}

// signatures reads reasoning_details. Those of other providers mean nothing to Google, and
// thoughts without a signature need not be sent again.
func (e *encoder) signatures(t *translate.Turn) signed {
	s := signed{calls: make(map[string]string)}
	thought, foreign := "", t.Reasoning != "" && len(t.Details) == 0
	for _, d := range t.Details {
		switch {
		case d.Format != "" && d.Format != format:
			foreign = true
		case d.Type == "google.part":
			if part := jsonraw.Lookup(d.Raw, "part"); jsonraw.IsObject(part) {
				s.thoughts = append(s.thoughts, part)
			}
		case d.Type == "reasoning.text":
			if thought += d.Text; d.Signature != "" {
				s.think(thought, d.Signature)
				thought = ""
			}
		case d.Type == "reasoning.encrypted" && d.ID != "":
			s.calls[d.ID] = d.Data
		case d.Type == "reasoning.encrypted":
			s.answer = d.Data
		default:
			foreign = true
		}
	}
	if thought != "" {
		s.think(thought, "")
	}
	if foreign {
		e.Lose("messages.reasoning")
	}
	if sig := googleSignature(t.Extra); sig != "" && s.answer == "" {
		s.answer = sig
	}
	return s
}

func (s *signed) think(thought, signature string) {
	var o jsonraw.Object
	o.Text("text", thought)
	o.Word("thought", "true")
	o.Some("thoughtSignature", signature)
	s.thoughts = append(s.thoughts, o.Bytes())
}

// text attaches the signature of the text to its last part, or to an empty part if there is
// none: list begins with the thoughts.
func (s *signed) text(list [][]byte) [][]byte {
	if s.answer == "" {
		return list
	}
	var o jsonraw.Object
	o.Text("thoughtSignature", s.answer)
	if len(list) > len(s.thoughts) {
		list[len(list)-1] = jsonraw.Extend(list[len(list)-1], o)
		return list
	}
	return append(list, jsonraw.Extend(text([]byte(`""`)), o))
}

// unsigned is what Google asks for in place of a signature if the call was made by another
// model.
const unsigned = "skip_thought_signature_validator"

// of returns the signature of a call. The first call of a turn must have one.
func (s *signed) of(call translate.Call, i int, model string) string {
	if sig := googleSignature(call.Extra); sig != "" {
		return sig
	}
	if sig := s.calls[call.ID]; sig != "" {
		return sig
	}
	if i == 0 && third(model) {
		return unsigned
	}
	return ""
}

// image adds the signature to an image that the model generated.
func (s *signed) image(part []byte, i int, model string) []byte {
	signature := s.calls[imageID(i)]
	if signature == "" && third(model) {
		signature = unsigned
	}
	if signature == "" {
		return part
	}
	var o jsonraw.Object
	o.Text("thoughtSignature", signature)
	return jsonraw.Extend(part, o)
}

// imageID returns the ID under which an image's signature is kept among the details.
func imageID(i int) string { return "image_" + strconv.Itoa(i) }

func googleSignature(extra []byte) string {
	return jsonraw.Text(jsonraw.Lookup(extra, "google", "thought_signature"))
}
