package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/jsonraw"
	nativeresponses "tallyroute/providers/responses"
	"tallyroute/providers/sse"
	"tallyroute/providers/vertex"
)

// wire is an upstream that records what it is sent and answers as scripted.
type wire struct {
	*httptest.Server
	path   string
	header http.Header
	body   []byte
	status int
	kind   string
	answer []byte
}

func newWire(t *testing.T) *wire {
	w := &wire{status: http.StatusOK}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.path, w.header = r.URL.Path, r.Header
		w.body, _ = io.ReadAll(r.Body)
		rw.Header().Set("Content-Type", w.kind)
		rw.WriteHeader(w.status)
		_, _ = rw.Write(w.answer)
	}))
	t.Cleanup(w.Close)
	return w
}

// calls makes the rig call w as the model "native", in the format of the adapter.
func (g *rig) calls(w *wire, a providers.Adapter, upstream string) {
	client := providers.NewClient(providers.Options{})
	g.t.Cleanup(client.Close)
	g.sender.play, g.counts.client = client.Do, client
	t := providers.Target{
		Provider: "acme", Model: "m", Upstream: upstream, BaseURL: w.URL, Adapter: a, Quirks: a.Quirks, Private: true,
		Weight: 1, Context: 4_000_000, MaxOutput: 1_000_000,
		Can: providers.Abilities{
			Stream: true, Tools: true, Vision: true, Audio: true, Documents: true, JSONSchema: true, Reasoning: true,
		},
	}
	g.models.more = map[string][]providers.Target{"native": {t}}
}

// recorded is the part of a recorded exchange that is read.
type recorded struct {
	Model    string
	Request  struct{ Body json.RawMessage }
	Response struct {
		Status       int
		Headers      map[string]string
		Body         string
		BodyEncoding string `json:"body_encoding"`
	}
}

// formats are the upstreams that share a format with clients, and where recordings of them are.
var formats = []struct {
	folders, path, upstream string
	adapter                 providers.Adapter
	edited                  []string // request members that the host's envelope changes
}{
	{"anthropic-messages", "/v1/messages", "claude-x", anthropic.New(), nil},
	{"vertex-anthropic", "/v1/messages", "claude-x", vertex.New(), []string{"model", "anthropic_version", "anthropic_beta"}},
	{
		"bedrock-invoke*", "/v1/messages", "anthropic.claude-x", bedrock.NewInvoke(),
		[]string{"model", "anthropic_version", "stream", "anthropic_beta"},
	},
	{"*-responses", "/v1/responses", "gpt-x", nativeresponses.New(), []string{"store", "include"}},
}

// keptElsewhere are words in the refusals of requests that rely on something stored here or at
// a provider.
var keptElsewhere = []string{
	`"previous_response_id"`, `"conversation"`, `"prompt"`, `"background"`, `file_id`, `"provider_object_not_allowed"`,
}

func TestRecordedTrafficPassesByteForByteWhereTheProviderSpeaksTheFormat(t *testing.T) {
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	g := newRig(t)
	w := newWire(t)
	for _, f := range formats {
		files, _ := filepath.Glob(filepath.Join(dir, f.folders, "*.json"))
		passed := 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r recorded
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			body, ok := r.asClient(f.path, f.upstream)
			if !ok {
				continue
			}
			g.calls(w, f.adapter, f.upstream)
			w.kind, w.answer, w.body = r.Response.Headers["content-type"], r.upstream(), nil
			answer := g.do(g.request(http.MethodPost, f.path, string(body)))
			if answer.StatusCode != http.StatusOK {
				if w.body != nil || !slices.ContainsFunc(keptElsewhere, func(s string) bool { return strings.Contains(answer.body, s) }) {
					t.Errorf("%s: %d %s", file, answer.StatusCode, answer.body)
				}
				continue
			}
			passed++
			if diff := differs(body, w.body, append(f.edited, "model")); diff != "" {
				t.Errorf("%s: the request differs: %s", file, diff)
			}
			if bytes.Count(r.upstream(), []byte(`"type":"response.created"`)) > 1 { // all of them are billed and reported
				continue
			}
			if diff := answerDiffers(r.upstream(), []byte(answer.body), w.kind, f.path); diff != "" {
				t.Errorf("%s: the answer differs: %s", file, diff)
			}
		}
		t.Logf("%s: %d of %d pass", f.folders, passed, len(files))
		if passed < len(files)/3 {
			t.Errorf("%s: only %d of %d recordings passed", f.folders, passed, len(files))
		}
	}
}

