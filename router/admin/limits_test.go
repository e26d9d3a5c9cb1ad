package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// absurd are values that no limit can have, by the type of the member in the OpenAPI document.
var absurd = map[string][]string{
	"integer": {
		`-1`, `1.5`, `"5"`, `true`, `[]`, `{}`, `NaN`, `Infinity`, `1e400`, `9223372036854775807`, `9223372036854775808`,
		`-9223372036854775808`, `1000000000000001`,
	},
	"string": {
		`"-1"`, `"NaN"`, `"Infinity"`, `"1e5"`, `""`, `" 1"`, `"0x1"`, `"1.0000000001"`,
		`"1000000000.1"`, `"99999999999999999999"`, `5`, `true`,
		`[]`, `{}`,
	},
	"array": {`[0]`, `[-1]`, `[1001]`, `[50,50]`, `["50"]`, `[1.5]`, `50`, `{}`, `[1,2,3,4,5,6,7,8,9,10,11]`},
}

// TestNoAbsurdLimitIsTaken tries every absurd value for every limit in every body of the
// OpenAPI document.
func TestNoAbsurdLimitIsTaken(t *testing.T) {
	g := newRig(t)
	key := g.ask("POST", "/admin/v1/keys", `{"name":"k","budget":{"usd":"1","period":"once"}}`)
	id := key.v["id"].(string)
	budget := key.v["budgets"].([]any)[0].(map[string]any)["id"].(string)
	tried := 0
	for _, body := range []struct{ method, path, rest string }{
		{"POST", "/keys", `"name":"k"`},
		{"PATCH", "/keys/{id}", `"reason":"r"`},
		{"POST", "/budgets", `"scope":"key","scope_id":"` + id + `","period":"day"`},
		{"PATCH", "/budgets/{id}", `"reason":"r"`},
		{"POST", "/budgets/{id}/raise", `"reason":"r","until":"2999-01-01T00:00:00Z"`},
		{"POST", "/keys/{id}/top-up", `"reference":"r"`},
	} {
		of := map[bool]string{true: budget, false: id}[strings.HasPrefix(body.path, "/budgets")]
		path := "/admin/v1" + strings.ReplaceAll(body.path, "{id}", of)
		for member, kind := range limitsOf(t, body.method, "/admin/v1"+body.path) {
			for _, value := range absurd[kind] {
				at, inner := member, value
				if outer, name, nested := strings.Cut(member, "."); nested {
					at, inner = outer, fmt.Sprintf(`{"%s":%s}`, name, value)
					if outer == "budgets" {
						inner = "[" + inner + "]"
					}
				}
				tried++
				got := g.ask(body.method, path, fmt.Sprintf(`{%s,"%s":%s}`, body.rest, at, inner))
				if got.status != 422 && got.status != 400 {
					t.Errorf("%s %s: %s of %s: status %d: %s", body.method, body.path, member, value, got.status, got.text)
				}
			}
		}
	}
	after := g.ask("GET", "/admin/v1/keys/"+id, "")
	if after.v["version"] != key.v["version"] || tried < 400 {
		t.Errorf("after %d values the key is of version %v, was %v", tried, after.v["version"], key.v["version"])
	}
}

