package cohere_test

import (
	"flag"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/cohere"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// adapter returns the adapter with a stopped clock.
func adapter() providers.Adapter {
	return cohere.At(func() time.Time { return time.Unix(1767225600, 0) })
}

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: adapter(), Dir: "testdata", Update: *update})
}

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, adapter(), func(c *providertest.Recorded) bool { return c.Family == "cohere-v2" })
}

// What is sent upstream is valid by the provider's own schema.
func TestCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata", "cohere/openapi.yaml", "/paths/~1v2~1chat/post/requestBody/content/application~1json/schema")
}

func FuzzAnswer(f *testing.F) {
	providertest.FuzzAnswers(f, adapter(),
		`{"id":"a","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"a"}]},`+
			`"usage":{"billed_units":{"input_tokens":1}}}`,
		"event: message-start\ndata: {\"id\":\"a\",\"type\":\"message-start\"}\n\n"+
			`data: {"type":"tool-call-start","delta":{"message":{"tool_calls":{"id":"c","function":{"name":"f"}}}}}`+"\n\n"+
			`data: {"type":"message-end","delta":{"finish_reason":"TOOL_CALL"}}`+"\n\ndata: [DONE]\n\n",
		`{"message":"too many tokens"}`)
}
