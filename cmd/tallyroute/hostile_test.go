package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"tallyroute/billing"
)

// stumbling is a provider that fails in the way that a body names, and answers all
// others.
type stumbling struct {
	*httptest.Server
	calls atomic.Int64
	down  atomic.Bool
}

// stumbles are the ways in which a body may make a provider fail.
var stumbles = map[string]http.HandlerFunc{
	"500":       replies(500, `{"error":{"message":"boom","type":"server_error"}}`),
	"502 page":  replies(502, `<html>bad gateway</html>`),
	"403":       replies(403, `{"error":{"message":"no","type":"permission_error"}}`),
	"402":       replies(402, `{"error":{"message":"no credit","code":"insufficient_quota"}}`),
	"404":       replies(404, `{"error":{"message":"no such thing"}}`),
	"409":       replies(409, `{"error":{"message":"busy"}}`),
	"413":       replies(413, `{"error":{"message":"too big"}}`),
	"429":       replies(429, `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`),
	"307":       replies(307, ``),
	"garbage":   replies(200, `{"id":`),
	"empty":     replies(200, ``),
	"in a body": replies(200, `{"error":{"message":"boom","code":500}}`),
	"reset":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"cut": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, attackAnswer[:40])
		panic(http.ErrAbortHandler)
	},
}

func replies(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func newStumbling(t *testing.T) *stumbling {
	s := &stumbling{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if s.down.Load() {
			stumbles["500"](w, r)
			return
		}
		for how, do := range stumbles {
			if strings.Contains(string(body), "stumble: "+how+";") {
				do(w, r)
				return
			}
		}
		_, _ = io.WriteString(w, attackAnswer)
	}))
	t.Cleanup(s.Close)
	return s
}

func attackedBy(t *testing.T) (*attackTarget, *stumbling) {
	s := newStumbling(t)
	g := &attackTarget{t: t, out: &attackOutput{}}
	g.start("providers:\n" + attackProvider(0, s.URL, "    private: true\n"))
	return g, s
}

// as is the header of another key.
func (g *attackTarget) another() []string {
	tokens := int64(10_000_000)
	_, secret := g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &tokens})
	return []string{"Authorization", "Bearer " + secret}
}

func TestRequestsThatMakeAProviderFailTakeItFromNobodyElse(t *testing.T) {
	g, _ := attackedBy(t)
	victim := g.another()
	for how := range stumbles {
		for i := range 12 {
			g.complete(fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"%d stumble: %s;"}],"max_tokens":50}`, i, how))
			if i < 8 { // first several without a success between them
				continue
			}
			body := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"%d"}],"max_tokens":50}`, i)
			if r := g.complete(body, victim...); r.status != http.StatusOK {
				t.Fatalf("%s: after %d others are told %d %s", how, i+1, r.status, r.body)
			}
		}
	}
}

func TestOneBodyThatMakesAProviderFailStopsNoOtherOfItsKey(t *testing.T) {
	g, _ := attackedBy(t)
	for range 10 {
		g.complete(`{"model":"m","messages":[{"role":"user","content":"stumble: 500;"}],"max_tokens":50}`)
	}
	if r := g.complete(attackPlain); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestProviderThatFailsForOneKeyIsLeftAloneByIt(t *testing.T) {
	g, s := attackedBy(t)
	s.down.Store(true)
	var last attackReply
	for i := range 30 {
		last = g.complete(fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"%d"}],"max_tokens":50}`, i))
	}
	if n := s.calls.Load(); n > 8 || last.code(t) != "no_healthy_provider" {
		t.Errorf("%d calls were made, the last was told %s", n, last.body)
	}
	s.down.Store(false)
	if r := g.complete(attackPlain, g.another()...); r.status != http.StatusOK { // who has not met a failure finds out
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestRequestThatCannotBeWrittenIsItsSendersFault(t *testing.T) {
	s := newStumbling(t)
	g := &attackTarget{t: t, out: &attackOutput{}}
	g.start("providers:\n" + strings.Replace(attackProvider(0, s.URL, "    private: true\n"), "adapter: openai", "adapter: anthropic", 1))
	for _, beta := range []string{`"a\nX-Evil: 1"`, `["fine","a\r\nb"]`, `["` + strings.Repeat("x", 1000) + `"]`, `"a\u0000b"`} {
		for range 6 {
			r := g.complete(`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":50,"anthropic_beta":` + beta + `}`)
			if r.status != http.StatusBadRequest || !strings.Contains(r.body, `"param":"anthropic_beta"`) {
				t.Fatalf("%s: %d %s", beta, r.status, r.body)
			}
		}
	}
	if n := s.calls.Load(); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}
