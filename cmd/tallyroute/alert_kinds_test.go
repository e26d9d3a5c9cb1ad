package main

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/alert"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/secret/secrettest"
	"tallyroute/router/certificate/certtest"
)

// TestEveryKindOfAlertReachesAChannelOnce: a router makes each kind of alert for its real cause, and its
// webhook receives each alert once.
func TestEveryKindOfAlertReachesAChannelOnce(t *testing.T) {
	w := newAlarmed(t)
	causes := []struct {
		kind  billing.AlertKind
		cause func()
	}{
		{alert.Certificate, func() {}}, // one of the configuration expires in two days
		{alert.Expiry, w.expiries},
		{alert.Limit, w.limit},
		{alert.Forecast, func() {}}, // the same requests
		{alert.Provider, func() { w.until(alert.Provider, func() { w.ask("failing") }) }},
		{alert.Unpriced, func() { w.answered("unpriced") }},
		{alert.Overrun, func() { w.answered("overrun") }},
		{alert.Disputed, func() { w.answered("disputed") }},
		{alert.Model, func() { w.answered("renamed") }},
		{alert.Delivery, w.delivery},
		{alert.Secret, func() { w.vault.Down(1 << 20) }},
		{alert.Leak, w.leak},
		{alert.Anomaly, w.anomaly},
		{alert.Runaway, func() {
			w.until(alert.Runaway, func() { w.ask("plain", "X-Tallyroute-Session", "loop") })
		}},
		{alert.Key, func() { w.do("POST", "/keys/"+string(w.key.ID)+"/rotate", cli.Fields{"overlap": "1h"}) }},
		{alert.Incident, func() {
			k, _ := w.issue()
			w.do("POST", "/incidents", cli.Fields{"key_id": k.ID, "action": "revoke", "reason": "found in public"})
		}},
		{alert.Governance, func() {
			rules := map[string]any{"keys": map[string]any{"max_age": map[string]string{"high": "90d"}}}
			w.do("PUT", "/governance", cli.Fields{"rules": rules, "reason": "first version"})
		}},
		{alert.Raise, w.raise},
		{alert.Leaver, w.leaver},
		{alert.Rejected, w.rejected},
		{alert.Breach, w.breach},
		{alert.Journal, w.journal}, // no requests are served afterwards
	}
	for _, c := range causes {
		c.cause()
		prove.Eventually(t, "the channel receives the kind "+string(c.kind), func() bool { return w.told(c.kind) > 0 })
	}
	for _, kind := range alert.Kinds() {
		if !slices.ContainsFunc(causes, func(c struct {
			kind  billing.AlertKind
			cause func()
		},
		) bool {
			return c.kind == kind
		}) {
			t.Errorf("nothing here causes the kind %s", kind)
		}
	}
	w.receivedOnce()
}

// alarmed is a router whose alerts go to a webhook.
type alarmed struct {
	*attackTarget
	hook  *receiver
	vault *secrettest.Vault
	admin string
	dir   string
}

