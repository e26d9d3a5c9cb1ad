package chat_test

import (
	"testing"

	"tallyroute/providers/chat"
)

const delta = `{"id":"chatcmpl-CoyYRdfa0TGp1KbWLujcXZp137YYw","object":"chat.completion.chunk","created":1766265207,` +
	`"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_ee69c2ef48","choices":[{"index":0,` +
	`"delta":{"content":" wandering"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"kfjqpwo"}`

const last = `{"id":"chatcmpl-CoyYRdfa0TGp1KbWLujcXZp137YYw","object":"chat.completion.chunk","created":1766265207,` +
	`"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":1220,"completion_tokens":100,"total_tokens":1320,` +
	`"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":0,` +
	`"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}`

func BenchmarkParseChunk(b *testing.B) {
	for name, data := range map[string][]byte{"delta": []byte(delta), "usage": []byte(last)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chat.ParseChunk(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAddUsageMembers(b *testing.B) {
	b.ReportAllocs()
	data, members := []byte(last), []byte(`"cost":0.000123,"cost_details":{"input":0.0001}`)
	for b.Loop() {
		chat.AddUsageMembers(data, members)
	}
}
