package scripted

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Formats returns the names of the wire formats, which are the names of the adapters in the
// catalogue.
func Formats() []string {
	return []string{"openai", "anthropic", "responses", "gemini", "bedrock", "bedrock-invoke", "cohere", "ollama"}
}

// Bill is the total charged for completed responses.
type Bill struct {
	Answers int64
	Usage
}

// Upstream is a provider in every wire format. Its base URL is that of the server that serves
// it.
type Upstream struct {
	Script func(t Turn) Reply
	Count  int64 // the number of tokens that it reports for a prompt

	mu    sync.Mutex
	bill  Bill
	seen  []Turn
	calls int
}

// Bill returns what has been charged so far.
func (u *Upstream) Bill() Bill {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bill
}

// Seen returns the requests received.
func (u *Upstream) Seen() []Turn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// route is a path of a format.
type route struct {
	begins, ends, adapter string
	format                func() format
	stream                bool
}

var routes = []route{
	{"", "/chat/completions", "openai", openAI, false},
	{"", "/messages", "anthropic", anthropic, false},
	{"", "/responses", "responses", responses, false},
	{"", ":generateContent", "gemini", gemini, false},
	{"", ":streamGenerateContent", "gemini", gemini, true},
	{"/model/", "/converse", "bedrock", converse, false},
	{"/model/", "/converse-stream", "bedrock", converse, true},
	{"/model/", "/invoke", "bedrock-invoke", invoke, false},
	{"/model/", "/invoke-with-response-stream", "bedrock-invoke", invoke, true},
	{"", "/v2/chat", "cohere", cohere, false},
	{"", "/api/chat", "ollama", ollama, false},
}

func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller disconnected during its request
	}
	path := r.URL.Path
	if strings.HasSuffix(path, "/count_tokens") && u.Count > 0 {
		writeJSON(w, http.StatusOK, object{"input_tokens": u.Count})
		return
	}
	i := slices.IndexFunc(routes, func(t route) bool { return strings.HasPrefix(path, t.begins) && strings.HasSuffix(path, t.ends) })
	if i < 0 {
		writeJSON(w, http.StatusNotFound, object{"error": object{"message": "There is nothing at " + path}})
		return
	}
	u.answer(w, r, routes[i], body)
}

func (u *Upstream) answer(w http.ResponseWriter, r *http.Request, at route, body []byte) {
	turn := Turn{Format: at.adapter, Body: body, Stream: at.stream || streams(body)}
	turn.Model = modelOf(r.URL, body)
	turn.look()
	u.mu.Lock()
	u.calls++
	id := fmt.Sprintf("%s-%d", at.adapter, u.calls)
	u.seen = append(u.seen, turn)
	u.mu.Unlock()
	reply := u.Script(turn)
	f := at.format()
	a := answer{Reply: reply, id: id, model: turn.Model, usage: reply.measured(body)}
	if at.adapter == "ollama" || at.adapter == "cohere" {
		a.usage.Cached = 0 // these do not charge less for cached tokens
	}
	if reply.Fault.Kind == Refused {
		writeJSON(w, http.StatusServiceUnavailable, f.fail)
		return
	}
	if !turn.Stream {
		u.whole(w, r, f, a)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	list := f.stream(a)
	if a.Fault.Kind != "" {
		list = append(slices.Clone(list[:min(a.Fault.After, len(list)-2)]), nil)
	}
	for i, piece := range list {
		if piece == nil {
			fail(w, r, f, a.Fault.Kind)
			return
		}
		if !pause(r, a.Pause) {
			return
		}
		if i == max(len(list)-2, 0) {
			u.charge(a.usage) // a caller need not read what follows the usage
		}
		if send(w, piece) != nil {
			return
		}
	}
}

func (u *Upstream) whole(w http.ResponseWriter, r *http.Request, f format, a answer) {
	if !pause(r, a.Pause) {
		return
	}
	text := marshal(f.whole(a))
	switch a.Fault.Kind {
	case "":
		u.charge(a.usage)
	case Failing:
		text = marshal(f.fail)
	case Garbage:
		text = []byte("<html>it works</html>")
	case Short:
		text = text[:len(text)/2]
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = send(w, text[:len(text)/2])
		fail(w, r, f, a.Fault.Kind)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

// fail ends a response that has begun.
func fail(w http.ResponseWriter, r *http.Request, f format, kind FaultKind) {
	switch kind {
	case Cut:
		panic(http.ErrAbortHandler)
	case Stalled:
		<-r.Context().Done()
	case Short, Refused: // nothing more
	case Garbage:
		_ = send(w, []byte("data: {\"choices\":[{\"delta\":{\"content\":\"}\n\n<html>\x00\xff it works\n\n"))
	case Failing:
		for _, piece := range f.broken(f.fail) {
			_ = send(w, piece)
		}
	}
}

func send(w http.ResponseWriter, piece []byte) error {
	if _, err := w.Write(piece); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// pause waits, and reports whether the caller is still connected.
func pause(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return r.Context().Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

func (u *Upstream) charge(usage Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bill.Answers++
	u.bill.Prompt += usage.Prompt
	u.bill.Cached += usage.Cached
	u.bill.Output += usage.Output
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(v))
}

// modelOf returns the model that is asked for, in the path or in the body.
func modelOf(at *url.URL, body []byte) string {
	for _, before := range []string{"/models/", "/model/"} {
		if _, rest, ok := strings.Cut(at.Path, before); ok {
			return rest[:strings.IndexAny(rest+":", ":/")]
		}
	}
	return head(body).Model
}
