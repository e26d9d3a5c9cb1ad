package cohere

import (
	"net/http"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Fail reads a response whose status reports a failure.
func (completions) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	if _, ok := chat.ParseError(body); !ok {
		e := translate.Unread("cohere", status)
		e.Kind = kindOf(status)
		return e
	}
	return failure(status, body)
}

// failure describes an error object; status is 0 if it is unknown.
func failure(status int, body []byte) *providers.Error {
	d, _ := chat.ParseError(body)
	if d.Type == "" {
		d.Type = jsonraw.Text(jsonraw.Lookup(body, "error_type"))
	}
	return translate.Failed(classify(status, strings.ToLower(d.Message+" "+d.Type)), status, d)
}

// kindOf returns the kind for a status. Two statuses are Cohere's own: an invalid token, and
// a request that its client cancelled.
func kindOf(status int) providers.Kind {
	switch status {
	case 498:
		return providers.KindCredential
	case 499, 0:
		return providers.KindOverload
	}
	return providers.KindOf(status)
}

// signs lists phrases in messages, in lower case, and the statuses where they count.
var signs = []struct {
	kind   providers.Kind
	status []int // in which the phrases count
	says   []string
}{
	{providers.KindContext, []int{0, 400, 422}, []string{
		"too many tokens", "too_many_tokens", "maximum context", "context length",
		"size limit exceeded",
	}},
	{providers.KindContent, []int{0, 400, 403, 422}, []string{
		"blocked input", "blocked output", "content policy", "usage policy",
		"safety",
	}},
	{providers.KindUnknown, []int{0, 400}, []string{"model not found", "unknown model", "was removed", "no such model"}},
	{providers.KindCredential, []int{0, 400}, []string{"invalid api token", "invalid api key", "no api key"}},
	{providers.KindQuota, []int{0, 400, 403, 429}, []string{"calls / month", "per month", "monthly", "billing", "payment"}},
}

func classify(status int, message string) providers.Kind {
	for _, s := range signs {
		counts := false
		for _, in := range s.status {
			counts = counts || in == status
		}
		for _, said := range s.says {
			if counts && strings.Contains(message, said) {
				return s.kind
			}
		}
	}
	return kindOf(status)
}
