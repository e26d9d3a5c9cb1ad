package anthropic

import (
	"errors"
	"io"
	"strings"
	"testing"

	"tallyroute/providers"
)

// BenchmarkStream translates an answer in 100 pieces of text.
func BenchmarkStream(b *testing.B) {
	var t strings.Builder
	event := func(s string) { t.WriteString("event: x\ndata: " + s + "\n\n") }
	event(`{"type":"message_start","message":{"id":"msg_01","model":"claude-sonnet-4-5","usage":{"input_tokens":12,"output_tokens":1}}}`)
	event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
	for range 100 {
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" and then some words"}}`)
	}
	event(`{"type":"content_block_stop","index":0}`)
	event(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":500}}`)
	event(`{"type":"message_stop"}`)
	text := t.String()
	b.ReportAllocs()
	for b.Loop() {
		s := At(Host{}).Stream(providers.Exchange{}, io.NopCloser(strings.NewReader(text)))
		for {
			if _, err := s.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