// asClient returns the request as a client of the format would write it: without the host's
// envelope.
func (r *recorded) asClient(path, upstream string) ([]byte, bool) {
	body := []byte(r.Request.Body)
	if r.Response.Status != http.StatusOK || !jsonraw.IsObject(body) {
		return nil, false
	}
	stream := strings.Contains(r.Response.Headers["content-type"], "stream")
	set := []jsonraw.Member{{Name: "model", Value: []byte(`"native"`)}}
	if path == "/v1/messages" && (jsonraw.Lookup(body, "messages") == nil || jsonraw.Lookup(body, "max_tokens") == nil) ||
		path == "/v1/responses" && jsonraw.Lookup(body, "input") == nil {
		return nil, false
	}
	if strings.HasPrefix(upstream, "anthropic.") && !strings.Contains(string(body), "bedrock-2023-05-31") {
		return nil, false // for a model in another format
	}
	if stream {
		set = append(set, jsonraw.Member{Name: "stream", Value: []byte("true")})
	}
	return jsonraw.Edit(body, set), true
}

func (r *recorded) upstream() []byte {
	if r.Response.BodyEncoding == "base64" {
		data, _ := base64.StdEncoding.DecodeString(r.Response.Body)
		return data
	}
	return []byte(r.Response.Body)
}

// differs returns the first member of an object that differs in another one.
func differs(want, got []byte, but []string) string {
	for name, value := range jsonraw.Each(want) {
		if now := jsonraw.Lookup(got, string(name)); !slices.Contains(but, string(name)) && !bytes.Equal(now, value) {
			return fmt.Sprintf("%s is %.200s, want %.200s", name, now, value)
		}
	}
	for name := range jsonraw.Each(got) {
		if jsonraw.Lookup(want, string(name)) == nil && !slices.Contains(but, string(name)) {
			return string(name) + " was added"
		}
	}
	return ""
}

func answerDiffers(want, got []byte, kind, path string) string {
	if !strings.Contains(kind, "stream") {
		return eventDiffers(want, got)
	}
	list := eventsOf(got)
	if strings.Contains(kind, "amazon") { // in AWS frames
		if n := len(list); n < 3 || !bytes.Contains(list[n-1], []byte("message_stop")) {
			return "it does not end"
		}
		return ""
	}
	sent, whole := first(eventsOf(want))
	if !whole {
		list = list[:min(len(list), len(sent))]
	}
	if len(list) != len(sent) {
		return fmt.Sprintf("%d events of %d", len(list), len(sent))
	}
	for i := range sent {
		if diff := eventDiffers(sent[i], list[i]); diff != "" {
			return fmt.Sprintf("event %d: %s", i, diff)
		}
	}
	return ""
}

// first returns the first of the answers that some recordings contain in sequence, and whether
// it is complete.
func first(events [][]byte) ([][]byte, bool) {
	for i, e := range events {
		switch jsonraw.Text(jsonraw.Lookup(e, "type")) {
		case "message_stop", "response.completed", "response.incomplete":
			return events[:i+1], true
		case "message_start", "response.created":
			if i > 0 {
				return events[:i], false
			}
		}
	}
	return events, false
}

func eventsOf(text []byte) (list [][]byte) {
	r := sse.NewReader(bytes.NewReader(text))
	for {
		e, err := r.Next()
		if err != nil {
			return list
		}
		if string(e.Data) != "[DONE]" {
			list = append(list, bytes.Clone(e.Data))
		}
	}
}

