package tokens

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

// recorded is an exchange with a real provider.
type recorded struct {
	ID, Provider, Family, Model string
	Features                    []string
	Request                     struct{ Body json.RawMessage }
	Expected                    struct{ Usage *struct{ Prompt int64 } }
}

// tokenizer returns what a catalogue would say about the model.
func (r recorded) tokenizer() Tokenizer {
	model := r.Model[strings.LastIndex(r.Model, "/")+1:]
	is := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(model, p) })
	}
	switch {
	case is("gpt-oss"):
		return Tokenizer{Percent: 100}
	case is("gpt-4o-mini"):
		return Tokenizer{Encoding: O200k, Images: "openai-tile", ImageMultiplier: 3333}
	case is("gpt-3.5", "gpt-4-") || model == "gpt-4":
		return Tokenizer{Encoding: Cl100k, Images: "openai-tile"}
	case is("gpt-", "o1", "o3", "o4"):
		return Tokenizer{Encoding: O200k, Images: "openai-tile"}
	}
	return Tokenizer{}
}

// unforeseeable reports whether a prompt may be longer than any estimate, because the provider
// inserts what it finds on the web, or a long text of its own.
func (r recorded) unforeseeable() bool {
	return slices.Contains(r.Features, "server_tools") || slices.Contains([]string{"venice", "xai", "zai"}, r.Provider)
}

// What providers reported for requests that were really sent is never above the estimate, and
// equals it if it is exact.
func TestRecordedPromptsFitTheirEstimates(t *testing.T) {
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded exchanges in %s: %v", dir, err)
	}
	c := New(Options{})
	bounded, exact := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var x recorded
		if err := json.Unmarshal(data, &x); err != nil || x.Family != "openai-chat" || x.Expected.Usage == nil ||
			x.Expected.Usage.Prompt == 0 || x.unforeseeable() {
			continue
		}
		r, err := chat.ParseRequest(x.Request.Body)
		if err != nil {
			continue // Azure's recordings have no model
		}
		tk, reported := x.tokenizer(), x.Expected.Usage.Prompt
		got := prompt(t, c, r, tk)
		if got.Tokens < reported {
			t.Errorf("%s: %s: estimated %d, reported %d", x.ID, x.Model, got.Tokens, reported)
		}
		if bound := c.Bound(r, tk); bound < got.Tokens {
			t.Errorf("%s: %s: estimated %d, the bound is %d", x.ID, x.Model, got.Tokens, bound)
		}
		bounded++
		if got.Exact && !r.Needs().Vision {
			exact++
			if got.Tokens > reported+1 { // reasoning models have one less
				t.Errorf("%s: %s: counted %d, reported %d", x.ID, x.Model, got.Tokens, reported)
			}
		}
	}
	if bounded < 200 || exact < 15 {
		t.Errorf("only %d estimates and %d counts were compared", bounded, exact)
	}
	t.Logf("%d estimates and %d counts compared", bounded, exact)
}
