package server

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"tallyroute/billing"
	"tallyroute/providers/chat"
)

// tagsHeader carries the client's own labels for a request's cost:
// "feature=checkout,run=42".
const tagsHeader = "X-Tallyroute-Tags"

// sessionHeader carries what the client calls the session of a request.
const sessionHeader = "X-Tallyroute-Session"

// agentSessions are the headers in which Claude Code and Codex tell theirs.
var agentSessions = []string{"X-Claude-Code-Session-Id", "Session_id", "Session-Id"}

// parseSession reads it; it returns a *chat.FieldError if it is invalid.
func parseSession(h http.Header) (string, error) {
	all := h.Values(sessionHeader)
	if len(all) == 0 || len(all) == 1 && all[0] == "" {
		for _, name := range agentSessions {
			if session := billing.CleanSession(h.Get(name)); session != "" {
				return session, nil
			}
		}
		return "", nil
	}
	if name := billing.CleanSession(all[0]); len(all) == 1 && name != "" {
		return name, nil
	}
	return "", &chat.FieldError{
		Code: codeInvalidValue, Param: strings.ToLower(sessionHeader),
		Message: fmt.Sprintf("want one name of at most %d printable ASCII characters without spaces", billing.LongestSession),
	}
}

const (
	maxTags     = 16
	maxTagName  = 64  // bytes
	maxTagValue = 256 // bytes
)

// parseTags reads the tags of a request; it returns a *chat.FieldError if they are invalid.
func parseTags(h http.Header) (map[string]string, error) {
	text := strings.Join(h.Values(tagsHeader), ",")
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	tags := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		_, twice := tags[name]
		switch {
		case !ok || !isTagName(name):
			return nil, badTags("want name=value pairs, separated by commas; a name has at most 64 letters, digits, '.', '_' or '-'")
		case len(value) > maxTagValue || !isPlain(value):
			return nil, badTags("the value of " + name + " is longer than 256 bytes or not plain text")
		case twice:
			return nil, badTags(name + " appears twice")
		case len(tags) == maxTags:
			return nil, badTags("more than 16 tags")
		}
		tags[name] = value
	}
	return tags, nil
}

func badTags(message string) error {
	return &chat.FieldError{Code: codeInvalidValue, Param: strings.ToLower(tagsHeader), Message: message}
}

func isTagName(s string) bool {
	return s != "" && len(s) <= maxTagName && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}

func isPlain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
