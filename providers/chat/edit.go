package chat

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// Edit returns a copy with some members set and others dropped. A name in both lists is set,
// and the last of several values for one name counts. All other bytes stay as they arrived.
// It returns an error if a Value is not JSON or is not allowed for its member.
func (r *Request) Edit(set []jsonraw.Member, drop ...string) (*Request, error) {
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
	next.index = r.index.Edit(set, drop...)
	if next.index.Len() > jsonraw.MaxMembers {
		return nil, jsonraw.Wrong("has too many members")
	}
	return next, nil
}

// With returns a copy with one member set to v, which is encoded as JSON.
func (r *Request) With(name string, v any) (*Request, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("chat: set %s: %w", name, err)
	}
	return r.Edit([]jsonraw.Member{{Name: name, Value: value}})
}

// Without returns a copy without the given members.
func (r *Request) Without(names ...string) *Request {
	next := &Request{views: r.views}
	for _, name := range names {
		next.forget(next.known(name))
	}
	next.index = r.index.Edit(nil, names...)
	return next
}

// known returns the field of a top-level member, or nil if the request's tree has none.
func (v *views) known(name string) *field {
	f, err := v.root.Member([]byte(name))
	if err != nil {
		return nil
	}
	return f
}

// reread updates the views from a member's new value.
func (v *views) reread(m jsonraw.Member) *jsonraw.FieldError {
	if !utf8.ValidString(m.Name) {
		return jsonraw.Wrong("must have a name in UTF-8")
	}
	f, err := v.root.Member([]byte(m.Name))
	if err != nil {
		return err
	}
	v.forget(f)
	if err := jsonraw.ScanMember(m.Value, f, v); err != nil {
		return err.Under([]byte(m.Name))
	}
	return nil
}

// forget resets the views that were read from a top-level member.
func (v *views) forget(f *field) {
	if f == nil {
		return
	}
	v.need &^= f.Need
	switch f.Name {
	case "model":
		v.model = ""
	case "messages":
		v.messages, v.media = nil, false
	case "stream":
		v.stream = false
	case "stream_options":
		v.wantsUsage = false
	case "store":
		v.stores = false
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

// AddUsageMembers returns data with members such as `"cost":0.1` appended to its top-level
// usage object, replacing any of the same names. All other bytes stay. It returns data itself
// if there is no such object, or if members is not JSON.
func AddUsageMembers(data, members []byte) []byte {
	c := jsonraw.NewCursor(data)
	var usage jsonraw.Span
	c.Object(func(name []byte) {
		found := string(name) == "usage" && c.Peek() == '{'
		start := c.Pos()
		if c.Skip(); found {
			usage = jsonraw.Span{Start: start, End: c.Pos()}
		}
	})
	if c.Bad() || usage.End == 0 {
		return data
	}
	return jsonraw.AddMembers(data, usage, members)
}
