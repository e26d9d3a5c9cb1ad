package responses

import "strings"

// between separates a namespace from its tool in the name that the function has in a chat.
const between = "__"

// names maps the chat names of tools in namespaces to where they belong.
type names map[string]member

type member struct{ namespace, name string }

// flat returns the chat name of a tool.
func (n names) flat(namespace, name string) string {
	if namespace == "" {
		return name
	}
	flat := name
	if !strings.HasPrefix(name, namespace) {
		flat = strings.TrimSuffix(namespace, between) + between + name
	}
	n[flat] = member{namespace, name}
	return flat
}
