package chat

import "encoding/json"

// Member is a top-level member to set: its name, and its value as JSON.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Edit is a copy with some members set and others dropped; what is in both is
// set. All other bytes stay as they arrived. The error is about a Value that is
// not JSON or not what its member may hold.
func (r *Request) Edit(set []Member, drop ...string) (*Request, error) { return r, nil }

// With is a copy with one member set to v, which is encoded as JSON.
func (r *Request) With(member string, v any) (*Request, error) { return r, nil }

// Without is a copy that lacks the members.
func (r *Request) Without(members ...string) *Request { return r }
