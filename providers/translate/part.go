package translate

import (
	"bytes"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Kind is what a part is.
type Kind uint8

// The kinds.
const (
	Text Kind = iota
	Image
	Audio
	File
	Video
	Native // of a type that the OpenAI format does not have; of formats that declare to take such
)

// Part is one piece of content.
type Part struct {
	Index  int
	Kind   Kind
	Text   jsonraw.Quoted // as it stands in the body
	Media  Media
	Detail string // of an image: "low", "high", "auto" or ""
	Type   string // as the client has it
	Raw    []byte // all of it
	Cache  []byte // cache_control
	Made   bool   // by the assistant
}

// Blank reports a text of nothing but white space.
func (p Part) Blank() bool { return p.Kind == Text && len(bytes.TrimSpace(p.Text.Bytes())) == 0 }

func (c *Conversation) content(t *Turn, value []byte) error {
	if value[0] == '"' {
		t.Parts = append(t.Parts, Part{Text: value})
		return nil
	}
	index := -1
	for element := range jsonraw.Elements(value) {
		index++
		p := Part{Index: index, Raw: element, Type: jsonraw.Text(jsonraw.Lookup(element, "type")), Cache: cacheControl(element)}
		if p.Type == "thinking" || p.Type == "redacted_thinking" { // as Anthropic has it
			t.detail(element)
			continue
		}
		switch known := p.read(element); {
		case !known && !c.format.Native:
			return t.Refuse(p, "is of a type that this model cannot be given")
		case !known:
			p.Kind = Native
		}
		if p.Cache != nil && !c.format.Cache {
			c.Lose("messages.cache_control")
		}
		media := p.Kind != Text && p.Kind != Native
		if media && p.Media.Data != nil && len(p.Media.Data) == 0 {
			c.Lose("messages.content." + p.Type)
			continue
		}
		if media && p.Media.nowhere() {
			return t.Refuse(p, "must hold data, a URL or the id of a file")
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
	if p.Kind == File && strings.HasPrefix(p.Media.MIME, "image/") {
		p.Kind = Image
	}
	return known
}
