package server

import (
	"net/http"
	"strings"
	"testing"

	nativeresponses "tallyroute/providers/responses"
)

// compacted is a provider's compacted conversation.
const compacted = `{"id":"resp_theirs","object":"response.compaction","created_at":1,"output":[` +
	`{"type":"message","id":"msg_0","role":"user","status":"completed","content":[{"type":"input_text","text":"` +
	`a long story that the user told and that comes back as it was"}]},` +
	`{"type":"compaction","id":"cmp_1","encrypted_content":"gAAA"}],` +
	`"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":4},"output_tokens":7,"total_tokens":37}}`

func compactingRig(t *testing.T) (*rig, *wire) {
	g, _, _, _ := keepingRig(t)
	w := newWire(t)
	g.calls(w, nativeresponses.New(), "gpt-x")
	w.kind, w.answer = "application/json", []byte(compacted)
	return g, w
}

func TestConversationIsCompactedByItsOwnProvider(t *testing.T) {
	g, w := compactingRig(t)
	const body = `{"model":"native","input":[{"role":"user","content":"a long story"},` +
		`{"type":"compaction","id":"cmp_0","encrypted_content":"x"}],"instructions":"be brief","prompt_cache_key":"k"}`
	r := g.do(g.request(http.MethodPost, "/v1/responses/compact", body))
	if r.StatusCode != http.StatusOK || w.path != "/responses/compact" {
		t.Fatalf("asked at %s: %d %s", w.path, r.StatusCode, r.body)
	}
	if want := strings.Replace(body, `"native"`, `"gpt-x"`, 1); string(w.body) != want {
		t.Errorf("the provider is asked\n%s\nwant\n%s", w.body, want)
	}
	if until := strings.Index(compacted, `"total_tokens":37`); !strings.HasPrefix(r.body, compacted[:until]) ||
		!strings.Contains(r.body, `"cost":`) {
		t.Errorf("it is answered %s", r.body)
	}
	row := g.waitSettled().Attempts[0]
	if row.Tokens.Prompt() != 30 || row.Tokens.CacheRead != 4 || row.Tokens.Output != 7 || row.Disputed {
		t.Errorf("booked are %+v", row)
	}
}

func TestKeptConversationIsCompacted(t *testing.T) {
	g, w := compactingRig(t)
	w.answer = []byte(`{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"gpt-x",` +
		`"output":[{"type":"message",` +
		`"id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}],` +
		`"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}`)
	first, _ := g.respond(`{"model":"native","input":"one"}`)
	w.answer = []byte(compacted)
	r := g.do(g.request(http.MethodPost, "/v1/responses/compact", `{"model":"native","previous_response_id":"`+first+`"}`))
	sent := string(w.body)
	if r.StatusCode != http.StatusOK || !strings.Contains(sent, `"one"`) || !strings.Contains(sent, `"hello"`) ||
		strings.Contains(sent, first) {
		t.Errorf("%d %s; the provider is asked %s", r.StatusCode, r.body, sent)
	}
}

func TestConversationThatCannotBeCompactedIsRefused(t *testing.T) {
	g, w := compactingRig(t)
	for body, param := range map[string]string{
		`{"model":"m","input":"a story"}`:                          "model", // the provider only has chat completions
		`{"model":"native"}`:                                       "input",
		`{"model":"native","input":[]}`:                            "input",
		`{"model":"native","input":"x","stream":true}`:             "stream",
		`{"model":"native","input":"x","max_output_tokens":5}`:     "max_output_tokens",
		`{"model":"native","previous_response_id":"resp_nobodys"}`: "previous_response_id",
		`{"model":"native","input":"x","input":"y"}`:               "input",
		`{"model":"native","input":"x","conversation":"conv_1"}`:   "conversation",
	} {
		w.body = nil
		r := g.do(g.request(http.MethodPost, "/v1/responses/compact", body))
		if r.StatusCode < 400 || r.StatusCode >= 500 || !strings.Contains(r.body, `"param":"`+param+`"`) || w.body != nil {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
}
