package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema returns a published schema of the OpenAI API, nil if there are none.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	dir := os.Getenv("TALLYROUTE_SPEC")
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, "openai", name+".schema.json")
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
