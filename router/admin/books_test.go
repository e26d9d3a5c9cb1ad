package admin

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// used stores a row of what a key used at a given time: 7 tokens at $0.0000015.
func (g *rig) used(key string, at time.Time) billing.Spend {
	g.t.Helper()
	return g.usedBy(billing.Owner{KeyID: billing.KeyID(key)}, at)
}

func (g *rig) usedBy(owner billing.Owner, at time.Time) billing.Spend {
	g.t.Helper()
	row := billing.Spend{
		OccurredAt: at, Kind: billing.KindUsage, RequestID: billing.NewID("req_"), Attempt: 1, Final: true,
		Owner:    owner,
		Provider: "acme", Model: "large", Status: billing.StatusOK, UsageSource: billing.Reported, Tokens: billing.Tokens{Input: 7},
		Pricing: billing.Priced, Cost: billing.Cost{Input: 1500, Total: 1500},
	}
	if _, err := g.store.Post(g.t.Context(), billing.Posting{Rows: []billing.Spend{row}}); err != nil {
		g.t.Fatal(err)
	}
	return row
}

// TestMonthIsArchivedOnceItsRowsAreRead closes a month, reads its rows as if into a file, and
// drops them.
func TestMonthIsArchivedOnceItsRowsAreRead(t *testing.T) {
	g := newRig(t)
	key, _ := g.ask("POST", "/admin/v1/keys", `{"name":"shop","team":"web"}`).v["id"].(string)
	row := g.used(key, time.Date(2020, time.March, 3, 12, 0, 0, 0, time.UTC))
	g.used(key, time.Date(2020, time.March, 4, 12, 0, 0, 0, time.UTC))
	g.ask("GET", "/admin/v1/periods/2020-03/rows", "").refused(t, 409, "conflict")
	g.ask("GET", "/admin/v1/periods/March/rows", "").refused(t, 422, "invalid_value")
	closed := g.ask("POST", "/admin/v1/periods/2020-03/close", "")
	if closed.status != 200 {
		t.Fatalf("%d %s", closed.status, closed.text)
	}
	digest, _ := closed.v["sha256"].(string)
	rows := g.ask("GET", "/admin/v1/periods/2020-03/rows", "")
	if rows.status != 200 || strings.Count(rows.text, "\n") != 2 || !strings.Contains(rows.text, row.RequestID) {
		t.Fatalf("%d %s", rows.status, rows.text)
	}
	if got := rows.trailer.Get("X-Tallyroute-Sha256"); got != digest {
		t.Errorf("the lines have the digest %q, the month %q", got, digest)
	}
	g.ask("POST", "/admin/v1/periods/2020-03/archive", `{"rows":2,"cost_usd":"0.000003","sha256":"`+strings.Repeat("0", 64)+`"}`).refused(t,
		409, "conflict")
	if got := g.ask("POST", "/admin/v1/periods/2020-03/archive", `{"rows":2,"cost_usd":"0.000003","sha256":"`+digest+
		`"}`); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	g.ask("GET", "/admin/v1/periods/2020-03/rows", "").refused(t, 409, "conflict")
}

