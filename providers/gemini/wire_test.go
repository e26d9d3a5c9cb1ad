package gemini_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"tallyroute/providers"
	pt "tallyroute/providers/providertest"
)

// A stream sent as one JSON array, with the media type of a complete response, is still read as
// a stream: its first piece is read before its last one is sent.
func TestStream_JSONArrayOverTheWire(t *testing.T) {
	gate := make(chan struct{})
	u := pt.NewUpstream(t, pt.Reply{
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}},
		Steps: []pt.Step{
			pt.Write(`[{"candidates":[{"content":{"parts":[{"text":"H"}]}}]}` + "\n,\r\n"), pt.Until(gate),
			pt.Write(`{"candidates":[{"content":{"parts":[{"text":"i."}]},"finishReason":"STOP"}]}` + "\n]"),
		},
	})
	x := exchange(t, `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	x.Target.Adapter, x.Target.BaseURL, x.Target.Private = adapter(), u.URL(), true
	c := providers.NewClient(providers.Options{})
	defer c.Close()
	a, err := c.Do(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	close(gate)
	text, finish := "", ""
	for {
		chunk, err := a.Stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, finish = text+chunk.Text, finish+chunk.Finish
	}
	if text != "Hi." || finish != "stop" {
		t.Errorf("%q, %q", text, finish)
	}
}
