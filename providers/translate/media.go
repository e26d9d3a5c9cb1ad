package translate

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"path"
	"strings"
)

// Media is what an image, audio or file part carries: its bytes, or where they are.
type Media struct {
	MIME string // "" is not known
	Data []byte // base64; nil where only the place is known
	URL  string // where it is, when it is not here
	ID   string // of a file that the provider has
	Name string // of the file
}

// Inline reports whether the bytes are here.
func (m Media) Inline() bool { return m.Data != nil }

// Bytes are the decoded bytes.
func (m Media) Bytes() ([]byte, error) {
	return base64.StdEncoding.AppendDecode(nil, m.Data)
}

// dataURL reads a data: URL (RFC 2397); false for any other.
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
	m.MIME = strings.ToLower(strings.TrimSpace(kind))
	if strings.HasSuffix(";"+strings.ToLower(params), ";base64") {
		m.Data = standard(data)
		return true
	}
	text, err := url.PathUnescape(string(data))
	if err != nil {
		return false
	}
	if m.MIME == "" {
		m.MIME = "text/plain"
	}
	m.Data = base64.StdEncoding.AppendEncode(nil, []byte(text))
	return true
}

// standard is base64 in the standard alphabet and with its padding, on one line.
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

// kinds are the media types of file names, as far as models read them.
var kinds = map[string]string{
	".pdf": "application/pdf", ".json": "application/json", ".xml": "application/xml",
	".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv", ".html": "text/html", ".htm": "text/html",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".heic": "image/heic", ".heif": "image/heif", ".bmp": "image/bmp", ".avif": "image/avif",
	".wav": "audio/wav", ".mp3": "audio/mp3", ".aac": "audio/aac", ".ogg": "audio/ogg", ".flac": "audio/flac", ".aiff": "audio/aiff",
	".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// MIMEOf is the media type that a file name or a URL tells by its end, "" where it
// tells none.
func MIMEOf(name string) string {
	if u, err := url.Parse(name); err == nil && u.Scheme != "" {
		name = u.Path
	}
	return kinds[strings.ToLower(path.Ext(name))]
}

// magic are the first bytes of formats in base64.
var magic = []struct{ begins, mime string }{
	{"JVBERi", "application/pdf"}, {"iVBORw0KGgo", "image/png"}, {"/9j/", "image/jpeg"}, {"R0lGOD", "image/gif"}, {"UklGR", "image/webp"},
}

// sniff is the media type that the bytes themselves tell.
func sniff(data []byte) string {
	for _, m := range magic {
		if bytes.HasPrefix(data, []byte(m.begins)) {
			return m.mime
		}
	}
	return ""
}
