package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Member is a top-level member to set: its name, and its value as JSON.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Edit is a copy with some members set and others dropped; what is in both is
// set, and of two values for one name the last counts. All other bytes stay as
// they arrived. The error is about a Value that is not JSON or not what its
// member may hold.
func (r *Request) Edit(set []Member, drop ...string) (*Request, error) {
	next := &Request{views: r.views}
	for _, name := range drop {
		next.forget(next.known(name))
	}
	for _, m := range set {
		if err := next.reread(m); err != nil {
			return nil, fmt.Errorf("chat: set %s: %w", m.Name, err)
		}
	}
	if err := next.bounds(); err != nil {
		return nil, err
	}
	next.body, next.members = splice(r.body, r.members, set, drop)
	if len(next.members) > MaxMembers {
		return nil, wrong("has too many members")
	}
	return next, nil
}

// With is a copy with one member set to v, which is encoded as JSON.
func (r *Request) With(name string, v any) (*Request, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("chat: set %s: %w", name, err)
	}
	return r.Edit([]Member{{name, value}})
}

// Without is a copy that lacks the members.
func (r *Request) Without(names ...string) *Request {
	next := &Request{views: r.views}
	for _, name := range names {
		next.forget(next.known(name))
	}
	next.body, next.members = splice(r.body, r.members, nil, names)
	return next
}

// known is the field of a top-level member.
func (v *views) known(name string) *field {
	f, err := v.root.member([]byte(name))
	if err != nil {
		return &anything
	}
	return f
}

// reread takes from a new value what is read of its member.
func (v *views) reread(m Member) *FieldError {
	if !utf8.ValidString(m.Name) {
		return wrong("must have a name in UTF-8")
	}
	f, err := v.root.member([]byte(m.Name))
	if err != nil {
		return err
	}
	v.forget(f)
	s := scanner{views: *v, b: bytes.TrimSpace(m.Value), top: f}
	if err := s.bytes(); err != nil {
		return err.under([]byte(m.Name))
	}
	if err := s.whole(f, 1); err != nil {
		return err.under([]byte(m.Name))
	}
	*v = s.views
	return nil
}

// forget takes back what was read of a top-level member.
func (v *views) forget(f *field) {
	v.need &^= f.need
	switch f.name {
	case "model":
		v.model = ""
	case "messages":
		v.messages = nil
	case "stream":
		v.stream = false
	case "stream_options":
		v.wantsUsage = false
	case "n":
		v.n = 0
	case "max_tokens":
		v.maxTokens = 0
	case "max_completion_tokens":
		v.maxCompletion = 0
	case "input":
		v.inputs, v.ids = 0, false
	case "dimensions":
		v.dimensions = 0
	case "encoding_format":
		v.base64 = false
	}
}

// splice copies an object with some members set and others dropped, together with
// the index of the copy. What stands between the members that stay, stays.
func splice(b []byte, members []member, set []Member, drop []string) ([]byte, []member) {
	size := len(b)
	for _, m := range set {
		size += len(m.Name) + len(m.Value) + len(`,"":`)
	}
	c := splicer{b: b, out: make([]byte, 0, size), index: make([]member, 0, len(members)+len(set))}
	c.last = spaceEnd(b, 0) + 1 // behind the brace
	for i, m := range members {
		if value, ok := find(set, b, m); ok {
			c.replace(m, value)
		} else if slices.ContainsFunc(drop, func(name string) bool { return m.named(b, name) }) {
			c.drop(m, members[i+1:])
		} else {
			c.keep(m)
		}
		c.last = m.value.end
	}
	c.copyTo(c.last)
	for i, m := range set {
		again := func(n Member) bool { return n.Name == m.Name }
		present := func(old member) bool { return old.named(b, m.Name) }
		if !slices.ContainsFunc(set[i+1:], again) && !slices.ContainsFunc(members, present) {
			c.add(m)
		}
	}
	c.copyTo(len(b))
	return c.out, c.index
}

// find is the last value that set has for the member m of b.
func find(set []Member, b []byte, m member) ([]byte, bool) {
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
	from  int // b is dealt with up to here
	last  int // the end of the member before
	out   []byte
	index []member // of out
}

func (c *splicer) copyTo(end int) {
	c.out = append(c.out, c.b[c.from:end]...)
	c.from = end
}

func (c *splicer) keep(m member) {
	shift := len(c.out) - c.from
	c.index = append(c.index, member{m.key.from(-shift), m.value.from(-shift)})
}

func (c *splicer) replace(m member, value []byte) {
	shift := len(c.out) - c.from
	c.copyTo(m.value.start)
	c.put(m.key.from(-shift), value)
	c.from = m.value.end
}

// drop leaves m out with the comma before it, or with the one behind it where it
// is the first that would be left.
func (c *splicer) drop(m member, rest []member) {
	switch {
	case len(c.index) > 0:
		c.copyTo(c.last)
		c.from = m.value.end
	case len(rest) > 0:
		c.copyTo(m.key.start)
		c.from = rest[0].key.start
	default:
		c.copyTo(m.key.start)
		c.from = m.value.end
	}
}

func (c *splicer) add(m Member) {
	if len(c.index) > 0 {
		c.out = append(c.out, ',')
	}
	start := len(c.out)
	c.out = appendQuoted(c.out, m.Name)
	key := span{start, len(c.out)}
	c.out = append(c.out, ':')
	c.put(key, bytes.TrimSpace(m.Value))
}

func (c *splicer) put(key span, value []byte) {
	start := len(c.out)
	c.out = append(c.out, value...)
	c.index = append(c.index, member{key, span{start, len(c.out)}})
}

// appendQuoted appends a text as a JSON string.
func appendQuoted(dst []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return dst // not reached: every string can be encoded
	}
	return append(dst, quoted...)
}
