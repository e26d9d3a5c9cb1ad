package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
)

func (g *rig) with(method, path, body string, header ...string) answer {
	g.t.Helper()
	return g.send(method, base+path, body, append([]string{"Authorization", "Bearer " + token}, header...)...)
}

// TestOneIdempotencyKeyMakesOneKey sends the same request many times concurrently.
func TestOneIdempotencyKeyMakesOneKey(t *testing.T) {
	g := newRig(t)
	const body = `{"name":"once","expires_in":"24h"}`
	var mu sync.Mutex
	made, secrets, ids := 0, map[string]bool{}, map[string]bool{}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got := g.with("POST", "/keys", body, "Idempotency-Key", "order 7")
			mu.Lock()
			defer mu.Unlock()
			if got.status == http.StatusCreated {
				made++
			}
			id, _ := got.v["id"].(string)
			secret, _ := got.v["secret"].(string)
			ids[id], secrets[secret] = true, true
		})
	}
	all.Wait()
	if made != 1 || len(ids) != 1 || len(secrets) != 1 || secrets[""] {
		t.Errorf("%d made, %d ids, %d secrets", made, len(ids), len(secrets))
	}
	if got := g.with("POST", "/keys", `{"name":"another"}`, "Idempotency-Key", "order 7"); got.status != 422 ||
		!strings.Contains(got.text, "idempotency_conflict") {
		t.Errorf("another body: %d %s", got.status, got.text)
	}
	link := g.with("POST", "/keys", `{"name":"later","handover":true}`, "Idempotency-Key", "order 8")
	again := g.with("POST", "/keys", `{"name":"later","handover":true}`, "Idempotency-Key", "order 8")
	if link.status != 201 || again.status != 200 ||
		link.v["handover"].(map[string]any)["token"] != again.v["handover"].(map[string]any)["token"] {
		t.Errorf("a link made once: %s, then %s", link.text, again.text)
	}
}

// TestEveryChangeIsMadeOnceUnderItsIdempotencyKey sends requests that create something many times,
// to two routers at once.
func TestEveryChangeIsMadeOnceUnderItsIdempotencyKey(t *testing.T) {
	g := newRig(t)
	other := newRig(t, func(o *Options) { o.Actions.Store, o.Reports = g.store, g.store })
	person := g.with("POST", "/principals", `{"name":"root","kind":"user"}`).v["id"].(string)
	key := g.with("POST", "/keys", `{"name":"k","team":"t","budget":{"usd":"5","period":"once"}}`).v["id"].(string)
	for _, of := range []struct{ path, body, another, action string }{
		{"/principals", `{"name":"ann","kind":"user"}`, `{"name":"bob","kind":"user"}`, "principal.create"},
		{"/principals/" + person + "/tokens", `{"name":"ci"}`, `{"name":"cd"}`, "token.create"},
		{"/principals/" + person + "/grants", `{"role":"owner","scope":"org"}`, `{"role":"auditor","scope":"org"}`, "principal.grant"},
		{"/keys/" + key + "/hand-over", `{"for":"1h"}`, `{"for":"2h"}`, "key.hand_over"},
		{"/keys/" + key + "/top-up", `{"usd":"1","reference":"r"}`, `{"usd":"2","reference":"s"}`, "key.top_up"},
		{
			"/spend/adjustments", `{"key_id":"` + key + `","amount_usd":"1","reason":"r"}`,
			`{"key_id":"` + key + `","amount_usd":"2","reason":"r"}`,
			"spend.adjust",
		},
		{
			"/incidents", `{"key_id":"` + key + `","action":"disable","reason":"r"}`,
			`{"key_id":"` + key + `","action":"disable","reason":"s"}`,
			"incident.open",
		},
		{"/credentials", bodies["addCredential"], `{"provider":"acme","name":"b","owner":"a@b.c","secret":"s"}`, "credential.create"},
		{"/teams", `{"name":"new"}`, `{"name":"newer"}`, "project.create"},
		{"/budgets", `{"scope":"team","scope_id":"t","usd":"7"}`, `{"scope":"team","scope_id":"t","usd":"8"}`, "budget.create"},
	} {
		var mu sync.Mutex
		texts, made, replayed := map[string]bool{}, map[string]bool{}, 0
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				got := []*rig{g, other}[i%2].with("POST", of.path, of.body, "Idempotency-Key", "one of "+of.action)
				mu.Lock()
				defer mu.Unlock()
				texts[got.text] = true
				if got.header.Get("Idempotent-Replayed") == "true" {
					replayed++
					made[got.header.Get("X-Tallyroute-Original-Request-Id")] = true
				}
				if got.status != http.StatusCreated && got.status != http.StatusOK {
					t.Errorf("%s: %d %s", of.path, got.status, got.text)
				}
			})
		}
		all.Wait()
		if len(texts) != 1 || len(made) != 1 || replayed != 7 {
			t.Errorf("%s: %d answers, %d of them replayed, of %d requests: %v", of.path, len(texts), replayed, len(made), texts)
		}
		changes, err := g.store.ListChanges(t.Context(), billing.ChangeFilter{Action: of.action})
		want := map[string]int{"principal.create": 2, "project.create": 2}[of.action]
		if err != nil || len(changes) != max(want, 1) {
			t.Errorf("%s: %d changes, %v", of.path, len(changes), err)
		}
		if got := g.with("POST", of.path, of.another, "Idempotency-Key", "one of "+of.action); got.status != 422 ||
			!strings.Contains(got.text, "idempotency_conflict") {
			t.Errorf("%s with another body: %d %s", of.path, got.status, got.text)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 257)} {
		if got := g.with("POST", "/teams", `{"name":"z"}`, "Idempotency-Key", name); got.status != 422 {
			t.Errorf("the name %q: %d %s", name, got.status, got.text)
		}
	}
}

