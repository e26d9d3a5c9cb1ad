package server

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tallyroute/router/web"
)

// TestDocumentedCodesAreCurrent compares the table in docs/errors.md with the codes. With
// TALLYROUTE_TEST_UPDATE=1 it rewrites the lines that differ.
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

// TestEveryCodeInTheSourceHasAPage looks for codes that are written out where an error is
// created, and that clients of the public listener can see.
func TestEveryCodeInTheSourceHasAPage(t *testing.T) {
	written := regexp.MustCompile(`\b(?:Code:\s*|"code":\s*)"([a-z_]+)"`)
	found := 0
	for _, root := range []string{filepath.Join("..", "..", "providers"), ".."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			name := filepath.Base(path)
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"admin", "providertest", "testdata"}, name): // admin has its own codes
				return fs.SkipDir
			case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(path)
			for _, m := range written.FindAllSubmatch(text, -1) {
				found++
				if _, known := codes[string(m[1])]; !known {
					t.Errorf("%s: %s has no page", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 20 {
		t.Errorf("only %d codes were found", found)
	}
}
