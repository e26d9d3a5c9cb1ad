package jsonraw

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
)

// Span is a range of bytes of a body.
type Span struct{ Start, End int }

// Of returns the bytes of the range in b.
func (s Span) Of(b []byte) []byte { return b[s.Start:s.End] }

func (s Span) from(base int) Span { return Span{s.Start - base, s.End - base} }

// Member is a member to set: its name, and its value as JSON.
type Member struct {
	Name  string
	Value json.RawMessage
}

// entry is the position of a member: its name, including the quotes, and its value.
type entry struct{ key, value Span }

// named reports whether the name of m in b, escapes decoded, is name.
func (m entry) named(b []byte, name string) bool {
	key := m.key.Of(b)
	if len(key) < len(name)+2 {
		return false
	}
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1:len(key)-1]) == name
	}
	return Quoted(key).String() == name
}

// Index is an object together with the positions of its members. It is immutable.
type Index struct {
	b       []byte
	members []entry
}

// IndexOf walks an object; it returns false for anything else.
func IndexOf(object []byte) (Index, bool) {
	c := Cursor{b: object}
	var members []entry
	isObject := c.Peek() == '{'
	c.Object(func([]byte) {
		key := c.key
		c.Peek()
		start := c.i
		if c.Skip(); !c.bad {
			members = append(members, entry{key, Span{start, c.i}})
		}
	})
	return Index{object, members}, isObject && c.Done()
}

// Bytes returns the object, which must not be changed.
func (x Index) Bytes() []byte { return x.b }

// Len returns the number of members.
func (x Index) Len() int { return len(x.members) }

// Get returns the raw value of a member, or nil if there is none. Names match exactly.
func (x Index) Get(name string) []byte {
	for _, m := range x.members {
		if m.named(x.b, name) {
			return m.value.Of(x.b)
		}
	}
	return nil
}

// Members yields the members in order: decoded name, raw value.
func (x Index) Members() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, m := range x.members {
			if !yield(Quoted(m.key.Of(x.b)).Bytes(), m.value.Of(x.b)) {
				return
			}
		}
	}
}

// Edit returns a copy with some members set and others dropped. A name in both lists is set,
// and the last of several values for one name counts. All other bytes stay as they are.
func (x Index) Edit(set []Member, drop ...string) Index { return splice(x.b, x.members, set, drop) }

// Edit returns an edited copy of any object, as Index.Edit does. It returns object itself if
// there is nothing to change, or if it is not an object.
func Edit(object []byte, set []Member, drop ...string) []byte {
	if len(set)+len(drop) == 0 {
		return object
	}
	x, ok := IndexOf(object)
	if !ok {
		return object
	}
	return splice(object, x.members, set, drop).b
}

// AddMembers returns data with members such as `"cost":0.1` appended to the object at the
// span, replacing any of the same names. All other bytes stay. It returns data itself if
// members is not JSON.
func AddMembers(data []byte, at Span, members []byte) []byte {
	object := at.Of(data)
	fragment := slices.Concat([]byte("{"), members, []byte("}"))
	more, ok := IndexOf(fragment)
	if !ok {
		return data
	}
	if more.alienTo(object) {
		return grown(data, at, members)
	}
	set := make([]Member, len(more.members))
	for i, m := range more.members {
		set[i] = Member{Quoted(m.key.Of(fragment)).String(), m.value.Of(fragment)}
	}
	return slices.Concat(data[:at.Start], Edit(object, set), data[at.End:])
}

// alienTo reports whether the object has none of the members of x, and x has no duplicates,
// so that they can simply be appended. It may return false to be on the safe side.
func (x Index) alienTo(object []byte) bool {
	if len(x.members) == 0 || bytes.IndexByte(object, '\\') >= 0 || bytes.IndexByte(x.b, '\\') >= 0 {
		return false // names may be spelled in more than one way
	}
	for i, m := range x.members {
		name := m.key.Of(x.b)
		same := func(n entry) bool { return bytes.Equal(n.key.Of(x.b), name) }
		if bytes.Contains(object, name) || slices.ContainsFunc(x.members[:i], same) {
			return false
		}
	}
	return true
}

