package providertest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"
)

// ValidCalls checks what the exchanges in dir send upstream against the provider's own
// schema. spec is an OpenAPI or JSON Schema file in the folder of published schemas, and at
// the place of the schema in it. The test is skipped if the files are not available.
func ValidCalls(t *testing.T, dir, spec, at string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(specFolder(), spec))
	if err != nil {
		t.Skip("no published schemas: TALLYROUTE_SPEC says where they are")
	}
	if filepath.Ext(spec) == ".yaml" {
		if text, err = yaml.YAMLToJSON(text); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	mend(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("spec.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("spec.json#" + at)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges in %s: %v", dir, err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if _, body, _ := bytes.Cut(f.Data, []byte("\n\n")); f.Name == "call" {
				if err := (schema{s}).check(body); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
}

// mend makes a published document usable for checks. Bounds too large for the YAML reader
// become numbers again, and oneOf becomes anyOf, because the alternatives overlap in these
// documents.
func mend(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			if s, ok := x.(string); ok && (name == "maximum" || name == "minimum") {
				v[name] = json.Number(s)
			}
			mend(x)
		}
		if list, ok := v["oneOf"].([]any); ok && v["anyOf"] == nil {
			v["anyOf"] = list
			delete(v, "oneOf")
		}
	case []any:
		for _, x := range v {
			mend(x)
		}
	}
}
