package bedrock

import (
	"strconv"
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// blocks writes the content of a turn: reasoning, parts and calls, or the result of a tool.
// A cache point follows each block that the client marked with one.
func (e *encoder) blocks(t *translate.Turn) error {
	if t.Role == "tool" {
		return e.result(t)
	}
	for _, d := range t.Details {
		e.thought(d)
	}
	for _, p := range t.Parts {
		if err := e.part(t, p); err != nil {
			return err
		}
		e.cachePoint(p.Cache)
	}
	for i, c := range t.Calls {
		if c.Custom {
			return t.RefuseCall(i, "is a call of a custom tool, which is not known to this provider")
		}
		e.nest("toolUse", func(o *jsonraw.Object) {
			o.Text("toolUseId", translate.SafeID(c.ID))
			o.Text("name", c.Name)
			o.Raw("input", c.Object())
		})
		e.cachePoint(c.Cache)
	}
	return nil
}

// nest writes an object whose only member is an object.
func (e *encoder) nest(name string, members func(o *jsonraw.Object)) {
	e.o.Open('{')
	e.o.Key(name)
	e.o.Open('{')
	members(&e.o)
	e.o.Close('}')
	e.o.Close('}')
}

func (e *encoder) cachePoint(cache []byte) {
	switch {
	case cache == nil:
	case jsonraw.Text(jsonraw.Lookup(cache, "ttl")) == "1h":
		e.o.Value([]byte(`{"cachePoint":{"type":"default","ttl":"1h"}}`))
	default:
		e.o.Value([]byte(`{"cachePoint":{"type":"default"}}`))
	}
}

func (e *encoder) thought(d translate.Detail) {
	e.nest("reasoningContent", func(o *jsonraw.Object) {
		if d.Type == "reasoning.encrypted" {
			o.Text("redactedContent", d.Data)
			return
		}
		o.Key("reasoningText")
		o.Open('{')
		o.Text("text", d.Text)
		o.Text("signature", d.Signature)
		o.Close('}')
	})
}

func (e *encoder) result(t *translate.Turn) (err error) {
	e.nest("toolResult", func(o *jsonraw.Object) {
		o.Text("toolUseId", translate.SafeID(t.CallID))
		o.Key("content")
		o.Open('[')
		for _, p := range t.Parts {
			if err == nil {
				err = e.part(t, p)
			}
		}
		o.Close(']')
		if t.Failed {
			o.Text("status", "error")
		}
	})
	e.cachePoint(t.Cache)
	return err
}

func (e *encoder) part(t *translate.Turn, p translate.Part) error {
	switch p.Kind {
	case translate.Text:
		e.o.Value(jsonraw.One("text", p.Text))
	case translate.Image:
		if p.Detail != "" && p.Detail != "auto" {
			e.Lose("messages.image_url.detail")
		}
		return e.media("image", t, p)
	case translate.Video:
		return e.media("video", t, p)
	case translate.Audio:
		return e.media("audio", t, p)
	case translate.File:
		return e.media("document", t, p)
	case translate.Native:
	}
	return nil
}

// formats maps media types to Converse's names for them, by the kind of block.
var formats = map[string]map[string]string{
	"image": {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"},
	"video": {
		"video/mp4": "mp4", "video/quicktime": "mov", "video/x-matroska": "mkv", "video/webm": "webm", "video/x-flv": "flv",
		"video/mpeg": "mpeg", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
	},
	"audio": {
		"audio/mp3": "mp3", "audio/wav": "wav", "audio/opus": "opus", "audio/aac": "aac", "audio/flac": "flac",
		"audio/mp4": "mp4", "audio/ogg": "ogg",
	},
	"document": {
		"application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
		"application/msword": "doc", "application/vnd.ms-excel": "xls",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       "xlsx",
	},
}

// media writes an image, a video, audio or a document. We fetch nothing: data that is not
// in the request must be in S3, where Bedrock fetches it itself.
func (e *encoder) media(kind string, t *translate.Turn, p translate.Part) error {
	m := p.Media
	format := formats[kind][m.MIME]
	stored := strings.HasPrefix(m.URL, "s3://")
	switch {
	case m.ID != "":
		return t.Refuse(p, "is a file of a store that this provider does not have; send the data")
	case m.URL != "" && !stored:
		return t.Refuse(p, "is a URL, which this provider does not fetch; send the data")
	case format == "":
		return t.Refuse(p, "is of a kind of "+kind+" that this provider does not take")
	}
	e.nest(kind, func(o *jsonraw.Object) {
		o.Text("format", format)
		if kind == "document" {
			o.Text("name", e.name(m.Name))
		}
		if stored {
			o.Raw("source", jsonraw.One("s3Location", jsonraw.One("uri", jsonraw.Quote(m.URL))))
		} else {
			o.Raw("source", jsonraw.One("bytes", jsonraw.Quote(string(m.Data))))
		}
	})
	return nil
}

// name returns a document's name in the characters that Converse accepts, and makes it
// unique within the request.
func (e *encoder) name(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name = name[:i]
	}
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-()[]", r) {
			return r
		}
		return ' '
	}, name)
	plain = strings.Join(strings.Fields(plain), " ")
	if plain == "" {
		plain = "document"
	}
	plain = plain[:min(len(plain), 190)]
	unique := plain
	for i := 2; e.names[unique]; i++ {
		unique = plain + " " + strconv.Itoa(i)
	}
	e.names[unique] = true
	return unique
}
