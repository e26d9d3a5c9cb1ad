package admin

import (
	"testing"
	"time"

	"tallyroute/billing"
)

// reject sets aside a row of a request, as the ledger does.
func (g *rig) reject(request string) {
	g.t.Helper()
	row := billing.Spend{
		OccurredAt: time.Now(), Kind: billing.KindUsage, RequestID: request, Attempt: 1, Final: true, Owner: billing.Owner{KeyID: "key_1"},
		Provider: "acme", Model: "large", Status: billing.StatusOK, UsageSource: billing.Reported, Tokens: billing.Tokens{Input: 7},
		Pricing: billing.Priced, Cost: billing.Cost{Input: 1500, Total: 1500},
	}
	if _, err := g.store.Post(g.t.Context(), billing.Posting{Rejects: []billing.Reject{{Row: row, Reason: "too large"}}}); err != nil {
		g.t.Fatal(err)
	}
}

// TestRejectedRowsAreListedAndBookedOnce sets a row aside, as the ledger does, and books it.
func TestRejectedRowsAreListedAndBookedOnce(t *testing.T) {
	g := newRig(t)
	g.reject("req_1")
	got := g.ask("GET", "/admin/v1/rejects", "")
	if got.status != 200 || len(got.data()) != 1 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	first, _ := got.data()[0].(map[string]any)
	for member, want := range map[string]any{
		"request_id": "req_1", "key_id": "key_1", "tokens": 7.0, "cost_usd": "0.0000015",
		"reason": "too large",
	} {
		if first[member] != want {
			t.Errorf("%s: %v, want %v", member, first[member], want)
		}
	}
	g.ask("POST", "/admin/v1/rejects/req_1/book", `{"why":"x"}`).refused(t, 422, "unknown_field")
	if got := g.ask("POST", "/admin/v1/rejects/req_1/book", ""); got.status != 200 || got.v["booked"] != 1.0 {
		t.Errorf("%d %s", got.status, got.text)
	}
	g.ask("POST", "/admin/v1/rejects/req_1/book", "").refused(t, 404, "reject_not_found")
	if got := g.ask("GET", "/admin/v1/rejects", ""); len(got.data()) != 0 {
		t.Errorf("%s", got.text)
	}
}

// TestEventsAreListedByKindObjectAndTime lists the events of a posting.
func TestEventsAreListedByKindObjectAndTime(t *testing.T) {
	g := newRig(t)
	early := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var told []billing.Event
	for n, kind := range []billing.EventKind{billing.EventOverrun, billing.EventDenied} {
		told = append(told, billing.Event{
			Kind: kind, Object: "key_1", Severity: billing.Info, Text: "a text", DedupID: string(kind), At: early.AddDate(0, 0, n),
			Data: map[string]string{"a": "b"},
		})
	}
	if _, err := g.store.Post(t.Context(), billing.Posting{Events: told}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]string{
		"":                            {"denied", "overrun"},
		"?kind=overrun":               {"overrun"},
		"?object=key_2":               nil,
		"?since=2026-11-02T00:00:00Z": {"denied"},
		"?object=key_1&limit=1":       {"denied"},
	} {
		got := g.ask("GET", "/admin/v1/events"+query, "")
		if got.status != 200 || len(got.data()) != len(want) {
			t.Errorf("%s: %d %s", query, got.status, got.text)
			continue
		}
		for i, e := range got.data() {
			if kind := e.(map[string]any)["kind"]; kind != want[i] {
				t.Errorf("%s: %v", query, kind)
			}
		}
	}
	for _, query := range []string{"?kind=none", "?since=soon", "?limit=0"} {
		g.ask("GET", "/admin/v1/events"+query, "").refused(t, 422, "invalid_value")
	}
	g.ask("GET", "/admin/v1/events?month=1", "").refused(t, 422, "unknown_parameter")
}
