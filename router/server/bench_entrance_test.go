package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/messages"
	"tallyroute/router/responses"
)

// BenchmarkEntrances measures turning a provider's answer of 100 pieces into what the client
// reads: a chat completion as it is, in the provider's own format, and translated.
func BenchmarkEntrances(b *testing.B) {
	said := func(event string) string { return "data: " + event + "\n\n" }
	chats := said(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant"},`+
		`"finish_reason":null}]}`) + strings.Repeat(said(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":`+
		`[{"index":0,"delta":{"content":" and then some words"},"finish_reason":null}]}`), 100) +
		said(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},`+
			`"finish_reason":"stop"}]}`) +
		said(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":12,`+
			`"completion_tokens":500,"total_tokens":512}}`) + said("[DONE]")
	said2 := said(`{"type":"message_start","message":{"id":"msg_01","model":"m","usage":{"input_tokens":12,"output_tokens":1}}}`) +
		said(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`) +
		strings.Repeat(said(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" and then some words"}}`), 100) +
		said(`{"type":"content_block_stop","index":0}`) +
		said(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":500}}`) + said(`{"type":"message_stop"}`)
	events := said(`{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"m","status":"in_progress",`+
		`"output":[]}}`) +
		said(`{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"type":"message","id":"msg_1",`+
			`"content":[]}}`) +
		said(`{"type":"response.content_part.added","sequence_number":2,"output_index":0,"content_index":0,"item_id":"msg_1",`+
			`"part":{"type":"output_text","text":""}}`) +
		strings.Repeat(said(`{"type":"response.output_text.delta","sequence_number":3,"output_index":0,"content_index":0,`+
			`"item_id":"msg_1",`+
			`"delta":" and then some words"}`), 100) +
		said(`{"type":"response.completed","sequence_number":4,"response":{"id":"resp_1","model":"m","status":"completed","output":[],`+
			`"usage":{"input_tokens":12,"output_tokens":500,"total_tokens":512}}}`)
	native := func(f providers.Format) *providers.Native {
		return &providers.Native{Format: f, Body: []byte(`{"model":"m"}`)}
	}
	for _, c := range []struct {
		name, family, upstream string
		speaks                 func() entrance
		native                 *providers.Native
	}{
		{"chat", "openai-chat", chats, func() entrance { return &completions{} }, nil},
		{"messages/same", "anthropic-messages", said2, func() entrance { return &asMessages{native: true} }, native(providers.Messages)},
		{"messages/translated", "openai-chat", chats, func() entrance { return &asMessages{stream: messages.Stream{}} }, nil},
		{"responses/same", "openai-responses", events, func() entrance { return responding(b, true) }, native(providers.Responses)},
		{"responses/translated", "openai-chat", chats, func() entrance { return responding(b, false) }, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := providers.Exchange{Target: providers.Target{Adapter: families[c.family], Model: "m", Upstream: "m"}, Native: c.native}
			var err error
			if x.Request, err = chat.ParseRequest([]byte(`{"model":"m","stream":true,"messages":[{"role":"user",` +
				`"content":"hi"}]}`)); err != nil {
				b.Fatal(err)
			}
			format := providers.Format("")
			if c.native != nil {
				format = c.native.Format
			}
			b.ReportAllocs()
			for b.Loop() {
				relayOnce(b, x, c.upstream, c.speaks(), format)
			}
		})
	}
}

func responding(b *testing.B, native bool) entrance {
	r, err := responses.Read([]byte(`{"model":"m","input":"hi","stream":true}`), chat.Limits{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return &asResponses{Request: r, stream: r.Stream(), native: native}
}

// relayOnce reads a stream and writes what the client gets.
func relayOnce(b *testing.B, x providers.Exchange, upstream string, speaks entrance, format providers.Format) {
	s := x.Target.Adapter.Chat.Stream(x, io.NopCloser(strings.NewReader(upstream)))
	n := newNaming("m")
	var shaped shape = &n
	if x.Native != nil {
		shaped = &native{format: format, model: []byte(`"m"`)}
	}
	var out bytes.Buffer
	for {
		c, err := s.Next()
		if err != nil {
			break
		}
		for _, e := range speaks.chunk(shaped.of(c.Data)) {
			out.Write(e.Name)
			out.Write(e.Data)
		}
	}
	for _, e := range speaks.end() {
		out.Write(e.Data)
	}
	if out.Len() < 1000 {
		b.Fatal(http.StatusText(http.StatusBadGateway), out.String())
	}
}
