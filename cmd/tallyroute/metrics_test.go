package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"tallyroute/billing"
	"tallyroute/router"
)

// TestLabelsAreBounded: names that clients make up make no series.
func TestLabelsAreBounded(t *testing.T) {
	m := newMetrics()
	for range 1000 {
		m.Observe(router.Record{Event: router.EventRequest, Status: billing.StatusError, Refusal: "model", Err: errors.New("no such")})
	}
	if n := testutil.CollectAndCount(m.requests); n != 1 {
		t.Errorf("%d series", n)
	}
	if got := testutil.ToFloat64(m.requests.WithLabelValues("unknown", "error", "false")); got != 1000 {
		t.Errorf("counted %v as unknown", got)
	}
}

func TestMetricsOfAnAnswer(t *testing.T) {
	m := newMetrics()
	stated := billing.Money(99_999)
	rows := []billing.Spend{
		{Provider: "a", Model: "m", ErrorKind: "overload", Tokens: billing.Tokens{Input: 8}, Cost: billing.Cost{Total: 800}},
		{
			Provider: "b", Model: "m", Tokens: billing.Tokens{Input: 10, Output: 5}, Cost: billing.Cost{Total: 1234},
			Disputed: true, ProviderCost: &stated, OverrunTokens: 3, OverrunMoney: 7,
		},
	}
	m.Observe(router.Record{Event: router.EventBooked, Rows: rows})
	m.Observe(router.Record{
		Event: router.EventRequest, RequestedModel: "auto", Status: billing.StatusOK, Streamed: true,
		Rows: rows, Total: time.Second, Overhead: time.Millisecond, FirstByte: time.Second / 2,
	})
	for name, got := range map[string]float64{
		"requests": testutil.ToFloat64(m.requests.WithLabelValues("auto", "ok", "true")) - 1,
		"failed":   testutil.ToFloat64(m.attempts.WithLabelValues("a", "m", "overload")) - 1,
		"answered": testutil.ToFloat64(m.attempts.WithLabelValues("b", "m", "")) - 1,
		"charged":  testutil.ToFloat64(m.cost.WithLabelValues("a", "m")) - 800,
		"disputed": testutil.ToFloat64(m.doubts.disputed.WithLabelValues("b", "m")) - 1,
		"differs":  testutil.ToFloat64(m.doubts.differs.WithLabelValues("b", "m")) - 1,
		"input":    testutil.ToFloat64(m.tokens.WithLabelValues("b", "m", "input")) - 10,
		"output":   testutil.ToFloat64(m.tokens.WithLabelValues("b", "m", "output")) - 5,
		"cost":     testutil.ToFloat64(m.cost.WithLabelValues("b", "m")) - 1234,
		"overruns": testutil.ToFloat64(m.doubts.overruns.WithLabelValues("b", "m")) - 1,
		"beyond":   testutil.ToFloat64(m.doubts.tokens.WithLabelValues("b", "m")) - 3,
		"dearer":   testutil.ToFloat64(m.doubts.cost.WithLabelValues("b", "m")) - 7,
	} {
		if got != 0 {
			t.Errorf("%s is off by %v", name, got)
		}
	}
	if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestMetricsAreOnTheAdminListenerOnly, and what is held is given back.
func TestMetricsAreOnTheAdminListenerOnly(t *testing.T) {
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", ""))
	if _, err := p.client(p.key("--budget-tokens", "100000")).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/admin/v1/keys"} {
		if status, _ := p.get("public", path); status != http.StatusNotFound {
			t.Errorf("public %s: %d", path, status)
		}
	}
	status, text := p.get("admin", "/metrics")
	for _, want := range []string{
		`tallyroute_requests_total{model="demo-b/echo",status="ok",streamed="false"} 1`,
		`tallyroute_overhead_seconds_bucket{le="5e-05"}`,
		`tallyroute_held{unit="tokens"} 0`,
		`tallyroute_target_open{target="demo-b/echo"} 0`,
		"tallyroute_build_info{", "tallyroute_requests_in_flight 0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics (%d) lacks %s", status, want)
		}
	}
}
