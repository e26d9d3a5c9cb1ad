package bedrock

import (
	"encoding/base64"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// counted returns a call that counts the tokens of the given input.
func counted(x providers.Exchange, call providers.Call, kind string, input []byte) (providers.Call, bool) {
	const at = "/count-tokens"
	call.Path, call.Header = path(x, at, at), nil
	call.Body = jsonraw.One("input", jsonraw.One(kind, input))
	return call, true
}

// Count turns a call into one that only counts the tokens of its prompt.
func (a completions) Count(x providers.Exchange, call providers.Call) (providers.Call, bool) {
	o := translate.Only(call.Body, "messages", "system", "toolConfig", "additionalModelRequestFields")
	return counted(x, call, "converse", o.Bytes())
}

// Counted reads the token count from the response to a counting call.
func (completions) Counted(body []byte) (int64, bool) { return translate.Counted(body, "inputTokens") }

// Count turns a call into one that only counts the tokens of its prompt. Claude requires a
// limit on the output, which a request that is only counted may lack.
func (a invoke) Count(x providers.Exchange, call providers.Call) (providers.Call, bool) {
	body := call.Body
	if familyOf(x.Target.Upstream) == claude && jsonraw.Lookup(body, "max_tokens") == nil {
		least, _ := strconv.ParseInt(string(jsonraw.Lookup(body, "thinking", "budget_tokens")), 10, 64) // 0 without a thinking budget
		body = jsonraw.Edit(body, []jsonraw.Member{{Name: "max_tokens", Value: strconv.AppendInt(nil, least+1, 10)}})
	}
	inner := jsonraw.One("body", jsonraw.Quote(base64.StdEncoding.EncodeToString(body)))
	return counted(x, call, "invokeModel", inner)
}

// Counted reads the token count from the response to a counting call.
func (a invoke) Counted(body []byte) (int64, bool) { return a.converse.Counted(body) }
