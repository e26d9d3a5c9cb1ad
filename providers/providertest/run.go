package providertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Subject is an adapter under test, with the exchanges that show what it does.
type Subject struct {
	Adapter providers.Adapter
	Dir     string // of the exchanges, one txtar file each; see golden
	// Skip gives the reason for each required exchange that the format does not support. If tools
	// are skipped, no check uses them.
	Skip map[string]string
	// Wire returns the body of a response as it is sent, for formats whose wire form is
	// binary and so differs from the exchange; nil leaves it unchanged.
	Wire func(h http.Header, body []byte) []byte
	// Update rewrites the files with what the adapter made of the exchanges.
	Update bool
}

// required lists the exchanges that every adapter must have. Those that fail have a kind, so
// that no failure can be lost when the files are rewritten.
var required = map[string]providers.Kind{
	"plain": "", "stream": "", "tools": "", "stream_tools": "",
	"parallel_tools": "", "tool_results": "", "image": "", "structured_output": "",
	"reasoning": "", "stream_reasoning": "", "usage_kinds": "",
	"overload":        providers.KindOverload,
	"quota_used_up":   providers.KindQuota,
	"unknown_model":   providers.KindUnknown,
	"cut_stream":      providers.KindBroken,
	"rate_limited":    providers.KindRate,
	"too_long":        providers.KindContext,
	"bad_credential":  providers.KindCredential,
	"content_refused": providers.KindContent,
	"error_in_200":    providers.KindOverload,
	"error_in_stream": providers.KindOverload,
	"html":            providers.KindBroken,
	"empty":           providers.KindBroken,
}

// Run specifies what an adapter must do.
func Run(t *testing.T, s Subject) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	present := make(map[string]bool)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		present[name] = true
		t.Run(name, func(t *testing.T) { s.run(t, name, file) })
	}
	for _, name := range slices.Sorted(maps.Keys(required)) {
		switch why := s.Skip[name]; {
		case present[name]:
		case why != "":
			t.Logf("there is no exchange %s: %s", name, why)
		default:
			t.Errorf("there is no exchange %s in %s", name, s.Dir)
		}
	}
	t.Run("hostile model name", s.hostileName)
	t.Run("quirks", s.quirks)
	t.Run("hostile member", s.hostileMember)
	t.Run("history", s.history)
}

// run checks one exchange.
func (s Subject) run(t *testing.T, name, file string) {
	g := readGolden(t, file)
	text := g.body
	if s.Wire != nil {
		g.body = s.Wire(g.header, g.body)
	}
	x := g.exchange(t, s.Adapter)
	sent := s.encode(t, x)
	answer := s.answer(x, g, bytes.NewReader(g.body))
	if s.Update {
		g.write(t, sent, answer.String())
	} else {
		compare(t, "the call", sent, g.sent)
		compare(t, "the answer", answer.String(), g.answer)
	}
	if want, ok := required[name]; ok {
		if kind := kindOf(answer.err); kind != want {
			t.Errorf("kind %q, want %q", kind, want)
		}
	}
	s.valid(t, answer)
	s.boundaries(t, x, g, answer)
	s.cuts(t, x, g)
	s.overTheWire(t, x, g, answer)
	if answer.err == nil {
		s.mutated(t, x, g, text)
	}
}

// valid checks what a client would get against OpenAI's own schemas, if they are available.
func (s Subject) valid(t *testing.T, o outcome) {
	t.Helper()
	dir := filepath.Join(specFolder(), "openai")
	if _, err := os.Stat(dir); err != nil {
		return
	}
	v := newValidator(t, dir)
	if o.response != nil {
		if err := v.whole.check(o.response.Body); err != nil {
			t.Errorf("the answer is not valid: %v\n%s", err, o.response.Body)
		}
	}
	for _, c := range o.chunks {
		if err := v.checkChunk(c.Data); err != nil {
			t.Errorf("a chunk is not valid: %v\n%s", err, c.Data)
		}
	}
}

// encode writes the call, and checks that this changes nothing and always gives the same
// result.
func (s Subject) encode(t *testing.T, x providers.Exchange) string {
	t.Helper()
	before := string(x.Request.Body())
	call, err := providers.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	if string(x.Request.Body()) != before {
		t.Error("Encode changes the client's request")
	}
	if again, err := providers.Encode(x); err != nil || renderCall(again) != renderCall(call) {
		t.Errorf("Encode is not the same twice: %v", err)
	}
	if !json.Valid(call.Body) {
		t.Errorf("the call is not JSON: %s", call.Body)
	}
	return renderCall(call)
}

// outcome is what a caller gets from a response.
type outcome struct {
	response *chat.Response
	chunks   []chat.Chunk
	err      error // nil at a proper end
}

// answer reads a recorded response the way the client package would.
func (s Subject) answer(x providers.Exchange, g *golden, body io.Reader) outcome {
	if g.status/100 != 2 {
		text, _ := io.ReadAll(body)
		return outcome{err: s.Adapter.Chat.Fail(x, g.status, g.header, text)}
	}
	if !x.Request.Stream() || g.whole() {
		text, _ := io.ReadAll(body)
		r, err := s.Adapter.Chat.Decode(x, g.header, text)
		return outcome{response: r, err: err}
	}
	stream := s.Adapter.Chat.Stream(x, io.NopCloser(body))
	chunks, err := drain(stream.Next)
	return outcome{chunks: chunks, err: err}
}

