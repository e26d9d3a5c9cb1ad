package server

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"tallyroute/billing"
)

func TestHolderOfAKeyReadsWhatHoldsForIt(t *testing.T) {
	asks := func(_ context.Context, k *billing.Key) (int64, []string, error) {
		return 3, []string{"In " + k.Environment + ", it must expire."}, nil
	}
	g := newRig(t, func(o *Options) { o.Asks = asks })
	*g.verifier.key = billing.Key{
		ID: "key_1", Name: "checkout", Project: "shop", Team: "web", Environment: "prod", ExpiresAt: day(2027, 2, 1), Models: []string{"m"},
		Purpose: "pays at the till", Sensitivity: billing.SensitivityHigh, RotatedAt: day(2026, 11, 20), Address: "ann@example.com",
	}
	r := g.get("/v1/key/policy")
	v := r.object(t)
	organisation := v["organisation"].(map[string]any)
	if r.StatusCode != http.StatusOK || v["object"] != "key.policy" || v["key_id"] != "key_1" || organisation["version"] != 3.0 ||
		v["expires_at"] != "2027-02-01T00:00:00Z" || v["rotation_due_at"] != "2026-12-20T00:00:00Z" {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	for _, want := range []string{
		"for prod", "pays at the till", "ann@example.com answers for it", "expires on 2027-02-01", "these models: m", "it must expire",
		"new secret by 2026-12-20",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %q in %s", want, r.body)
		}
	}
	g.get("/v1/key/policy", "Authorization", "").refused(t, http.StatusUnauthorized, "invalid_api_key")
}
