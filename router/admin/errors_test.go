package admin

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEverythingThatMayBeMissingCanBeLookedUp checks that every kind of object that the code can
// report as missing has a fix that says where to look up the existing ones.
func TestEverythingThatMayBeMissingCanBeLookedUp(t *testing.T) {
	kinds := regexp.MustCompile(`(?:NotFoundError\{What: |missing\(err, )"([^"]+)"`)
	seen := 0
	for _, root := range []string{"../../billing", "."} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range kinds.FindAllSubmatch(source, -1) {
				if seen++; found[string(m[1])] == "" {
					t.Errorf("%s: nobody says where each %q can be looked up", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 50 {
		t.Errorf("only %d places were found", seen)
	}
	for code := range codes() {
		if strings.ContainsAny(code, " -") {
			t.Errorf("the code %q is not one word", code)
		}
	}
}
