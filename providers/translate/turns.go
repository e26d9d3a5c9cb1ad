package translate

import (
	"fmt"
	"slices"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Turn is one message of a request.
type Turn struct {
	Index  int    // in messages
	Role   string // "system" for developers too, "user", "assistant" or "tool"
	Parts  []Part
	Calls  []Call // of the assistant
	CallID string // of a tool's turn: the call that it answers
	Called string // the name of the function that was called there
	// Reasoning is what the assistant thought, as text, and Details the same with
	// what a provider needs to believe it: the elements of reasoning_details.
	Reasoning string
	Details   []Detail
	Extra     []byte // extra_content, where Google's clients keep signatures
}

// Kind is what a part is.
type Kind uint8

// The kinds.
const (
	Text Kind = iota
	Image
	Audio
	File
	Video
)

// Part is one piece of content.
type Part struct {
	Index  int
	Kind   Kind
	Text   jsonraw.Quoted // as it stands in the body
	Media  Media
	Detail string // of an image: "low", "high", "auto" or ""
}

// Call is a call of a function by the assistant.
type Call struct {
	ID, Name  string
	Arguments string // JSON as the model wrote it; "" is none
	Extra     []byte // extra_content
	Custom    bool   // a custom tool, whose Arguments are its free text
}

// Detail is one element of reasoning_details.
type Detail struct {
	Type      string // reasoning.text, reasoning.summary, reasoning.encrypted
	Format    string // whose it is, such as "google-gemini-v1"; "" where nobody says
	ID        string
	Text      string
	Signature string
	Data      string
	Raw       []byte
}

// Conversation is the messages of a request.
type Conversation struct {
	Turns []Turn
	Lost  []string // members of messages that no adapter can express: messages.name, …
}

// Lose declares that a member is dropped.
func (c *Conversation) Lose(name string) {
	name = shown(name)
	if !slices.Contains(c.Lost, name) {
		c.Lost = append(c.Lost, name)
	}
}

// Read is the messages of r. The error is a *chat.FieldError.
func Read(r *chat.Request) (*Conversation, error) {
	c := &Conversation{}
	names := make(map[string]string)
	for m := range r.Messages() {
		t := Turn{Index: len(c.Turns), Role: m.Role.String()}
		name := m.Name.String()
		if err := c.turn(&t, m.Raw); err != nil {
			return nil, err
		}
		switch t.Role {
		case "developer":
			t.Role = "system"
		case "function":
			t.Role, t.Called = "tool", name
		case "tool":
			if t.Called = names[t.CallID]; t.Called == "" {
				t.Called = name
			}
		case "system", "user", "assistant":
			if name != "" {
				c.Lose("messages.name")
			}
		default:
			return nil, t.refuse("role", "is no role that this model knows")
		}
		for _, call := range t.Calls {
			names[call.ID] = call.Name
		}
		c.Turns = append(c.Turns, t)
	}
	return c, nil
}

func (t *Turn) refuse(member, message string) error {
	return &chat.FieldError{Code: "unsupported_content", Param: fmt.Sprintf("messages[%d].%s", t.Index, member), Message: message}
}

// Refuse is the error for a part that the provider cannot take.
func (t *Turn) Refuse(p Part, message string) error {
	return t.refuse(fmt.Sprintf("content[%d]", p.Index), message)
}

// Unanswerable is the error for a tool's turn that answers no call.
func (t *Turn) Unanswerable() error {
	e := t.refuse("tool_call_id", "answers no call of the messages before it").(*chat.FieldError) //nolint:errorlint,forcetypeassert // it was made just now
	e.Code = "invalid_value"
	return e
}

func (c *Conversation) turn(t *Turn, raw []byte) error {
	for member, value := range jsonraw.Each(raw) {
		if jsonraw.IsNull(value) {
			continue
		}
		var err error
		switch string(member) {
		case "role", "name":
		case "content":
			err = c.content(t, value)
		case "refusal":
			t.Parts = append(t.Parts, Part{Index: len(t.Parts), Text: value})
		case "tool_calls":
			for call := range jsonraw.Elements(value) {
				t.Calls = append(t.Calls, readCall(call))
			}
		case "function_call":
			t.Calls = append(t.Calls, readCall(jsonraw.One("function", value)))
		case "tool_call_id":
			t.CallID = jsonraw.Text(value)
		case "reasoning_content", "reasoning", "thinking":
			if text := jsonraw.Text(value); text != "" {
				t.Reasoning = text
			}
		case "reasoning_details":
			for d := range jsonraw.Elements(value) {
				t.Details = append(t.Details, readDetail(d))
			}
		case "extra_content":
			t.Extra = value
		case "annotations", "images", "prefix", "cache_control", "audio":
			if string(value) != "[]" && string(value) != "false" {
				c.Lose("messages." + string(member))
			}
		default:
			c.Lose("messages." + string(member))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Conversation) content(t *Turn, value []byte) error {
	if value[0] == '"' {
		t.Parts = append(t.Parts, Part{Text: value})
		return nil
	}
	index := 0
	for element := range jsonraw.Elements(value) {
		p := Part{Index: index}
		index++
		known := p.read(element)
		if !known {
			return t.Refuse(p, "is of a type that this model cannot be given")
		}
		if jsonraw.Present(jsonraw.Lookup(element, "cache_control")) != nil {
			c.Lose("messages.cache_control")
		}
		t.Parts = append(t.Parts, p)
	}
	return nil
}

// read takes in one content part. It goes by the members, as the scanner of
// requests does. It is false for a part of no known kind.
func (p *Part) read(element []byte) bool {
	known := false
	for name, value := range jsonraw.Each(element) {
		if jsonraw.IsNull(value) {
			continue
		}
		switch string(name) {
		case "text", "refusal":
			p.Text = value
		case "image_url":
			p.Kind, p.Detail = Image, jsonraw.Text(jsonraw.Lookup(value, "detail"))
			p.Media.at(value, "url")
		case "video_url":
			p.Kind = Video
			p.Media.at(value, "url")
		case "input_audio":
			p.Kind = Audio
			p.Media.audio(value)
		case "file":
			p.Kind = File
			p.Media.file(value)
		case "document_url", "file_url":
			p.Kind = File
			p.Media.at(value, "url")
		default:
			continue
		}
		known = true
	}
	return known
}

// at reads a URL: a string, or a member of an object.
func (m *Media) at(value []byte, member string) {
	q := jsonraw.Quoted(value)
	if jsonraw.IsObject(value) {
		q = jsonraw.Lookup(value, member)
	}
	if raw := q.Bytes(); !m.dataURL(raw) {
		m.URL = string(raw)
		m.MIME = MIMEOf(m.URL)
	}
}

func (m *Media) audio(value []byte) {
	data, format := jsonraw.Quoted(value), ""
	if jsonraw.IsObject(value) {
		data, format = jsonraw.Lookup(value, "data"), jsonraw.Text(jsonraw.Lookup(value, "format"))
	}
	if raw := data.Bytes(); !m.dataURL(raw) {
		m.Data = standard(raw)
	}
	if m.MIME == "" || m.MIME == "application/octet-stream" {
		m.MIME = "audio/" + format
		if format == "" {
			m.MIME = "audio/wav"
		}
	}
}

func (m *Media) file(value []byte) {
	m.Name = jsonraw.Text(jsonraw.Lookup(value, "filename"))
	m.ID = jsonraw.Text(jsonraw.Lookup(value, "file_id"))
	if data := jsonraw.Quoted(jsonraw.Present(jsonraw.Lookup(value, "file_data"))); data != nil {
		raw := data.Bytes()
		switch {
		case m.dataURL(raw):
		case isHTTP(string(raw)):
			m.URL = string(raw)
		default:
			m.Data = standard(raw)
		}
	}
	if u := jsonraw.Text(jsonraw.Lookup(value, "file_url")); u != "" {
		m.URL = u
	}
	for _, guess := range []string{MIMEOf(m.Name), sniff(m.Data), MIMEOf(m.URL)} {
		if m.MIME == "" || m.MIME == "application/octet-stream" {
			m.MIME = guess
		}
	}
}

func isHTTP(s string) bool {
	return len(s) > 8 && (s[:8] == "https://" || s[:7] == "http://")
}

func readCall(raw []byte) Call {
	c := Call{ID: jsonraw.Text(jsonraw.Lookup(raw, "id")), Extra: jsonraw.Present(jsonraw.Lookup(raw, "extra_content"))}
	f := jsonraw.Lookup(raw, "function")
	if f == nil {
		f, c.Custom = jsonraw.Lookup(raw, "custom"), true
	}
	c.Name = jsonraw.Text(jsonraw.Lookup(f, "name"))
	switch arguments := jsonraw.Present(jsonraw.Lookup(f, "arguments")); {
	case c.Custom:
		c.Arguments = jsonraw.Text(jsonraw.Lookup(f, "input"))
	case jsonraw.IsObject(arguments): // some clients send it as it is
		c.Arguments = string(arguments)
	default:
		c.Arguments = jsonraw.Text(arguments)
	}
	return c
}

func readDetail(raw []byte) Detail {
	d := Detail{Raw: raw}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "type":
			d.Type = jsonraw.Text(value)
		case "format":
			d.Format = jsonraw.Text(value)
		case "id":
			d.ID = jsonraw.Text(value)
		case "text", "summary":
			d.Text = jsonraw.Text(value)
		case "signature":
			d.Signature = jsonraw.Text(value)
		case "data":
			d.Data = jsonraw.Text(value)
		}
	}
	return d
}

// PlainText is the text of all parts of a turn, one after the other.
func (t *Turn) PlainText() string {
	var b []byte
	for _, p := range t.Parts {
		if p.Kind == Text {
			b = p.Text.Append(b)
		}
	}
	return string(b)
}

// Arguments are those of a call as JSON text: an empty object where a model has
// written none.
func Arguments(c Call) string {
	if strings.TrimSpace(c.Arguments) == "" {
		return "{}"
	}
	return c.Arguments
}
