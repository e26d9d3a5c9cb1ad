package admin

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
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
	adjustment := `{"key_id":"key_1","amount_usd":"1","reason":"r"}`
	if got := g.with("POST", "/spend/adjustments", adjustment, "Idempotency-Key", "x"); got.status != 422 {
		t.Errorf("an operation that would do it twice takes the header: %d %s", got.status, got.text)
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
	if got := g.with("POST", path+"/top-up", `{"usd":"1","reference":"r"}`, "If-Match", `"1"`); got.status != http.StatusPreconditionFailed {
		t.Errorf("what has no versions: %d", got.status)
	}
	if got := g.with("POST", "/keys", `{"name":"n","project":"new","dry_run":true}`); got.status != 200 || got.v["secret"] != nil {
		t.Errorf("a rehearsed key: %d %s", got.status, got.text)
	}
	if got := g.with("GET", "/projects", ""); strings.Contains(got.text, `"new"`) {
		t.Errorf("a rehearsed key made its project: %s", got.text)
	}
}
