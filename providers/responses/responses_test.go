package responses_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/providertest"
	"tallyroute/providers/responses"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// adapter returns the adapter with a stopped clock.
func adapter() providers.Adapter {
	return responses.At(func() time.Time { return time.Unix(1767225600, 0) })
}

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: adapter(), Dir: "testdata", Update: *update})
}

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, adapter(), func(c *providertest.Recorded) bool {
		glued := strings.Count(c.Response.Body, `"type":"response.created"`) > 1 // several responses in one recording
		return c.Family == "openai-responses" && !glued
	})
}

// What is sent upstream is valid by the provider's own schema.
func TestCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata", "openai/CreateResponse.schema.json", "/$defs/CreateResponse")
}

func FuzzAnswer(f *testing.F) {
	const message = `{"type":"message","content":[{"type":"output_text","text":"a"}]}`
	providertest.FuzzAnswers(f, adapter(),
		`{"id":"a","status":"completed","output":[`+message+`],"usage":{"input_tokens":1}}`,
		`data: {"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f"}}`+"\n\n"+
			`data: {"type":"response.function_call_arguments.done","output_index":0,"arguments":"{}"}`+"\n\n"+
			`data: {"type":"response.completed","response":{"status":"completed","output":[`+message+`]}}`+"\n\n",
		`{"error":{"message":"no","code":"rate_limit_exceeded"}}`)
}
