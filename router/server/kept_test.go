package server

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/sqlite"
	"tallyroute/providers"
	nativeresponses "tallyroute/providers/responses"
	"tallyroute/providers/secret/envelope"
	"tallyroute/router/kept"
)

// newShelf stores responses in a database of its own, with a clock that the test sets.
func newShelf(t *testing.T) (shelf *kept.Shelf, now *time.Time) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kept.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := envelope.ParseKey(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return &kept.Shelf{
		Store: store, Ring: envelope.NewRing(key), Life: time.Hour, Clock: func() time.Time { return at },
		Bounds: billing.ResponseBounds{Responses: 100, KeyBytes: 1 << 20, Bytes: 1 << 20},
	}, &at
}

// keepingRig serves a key whose responses are stored, and records what its provider is asked.
func keepingRig(t *testing.T) (g *rig, shelf *kept.Shelf, now *time.Time, asked *[]string) {
	t.Helper()
	shelf, now = newShelf(t)
	g = newRig(t, func(o *Options) { o.Responses = shelf })
	g.verifier.key.KeepResponses = true
	asked = &[]string{}
	g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		*asked = append(*asked, string(x.Request.Body()))
		return plainAnswer(), nil
	}
	return g, shelf, now, asked
}

// respond requests a response and returns its id.
func (g *rig) respond(body string) (id string, response map[string]any) {
	g.t.Helper()
	r := g.do(g.request(http.MethodPost, "/v1/responses", body))
	if r.StatusCode != http.StatusOK {
		g.t.Fatalf("%s: %d %s", body, r.StatusCode, r.body)
	}
	response = r.object(g.t)
	id, _ = response["id"].(string)
	return id, response
}

func TestConversationGoesOnFromAResponseThatIsKept(t *testing.T) {
	g, _, _, asked := keepingRig(t)
	first, response := g.respond(`{"model":"m","instructions":"be brief","input":"my number is 4711"}`)
	if response["store"] != true || !strings.HasPrefix(first, "resp_01") {
		t.Errorf("it is answered %v", response)
	}
	second, response := g.respond(`{"model":"m","previous_response_id":"` + first + `","input":[{"role":"user","content":"which?"}]}`)
	if response["previous_response_id"] != first || second == first {
		t.Errorf("it is answered %v", response)
	}
	g.respond(`{"model":"m","previous_response_id":"` + second + `","input":"again"}`)
	var sent struct {
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte((*asked)[2]), &sent); err != nil {
		t.Fatalf("the provider is asked %s: %v", (*asked)[2], err)
	}
	var said []string
	for _, m := range sent.Messages {
		said = append(said, m.Role+": "+string(m.Content))
	}
	part := func(text string) string { return `[{"type":"text","text":"` + text + `"}]` }
	want := []string{
		"user: " + part("my number is 4711"), "assistant: " + part("hello"), `user: "which?"`, "assistant: " + part("hello"),
		"user: " + part("again"),
	}
	if !slices.Equal(said, want) {
		t.Errorf("the provider is asked %q, want %q", said, want)
	}
}

func TestKeptResponseIsReadListedAndDeleted(t *testing.T) {
	g, _, _, _ := keepingRig(t)
	id, response := g.respond(`{"model":"m","input":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`)
	if r := g.get("/v1/responses/" + id); r.StatusCode != http.StatusOK || r.object(t)["id"] != id ||
		r.object(t)["created_at"] != response["created_at"] {
		t.Errorf("it is read as %d %s", r.StatusCode, r.body)
	}
	var page struct {
		Data []struct {
			ID, Type, Content string
		}
		HasMore bool   `json:"has_more"`
		LastID  string `json:"last_id"`
	}
	r := g.get("/v1/responses/" + id + "/input_items?limit=1")
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Data) != 1 || page.Data[0].Content != "b" || !page.HasMore {
		t.Errorf("the newest of its input is %s", r.body)
	}
	r = g.get("/v1/responses/" + id + "/input_items?after=" + page.LastID)
	if !strings.Contains(r.body, `"content":"a"`) || !strings.Contains(r.body, `"has_more":false`) {
		t.Errorf("what comes after that is %s", r.body)
	}
	g.get("/v1/responses/"+id+"/input_items?limit=0").refused(t, http.StatusBadRequest, "invalid_value")
	g.do(g.request(http.MethodPost, "/v1/responses/"+id+"/cancel", "")).refused(t, http.StatusBadRequest, "unsupported_parameter")
	r = g.do(g.request(http.MethodDelete, "/v1/responses/"+id, ""))
	if r.StatusCode != http.StatusOK || r.object(t)["deleted"] != true {
		t.Errorf("it is deleted with %d %s", r.StatusCode, r.body)
	}
	g.get("/v1/responses/"+id).refused(t, http.StatusNotFound, "response_not_found")
	r = g.do(g.request(http.MethodPost, "/v1/responses", `{"model":"m","input":"x","previous_response_id":"`+id+`"}`))
	r.refused(t, http.StatusNotFound, "previous_response_not_found")
}

