package jsonraw

import "iter"

// maxWalkDepth limits the nesting of a walked value. It is higher than the limit for scanned
// bodies, because responses are less predictable.
const maxWalkDepth = 256

// Cursor walks JSON once, leniently: names may repeat and text need not be UTF-8, but the
// grammar must hold. It remembers its first fault and then moves to the end, so that callers
// need to check only once, when they are done.
type Cursor struct {
	b     []byte
	i     int
	pace  Pace
	depth int
	key   Span // of the member that Object is processing
	bad   bool
}

// NewCursor returns a cursor at the start of b.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// Source returns the bytes being walked.
func (c *Cursor) Source() []byte { return c.b }

// Pos returns the cursor's position in its source.
func (c *Cursor) Pos() int { return c.i }

// Seek moves back to an earlier position.
func (c *Cursor) Seek(pos int) { c.i = pos }

// Bad reports whether a fault was found.
func (c *Cursor) Bad() bool { return c.bad }

// Done reports whether everything was walked, with nothing but white space left.
func (c *Cursor) Done() bool { return c.Peek() == 0 && !c.bad && c.i == len(c.b) }

// Fail records a fault that the caller has found.
func (c *Cursor) Fail() {
	c.bad, c.i = true, len(c.b)
}

// Peek returns the first byte of the next token; 0 at the end.
func (c *Cursor) Peek() byte {
	c.i = c.pace.spaceEnd(c.b, c.i)
	if c.i == len(c.b) {
		return 0
	}
	return c.b[c.i]
}

// accept consumes the byte t if it comes next.
func (c *Cursor) accept(t byte) bool {
	if c.Peek() != t {
		return false
	}
	c.i++
	return true
}

// to moves to end, or fails if that is -1.
func (c *Cursor) to(end int) {
	if end < 0 {
		c.Fail()
		return
	}
	c.i = end
}

// Skip consumes a value and returns its bytes.
func (c *Cursor) Skip() []byte {
	t := c.Peek()
	c.pace.At(c.i)
	start := c.i
	switch {
	case t == '"':
		return c.Quoted()
	case t == '{':
		c.Object(func([]byte) { c.Skip() })
	case t == '[':
		c.Array(func() { c.Skip() })
	case t == '-' || '0' <= t && t <= '9':
		c.to(numberEnd(c.b, c.i))
	case t == 't' || t == 'f' || t == 'n':
		c.to(literalEnd(c.b, c.i))
	default:
		c.Fail()
	}
	if c.bad {
		return nil
	}
	return c.b[start:c.i]
}

// Quoted consumes a string and returns it; it also consumes any other value, but returns nil.
func (c *Cursor) Quoted() Quoted {
	if c.Peek() != '"' {
		c.Skip()
		return nil
	}
	start := c.i
	for i := start + 1; ; {
		i = plainEnd(c.b, i)
		switch {
		case i == len(c.b) || c.b[i] < ' ':
			c.Fail()
			return nil
		case c.b[i] == '"':
			c.i = i + 1
			return c.b[start:c.i]
		}
		if c.pace.At(i); c.b[i] != '\\' {
			continue // the end of a stretch
		}
		if i, _ = escapeEnd(c.b, i); i < 0 {
			c.Fail()
			return nil
		}
	}
}

// Object consumes a value. If it is an object, f is called for each member and must consume
// the member's value.
func (c *Cursor) Object(f func(name []byte)) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	if !c.enter() || c.leave('}') {
		return
	}
	for !c.bad {
		if c.Peek() != '"' {
			c.Fail()
			return
		}
		start := c.i
		name := c.Quoted()
		c.key = Span{start, c.i}
		if !c.accept(':') {
			c.Fail()
			return
		}
		f(name.Bytes())
		if c.leave('}') {
			return
		}
		if !c.accept(',') {
			c.Fail()
		}
	}
}

// Array consumes a value. If it is an array, f is called for each element and must consume
// it.
func (c *Cursor) Array(f func()) {
	if c.Peek() != '[' {
		c.Skip()
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
			c.Fail()
		}
	}
}

func (c *Cursor) enter() bool {
	c.i++
	if c.depth++; c.depth > maxWalkDepth {
		c.Fail()
	}
	return !c.bad
}

func (c *Cursor) leave(bracket byte) bool {
	if !c.accept(bracket) {
		return false
	}
	c.depth--
	return true
}

// Each yields the members of a JSON object: decoded name, raw value. It stops at invalid JSON
// and yields nothing for anything but an object. Names may repeat, unless that was refused
// earlier.
func Each(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		c := Cursor{b: object}
		if c.Peek() != '{' {
			return
		}
		c.Object(func(name []byte) {
			value := c.Skip()
			if c.pace.Handed(); !c.bad && !yield(name, value) {
				c.Fail()
			}
		})
	}
}

// Elements yields the raw elements of a JSON array, as Each does for objects.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := Cursor{b: array}
		if c.Peek() != '[' {
			return
		}
		c.Array(func() {
			value := c.Skip()
			if c.pace.Handed(); !c.bad && !yield(value) {
				c.Fail()
			}
		})
	}
}

// Lookup returns the raw value at a path of member names, or nil if there is none.
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

// IsNull reports whether a value is absent or null.
func IsNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// Present returns a value that says something, or nil if it is absent or null.
func Present(raw []byte) []byte {
	if IsNull(raw) {
		return nil
	}
	return raw
}

// IsObject reports whether the value is a JSON object.
func IsObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// IsArray reports whether the value is a JSON array.
func IsArray(raw []byte) bool { return len(raw) > 0 && raw[0] == '[' }

// IsString reports whether the value is a JSON string.
func IsString(raw []byte) bool { return len(raw) > 0 && raw[0] == '"' }

// IsEmptyArray reports whether the value is a JSON array without elements.
func IsEmptyArray(raw []byte) bool { return IsArray(raw) && raw[spaceEnd(raw, 1)] == ']' }
