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
	head []byte // of the last one that was looked through, to the end of its model
	said int    // how long the model's name is there, as JSON; 0 if there is none to replace
}

func newNaming(model string) naming { return naming{name: jsonraw.Quote(model)} }

// of is data with that name, where it has one. It is good until the next call. The
// chunks of a stream begin alike, so that only the first need be looked through.
func (n *naming) of(data []byte) []byte {
	if len(n.head) == 0 || !bytes.HasPrefix(data, n.head) {
		n.look(data)
	}
	if n.said == 0 {
		return data
	}
	end := len(n.head)
	n.made = append(append(append(n.made[:0], data[:end-n.said]...), n.name...), data[end:]...)
	return n.made
}

// look finds the name in data.
func (n *naming) look(data []byte) {
	c := jsonraw.NewCursor(data)
	var at jsonraw.Span
	c.Object(func(name []byte) {
		start := c.Pos()
		if c.Skip(); string(name) == "model" {
			at = jsonraw.Span{Start: start, End: c.Pos()}
			c.Fail() // what follows need not be read
		}
	})
	n.head, n.said = append(n.head[:0], data[:at.End]...), 0
	said := bytes.TrimLeft(at.Of(data), " \t\r\n")
	if len(said) > 0 && said[0] == '"' && !bytes.Equal(said, n.name) {
		n.said = len(said)
	}
}