// eventDiffers compares an event, or an answer: the name of the model is ours, and the usage
// may have additional members.
func eventDiffers(want, got []byte) string {
	for _, inner := range []string{"message", "response"} {
		if was := jsonraw.Lookup(want, inner); jsonraw.IsObject(was) {
			if diff := eventDiffers(was, jsonraw.Lookup(got, inner)); diff != "" {
				return diff
			}
		}
	}
	was, is := jsonraw.Lookup(want, "usage"), jsonraw.Lookup(got, "usage")
	for name, value := range jsonraw.Each(was) {
		if now := jsonraw.Lookup(is, string(name)); !bytes.Equal(now, value) && !strings.HasPrefix(string(name), "cost") {
			return fmt.Sprintf("usage.%s is %s, want %s", name, now, value)
		}
	}
	return differs(want, got, []string{"message", "response", "usage", "model"})
}

// TestCountsOfNativeAnswersAreWholeNumbers: a provider may write a count as 8e0, which clients
// that read integers cannot parse.
func TestCountsOfNativeAnswersAreWholeNumbers(t *testing.T) {
	g := newRig(t)
	w := newWire(t)
	const (
		message = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"hello there"}],` +
			`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8e0,"output_tokens":2.0,"cache_read_input_tokens":0e0}}`
		start = "event: message_start\ndata: " + `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",` +
			`"model":"claude-x","content":[],"usage":{"input_tokens":8e0,"output_tokens":1e0}}}` + "\n\n"
		rest = "event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` +
			"\n\nevent: content_block_delta\ndata: " +
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello there"}}` +
			"\n\nevent: content_block_stop\ndata: " + `{"type":"content_block_stop","index":0}` +
			"\n\nevent: message_delta\ndata: " + `{"type":"message_delta","delta":{"stop_reason":"end_turn"},` +
			`"usage":{"output_tokens":0.2e1}}` + "\n\nevent: message_stop\ndata: " + `{"type":"message_stop"}` + "\n\n"
		response = `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"gpt-x","output":[{"id":"msg_1",` +
			`"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text",` +
			`"text":"hello there","annotations":[]}]}],"usage":{"input_tokens":8e0,"output_tokens":2.0,"total_tokens":1e1,` +
			`"input_tokens_details":{"cached_tokens":0.0}}}`
	)
	for _, c := range []struct {
		path, body, kind, answer string
		adapter                  providers.Adapter
	}{
		{
			"/v1/messages", `{"model":"native","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
			"application/json", message, anthropic.New(),
		},
		{
			"/v1/messages", `{"model":"native","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			"text/event-stream", start + rest, anthropic.New(),
		},
		{"/v1/responses", `{"model":"native","input":"hi"}`, "application/json", response, nativeresponses.New()},
		{
			"/v1/responses", `{"model":"native","stream":true,"input":"hi"}`, "text/event-stream",
			"event: response.output_text.delta\ndata: " + `{"type":"response.output_text.delta","output_index":0,"content_index":0,` +
				`"item_id":"msg_1","delta":"hello there"}` +
				"\n\nevent: response.completed\ndata: " + `{"type":"response.completed","response":` + response + "}\n\n",
			nativeresponses.New(),
		},
	} {
		g.calls(w, c.adapter, "claude-x")
		w.kind, w.answer = c.kind, []byte(c.answer)
		got := g.do(g.request(http.MethodPost, c.path, c.body))
		if got.StatusCode != http.StatusOK || !strings.Contains(got.body, "hello there") {
			t.Fatalf("%s: %d %s", c.path, got.StatusCode, got.body)
		}
		for _, part := range strings.Split(got.body, `_tokens":`)[1:] {
			if end := strings.IndexAny(part, ",}"); strings.ContainsAny(part[:end], "eE.") {
				t.Errorf("%s of %s tells a count as %s: %s", c.path, c.kind, part[:end], got.body)
			}
		}
	}
}
