package main

import (
	"bytes"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestPackageDocs wants exactly one package comment in every package.
func TestPackageDocs(t *testing.T) {
	where := make(map[string][]string)
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		where[s.pkg] = append(where[s.pkg], nil...)
		if s.file.Doc != nil {
			where[s.pkg] = append(where[s.pkg], s.path)
		}
	}
	for pkg, files := range where {
		if len(files) != 1 {
			t.Errorf("%s: want one package comment, found %d: %v", pkg, len(files), files)
		}
	}
}

const (
	maxFileLines     = 500
	maxFunctionLines = 80
	maxParameters    = 5
	maxResults       = 3
	maxMethods       = 9
	maxFiles         = 15
)

func TestFileLength(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxFileLines && !s.test {
			t.Errorf("%s has %d lines; want at most %d", s.path, n, maxFileLines)
		}
	}
}

// largePackages have one subject that is itself that large: the vocabulary of the ledger, its
// two stores, the specification of those, and what operators can do.
var largePackages = []string{"billing", "billing/billingtest", "billing/manage", "billing/postgres", "billing/sqlite"}

func TestFilesOfAPackageAreFew(t *testing.T) {
	files := make(map[string]int)
	for _, s := range sources(t) {
		if !s.test {
			files[s.pkg]++
		}
	}
	for pkg, n := range files {
		if n > maxFiles && !slices.Contains(largePackages, pkg) {
			t.Errorf("%s has %d files; want at most %d: it has probably two subjects", pkg, n, maxFiles)
		}
	}
}

func TestFunctionShape(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				at := s.path + ": " + n.Name.Name
				if lines := s.lines(n); lines > maxFunctionLines {
					t.Errorf("%s has %d lines; want at most %d", at, lines, maxFunctionLines)
				}
				checkSignature(t, at, n.Type)
			case *ast.InterfaceType:
				if methods := ownMethods(n); methods > maxMethods {
					t.Errorf("%s: an interface of %d methods; want at most %d, or a composed one", s.position(n), methods, maxMethods)
				}
			}
			return true
		})
	}
}

// ours reports whether the file lies somewhere below a folder.
func (s source) ours(folder string) bool { return strings.HasPrefix(s.path, folder+"/") }

// support reports whether the file is only there for tests.
func (s source) support() bool {
	return s.test || slices.Contains([]string{
		"billing/billingtest", "billing/billingtest/prove", "billing/postgres/pgtest",
		"router/identity/identitytest", "providers/providertest", "providers/scripted",
	}, s.pkg)
}

func (s source) position(n ast.Node) token.Position { return s.fset.Position(n.Pos()) }

func (s source) lines(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

// checkSignature checks that a function has few parameters besides the context, none of them a
// boolean, and few results.
func checkSignature(t *testing.T, at string, f *ast.FuncType) {
	t.Helper()
	count := 0
	for _, p := range f.Params.List {
		if isName(p.Type, "bool") {
			t.Errorf("%s has a boolean parameter", at)
		}
		if sel, ok := p.Type.(*ast.SelectorExpr); ok && isName(sel.X, "context") {
			continue
		}
		count += max(1, len(p.Names))
	}
	if count > maxParameters {
		t.Errorf("%s has %d parameters; want at most %d", at, count, maxParameters)
	}
	results := 0
	if f.Results != nil {
		results = f.Results.NumFields()
	}
	if results > maxResults {
		t.Errorf("%s has %d results; want at most %d", at, results, maxResults)
	}
}

func ownMethods(i *ast.InterfaceType) int {
	n := 0
	for _, m := range i.Methods.List {
		if _, ok := m.Type.(*ast.FuncType); ok {
			n += len(m.Names)
		}
	}
	return n
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// TestNoFloatInBilling keeps money exact: neither the types nor a literal.
func TestNoFloatInBilling(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || (s.pkg != "billing" && !strings.HasPrefix(s.pkg, "billing/")) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && (id.Name == "float64" || id.Name == "float32" || id.Name == "ParseFloat") {
				t.Errorf("%s: %s", s.position(n), id.Name)
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.FLOAT {
				t.Errorf("%s: the literal %s", s.position(n), lit.Value)
			}
			return true
		})
	}
}

// TestNoHiddenStarts wants no init and no context out of nothing: what runs,
// and for how long, is decided in cmd.
func TestNoHiddenStarts(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s: func init", s.position(n))
				}
			case *ast.SelectorExpr:
				hidden := isName(n.X, "context") && (n.Sel.Name == "Background" || n.Sel.Name == "TODO")
				if hidden && !s.ours("cmd") && !s.ours("examples") && !s.support() {
					t.Errorf("%s: context.%s", s.position(n), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestNothingUnfinished wants no note that something is still to be done.
func TestNothingUnfinished(t *testing.T) {
	marks := []string{"TO" + "DO", "FIX" + "ME"}
	for _, s := range sources(t) {
		for _, mark := range marks {
			if bytes.Contains(s.text, []byte(mark)) && !strings.HasSuffix(s.path, "habits_test.go") {
				t.Errorf("%s contains %s", s.path, mark)
			}
		}
	}
}

// TestMainIsSmall holds the promise that main only starts run.
func TestMainIsSmall(t *testing.T) {
	for _, s := range sources(t) {
		if s.path == "cmd/tallyroute/main.go" {
			if n := bytes.Count(s.text, []byte("\n")); n > 40 {
				t.Errorf("%s has %d lines; want at most 40", s.path, n)
			}
			return
		}
	}
	t.Error("cmd/tallyroute/main.go is gone")
}
