package bedrock_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/chat"
)

// What Nova looks up and runs itself is counted, streamed or not; searches count once per
// prompt.
func TestToolsOfTheProviderAreCounted(t *testing.T) {
	const (
		search = `{"toolUse":{"toolUseId":"t","type":"server_tool_use","name":"nova_grounding","input":{"q":"x"}}}`
		code   = `{"toolUse":{"toolUseId":"t","type":"server_tool_use","name":"nova_code_interpreter","input":{}}}`
		other  = `{"toolUse":{"toolUseId":"t","type":"server_tool_use","name":"nova_surprise","input":{}}}`
		usage  = `{"inputTokens":12,"outputTokens":7,"totalTokens":19}`
	)
	want := chat.Metered{{Meter: chat.MeterGrounding, N: 1}, {Meter: chat.MeterCodeExecution, N: 2}, {Meter: chat.MeterToolCall, N: 1}}
	a := bedrock.At(clock).Chat
	request, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	x := providers.Exchange{Target: providers.Target{Upstream: "amazon.nova-2-lite-v1:0"}, Request: request}
	blocks := []string{search, search, code, `{"text":"x"}`, code, other}
	whole, err := a.Decode(x, http.Header{}, []byte(`{"usage":`+usage+`,"output":{"message":{"role":"assistant","content":[`+
		strings.Join(blocks, ",")+`]}},"stopReason":"end_turn"}`))
	if err != nil || !slices.Equal(whole.Usage.Metered, want) {
		t.Errorf("%v, %v", whole, err)
	}
	events := "messageStart {\"role\":\"assistant\"}\n"
	for _, b := range blocks {
		if b != `{"text":"x"}` {
			events += `contentBlockStart {"contentBlockIndex":0,"start":` + b + "}\n" + `contentBlockStop {"contentBlockIndex":0}` + "\n"
		}
	}
	events += "messageStop {\"stopReason\":\"end_turn\"}\nmetadata {\"usage\":" + usage + "}\n"
	body := wire(t)(http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}}, []byte(events))
	stream := a.Stream(x, io.NopCloser(strings.NewReader(string(body))))
	var told chat.Metered
	for {
		c, err := stream.Next()
		if err != nil {
			break
		}
		if c.Usage != nil {
			told = c.Usage.Metered
		}
	}
	if !slices.Equal(told, want) {
		t.Errorf("streamed: %v", told)
	}
}
