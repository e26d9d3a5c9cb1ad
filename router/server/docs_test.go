package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/router/web"
)

// TestDocumentedCodesAreCurrent holds the table in docs/errors.md to the codes. With
// TALLYROUTE_TEST_UPDATE=1 it writes the lines that differ.
func TestDocumentedCodesAreCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "errors.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for name, c := range codes {
		again := "no"
		if c.Retry == web.Sensible {
			again = "later"
		}
		want := fmt.Sprintf("| %d | `%s` | %s | %s | %s | %s |", c.Status, name, c.Type, again, c.About, c.Fix)
		found := false
		for i, line := range lines {
			if strings.HasPrefix(line, fmt.Sprintf("| %d | `%s` | %s |", c.Status, name, c.Type)) {
				found = found || line == want
				lines[i] = want
			}
		}
		if !found {
			t.Errorf("docs/errors.md lacks this line:\n%s", want)
		}
	}
	if os.Getenv("TALLYROUTE_TEST_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
