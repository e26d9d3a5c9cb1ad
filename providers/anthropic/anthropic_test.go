package anthropic_test

import (
	"flag"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

func clock() time.Time { return time.Unix(1_767_225_600, 0) }

// fixed returns the codec with a stopped clock.
func fixed() anthropic.Completions { return anthropic.At(anthropic.Host{Now: clock}) }

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: providers.Adapter{Chat: fixed()}, Dir: "testdata", Update: *update})
}

// TestHost covers hosts of Claude, where the path names the model and the body carries the
// version and the betas.
func TestHost(t *testing.T) {
	a := anthropic.At(anthropic.Host{
		Path:    func(x providers.Exchange) string { return "/models/" + anthropic.PathName(x) + ":rawPredict" },
		Version: "vertex-2023-10-16",
	})
	call, err := a.Encode(exchange(t, hi+`,"stream":true,"anthropic_beta":["one","two"]`))
	const want = `{"anthropic_version":"vertex-2023-10-16","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text",` +
		`"text":"hi"}]}],` +
		`"stream":true,"anthropic_beta":["one","two"]}`
	if err != nil || string(call.Body) != want || call.Path != "/models/claude-sonnet-4-5:rawPredict" || len(call.Header) > 0 {
		t.Errorf("sent %s to %s with %v (%v)", call.Body, call.Path, call.Header, err)
	}
}

// restarted is a stream that starts over after half a tool call. What was passed on can't be
// taken back, so it is an error here.
const restarted = "anthropic-messages-ec6312dd"

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, providers.Adapter{Chat: fixed()}, func(c *providertest.Recorded) bool {
		return c.Family == "anthropic-messages" && c.ID != restarted
	})
}

// What is sent upstream is valid by Anthropic's own schema.
func TestCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata", "anthropic/openapi.json", "/components/schemas/BetaCreateMessageParams")
}

func FuzzAnswer(f *testing.F) {
	const start = `event: message_start` + "\n" +
		`data: {"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1}}}` + "\n\n"
	providertest.FuzzAnswers(f, providers.Adapter{Chat: fixed()},
		start+`data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`+"\n\n"+
			`data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}`+"\n\n"+
			`data: {"type":"content_block_stop","index":0}`+"\r\n\r\n"+
			`data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":-2}}`+"\n\n",
		start+`data: {"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"","signature":""}}`+"\n\n"+
			`data: {"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"c2ln"}}`+"\n\n",
		`{"id":"m","content":[{"type":"text","text":"a"},{"type":"tool_use","id":1,"name":null,"input":[]}],"stop_reason":"end_turn",`+
			`"usage":{}}`,
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
}

// A token count that can't be true marks the usage as invalid, so that the router counts for
// itself and does not book zero.
func TestUsageThatLiesIsMarked(t *testing.T) {
	for _, input := range []string{"-1", "2.5", "1e30", `"7"`} {
		body := `{"id":"m","model":"c","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":` + input +
			`,"output_tokens":1}}`
		r, err := fixed().Decode(providers.Exchange{}, nil, []byte(body))
		if err != nil || !r.Usage.Invalid {
			t.Errorf("%s: %+v, %v", input, r.Usage, err)
		}
	}
}
