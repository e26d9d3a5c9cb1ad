package main

import (
	"go/ast"
	"go/token"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tallyroute/cmd/tallyroute/cli"
)

// TestRemediesNameCommands: the commands that alerts suggest can be typed as they are. A command ends with a
// punctuation mark.
func TestRemediesNameCommands(t *testing.T) {
	command := regexp.MustCompile(`tallyroute ((?:[^\s.,;]|[.,;]\S)+(?: (?:[^\s.,;]|[.,;]\S)+)*)`)
	words := strings.NewReplacer("%s --%s", "bud_1 --usd", "%s", "key_1", "AMOUNT", "1",
		"TIME", "2026-12-24T00:00:00Z", "DAY", "2026-12-01", "DATE", "2026-11-01")
	found := 0
	for _, s := range sources(t) {
		if s.pkg != "billing/alert" || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			text, constant := sum(e)
			if !ok || !constant {
				return true
			}
			for _, m := range command.FindAllStringSubmatch(words.Replace(text), -1) {
				found++
				a := &cli.Context{Ctx: t.Context(), Stdout: io.Discard, Stderr: io.Discard}
				parser, err := parserOf(a, &grammar{}, func(int) {})
				if err == nil {
					_, err = parser.Parse(strings.Fields(m[1]))
				}
				if err != nil {
					t.Errorf("%s: %s: %v", s.path, m[0], err)
				}
			}
			return false
		})
	}
	if found < 10 {
		t.Errorf("%d commands were found", found)
	}
}

// sum returns the text of a string expression, with DATE in place of operands that aren't constant.
func sum(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := sum(e.X)
		right, constant := sum(e.Y)
		if !constant {
			right = "DATE"
		}
		return left + right, ok && e.Op == token.ADD
	}
	return "", false
}
