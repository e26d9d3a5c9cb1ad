package chat

import "slices"

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
	set := make([]Member, len(index))
	for i, m := range index {
		set[i] = Member{Quoted(m.key.of(fragment)).String(), m.value.of(fragment)}
	}
	object := usage.of(data)
	index, _ = indexOf(object) // it was walked just now
	object, _ = splice(object, index, set, nil)
	return slices.Concat(data[:usage.start], object, data[usage.end:])
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
