package catalogue

import (
	"bytes"
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

// mark tells the value of a member from all else in a request, as a number and as a text.
const mark = "5550123"

// schemasOf are the schemas of requests that providers publish: the file, where the
// request stands in it, and the format that takes it. At is a schema of the components, or
// a path, whose request it is.
var schemasOf = []struct{ file, at, format string }{
	{"openai/CreateChatCompletionRequest.schema.json", "", "openai"},
	{"openai/CreateResponse.schema.json", "", "responses"},
	{"anthropic/openapi.json", "BetaCreateMessageParams", "anthropic"},
	{"gemini/gemini-native.openapi.json", "GenerateContentRequest", "gemini"},
	{"mistral/openapi.yaml", "ChatCompletionRequest", "mistral"},
	{"cohere/openapi.yaml", "/v2/chat", "cohere"},
}

// TestMembersOfPublishedSchemasAreHeldPricedRefusedOrNamed takes every member that the
// schemas have, one by one and nested, and puts it into a request of a key with a budget
// and one without. What costs nothing more is in a list that people have read; all else is
// priced, or refused to the one and named to the other.
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
		s := newSpec(t, raw)
		target := judged(p.format)
		tried := 0
		for _, path := range s.paths(p.at) {
			for _, value := range s.values {
				if judgeMember(t, target, path, value) {
					found = append(found, p.format+":"+path)
				}
			}
			tried++
		}
		if tried < 15 {
			t.Errorf("%s: only %d members", p.file, tried)
		}
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

// judgeMember puts a member into a request, and reports that it is taken to be free.
func judgeMember(t *testing.T, target providers.Target, path, value string) bool {
	t.Helper()
	body := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"x"}],%s}`, nested(strings.Split(path, "."), value))
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

// nested is a member with those above it; of a list, in its first element.
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
type spec struct {
	root   map[string]any
	values []string
}

func newSpec(t *testing.T, raw []byte) *spec {
	t.Helper()
	s := &spec{values: []string{`"` + mark + `"`, mark, `{"x":` + mark + `}`, `["` + mark + `"]`}}
	if err := yaml.Unmarshal(raw, &s.root); err != nil { // JSON is YAML, too
		t.Fatal(err)
	}
	return s
}

// paths are the members of the request schema, and those in them, but for what every
// request has.
func (s *spec) paths(at string) (all []string) {
	top := s.root
	if strings.HasPrefix(at, "/") {
		top = s.at("#/paths/" + strings.ReplaceAll(at, "/", "~1") + "/post/requestBody/content/application~1json/schema")
	} else if at != "" {
		components, _ := s.root["components"].(map[string]any)
		schemas, _ := components["schemas"].(map[string]any)
		top, _ = schemas[at].(map[string]any)
	}
	s.walk(top, "", 0, &all)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(path string) bool {
		first, _, _ := strings.Cut(strings.ReplaceAll(path, "[]", ""), ".")
		return slices.Contains([]string{"model", "messages", "stream", "tools", "functions", "input", "contents", "n"}, first)
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

// at is what a reference within the document names.
func (s *spec) at(ref string) map[string]any {
	var place any = s.root
	for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := place.(map[string]any)
		place = m[strings.ReplaceAll(step, "~1", "/")]
	}
	m, _ := place.(map[string]any)
	return m
}
