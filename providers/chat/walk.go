package chat

import "iter"

// maxAnswerDepth bounds how deep an answer may nest. Answers are trusted less
// than bodies that were scanned, and more may be in them.
const maxAnswerDepth = 256

// cursor walks JSON once, leniently: names may repeat and text need not be
// UTF-8, but the grammar must hold. Its first fault is remembered and puts it at
// the end, so that callers ask once, when they are done.
type cursor struct {
	b     []byte
	i     int
	depth int
	key   span // of the member that object is at
	bad   bool
}

// done reports whether all of b was walked, with nothing but space behind it.
func (c *cursor) done() bool { return c.peek() == 0 && !c.bad && c.i == len(c.b) }

func (c *cursor) fail() {
	c.bad, c.i = true, len(c.b)
}

// peek is the first byte of the next token; 0 at the end.
func (c *cursor) peek() byte {
	c.i = spaceEnd(c.b, c.i)
	if c.i == len(c.b) {
		return 0
	}
	return c.b[c.i]
}

// accept consumes the byte t if it comes next.
func (c *cursor) accept(t byte) bool {
	if c.peek() != t {
		return false
	}
	c.i++
	return true
}

// to moves on to end, or fails where that is -1.
func (c *cursor) to(end int) {
	if end < 0 {
		c.fail()
		return
	}
	c.i = end
}

// skip consumes a value and gives its bytes.
func (c *cursor) skip() []byte {
	t := c.peek()
	start := c.i
	switch {
	case t == '"':
		return c.quoted()
	case t == '{':
		c.object(func([]byte) { c.skip() })
	case t == '[':
		c.array(func() { c.skip() })
	case t == '-' || '0' <= t && t <= '9':
		c.to(numberEnd(c.b, c.i))
	case t == 't' || t == 'f' || t == 'n':
		c.to(literalEnd(c.b, c.i))
	default:
		c.fail()
	}
	if c.bad {
		return nil
	}
	return c.b[start:c.i]
}

// quoted consumes a string; any other value is consumed too, and gives nil.
func (c *cursor) quoted() Quoted {
	if c.peek() != '"' {
		c.skip()
		return nil
	}
	start := c.i
	for i := start + 1; ; {
		i = plainEnd(c.b, i)
		switch {
		case i == len(c.b) || c.b[i] < ' ':
			c.fail()
			return nil
		case c.b[i] == '"':
			c.i = i + 1
			return c.b[start:c.i]
		}
		if i, _ = escapeEnd(c.b, i); i < 0 {
			c.fail()
			return nil
		}
	}
}

// object consumes a value. Where it is an object, f is called for each member and
// must consume the member's value.
func (c *cursor) object(f func(name []byte)) {
	if c.peek() != '{' {
		c.skip()
		return
	}
	if !c.enter() || c.leave('}') {
		return
	}
	for !c.bad {
		if c.peek() != '"' {
			c.fail()
			return
		}
		start := c.i
		name := c.quoted()
		c.key = span{start, c.i}
		if !c.accept(':') {
			c.fail()
			return
		}
		f(name.Bytes())
		if c.leave('}') {
			return
		}
		if !c.accept(',') {
			c.fail()
		}
	}
}

// array consumes a value. Where it is an array, f is called for each element and
// must consume it.
func (c *cursor) array(f func()) {
	if c.peek() != '[' {
		c.skip()
		return
	}
	if !c.enter() || c.leave(']') {
		return
	}
	for !c.bad {
		f()
		if c.leave(']') {
			return
		}
		if !c.accept(',') {
			c.fail()
		}
	}
}

func (c *cursor) enter() bool {
	c.i++
	if c.depth++; c.depth > maxAnswerDepth {
		c.fail()
	}
	return !c.bad
}

func (c *cursor) leave(bracket byte) bool {
	if !c.accept(bracket) {
		return false
	}
	c.depth--
	return true
}

// Each yields the members of a JSON object: decoded name, raw value. It ends
// early at what is no JSON and yields nothing for what is no object. Names may
// repeat where nobody has refused that before.
func Each(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		c := cursor{b: object}
		if c.peek() != '{' {
			return
		}
		c.object(func(name []byte) {
			if value := c.skip(); !c.bad && !yield(name, value) {
				c.fail()
			}
		})
	}
}

// Elements yields the raw elements of a JSON array, as Each does for objects.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := cursor{b: array}
		if c.peek() != '[' {
			return
		}
		c.array(func() {
			if value := c.skip(); !c.bad && !yield(value) {
				c.fail()
			}
		})
	}
}

// Lookup is the raw value at a path of member names, nil where there is none.
func Lookup(object []byte, path ...string) []byte {
	for _, step := range path {
		var found []byte
		for name, value := range Each(object) {
			if string(name) == step {
				found = value
			}
		}
		object = found
	}
	return object
}

// Text is the text of a JSON string, "" for anything else.
func Text(raw []byte) string {
	c := cursor{b: raw}
	return c.quoted().String()
}
