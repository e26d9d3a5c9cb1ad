package metrics

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"tallyroute/billing"
	"tallyroute/router"
)

// TestLabelsAreBounded: names that clients make up make no series.
func TestLabelsAreBounded(t *testing.T) {
	m := New("test")
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
	m := New("test")
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
