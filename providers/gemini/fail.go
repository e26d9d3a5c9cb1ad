package gemini

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Fail reads a response whose status reports a failure.
func (completions) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	object := first(body)
	d, ok := chat.ParseError(object)
	if !ok {
		return translate.Unread("gemini", status)
	}
	return describe(status, d, jsonraw.Lookup(object, "error"))
}

// first returns the error of a body that may be a list with one element.
func first(body []byte) []byte {
	for element := range jsonraw.Elements(body) {
		return element
	}
	return body
}

// failure returns the error in a reply with a success status, or nil if there is none.
func failure(data []byte) error {
	object := first(data)
	raw := jsonraw.Lookup(object, "error")
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	d, _ := chat.ParseError(object)
	status, err := strconv.Atoi(d.Code)
	if err != nil || status < 400 || status > 599 {
		status = 0
	}
	return describe(status, d, raw)
}

// describe classifies an error. Google's RPC status is more specific than the HTTP status,
// and the reason in the details is more specific still.
func describe(status int, d chat.Error, raw []byte) *providers.Error {
	word := jsonraw.Text(jsonraw.Lookup(raw, "status"))
	if d.Type == "" {
		d.Type = word
	}
	e := &providers.Error{Kind: classify(status, word, strings.ToLower(d.Message)), Status: status, Detail: d, Err: &d}
	for detail := range jsonraw.Elements(jsonraw.Lookup(raw, "details")) {
		look(e, detail)
	}
	if status == 0 && !e.Kind.Failover() {
		e.Status = http.StatusBadRequest
	}
	return e
}

// look reads one google.rpc detail.
func look(e *providers.Error, detail []byte) {
	kind := jsonraw.Text(jsonraw.Lookup(detail, "@type"))
	switch kind[strings.LastIndexByte(kind, '.')+1:] {
	case "RetryInfo":
		if d, err := time.ParseDuration(jsonraw.Text(jsonraw.Lookup(detail, "retryDelay"))); err == nil {
			e.RetryAfter = max(d, 0)
		}
	case "ErrorInfo":
		if k := reasons[jsonraw.Text(jsonraw.Lookup(detail, "reason"))]; k != "" {
			e.Kind = k
		}
	case "QuotaFailure":
		for violation := range jsonraw.Elements(jsonraw.Lookup(detail, "violations")) {
			if strings.Contains(jsonraw.Text(jsonraw.Lookup(violation, "quotaId")), "PerDay") {
				e.Kind = providers.KindQuota // it will not recover within a minute
			}
		}
	}
}

// reasons maps the reasons of google.rpc.ErrorInfo that decide the kind of an error.
var reasons = map[string]providers.Kind{
	"API_KEY_INVALID": providers.KindCredential, "API_KEY_EXPIRED": providers.KindCredential,
	"API_KEY_SERVICE_BLOCKED": providers.KindCredential, "SERVICE_DISABLED": providers.KindCredential,
	"CONSUMER_INVALID": providers.KindCredential, "CONSUMER_SUSPENDED": providers.KindCredential,
	"ACCESS_TOKEN_EXPIRED": providers.KindCredential, "ACCESS_TOKEN_SCOPE_INSUFFICIENT": providers.KindCredential,
	"CREDENTIALS_MISSING": providers.KindCredential, "BILLING_DISABLED": providers.KindQuota,
	"RATE_LIMIT_EXCEEDED": providers.KindRate,
}

// words maps the status codes of google.rpc.
var words = map[string]providers.Kind{
	"INVALID_ARGUMENT": providers.KindRequest, "FAILED_PRECONDITION": providers.KindRequest, "OUT_OF_RANGE": providers.KindRequest,
	"UNIMPLEMENTED": providers.KindRequest, "ALREADY_EXISTS": providers.KindRequest,
	"UNAUTHENTICATED": providers.KindCredential, "PERMISSION_DENIED": providers.KindCredential,
	"NOT_FOUND": providers.KindUnknown, "RESOURCE_EXHAUSTED": providers.KindRate,
	"UNAVAILABLE": providers.KindOverload, "INTERNAL": providers.KindOverload, "DEADLINE_EXCEEDED": providers.KindOverload,
	"ABORTED": providers.KindOverload, "CANCELLED": providers.KindOverload, "UNKNOWN": providers.KindOverload,
	"DATA_LOSS": providers.KindOverload,
}

// signs lists phrases in messages, in lower case, for when the code says only that the
// request was wrong.
var signs = []struct {
	kind providers.Kind
	says []string
}{
	{providers.KindContext, []string{
		"input token count", "maximum number of tokens", "context window", "context length", "prompt is too long", "too many tokens",
	}},
	{providers.KindContent, []string{
		"responsible ai", "safety filter", "safety setting", "usage guidelines", "usage policies", "prohibited use", "sensitive words",
		"content policy", "blocked by",
	}},
	{providers.KindCredential, []string{"api key", "location is not supported"}},
	{providers.KindQuota, []string{"enable billing", "billing account", "credits are depleted"}},
}

// classify returns the kind of an error; status is 0 if it is unknown.
func classify(status int, word, message string) providers.Kind {
	kind := words[word]
	if kind == "" {
		kind = providers.KindOverload
		if status != 0 {
			kind = providers.KindOf(status)
		}
	}
	for _, s := range signs {
		quota := s.kind == providers.KindQuota && kind == providers.KindRate
		if kind != providers.KindRequest && !quota {
			continue
		}
		for _, said := range s.says {
			if strings.Contains(message, said) {
				return s.kind
			}
		}
	}
	return kind
}