// TestRefusalIsNotKept: a refused request can be retried with the same Idempotency-Key.
func TestRefusalIsNotKept(t *testing.T) {
	g := newRig(t)
	const body = `{"scope":"team","scope_id":"late","usd":"7"}`
	if got := g.with("POST", "/budgets", body, "Idempotency-Key", "b"); got.status != http.StatusNotFound {
		t.Fatalf("%d %s", got.status, got.text)
	}
	g.with("POST", "/teams", `{"name":"late"}`)
	if got := g.with("POST", "/budgets", body, "Idempotency-Key", "b"); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.text)
	}
}

// crashing is a store whose router dies after a change, before the answer is stored.
type crashing struct{ billing.Claims }

var errCrash = errors.New("the router has died")

func (crashing) Keep(context.Context, billing.Claim, []byte, time.Time) error { return errCrash }

func TestChangeWhoseAnswerWasLostIsNotMadeAgain(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Actions.Store.Claims = crashing{o.Actions.Store.Claims} })
	made := g.with("POST", "/principals", `{"name":"ann","kind":"user"}`, "Idempotency-Key", "p")
	again := g.with("POST", "/principals", `{"name":"ann","kind":"user"}`, "Idempotency-Key", "p")
	if id, _ := made.v["id"].(string); made.status != http.StatusCreated || again.status != http.StatusConflict ||
		!strings.Contains(again.text, "idempotency_answer_lost") || !strings.Contains(again.text, id) {
		t.Errorf("made %s, again: %d %s", made.text, again.status, again.text)
	}
	g.with("POST", "/teams", `{"name":"t"}`, "Idempotency-Key", "t")
	if again := g.with("POST", "/teams", `{"name":"t"}`, "Idempotency-Key", "t"); again.status != http.StatusOK {
		t.Errorf("a team that is found: %d %s", again.status, again.text)
	}
	if got := g.with("GET", "/principals", ""); strings.Count(got.text, `"name":"ann"`) != 1 {
		t.Errorf("made twice: %s", got.text)
	}
}

// TestChangesAreMadeFromTheStateThatWasSeen, even for objects without numbered versions.
func TestChangesAreMadeFromTheStateThatWasSeen(t *testing.T) {
	g := newRig(t)
	project := g.with("POST", "/projects", `{"name":"p","team":"t"}`).v["id"].(string)
	budget := g.with("POST", "/budgets", `{"scope":"team","scope_id":"t","usd":"5"}`).v["id"].(string)
	for _, of := range []struct {
		path, change string
		others       [][3]string
	}{
		{"/budgets/" + budget, `{"usd":"%d"}`, [][3]string{
			{"POST", "/raise", `{"usd":"1","until":"2099-01-01T00:00:00Z","reason":"r"}`},
			{"POST", "/reset", `{"reason":"r"}`},
			{"DELETE", "", ""},
		}},
		{"/projects/" + project, `{"name":"p%d"}`, [][3]string{{"POST", "/archive", ""}}},
		{"/teams/t", `{"cost_center":"c%d"}`, [][3]string{{"PUT", "/policy", `{"policy":{"models":["a"]}}`}, {"POST", "/archive", ""}}},
	} {
		seen := g.with("GET", of.path, "").header.Get("ETag")
		changed := g.with("PATCH", of.path, fmt.Sprintf(of.change, 7), "If-Match", seen)
		tag, now := changed.header.Get("ETag"), g.with("GET", of.path, "").header.Get("ETag")
		if changed.status != 200 || seen == "" || tag == seen || tag != now {
			t.Errorf("%s: %d %s, ETags %q, %q and %q", of.path, changed.status, changed.text, seen, tag, now)
		}
		for _, op := range append(of.others, [3]string{"PATCH", "", fmt.Sprintf(of.change, 8)}) {
			for _, tag := range []string{seen, `"nonsense"`, "7"} {
				if got := g.with(op[0], of.path+op[1], op[2], "If-Match", tag); got.status != http.StatusPreconditionFailed {
					t.Errorf("%s %s%s with %s: %d %s", op[0], of.path, op[1], tag, got.status, got.text)
				}
			}
		}
	}
	seen := g.with("GET", "/teams/t/policy", "").header.Get("ETag")
	for _, want := range []int{200, 412} {
		if got := g.with("PUT", "/teams/t/policy", `{"policy":{"models":["a"]}}`, "If-Match", seen); got.status != want {
			t.Errorf("a policy made from %s: %d %s, want %d", seen, got.status, got.text, want)
		}
	}
}