func newAlarmed(t *testing.T) *alarmed {
	t.Helper()
	w := &alarmed{
		attackTarget: &attackTarget{t: t, out: &attackOutput{}}, hook: newReceiver(t), vault: secrettest.NewVault(t), dir: t.TempDir(),
	}
	w.hook.reliable = true
	w.vault.Grant("router-token", "root", 0)
	w.vault.Put("kv/router/spare", map[string]any{"key": "CANARY-spare"})
	admin, err := billing.NewSecret(billing.EnvironmentAdmin, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.admin = admin.Reveal()
	authority := certtest.New(t)
	certificate, _ := authority.Leaf(t, "router.example.com", time.Now().Add(48*time.Hour)).Write(t, w.dir)
	if err := os.WriteFile(filepath.Join(w.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(alarming))
	t.Cleanup(upstream.Close)
	for name, value := range map[string]string{
		"ADMIN_TOKEN": w.admin, "HOOK_SECRET": hookSecret, "VAULT_TOKEN": "router-token",
		"KEK": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	} {
		t.Setenv("TALLYROUTE_TEST_"+name, value)
	}
	w.start(fmt.Sprintf(`database: "sqlite:%[1]s/ledger.db"
journal: %[1]s/journal
admin_token: env:TALLYROUTE_TEST_ADMIN_TOKEN
require_tls: true
trusted_proxies: [127.0.0.1/32]
sinks: [files=file:%[1]s/file/keys]
runaway: {session_requests: 2, pause: 10m}
anomalies: {every: 1s}
secrets:
  refresh: 1s
  encryption_key: env:TALLYROUTE_TEST_KEK
  vault: {address: %[2]q, auth: token, secret: env:TALLYROUTE_TEST_VAULT_TOKEN}
alerts:
  every: 1s
  certificates: [%[3]s]
  channels: [{name: hook, kind: webhook, private: true, address: %[4]q, secret: env:TALLYROUTE_TEST_HOOK_SECRET}]
providers:
%[5]s`, w.dir, w.vault.URL, certificate, w.hook.URL, alarmingProviders(upstream.URL)))
	w.key, w.secret = w.issue()
	return w
}

// alarmingProviders has a model for everything that can be wrong with an answer.
func alarmingProviders(url string) string {
	const price = `, prices: [{since: 2026-01-01, prompt: "1.00", completion: "2.00"}]`
	provider := func(name, auth string, models ...string) string {
		return fmt.Sprintf("  %s: {adapter: openai, base_url: %q, private: true, auth: %s, models: [%s]}\n", name, url+"/v1", auth,
			strings.Join(models, ", "))
	}
	model := func(id, more string) string {
		return fmt.Sprintf("{id: %s, context: 4000, max_output: 500%s}", id, more)
	}
	return provider("up", "{kind: none}", model("plain", price), model("unpriced", ""), model("overrun", price), model("disputed", price),
		model("renamed", price), model("dearer", `, prices: [{since: 2026-01-01, prompt: "9.00", completion: "9.00"}]`)) +
		provider("broken", "{kind: none}", model("failing", price)) +
		provider("spare", `{kind: bearer, secret: "vault:kv/data/router/spare#key"}`, model("spare", price))
}

// alarming answers a request as the name of its model says.
func alarming(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	asked := func(model string) bool { return strings.Contains(string(body), `"`+model+`"`) }
	answer := attackAnswer
	switch {
	case asked("failing"):
		http.Error(w, `{"error":{"message":"down"}}`, http.StatusInternalServerError)
		return
	case asked("overrun"):
		answer = strings.Replace(answer, `"completion_tokens":2,"total_tokens":10`, `"completion_tokens":400,"total_tokens":408`, 1)
	case asked("disputed"):
		answer = strings.Replace(answer, `"completion_tokens":2,"total_tokens":10`, `"completion_tokens":0,"total_tokens":8`, 1)
	case asked("renamed"):
		answer = strings.Replace(answer, `"model":"m"`, `"model":"dearer"`, 1)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(answer))
}

// told returns how many alerts of a kind the channel has received.
func (w *alarmed) told(kind billing.AlertKind) (n int) {
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	for _, m := range w.hook.seen {
		if m.Kind == string(kind) {
			n++
		}
	}
	return n
}

// receivedOnce checks that every alert in the database was received by one call, and that no two of
// them say the same.
func (w *alarmed) receivedOnce() {
	w.t.Helper()
	all, err := w.Actions().Alerts(w.t.Context(), billing.AlertFilter{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	if ids := w.hook.ids(); len(ids) != len(all) || w.hook.calls.Load() != int64(len(all)) {
		w.t.Errorf("%d alerts, %d received by %d calls", len(all), len(ids), w.hook.calls.Load())
	}
	said := make(map[string]bool)
	for _, a := range all {
		if text := a.Title + ": " + a.Text; said[text] {
			w.t.Errorf("told twice: %s", text)
		} else {
			said[text] = true
		}
		if a.Text == "" || a.Remedy == "" || strings.Contains(a.Title+a.Text+a.Remedy, "%s") {
			w.t.Errorf("%s: %q, %q, %q", a.Kind, a.Title, a.Text, a.Remedy)
		}
	}
}

// until repeats an act until its alert has been received.
func (w *alarmed) until(kind billing.AlertKind, act func()) {
	w.t.Helper()
	prove.Eventually(w.t, "the act causes the kind "+string(kind), func() bool {
		act()
		return w.told(kind) > 0
	})
}

func (w *alarmed) ask(model string, headers ...string) attackReply {
	w.t.Helper()
	return w.complete(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"max_tokens":50}`, model), headers...)
}

func (w *alarmed) answered(model string, headers ...string) {
	w.t.Helper()
	if r := w.ask(model, headers...); r.status != http.StatusOK {
		w.t.Fatalf("%s: %d %s", model, r.status, r.body)
	}
}

// do calls the admin API as the operator, or with another token.
func (w *alarmed) do(method, path string, body cli.Fields, token ...string) map[string]any {
	w.t.Helper()
	var out map[string]any
	api := adminapi.API{Transport: http.DefaultTransport, Base: "http://" + w.Address("admin"), Token: append(token, w.admin)[0]}
	if err := api.Do(w.t.Context(), adminapi.Call{Method: method, Path: path, Body: body}, &out); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return out
}

// exec changes the database behind the router's back.
func (w *alarmed) exec(query string, args ...any) {
	w.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(w.dir, "ledger.db")+"?_pragma=busy_timeout(60000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// expiries makes one of everything that expires: a key, a secret, an admin token, a credential.
func (w *alarmed) expiries() {
	soon := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	w.do("POST", "/keys", cli.Fields{"name": "short-lived", "expires_at": soon})
	w.do("POST", "/keys", cli.Fields{"name": "rotating", "rotate_every": "10d"})
	who := w.do("POST", "/principals", cli.Fields{"name": "ci"})
	w.do("POST", fmt.Sprintf("/principals/%v/tokens", who["id"]), cli.Fields{"name": "ci", "expires_in": "48h"})
	w.do("POST", "/credentials", cli.Fields{"provider": "spare", "name": "next", "secret": "CANARY-next", "expires_at": soon})
	for _, what := range []string{"key", "secret", "token", "credential"} {
		prove.Eventually(w.t, "the expiry of a "+what+" is told", func() bool {
			w.hook.mu.Lock()
			defer w.hook.mu.Unlock()
			for _, m := range w.hook.seen {
				if m.Kind == string(alert.Expiry) && m.Data["what"] == what {
					return true
				}
			}
			return false
		})
	}
}

// limit uses 60 % of a limit by noon.
func (w *alarmed) limit() {
	ten := int64(10)
	zone := fmt.Sprintf("Etc/GMT%+d", time.Now().UTC().Hour()-12) // whose sign is the other way round
	_, secret := w.issue(billing.Budget{Period: billing.PeriodDay, Zone: zone, Requests: &ten})
	for range 6 {
		w.answered("plain", "Authorization", "Bearer "+secret)
	}
}

// delivery has a secret delivered to a folder that cannot be made, three times.
func (w *alarmed) delivery() {
	w.do("PUT", "/keys/"+string(w.key.ID)+"/sink", cli.Fields{"sink": "files", "place": "a/key"})
	w.until(alert.Delivery, func() { w.exec("UPDATE key_sinks SET due_at = '2026-01-01T00:00:00.000000000Z' WHERE failures > 0") })
	w.do("DELETE", "/keys/"+string(w.key.ID)+"/sink?reason=broken", nil)
}

// leak sends a key in clear from another host.
func (w *alarmed) leak() {
	_, secret := w.issue()
	r := w.ask("plain", "Authorization", "Bearer "+secret, "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "http")
	if r.status == http.StatusOK {
		w.t.Errorf("a key in clear: %d %s", r.status, r.body)
	}
}

// anomaly uses a key from a network and by a program that it was never used from in the days before.
func (w *alarmed) anomaly() {
	k, secret := w.issue()
	for day := range 5 {
		at := time.Now().UTC().Truncate(time.Hour).Add(time.Duration(day-6) * 24 * time.Hour).Format("2006-01-02T15:04:05.000000000Z")
		w.exec("INSERT INTO key_hours (key_id, hour, requests, errors, denials, answers, tokens, nano) VALUES (?, ?, 40, 0, 0, 100, 400, 400)",
			string(k.ID), at)
		if day == 0 {
			w.exec("INSERT INTO key_sights (key_id, kind, value, first_at, last_at) VALUES (?1, 'network', '192.0.2.0/24', ?2, ?2), "+
				"(?1, 'agent', 'shop', ?2, ?2)", string(k.ID), at)
		}
	}
	w.answered("plain", "Authorization", "Bearer "+secret)
}

// raise has a member ask for more.
func (w *alarmed) raise() {
	w.do("PUT", "/teams/web/ceiling", cli.Fields{"keys": 3, "usd": "20"})
	who := w.do("POST", "/principals", cli.Fields{"name": "ann"})
	w.do("POST", fmt.Sprintf("/principals/%v/grants", who["id"]), cli.Fields{"role": "member", "scope": "team", "scope_id": "web"})
	token := w.do("POST", fmt.Sprintf("/principals/%v/tokens", who["id"]), cli.Fields{"name": "ann"})
	member := fmt.Sprint(token["secret"])
	own := w.do("POST", "/team/keys", cli.Fields{"name": "own", "team": "web", "project": "shop"}, member)
	w.do("POST", fmt.Sprintf("/team/keys/%v/raises", own["id"]), cli.Fields{
		"usd": "1", "until": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339), "reason": "a launch",
	}, member)
}

// leaver disables somebody who owns a key.
func (w *alarmed) leaver() {
	who := w.do("POST", "/principals", cli.Fields{"name": "gone", "kind": "user", "email": "gone@example.com"})
	w.do("POST", "/keys", cli.Fields{"name": "left", "owner": "gone@example.com"})
	w.do("POST", fmt.Sprintf("/principals/%v/disable", who["id"]), cli.Fields{"reason": "has left"})
	if err := w.Actions().SweepLeavers(w.t.Context(), time.Hour); err != nil {
		w.t.Fatal(err)
	}
}

// rejected has the database refuse a row.
func (w *alarmed) rejected() {
	w.exec("CREATE TRIGGER refused BEFORE INSERT ON spend_events WHEN NEW.session = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END")
	w.answered("plain", "X-Tallyroute-Session", "refused")
	prove.Eventually(w.t, "the row is set aside", func() bool {
		list, err := w.Actions().Store.ListRejects(w.t.Context(), "")
		return err == nil && len(list) == 1
	})
	w.exec("DROP TRIGGER refused")
}

// breach changes a sum of the ledger before the hourly check.
func (w *alarmed) breach() {
	w.exec("UPDATE spend_daily SET cost_nano = cost_nano + 1 WHERE cost_nano > 0")
	now := time.Now()
	if _, err := w.Actions().Store.CheckIntegrity(w.t.Context(), billing.IntegrityOptions{Now: now, Since: now}); err != nil {
		w.t.Fatal(err)
	}
}

// journal puts a file in the place of the journal's directory.
func (w *alarmed) journal() {
	path := filepath.Join(w.dir, "journal")
	if err := os.RemoveAll(path); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.until(alert.Journal, func() { w.ask("plain") })
	if err := os.Remove(path); err != nil {
		w.t.Fatal(err)
	}
}
