package billing

import (
	"testing"
	"time"
)

func TestMonth(t *testing.T) {
	for text, ok := range map[string]bool{"2026-11": true, "2026-1": false, "2026-13": false, "": false, "2026-11-01": false} {
		if _, err := ParseMonth(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if m := Month("2026-12"); m.First() != "2026-12-01" || m.Next() != "2027-01" || MonthOf("2026-12-31") != m {
		t.Errorf("%s, %s, %s", m.First(), m.Next(), MonthOf("2026-12-31"))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	start, end := Month("2026-10").Span(berlin)
	if start.UTC().Format(time.RFC3339) != "2026-09-30T22:00:00Z" || end.UTC().Format(time.RFC3339) != "2026-10-31T23:00:00Z" {
		t.Errorf("%s to %s", start.UTC(), end.UTC())
	}
}

// TestMonthDigest_IsWhatItWas: closed months remain provable when rows get new columns later.
func TestMonthDigest_IsWhatItWas(t *testing.T) {
	at := time.Date(2026, 3, 14, 12, 0, 0, 141592000, time.UTC)
	row := Spend{
		EventID: "01980a3c-7d1e-7c3a-8f00-000000000001", OccurredAt: at, ReportDay: "2026-03-14", Kind: KindUsage, RequestID: "req_1",
		Attempt: 1, Final: true,
		Owner: Owner{"key_1", "proj_1", "team_1", "CC-1", "prod"}, Tags: map[string]string{"b": "2", "a": "1"}, RequestedModel: "auto",
		Provider: "acme", Model: "large",
		ServiceTier: "standard", RouteReason: RouteCheapest, Status: StatusOK, UsageSource: Reported,
		Tokens:  Tokens{Input: 7, Output: 5, Reasoning: 2},
		Pricing: Priced, Price: Price{ID: "price_1", Input: 1, Output: 2}, Cost: Cost{Input: 3, Output: 4, Total: 7}, Baseline: 9,
		RecordedAt: at,
	}
	d := NewMonthDigest()
	line, err := d.Add(row)
	if err != nil {
		t.Fatal(err)
	}
	const want = "27ca519e3826bf5143ea449f90b32414453965400db592ac822ce22d8f3eb0cf"
	if d.SHA256() != want || d.Rows != 1 || d.Money != 7 {
		t.Errorf("digest %s of %s", d.SHA256(), line)
	}
	again := NewMonthDigest()
	again.AddLine(line, 7)
	if again.SHA256() != want {
		t.Errorf("what was read back is %s", again.SHA256())
	}
}

// TestCharged_Baseline: savings follow a correction only where there was a choice.
func TestCharged_Baseline(t *testing.T) {
	r := Repricing{Reason: "r", Actor: "a"}
	p := Price{ID: "price_2", Input: 1_000_000}
	row := Spend{
		EventID: "e", Kind: KindUsage, Status: StatusOK, Pricing: Priced, Tokens: Tokens{Input: 10},
		Cost: Cost{Input: 4, Total: 4},
	}
	for name, tt := range map[string]struct{ baseline, want Money }{
		"the only candidate":   {4, 6},
		"a dearer candidate":   {20, 0},
		"not so dear any more": {5, 5},
	} {
		row.Baseline = tt.baseline
		got, changed := NewCharged(row).Adjust(p, r)
		if !changed || got.Cost.Total != 6 || got.Baseline != tt.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
