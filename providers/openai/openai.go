// Package openai is the adapter of the OpenAI wire format, for OpenAI and for
// everybody who speaks it, with their declared differences and, of those who
// differ more, in their dialects. It owns what is changed in a request and what
// is read of an answer; how either travels is the client's.
package openai

import (
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// dialect is what somebody who speaks the format does in another way than a quirk
// could declare. The zero value is the format itself.
type dialect struct {
	// path is where an operation is called; nil is below the base URL.
	path func(t providers.Target, operation string) string
	// rewrite changes a chat completion before all else, and names what is lost.
	rewrite func(r *chat.Request) (*chat.Request, []string, error)
}

// New is the adapter of the format.
func New() providers.Adapter {
	return providers.Adapter{Chat: completions{}, Embed: embeddings{}, Quirks: providers.Quirks{Members: members()}}
}

const (
	completionsPath = "/chat/completions"
	embeddingsPath  = "/embeddings"
)

// at is where an operation is called for t. Where another path is declared for
// completions, embeddings are beside it.
func (d dialect) at(t providers.Target, operation string) string {
	if d.path != nil {
		return d.path(t, operation)
	}
	if before, ok := strings.CutSuffix(t.Quirks.Path, completionsPath); ok {
		return before + operation
	}
	if t.Quirks.Path != "" && operation == completionsPath {
		return t.Quirks.Path
	}
	return operation
}
