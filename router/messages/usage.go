package messages

import (
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// usage converts the usage of a chat completion. Tokens read from or written to a cache are
// counted separately from input_tokens here.
func usage(chat []byte) jsonraw.Object {
	var n translate.Counter
	prompt, output := n.At(chat, "prompt_tokens"), n.At(chat, "completion_tokens")
	read := n.At(chat, "prompt_tokens_details", "cached_tokens")
	written := n.At(chat, "prompt_tokens_details", "cache_write_tokens")
	var o jsonraw.Object
	o.Int("input_tokens", max(prompt-read-written, 0))
	o.Int("cache_creation_input_tokens", written)
	o.Int("cache_read_input_tokens", read)
	o.Raw("cache_creation", jsonraw.Present(jsonraw.Lookup(chat, "cache_creation")))
	o.Int("output_tokens", output)
	for _, name := range []string{"cost", "cost_details"} { // as in a chat completion
		o.Raw(name, jsonraw.Lookup(chat, name))
	}
	return o
}

// Usage returns the usage of a chat completion in the format of a message.
func Usage(chat []byte) []byte {
	o := usage(chat)
	return o.Bytes()
}
