package translate

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"net/url"
	"path"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Kind is the kind of a part.
type Kind uint8

// The kinds.
const (
	Text Kind = iota
	Image
	Audio
	File
	Video
	Native // of a type that the OpenAI format does not have, for formats that declare Native
)

// Part is one piece of content.
type Part struct {
	Index  int
	Kind   Kind
	Text   jsonraw.Quoted // as it is in the body
	Media  Media
	Detail string // of an image: "low", "high", "auto" or ""
	Type   string // as the client wrote it
	Raw    []byte // the whole part
	Cache  []byte // cache_control
	Made   bool   // by the assistant
}

// Blank reports whether the part is a text of nothing but white space.
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
		if p.Type == "thinking" || p.Type == "redacted_thinking" { // as in Anthropic's format
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

// read reads one content part. Like the scanner of requests, it looks at the members rather
// than at the type. It returns false for a part of no known kind.
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
	switch picture := strings.HasPrefix(p.Media.MIME, "image/"); {
	case p.Kind == File && picture:
		p.Kind = Image
	case p.Kind == Image && p.Media.MIME == "application/pdf":
		p.Kind = File
	}
	return known
}

// Media is what an image, audio or file part carries: its bytes, or where to find them.
type Media struct {
	MIME string // "" if unknown
	Data []byte // base64; nil if only the location is known
	URL  string // the location, if the bytes are not here
	ID   string // of a file stored at the provider
	Name string // of the file
}

// Inline reports whether the bytes are here.
func (m Media) Inline() bool { return m.Data != nil }

func (m Media) nowhere() bool { return m.Data == nil && m.URL == "" && m.ID == "" }

// Bytes returns the decoded bytes.
func (m Media) Bytes() ([]byte, error) {
	return base64.StdEncoding.AppendDecode(nil, m.Data)
}

// DataURL returns a URL that contains the bytes.
func (m Media) DataURL() string {
	return "data:" + cmp.Or(m.MIME, unknown) + ";base64," + string(m.Data)
}

// unknown is the media type used if nothing is known.
const unknown = "application/octet-stream"

// Text reports whether the document is some kind of text.
func (m Media) Text() bool {
	return strings.HasPrefix(m.MIME, "text/") || m.MIME == "application/json" || m.MIME == "application/xml"
}

// at reads a URL, given as a string or as a member of an object.
func (m *Media) at(value []byte, member string) {
	q := jsonraw.Quoted(value)
	if jsonraw.IsObject(value) {
		q = jsonraw.Lookup(value, member)
	}
	if raw := q.Bytes(); !m.dataURL(raw) {
		m.URL = string(raw)
	}
	m.guess()
}

func (m *Media) audio(value []byte) {
	data, format := jsonraw.Quoted(value), ""
	if jsonraw.IsObject(value) {
		data, format = jsonraw.Lookup(value, "data"), jsonraw.Text(jsonraw.Lookup(value, "format"))
	}
	if raw := data.Bytes(); !m.dataURL(raw) && raw != nil {
		m.Data = standard(raw)
	}
	if m.MIME == "" || m.MIME == unknown {
		m.MIME = "audio/" + cmp.Or(format, "wav")
	}
}

// file reads the member "file" of a part. Data that is not a data URL is taken as bare
// base64.
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
	m.URL = cmp.Or(jsonraw.Text(jsonraw.Lookup(value, "file_url")), m.URL)
	m.guess()
}

// guess sets the media type from the name, the bytes or the URL if it is not given. The type
// of an image is always taken from its bytes: clients often give a wrong one, which providers
// refuse.
func (m *Media) guess() {
	if told := sniff(m.Data); strings.HasPrefix(m.MIME, "image/") && (strings.HasPrefix(told, "image/") || told == "application/pdf") {
		m.MIME = told
	}
	for _, of := range []func() string{
		func() string { return MIMEOf(m.Name) },
		func() string { return sniff(m.Data) },
		func() string { return MIMEOf(m.URL) },
	} {
		if m.MIME == "" || m.MIME == unknown {
			m.MIME = of()
		}
	}
}

