package messages

import (
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// aside gathers what has no place in a chat completion: it is judged where the request is
// sent as it is, and elsewhere it is left out and named.
type aside struct {
	room    *chat.Room
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
