package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is a published schema of the OpenAI API, nil where there are none.
func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	shared := os.Getenv("TALLYROUTE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(shared, "spec", "openai", name+".schema.json")
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
