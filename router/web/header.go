package web

import "net/http"

// Header is the header of an answer. All values lie in one piece of memory, and
// names have to be spelled as net/http keeps them.
type Header struct {
	header http.Header
	values []string
}

// usualFields is a few more than an answer has.
const usualFields = 24

// NewHeader returns a writer of h.
func NewHeader(h http.Header) Header { return Header{h, make([]string, 0, usualFields)} }

// Set sets a field.
func (f *Header) Set(name, value string) {
	f.values = append(f.values, value)
	last := len(f.values)
	f.header[name] = f.values[last-1 : last : last]
}
