package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/policy"
	"tallyroute/router/admin/wire"
)

// hostile lists values, valid JSON or not, that any member may be given.
var hostile = []string{
	`null`, `NaN`, `-1`, `0`, `1e308`, `-0.5`, `1e-400`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775809`,
	`123456789012345678901234567890`, `true`, `[]`, `{}`, `[null]`, `[[[{}]]]`, `{"a":{"b":[1]}}`, `""`, `" "`, `"NaN"`, `"-1"`, `"1e99"`,
	`"0.0000000001"`, `"\u0000"`, `"\ud800"`, "\"\xff\"", `"` + "\u202e\u0007" + `"`, `"` + strings.Repeat("x", 5000) + `"`,
	`"9999-99-99T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"99999999999d"`, `"-5m"`, `"10.0.0.0/99"`, `"../../etc"`, `"'; --"`, `"*"`,
	`"@none"`,
	strings.Repeat("[", 2000) + strings.Repeat("]", 2000), strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500),
	"[" + strings.TrimSuffix(strings.Repeat(`"a",`, 3000), ",") + "]",
}

// oddPaths lists escaped path segments that name nothing.
var oddPaths = []string{
	"none", "%00", "..%2f..", "%ff", "%E2%80%AE", "1", "-1", "2026-13", "9999-12", strings.Repeat("x", 3000), "a%20b",
	"*", "%25",
}

// generator generates requests from the OpenAPI document.
type generator struct {
	random *rand.Rand
	c      *contract
	known  []string // ids of existing objects
}

// pick returns a random element of a list.
func pick[T any](g *generator, list []T) T { return list[g.random.IntN(len(list))] }

// resolved follows the references of a schema.
func (g *generator) resolved(schema any) map[string]any {
	s, _ := schema.(map[string]any)
	for ref, ok := s["$ref"].(string); ok; ref, ok = s["$ref"].(string) {
		var at any = g.c.document
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(map[string]any)[name]
		}
		s = at.(map[string]any)
	}
	return s
}

// value generates JSON that fits a schema, as far as the schema tells.
func (g *generator) value(schema any, depth int) string {
	s := g.resolved(schema)
	if choices, ok := s["anyOf"].([]any); ok {
		return g.value(pick(g, choices), depth)
	}
	if choices, ok := s["enum"].([]any); ok {
		text, _ := json.Marshal(pick(g, choices))
		return string(text)
	}
	kind, _ := s["type"].(string)
	if kinds, ok := s["type"].([]any); ok {
		kind = pick(g, kinds).(string)
	}
	switch kind {
	case "null":
		return "null"
	case "boolean":
		return pick(g, []string{"true", "false"})
	case "integer":
		return pick(g, []string{"0", "1", "7", "1000", "1000000000000000"})
	case "number":
		return pick(g, []string{"0", "0.5", "1e3"})
	case "array":
		var items []string
		for range g.random.IntN(3) {
			items = append(items, g.value(s["items"], depth+1))
		}
		return "[" + strings.Join(items, ",") + "]"
	case "object":
		return g.object(s, depth, nil)
	}
	return g.text(s)
}

// text generates a string that fits a schema.
func (g *generator) text(s map[string]any) string {
	choices := []string{
		"a", "prod", "key", "org", "month", "main", "r", "ann@example.com", "m", "https://a.example", "08:00", "10.0.0.1",
		"1h",
	}
	switch pattern, _ := s["pattern"].(string); {
	case s["format"] == "date-time":
		choices = []string{"2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"}
	case pattern != "":
		fits := regexp.MustCompile(pattern)
		choices = []string{"1", "-1", "0.5", "50.00", "1h", "90d", "0s", "10.0.0.0/8", "::1", "2026-01"}
		choices = slices.DeleteFunc(choices, func(c string) bool { return !fits.MatchString(c) })
	case g.random.IntN(3) == 0:
		choices = g.known
	}
	if len(choices) == 0 {
		choices = []string{""}
	}
	text, _ := json.Marshal(pick(g, choices))
	return string(text)
}