func TestAFaultOfALimitIsToldBeforeItIsCompared(t *testing.T) {
	g := newRig(t)
	g.ask("POST", "/admin/v1/keys", `{"name":"k","team":"t","limits":{"requests_per_minute":10}}`)
	got := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"t","period":"minute","requests":-1}`)
	if e := got.refused(t, 422, "invalid_value"); e["param"] != "requests" || strings.Contains(e["message"].(string), "wider") {
		t.Errorf("%v", e)
	}
	got = g.ask("POST", "/admin/v1/budgets", `{"scope":"org","usd":"99999999999999"}`)
	if e := got.refused(t, 422, "invalid_value"); !strings.Contains(e["message"].(string), "less than 9 billion") {
		t.Errorf("%v", e)
	}
}

// limitsOf returns the members of a body that are limits, with their types; nested ones as
// outer.inner.
func limitsOf(t *testing.T, method, path string) map[string]string {
	t.Helper()
	contract, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	follow := func(v any, names ...string) any {
		for _, name := range names {
			for {
				m, _ := v.(map[string]any)
				ref, ok := m["$ref"].(string)
				if !ok {
					v = m[name]
					break
				}
				v = contract.document
				for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					v = v.(map[string]any)[part]
				}
			}
		}
		return v
	}
	var walk func(schema any, outer string, found map[string]string)
	var kindOf func(schema any) (any, string)
	kindOf = func(schema any) (any, string) { // of the first alternative, which is not null
		if either := orEmpty(follow(schema, "anyOf")); len(either) > 0 {
			return kindOf(either[0])
		}
		if either := orEmpty(follow(schema, "type")); len(either) > 0 {
			return schema, either[0].(string)
		}
		kind, _ := follow(schema, "type").(string)
		return schema, kind
	}
	limits := []string{
		"usd", "tokens", "requests", "requests_per_minute", "tokens_per_minute", "concurrent_requests", "thresholds",
	}
	walk = func(schema any, outer string, found map[string]string) {
		members, _ := follow(schema, "properties").(map[string]any)
		for name, member := range members {
			s, kind := kindOf(member)
			switch {
			case slices.Contains(limits, name):
				found[outer+name] = kind
			case outer == "" && kind == "array":
				inner, _ := kindOf(follow(s, "items"))
				walk(inner, name+".", found)
			case outer == "":
				walk(s, name+".", found)
			}
		}
	}
	found := make(map[string]string)
	body := follow(contract.document, "paths", path, strings.ToLower(method), "requestBody")
	walk(follow(body, "content", "application/json", "schema"), "", found)
	if len(found) == 0 {
		t.Fatalf("%s %s: no limits in %v", method, path, slices.Sorted(maps.Keys(contract.document["paths"].(map[string]any)))[:3])
	}
	return found
}

func orEmpty(v any) []any {
	list, _ := v.([]any)
	return list
}

// TestBudgetsAndEventsHaveNames: answers give the names of keys, teams, projects and budgets
// beside their ids, and in sentences instead of them.
func TestBudgetsAndEventsHaveNames(t *testing.T) {
	g := newRig(t)
	key := g.must("POST", "/keys", `{"name":"till","team":"shop","project":"web","environment":"dev","budgets":[{"usd":"3"}]}`).v
	id := key["id"].(string)
	team := g.must("POST", "/budgets", `{"scope":"team","scope_id":"shop","usd":"9"}`).v
	if team["scope_name"] != "shop" {
		t.Errorf("a budget that was set: %v", team)
	}
	raised := g.must("POST", "/budgets/"+team["id"].(string)+"/raise", `{"usd":"2","until":"2099-01-01T00:00:00Z","reason":"r"}`)
	for path, want := range map[string][]string{
		"/budgets": {`"scope_name":"till"`, `"scope_name":"shop"`, `"usd":"11"`},
		"/budgets/" + team["id"].(string): {
			`"scope_name":"shop"`, `"usd":"9"`, `"remaining_usd":"11"`,
			`"raised":{"usd":"2","tokens":0,"requests":0,"until":"2099-01-01T00:00:00Z"}`,
		},
		"/keys/" + id: {`"scope_name":"till"`, `"scope_name":"shop"`, `"raised":{"usd":"2"`, `"raised":null`},
	} {
		got := g.ask("GET", base+path, "").text
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("GET %s lacks %s: %s", path, w, got)
			}
		}
	}
	if !strings.Contains(raised.text, `"raised":{"usd":"2"`) {
		t.Errorf("the raise itself: %s", raised.text)
	}
	nine := billing.Money(9 * billing.NanoPerUSD)
	b := billing.Budget{
		ID: team["id"].(string), Scope: billing.ScopeTeam, ScopeID: team["scope_id"].(string), Period: billing.PeriodMonth, Money: &nine,
	}
	passed := billing.Balance{Budget: b, UsedMoney: nine - 1}.Passed(time.Now())
	refused := billing.Refuse(billing.Balance{Budget: b}, nil, billing.Amount{})
	denied, _ := new(billing.Denials).Event(billing.Hold{KeyID: billing.KeyID(id)}, refused, time.Now())
	if err := g.store.WriteEvents(t.Context(), append(passed, denied)...); err != nil {
		t.Fatal(err)
	}
	events := g.ask("GET", base+"/events", "").text
	for _, w := range []string{
		`"object_name":"monthly budget of team shop"`, `"object_name":"till"`, `"scope_name":"shop"`,
		`"budget_name":"monthly budget of team shop"`,
		`"text":"80% of the monthly budget of team \"shop\" is used: $8.999999999 of $9."`,
		`A budget had no room: the monthly budget of team \"shop\": $0 of $9 used`,
	} {
		if !strings.Contains(events, w) {
			t.Errorf("events lack %s: %s", w, events)
		}
	}
}
