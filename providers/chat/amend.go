package chat

import (
	"bytes"
	"slices"
)

// AddUsageMembers is data with further members, such as `"cost":0.1`, at the end
// of its top-level usage object, in place of any that it had by the same names.
// All other bytes stay. It is data itself where there is no such object, or where
// members are no JSON.
func AddUsageMembers(data, members []byte) []byte {
	c := cursor{b: data}
	var usage span
	c.object(func(name []byte) {
		found := string(name) == "usage" && c.peek() == '{'
		start := c.i
		if c.skip(); found {
			usage = span{start, c.i}
		}
	})
	fragment := slices.Concat([]byte("{"), members, []byte("}"))
	index, ok := indexOf(fragment)
	if !ok || c.bad || usage.end == 0 {
		return data
	}
	if usage.alien(data, fragment, index) {
		return usage.grown(data, members)
	}
	set := make([]Member, len(index))
	for i, m := range index {
		set[i] = Member{Quoted(m.key.of(fragment)).String(), m.value.of(fragment)}
	}
	object := usage.of(data)
	index, _ = indexOf(object) // it was walked just now
	object, _ = splice(object, index, set, nil)
	return slices.Concat(data[:usage.start], object, data[usage.end:])
}

// alien reports that the object at s has none of the members of fragment, which
// are different ones, so that they can be put behind its own. It may err on the
// safe side.
func (s span) alien(data, fragment []byte, members []member) bool {
	object := s.of(data)
	if len(members) == 0 || bytes.IndexByte(object, '\\') >= 0 || bytes.IndexByte(fragment, '\\') >= 0 {
		return false // names may be spelled in more than one way
	}
	for i, m := range members {
		name := m.key.of(fragment)
		same := func(n member) bool { return bytes.Equal(n.key.of(fragment), name) }
		if bytes.Contains(object, name) || slices.ContainsFunc(members[:i], same) {
			return false
		}
	}
	return true
}

// grown is data with members at the end of the object at s.
func (s span) grown(data, members []byte) []byte {
	at := s.end - 1
	for spaceEnd(data[:at], at-1) == at {
		at--
	}
	out := append(make([]byte, 0, len(data)+1+len(members)), data[:at]...)
	if at > s.start+1 {
		out = append(out, ',')
	}
	return append(append(out, members...), data[at:]...)
}

// indexOf is where the members of an object lie; false for what is no object.
func indexOf(object []byte) ([]member, bool) {
	c := cursor{b: object}
	var index []member
	isObject := c.peek() == '{'
	c.object(func([]byte) {
		key := c.key
		c.peek()
		start := c.i
		c.skip()
		index = append(index, member{key, span{start, c.i}})
	})
	return index, isObject && c.done()
}

// EditObject is a copy of any JSON object with some members set and others
// dropped, as Request.Edit does it; all other bytes stay. It is object itself
// where nothing is to be changed, or where it is no object.
func EditObject(object []byte, set []Member, drop ...string) []byte {
	if len(set)+len(drop) == 0 {
		return object
	}
	index, ok := indexOf(object)
	if !ok {
		return object
	}
	out, _ := splice(object, index, set, drop)
	return out
}
