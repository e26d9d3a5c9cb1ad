package ollama_test

import (
	"flag"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/ollama"
	"tallyroute/providers/providertest"
)

var update = flag.Bool("update", false, "rewrite what the adapter made of the exchanges in testdata")

// adapter returns the adapter with a stopped clock.
func adapter() providers.Adapter {
	return ollama.At(func() time.Time { return time.Unix(1767225600, 0) })
}

func TestAdapter(t *testing.T) {
	providertest.Run(t, providertest.Subject{
		Adapter: adapter(), Dir: "testdata", Update: *update,
		Skip: map[string]string{"content_refused": "Ollama has no content policy"},
	})
}

func TestCorpus(t *testing.T) {
	providertest.Corpus(t, adapter(), func(c *providertest.Recorded) bool {
		uncounted := c.Response.Status == 200 && !strings.Contains(c.Response.Body, "eval_count") // so the router counts the tokens itself
		return c.Family == "ollama-native" && !uncounted
	})
}

func FuzzAnswer(f *testing.F) {
	const line = `{"model":"m","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"a",` +
		`"tool_calls":[{"function":{"name":"f","arguments":{}}}]}`
	providertest.FuzzAnswers(f, adapter(), line+`,"done":true,"eval_count":3}`, line+"}\n"+line+`,"done":true}`+"\n",
		`{"error":"model 'm' not found"}`)
}
