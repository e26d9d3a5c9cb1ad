package admin

import (
	"testing"
	"time"

	"tallyroute/billing"
)

// TestRejectedRowsAreListedAndBookedOnce keeps a row aside as the ledger does,
// and books it.
func TestRejectedRowsAreListedAndBookedOnce(t *testing.T) {
	g := newRig(t)
	row := billing.Spend{
		OccurredAt: time.Now(), Kind: billing.KindUsage, RequestID: "req_1", Attempt: 1, Final: true, Owner: billing.Owner{KeyID: "key_1"},
		Provider: "acme", Model: "large", Status: billing.StatusOK, UsageSource: billing.Reported, Tokens: billing.Tokens{Input: 7},
		Pricing: billing.Priced, Cost: billing.Cost{Input: 1500, Total: 1500},
	}
	if _, err := g.store.Post(t.Context(), billing.Posting{Rejects: []billing.Reject{{Row: row, Reason: "too large"}}}); err != nil {
		t.Fatal(err)
	}
	got := g.ask("GET", "/admin/v1/rejects", "")
	if got.status != 200 || len(got.data()) != 1 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	first, _ := got.data()[0].(map[string]any)
	for member, want := range map[string]any{"request_id": "req_1", "key_id": "key_1", "tokens": 7.0, "cost_usd": "0.0000015", "reason": "too large"} {
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
