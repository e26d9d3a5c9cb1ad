package chat_test

import (
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// These functions run for every request or every chunk. A new allocation in one of them
// should be a deliberate decision.
func TestAllocations(t *testing.T) {
	data := body(4 << 10)
	r, err := chat.ParseRequest(data)
	if err != nil {
		t.Fatal(err)
	}
	set := []jsonraw.Member{set("model", `"upstream"`), set("max_tokens", "512"), set("stream_options", `{"include_usage":true}`)}
	chunk, usage := []byte(delta), []byte(last)
	tests := []struct {
		name string
		most float64
		f    func()
	}{
		{"ParseRequest", 4, func() { _, _ = chat.ParseRequest(data) }}, // the request, its members, its messages, the model
		{"Edit", 4, func() { _, _ = r.Edit(set, "user") }},             // the request, the body, its members, the model
		{"Get", 0, func() { r.Get("messages") }},
		{"Needs", 0, func() { r.Needs() }},
		{"ParseChunk", 1, func() { _, _ = chat.ParseChunk(chunk) }}, // the text
		{"ParseChunk of usage", 1, func() { _, _ = chat.ParseChunk(usage) }},
	}
	for _, tt := range tests {
		if n := testing.AllocsPerRun(100, tt.f); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v", tt.name, n, tt.most)
		}
	}
}