// drain reads a stream to its end. It copies the chunks, because each is valid only until the
// next.
func drain(next func() (chat.Chunk, error)) ([]chat.Chunk, error) {
	var list []chat.Chunk
	for {
		c, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return list, err
		}
		c.Data = bytes.Clone(c.Data)
		list = append(list, c)
	}
}

// boundaries checks that the response is the same however its bytes are split.
func (s Subject) boundaries(t *testing.T, x providers.Exchange, g *golden, want outcome) {
	t.Helper()
	for i := 0; i <= len(g.body); i += step(g.body) {
		cut := io.MultiReader(bytes.NewReader(g.body[:i]), bytes.NewReader(g.body[i:]))
		if got := s.answer(x, g, cut); got.String() != want.String() {
			t.Fatalf("cut at byte %d of %d it is another answer:\n%s", i, len(g.body), got)
		}
	}
	random := rand.New(rand.NewPCG(1, uint64(len(g.body)))) //nolint:gosec // the same at every run
	for range 20 {
		if got := s.answer(x, g, &scattered{bytes.NewReader(g.body), random}); got.String() != want.String() {
			t.Fatalf("in pieces of any size it is another answer:\n%s", got)
		}
	}
	for _, size := range []int{1, 2, 3, 7, 64} {
		if got := s.answer(x, g, &trickle{bytes.NewReader(g.body), size}); got.String() != want.String() {
			t.Fatalf("in pieces of %d bytes it is another answer:\n%s", size, got)
		}
	}
}

// step limits how many splits of a long response are tried.
func step(body []byte) int { return 1 + len(body)/200 }

// trickle returns at most size bytes at a time.
type trickle struct {
	r    io.Reader
	size int
}

func (s *trickle) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.size)]) }

// scattered returns pieces of random size.
type scattered struct {
	r      io.Reader
	random *rand.Rand
}

func (s *scattered) Read(p []byte) (int, error) {
	return s.r.Read(p[:min(len(p), 1+s.random.IntN(1<<s.random.IntN(9)))])
}

// cuts checks that a truncated response never looks like a complete one.
func (s Subject) cuts(t *testing.T, x providers.Exchange, g *golden) {
	t.Helper()
	for i := 0; i < len(bytes.TrimSpace(g.body)); i += step(g.body) {
		got := s.answer(x, g, bytes.NewReader(g.body[:i]))
		finished := slices.ContainsFunc(got.chunks, func(c chat.Chunk) bool { return c.Finish != "" })
		if got.err == nil && !finished {
			t.Fatalf("cut off at byte %d of %d it still ends well:\n%s", i, len(g.body), got)
		}
	}
}

// overTheWire checks that the outcome through the client is the same, except that a failure
// before the first content is returned immediately.
func (s Subject) overTheWire(t *testing.T, x providers.Exchange, g *golden, want outcome) {
	t.Helper()
	reply := Reply{Status: g.status, Header: g.header, Steps: []Step{Write(string(g.body))}}
	u := NewUpstream(t, reply)
	x.Target.BaseURL = u.URL()
	c := providers.NewClient(providers.Options{})
	defer c.Close()
	a, err := c.Do(t.Context(), x)
	if err != nil {
		if kindOf(err) != kindOf(want.err) {
			t.Errorf("through the client it fails with %v, by itself with %v", err, want.err)
		}
		return
	}
	defer func() { _ = a.Close() }()
	got := outcome{response: a.Response}
	if a.Stream != nil {
		got.chunks, got.err = drain(a.Stream.Next)
	}
	if kindOf(got.err) != kindOf(want.err) || len(got.chunks) != len(want.chunks) {
		t.Errorf("through the client it is another answer:\n%s", got)
	}
}

// hostileName checks that a model's name in a configuration cannot change which path is
// called.
func (s Subject) hostileName(t *testing.T) {
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	x := providers.Exchange{Target: providers.Target{Adapter: s.Adapter, Upstream: "evil\"?evil=1#evil\r\nevil: 1"}, Request: r}
	call, err := providers.Encode(x)
	if err != nil {
		return // refusing it is right, too
	}
	u, err := url.Parse("https://provider.example" + call.Path)
	if err != nil || u.Fragment != "" || u.Query().Has("evil") || strings.ContainsAny(call.Path, "\r\n") {
		t.Errorf("the path became %q", call.Path)
	}
	if !json.Valid(call.Body) {
		t.Errorf("the body became %s", call.Body)
	}
	for name, values := range call.Header {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
			t.Errorf("header %q became %q", name, values)
		}
	}
}

func compare(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n%s\nbut was\n%s", what, got, want)
	}
}

// kindOf returns the kind that a caller acts on.
func kindOf(err error) providers.Kind {
	if e := (*providers.Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	if err != nil {
		return providers.KindBroken
	}
	return ""
}
