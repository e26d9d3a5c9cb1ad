package responses

import "strings"

// between stands between a namespace and the tool of it, in the name that the function
// has in a chat.
const between = "__"

// names are those of tools in namespaces: the name in the chat → where it belongs.
type names map[string]member

type member struct{ namespace, name string }

// flat is the name of a tool in a chat.
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
