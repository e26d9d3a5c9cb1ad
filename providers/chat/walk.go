package chat

import "iter"

// Quoted is a JSON string as it stands in a body, quotes and escapes included.
// Its length is never below that of the text it spells.
type Quoted []byte

// Bytes is the text. It is a view into the body where there are no escapes, and
// must not be changed.
func (q Quoted) Bytes() []byte { return nil }

// Append appends the text to dst.
func (q Quoted) Append(dst []byte) []byte { return dst }

// String is the text as a copy.
func (q Quoted) String() string { return "" }

// Each yields the members of a JSON object: decoded name, raw value. It ends
// early at what is no JSON and yields nothing for what is no object. Names may
// repeat where nobody has refused that before.
func Each(object []byte) iter.Seq2[[]byte, []byte] { return func(func(_, _ []byte) bool) {} }

// Elements yields the raw elements of a JSON array, as Each does for objects.
func Elements(array []byte) iter.Seq[[]byte] { return func(func([]byte) bool) {} }

// Lookup is the raw value at a path of member names, nil where there is none.
func Lookup(object []byte, path ...string) []byte { return nil }

// Text is the text of a JSON string, "" for anything else.
func Text(raw []byte) string { return "" }
