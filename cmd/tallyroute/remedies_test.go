package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestRemediesNameCommands: what texts for people advise can be typed.
func TestRemediesNameCommands(t *testing.T) {
	parser, err := kong.New(&grammar{}, kong.Exit(func(int) {}), kong.Vars{"dimensions": "key"})
	if err != nil {
		t.Fatal(err)
	}
	advice := regexp.MustCompile(`tallyroute ([a-z]+(?: [a-z][a-z-]+)?(?: %s)?(?: --[a-z-]+ (?:%s|[a-z0-9]+))*)`)
	seen := 0
	err = filepath.WalkDir("../../billing/alert", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		for _, found := range advice.FindAllStringSubmatch(string(source), -1) {
			seen++
			_, err := parser.Parse(strings.Fields(strings.ReplaceAll(found[1], "%s", "key_1")))
			if err != nil && (strings.Contains(err.Error(), "unexpected argument") || strings.Contains(err.Error(), "unknown flag")) {
				t.Errorf("%s: tallyroute %s: %v", name, found[1], err)
			}
		}
		return err
	})
	if err != nil || seen < 10 {
		t.Errorf("%d commands, %v", seen, err)
	}
}
