package translate

import (
	"strconv"
	"strings"
)

// Own translates the path of a member of a chat completion into the client's own format.
// origins are the paths of the messages in the client's request, and names maps other members
// to what they are called there.
func Own(param string, origins []string, names map[string]string) string {
	end := strings.IndexAny(param, ".[")
	if end < 0 {
		end = len(param)
	}
	top, rest := param[:end], param[end:]
	if top == "messages" && strings.HasPrefix(rest, "[") {
		number, _, _ := strings.Cut(rest[1:], "]")
		if i, err := strconv.Atoi(number); err == nil && i < len(origins) {
			return origins[i]
		}
	}
	own, ok := names[top]
	switch {
	case !ok:
		return param
	case top == "tools" && strings.HasPrefix(rest, "["):
		rest = strings.Replace(strings.Replace(rest, ".function", "", 1), ".custom", "", 1)
		return own + strings.Replace(rest, ".parameters", names["parameters"], 1)
	}
	return own
}
