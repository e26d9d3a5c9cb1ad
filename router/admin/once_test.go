package admin

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

func (g *rig) with(method, path, body string, header ...string) answer {
	g.t.Helper()
	return g.send(method, base+path, body, append([]string{"Authorization", "Bearer " + token}, header...)...)
}

// TestOneIdempotencyKeyMakesOneKey sends the same request many times at once.
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
	if got := g.with("PATCH", "/teams/default", `{"cost_center":"c"}`, "If-Match", `"1"`); got.status != http.StatusPreconditionFailed {
		t.Errorf("a team has no versions: %d", got.status)
	}
	if got := g.with("POST", "/keys", `{"name":"n","project":"new","dry_run":true}`); got.status != 200 || got.v["secret"] != nil {
		t.Errorf("a rehearsed key: %d %s", got.status, got.text)
	}
	if got := g.with("GET", "/projects", ""); strings.Contains(got.text, `"new"`) {
		t.Errorf("a rehearsed key made its project: %s", got.text)
	}
}
