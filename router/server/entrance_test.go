package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"tallyroute/providers"
)

// Requests in the other formats for the rig's model.
const (
	hiMessage  = `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`
	hiResponse = `{"model":"m","input":"hi"}`
)

func streamed(body string) string { return strings.TrimSuffix(body, "}") + `,"stream":true}` }

func TestEntrancesAnswerInTheirOwnFormat(t *testing.T) {
	for _, c := range []struct {
		path, body        string
		whole             []string
		first, last, once string // events, and what a stream says about its usage
	}{
		{
			"/v1/messages", hiMessage,
			[]string{`"type":"message"`, `"stop_reason":"end_turn"`, `"input_tokens":`, `"cost":`},
			"event: message_start\n", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", `"output_tokens":`,
		},
		{
			"/v1/responses", hiResponse,
			[]string{`"object":"response"`, `"status":"completed"`, `"input_tokens":`, `"cost":`},
			"event: response.created\n", "\"background\":false,\"store\":false,\"usage\":", `"total_tokens":`,
		},
		{
			"/messages", hiMessage,
			[]string{`"type":"message"`},
			"event: message_start\n", "event: message_stop\n", `"output_tokens":`,
		},
	} {
		g := newRig(t)
		r := g.do(g.request(http.MethodPost, c.path, c.body))
		for _, want := range c.whole {
			if r.StatusCode != http.StatusOK || !strings.Contains(r.body, want) {
				t.Errorf("%s: %s is missing in %d %s", c.path, want, r.StatusCode, r.body)
			}
		}
		if r.Header.Get("X-Tallyroute-Cost-Usd") == "" {
			t.Errorf("%s: the header does not tell the cost", c.path)
		}
		g.streams(text("hel"), text("lo"), finish(), usageOnly())
		r = g.do(g.request(http.MethodPost, c.path, streamed(c.body)))
		if !strings.HasPrefix(r.body, c.first) || !strings.Contains(r.body, c.last) || !strings.Contains(r.body, c.once) ||
			strings.Contains(r.body, "[DONE]") {
			t.Errorf("%s streams %s", c.path, r.body)
		}
	}
}

func TestMessageStartTellsACountAndNoBound(t *testing.T) {
	g := newRig(t)
	g.streams(text("hello"), finish(), usageOnly())
	r := g.do(g.request(http.MethodPost, "/v1/messages", streamed(hiMessage)))
	if !strings.Contains(r.body, `"usage":{"input_tokens":2,`) || !strings.Contains(r.body, `"input_tokens":10,`) {
		t.Errorf("it streams %s", r.body)
	}
}

func TestEntrancesTellErrorsInTheirOwnFormat(t *testing.T) {
	for path, c := range map[string]struct{ body, whole, broken string }{
		"/v1/messages":  {hiMessage, `{"type":"error","error":{"type":"not_found_error",`, "event: error\ndata: {\"type\":\"error\""},
		"/v1/responses": {hiResponse, `{"error":{"message":"There is no model`, "event: response.failed\n"},
	} {
		g := newRig(t)
		r := g.do(g.request(http.MethodPost, path, strings.Replace(c.body, `"m"`, `"none"`, 1)))
		if r.StatusCode != http.StatusNotFound || !strings.HasPrefix(r.body, c.whole) || !strings.Contains(r.body, "model_not_found") {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
		r = g.do(g.request(http.MethodPost, path, `{"model":7}`))
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, `"param":"model"`) {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
		g.streams(text("hel"), event{err: io.ErrUnexpectedEOF})
		r = g.do(g.request(http.MethodPost, path, streamed(c.body)))
		if i := strings.LastIndex(r.body, "event: "); i < 0 || !strings.HasPrefix(r.body[i:], c.broken) {
			t.Errorf("%s: a stream that breaks ends with %s", path, r.body)
		}
	}
}

func TestResponsesShapedBodyIsServedAsAChat(t *testing.T) {
	g := newRig(t)
	r := g.chat(`{"model":"m","input":[{"role":"user","content":"hi"}],"stream":false}`)
	if r.StatusCode != http.StatusOK || !strings.Contains(r.body, `"object":"chat.completion"`) {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestPromptsAreCountedWithoutACall(t *testing.T) {
	g := newRig(t)
	g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
		t.Error("a provider was called")
		return plainAnswer(), nil
	}
	for path, body := range map[string]string{
		"/v1/messages/count_tokens":  `{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
		"/v1/responses/input_tokens": hiResponse,
	} {
		r := g.do(g.request(http.MethodPost, path, body))
		if n, _ := r.object(t)["input_tokens"].(float64); n < 1 || r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
}

func TestModelsAreListedForAnthropicsClients(t *testing.T) {
	g := newRig(t)
	if r := g.get("/v1/models", "Anthropic-Version", "2023-06-01"); !strings.Contains(r.body, `"has_more":false`) ||
		!strings.Contains(r.body, `"type":"model"`) {
		t.Errorf("the list is %s", r.body)
	}
	if r := g.get("/v1/models/m", "Anthropic-Version", "2023-06-01"); !strings.Contains(r.body, `"display_name":"m"`) {
		t.Errorf("the model is %s", r.body)
	}
}

func TestErrorsNameTheMembersOfTheClientsOwnFormat(t *testing.T) {
	g := newRig(t)
	const message = `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"a"}]`
	for _, c := range []struct{ path, body, param string }{
		{"/v1/responses", `{"model":"m","input":[]}`, "input"},
		{"/v1/responses", `{"model":"m","input":"hi","max_output_tokens":0}`, "max_output_tokens"},
		{"/v1/responses", `{"model":"m","input":"hi","max_output_tokens":1e99}`, "max_output_tokens"},
		{"/v1/responses", `{"model":"m","instructions":"x","input":[{"role":"user","content":"a"},` +
			`{"type":"function_call_output","call_id":"c",` +
			`"output":[{"type":"input_text","text":5}]}]}`, "input[1].output[0].text"},
		{"/v1/messages", `{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"a"}]}`, "max_tokens"},
		{"/v1/messages", `{"model":"m","max_tokens":5,"messages":[]}`, "messages"},
		{"/v1/messages", message + `,"thinking":{"type":"often"}}`, "thinking.type"},
		{"/v1/messages", message + `,"tools":[{"name":"f","input_schema":{}}],` +
			`"tool_choice":{"type":"tool","name":"g"}}`, "tool_choice.name"},
		{
			"/v1/messages", message + `,"tool_choice":{"type":"tool","name":"g"}}`,
			"tool_choice.name",
		},
	} {
		r := g.do(g.request(http.MethodPost, c.path, c.body))
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, `"param":"`+c.param+`"`) {
			t.Errorf("%s %s: %d %s, want a 400 that names %s", c.path, c.body, r.StatusCode, r.body, c.param)
		}
	}
}
