// Package openai is the adapter for the OpenAI wire format: for OpenAI and everybody else who
// speaks it, with their declared differences, and with dialects for those who differ more. It
// decides what is changed in a request and what is read from a response; sending them is the
// client's task.
package openai

import (
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// dialect is how a provider of the format differs in ways that a quirk could not declare. The
// zero value is the format itself.
type dialect struct {
	// path returns the path of an operation; nil means below the base URL.
	path func(t providers.Target, operation string) string
	// rewrite changes a chat completion before anything else, and returns the names of what
	// is lost.
	rewrite func(r *chat.Request) (*chat.Request, []string, error)
}

// New returns the adapter for the format.
func New() providers.Adapter {
	return providers.Adapter{Chat: completions{}, Embed: embeddings{}, Quirks: providers.Quirks{Members: members()}}
}

const (
	completionsPath = "/chat/completions"
	embeddingsPath  = "/embeddings"
)

// at returns the path of an operation for t. If another path is declared for completions,
// embeddings are next to it.
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
