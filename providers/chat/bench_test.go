package chat_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// body returns a conversation of about size bytes, with a tool.
func body(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"model":"gpt-4o-mini","temperature":0.2,"stream":true,"stream_options":{"include_usage":true},"max_tokens":256,` +
		`"user":"u-1",` +
		`"tools":[{"type":"function","function":{"name":"weather","description":"The weather at a place.","parameters":{"type":"object",` +
		`"properties":{"place":{"type":"string","description":"a city"},"unit":{"type":"string","enum":["c","f"]}},"required":["place"]}}` +
		`}],"messages":[`)
	b.WriteString(`{"role":"system","content":"You are a helpful assistant."}`)
	for i := 0; b.Len() < size-300; i++ {
		role := []string{"user", "assistant"}[i%2]
		fmt.Fprintf(&b, `,{"role":%q,"content":"%s"}`, role,
			strings.Repeat(`The quick brown fox jumps over the lazy dog, and \"says\" so.\nThen it rests. `, 4))
	}
	b.WriteString(`,{"role":"user","content":[{"type":"text","text":"And now?"}]}]}`)
	return b.Bytes()
}

func sizes(b *testing.B, f func(b *testing.B, body []byte)) {
	for _, size := range []int{1 << 10, 4 << 10, 32 << 10} {
		data := body(size)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			f(b, data)
		})
	}
}

func BenchmarkParseRequest(b *testing.B) {
	sizes(b, func(b *testing.B, body []byte) {
		for b.Loop() {
			if _, err := chat.ParseRequest(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEdit(b *testing.B) {
	sizes(b, func(b *testing.B, body []byte) {
		r, err := chat.ParseRequest(body)
		if err != nil {
			b.Fatal(err)
		}
		set := []jsonraw.Member{
			{Name: "model", Value: []byte(`"upstream-model-2"`)},
			{Name: "max_tokens", Value: []byte(`512`)},
			{Name: "stream_options", Value: []byte(`{"include_usage":true}`)},
		}
		for b.Loop() {
			if _, err := r.Edit(set, "user"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPieces(b *testing.B) {
	sizes(b, func(b *testing.B, body []byte) {
		r, err := chat.ParseRequest(body)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			n := 0
			for m := range r.Messages() {
				for p := range m.Pieces() {
					n += len(p.Text)
				}
			}
		}
	})
}
