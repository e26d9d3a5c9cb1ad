package anthropic

import (
	"encoding/base64"
	"slices"
	"strings"

	"tallyroute/providers/blocks"
)

// images are the kinds of pictures that the format has.
var images = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

// natives are the blocks that clients may send as Anthropic has them: those that
// the OpenAI format has no word for.
var natives = []string{
	"document", "image", "search_result", "container_upload", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result",
	"code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
	"mcp_tool_use", "mcp_tool_result", "tool_reference",
}

// list writes blocks as an array.
func (e *encoder) list(list []blocks.Block) error {
	e.w.Open('[')
	for _, b := range list {
		if err := e.block(b); err != nil {
			return err
		}
	}
	e.w.Close(']')
	return nil
}

func (e *encoder) block(b blocks.Block) error {
	if b.Kind == blocks.Native {
		if !slices.Contains(natives, b.Type) {
			return blocks.Unsupported(b.Param+".type", "this provider has no such content part")
		}
		e.w.Raw(b.Raw)
		return nil
	}
	w := &e.w
	w.Open('{')
	switch b.Kind {
	case blocks.Text:
		w.TextMember("type", "text")
		w.Member("text", b.Text)
	case blocks.Thinking:
		w.TextMember("type", "thinking")
		w.Member("thinking", b.Text)
		w.Member("signature", b.Signature)
		b.Cache = nil // not allowed there
	case blocks.Redacted:
		w.TextMember("type", "redacted_thinking")
		w.Member("data", b.Text)
		b.Cache = nil
	case blocks.Call:
		w.TextMember("type", "tool_use")
		w.TextMember("id", b.ID)
		w.Member("name", b.Name)
		w.Member("input", b.Input)
	case blocks.Result:
		if err := e.result(b); err != nil {
			return err
		}
	case blocks.Image:
		if err := e.image(b); err != nil {
			return err
		}
	case blocks.Document:
		if err := e.document(b); err != nil {
			return err
		}
	case blocks.Audio, blocks.Video, blocks.Native:
		return blocks.Unsupported(b.Param+".type", "this provider takes text, images and documents")
	}
	w.Member("cache_control", b.Cache)
	w.Close('}')
	return nil
}

func (e *encoder) result(b blocks.Block) error {
	w := &e.w
	w.TextMember("type", "tool_result")
	w.TextMember("tool_use_id", b.ID)
	if len(b.Parts) > 0 {
		w.Key("content")
		if err := e.list(b.Parts); err != nil {
			return err
		}
	}
	if b.Failed {
		w.Member("is_error", []byte("true"))
	}
	return nil
}

// source opens the member "source" of one of the format's kinds.
func (e *encoder) source(kind string) {
	e.w.Key("source")
	e.w.Open('{')
	e.w.TextMember("type", kind)
}

// stored refers to a file that was given to Anthropic before.
func (e *encoder) stored(id string) {
	if !slices.Contains(e.betas, betaFiles) {
		e.betas = append(e.betas, betaFiles)
	}
	e.source("file")
	e.w.TextMember("file_id", id)
	e.w.Close('}')
}

func (e *encoder) image(b blocks.Block) error {
	m := b.Media
	e.w.TextMember("type", "image")
	switch {
	case m.FileID != "":
		e.stored(m.FileID)
		return nil
	case m.URL != "":
		e.source("url")
		e.w.TextMember("url", m.URL)
	case slices.Contains(images, m.Type):
		e.source("base64")
		e.w.TextMember("media_type", m.Type)
		e.w.TextMember("data", string(m.Data))
	default:
		return blocks.Unsupported(b.Param, "images must be JPEG, PNG, GIF or WebP")
	}
	e.w.Close('}')
	return nil
}

func (e *encoder) document(b blocks.Block) error {
	m := b.Media
	e.w.TextMember("type", "document")
	switch {
	case m.FileID != "":
		e.stored(m.FileID)
	case m.URL != "":
		e.source("url")
		e.w.TextMember("url", m.URL)
		e.w.Close('}')
	case m.Type == "application/pdf":
		e.source("base64")
		e.w.TextMember("media_type", m.Type)
		e.w.TextMember("data", string(m.Data))
		e.w.Close('}')
	case strings.HasPrefix(m.Type, "text/"), m.Type == "application/json":
		text, err := base64.StdEncoding.DecodeString(string(m.Data))
		if err != nil {
			return blocks.Unsupported(b.Param+".file.file_data", "must be base64")
		}
		e.source("text")
		e.w.TextMember("media_type", "text/plain")
		e.w.TextMember("data", strings.ToValidUTF8(string(text), "\uFFFD"))
		e.w.Close('}')
	default:
		return blocks.Unsupported(b.Param, "documents must be PDF or text")
	}
	if m.Name != "" {
		e.w.TextMember("title", m.Name)
	}
	return nil
}
