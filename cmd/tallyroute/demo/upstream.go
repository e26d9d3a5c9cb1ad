package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/providers/chat"
)

// upstream is a provider for experiments: a real HTTP server that speaks the OpenAI wire
// format, has two models, fails on a schedule and keeps a bill that the router's ledger can
// be compared with.
type upstream struct {
	name  string
	count counter
	// pace is the time from one word of a stream to the next.
	pace time.Duration
	// fails reports whether the n-th request, counted from 1, is refused.
	fails func(n int64) bool

	mu   sync.Mutex
	bill Bill
}

// Bill is what an upstream says it is owed. Prompt tokens are owed from the moment a
// request is accepted, completion tokens for the text written before the caller went away.
type Bill struct {
	Requests         int64 `json:"requests"`
	Failures         int64 `json:"failures"`
	Aborted          int64 `json:"aborted"`
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
}

// counter counts tokens as the router does.
type counter interface {
	Prompt(ctx context.Context, r *chat.Request) int64
	Text(ctx context.Context, text string) int64
}

// flaky refuses every third request, beginning with the second.
func flaky(n int64) bool { return n%3 == 2 }

func steady(int64) bool { return false }

const (
	pace     = 15 * time.Millisecond
	maxBytes = 16 << 20
	maxWords = 2000
)

// handler returns the upstream's routes.
func (u *upstream) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", u.complete)
	mux.HandleFunc("GET /v1/models", u.models)
	mux.HandleFunc("GET /demo/bill", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, u.owed()) })
	return mux
}

// owed returns the bill so far.
func (u *upstream) owed() Bill {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bill
}

// charge changes the bill.
func (u *upstream) charge(change func(*Bill)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.bill)
}

func (u *upstream) models(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"object": "list",
		"data":   []model{{"echo", "model", created, u.name}, {"story", "model", created, u.name}},
	})
}

// created is when the models claim to have been created: 2026-01-01.
const created = 1767225600

// complete answers one chat completion.
func (u *upstream) complete(w http.ResponseWriter, r *http.Request) {
	var number int64
	u.charge(func(b *Bill) { b.Requests++; number = b.Requests })
	x, fault := u.read(r)
	if fault == nil && u.fails(number) {
		fault = &refusal{
			http.StatusServiceUnavailable, "The demonstration fails now and then, so that you can see what happens next.",
			"overloaded",
		}
	}
	if fault == nil && x.order.fail != 0 {
		fault = &refusal{x.order.fail, "Failed as the prompt asked for.", "demo_" + strconv.Itoa(x.order.fail)}
	}
	if fault != nil {
		u.charge(func(b *Bill) { b.Failures++ })
		fault.write(w)
		return
	}
	x.id = fmt.Sprintf("chatcmpl-%s-%d", u.name, number)
	// Counted even if the caller has gone: the request was accepted.
	x.prompt = u.count.Prompt(context.WithoutCancel(r.Context()), x.request)
	u.charge(func(b *Bill) { b.PromptTokens += x.prompt })
	if x.order.hang {
		<-r.Context().Done()
	}
	if x.request.Stream() {
		u.stream(w, r, x)
		return
	}
	u.plain(w, r, x)
}

// read parses a request. A body that isn't JSON is refused as a provider would.
func (u *upstream) read(r *http.Request) (*call, *refusal) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBytes))
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "The body could not be read.", "invalid_body"}
	}
	request, err := chat.ParseRequest(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err.Error(), "invalid_json"}
	}
	var said asked
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, &refusal{http.StatusBadRequest, "The body is not a chat completion request.", "invalid_json"}
	}
	if said.Model != "echo" && said.Model != "story" {
		return nil, &refusal{http.StatusNotFound, "There are two models here: echo and story.", "model_not_found"}
	}
	x := &call{request: request, said: said, order: parseOrder(said.lastText(), u.name)}
	x.compose(func(text string) int64 { return u.count.Text(r.Context(), text) })
	return x, nil
}

// plain writes the whole answer at once, after about the time that a fast model would take.
func (u *upstream) plain(w http.ResponseWriter, r *http.Request, x *call) {
	if !app.Wait(r.Context(), x.pace(u.pace)) {
		u.charge(func(b *Bill) { b.Aborted++ })
		return
	}
	completion := u.count.Text(r.Context(), strings.Repeat(x.text(), x.choices()))
	u.charge(func(b *Bill) { b.CompletionTokens += completion })
	writeJSON(w, http.StatusOK, x.response(completion))
}

// stream writes the answer word by word.
func (u *upstream) stream(w http.ResponseWriter, r *http.Request, x *call) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	var written strings.Builder
	send := func(event any) bool {
		if r.Context().Err() != nil {
			return false
		}
		data, err := json.Marshal(event)
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
			return false
		}
		return http.NewResponseController(w).Flush() == nil
	}
	// The text is counted even if the caller has gone: it was written.
	ctx := context.WithoutCancel(r.Context())
	whole := u.words(r.Context(), x, &written, send)
	completion := u.count.Text(ctx, written.String())
	u.charge(func(b *Bill) {
		b.CompletionTokens += completion
		if !whole && x.order.cut == 0 {
			b.Aborted++
		}
	})
	if !whole {
		panic(http.ErrAbortHandler) // cuts the connection in the middle of the answer
	}
	for i := range x.choices() {
		send(x.chunk(i, delta{}, x.finish))
	}
	if x.request.WantsUsage() {
		send(x.usageChunk(completion))
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// words sends the role and then the words, and records what was sent. It reports whether
// all were sent.
func (u *upstream) words(ctx context.Context, x *call, written *strings.Builder, send func(any) bool) bool {
	for i := range x.choices() {
		if !send(x.chunk(i, delta{"role": "assistant", "content": ""}, "")) {
			return false
		}
	}
	began := time.Now()
	for k, p := range x.pieces {
		if x.order.cut != 0 && k == x.order.cut {
			return false
		}
		// Paced from the beginning of the stream, so that delays don't add up.
		if !app.Wait(ctx, time.Until(began.Add(time.Duration(k+1)*x.pace(u.pace)))) {
			return false
		}
		for i := range x.choices() {
			if !send(x.chunk(i, p.delta, "")) {
				return false
			}
			written.WriteString(p.text)
		}
	}
	return true
}

// refusal is an error response in the OpenAI format.
type refusal struct {
	status        int
	message, code string
}

func (f *refusal) write(w http.ResponseWriter) {
	kind := "invalid_request_error"
	if f.status >= 500 {
		kind = "server_error"
	}
	writeJSON(w, f.status, map[string]any{
		"error": map[string]any{"message": f.message, "type": kind, "param": nil, "code": f.code},
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that has gone is noticed elsewhere
}
