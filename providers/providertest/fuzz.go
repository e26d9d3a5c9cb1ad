package providertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// FuzzAnswers checks that whatever a provider sends, nothing breaks, every failure has a
// kind, a stream that ends properly has said why it ended, and the same bytes give the same
// chunks wherever they are split.
func FuzzAnswers(f *testing.F, a providers.Adapter, seeds ...string) {
	for i, s := range seeds {
		f.Add([]byte(s), uint16(i*7))
	}
	f.Add([]byte("event: error\ndata: {\"error\":{}}\r\n\r\n[{\xff"), uint16(3))
	r, err := chat.ParseRequest([]byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	x := providers.Exchange{Request: r}
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		if e := a.Chat.Fail(x, 400, nil, body); e == nil || e.Kind == "" {
			t.Errorf("Fail: %v", e)
		}
		if r, err := a.Chat.Decode(x, nil, body); err != nil {
			if e := (*providers.Error)(nil); !errors.As(err, &e) || e.Kind == "" {
				t.Errorf("Decode: %v", err)
			}
		} else if !json.Valid(r.Body) {
			t.Errorf("the answer is not JSON: %s", r.Body)
		}
		i := int(cut) % (len(body) + 1)
		whole := readStream(a, x, bytes.NewReader(body))
		pieces := readStream(a, x, io.MultiReader(bytes.NewReader(body[:i]), bytes.NewReader(body[i:])))
		if whole.String() != pieces.String() {
			t.Errorf("cut at byte %d it is another answer:\n%s\nand not\n%s", i, pieces, whole)
		}
		finished := slices.ContainsFunc(whole.chunks, func(c chat.Chunk) bool { return c.Finish != "" })
		if whole.err == nil && !finished {
			t.Error("a stream ends well that was cut")
		}
		for _, c := range whole.chunks {
			if bytes.ContainsAny(c.Data, "\r\n") {
				t.Errorf("a chunk has a line end: %q", c.Data)
			}
			if !json.Valid(c.Data) {
				t.Errorf("a chunk is not JSON: %q", c.Data)
			}
		}
	})
}

func readStream(a providers.Adapter, x providers.Exchange, body io.Reader) outcome {
	s := a.Chat.Stream(x, io.NopCloser(body))
	chunks, err := drain(s.Next)
	return outcome{chunks: chunks, err: err}
}
