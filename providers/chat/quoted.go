package chat

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Quoted is a JSON string as it stands in a body, quotes and escapes included.
// Its length is never below that of the text it spells. nil is no string at all.
type Quoted []byte

// Bytes is the text. It is a view into the body where there are no escapes, and
// must not be changed.
func (q Quoted) Bytes() []byte {
	if len(q) < 2 {
		return nil
	}
	if bytes.IndexByte(q, '\\') < 0 {
		return q[1 : len(q)-1]
	}
	return q.Append(make([]byte, 0, len(q)))
}

// String is the text as a copy.
func (q Quoted) String() string { return string(q.Bytes()) }

// Append appends the text to dst. A surrogate without its other half, which only
// an answer may hold, becomes U+FFFD.
func (q Quoted) Append(dst []byte) []byte {
	if len(q) < 2 {
		return dst
	}
	b := q[1 : len(q)-1]
	for i := 0; i < len(b); {
		run := bytes.IndexByte(b[i:], '\\')
		if run < 0 {
			return append(dst, b[i:]...)
		}
		dst = append(dst, b[i:i+run]...)
		i += run
		end, _ := escapeEnd(b, i)
		if end < 0 {
			return dst
		}
		dst = appendEscape(dst, b[i:end])
		i = end
	}
	return dst
}

// appendEscape appends what one escape sequence stands for.
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
