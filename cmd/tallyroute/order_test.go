package main

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"testing"
)

var (
	orderIsStated = regexp.MustCompile(`(?is)from the (?:ground|bottom) up(.*)`)
	fileNames     = regexp.MustCompile(`[a-z_]+\.go`)
)

// TestFilesUseOnlyThoseBefore checks the order of files that package comments state: a file uses
// only what the package declares in that file or in earlier ones.
func TestFilesUseOnlyThoseBefore(t *testing.T) {
	packages := make(map[string][]source)
	for _, s := range sources(t) {
		if !s.test {
			packages[s.pkg] = append(packages[s.pkg], s)
		}
	}
	stated := 0
	for pkg, files := range packages {
		i := slices.IndexFunc(files, func(s source) bool { return path.Base(s.path) == "doc.go" })
		if i < 0 {
			continue
		}
		found := orderIsStated.FindStringSubmatch(files[i].file.Doc.Text())
		if found == nil {
			continue
		}
		stated++
		order := fileNames.FindAllString(found[1], -1)
		at := func(s source) int { return slices.Index(order, path.Base(s.path)) }
		for i, s := range files {
			if at(s) < 0 && path.Base(s.path) != "doc.go" {
				t.Errorf("%s is not in the order that %s states", s.path, files[i].path)
			}
		}
		for _, s := range files {
			for name, other := range usedElsewhere(s, files) {
				if at(other) > at(s) {
					t.Errorf("%s uses %s, which is in %s: that comes after it in the order that package %s states", s.path, name,
						path.Base(other.path), pkg)
				}
			}
		}
	}
	if stated < 11 {
		t.Errorf("%d packages state an order", stated)
	}
}

// usedElsewhere returns the names that s uses and another file of its package declares.
// Methods are matched by name only, so those that several files declare are skipped.
func usedElsewhere(s source, files []source) map[string]source {
	names, methods := make(map[string]source), make(map[string][]source)
	for _, f := range files {
		for name := range f.file.Scope.Objects {
			names[name] = f
		}
		for _, d := range f.file.Decls {
			if m, ok := d.(*ast.FuncDecl); ok && m.Recv != nil {
				methods[m.Name.Name] = append(methods[m.Name.Name], f)
			}
		}
	}
	used := make(map[string]source)
	for _, id := range s.file.Unresolved {
		if f, ok := names[id.Name]; ok {
			used[id.Name] = f
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && !ast.IsExported(sel.Sel.Name) && len(methods[sel.Sel.Name]) == 1 {
			used[sel.Sel.Name] = methods[sel.Sel.Name][0]
		}
		return true
	})
	return used
}
