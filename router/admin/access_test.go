package admin

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

// calls records requests made with a key, one minute apart.
func (g *rig) calls(t *testing.T, key, from, agent string, n int) {
	t.Helper()
	entries := make([]access.Entry, n)
	for i := range entries {
		entries[i] = access.Entry{
			At:        time.Now().Add(-time.Duration(i) * time.Minute).UTC().Truncate(time.Microsecond),
			RequestID: fmt.Sprintf("req_%s_%03d", agent, i),
			KeyID:     key, Version: 1, Address: netip.MustParseAddr(from), Agent: agent, Endpoint: "/v1/chat/completions",
			Decision: access.Allowed, Status: 200,
		}
	}
	if err := g.store.AppendAccess(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

func TestSharedKeysAreListedWithASplitAndRightsWithWhatWasUsed(t *testing.T) {
	g := newRig(t)
	key := g.ask("POST", base+"/keys", `{"name":"checkout","allowed_cidrs":["10.0.0.0/8","192.168.0.0/16"],`+
		`"models":["chat-cheap"]}`).v["id"].(string)
	g.calls(t, key, "10.0.0.1", "app/1.0", 20)
	if got := g.ask("GET", base+"/shared-keys", ""); !strings.Contains(got.text, `"data":[]`) {
		t.Errorf("of one workload: %s", got.text)
	}
	g.calls(t, key, "10.0.0.2", "batch/2.0", 15)
	got := g.ask("GET", base+"/shared-keys?key_id="+key, "")
	for _, want := range []string{
		`"program":"app","network":"10.0.0.0/24","addresses":1,"requests":20`, `"proposal":null`, `"proposal":"checkout-batch-2"`,
	} {
		if !strings.Contains(got.text, want) {
			t.Errorf("want %s in %s", want, got.text)
		}
	}
	rights := g.ask("GET", base+"/key-rights?key_id="+key, "")
	for _, want := range []string{
		`"requests":35`, `"unused":["chat-cheap"]`, `"used":["10.0.0.0/24"],"unused":["192.168.0.0/16"],"proposal":["10.0.0.0/8"]`,
		`"granted":null,"used":["chat"],"unused":[],"proposal":["chat"]`,
	} {
		if !strings.Contains(rights.text, want) {
			t.Errorf("want %s in %s", want, rights.text)
		}
	}
}

func TestAccessIsListedInPagesAndErasedWithANoteThatDoesNotSayWhose(t *testing.T) {
	g := newRig(t)
	g.calls(t, "key_a", "10.0.0.1", "app/1.0", 5)
	g.calls(t, "key_b", "10.0.0.9", "app/2.0", 2)
	seen, cursor := 0, ""
	for {
		got := g.ask("GET", base+"/access?key_id=key_a&limit=2"+cursor, "")
		seen += len(got.v["data"].([]any))
		next, more := got.v["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + next
	}
	if seen != 5 {
		t.Errorf("pages have %d entries", seen)
	}
	if got := g.ask("POST", base+"/access/erase", `{}`); got.status != 422 && got.status != 400 {
		t.Errorf("all are erased by a request that says nothing: %d %s", got.status, got.text)
	}
	if got := g.ask("POST", base+"/access/erase", `{"address":"10.0.0.1","reason":"asked to"}`); got.v["erased"] != 5.0 {
		t.Errorf("erased: %s", got.text)
	}
	if left := g.ask("GET", base+"/access", ""); strings.Contains(left.text, "10.0.0.1") || !strings.Contains(left.text, "10.0.0.9") {
		t.Errorf("left: %s", left.text)
	}
	noted, err := g.store.ListChanges(t.Context(), billing.ChangeFilter{Action: "access.erase"})
	if err != nil || len(noted) != 1 || strings.Contains(fmt.Sprint(noted[0].Detail, noted[0].Object), "10.0.0.1") {
		t.Errorf("noted: %+v, %v", noted, err)
	}
}
