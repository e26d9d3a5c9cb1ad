package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"tallyroute/billing"
)

var sentBound = regexp.MustCompile(`"max(?:_completion|_output)?_tokens":\d+`)

// boundedUpstream answers in two formats. What it was sent as the bound of the output
// is sent over the channel.
func boundedUpstream(t *testing.T) (url string, bounds <-chan string) {
	t.Helper()
	sent := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent <- string(sentBound.Find(body))
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/responses") {
			_, _ = io.WriteString(w, responsesSay("", `{"input_tokens":9,"output_tokens":1,"total_tokens":10}`))
			return
		}
		_, _ = io.WriteString(w, openAISays(`{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}`, ""))
	}))
	t.Cleanup(s.Close)
	return s.URL, sent
}

// boundedProviders has models with and without a maximum of their own, and two of a
// format that takes no bound below 16.
func boundedProviders(url string, operators int) string {
	const prices = `prices: [{since: 2026-01-01, prompt: "1", completion: "1000"}]}`
	return fmt.Sprintf(`defaults: {max_output_tokens: %d}
providers:
  pa:
    base_url: %s/v1
    private: true
    auth: {kind: none}
    models:
      - {id: only-a, context: 128000, max_output: 4000, tokenizer: {encoding: o200k_base}, `+prices+`
      - {id: no-max, context: 128000, tokenizer: {encoding: o200k_base}, `+prices+`
      - {id: small, context: 128000, max_output: 300, tokenizer: {encoding: o200k_base}, `+prices+`
  pr:
    adapter: responses
    base_url: %s/v1
    private: true
    auth: {kind: none}
    models:
      - {id: deep, context: 128000, max_output: 4000, tokenizer: {encoding: o200k_base}, `+prices+`
      - {id: short, context: 20, max_output: 20, tokenizer: {encoding: o200k_base}, `+prices+`
`, operators, url, url)
}

// Where the client has no bound, the operator's is held and sent, or ours is the refusal.
func TestOperatorsBoundOfTheOutputReachesTheProvider(t *testing.T) {
	for operators, cases := range map[int][][3]string{
		500: {
			{"pa/only-a", "", `"max_tokens":500`},
			{"pa/no-max", "", `"max_tokens":500`},
			{"pa/small", "", ""}, // its own maximum, which is less
			{"pa/only-a", `"max_tokens":40,`, `"max_tokens":40`},
			{"pr/deep", "", `"max_output_tokens":500`},
			{"pr/short", "", "context_length_exceeded"},
			{"pr/deep", `"max_tokens":3,`, "invalid_value"},
		},
		5: {
			{"pa/only-a", "", `"max_tokens":5`},
			{"pr/deep", "", "output_bound_too_low"},
			{"pr/deep", `"max_tokens":40,`, `"max_output_tokens":40`},
		},
		0: {
			{"pa/only-a", "", ""},
			{"pr/deep", "", ""},
		},
	} {
		url, bounds := boundedUpstream(t)
		g := &attackTarget{t: t, out: &attackOutput{}}
		g.start(boundedProviders(url, operators))
		for _, c := range cases {
			r := g.complete(`{"model":"` + c[0] + `",` + c[1] + `"messages":[{"role":"user","content":"hi"}]}`)
			if r.status != http.StatusOK {
				if code := r.code(t); code != c[2] || r.status != http.StatusBadRequest {
					t.Errorf("%d, %s %s: %d %s, want %s", operators, c[0], c[1], r.status, r.body, c[2])
				}
				continue
			}
			if sent := <-bounds; sent != c[2] {
				t.Errorf("%d, %s %s: sent with %q, want %q", operators, c[0], c[1], sent, c[2])
			}
		}
	}
}

// Ten tokens of output are left: one format takes that for a bound, the other does not.
func TestQuotaThatLeavesLessThanTheLeastBoundIsAQuota(t *testing.T) {
	url, bounds := boundedUpstream(t)
	g := &attackTarget{t: t, out: &attackOutput{}}
	g.start(boundedProviders(url, 0))
	tokens := int64(18) // of which the prompt takes eight
	_, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &tokens})
	r := g.complete(`{"model":"pr/deep","messages":[{"role":"user","content":"hi"}]}`)
	if code := r.code(t); code != "insufficient_quota" || r.status != http.StatusTooManyRequests {
		t.Errorf("%d %s", r.status, r.body)
	}
	r = g.complete(`{"model":"pa/only-a","messages":[{"role":"user","content":"hi"}]}`)
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if sent := <-bounds; sent != `"max_tokens":10` {
		t.Errorf("sent with %q", sent)
	}
}
