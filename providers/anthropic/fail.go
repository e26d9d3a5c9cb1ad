package anthropic

import (
	"net/http"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// Fail reads a response whose status reports a failure.
func (Completions) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	d, ok := chat.ParseError(body)
	if !ok {
		return translate.Unread("anthropic", status)
	}
	return &providers.Error{Kind: Classify(status, d), Status: status, Detail: d, Err: &d}
}

// inBody returns the error for an error object that arrived under a status that does not
// reflect it: in a stream, or as a whole response.
func inBody(body []byte) *providers.Error {
	d, _ := chat.ParseError(body)
	return said(d)
}

func said(d chat.Error) *providers.Error {
	status := statusOf(d.Type)
	return &providers.Error{Kind: Classify(status, d), Status: status, Detail: d, Err: &d}
}

// statusOf returns the status that Anthropic documents for a type of error.
func statusOf(kind string) int {
	switch kind {
	case "invalid_request_error":
		return http.StatusBadRequest
	case "authentication_error":
		return http.StatusUnauthorized
	case "billing_error":
		return http.StatusPaymentRequired
	case "permission_error":
		return http.StatusForbidden
	case "not_found_error":
		return http.StatusNotFound
	case "request_too_large":
		return http.StatusRequestEntityTooLarge
	case "rate_limit_error":
		return http.StatusTooManyRequests
	case "timeout_error":
		return http.StatusGatewayTimeout
	case "overloaded_error":
		return 529
	}
	return http.StatusInternalServerError
}

// words lists phrases, in lower case, that classify an error whose type alone says too little.
var words = []struct {
	kind providers.Kind
	says []string
}{
	{providers.KindContext, []string{
		"prompt is too long", "exceed context limit", "exceeds the maximum context", "context window", "input is too long",
		"maximum number of tokens",
	}},
	{providers.KindContent, []string{"content filtering policy", "content filter", "usage policy", "safety guidelines"}},
	{providers.KindQuota, []string{"credit balance", "usage limit", "spend limit", "billing"}},
	{providers.KindUnknown, []string{"model:", "model identifier", "model not found"}},
}

// Classify returns the kind of an error, which says whose fault it is.
func Classify(status int, d chat.Error) providers.Kind {
	switch d.Type {
	case "rate_limit_error":
		return providers.KindRate
	case "overloaded_error", "timeout_error", "api_error":
		return providers.KindOverload
	case "billing_error":
		return providers.KindQuota
	case "authentication_error", "permission_error":
		return providers.KindCredential
	}
	message := strings.ToLower(d.Message)
	if status >= 400 && status < 500 && status != http.StatusTooManyRequests {
		for _, w := range words {
			if w.kind == providers.KindUnknown && status != http.StatusNotFound {
				continue
			}
			for _, text := range w.says {
				if strings.Contains(message, text) {
					return w.kind
				}
			}
		}
	}
	if d.Type == "not_found_error" && strings.Contains(message, "file") {
		return providers.KindRequest // something else that the request names, not the model
	}
	return providers.KindOf(status)
}
