package jsonraw

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Quoted is a JSON string as it is in a body, including quotes and escapes. It is never
// shorter than the text that it represents. nil is not a string at all.
type Quoted []byte

// Bytes returns the text. Without escapes it is a view into the body, and must not be
// changed.
func (q Quoted) Bytes() []byte {
	if len(q) < 2 {
		return nil
	}
	if bytes.IndexByte(q, '\\') < 0 {
		return q[1 : len(q)-1]
	}
	return q.Append(make([]byte, 0, len(q)))
}

// String returns a copy of the text.
func (q Quoted) String() string { return string(q.Bytes()) }

// Append appends the text to dst.
func (q Quoted) Append(dst []byte) []byte { return AppendText(dst, Inside(q)) }

// AppendText appends the text that the inside of a JSON string represents. An unpaired
// surrogate, which only a response can contain, becomes U+FFFD.
func AppendText(dst, inside []byte) []byte {
	var pace Pace
	for i := 0; i < len(inside); {
		run := bytes.IndexByte(inside[i:], '\\')
		if run < 0 {
			return Append(dst, inside[i:])
		}
		dst = Append(dst, inside[i:i+run])
		i += run
		pace.At(i)
		end, _ := escapeEnd(inside, i)
		if end < 0 {
			return dst
		}
		dst = appendEscape(dst, inside[i:end])
		i = end
	}
	return dst
}

// Text returns the text of a JSON string, or "" for anything else.
func Text(raw []byte) string {
	c := Cursor{b: raw}
	return c.Quoted().String()
}

// Inside returns a JSON string without its quotes, or nil for anything else.
func Inside(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	return raw[1 : len(raw)-1]
}

// Quote returns a text as a JSON string.
func Quote(text string) []byte { return AppendQuote(make([]byte, 0, len(text)+len(`""`)), text) }

// AppendQuote appends a text as a JSON string.
func AppendQuote(dst []byte, text string) []byte {
	return append(AppendInside(append(dst, '"'), text), '"')
}

// AppendInside appends a text as the inside of a JSON string. Invalid UTF-8 becomes U+FFFD.
// Line and paragraph separators are escaped, because some readers of event streams take them
// for line breaks. The characters < > & are not, because nothing here is put into HTML.
func AppendInside(dst []byte, text string) []byte {
	var pace Pace
	start := 0
	for i := 0; i < len(text); {
		pace.At(i)
		c := text[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if c < utf8.RuneSelf || r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			dst = append(dst, text[start:i]...)
			dst = appendEscaped(dst, r)
			start = i + size
		}
		i += size
	}
	return append(dst, text[start:]...)
}

// appendEscaped appends the escape sequence of r, which is in the basic multilingual plane.
func appendEscaped(dst []byte, r rune) []byte {
	const short, hex = "\"\"\\\\\bb\ff\nn\rr\tt", "0123456789abcdef"
	for i := 0; i < len(short); i += 2 {
		if r == rune(short[i]) {
			return append(dst, '\\', short[i+1])
		}
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// appendEscape appends what one escape sequence represents.
func appendEscape(dst, seq []byte) []byte {
	switch c := seq[1]; c {
	case 'b':
		return append(dst, '\b')
	case 'f':
		return append(dst, '\f')
	case 'n':
		return append(dst, '\n')
	case 'r':
		return append(dst, '\r')
	case 't':
		return append(dst, '\t')
	case 'u':
		r := hex4(seq, 2)
		if utf16.IsSurrogate(r) {
			r = pair(seq, 6, r)
		}
		return utf8.AppendRune(dst, r) // U+FFFD for -1
	default:
		return append(dst, c)
	}
}
