package providertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Embeddings specifies what an adapter for embeddings must do: the exchanges in the folder of
// s, of which there must be at least one, come out as recorded, and every response conforms
// to OpenAI's schema.
func Embeddings(t *testing.T, s Subject) {
	e := s.Adapter.Embed
	files, err := filepath.Glob(filepath.Join(s.Dir, "*.txtar"))
	if err != nil || len(files) == 0 || e == nil {
		t.Fatalf("exchanges %v, %v; a codec: %t", files, err, e != nil)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			g := readGolden(t, file)
			r, err := chat.ParseEmbedding([]byte(g.client))
			if err != nil {
				t.Fatalf("client: %v", err)
			}
			x := g.target(s.Adapter, providers.Embed, r)
			sent := encodeEmbedding(t, x)
			answer := decodeEmbedding(e, x, g.status, g.header, g.body)
			if s.Update {
				g.write(t, sent, answer.String())
			} else {
				compare(t, "the call", sent, g.sent)
				compare(t, "the answer", answer.String(), g.answer)
			}
			if answer.response != nil && !r.Base64() {
				validVectors(t, answer.response.Body)
			}
		})
	}
}

func encodeEmbedding(t *testing.T, x providers.Exchange) string {
	t.Helper()
	before := string(x.Request.Body())
	call, err := providers.Encode(x)
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	if string(x.Request.Body()) != before || !json.Valid(call.Body) {
		t.Errorf("the client's request is now %s, the call %s", x.Request.Body(), call.Body)
	}
	return renderCall(call)
}

func decodeEmbedding(e providers.EmbedCodec, x providers.Exchange, status int, h http.Header, body []byte) outcome {
	if status/100 != 2 {
		return outcome{err: e.Fail(x, status, h, body)}
	}
	r, err := e.Decode(x, h, body)
	return outcome{response: r, err: err}
}

// validVectors checks vectors against OpenAI's own schema, if that is available.
func validVectors(t *testing.T, body []byte) {
	t.Helper()
	dir := filepath.Join(specFolder(), "openai")
	if _, err := os.Stat(dir); err != nil {
		return
	}
	if err := compileSchema(t, dir, "CreateEmbeddingResponse").check(body); err != nil {
		t.Errorf("the answer is not valid: %v\n%.1000s", err, body)
	}
}

// recordedVectors is what must come of a recorded response: how many vectors, how long, and
// how the first one begins.
type recordedVectors struct {
	Count, Dim int
	Encoding   string
	First      []float64
}

// EmbeddingCorpus is like Corpus, for recorded vectors.
func EmbeddingCorpus(t *testing.T, a providers.Adapter, pick func(c *Recorded) bool) {
	for _, file := range recordings(t, "*embed*", "*.json") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c Recorded
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if pick(&c) {
			t.Run(c.ID, func(t *testing.T) { c.vectors(t, a.Embed) })
		}
	}
}

// vectors makes an adapter read a recorded response.
func (c *Recorded) vectors(t *testing.T, e providers.EmbedCodec) {
	want := c.Expected.Embeddings
	count := 1
	if want != nil {
		count = want.Count
	}
	r, err := chat.ParseEmbedding(fmt.Appendf(nil, `{"model":%q,"input":[%s]}`, c.ID,
		strings.TrimPrefix(strings.Repeat(`,"a"`, count), ",")))
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	for name, value := range c.Response.Headers {
		h.Set(name, value)
	}
	x := providers.Exchange{Operation: providers.Embed, Request: r, Target: providers.Target{Provider: c.Provider, Upstream: c.ID}}
	got := decodeEmbedding(e, x, c.Response.Status, h, []byte(c.Response.Body))
	if want == nil {
		if err := c.checkError(got.err); err != nil {
			t.Error(err)
		}
		return
	}
	if got.err != nil {
		t.Fatal(got.err)
	}
	validVectors(t, got.response.Body)
	if got.response.Usage != nil || c.Expected.Usage != nil && c.Expected.Usage.Prompt > 0 {
		if u := c.Expected.Usage; u.Prompt > 0 {
			if err := c.compareUsage(got.response.Usage); err != nil {
				t.Error(err)
			}
		}
	}
	var answer struct {
		Data []struct{ Embedding []json.Number }
	}
	if err := json.NewDecoder(bytes.NewReader(got.response.Body)).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Data) != want.Count || len(answer.Data[0].Embedding) != want.Dim {
		t.Fatalf("%d vectors of %d, want %d of %d", len(answer.Data), len(answer.Data[0].Embedding), want.Count, want.Dim)
	}
	for i, first := range want.First {
		if f, err := strconv.ParseFloat(answer.Data[0].Embedding[i].String(), 64); err != nil || math.Abs(f-first) > 1e-6 {
			t.Errorf("the first has %s at %d, want %g", answer.Data[0].Embedding[i], i, first)
		}
	}
}
