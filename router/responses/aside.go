package responses

import (
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// aside collects what has no place in a chat completion: if the request is sent as it is, it is
// judged; otherwise it is left out and named, or the request is refused.
type aside struct {
	room    *chat.Room
	native  providers.Native
	dropped []string
	origins []string // for each message of the chat completion, its position in the request
}

// note records a member that makes no difference to the answer of a chat completion.
func (a *aside) note(name, path string, value []byte) {
	if !jsonraw.IsNull(value) {
		a.native.Aside = append(a.native.Aside, chat.Noted{Path: path, Name: name, Value: value})
	}
}

// lose records a member that is lost in a chat completion.
func (a *aside) lose(name, path string, value []byte) {
	a.note(name, path, value)
	a.dropped = providers.Lose(a.dropped, path)
}

// unseen records an item that only a provider with this format can read.
func (a *aside) unseen(name, path string, item []byte) {
	a.note(name, path, item)
	a.native.Unseen += int64(len(item))
}

// only records that the request cannot be made as a chat completion.
func (a *aside) only(err error) {
	if a.native.Only == nil {
		a.native.Only = err
	}
}

// others records the members of a value that are not among those that are read.
func (a *aside) others(value []byte, name, path string, read []string) {
	for member, inner := range jsonraw.Each(value) {
		if m := string(member); !slices.Contains(read, m) {
			a.note(name+"."+m, path+"."+m, inner)
		}
	}
}

// itemMembers are the members of input items that are read, or that only repeat what the
// provider itself said.
var itemMembers = []string{
	"type", "id", "status", "role", "content", "phase", "call_id", "name", "namespace", "arguments", "input", "output",
	"summary", "encrypted_content", "annotations", "created_by",
}

// partMembers are those of an item's parts.
var partMembers = []string{
	"type", "text", "annotations", "logprobs", "refusal", "image_url", "detail", "file_id", "file_url", "file_data", "filename",
	"input_audio", "prompt_cache_breakpoint",
}
