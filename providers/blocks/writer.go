package blocks

import (
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Writer writes JSON and sets the commas. The zero value is ready. What it is
// given as raw must be JSON; nothing is decoded on the way.
type Writer struct{ out []byte }

// Bytes is what was written.
func (w *Writer) Bytes() []byte { return w.out }

// comma goes before whatever does not come first. No value ends in one of the
// three bytes, so the last byte tells.
func (w *Writer) comma() {
	if n := len(w.out); n > 0 && w.out[n-1] != '{' && w.out[n-1] != '[' && w.out[n-1] != ':' {
		w.out = append(w.out, ',')
	}
}

// Open begins an object or an array: '{' or '['.
func (w *Writer) Open(bracket byte) {
	w.comma()
	w.out = append(w.out, bracket)
}

// Close ends what Open began: '}' or ']'.
func (w *Writer) Close(bracket byte) { w.out = append(w.out, bracket) }

// Key is the name of the member whose value comes next. It must need no escapes.
func (w *Writer) Key(name string) {
	w.comma()
	w.out = append(append(append(w.out, '"'), name...), '"', ':')
}

// Raw is a value that is JSON already.
func (w *Writer) Raw(value []byte) {
	w.comma()
	w.out = append(w.out, value...)
}

// Text is a string.
func (w *Writer) Text(s string) {
	w.comma()
	w.out = jsonraw.AppendQuote(w.out, s)
}

// Inside is a string whose inside, without the quotes, is JSON already.
func (w *Writer) Inside(inside []byte) {
	w.comma()
	w.out = append(append(append(w.out, '"'), inside...), '"')
}

// Int is a whole number.
func (w *Writer) Int(n int64) {
	w.comma()
	w.out = strconv.AppendInt(w.out, n, 10)
}

// Member is Key and Raw; a nil value writes nothing.
func (w *Writer) Member(name string, value []byte) {
	if value != nil {
		w.Key(name)
		w.Raw(value)
	}
}

// TextMember is Key and Text.
func (w *Writer) TextMember(name, s string) {
	w.Key(name)
	w.Text(s)
}

// IntMember is Key and Int.
func (w *Writer) IntMember(name string, n int64) {
	w.Key(name)
	w.Int(n)
}

// Some is Inside, but nil where there is nothing inside.
func Some(raw []byte) []byte {
	if inside := jsonraw.Inside(raw); len(inside) > 0 {
		return inside
	}
	return nil
}
