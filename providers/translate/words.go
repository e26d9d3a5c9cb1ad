package translate

import (
	"bytes"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// Words are a text on its way from a provider to the client: the inside of a JSON
// string, with the escapes that it came with.
type Words []byte

// Add adds a JSON string; anything else adds nothing. The first piece is not copied.
func (w *Words) Add(raw []byte) {
	inside := jsonraw.Inside(raw)
	if !utf8.Valid(inside) {
		inside = []byte(string([]rune(string(inside)))) // U+FFFD for what is not UTF-8
	}
	if len(*w) == 0 {
		*w = inside[:len(inside):len(inside)]
		return
	}
	*w = append(*w, inside...)
}

// AddText adds a text.
func (w *Words) AddText(text string) { *w = jsonraw.AppendInside((*w)[:len(*w):len(*w)], text) }

// Text is the text that the words spell.
func (w Words) Text() string {
	if bytes.IndexByte(w, '\\') < 0 {
		return string(w)
	}
	return string(jsonraw.AppendText(make([]byte, 0, len(w)), w))
}

// WordsOf are the words of a JSON string.
func WordsOf(raw []byte) (w Words) {
	w.Add(raw)
	return w
}

// member adds a member to o unless there are no words.
func (w Words) member(o *jsonraw.Object, name string) {
	if len(w) > 0 {
		o.Inside(name, w)
	}
}

// Whole reports a text that is a JSON object from its beginning to its end, as the
// arguments of a call are once all their pieces have come.
func Whole(text []byte) bool { return jsonraw.IsObject(text) && Valid(text) == nil }

// Characters is how many characters a JSON string spells.
func Characters(raw []byte) int64 { return int64(utf8.RuneCount(jsonraw.Quoted(raw).Bytes())) }
