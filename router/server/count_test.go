package server

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"tallyroute/providers/vertex"
)

func TestPromptsAreCountedByTheirProviders(t *testing.T) {
	const message = `{"model":"native","system":"be brief","messages":[{"role":"user","content":"hi"}],"metadata":{"user_id":"u"}}`
	const response = `{"model":"native","input":"hi","metadata":{"a":"b"},"max_output_tokens":50}`
	for _, c := range []struct {
		family, upstream, path, body, answer string
		at                                   string // where the provider is called
		sent, not                            []string
	}{
		{
			"anthropic-messages", "claude-x", "/v1/messages/count_tokens", message, `{"input_tokens":4711}`,
			"/messages/count_tokens",
			[]string{`"model":"claude-x"`, `"system":"be brief"`},
			[]string{"metadata", "max_tokens"},
		},
		{
			"anthropic-messages", "claude-x", "/v1/responses/input_tokens", response, `{"input_tokens":4711}`, "/messages/count_tokens",
			[]string{`"model":"claude-x"`, `"messages"`},
			[]string{"metadata", "max_tokens"},
		},
		{
			"vertex", "claude-x", "/v1/messages/count_tokens", message, `{"input_tokens":4711}`,
			"/publishers/anthropic/models/count-tokens:rawPredict",
			[]string{`"model":"claude-x"`, `"anthropic_version":"vertex-2023-10-16"`},
			[]string{"metadata"},
		},
		{
			"vertex", "gemini-x", "/v1/messages/count_tokens", message, `{"totalTokens":4711}`,
			"/publishers/google/models/gemini-x:countTokens",
			[]string{`{"contents":[`, `"systemInstruction"`},
			[]string{"generateContentRequest"},
		},
		{
			"gemini", "gemini-x", "/v1/messages/count_tokens", message, `{"totalTokens":4711}`, "/models/gemini-x:countTokens",
			[]string{`{"generateContentRequest":{`, `"model":"models/gemini-x"`},
			nil,
		},
		{
			"bedrock-converse", "anthropic.claude-x", "/v1/messages/count_tokens", message, `{"inputTokens":4711}`,
			"/model/anthropic.claude-x/count-tokens",
			[]string{`{"input":{"converse":{"messages":`, `"system"`},
			[]string{"inferenceConfig"},
		},
		{
			"bedrock-invoke", "anthropic.claude-x", "/v1/messages/count_tokens", message, `{"inputTokens":4711}`,
			"/model/anthropic.claude-x/count-tokens",
			[]string{`{"input":{"invokeModel":{"body":"`},
			nil,
		},
		{
			"openai-responses", "gpt-x", "/v1/responses/input_tokens", response, `{"object":"response.input_tokens","input_tokens":4711}`,
			"/responses/input_tokens",
			[]string{`"model":"gpt-x"`, `"input":"hi"`},
			[]string{"metadata", "max_output_tokens", "store"},
		},
	} {
		w := newWire(t)
		w.kind, w.answer = "application/json", []byte(c.answer)
		var at string
		w.Config.Handler = noting(&at, w.Config.Handler)
		g, family := newRig(t), families[c.family]
		if c.family == "vertex" {
			family = vertex.New()
		}
		g.calls(w, family, c.upstream)
		r := g.do(g.request(http.MethodPost, c.path, c.body))
		if r.StatusCode != http.StatusOK || r.object(t)["input_tokens"] != float64(4711) ||
			r.Header.Get("X-Tallyroute-Count") != "provider" {
			t.Errorf("%s: %d %s %s", c.family, r.StatusCode, r.Header.Get("X-Tallyroute-Count"), r.body)
		}
		if at != c.at {
			t.Errorf("%s: asked at %s, want %s", c.family, at, c.at)
		}
		for _, part := range c.sent {
			if !strings.Contains(string(w.body), part) {
				t.Errorf("%s: %s is missing in %s", c.family, part, w.body)
			}
		}
		for _, part := range c.not {
			if strings.Contains(string(w.body), part) {
				t.Errorf("%s: %s is in %s", c.family, part, w.body)
			}
		}
	}
}

// noting records which paths of h are called.
func noting(at *string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*at = r.URL.Path
		h.ServeHTTP(w, r)
	})
}

func TestBedrockCountsWhatInvokeModelWouldBeSent(t *testing.T) {
	w := newWire(t)
	w.kind, w.answer = "application/json", []byte(`{"inputTokens":7}`)
	g := newRig(t)
	g.calls(w, families["bedrock-invoke"], "anthropic.claude-x")
	g.do(g.request(http.MethodPost, "/v1/messages/count_tokens", `{"model":"native","thinking":{"type":"enabled","budget_tokens":2000},`+
		`"messages":[{"role":"user","content":"hi"}]}`))
	_, text, _ := strings.Cut(string(w.body), `"body":"`)
	text, _, _ = strings.Cut(text, `"`)
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !strings.Contains(string(body), `"max_tokens":2001`) || !strings.Contains(string(body), `"anthropic_version"`) {
		t.Errorf("it is sent %s (%v)", body, err)
	}
}

func TestPromptIsCountedByUsWhereItsProviderFails(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
	}{
		"fails": {http.StatusInternalServerError, `{}`}, "is not JSON": {http.StatusOK, "<html>"}, "has no count": {http.StatusOK, `{}`},
		"counts below 0": {http.StatusOK, `{"input_tokens":-5}`}, "has no counter": {http.StatusNotFound, `{}`},
	} {
		w := newWire(t)
		w.kind, w.status, w.answer = "application/json", c.status, []byte(c.answer)
		asked := 0
		handler := w.Config.Handler
		w.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { asked++; handler.ServeHTTP(rw, r) })
		g := newRig(t)
		g.calls(w, families["anthropic-messages"], "claude-x")
		for range 2 {
			r := g.do(g.request(http.MethodPost, "/v1/messages/count_tokens",
				`{"model":"native","messages":[{"role":"user","content":"hi"}]}`))
			if n, _ := r.object(t)["input_tokens"].(float64); r.StatusCode != http.StatusOK || n < 1 || n > 100 ||
				r.Header.Get("X-Tallyroute-Count") == "provider" {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		if once := c.status == http.StatusNotFound; (asked == 1) != once {
			t.Errorf("%s: it was asked %d times", name, asked)
		}
	}
}
