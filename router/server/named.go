package server

import (
	"bytes"

	"tallyroute/providers/jsonraw"
)

// naming gives answers and chunks the name of the model that served them, as GET
// /v1/models lists it: what the provider calls it says nothing to its client.
type naming struct {
	name []byte // as JSON
	made []byte // the last chunk
}

func newNaming(model string) naming { return naming{name: jsonraw.Quote(model)} }

// of is data with that name, where it has one. It is good until the next call.
func (n *naming) of(data []byte) []byte {
	c := jsonraw.NewCursor(data)
	var at jsonraw.Span
	c.Object(func(name []byte) {
		start := c.Pos()
		if c.Skip(); string(name) == "model" {
			at = jsonraw.Span{Start: start, End: c.Pos()}
			c.Fail() // what follows need not be read
		}
	})
	said := bytes.TrimLeft(at.Of(data), " \t\r\n")
	if len(said) == 0 || said[0] != '"' || bytes.Equal(said, n.name) {
		return data
	}
	n.made = append(append(append(n.made[:0], data[:at.End-len(said)]...), n.name...), data[at.End:]...)
	return n.made
}
