package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/chat"
)

// wordCounter takes every word for a token.
type wordCounter struct{}

func (wordCounter) Prompt(_ context.Context, r *chat.Request) int64 {
	return int64(len(strings.Fields(string(r.Get("messages")))))
}
func (wordCounter) Text(_ context.Context, s string) int64 { return int64(len(strings.Fields(s))) }

func demoServer(t *testing.T, fails func(int64) bool) (*upstream, string) {
	t.Helper()
	u := &upstream{name: "demo-a", count: wordCounter{}, fails: fails, pace: time.Millisecond}
	s := httptest.NewServer(u.handler())
	t.Cleanup(s.Close)
	return u, s.URL + "/v1/chat/completions"
}

func post(t *testing.T, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// said is what a test reads of an answer or a chunk.
type said struct {
	Choices []struct {
		Message, Delta struct {
			Role, Content string
			ToolCalls     []struct {
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	}
}

func readAnswer(t *testing.T, resp *http.Response) said {
	t.Helper()
	var s said
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDemoPlain(t *testing.T) {
	u, url := demoServer(t, steady)
	a := readAnswer(t, post(t, url, `{"model":"echo","messages":[{"role":"user","content":"hi there"}]}`))
	if got := a.Choices[0].Message.Content; got != "You said: hi there" || a.Choices[0].FinishReason != "stop" {
		t.Errorf("said %q, %s", got, a.Choices[0].FinishReason)
	}
	if b := u.owed(); b.CompletionTokens != 4 || b.CompletionTokens != a.Usage.Completion || b.PromptTokens != a.Usage.Prompt ||
		b.Requests != 1 {
		t.Errorf("bill %+v, usage %+v", b, a.Usage)
	}
}

func TestDemoLimitAndChoices(t *testing.T) {
	u, url := demoServer(t, steady)
	a := readAnswer(t, post(t, url, `{"model":"story","n":2,"max_completion_tokens":3,"messages":[{"role":"user","content":"go"}]}`))
	if len(a.Choices) != 2 || a.Choices[1].Message.Content != "Once there was " || a.Choices[1].FinishReason != "length" {
		t.Errorf("%+v", a.Choices)
	}
	if b := u.owed(); b.CompletionTokens != 6 {
		t.Errorf("bill %+v", b)
	}
}

func TestDemoTools(t *testing.T) {
	_, url := demoServer(t, steady)
	tools := `"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","required":["city","days"],` +
		`"properties":{"city":{"type":"string"},"days":{"type":"integer"}}}}}]`
	a := readAnswer(t, post(t, url, `{"model":"echo",`+tools+`,"messages":[{"role":"user","content":"How is the weather in Paris?"}]}`))
	call := a.Choices[0].Message.ToolCalls[0].Function
	if call.Name != "get_weather" || call.Arguments != `{"city":"Paris","days":1}` || a.Choices[0].FinishReason != "tool_calls" {
		t.Errorf("%+v", a.Choices[0])
	}
	a = readAnswer(t, post(t, url, `{"model":"echo",`+tools+`,"messages":[{"role":"tool","tool_call_id":"x","content":"12 degrees"}]}`))
	if got := a.Choices[0].Message.Content; got != "The tool said: 12 degrees" {
		t.Errorf("said %q", got)
	}
}

func TestDemoStream(t *testing.T) {
	u, url := demoServer(t, steady)
	resp := post(t, url, `{"model":"echo","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user",`+
		`"content":"a b"}]}`)
	events, err := readEvents(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(events); n != 8 || events[n-1] != "[DONE]" { // role, 4 words, finish, usage, [DONE]
		t.Fatalf("%d events: %q", n, events)
	}
	var usage said
	if err := json.Unmarshal([]byte(events[6]), &usage); err != nil || usage.Usage == nil || usage.Usage.Completion != 4 ||
		len(usage.Choices) != 0 {
		t.Errorf("usage chunk: %s (%v)", events[6], err)
	}
	if b := u.owed(); b.CompletionTokens != 4 || b.Aborted != 0 {
		t.Errorf("bill %+v", b)
	}
}

func readEvents(r io.Reader) ([]string, error) {
	var events []string
	s := bufio.NewScanner(r)
	for s.Scan() {
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			events = append(events, data)
		}
	}
	return events, s.Err()
}

func TestDemoSchedule(t *testing.T) {
	u, url := demoServer(t, flaky)
	var got []int
	for range 6 {
		got = append(got, post(t, url, `{"model":"echo","messages":[{"role":"user","content":"hi"}]}`).StatusCode)
	}
	want := []int{200, 503, 200, 200, 503, 200}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("statuses %v; want %v", got, want)
		}
	}
	if b := u.owed(); b.Requests != 6 || b.Failures != 2 || b.CompletionTokens != 4*3 {
		t.Errorf("bill %+v", b)
	}
}

func TestDemoOrders(t *testing.T) {
	u, url := demoServer(t, steady)
	for text, status := range map[string]int{
		"[[demo fail=429]]":           429,
		"[[demo fail=503 at=demo-a]]": 503,
		"[[demo fail=503 at=demo-b]]": 200,
		"[[demo fail=99]]":            200,
		"[[demo nonsense]]":           200,
	} {
		if got := post(t, url, `{"model":"echo","messages":[{"role":"user","content":"`+text+`"}]}`).StatusCode; got != status {
			t.Errorf("%s: %d; want %d", text, got, status)
		}
	}
	before := u.owed()
	resp := post(t, url, `{"model":"story","stream":true,"messages":[{"role":"user","content":"[[demo cut=2]]"}]}`)
	events, err := readEvents(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(events) != 3 {
		t.Errorf("cut: %q, %v", events, err)
	}
	if got := u.owed().CompletionTokens - before.CompletionTokens; got != 2 {
		t.Errorf("cut: billed %d", got)
	}
	resp = post(t, url, `{"model":"echo","stream":true,"messages":[{"role":"user","content":"x [[demo words=7 slow=1us]]"}]}`)
	if events, _ = readEvents(resp.Body); len(events) != 10 { // role, 7 words, finish, [DONE]
		t.Errorf("words: %q", events)
	}
}

// TestDemoAborted bills what was written before the caller went.
func TestDemoAborted(t *testing.T) {
	u, url := demoServer(t, steady)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url,
		strings.NewReader(`{"model":"story","stream":true,"messages":[{"role":"user","content":"[[demo slow=20ms]]"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 8 { // role and three words, each followed by an empty line
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	prove.Eventually(t, "the upstream notices", func() bool { return u.owed().Aborted > 0 })
	if b := u.owed(); b.CompletionTokens != 3 {
		t.Errorf("bill %+v; want 3 completion tokens", b)
	}
}
