package web

import "net/http"

// Header is the header of an answer. All values share one allocation, and names must be in the
// canonical form of net/http.
type Header struct {
	header http.Header
	values []string
}

// usualFields is slightly more than the usual number of fields in an answer.
const usualFields = 24

// NewHeader returns a writer of h.
func NewHeader(h http.Header) Header { return Header{h, make([]string, 0, usualFields)} }

// Set sets a field.
func (f *Header) Set(name, value string) {
	f.values = append(f.values, value)
	last := len(f.values)
	f.header[name] = f.values[last-1 : last : last]
}