// object generates an object with the members that a schema requires and some of the others.
// The members in instead get those values.
func (g *generator) object(s map[string]any, depth int, instead map[string]string) string {
	var members []string
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		text, ok := instead[name]
		if !ok && !slices.Contains(required, any(name)) && (depth > 3 || g.random.IntN(3) > 0) {
			continue
		}
		if !ok {
			text = g.value(properties[name], depth+1)
		}
		members = append(members, fmt.Sprintf("%q:%s", name, text))
	}
	if more := s["additionalProperties"]; more != nil && more != false && g.random.IntN(2) == 0 {
		members = append(members, `"a":`+g.value(more, depth+1))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// body generates a body: one that fits, or one with hostile, unknown or repeated members.
func (g *generator) body(schema any) string {
	s := g.resolved(schema)
	properties, _ := s["properties"].(map[string]any)
	names := slices.Sorted(maps.Keys(properties))
	instead := make(map[string]string)
	kind := g.random.IntN(8)
	switch {
	case kind == 0:
		return pick(g, hostile) // instead of the whole body
	case kind < 4 && len(names) > 0: // one member
		instead[pick(g, names)] = pick(g, hostile)
	case kind == 4: // all at once
		for _, name := range names {
			instead[name] = pick(g, hostile)
		}
	}
	text := g.object(s, 0, instead)
	switch inside := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"); {
	case kind == 5 && inside != "":
		return `{` + inside + `,"made_up":1}`
	case kind == 6 && inside != "":
		return `{` + inside + `,` + inside + `}`
	}
	return text
}

// query generates the query of a request.
func (g *generator) query(parameters []any) string {
	q := url.Values{}
	for _, one := range parameters {
		p := g.resolved(one)
		if p["in"] != "query" || p["required"] != true && g.random.IntN(3) > 0 {
			continue
		}
		text := g.value(p["schema"], 0)
		if g.random.IntN(2) == 0 {
			text = pick(g, hostile)
		}
		q.Add(p["name"].(string), strings.Trim(text, `"`))
		if g.random.IntN(10) == 0 {
			q.Add(p["name"].(string), "again")
		}
	}
	if g.random.IntN(10) == 0 {
		q.Add("made_up", "1")
	}
	return q.Encode()
}

// TestGeneratedRequestsAreAnsweredAsDescribed sends generated requests to every operation in the
// OpenAPI document, with bodies that fit and with hostile ones. There must be no 5xx, every
// response must be one that the document describes, and what the document does not allow must be
// refused.
func TestGeneratedRequestsAreAnsweredAsDescribed(t *testing.T) {
	g := newRig(t)
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	known := []string{
		g.ask("POST", base+"/keys", checkout).v["id"].(string),
		g.ask("POST", base+"/teams", `{"name":"t2"}`).v["id"].(string),
		g.ask("POST", base+"/projects", `{"name":"p3","team":"t2"}`).v["id"].(string),
		g.ask("POST", base+"/budgets", `{"scope":"org","usd":"100"}`).v["id"].(string),
		g.ask("POST", base+"/principals", `{"name":"ci"}`).v["id"].(string),
		"2026-01",
	}
	rounds := prove.Size(t, "GENERATED", 4)
	seed := uint64(prove.Size(t, "SEED", 1))
	sent, accepted := 0, 0
	for _, path := range slices.Sorted(maps.Keys(c.document["paths"].(map[string]any))) {
		for method, v := range c.document["paths"].(map[string]any)[path].(map[string]any) {
			described := v.(map[string]any)
			m := &generator{random: rand.New(rand.NewPCG(seed, uint64(len(path)+7*len(method)))), c: c, known: known}
			parameters, _ := described["parameters"].([]any)
			content, _ := described["requestBody"].(map[string]any)
			var body any
			var allows *jsonschema.Schema
			if content != nil {
				body = content["content"].(map[string]any)["application/json"].(map[string]any)["schema"]
				if allows, err = c.at("paths", path, method, "requestBody", "content", "application/json", "schema"); err != nil {
					t.Fatal(err)
				}
			}
			for range rounds {
				at := pathParameterInDocument.ReplaceAllStringFunc(path, func(string) string {
					if m.random.IntN(2) == 0 {
						return pick(m, oddPaths)
					}
					return pick(m, m.known)
				})
				if q := m.query(parameters); q != "" {
					at += "?" + q
				}
				text := ""
				if body != nil {
					text = m.body(body)
				}
				got := g.ask(strings.ToUpper(method), at, text)
				sent++
				if got.status < http.StatusBadRequest {
					accepted++
				}
				if id, ok := got.v["id"].(string); ok {
					known = append(known, id)
				}
				if got.status >= http.StatusInternalServerError {
					t.Errorf("%s %s %.300q: %d %s", method, at, text, got.status, got.text)
				}
				if got.status < http.StatusBadRequest && allows != nil && text != "" {
					v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
					if err == nil {
						err = allows.Validate(v)
					}
					if err != nil {
						t.Errorf("%s %s %.300q: %d, and the document does not allow it: %v", method, at, text, got.status, err)
					}
				}
			}
		}
	}
	t.Logf("%d requests, %d accepted", sent, accepted)
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
}