func TestKeptResponseIsItsKeysAlone(t *testing.T) {
	g, _, now, _ := keepingRig(t)
	id, _ := g.respond(hiResponse)
	refused := func(who string) {
		t.Helper()
		for _, r := range []reply{
			g.get("/v1/responses/" + id), g.get("/v1/responses/" + id + "/input_items"),
			g.do(g.request(http.MethodDelete, "/v1/responses/"+id, "")),
			g.do(g.request(http.MethodPost, "/v1/responses/"+id+"/cancel", "")),
			g.do(g.request(http.MethodPost, "/v1/responses", `{"model":"m","input":"x","previous_response_id":"`+id+`"}`)),
		} {
			if r.StatusCode != http.StatusNotFound || !strings.Contains(r.body, "response_not_found") {
				t.Errorf("%s: %s %s: %d %s", who, r.Request.Method, r.Request.URL.Path, r.StatusCode, r.body)
			}
		}
	}
	g.verifier.key.ID = "key_2"
	refused("another key")
	g.verifier.key.ID = "key_1"
	if r := g.get("/v1/responses/" + id); r.StatusCode != http.StatusOK {
		t.Errorf("its own key: %d %s", r.StatusCode, r.body)
	}
	*now = now.Add(time.Hour)
	refused("its own key, when its time is over")
}

func TestResponseIsNotKeptUnlessItMayBe(t *testing.T) {
	g, shelf, _, _ := keepingRig(t)
	for what, body := range map[string]string{"not to be stored": `{"model":"m","input":"hi","store":false}`} {
		id, response := g.respond(body)
		if response["store"] != false {
			t.Errorf("%s: it is answered %v", what, response)
		}
		g.get("/v1/responses/"+id).refused(t, http.StatusNotFound, "response_not_found")
	}
	shelf.Bounds.Bytes = 10
	if _, response := g.respond(hiResponse); response["store"] != false {
		t.Errorf("where there is no room: it is answered %v", response)
	}
	shelf.Bounds.Bytes = 1 << 20
	g.verifier.key.KeepResponses = false
	if _, response := g.respond(hiResponse); response["store"] != false {
		t.Errorf("for a key that may not: it is answered %v", response)
	}
	r := g.do(g.request(http.MethodPost, "/v1/responses", `{"model":"m","input":"x","previous_response_id":"resp_1"}`))
	r.refused(t, http.StatusBadRequest, "unsupported_parameter")
	if strings.Contains(strings.Join(g.log.lines(), ""), "hello") {
		t.Error("the log tells what was answered")
	}
}

// unasked is a store that must not be called.
type unasked struct{ kept.Store }

func TestIDsThatNoResponseHasDoNotReachTheDatabase(t *testing.T) {
	g, shelf, _, _ := keepingRig(t)
	shelf.Store = unasked{}
	for _, id := range []string{
		"resp_%00", "resp_%ff", "resp_1", "resp_01M85YW43V4KDMNZ6CMSFCF3K%00", "x", "resp_" + strings.Repeat("0", 4000),
	} {
		path := "/v1/responses/" + id
		g.get(path).refused(t, http.StatusNotFound, "response_not_found")
		g.get(path+"/input_items").refused(t, http.StatusNotFound, "response_not_found")
		g.do(g.request(http.MethodDelete, path, "")).refused(t, http.StatusNotFound, "response_not_found")
	}
	for id, want := range map[string]struct {
		status int
		code   string
	}{
		`"resp_\u0000"`: {http.StatusNotFound, "previous_response_not_found"}, `"x"`: {http.StatusNotFound, "previous_response_not_found"},
		`""`: {http.StatusBadRequest, "invalid_value"}, `5`: {http.StatusBadRequest, "invalid_value"},
		`[]`: {http.StatusBadRequest, "invalid_value"},
	} {
		r := g.do(g.request(http.MethodPost, "/v1/responses", `{"model":"m","input":"x","previous_response_id":`+id+`}`))
		r.refused(t, want.status, want.code)
	}
}

func TestStreamedResponseIsKeptAsItEnds(t *testing.T) {
	g, _, _, _ := keepingRig(t)
	g.streams(text("hel"), text("lo"), finish(), usageOnly())
	r := g.do(g.request(http.MethodPost, "/v1/responses", streamed(hiResponse)))
	id := "resp_" + strings.TrimPrefix(r.Header.Get("X-Request-Id"), "req_")
	if n := strings.Count(r.body, `"id":"`+id+`"`); n != 3 { // created, in progress, completed
		t.Errorf("its id is told %d times: %s", n, r.body)
	}
	got := g.get("/v1/responses/" + id)
	if got.StatusCode != http.StatusOK || !strings.Contains(r.body, got.body) || !strings.Contains(got.body, `"status":"completed"`) {
		t.Errorf("it is read as %d %s", got.StatusCode, got.body)
	}
}

func TestResponseOfAProviderThatSpeaksTheFormatIsKept(t *testing.T) {
	g, _, _, _ := keepingRig(t)
	w := newWire(t)
	g.calls(w, nativeresponses.New(), "gpt-x")
	w.kind = "application/json"
	w.answer = []byte(`{"id":"resp_theirs","object":"response","created_at":1,"status":"completed","model":"gpt-x","store":false,` +
		`"previous_response_id":null,"output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed",` +
		`"content":[{"type":"output_text","text":"hello","annotations":[]}]}],` +
		`"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}`)
	first, response := g.respond(`{"model":"native","input":"one"}`)
	if first == "resp_theirs" || response["store"] != true {
		t.Errorf("it is answered %v", response)
	}
	_, response = g.respond(`{"model":"native","input":"two","previous_response_id":"` + first + `"}`)
	sent := string(w.body)
	if response["previous_response_id"] != first || strings.Contains(sent, "previous_response_id") || strings.Contains(sent, first) {
		t.Errorf("it is answered %v, the provider is asked %s", response, sent)
	}
	one, hello, two := strings.Index(sent, `"one"`), strings.Index(sent, `"hello"`), strings.Index(sent, `"two"`)
	if one < 0 || hello < one || two < hello || !strings.Contains(sent, `"store":false`) {
		t.Errorf("the provider is asked %s", sent)
	}
}
