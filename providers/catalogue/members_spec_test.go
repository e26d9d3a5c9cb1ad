package catalogue

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// mark distinguishes a member's value from the rest of a request, as a number and as a text.
const mark = "5550123"

// schemasOf lists the request schemas that providers publish: the file, where the request is in
// it, and the format that accepts it. at is a schema of the components, or a path, whose
// request it is.
var schemasOf = []struct{ file, at, format string }{
	{"openai/CreateChatCompletionRequest.schema.json", "", "openai"},
	{"openai/CreateResponse.schema.json", "", "responses"},
	{"anthropic/openapi.json", "BetaCreateMessageParams", "anthropic"},
	{"gemini/gemini-native.openapi.json", "GenerateContentRequest", "gemini"},
	{"mistral/openapi.yaml", "ChatCompletionRequest", "mistral"},
	{"cohere/openapi.yaml", "/v2/chat", "cohere"},
}

// TestMembersOfPublishedSchemasAreHeldPricedRefusedOrNamed takes every member in the schemas, one
// by one and nested, and puts it into the request of a key with a budget and of one without.
// Members that cost nothing extra are in a list reviewed by people; all others are priced, or
// refused to the former and reported to the latter.
func TestMembersOfPublishedSchemasAreHeldPricedRefusedOrNamed(t *testing.T) {
	dir := os.Getenv("TALLYROUTE_SPEC")
	if dir == "" {
		t.Skip("no schemas: set TALLYROUTE_SPEC to the folder with those that providers publish")
	}
	text, err := os.ReadFile("testdata/members/spec-free.list")
	if err != nil {
		t.Fatal(err)
	}
	read := strings.Fields(string(text))
	var found []string
	for _, p := range schemasOf {
		raw, err := os.ReadFile(filepath.Join(dir, p.file))
		if err != nil {
			t.Fatal(err)
		}
		all := newSpec(t, raw).members(p.at)
		found = append(found, judgeAll(t, p.format, all)...)
		found = append(found, judgeAll(t, p.format, invented(all))...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if os.Getenv("TALLYROUTE_GENERATE") != "" {
		if err := os.WriteFile("testdata/members/spec-free.list", []byte(strings.Join(found, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, name := range found {
		if !slices.Contains(read, name) {
			t.Errorf("%s costs nothing more by its table, and nobody has read that: see testdata/members/spec-free.list", name)
		}
	}
}

// unheard is a member name that no format has.
const unheard = "zz_unheard_of"

// invented returns made-up members, one beside each of the given ones.
func invented(known []member) (all []member) {
	seen := make(map[string]bool)
	for _, m := range known {
		above, last := "", m.name
		if i := strings.LastIndexAny(m.name, ".:"); i >= 0 {
			above, last = m.name[:i+1], m.name[i+1:]
		}
		if name := above + unheard; !seen[name] {
			seen[name] = true
			was := fmt.Sprintf("%q:", strings.TrimSuffix(last, "[]"))
			at := strings.LastIndex(m.body[:strings.Index(m.body, "%s")], was)
			all = append(all, member{name, m.body[:at] + fmt.Sprintf("%q:", unheard) + m.body[at+len(was):]})
		}
	}
	return all
}

// judgeAll returns the members that a format treats as free, with any value.
func judgeAll(t *testing.T, format string, all []member) (free []string) {
	t.Helper()
	target := judged(format)
	for _, m := range all {
		for _, value := range []string{`"` + mark + `"`, mark, `{"x":` + mark + `}`, `["` + mark + `"]`} {
			if judgeMember(t, target, m, value) {
				free = append(free, format+":"+m.name)
			}
		}
	}
	if len(all) < 15 {
		t.Errorf("%s: only %d members", format, len(all))
	}
	return free
}

// member is one member in a schema: its name in the list, and a request that contains it, with
// %s for its value.
type member struct{ name, body string }

// judgeMember puts a member into a request, and reports whether it is treated as free.
func judgeMember(t *testing.T, target providers.Target, m member, value string) bool {
	t.Helper()
	path, body := m.name, strings.Replace(m.body, "%s", value, 1)
	r, err := providers.Chat.Parse([]byte(body), chat.Limits{})
	if err != nil {
		return false // refused to everybody
	}
	v := target.Judge(r)
	budgeted, other := v.Bar(providers.Rights{Budget: true, Stored: true}, &target), v.Bar(providers.Rights{Stored: true}, &target)
	costs := len(v.Unpriced)+len(v.Selects) > 0
	switch {
	case costs && (budgeted == nil || len(v.Named()) == 0):
		t.Errorf("%s of %s=%s may cost anything, and is not refused to a key with a budget, or not named", target.Provider, path, value)
	case other != nil:
		t.Errorf("%s=%s is refused to a key without a budget: %v", path, value, other)
	case len(v.Stored) > 0 && v.Bar(providers.Rights{}, &target) == nil:
		t.Errorf("%s=%s names what is stored, and needs no right", path, value)
	}
	if costs || len(v.Uses) > 0 || v.Extra > 0 || len(v.Stored) > 0 {
		return false
	}
	call, err := providers.Encode(providers.Exchange{Operation: providers.Chat, Target: target, Request: r, Stored: true})
	return err == nil && bytes.Contains(call.Body, []byte(mark))
}

// nested returns a member inside its parents; in a list, it is in the first element.
func nested(path []string, value string) string {
	name, list := strings.CutSuffix(path[0], "[]")
	inner := value
	if len(path) > 1 {
		inner = "{" + nested(path[1:], value) + "}"
	}
	if list {
		inner = "[" + inner + "]"
	}
	return fmt.Sprintf("%q:%s", name, inner)
}

// spec is a document with schemas.
type spec struct{ root map[string]any }

func newSpec(t *testing.T, raw []byte) *spec {
	t.Helper()
	s := &spec{}
	if err := yaml.Unmarshal(raw, &s.root); err != nil { // JSON is YAML, too
		t.Fatal(err)
	}
	return s
}

// members returns the members of a request: at the top level, and in its tools and messages,
// whose elements are distinguished by their type or role.
func (s *spec) members(at string) (all []member) {
	top := s.top(at)
	for _, path := range s.paths(top) {
		all = append(all, member{path, `{"model":"m","messages":[{"role":"user","content":"x"}],` + placed(path) + `}`})
	}
	for _, tool := range s.kinds(s.inside(top, "tools"), "type") {
		for _, path := range s.paths(tool.schema) {
			body := `{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{` + tool.tag("type") + placed(path) + `}]}`
			all = append(all, member{"tools." + tool.kind + "." + path, body})
		}
	}
	for _, message := range s.kinds(s.inside(top, "messages"), "role") {
		role := cmp.Or(message.kind, "user")
		for _, path := range s.paths(message.schema) {
			body := `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"` + role + `","tool_call_id":"c","content":"y",` +
				placed(path) + `}]}`
			all = append(all, member{"messages." + role + "." + path, body})
		}
		for _, part := range s.kinds(s.inside(message.schema, "content"), "type") {
			for _, path := range s.paths(part.schema) {
				body := `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"` + role + `","tool_call_id":"c","content":[{` +
					part.tag("type") + placed(path) + `}]}]}`
				all = append(all, member{"messages.content." + part.kind + "." + path, body})
			}
		}
	}
	return all
}

// placed returns a member inside its parents, with a placeholder for its value.
func placed(path string) string { return nested(strings.Split(path, "."), "%s") }

// variety is one of the schemas that a list's elements may have.
type variety struct {
	kind   string
	schema map[string]any
}

func (k variety) tag(name string) string {
	if k.kind == "" {
		return ""
	}
	return fmt.Sprintf("%q:%q,", name, k.kind)
}

// inside returns the schema of a member.
func (s *spec) inside(schema map[string]any, name string) map[string]any {
	for _, each := range s.alternatives(schema, 0) {
		members, _ := each["properties"].(map[string]any)
		if inner, ok := members[name].(map[string]any); ok {
			return inner
		}
	}
	return nil
}

// kinds returns the schemas of a list's elements, by the value of their tag member.
func (s *spec) kinds(list map[string]any, tag string) (all []variety) {
	for _, each := range s.alternatives(list, 0) {
		items, _ := each["items"].(map[string]any)
		for _, element := range s.alternatives(items, 0) {
			members, _ := element["properties"].(map[string]any)
			if len(members) == 0 {
				continue
			}
			word := ""
			inner, _ := members[tag].(map[string]any)
			for _, t := range s.alternatives(inner, 0) {
				word, _ = t["const"].(string)
				if values, _ := t["enum"].([]any); word == "" && len(values) > 0 {
					word, _ = values[0].(string)
				}
			}
			all = append(all, variety{word, element})
		}
	}
	return all
}

// alternatives returns a schema and all its alternatives and references.
func (s *spec) alternatives(schema map[string]any, depth int) (all []map[string]any) {
	if schema == nil || depth > deepest {
		return nil
	}
	all = append(all, schema)
	if ref, ok := schema["$ref"].(string); ok {
		all = append(all, s.alternatives(s.at(ref), depth+1)...)
	}
	for _, several := range []string{"anyOf", "oneOf", "allOf"} {
		list, _ := schema[several].([]any)
		for _, each := range list {
			one, _ := each.(map[string]any)
			all = append(all, s.alternatives(one, depth+1)...)
		}
	}
	return all
}

func (s *spec) top(at string) map[string]any {
	top := s.root
	if strings.HasPrefix(at, "/") {
		top = s.at("#/paths/" + strings.ReplaceAll(at, "/", "~1") + "/post/requestBody/content/application~1json/schema")
	} else if at != "" {
		components, _ := s.root["components"].(map[string]any)
		schemas, _ := components["schemas"].(map[string]any)
		top, _ = schemas[at].(map[string]any)
	}
	return top
}

// paths returns the members of a schema, and those within them, except for what every request,
// tool and message has.
func (s *spec) paths(schema map[string]any) (all []string) {
	s.walk(schema, "", 0, &all)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(path string) bool {
		first, _, _ := strings.Cut(strings.ReplaceAll(path, "[]", ""), ".")
		return slices.Contains([]string{
			"model", "messages", "stream", "tools", "functions", "input", "contents", "n", "type", "role", "content", "tool_call_id",
		}, first)
	})
}

const deepest = 4

func (s *spec) walk(schema map[string]any, path string, depth int, all *[]string) {
	if schema == nil || depth > 3*deepest || strings.Count(path, ".") >= deepest || len(*all) > 20_000 {
		return
	}
	if ref, ok := schema["$ref"].(string); ok {
		s.walk(s.at(ref), path, depth+1, all)
	}
	for _, several := range []string{"anyOf", "oneOf", "allOf"} {
		list, _ := schema[several].([]any)
		for _, each := range list {
			one, _ := each.(map[string]any)
			s.walk(one, path, depth+1, all)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok && path != "" && !strings.HasSuffix(path, "[]") {
		s.walk(items, path+"[]", depth+1, all)
	}
	members, _ := schema["properties"].(map[string]any)
	for name, inner := range members {
		below := name
		if path != "" {
			below = path + "." + name
		}
		*all = append(*all, below)
		one, _ := inner.(map[string]any)
		s.walk(one, below, depth+1, all)
	}
}

// at returns what a reference within the document points to.
func (s *spec) at(ref string) map[string]any {
	var place any = s.root
	for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := place.(map[string]any)
		place = m[strings.ReplaceAll(step, "~1", "/")]
	}
	m, _ := place.(map[string]any)
	return m
}
