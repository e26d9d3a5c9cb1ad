package messages

import (
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// usage converts the usage of a chat completion. Tokens read from or written to a cache are
// counted separately from input_tokens here.
func usage(chat []byte, tier string) jsonraw.Object {
	o := counts(chat)
	o.Some("service_tier", tier)
	if tier == "" {
		o.Word("service_tier", "null")
	}
	o.Word("inference_geo", "null")
	return o
}

// tier returns the service tier that answered, by Anthropic's name, or "".
func tier(completion []byte) string {
	switch t := jsonraw.Text(jsonraw.Lookup(completion, "service_tier")); t {
	case "default":
		return "standard"
	case "standard", "priority", "batch":
		return t
	}
	return ""
}

// counts returns usage with only the members that the end of a stream reports.
func counts(chat []byte) jsonraw.Object {
	var n translate.Counter
	prompt, output := n.At(chat, "prompt_tokens"), n.At(chat, "completion_tokens")
	read := n.At(chat, "prompt_tokens_details", "cached_tokens")
	written := n.At(chat, "prompt_tokens_details", "cache_write_tokens")
	var o jsonraw.Object
	o.Int("input_tokens", max(prompt-read-written, 0))
	o.Int("cache_creation_input_tokens", written)
	o.Int("cache_read_input_tokens", read)
	created := jsonraw.Present(jsonraw.Lookup(chat, "cache_creation"))
	if created == nil {
		created = []byte("null")
	}
	o.Raw("cache_creation", created)
	o.Word("server_tool_use", "null")
	o.Int("output_tokens", output)
	for _, name := range []string{"cost", "cost_details"} { // as in a chat completion
		o.Raw(name, jsonraw.Lookup(chat, name))
	}
	return o
}

// Usage returns the usage of a chat completion in the format of a message.
func Usage(chat []byte) []byte {
	o := counts(chat)
	return o.Bytes()
}