// notNumbers lists JSON values that no limit may have.
var notNumbers = []string{
	`NaN`, `-1`, `"-1"`, `"NaN"`, `"1e99"`, `1e99`, `0.5`, `9223372036854775808`, `1000000000000001`, `"1000000000.000000001"`, `true`,
	`""`,
}

// TestNoLimitIsSetToWhatIsNone sets every number and amount of money in every body, at any depth,
// to values that are invalid, negative or absurd.
func TestNoLimitIsSetToWhatIsNone(t *testing.T) {
	g := newRig(t)
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	key := g.ask("POST", base+"/keys", `{"name":"prepaid","budget":{"usd":"5","period":"once"}}`).v["id"].(string)
	budget := g.ask("POST", base+"/budgets", `{"scope":"org","usd":"100"}`).v["id"].(string)
	for _, o := range operations() {
		if o.inQuery() || len(wire.FieldsOf(o.in)) == 0 {
			continue
		}
		id := "x_none"
		switch {
		case strings.HasPrefix(o.path, "/keys/"):
			id = key
		case strings.HasPrefix(o.path, "/budgets/"):
			id = budget
		}
		route := pathParameter.ReplaceAllString(base+o.path, "{$1}")
		described := c.document["paths"].(map[string]any)[route].(map[string]any)[strings.ToLower(o.method)].(map[string]any)
		schema := described["requestBody"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"]
		m := &generator{random: rand.New(rand.NewPCG(1, 1)), c: c}
		for _, at := range m.numbers(schema, 0) {
			for _, bad := range notNumbers {
				if at.fits(bad) {
					continue
				}
				var body map[string]any
				if err := json.Unmarshal([]byte(bodies[o.id]), &body); err != nil {
					t.Fatal(err)
				}
				text, _ := json.Marshal(at.put(body))
				got := g.ask(o.method, base+pathParameter.ReplaceAllString(o.path, id), strings.Replace(string(text), `"%%"`, bad, 1))
				refused := got.status == http.StatusUnprocessableEntity || got.status == http.StatusBadRequest
				if tried++; got.status < http.StatusBadRequest || id != "x_none" && !refused {
					t.Errorf("%s: %v is %s: %d %s", o.id, at.path, bad, got.status, got.text)
				}
			}
		}
	}
	t.Logf("%d bodies", tried)
	if tried < 500 {
		t.Errorf("only %d bodies were tried", tried)
	}
}

// number is a member that is a number, or an amount of money.
type number struct {
	path  []string // "[]" stands for an array element
	money bool
}

// numbers returns the numbers in a schema.
func (g *generator) numbers(schema any, depth int) (all []number) {
	s := g.resolved(schema)
	if choices, ok := s["anyOf"].([]any); ok {
		s = g.resolved(choices[0])
	}
	below := func(name string, inner any) {
		for _, n := range g.numbers(inner, depth+1) {
			all = append(all, number{append([]string{name}, n.path...), n.money})
		}
	}
	kind := fmt.Sprint(s["type"])
	money := s["description"] == "US dollars"
	switch properties, _ := s["properties"].(map[string]any); {
	case depth > 5:
	case money, strings.Contains(kind, "integer"), strings.Contains(kind, "number"):
		return []number{{nil, money}}
	case strings.Contains(kind, "array"):
		below("[]", s["items"])
	default:
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			below(name, properties[name])
		}
	}
	return all
}

// fits reports whether a member accepts a value after all: signed amounts may be negative, and
// some numbers may be that large.
func (n number) fits(value string) bool {
	last := n.path[len(n.path)-1]
	switch {
	case n.money:
		return value == `"-1"` && strings.HasPrefix(last, "amount")
	case value == "1000000000000001":
		return last == "version" || last == "replaces" || last == "rows" || // and of a policy trial
			slices.Contains([]string{"body_bytes", "max_output_tokens", "prompt_tokens"}, last) && len(n.path) == 1
	}
	return false
}

// put returns a value with a marker in place of the member.
func (n number) put(in any) any {
	if len(n.path) == 0 {
		return "%%"
	}
	rest := number{n.path[1:], n.money}
	if n.path[0] == "[]" {
		return []any{rest.put(nil)}
	}
	object, _ := in.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[n.path[0]] = rest.put(object[n.path[0]])
	return object
}

