package billing

import (
	"testing"
	"time"
)

// TestForecastGoesOnAtTheSamePace: usage is extrapolated to the end of the window once an hour
// or a hundredth of it has passed. Windows without an end have no forecast.
func TestForecastGoesOnAtTheSamePace(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	b := Balance{Window: Window{Start: start, End: start.AddDate(0, 0, 30)}}.Stands(Amount{Tokens: 30, Money: 7, Requests: 3}, Amount{})
	for _, tt := range []struct {
		after  time.Duration
		want   Amount
		method string
	}{
		{time.Hour - 1, Amount{}, ForecastTooEarly},
		{10 * 24 * time.Hour, Amount{Tokens: 90, Money: 21, Requests: 9}, ForecastLinear},
		{40 * 24 * time.Hour, Amount{Tokens: 30, Money: 7, Requests: 3}, ForecastLinear},
	} {
		if got, method := b.Forecast(start.Add(tt.after)); got != tt.want || method != tt.method {
			t.Errorf("after %s: %+v by %q, want %+v by %q", tt.after, got, method, tt.want, tt.method)
		}
	}
	b.Window.End = time.Time{}
	if got, method := b.Forecast(start.Add(time.Hour)); got != (Amount{}) || method != ForecastEndless {
		t.Errorf("without an end: %+v by %q", got, method)
	}
}

func TestThresholdsOfEveryLimitAreToldAsTheyAreReached(t *testing.T) {
	requests, money := int64(10), Money(2*NanoPerUSD)
	b := Balance{
		Budget: Budget{ID: "bud_1", Scope: ScopeKey, ScopeID: "key_1", Period: PeriodDay, Requests: &requests, Money: &money},
		Window: Window{Start: time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)},
	}
	for _, tt := range []struct {
		used Amount
		want []string
	}{
		{Amount{}, nil},
		{Amount{Requests: 4, Money: NanoPerUSD - 1}, nil},
		{Amount{Requests: 5}, []string{"requests:50:10"}},
		{Amount{Requests: 8, Money: NanoPerUSD}, []string{"usd:50:2", "requests:50:10", "requests:80:10"}},
		{Amount{Requests: 12}, []string{"requests:50:10", "requests:80:10", "requests:100:10"}},
	} {
		got := b.Stands(tt.used, Amount{}).Passed(time.Now())
		if len(got) != len(tt.want) {
			t.Errorf("%+v: %d events, want %v", tt.used, len(got), tt.want)
			continue
		}
		for i, want := range tt.want {
			if id := "limit_threshold:bud_1:2026-03-14T00:00:00Z:" + want; got[i].DedupID != id {
				t.Errorf("%+v: %q, want %q", tt.used, got[i].DedupID, id)
			}
		}
	}
	got := b.Stands(Amount{Money: NanoPerUSD}, Amount{}).Passed(time.Now())
	if want := "50% of the daily budget of key key_1 is used: $1 of $2."; got[0].Text != want {
		t.Errorf("%q, want %q", got[0].Text, want)
	}
	three := int64(3)
	b.Budget.Requests = &three
	for used, want := range []int{0, 0, 1, 3} { // a third is less than half, two thirds less than 80 %
		if got := b.Stands(Amount{Requests: int64(used)}, Amount{}).Passed(time.Now()); len(got) != want {
			t.Errorf("of %d of 3 requests %d thresholds are told, want %d", used, len(got), want)
		}
	}
	b.Budget.Thresholds = []int{}
	if got := b.Stands(Amount{Requests: 12}, Amount{}).Passed(time.Now()); len(got) > 0 {
		t.Errorf("without thresholds %d events are told", len(got))
	}
}
