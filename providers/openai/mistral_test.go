package openai_test

import (
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

func TestMistral(t *testing.T) {
	providertest.Run(t, providertest.Subject{Adapter: openai.Mistral(), Dir: "testdata/mistral", Update: *update})
}

// What is sent upstream is valid according to the provider's own schema.
func TestMistralCallsAreValid(t *testing.T) {
	providertest.ValidCalls(t, "testdata/mistral", "mistral/openapi.yaml", "/components/schemas/ChatCompletionRequest")
}

// Audio is left out: Mistral counts it in addition to the prompt, and it is charged with the
// prompt.
func TestMistralCorpus(t *testing.T) {
	providertest.Corpus(t, openai.Mistral(), func(c *providertest.Recorded) bool {
		return c.API == "mistral-chat" && !slices.Contains(c.Features, "audio_in")
	})
}

func TestMistralEmbeddings(t *testing.T) {
	providertest.Embeddings(t, providertest.Subject{Adapter: openai.Mistral(), Dir: "testdata/mistral/embeddings", Update: *update})
}

func TestMistralEmbeddingsCorpus(t *testing.T) {
	providertest.EmbeddingCorpus(t, openai.Mistral(), func(c *providertest.Recorded) bool { return c.Provider == "mistral" })
}

// Mistral requires an answer between a tool result and the user, allows no system message
// after an answer, and must be told about an answer that it is to continue.
func TestMistralOrderOfRoles(t *testing.T) {
	const (
		user      = `{"role":"user","content":"hi"}`
		assistant = `{"role":"assistant","content":"One"}`
		calls     = `{"role":"assistant","content":"","tool_calls":[{"id":"ABCDEFGHI","type":"function","function":{"name":"f",` +
			`"arguments":"{}"}}]}`
		result = `{"role":"tool","tool_call_id":"ABCDEFGHI","content":"r"}`
		filler = `{"role":"assistant","content":"OK."}`
	)
	for _, c := range []struct{ from, to, lost string }{
		{user + "," + calls + "," + result + "," + user, user + "," + calls + "," + result + "," + filler + "," + user, ""},
		{user + "," + calls + "," + result, user + "," + calls + "," + result, ""},
		{user + "," + assistant + `,{"role":"system","content":"hi"}`, user + "," + assistant + "," + user, "messages.role"},
		{user + `,{"role":"assistant","content":""},` + user, user + "," + user, ""},
		{user + `,{"role":"assistant","content":null},` + user, user + "," + user, ""},
		{
			user + `,{"role":"assistant","content":null,"refusal":"no"},` + user, user + `,{"role":"assistant","content":"no"},` + user, "",
		},
		{user + "," + assistant, user + `,{"role":"assistant","content":"One","prefix":true}`, ""},
		{
			`{"role":"system","content":"s"},` + user + `,{"role":"system","content":"s"}`,
			`{"role":"system","content":"s"},` + user + `,{"role":"system","content":"s"}`, "",
		},
	} {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[` + c.from + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		a := openai.Mistral()
		call, err := providers.Encode(providers.Exchange{Target: providers.Target{Upstream: "m", Adapter: a, Quirks: a.Quirks}, Request: r})
		if want := `{"model":"m","messages":[` + c.to + `]}`; err != nil || string(call.Body) != want ||
			strings.Join(call.Dropped, " ") != c.lost {
			t.Errorf("%s: sent %s, dropped %q, %v; want %s", c.from, call.Body, call.Dropped, err, want)
		}
	}
}
