package gemini

import (
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Count turns a call into one that only counts the tokens of its prompt.
func (a completions) Count(x providers.Exchange, call providers.Call) (providers.Call, bool) {
	at, _, ok := strings.Cut(a.path(x), ":")
	if !ok {
		return call, false
	}
	call.Path = at + ":countTokens"
	if a.Vertex {
		o := translate.Only(call.Body, "contents", "systemInstruction", "tools", "generationConfig")
		call.Body = o.Bytes()
		return call, true
	}
	model := jsonraw.Member{Name: "model", Value: jsonraw.Quote(strings.TrimPrefix(at, "/"))}
	call.Body = jsonraw.One("generateContentRequest", jsonraw.Edit(call.Body, []jsonraw.Member{model}))
	return call, true
}

// Counted reads the token count from the response to a counting call.
func (completions) Counted(body []byte) (int64, bool) { return translate.Counted(body, "totalTokens") }
