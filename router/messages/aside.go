package messages

import (
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// aside gathers what has no place in a chat completion: it is judged where the request is
// sent as it is, and elsewhere it is left out and named.
type aside struct {
	noted   []chat.Noted
	dropped []string
	origins []string // of each message of the chat completion, where it stands in the request
}

// note takes in a member that another one of the chat completion stands for.
func (a *aside) note(name, path string, value []byte) {
	a.noted = append(a.noted, chat.Noted{Path: path, Name: name, Value: value})
}

// drop takes in a member that is lost in the chat completion.
func (a *aside) drop(name, path string, value []byte) {
	if jsonraw.IsNull(value) {
		return
	}
	a.note(name, path, value)
	a.dropped = providers.Lose(a.dropped, strings.Replace(name, "tools.custom.", "tools.", 1))
}

// blockMembers are the members of blocks that have a place in a chat message.
var blockMembers = []string{"type", "text", "source", "title", "cache_control", "id", "name", "input", "tool_use_id", "content", "is_error",
	"thinking", "signature", "data", "context", "citations"}

// others notes the members of a block that nobody reads.
func (m *message) others(block []byte) {
	for name, value := range jsonraw.Each(block) {
		n := string(name)
		switch {
		case slices.Contains(blockMembers, n):
		case n == "caller" && jsonraw.Text(jsonraw.Lookup(value, "type")) == "direct": // which is what happens anyway
		default:
			m.drop("messages.content."+n, m.place(n), value)
		}
	}
}