// widths lists, for each member of a policy, what an upper level allows, and a wider and a
// narrower value for the level below. Members that only deny have none: lower levels can't lift a
// denial.
var widths = map[string]struct{ above, wider, narrower string }{
	"models":               {`["chat-cheap","openai/*"]`, `["*"]`, `["chat-cheap"]`},
	"providers":            {`["openai","azure-*"]`, `["openai","acme"]`, `["azure-eu"]`},
	"endpoints":            {`["chat","models"]`, `["chat","embeddings"]`, `["chat"]`},
	"features":             {`["stream","tools"]`, `["vision"]`, `["tools"]`},
	"max_output_tokens":    {`100`, `101`, `99`},
	"max_prompt_tokens":    {`100`, `101`, `99`},
	"max_body_bytes":       {`100`, `101`, `99`},
	"max_repeats":          {`10`, `11`, `9`},
	"max_session_requests": {`100`, `101`, `99`},
	"max_session_cents":    {`100`, `101`, `99`},
	"allowed_cidrs":        {`["10.0.0.0/8"]`, `["10.0.0.0/7"]`, `["10.1.0.0/16"]`},
	"origins":              {`["https://a.example","https://b.example"]`, `["https://c.example"]`, `["https://a.example"]`},
	"referers":             {`["https://a.example/*"]`, `["https://*"]`, `["https://a.example/x"]`},
	"hours": {
		`[{"from":"08:00","until":"18:00"}]`, `[{"from":"07:59","until":"18:00"}]`, `[{"days":["mon"],"from":"09:00","until":"17:00"}]`,
	},
	"deny_models": {}, "deny_providers": {}, "denied_cidrs": {}, "required_tags": {}, "conditions": {},
}

// TestNothingBelowIsWiderThanWhatIsAboveIt tries each member of a policy on a team, a project and
// a key: a value wider than the level above is refused, and so is one that would leave the level
// below wider.
func TestNothingBelowIsWiderThanWhatIsAboveIt(t *testing.T) {
	g := newRig(t)
	set := func(at, member, value string) answer {
		t.Helper()
		if strings.HasPrefix(at, "/keys/") && (member == "models" || member == "allowed_cidrs") { // members of the key itself
			return g.ask("PATCH", base+at, fmt.Sprintf(`{%q:%s}`, member, value))
		}
		if value == "null" {
			return g.ask("PUT", base+at+"/policy", `{"policy":null,"reason":"r"}`)
		}
		return g.ask("PUT", base+at+"/policy", fmt.Sprintf(`{"policy":{%q:%s},"reason":"r"}`, member, value))
	}
	levels := 0
	for field := range reflect.TypeFor[policy.Policy]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		width, ok := widths[name]
		switch {
		case !ok:
			t.Errorf("nothing compares %q with the level above", name)
		case width.above == "":
			continue
		}
		made := func(list, body string) string {
			return "/" + list + "/" + g.ask("POST", base+"/"+list, body).v["id"].(string)
		}
		team := made("teams", fmt.Sprintf(`{"name":%q}`, name))
		project := made("projects", fmt.Sprintf(`{"name":"app","team":%q}`, name))
		key := made("keys", fmt.Sprintf(`{"name":"k","project":%q}`, strings.TrimPrefix(project, "/projects/")))
		for _, pair := range [][2]string{{team, project}, {project, key}, {team, key}} {
			levels++
			above, below := pair[0], pair[1]
			for _, step := range []struct {
				at, value string
				good      bool
			}{
				{above, width.above, true},
				{below, width.wider, false},
				{below, width.narrower, true},
				{above, width.narrower, true},
				{above, width.above, true},
				{below, width.above, true},
				{above, width.narrower, false},
			} {
				if got := set(step.at, name, step.value); (got.status < http.StatusBadRequest) != step.good ||
					!step.good && !strings.Contains(got.text, name) {
					t.Errorf("%s of %s is set to %s: %d %s", name, step.at, step.value, got.status, got.text)
				}
			}
			for _, end := range []string{below, above} {
				if got := set(end, name, "null"); got.status >= http.StatusBadRequest {
					t.Errorf("%s: %d %s", end, got.status, got.text)
				}
			}
		}
	}
	t.Logf("%d pairs of levels", levels)
}

var pathParameterInDocument = regexp.MustCompile(`\{[^}]+\}`)
