package messages

import (
	"fmt"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// wrong returns the error for a member that cannot be read.
func wrong(param, must string) error {
	return &chat.FieldError{Code: "invalid_value", Param: param, Message: must}
}

// aside collects what has no place in a chat completion: if the request is sent as it is, it is
// judged; otherwise it is left out and named.
type aside struct {
	room    *chat.Room
	noted   []chat.Noted
	dropped []string
	origins []string // for each message of the chat completion, its position in the request
	alien   error    // about the first part or tool that only this format has
}

// only records a part or a tool that only a provider with this format can read.
func (a *aside) only(at, kind string) {
	if a.alien == nil {
		a.alien = &chat.FieldError{
			Code: "unsupported_parameter", Param: at,
			Message: fmt.Sprintf("is a %q, which only providers of the Messages API have", kind),
		}
	}
}

// note records a member that the chat completion expresses with another one.
func (a *aside) note(name, path string, value []byte) {
	a.noted = append(a.noted, chat.Noted{Path: path, Name: name, Value: value})
}

// drop records a member that is lost in the chat completion.
func (a *aside) drop(name, path string, value []byte) {
	if jsonraw.IsNull(value) {
		return
	}
	a.note(name, path, value)
	a.dropped = providers.Lose(a.dropped, strings.Replace(name, "tools.custom.", "tools.", 1))
}
