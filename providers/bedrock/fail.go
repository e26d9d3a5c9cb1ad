package bedrock

import (
	"net/http"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Fail reads a response whose status reports a failure.
func (completions) Fail(_ providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	kind, text := said(h, body)
	if kind == "" && text == "" {
		return translate.Unread("bedrock", status)
	}
	return failed(status, kind, text)
}

// said returns an exception's name and message. The name is in a header, or in the body
// after a namespace.
func said(h http.Header, body []byte) (kind, text string) {
	kind = h.Get("X-Amzn-Errortype")
	for name, raw := range jsonraw.Each(body) {
		switch string(name) {
		case "message", "Message":
			text = jsonraw.Text(raw)
		case "__type", "code":
			if kind == "" {
				kind = jsonraw.Text(raw)
			}
		}
	}
	kind, _, _ = strings.Cut(kind, ":")
	return kind[strings.LastIndexByte(kind, '#')+1:], text
}

// failed returns the error for an exception; status is 0 if it is unknown.
func failed(status int, kind, text string) *providers.Error {
	d := chat.Error{Type: kind, Message: text}
	known := exceptions[strings.ToLower(strings.TrimSuffix(kind, "Exception"))]
	if status == 0 || status/100 == 2 {
		status = known.status
	}
	if status == 0 {
		status = http.StatusInternalServerError
	}
	e := &providers.Error{Kind: known.kind, Status: status, Detail: d, Err: &d}
	if e.Kind == "" {
		e.Kind = providers.KindOf(status)
	}
	if k := spoken(strings.ToLower(text)); k != "" && (e.Kind == providers.KindRequest || e.Kind == providers.KindRate) {
		if e.Kind == providers.KindRequest || k == providers.KindQuota {
			e.Kind = k
		}
	}
	return e
}

// exception is what an exception's name tells about it.
type exception struct {
	status int
	kind   providers.Kind
}

// exceptions are those of the Bedrock Runtime API, and the ones common to all of AWS.
var exceptions = map[string]exception{
	"accessdenied":               {403, providers.KindCredential},
	"unrecognizedclient":         {403, providers.KindCredential},
	"expiredtoken":               {403, providers.KindCredential},
	"invalidsignature":           {403, providers.KindCredential},
	"incompletesignature":        {403, providers.KindCredential},
	"missingauthenticationtoken": {403, providers.KindCredential},
	"notauthorized":              {403, providers.KindCredential},
	"optinrequired":              {403, providers.KindCredential},
	"throttling":                 {429, providers.KindRate},
	"toomanyrequests":            {429, providers.KindRate},
	"servicequotaexceeded":       {400, providers.KindQuota},
	"resourcenotfound":           {404, providers.KindUnknown},
	"validation":                 {400, providers.KindRequest},
	"serialization":              {400, providers.KindRequest},
	"conflict":                   {409, providers.KindRequest},
	"modelnotready":              {429, providers.KindOverload},
	"modelerror":                 {424, providers.KindOverload},
	"modelstreamerror":           {424, providers.KindOverload},
	"modeltimeout":               {408, providers.KindOverload},
	"requesttimeout":             {408, providers.KindOverload},
	"internalserver":             {500, providers.KindOverload},
	"internalfailure":            {500, providers.KindOverload},
	"serviceunavailable":         {503, providers.KindOverload},
	"requestexpired":             {403, providers.KindCredential},
	"invalidclienttokenid":       {403, providers.KindCredential},
}

// spoken classifies an error by its message, where the exception says too little; "" if
// the message does not help.
func spoken(message string) providers.Kind {
	for _, w := range words {
		for _, text := range w.says {
			if strings.Contains(message, text) {
				return w.kind
			}
		}
	}
	return ""
}

var words = []struct {
	kind providers.Kind
	says []string // in lower case
}{
	{providers.KindContext, []string{
		"input is too long", "prompt is too long", "exceed context limit", "maximum context length", "context window",
		"too many input tokens",
		"exceeds the maximum number of tokens", "input tokens exceed", "expected maxlength", "context length",
	}},
	{providers.KindContent, []string{"content filter", "content policy", "blocked by", "responsible ai", "guardrail intervened"}},
	{providers.KindUnknown, []string{
		"model identifier is invalid", "on-demand throughput isn", "end of its life", "marked by provider as legacy", "access to the model",
		"model id is not supported", "doesn't support the model",
	}},
	{providers.KindQuota, []string{"tokens per day", "daily limit", "payment instrument"}},
}
