package admin

import (
	"testing"

	"tallyroute/billing"
)

// TestAdjustmentIsARowOfItsOwn posts corrections that a bill has shown to be needed, and
// invalid ones.
func TestAdjustmentIsARowOfItsOwn(t *testing.T) {
	g := newRig(t)
	key, _ := g.ask("POST", "/admin/v1/keys", `{"name":"shop","team":"web","tags":{"feature":"checkout"}}`).v["id"].(string)
	for body, want := range map[string]string{
		`{"key_id":"` + key + `","reason":"r"}`:                                       "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"1.50"}`:                                "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"0","reason":"r"}`:                      "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"-1","kind":"fee","reason":"r"}`:        "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"1","kind":"usage","reason":"r"}`:       "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"1","month":"November","reason":"r"}`:   "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"1","month":"9998-01","reason":"r"}`:    "invalid_value",
		`{"key_id":"` + key + `","amount_usd":1,"reason":"r"}`:                        "invalid_value",
		`{"key_id":"` + key + `","amount_usd":"1","reason":"r","request_id":"req_x"}`: "unknown_field",
	} {
		if got := g.ask("POST", "/admin/v1/spend/adjustments", body); got.status != 422 {
			t.Errorf("%s: %d %s, want %s", body, got.status, got.text, want)
		}
	}
	g.ask("POST", "/admin/v1/spend/adjustments", `{"key_id":"key_none","amount_usd":"1","reason":"r"}`).refused(t, 404, "key_not_found")

	got := g.ask("POST", "/admin/v1/spend/adjustments",
		`{"key_id":"`+key+`","amount_usd":"1.50","reason":"bill of November","actor":"ann"}`)
	if got.status != 201 || got.v["amount_usd"] != "1.50" && got.v["amount_usd"] != "1.5" || got.v["actor"] != "admin:ann" {
		t.Fatalf("%d %s", got.status, got.text)
	}
	if got := g.ask("POST", "/admin/v1/spend/adjustments",
		`{"key_id":"`+key+`","kind":"credit","amount_usd":"0.25","reason":"goodwill"}`); got.status != 201 ||
		got.v["amount_usd"] != "-0.25" {
		t.Fatalf("%d %s", got.status, got.text)
	}
	rows, err := g.store.Events(t.Context(), billing.EventQuery{KeyID: billing.KeyID(key)})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	sum := rows[0].Cost.Total + rows[1].Cost.Total
	for _, row := range rows {
		if row.Kind == billing.KindAdjustment && (row.Reason != "bill of November" || row.Actor != "admin:ann") {
			t.Errorf("%+v", row)
		}
		if row.Tags["feature"] != "checkout" {
			t.Errorf("a correction has the tags %v, not those of its key", row.Tags)
		}
	}
	if want := billing.Money(1_250_000_000); sum != want {
		t.Errorf("the key is charged $%s, want $%s", sum, want)
	}
}
