package blocks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"tallyroute/providers/jsonraw"
)

// parts reads content: a string or a list of parts. Texts of nothing but white
// space are left out, because providers refuse them.
func parts(content []byte, param string) ([]Block, error) {
	if content == nil {
		return nil, nil
	}
	if content[0] == '"' {
		if blank(content) {
			return nil, nil
		}
		return []Block{{Kind: Text, Text: content, Param: param}}, nil
	}
	var list []Block
	i := 0
	for raw := range jsonraw.Elements(content) {
		b, err := part(raw, fmt.Sprintf("%s[%d]", param, i))
		if err != nil {
			return nil, err
		}
		if b.Kind != Text || !blank(b.Text) {
			list = append(list, b)
		}
		i++
	}
	return list, nil
}

// part reads one content part.
func part(raw []byte, param string) (Block, error) {
	b := Block{Raw: raw, Param: param}
	var value []byte
	members := make(map[string][]byte)
	for name, v := range jsonraw.Each(raw) {
		if !jsonraw.IsNull(v) {
			members[string(name)] = v
		}
	}
	b.Type, b.Cache = jsonraw.Text(members["type"]), members["cache_control"]
	value = members[b.Type]
	switch b.Type {
	case "text", "refusal":
		b.Kind, b.Text = Text, value
	case "input_text", "output_text":
		b.Kind, b.Text = Text, members["text"]
	case "image_url":
		b.Kind, b.Media = Image, reference(value, "url")
	case "video_url":
		b.Kind, b.Media = Video, reference(value, "url")
	case "document_url", "file_url":
		b.Kind, b.Media = Document, reference(value, "url")
	case "file":
		b.Kind, b.Media = Document, file(value)
	case "input_audio":
		b.Kind, b.Media = Audio, Media{Type: "audio/" + jsonraw.Text(jsonraw.Lookup(value, "format")), Data: []byte(jsonraw.Text(jsonraw.Lookup(value, "data")))}
	case "thinking", "redacted_thinking":
		b.thought(members)
	default:
		b.Kind = Native
	}
	if strings.HasPrefix(b.Media.Type, "image/") && b.Kind == Document {
		b.Kind = Image
	}
	media := b.Kind == Image || b.Kind == Document || b.Kind == Audio || b.Kind == Video
	if media && b.Media.empty() {
		if b.Media.Data != nil {
			b.Kind = nothing
			return b, nil
		}
		return b, Unsupported(param+"."+b.Type, "must hold data, a URL or the id of a file")
	}
	return b, nil
}

// present leaves out what has nothing in it, and says so.
func (c *Conversation) present(list []Block) []Block {
	return slices.DeleteFunc(list, func(b Block) bool {
		if b.Kind == nothing {
			c.lose("messages.content." + b.Type)
		}
		return b.Kind == nothing
	})
}

// thought is a part in which reasoning is given back as Anthropic writes it.
func (b *Block) thought(members map[string][]byte) {
	switch {
	case b.Type == "redacted_thinking" && members["data"] != nil:
		b.Kind, b.Text = Redacted, members["data"]
	case members["signature"] != nil:
		b.Kind, b.Text, b.Signature = Thinking, members["thinking"], members["signature"]
	default:
		b.Kind, b.Text = Text, nil // reasoning without a signature is not taken back
	}
}

func (m Media) empty() bool { return len(m.Data) == 0 && m.URL == "" && m.FileID == "" }

// reference is an object with a URL, or the bare URL.
func reference(value []byte, member string) Media {
	if len(value) > 0 && value[0] == '{' {
		value = jsonraw.Lookup(value, member)
	}
	return located(jsonraw.Text(value))
}

// located is a URL as what it locates or, for a data URL, holds.
func located(url string) Media {
	head, data, ok := strings.Cut(url, ",")
	if len(head) < len("data:") || !strings.EqualFold(head[:len("data:")], "data:") || !ok {
		return Media{URL: url}
	}
	kind, encoding, _ := strings.Cut(head[len("data:"):], ";")
	if !strings.HasSuffix(strings.ToLower(encoding), "base64") {
		return Media{}
	}
	return Media{Type: mediaType(kind), Data: []byte(data)}
}

func mediaType(kind string) string {
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "image/jpg" {
		return "image/jpeg"
	}
	return kind
}

// file is the member "file" of a part. Data that is no URL is base64 by itself.
func file(value []byte) Media {
	var m Media
	data := jsonraw.Text(jsonraw.Lookup(value, "file_data"))
	switch {
	case strings.HasPrefix(data, "data:"):
		m = located(data)
	case strings.HasPrefix(data, "http://"), strings.HasPrefix(data, "https://"):
		m.URL = data
	case data != "":
		m.Data = []byte(data)
	}
	m.FileID = jsonraw.Text(jsonraw.Lookup(value, "file_id"))
	m.Name = jsonraw.Text(jsonraw.Lookup(value, "filename"))
	if m.Type == "" && m.Data != nil {
		m.Type = typeOf(m.Name)
	}
	return m
}

// typeOf is the media type that a file's name tells; most that have none are PDFs.
func typeOf(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".txt", ".md":
		return "text/plain"
	case ".csv", ".html":
		return "text/" + ext[1:]
	case ".png", ".gif", ".webp", ".jpeg":
		return "image/" + ext[1:]
	case ".jpg":
		return "image/jpeg"
	}
	return "application/pdf"
}

func blank(text jsonraw.Quoted) bool { return len(bytes.TrimSpace(text.Bytes())) == 0 }

func isObject(text []byte) bool {
	trimmed := strings.TrimSpace(string(text))
	return strings.HasPrefix(trimmed, "{") && json.Valid(text)
}