func TestChangesAreMadeFromTheVersionThatWasSeen(t *testing.T) {
	g := newRig(t)
	made := g.with("POST", "/keys", `{"name":"k"}`)
	path := "/keys/" + made.v["id"].(string)
	seen := g.with("GET", path, "").header.Get("ETag")
	if seen == "" || seen != made.header.Get("ETag") {
		t.Fatalf("ETags %q and %q", made.header.Get("ETag"), seen)
	}
	changed := g.with("PATCH", path, `{"name":"l"}`, "If-Match", seen)
	if changed.status != 200 || changed.header.Get("ETag") == seen {
		t.Errorf("a change of what was seen: %d %s", changed.status, changed.header.Get("ETag"))
	}
	for _, op := range [][3]string{
		{"PATCH", "", `{"name":"m"}`}, {"POST", "/revoke", ""}, {"POST", "/disable", ""}, {"POST", "/archive", ""},
	} {
		for _, tag := range []string{seen, `"nonsense"`, "7"} {
			if got := g.with(op[0], path+op[1], op[2], "If-Match", tag); got.status != http.StatusPreconditionFailed {
				t.Errorf("%v with %s: %d %s", op, tag, got.status, got.text)
			}
		}
	}
	if got := g.with("POST", path+"/revoke", `{"dry_run":true}`, "If-Match", "*"); got.v["status"] != "revoked" {
		t.Errorf("a rehearsed revocation: %s", got.text)
	}
	if got := g.with("GET", path, ""); got.v["status"] != "active" || got.v["name"] != "l" {
		t.Errorf("what was refused or rehearsed was done: %s", got.text)
	}
	if got := g.with("POST", path+"/top-up", `{"usd":"1","reference":"r"}`,
		"If-Match", `"1"`); got.status != http.StatusPreconditionFailed {
		t.Errorf("what has no versions: %d", got.status)
	}
	if got := g.with("POST", "/keys", `{"name":"n","project":"new","dry_run":true}`); got.status != 200 || got.v["secret"] != nil {
		t.Errorf("a rehearsed key: %d %s", got.status, got.text)
	}
	if got := g.with("GET", "/projects", ""); strings.Contains(got.text, `"new"`) {
		t.Errorf("a rehearsed key made its project: %s", got.text)
	}
}

// TestLongListsHavePages: over all pages, each item is returned once, in the order of the list.
func TestLongListsHavePages(t *testing.T) {
	g := newRig(t)
	for i := range 5 {
		event := billing.Event{
			Kind: billing.EventDenied, Severity: billing.Warning, Text: "x", DedupID: fmt.Sprint("denied:", i), At: time.Unix(int64(i), 0),
			Data: map[string]string{"n": fmt.Sprint(i)},
		}
		if err := g.store.WriteEvents(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		key := g.with("POST", "/keys", fmt.Sprintf(`{"name":"k%d"}`, i)).v["id"].(string)
		incident := g.with("POST", "/incidents", `{"key_id":"`+key+`","action":"disable","reason":"r"}`)
		if incident.status != http.StatusCreated {
			t.Fatal(incident.text)
		}
		a := billing.Alert{
			ID: billing.NewID("alert_"), Claim: fmt.Sprint("c", i), Kind: "limit", Severity: billing.Warning, Title: "a limit",
			At: time.Now(),
		}
		if _, err := g.store.FireAlerts(t.Context(), billing.Firing{Alerts: []billing.Alert{a}}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, list := range []string{"/events?kind=denied", "/incidents?", "/alerts?"} {
		whole := g.with("GET", list, "").data()
		var pages []any
		for cursor, page := "", 0; page == 0 || cursor != ""; page++ {
			got := g.with("GET", list+"&limit=2&cursor="+url.QueryEscape(cursor), "")
			pages = append(pages, got.data()...)
			cursor, _ = got.v["next_cursor"].(string)
			if got.status != 200 || page > 4 || (cursor != "") != (got.v["has_more"] == true) {
				t.Fatalf("%s: %d %s", list, got.status, got.text)
			}
		}
		if len(whole) < 5 || !reflect.DeepEqual(whole, pages) {
			t.Errorf("%s: %d in all, %d by pages:\n%v\n%v", list, len(whole), len(pages), whole, pages)
		}
	}
}
