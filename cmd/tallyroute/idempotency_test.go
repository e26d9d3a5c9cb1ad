package main

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// post asks for a completion and returns status, header and body.
func (p *program) post(key, body string, header ...string) (int, http.Header, string) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return 0, nil, ""
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Error(err)
		return 0, nil, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Error(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// TestDuplicatesOverTwoRoutersAreOneCharge: a hundred duplicates at once, at two
// routers on one database, are one call to a provider and one charge.
func TestDuplicatesOverTwoRoutersAreOneCharge(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		routers := []*program{serve(t, writeConfig(t, database, "")), serve(t, writeConfig(t, database, ""))}
		key := routers[0].key("--budget-tokens", "100000")
		for _, body := range []string{
			`{"model":"demo-b/story","messages":[{"role":"user","content":"[[demo slow=20ms words=5]] go"}]}`,
			`{"model":"demo-b/story","stream":true,"messages":[{"role":"user","content":"[[demo slow=20ms words=5]] go"}]}`,
		} {
			name := "plain"
			if strings.Contains(body, "stream") {
				name = "stream"
			}
			before := routers[0].bills()["demo-b"].Requests + routers[1].bills()["demo-b"].Requests
			var answers sync.Map
			var answered, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					status, _, text := routers[i%2].post(key, body, "Idempotency-Key", name)
					switch {
					case status == http.StatusOK:
						answered.Add(1)
						answers.Store(text, true)
					case status == http.StatusConflict && strings.Contains(text, "idempotency_in_progress"):
						refused.Add(1)
					default:
						t.Errorf("%s: %d %s", name, status, text)
					}
				})
			}
			wg.Wait()
			for _, p := range routers {
				status, header, text := p.post(key, body, "Idempotency-Key", name)
				if status != http.StatusOK || header.Get("Idempotent-Replayed") != "true" {
					t.Errorf("%s: %d %v %s", name, status, header, text)
				}
				answers.Store(text, true)
			}
			different := 0
			answers.Range(func(any, any) bool { different++; return true })
			after := routers[0].bills()["demo-b"].Requests + routers[1].bills()["demo-b"].Requests
			if different != 1 || after-before != 1 || answered.Load() < 1 {
				t.Errorf("%s: %d answered in %d ways, %d refused, %d calls", name, answered.Load(), different, refused.Load(), after-before)
			}
		}
		for _, p := range routers {
			p.stored()
		}
		if got := routers[0].booked()["demo-b"]; got.Requests != 2 || got.Attempts != 2 {
			t.Errorf("booked %+v", got)
		}
		if status, _, text := routers[1].post(key, `{"model":"demo-b/story","messages":[]}`, "Idempotency-Key",
			"plain"); status != http.StatusBadRequest && status != http.StatusConflict {
			t.Errorf("another body: %d %s", status, text)
		}
	})
}

// TestIdempotencySwitchedOff: nothing is stored, and the header has no effect.
func TestIdempotencySwitchedOff(t *testing.T) {
	t.Parallel()
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "idempotency: {ttl: off}\n"))
	key := p.key("--budget-tokens", "100000")
	for range 2 {
		if status, header, text := p.post(key, `{"model":"demo-b/echo","messages":[{"role":"user","content":"hi"}]}`, "Idempotency-Key",
			"x"); status != http.StatusOK || header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%d %s", status, text)
		}
	}
	if got := p.booked()["demo-b"]; got.Requests != 2 {
		t.Errorf("booked %+v", got)
	}
}
