package billing

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestTidy_KeepsWhatFits: rows within bounds are booked as they are.
func TestTidy_KeepsWhatFits(t *testing.T) {
	for _, c := range []Cost{
		{Input: 1, Output: 2, Total: 3},
		{Input: MostMeter, CacheRead: MostMeter, CacheWrite: MostMeter, Output: MostMeter, Fee: MostMeter, Total: 5 * MostMeter},
		{Total: -7},
	} {
		if got := c.bounded(); got != c {
			t.Errorf("%+v became %+v", c, got)
		}
	}
	got := Cost{Input: math.MaxInt64, Output: 3, Total: math.MaxInt64}.bounded()
	if got != (Cost{Input: MostMeter, Output: 3, Total: MostMeter + 3}) {
		t.Errorf("got %+v", got)
	}
}

// TestCheck names every fault at once.
func TestCheck(t *testing.T) {
	good := Spend{
		OccurredAt: time.Unix(1, 0), RequestID: "req_1", Attempt: 1, Status: StatusOK, UsageSource: Reported,
		Pricing: Priced, Tokens: Tokens{Input: 1}, Cost: Cost{Input: 2, Total: 2},
	}.Tidy()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	bad := good
	bad.Status, bad.Attempt, bad.Tokens.Output, bad.Cost.Total, bad.EventID = "fine", 0, -1, 3, "x"
	err := bad.Check()
	if err == nil {
		t.Fatal("passed")
	}
	for _, want := range []string{"status", "attempt 0", "negative tokens", "do not add up", "UUID"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing of %q in %v", want, err)
		}
	}
	correction := good
	correction.Kind = KindAdjustment
	if correction.Check() == nil {
		t.Error("a correction without a reason passed")
	}
}
