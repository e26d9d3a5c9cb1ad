package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	pt "tallyroute/providers/providertest"
	"tallyroute/providers/secret/secrettest"
)

// withVault starts a router whose provider credential is in a Vault.
func withVault(t *testing.T, v *secrettest.Vault) *attackTarget {
	t.Helper()
	v.Policies["router"] = map[string]secrettest.Caps{"kv/data/router/*": {"read", "create", "update", "delete"}}
	v.Logins["approle/router CANARY-secret-id"] = "router"
	g := &attackTarget{t: t, out: &attackOutput{}}
	u := pt.NewUpstream(t, pt.JSON(200, attackAnswer))
	g.ups = append(g.ups, u)
	t.Setenv("TALLYROUTE_TEST_SECRET_ID", "CANARY-secret-id")
	g.start(fmt.Sprintf("secrets:\n  refresh: 1s\n  vault: {address: %q, auth: approle, role: router, secret: "+
		"env:TALLYROUTE_TEST_SECRET_ID}\n"+
		"sinks: [v=vault:kv/data/router/keys]\n"+
		"providers:\n%s", v.URL, strings.ReplaceAll(attackProvider(0, u.URL(), "    private: true\n"),
		"file:CREDENTIAL", "vault://kv/data/router/openai#key")))
	return g
}

// sent returns the credential with which the provider was last called.
func (g *attackTarget) sent() string {
	g.t.Helper()
	if r := g.complete(`{"model":"up0/m","messages":[{"role":"user","content":"hi"}]}`); r.status != http.StatusOK {
		g.t.Fatalf("%d: %s", r.status, r.body)
	}
	calls := g.ups[0].Calls()
	return strings.TrimPrefix(calls[len(calls)-1].Header.Get("Authorization"), "Bearer ")
}

// secretState returns what /readyz reports about secrets.
func (g *attackTarget) secretState() string {
	var state map[string]string
	_ = json.Unmarshal([]byte(g.ask(http.MethodGet, "/readyz", nil).body), &state)
	return state["secrets"]
}

// TestRotatedCredentialIsUsedWithoutARestart: a new version in Vault is used soon after it was
// written, an outage keeps the last version and is reported, and so is every version.
func TestRotatedCredentialIsUsedWithoutARestart(t *testing.T) {
	v := secrettest.NewVault(t)
	v.Put("kv/router/openai", map[string]any{"key": "CANARY-one"})
	g := withVault(t, v)
	if got := g.sent(); got != "CANARY-one" {
		t.Fatalf("sent %q", got)
	}
	v.Put("kv/router/openai", map[string]any{"key": "CANARY-two"})
	prove.Eventually(t, "the second version is used", func() bool { return g.sent() == "CANARY-two" })

	v.Down(1 << 20)
	prove.Eventually(t, "the outage is told of", func() bool { return strings.Contains(g.secretState(), "1 of 1 cannot be fetched") })
	if got := g.sent(); got != "CANARY-two" {
		t.Errorf("during the outage %q is sent", got)
	}
	v.Heal()
	v.RevokeTokens()
	v.Put("kv/router/openai", map[string]any{"key": "CANARY-three"})
	prove.Eventually(t, "the third version is used", func() bool { return g.sent() == "CANARY-three" })
	if got := g.secretState(); got != "" {
		t.Errorf("after the outage: %s", got)
	}
	told := map[string]bool{}
	prove.Eventually(t, "all is written down", func() bool {
		events, err := g.Actions().Store.ListEvents(t.Context(), billing.EventFilter{Kind: billing.EventSecret, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			told[e.Data["what"]+e.Data["version"]] = true
			if strings.Contains(fmt.Sprint(e), "CANARY") {
				t.Errorf("an event has a credential: %v", e)
			}
		}
		for _, want := range []string{"fetched1", "used1", "rotated2", "used2", "failed2", "recovered3", "rotated3", "used3"} {
			if !told[want] {
				return false
			}
		}
		return true
	})
	g.holdsNo("CANARY")
}

// holdsNo looks for a text in everything that the router has written, and tells.
func (g *attackTarget) holdsNo(text string) {
	g.t.Helper()
	if strings.Contains(g.out.String(), text) {
		g.t.Errorf("the log has %s", text)
	}
	for _, path := range []string{"/readyz", "/v1/models"} {
		if strings.Contains(g.ask(http.MethodGet, path, nil).body, text) {
			g.t.Errorf("%s has %s", path, text)
		}
	}
}

// TestKeyIsDeliveredToVault: the secret of a key that rotates automatically is written below the path that
// the sink names.
func TestKeyIsDeliveredToVault(t *testing.T) {
	v := secrettest.NewVault(t)
	v.Put("kv/router/openai", map[string]any{"key": "CANARY-one"})
	g := withVault(t, v)
	if _, err := g.Actions().DeliverKey(t.Context(), g.key.ID, manage.DeliverRequest{Sink: "v", Place: "web#token"},
		manage.By{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	kept := func() (text string) {
		v.Do(func() {
			if all := v.KV["kv/router/keys/web"]; len(all) > 0 {
				text, _ = all[len(all)-1].Data["token"].(string)
			}
		})
		return text
	}
	prove.Eventually(t, "a secret is in Vault", func() bool { return kept() != "" })
	g.secret = kept()
	if got := g.sent(); got != "CANARY-one" {
		t.Errorf("with the key that Vault has: %q", got)
	}
}

func TestAProbeReadsThatASecretWasNeverThere(t *testing.T) {
	g := withVault(t, secrettest.NewVault(t))
	if got := g.secretState(); !strings.Contains(got, "1 never could be") || strings.Contains(got, "fetched last") {
		t.Errorf("%q", got)
	}
}