// TestRepricingPostsTheDifference reprices a row at a lower price than was paid.
func TestRepricingPostsTheDifference(t *testing.T) {
	g := newRig(t, func(o *Options) {
		o.Prices = func() []billing.Price {
			return []billing.Price{{
				ID: "p1", Provider: "acme", Model: "large", Since: time.Unix(0, 0), Source: "manual",
				Input: 100_000, CacheRead: 100_000, CacheWrite: 100_000, Output: 100_000, // per million tokens
			}}
		}
	})
	key, _ := g.ask("POST", "/admin/v1/keys", `{"name":"shop","team":"web"}`).v["id"].(string)
	at := time.Now().UTC().Add(-time.Hour)
	g.used(key, at)
	span := `"from":"` + at.Add(-time.Hour).Format(time.RFC3339) + `","to":"` + at.Add(time.Hour).Format(time.RFC3339) + `"`
	for _, body := range []string{`{` + span + `}`, `{"reason":"r","from":"yesterday","to":"today"}`, `{"reason":"r"}`} {
		if got := g.ask("POST", "/admin/v1/prices/reprice", body); got.status != 422 {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
	dry := g.ask("POST", "/admin/v1/prices/reprice", `{"reason":"r","dry_run":true,`+span+`}`)
	wet := g.ask("POST", "/admin/v1/prices/reprice", `{"reason":"r",`+span+`}`)
	for _, got := range []answer{dry, wet} {
		if got.status != 200 || got.v["adjusted"] != 1.0 || !strings.HasPrefix(got.v["difference_usd"].(string), "-") {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
	if again := g.ask("POST", "/admin/v1/prices/reprice", `{"reason":"r",`+span+`}`); again.v["adjusted"] != 0.0 {
		t.Errorf("posted twice: %s", again.text)
	}
}

// TestLedgerIsProvedAndReplicasAreListed covers what the command line offers.
func TestLedgerIsProvedAndReplicasAreListed(t *testing.T) {
	g := newRig(t)
	got := g.ask("POST", "/admin/v1/integrity", `{"quick":true}`)
	laws, _ := got.v["laws"].([]any)
	if got.status != 200 || got.v["breaches"] != 0.0 || len(laws) == 0 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := g.ask("GET", "/admin/v1/replicas", ""); got.status != 200 || len(got.data()) != 0 {
		t.Errorf("%d %s", got.status, got.text)
	}
	g.ask("POST", "/admin/v1/replicas/"+url.PathEscape("rep_none")+"/forget", "").refused(t, 404, "replica_not_found")
}

// TestOneBudgetForAScopeAndPeriod sets a budget twice, by its scope and by its id, and finds
// only one.
func TestOneBudgetForAScopeAndPeriod(t *testing.T) {
	g := newRig(t)
	g.ask("POST", "/admin/v1/teams", `{"name":"web"}`)
	first := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"web","usd":"5"}`)
	again := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"web","usd":"6","zone":"Europe/Berlin"}`)
	id, _ := first.v["id"].(string)
	byID := g.ask("POST", "/admin/v1/budgets", `{"id":"`+id+`","usd":"7"}`)
	for i, got := range []answer{first, again, byID} {
		if got.v["id"] != id || got.v["usd"] != strconv.Itoa(5+i) || got.v["period"] != "month" {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
	if first.status != 201 || again.status != 200 || byID.status != 200 || byID.v["zone"] != "Europe/Berlin" {
		t.Errorf("%d %d %d %v", first.status, again.status, byID.status, byID.v["zone"])
	}
	if day := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"web","usd":"1","period":"day"}`); day.status != 201 {
		t.Errorf("%d %s", day.status, day.text)
	}
	if got := g.ask("GET", "/admin/v1/budgets", ""); len(got.data()) != 2 {
		t.Errorf("%s", got.text)
	}
	key, _ := g.ask("POST", "/admin/v1/keys", `{"name":"k","budget":{"usd":"1"}}`).v["id"].(string)
	g.ask("PATCH", "/admin/v1/keys/"+key, `{"budgets":[{"usd":"1"},{"tokens":5,"zone":"Europe/Berlin"}]}`).refused(t, 422, "invalid_value")
}

// TestEveryMemberOfABudgetIsChangedByItsID changes one member after another, and finds all the
// others unchanged.
func TestEveryMemberOfABudgetIsChangedByItsID(t *testing.T) {
	g := newRig(t)
	path := "/admin/v1/budgets/" + g.ask("POST", "/admin/v1/budgets", `{"scope":"org","usd":"5"}`).v["id"].(string)
	standing := g.ask("PATCH", path, `{"zone":"Europe/Berlin"}`).v
	for _, c := range []struct {
		body, member string
		want         any
	}{
		{`{"requests":8}`, "requests", 8.0},
		{`{"tokens":9}`, "tokens", 9.0},
		{`{"usd":null}`, "usd", nil},
		{`{"requests":null}`, "requests", nil},
		{`{"requests":0}`, "requests", 0.0},
		{`{"tokens":null}`, "tokens", nil},
		{`{"starts":"04-06"}`, "starts", "04-06"},
		{`{"period":"year"}`, "period", "year"},
		{`{"starts":"01-01"}`, "starts", ""},
		{`{"action":"alert"}`, "action", "alert"},
		{`{"action":"block"}`, "action", "block"},
		{`{"thresholds":[90,10]}`, "thresholds", []any{90.0, 10.0}},
		{`{"thresholds":[]}`, "thresholds", []any{}},
		{`{"zone":"UTC"}`, "zone", "UTC"},
		{`{"thresholds":null}`, "thresholds", []any{50.0, 80.0, 100.0}},
	} {
		got := g.ask("PATCH", path, c.body)
		if standing[c.member] = c.want; c.want == "" {
			delete(standing, c.member)
		}
		if got.status != 200 || !reflect.DeepEqual(got.v, standing) {
			t.Errorf("%s: %d %v, want %v", c.body, got.status, got.v, standing)
		}
	}
}

// TestActionsThatABudgetDoesNotHave: unsupported actions are refused wherever a budget is set, and
// are not in the document.
func TestActionsThatABudgetDoesNotHave(t *testing.T) {
	g := newRig(t)
	budget := g.ask("POST", "/admin/v1/budgets", `{"scope":"org","usd":"5"}`)
	for _, got := range []answer{
		g.ask("PATCH", "/admin/v1/budgets/"+budget.v["id"].(string), `{"action":"slow-down"}`),
		g.ask("POST", "/admin/v1/budgets", `{"scope":"org","action":"slow-down"}`),
		g.ask("POST", "/admin/v1/budgets", `{"scope":"org","period":"day","usd":"1","action":"slow-down"}`),
	} {
		if e := got.refused(t, 422, "invalid_value"); e["param"] != "action" || !strings.Contains(e["message"].(string), "block") {
			t.Errorf("%v", e)
		}
	}
	g.ask("POST", "/admin/v1/keys", `{"name":"k","budget":{"usd":"1","action":"slow-down"}}`).refused(t, 422, "invalid_value")
	if doc := g.ask("GET", "/admin/v1/openapi.json", ""); doc.status != 200 || strings.Contains(doc.text, "slow-down") {
		t.Errorf("the document: %d", doc.status)
	}
}

// TestNoBudgetIsWiderThanOneAboveIt tries both directions of each pair, and keys that are
// created, changed and moved.
func TestNoBudgetIsWiderThanOneAboveIt(t *testing.T) {
	g := newRig(t)
	for _, project := range []string{`{"team":"web","name":"shop"}`, `{"team":"web","name":"rich"}`, `{"team":"ops","name":"all"}`} {
		g.ask("POST", "/admin/v1/projects", project)
	}
	set := func(body string) answer { return g.ask("POST", "/admin/v1/budgets", body) }
	key := func(more string) answer {
		return g.ask("POST", "/admin/v1/keys", `{"name":"k","team":"web","project":"shop"`+more+`}`)
	}
	refused := func(got answer, param string, said ...string) {
		t.Helper()
		e := got.refused(t, 422, "invalid_value")
		for _, s := range said {
			if message, _ := e["message"].(string); e["param"] != param || !strings.Contains(message, s) {
				t.Errorf("%v: want %s at %s", e, s, param)
			}
		}
	}
	ok := func(got answer) answer {
		t.Helper()
		if got.status > 201 {
			t.Errorf("%d %s", got.status, got.text)
		}
		return got
	}
	ok(set(`{"scope":"org","usd":"100","requests":1000}`))
	refused(set(`{"scope":"team","scope_id":"web","usd":"100.01"}`), "usd", "$100.01 of team web", "$100 of the organisation", "per month")
	team := ok(set(`{"scope":"team","scope_id":"web","usd":"50","tokens":500}`)).v["id"].(string)
	refused(set(`{"scope":"project","scope_id":"web/shop","tokens":501}`), "tokens",
		"501 tokens of project web/shop", "500 tokens of team web")
	refused(set(`{"scope":"project","scope_id":"web/shop","requests":1001}`), "requests",
		"1001 requests", "1000 requests of the organisation")
	project := ok(set(`{"scope":"project","scope_id":"web/shop","usd":"20"}`)).v["id"].(string)
	refused(g.ask("PATCH", "/admin/v1/budgets/"+project, `{"usd":"51"}`), "usd", "$51 of project web/shop", "$50 of team web")
	refused(set(`{"id":"`+project+`","usd":"51"}`), "usd", "$51")
	refused(set(`{"scope":"team","scope_id":"web","usd":"19"}`), "usd", "$20 of project web/shop", "$19 of team web")

	refused(key(`,"budget":{"usd":"21"}`), "usd", "$21 of key k (key_", "$20 of project web/shop")
	refused(key(`,"budget":{"usd":"5","requests":2000}`), "requests", "2000 requests of key k", "1000 requests of the organisation")
	id := ok(key(`,"budget":{"usd":"15"}`)).v["id"].(string)
	refused(g.ask("PATCH", "/admin/v1/keys/"+id, `{"budgets":[{"usd":"21"}]}`), "usd", "$21 of key k", "$20 of project web/shop")
	refused(set(`{"scope":"key","scope_id":"`+id+`","usd":"21"}`), "usd", "$21 of key k", "$20 of project web/shop")
	refused(g.ask("PATCH", "/admin/v1/budgets/"+project, `{"usd":"14"}`), "usd", "$15 of key k", "$14 of project web/shop")
	ok(set(`{"scope":"project","scope_id":"web/rich","usd":"1"}`))
	refused(g.ask("PATCH", "/admin/v1/keys/"+id, `{"project":"rich"}`), "usd", "$15 of key k", "$1 of project web/rich")

	// Other periods, other teams, budgets that only notify, and changes that do not touch a
	// limit are free.
	ok(set(`{"scope":"team","scope_id":"ops","usd":"90"}`))
	ok(set(`{"scope":"project","scope_id":"web/shop","usd":"500","period":"year"}`))
	ok(set(`{"scope":"project","scope_id":"ops/all","usd":"900","action":"alert"}`))
	ok(g.ask("PATCH", "/admin/v1/budgets/"+team, `{"zone":"Europe/Berlin"}`))
	ok(g.ask("PATCH", "/admin/v1/budgets/"+project, `{"usd":"15"}`))
	// A key that has ended is subject to nothing.
	ok(g.ask("POST", "/admin/v1/keys/"+id+"/revoke", `{"reason":"r"}`))
	ok(g.ask("PATCH", "/admin/v1/budgets/"+project, `{"usd":"1"}`))
}
