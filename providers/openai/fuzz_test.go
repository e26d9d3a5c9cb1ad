package openai_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

// FuzzAnswer checks that whatever arrives, nothing breaks, every failure has a kind, and a
// stream that ends properly has said so.
func FuzzAnswer(f *testing.F) {
	var events bytes.Buffer
	for _, d := range providertest.Chunks("m", 1, 2, "a", "b") {
		events.WriteString("data: " + d + "\n\n")
	}
	f.Add(events.Bytes())
	f.Add([]byte(providertest.Completion("m", "hi", 1, 2)))
	f.Add([]byte(providertest.Problem("no", "server_error", "429")))
	f.Add([]byte("event: error\ndata: [DONE]\n\ndata: \xff{\"choices\":[{\"finish_reason\":\"stop\"}]}\r\r"))
	r, err := chat.ParseRequest([]byte(`{"model":"m","stream":true,"n":2,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	x := providers.Exchange{Request: r}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := openai.New()
		if e := a.Chat.Fail(x, 400, nil, body); e == nil || e.Kind == "" {
			t.Errorf("Fail: %v", e)
		}
		if _, err := a.Chat.Decode(x, nil, body); err != nil {
			if e := (*providers.Error)(nil); !errors.As(err, &e) || e.Kind == "" {
				t.Errorf("Decode: %v", err)
			}
		}
		s := a.Chat.Stream(x, io.NopCloser(bytes.NewReader(body)))
		finished := false
		for {
			c, err := s.Next()
			if err != nil {
				if errors.Is(err, io.EOF) && !finished && !bytes.Contains(body, []byte("[DONE]")) {
					t.Error("a stream ends well that was cut")
				}
				return
			}
			finished = finished || c.Finish != ""
			if bytes.ContainsAny(c.Data, "\r\n") {
				t.Errorf("a chunk has a line end: %q", c.Data)
			}
		}
	})
}
