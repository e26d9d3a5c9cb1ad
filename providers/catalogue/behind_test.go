package catalogue

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/chat"
	"tallyroute/providers/cohere"
	"tallyroute/providers/gemini"
	"tallyroute/providers/openai"
	"tallyroute/providers/responses"
)

// If a provider reports its usage again at or after the end of a stream, a larger value counts
// and a smaller one does not. If a stream contains several responses, all are billed. It makes no
// difference how the stream is split into reads.
func TestLargerUsageBehindTheEndOfAStreamIsTold(t *testing.T) {
	const (
		oHead  = `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[`
		oDone  = oHead + `{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}`
		oUsage = oHead + `],"usage":{"prompt_tokens":8,"completion_tokens":N}}`
		aStart = `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],` +
			`"usage":{"input_tokens":8,"output_tokens":1}}}`
		aDelta = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":N}}`
		aStop  = `{"type":"message_stop"}`
		rDone  = `{"type":"response.completed","response":{"id":"r","object":"response","model":"m","status":"completed","output":[` +
			`{"type":"message","content":[{"type":"output_text","text":"x"}]}],"usage":{"input_tokens":8,"output_tokens":N}}}`
		cEnd = `{"id":"c","type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{` +
			`"billed_units":{"input_tokens":8,"output_tokens":N},"tokens":{"input_tokens":8,"output_tokens":N}}}}`
		google = `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"x"}]},"finishReason":"STOP"}],` +
			`"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":N}}`
		rBegun = `{"type":"response.in_progress","response":{"id":"r","usage":{"input_tokens":8,"output_tokens":N}}}`
	)
	n := func(event, tokens string) string { return strings.ReplaceAll(event, "N", tokens) }
	other := func(event string) string { return strings.Replace(event, `"id":"`, `"id":"x`, 1) }
	for name, c := range map[string]struct {
		adapter providers.Adapter
		events  []string
		native  bool
		prompt  int64 // 8 for each response
	}{
		"openai":                      {openai.New(), []string{oDone, n(oUsage, "2"), "[DONE]", n(oUsage, "7"), n(oUsage, "3")}, false, 8},
		"anthropic, before the end":   {anthropic.New(), []string{aStart, n(aDelta, "2"), n(aDelta, "7"), aStop}, false, 8},
		"anthropic, behind the end":   {anthropic.New(), []string{aStart, n(aDelta, "2"), aStop, n(aDelta, "7"), n(aDelta, "3")}, false, 8},
		"anthropic, a second message": {anthropic.New(), []string{aStart, n(aDelta, "2"), aStop, aStart, n(aDelta, "7"), aStop}, false, 8},
		"anthropic, as it came":       {anthropic.New(), []string{aStart, n(aDelta, "2"), aStop, n(aDelta, "7")}, true, 8},
		"responses":                   {responses.New(), []string{n(rDone, "2"), n(rDone, "7"), n(rDone, "3")}, false, 8},
		"responses, as it came":       {responses.New(), []string{n(rDone, "2"), n(rDone, "7")}, true, 8},
		"anthropic, another message": {
			anthropic.New(), []string{aStart, n(aDelta, "2"), aStop, other(aStart), n(aDelta, "5"), aStop}, false, 16,
		},
		"responses, several": {
			responses.New(),
			[]string{n(rDone, "2"), "[DONE]", other(n(rDone, "3")), other(n(rDone, "1")), other(other(n(rDone, "2")))},
			false, 24,
		},
		"responses, several, as they came": {responses.New(), []string{n(rDone, "2"), other(n(rDone, "5"))}, true, 16},
		"responses, more before the end":   {responses.New(), []string{n(rBegun, "7"), n(rDone, "2")}, false, 8},
		"anthropic, more at the start": {
			anthropic.New(), []string{strings.Replace(aStart, `_tokens":1}`, `_tokens":7}`, 1), n(aDelta, "2"), aStop}, false, 8,
		},
		"gemini": {gemini.New(), []string{n(google, "7"), n(google, "2")}, false, 8},
		"cohere": {cohere.New(), []string{n(cEnd, "2"), n(cEnd, "7"), n(cEnd, "3")}, false, 8},
	} {
		request, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		x := providers.Exchange{Operation: providers.Chat, Target: providers.Target{Upstream: "m", Adapter: c.adapter}, Request: request}
		if c.native {
			x.Native = &providers.Native{}
		}
		body := strings.NewReader("data: " + strings.Join(c.events, "\n\ndata: ") + "\n\n")
		s := c.adapter.Chat.Stream(x, io.NopCloser(iotest.OneByteReader(body)))
		var last *chat.Usage
		for err == nil {
			var chunk chat.Chunk
			if chunk, err = s.Next(); err == nil && chunk.Usage != nil {
				last = chunk.Usage
			}
		}
		told := s.Told().Usage
		if !errors.Is(err, io.EOF) || last == nil || told == nil || last.Output != 7 || told.Output != 7 || told.Input != c.prompt {
			t.Errorf("%s: %v, last told %+v, in all %+v", name, err, last, told)
		}
	}
}
