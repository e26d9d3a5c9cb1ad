package anthropic

import (
	"slices"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// images lists the image types that the format supports.
var images = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

// natives lists the blocks that clients may send in Anthropic's own form, because the
// OpenAI format has no equivalent.
var natives = []string{
	"document", "image", "search_result", "container_upload", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result",
	"code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
	"mcp_tool_use", "mcp_tool_result", "tool_reference",
}

// blocks writes the content of a turn: reasoning, parts and calls, or the result of a tool.
func (e *encoder) blocks(t *translate.Turn) error {
	if t.Role == "tool" {
		return e.result(t)
	}
	for _, d := range t.Details {
		e.thought(d)
	}
	if err := e.parts(t, t.Parts); err != nil {
		return err
	}
	for i, c := range t.Calls {
		if c.Custom {
			return t.RefuseCall(i, "is a call of a custom tool, which is not known to this provider")
		}
		e.o.Open('{')
		e.o.Text("type", "tool_use")
		e.o.Text("id", translate.SafeID(c.ID))
		e.o.Text("name", c.Name)
		e.o.Raw("input", c.Object())
		e.o.Raw("cache_control", c.Cache)
		e.o.Close('}')
	}
	return nil
}

func (e *encoder) thought(d translate.Detail) {
	e.o.Open('{')
	if d.Type == "reasoning.encrypted" {
		e.o.Text("type", "redacted_thinking")
		e.o.Text("data", d.Data)
	} else {
		e.o.Text("type", "thinking")
		e.o.Text("thinking", d.Text)
		e.o.Text("signature", d.Signature)
	}
	e.o.Close('}')
}

func (e *encoder) result(t *translate.Turn) error {
	e.o.Open('{')
	e.o.Text("type", "tool_result")
	e.o.Text("tool_use_id", translate.SafeID(t.CallID))
	if len(t.Parts) > 0 {
		e.o.Key("content")
		e.o.Open('[')
		if err := e.parts(t, t.Parts); err != nil {
			return err
		}
		e.o.Close(']')
	}
	if t.Failed {
		e.o.Word("is_error", "true")
	}
	e.o.Raw("cache_control", t.Cache)
	e.o.Close('}')
	return nil
}

func (e *encoder) parts(t *translate.Turn, parts []translate.Part) error {
	for _, p := range parts {
		if err := e.part(t, p); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) part(t *translate.Turn, p translate.Part) error {
	if p.Kind == translate.Native {
		if !slices.Contains(natives, p.Type) {
			return t.Refuse(p, "is of a type that this provider does not have")
		}
		e.o.Value(p.Raw)
		return nil
	}
	e.o.Open('{')
	var err error
	switch p.Kind {
	case translate.Text:
		e.o.Text("type", "text")
		e.o.Raw("text", p.Text)
	case translate.Image:
		err = e.image(t, p)
	case translate.File:
		err = e.document(t, p)
	case translate.Audio, translate.Video, translate.Native:
		err = t.Refuse(p, "is audio or video; this provider takes text, images and documents")
	}
	e.o.Raw("cache_control", p.Cache)
	e.o.Close('}')
	return err
}

// source writes the member "source" with the given type.
func (e *encoder) source(kind string, members func(o *jsonraw.Object)) {
	e.o.Key("source")
	e.o.Open('{')
	e.o.Text("type", kind)
	members(&e.o)
	e.o.Close('}')
}

// elsewhere writes a reference to a file that is not part of the request. It returns false
// if the data is inline.
func (e *encoder) elsewhere(m translate.Media) bool {
	switch {
	case m.ID != "": // uploaded to Anthropic earlier
		if !slices.Contains(e.betas, betaFiles) {
			e.betas = append(e.betas, betaFiles)
		}
		e.source("file", func(o *jsonraw.Object) { o.Text("file_id", m.ID) })
	case m.URL != "":
		e.source("url", func(o *jsonraw.Object) { o.Text("url", m.URL) })
	default:
		return false
	}
	return true
}

func (e *encoder) inline(m translate.Media) {
	e.source("base64", func(o *jsonraw.Object) {
		o.Text("media_type", m.MIME)
		o.Text("data", string(m.Data))
	})
}

func (e *encoder) image(t *translate.Turn, p translate.Part) error {
	e.o.Text("type", "image")
	switch {
	case e.elsewhere(p.Media):
	case slices.Contains(images, p.Media.MIME):
		e.inline(p.Media)
	default:
		return t.Refuse(p, "is an image, which must be JPEG, PNG, GIF or WebP")
	}
	if p.Detail != "" && p.Detail != "auto" {
		e.Lose("messages.image_url.detail")
	}
	return nil
}

func (e *encoder) document(t *translate.Turn, p translate.Part) error {
	m := p.Media
	e.o.Text("type", "document")
	switch {
	case e.elsewhere(m):
	case m.MIME == "application/pdf":
		e.inline(m)
	case m.Text():
		text, err := m.Bytes()
		if err != nil {
			return t.Refuse(p, "is not base64")
		}
		e.source("text", func(o *jsonraw.Object) {
			o.Text("media_type", "text/plain")
			o.Text("data", string(text))
		})
	default:
		return t.Refuse(p, "is a document, which must be PDF or text")
	}
	e.o.Some("title", m.Name)
	return nil
}
