package catalogue

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// docs/providers.md lists every built-in provider with its credential, down one column and then
// the other. "make generate" rewrites the list.
func TestListOfProviders(t *testing.T) {
	const file, head = "../../docs/providers.md", "| Provider | Credential | | Provider | Credential |\n| --- | --- | --- | --- | --- |\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), head)
	if !ok {
		t.Fatalf("%s has no list of providers", file)
	}
	have := rest[:strings.Index(rest, "\n\n")+1]
	want := table5(t)
	if have == want {
		return
	}
	if os.Getenv("TALLYROUTE_GENERATE") == "" {
		t.Fatalf("the list of providers in %s is not that of the catalogue: run make generate", file)
	}
	if err := os.WriteFile(file, []byte(before+head+want+rest[len(have):]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table5(t *testing.T) string {
	t.Helper()
	data, err := fs.Sub(builtin, "data")
	if err != nil {
		t.Fatal(err)
	}
	list, faults := heads(data)
	if err := faults.err(); err != nil {
		t.Fatal(err)
	}
	var cells []string
	for _, l := range list {
		credential := "none"
		if l.Auth.Secret != "" {
			credential = "`" + strings.TrimPrefix(l.Auth.Secret, "env:") + "`"
		}
		cells = append(cells, fmt.Sprintf("| %s | %s |", l.Name, credential))
	}
	half := (len(cells) + 1) / 2
	cells = append(cells, "|  |  |")
	var b strings.Builder
	for i := range half {
		b.WriteString(cells[i] + " " + cells[min(i+half, len(cells)-1)] + "\n")
	}
	return b.String()
}