// grown returns data with members appended to the object at the span.
func grown(data []byte, object Span, members []byte) []byte {
	at := object.End - 1
	for spaceEnd(data[:at], at-1) == at {
		at--
	}
	out := append(make([]byte, 0, len(data)+1+len(members)), data[:at]...)
	if at > object.Start+1 {
		out = append(out, ',')
	}
	return append(append(out, members...), data[at:]...)
}

// splice copies an object with some members set and others dropped, and returns it with the
// index of the copy. Whatever stands between the remaining members is kept.
func splice(b []byte, members []entry, set []Member, drop []string) Index {
	size := len(b)
	for _, m := range set {
		size += len(m.Name) + len(m.Value) + len(`,"":`)
	}
	c := splicer{b: b, out: make([]byte, 0, size), index: make([]entry, 0, len(members)+len(set))}
	c.last = spaceEnd(b, 0) + 1 // after the brace
	for i, m := range members {
		if value, ok := find(set, b, m); ok {
			c.replace(m, value)
		} else if slices.ContainsFunc(drop, func(name string) bool { return m.named(b, name) }) {
			c.drop(m, members[i+1:])
		} else {
			c.keep(m)
		}
		c.last = m.value.End
	}
	c.copyTo(c.last)
	for i, m := range set {
		again := func(n Member) bool { return n.Name == m.Name }
		present := func(old entry) bool { return old.named(b, m.Name) }
		if !slices.ContainsFunc(set[i+1:], again) && !slices.ContainsFunc(members, present) {
			c.add(m)
		}
	}
	c.copyTo(len(b))
	return Index{c.out, c.index}
}

// find returns the last value that set has for the member m of b.
func find(set []Member, b []byte, m entry) ([]byte, bool) {
	for _, s := range slices.Backward(set) {
		if m.named(b, s.Name) {
			return bytes.TrimSpace(s.Value), true
		}
	}
	return nil, false
}

// splicer copies an object from b to out.
type splicer struct {
	b     []byte
	from  int // b is processed up to here
	last  int // the end of the previous member
	out   []byte
	index []entry // of out
}

func (c *splicer) copyTo(end int) {
	c.out = Append(c.out, c.b[c.from:end])
	c.from = end
}

func (c *splicer) keep(m entry) {
	shift := len(c.out) - c.from
	c.index = append(c.index, entry{m.key.from(-shift), m.value.from(-shift)})
}

func (c *splicer) replace(m entry, value []byte) {
	shift := len(c.out) - c.from
	c.copyTo(m.value.Start)
	c.put(m.key.from(-shift), value)
	c.from = m.value.End
}

// drop leaves m out, together with the comma before it, or with the comma after it if m would
// be the first member.
func (c *splicer) drop(m entry, rest []entry) {
	switch {
	case len(c.index) > 0:
		c.copyTo(c.last)
		c.from = m.value.End
	case len(rest) > 0:
		c.copyTo(m.key.Start)
		c.from = rest[0].key.Start
	default:
		c.copyTo(m.key.Start)
		c.from = m.value.End
	}
}

func (c *splicer) add(m Member) {
	if len(c.index) > 0 {
		c.out = append(c.out, ',')
	}
	start := len(c.out)
	c.out = AppendQuote(c.out, m.Name)
	key := Span{start, len(c.out)}
	c.out = append(c.out, ':')
	c.put(key, bytes.TrimSpace(m.Value))
}

func (c *splicer) put(key Span, value []byte) {
	start := len(c.out)
	c.out = append(c.out, value...)
	c.index = append(c.index, entry{key, Span{start, len(c.out)}})
}
