package anthropic

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// counts lists the members of a request that make up its prompt. The counting API
// accepts no others.
var counts = []string{
	"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "cache_control",
	"context_management", "mcp_servers", "speed",
}

// Count turns a call into one that only counts the tokens of its prompt.
func (a Completions) Count(x providers.Exchange, call providers.Call) (providers.Call, bool) {
	if a.host.Version != "" && a.host.Count == "" {
		return call, false
	}
	o := translate.Only(call.Body, counts...)
	call.Path = "/messages/count_tokens"
	if a.host.Count != "" {
		call.Path = a.host.Count
		o.Text("model", x.Target.Upstream)
		o.Text("anthropic_version", a.host.Version)
	}
	call.Body = o.Bytes()
	return call, true
}

// Counted reads the token count from the response to a counting call.
func (Completions) Counted(body []byte) (int64, bool) { return translate.Counted(body, "input_tokens") }
