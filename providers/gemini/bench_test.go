package gemini

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
)

// BenchmarkStream translates an answer in 100 pieces of text.
func BenchmarkStream(b *testing.B) {
	var t strings.Builder
	for range 100 {
		t.WriteString(`data: {"candidates":[{"content":{"parts":[{"text":" and then some words"}],"role":"model"},"index":0}],` +
			`"modelVersion":"gemini-2.5-flash","responseId":"r1"}` + "\n\n")
	}
	t.WriteString(`data: {"candidates":[{"content":{"parts":[{"text":"."}],"role":"model"},"finishReason":"STOP","index":0}],` +
		`"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":500,"totalTokenCount":512},"responseId":"r1"}` + "\n\n")
	text := t.String()
	b.ReportAllocs()
	for b.Loop() {
		s := At(Host{Models: "/models/", Now: time.Now}).Chat.Stream(providers.Exchange{}, io.NopCloser(strings.NewReader(text)))
		for {
			if _, err := s.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