func isHTTP(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// dataURL reads a data: URL (RFC 2397); it returns false for any other.
func (m *Media) dataURL(raw []byte) bool {
	const scheme = "data:"
	if len(raw) < len(scheme) || !bytes.EqualFold(raw[:len(scheme)], []byte(scheme)) {
		return false
	}
	head, data, ok := bytes.Cut(raw[len(scheme):], []byte(","))
	if !ok {
		return false
	}
	kind, params, _ := strings.Cut(string(head), ";")
	if m.MIME = strings.ToLower(strings.TrimSpace(kind)); m.MIME == "image/jpg" {
		m.MIME = "image/jpeg"
	}
	if strings.HasSuffix(";"+strings.ToLower(params), ";base64") {
		m.Data = standard(data)
		return true
	}
	text, err := url.PathUnescape(string(data))
	if err != nil {
		return false
	}
	m.MIME = cmp.Or(m.MIME, "text/plain")
	m.Data = base64.StdEncoding.AppendEncode([]byte{}, []byte(text))
	return true
}

// standard returns base64 in the standard alphabet, padded and on one line.
func standard(data []byte) []byte {
	if len(data)%4 == 0 && !bytes.ContainsAny(data, "-_ \t\r\n%") {
		return data
	}
	if text, err := url.PathUnescape(string(data)); err == nil {
		data = []byte(text)
	}
	out := make([]byte, 0, len(data)+2)
	for _, c := range data {
		switch c {
		case '-':
			c = '+'
		case '_':
			c = '/'
		case ' ', '\t', '\r', '\n', '=':
			continue
		}
		out = append(out, c)
	}
	for len(out)%4 != 0 {
		out = append(out, '=')
	}
	return out
}

// kinds maps file extensions to media types, as far as models can read them.
var kinds = map[string]string{
	".pdf": "application/pdf", ".json": "application/json", ".xml": "application/xml",
	".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv", ".html": "text/html", ".htm": "text/html",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".heic": "image/heic", ".heif": "image/heif", ".bmp": "image/bmp", ".avif": "image/avif",
	".wav": "audio/wav", ".mp3": "audio/mp3", ".aac": "audio/aac", ".ogg": "audio/ogg", ".flac": "audio/flac", ".aiff": "audio/aiff",
	".opus": "audio/opus", ".m4a": "audio/mp4",
	".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
	".mkv": "video/x-matroska", ".flv": "video/x-flv", ".wmv": "video/x-ms-wmv", ".3gp": "video/3gpp",
	".doc": "application/msword", ".xls": "application/vnd.ms-excel",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// MIMEOf returns the media type for the extension of a file name or a URL, or "" if it is
// unknown.
func MIMEOf(name string) string {
	if u, err := url.Parse(name); err == nil && u.Scheme != "" {
		name = u.Path
	}
	return kinds[strings.ToLower(path.Ext(name))]
}

// magic lists the first bytes of file formats.
var magic = []struct{ begins, then, mime string }{
	{"%PDF", "", "application/pdf"},
	{"\x89PNG", "", "image/png"},
	{"\xff\xd8\xff", "", "image/jpeg"},
	{"GIF8", "", "image/gif"},
	{"RIFF", "WEBP", "image/webp"},
	{"RIFF", "WAVE", "audio/wav"},
}

// sniff returns the media type that the bytes themselves indicate.
func sniff(data []byte) string {
	const first = 16 // of base64: twelve bytes
	head, err := base64.StdEncoding.AppendDecode(nil, data[:min(len(data), first)])
	if err != nil {
		return ""
	}
	for _, m := range magic {
		if bytes.HasPrefix(head, []byte(m.begins)) && bytes.HasPrefix(head[min(len(head), 8):], []byte(m.then)) {
			return m.mime
		}
	}
	return ""
}
