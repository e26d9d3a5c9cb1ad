package bedrock

import (
	"strconv"
	"strings"

	"tallyroute/providers/blocks"
	"tallyroute/providers/jsonraw"
)

// list writes blocks as an array, each with the cache point that the client set
// behind it.
func (e *encoder) list(list []blocks.Block) error {
	e.w.Open('[')
	for _, b := range list {
		e.w.Open('{')
		if err := e.block(b); err != nil {
			return err
		}
		e.w.Close('}')
		if b.Kind != blocks.Thinking && b.Kind != blocks.Redacted {
			e.cachePoint(b.Cache)
		}
	}
	e.w.Close(']')
	return nil
}

func (e *encoder) cachePoint(cache []byte) {
	switch {
	case cache == nil:
	case jsonraw.Text(jsonraw.Lookup(cache, "ttl")) == "1h":
		e.w.Raw([]byte(`{"cachePoint":{"type":"default","ttl":"1h"}}`))
	default:
		e.w.Raw([]byte(`{"cachePoint":{"type":"default"}}`))
	}
}

// block writes the one member that a block has.
func (e *encoder) block(b blocks.Block) error {
	w := &e.w
	switch b.Kind {
	case blocks.Text:
		w.Member("text", b.Text)
	case blocks.Call:
		w.Key("toolUse")
		w.Open('{')
		w.TextMember("toolUseId", b.ID)
		w.Member("name", b.Name)
		w.Member("input", b.Input)
		w.Close('}')
	case blocks.Result:
		return e.result(b)
	case blocks.Thinking:
		w.Key("reasoningContent")
		w.Open('{')
		w.Key("reasoningText")
		w.Open('{')
		w.Member("text", b.Text)
		w.Member("signature", b.Signature)
		w.Close('}')
		w.Close('}')
	case blocks.Redacted:
		w.Key("reasoningContent")
		w.Open('{')
		w.Member("redactedContent", b.Text)
		w.Close('}')
	case blocks.Image:
		return e.media("image", b)
	case blocks.Video:
		return e.media("video", b)
	case blocks.Audio:
		return e.media("audio", b)
	case blocks.Document:
		return e.media("document", b)
	case blocks.Native:
		return blocks.Unsupported(b.Param+".type", "this provider has no such content part")
	}
	return nil
}

func (e *encoder) result(b blocks.Block) error {
	w := &e.w
	w.Key("toolResult")
	w.Open('{')
	w.TextMember("toolUseId", b.ID)
	w.Key("content")
	w.Open('[')
	for _, p := range b.Parts {
		w.Open('{')
		if err := e.block(p); err != nil {
			return err
		}
		w.Close('}')
	}
	w.Close(']')
	if b.Failed {
		w.TextMember("status", "error")
	}
	w.Close('}')
	return nil
}

// formats are the words of Converse for media types, by the kind of block.
var formats = map[string]map[string]string{
	"image": {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"},
	"video": {
		"video/mp4": "mp4", "video/quicktime": "mov", "video/x-matroska": "mkv", "video/webm": "webm", "video/x-flv": "flv",
		"video/mpeg": "mpeg", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
	},
	"audio": {"audio/mp3": "mp3", "audio/wav": "wav", "audio/opus": "opus", "audio/aac": "aac", "audio/flac": "flac", "audio/mp4": "mp4", "audio/ogg": "ogg"},
	"document": {
		"application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
		"application/msword": "doc", "application/vnd.ms-excel": "xls",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":       "xlsx",
	},
}

// media writes an image, a video, audio or a document. Nothing is fetched: what is
// not in the request must lie in S3, where Bedrock fetches it itself.
func (e *encoder) media(kind string, b blocks.Block) error {
	format := formats[kind][b.Media.Type]
	stored := strings.HasPrefix(b.Media.URL, "s3://")
	if stored && format == "" {
		format = extension(kind, b.Media.URL)
	}
	switch {
	case b.Media.FileID != "":
		return blocks.Unsupported(b.Param, "this provider keeps no files; send the data")
	case b.Media.URL != "" && !stored:
		return blocks.Unsupported(b.Param, "this provider does not fetch URLs; send the data")
	case format == "":
		return blocks.Unsupported(b.Param, "this provider does not take this kind of "+kind)
	}
	w := &e.w
	w.Key(kind)
	w.Open('{')
	w.TextMember("format", format)
	if kind == "document" {
		w.TextMember("name", e.name(b.Media.Name))
	}
	w.Key("source")
	w.Open('{')
	if stored {
		w.Key("s3Location")
		w.Open('{')
		w.TextMember("uri", b.Media.URL)
		w.Close('}')
	} else {
		w.TextMember("bytes", string(b.Media.Data))
	}
	w.Close('}')
	w.Close('}')
	return nil
}

// extension is the format that the end of a URL tells.
func extension(kind, url string) string {
	ext := strings.ToLower(url[strings.LastIndexByte(url, '.')+1:])
	if ext == "jpg" {
		ext = "jpeg"
	}
	for _, format := range formats[kind] {
		if format == ext {
			return format
		}
	}
	return ""
}

// name is a document's name in the letters that Converse takes, and such that no
// two are alike.
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
