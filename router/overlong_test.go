package router

import (
	"errors"
	"io"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers/chat"
)

// TestEndlessStreamIsCutAndBookedWhole: a stream is cut soon after it exceeds what was held for
// it, whatever the provider sends, while answers within their bound pass.
func TestEndlessStreamIsCutAndBookedWhole(t *testing.T) {
	words := func(text string, n int) []chat.Chunk {
		list := make([]chat.Chunk, n)
		for i := range list {
			list[i] = chat.Chunk{Data: []byte(`{}`), Content: true, Text: text}
		}
		return list
	}
	for name, tc := range map[string]struct {
		chunks []chat.Chunk
		cut    bool
	}{
		"words":            {words("word ", 100_000), true},
		"pieces of words":  {words("a", 100_000), true},
		"numbers":          {words("7 ", 100_000), true},
		"no text":          {words("", 0), false},
		"within its bound": {words("word ", 50), false},
		"a little over it": {words("word ", 400), false},
		"letter by letter": {words("l", 400), false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, keyWith(), target("a", "1", "2"))
			g.sender.then(streams(io.EOF, tc.chunks...))
			a, err := g.ask(t.Context(), `{"model":"m","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`)
			if err != nil {
				t.Fatal(err)
			}
			passed := 0
			for {
				c, err2 := a.Next()
				if err = err2; err != nil {
					break
				}
				passed += len(c.Text)
			}
			_ = a.Close()
			var long *OverlongError
			if errors.As(err, &long) != tc.cut || tc.cut && long.Most != 50 {
				t.Fatalf("%v", err)
			}
			row := a.Outcome().Spend
			if tc.cut && (passed > 64<<10 || row.Status != billing.StatusUpstreamAborted || row.Tokens.Output <= 50 ||
				row.OverrunTokens == 0) {
				t.Errorf("%d bytes passed; row %+v", passed, row)
			}
			if !tc.cut && row.Status != billing.StatusOK {
				t.Errorf("row %+v", row)
			}
		})
	}
}
