package catalogue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tallyroute/providers/nearest"
)

// reader collects everything that is wrong with one YAML text. The library's own decoder
// stops at the first fault and quotes the surrounding text, which may hold a credential, so
// only its parser is used.
type reader struct {
	file   string
	lines  map[string]int // path → line, for faults found later
	faults Faults
}

// read stores the value of the node at a path.
type read func(path string, n ast.Node)

func newReader(file string) *reader {
	return &reader{file: file, lines: make(map[string]int)}
}

// fault records a problem at a path. Its line is that of the path, or of the nearest parent
// that occurs in the text.
func (r *reader) fault(path, format string, args ...any) {
	f := Fault{File: r.file, Path: path, Problem: fmt.Sprintf(format, args...)}
	for p := path; f.Line == 0; p = p[:max(strings.LastIndexByte(p, '.'), strings.LastIndexByte(p, '['), 0)] {
		f.Line = r.lines[p]
		if p == "" {
			break
		}
	}
	r.faults = append(r.faults, f)
}

// document parses text, which must be a single document, and reads it.
func (r *reader) document(text string, into read) {
	if problem := suspicious(text); problem != "" {
		r.fault("", "%s", problem)
		return
	}
	file, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(docs) {
	case 0:
	case 1:
		r.value("", docs[0].Body, into)
	default:
		r.fault("", "want one document, not %d", len(docs))
	}
}

// section reads one member of the operator's configuration. The other members do not concern
// the catalogue.
func (r *reader) section(text, name string, into read) {
	r.document(text, func(path string, n node) { r.member(path, n, name, into) })
}

// syntax records that a text is not valid YAML.
func (r *reader) syntax(err error) {
	f := Fault{File: r.file, Problem: "not valid YAML"}
	var at yaml.Error
	if errors.As(err, &at) {
		f.Problem += ": " + at.GetMessage()
		if tk := at.GetToken(); tk != nil {
			f.Line = tk.Position.Line
		}
	}
	r.faults = append(r.faults, f)
}

// value passes n on, unless it is null, which leaves the earlier value in place, or refers to
// something written elsewhere, which is a fault.
func (r *reader) value(path string, n ast.Node, into read) {
	if tk := n.GetToken(); tk != nil && r.lines[path] == 0 {
		r.lines[path] = tk.Position.Line
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		r.fault(path, "anchors, aliases and tags are not supported")
	case *ast.NullNode:
	default:
		into(path, n)
	}
}

// object reads a mapping with a fixed set of members.
func (r *reader) object(path string, n ast.Node, members map[string]read) {
	r.mapping(path, n, func(path, name string, n ast.Node) {
		into, ok := members[name]
		if !ok {
			r.fault(path, "unknown setting%s", nearest.Hint(name, slices.Sorted(maps.Keys(members))))
			return
		}
		r.value(path, n, into)
	})
}

// member reads one member ahead of the others, if it is present.
func (r *reader) member(path string, n ast.Node, name string, into read) {
	if m, ok := n.(ast.MapNode); ok {
		for it := m.MapRange(); it.Next(); {
			if it.Key().GetToken().Value == name {
				r.value(join(path, name), it.Value(), into)
				return
			}
		}
	}
}

// mapping reads a mapping with arbitrary members.
func (r *reader) mapping(path string, n ast.Node, each func(path, name string, n ast.Node)) {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.fault(path, "want a group of settings")
		return
	}
	seen := make(map[string]bool)
	for it := m.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		name := key.Value
		at := join(path, shorten(name))
		if r.lines[at] == 0 {
			r.lines[at] = key.Position.Line
		}
		if seen[name] {
			r.faults = append(r.faults, Fault{r.file, key.Position.Line, at, "is set twice"})
			continue
		}
		seen[name] = true
		each(at, name, it.Value())
	}
}

// list reads each item of a list.
func (r *reader) list(each read) read {
	return func(path string, n ast.Node) {
		items, ok := n.(ast.ArrayNode)
		if !ok {
			r.fault(path, "want a list")
			return
		}
		i := 0
		for it := items.ArrayRange(); it.Next(); i++ {
			r.value(fmt.Sprintf("%s[%d]", path, i), it.Value(), each)
		}
	}
}

// scalar reads a single value, as written, through parse. A refused value appears in a
// message only if parse puts it there.
func scalar[T any](r *reader, into *T, parse func(string) (T, error)) read {
	return func(path string, n ast.Node) {
		word, ok := n.(ast.ScalarNode)
		if !ok {
			r.fault(path, "want a single value")
			return
		}
		text := word.GetToken().Value
		if literal, ok := n.(*ast.LiteralNode); ok {
			text = literal.Value.Value
		}
		v, err := parse(text)
		if err != nil {
			r.fault(path, "%s", err)
			return
		}
		*into = v
	}
}

// words reads a list of single values, which replaces the earlier one.
func words(r *reader, into *[]string, parse func(string) (string, error)) read {
	return func(path string, n ast.Node) {
		*into = []string{}
		r.list(func(path string, n ast.Node) {
			var word string
			scalar(r, &word, parse)(path, n)
			*into = append(*into, word)
		})(path, n)
	}
}

// table reads a mapping from names to single values, on top of the earlier ones.
func table(r *reader, into *map[string]string, parse func(string) (string, error)) read {
	return func(path string, n ast.Node) {
		all := maps.Clone(*into)
		if all == nil {
			all = make(map[string]string)
		}
		r.mapping(path, n, func(path, name string, n ast.Node) {
			r.value(path, n, func(path string, n ast.Node) {
				var v string
				scalar(r, &v, parse)(path, n)
				all[name] = v
			})
		})
		*into = all
	}
}

// shorten keeps a misplaced text from filling a page of messages.
func shorten(s string) string {
	const most = 40
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Limits on a text. The YAML parser takes time quadratic in the size of one group, and stack
// for every level. The length of a line limits the levels made by dashes or indentation.
const (
	maxText     = 256 << 10
	maxDepth    = 16
	maxSiblings = 1000
	maxMarks    = 10_000 // of one kind
	maxLine     = 4 << 10
)

// suspicious returns why a text is not given to the YAML parser; "" if it is. It looks only
// at the outward form and may refuse texts that are merely unusual.
func suspicious(text string) string {
	if len(text) > maxText {
		return fmt.Sprintf("larger than %d bytes", maxText)
	}
	for _, mark := range []string{",", "'", `"`} {
		if strings.Count(text, mark) > maxMarks {
			return fmt.Sprintf("more than %d times %s", maxMarks, mark)
		}
	}
	depth := 0
	siblings := make(map[int]int) // by indentation
	deepest := 0
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > maxLine {
			return fmt.Sprintf("a line longer than %d bytes", maxLine)
		}
		body := strings.TrimLeft(line, " ")
		if body == "" || body[0] == '#' {
			continue
		}
		indent := len(line) - len(body)
		for ; deepest > indent; deepest-- {
			delete(siblings, deepest)
		}
		deepest = indent
		if siblings[indent]++; siblings[indent] > maxSiblings {
			return fmt.Sprintf("more than %d members in one group", maxSiblings)
		}
		if depth = nesting(body, depth); depth > maxDepth {
			return fmt.Sprintf("nested deeper than %d levels", maxDepth)
		}
	}
	return ""
}

// nesting returns the bracket depth at the end of a line, given the depth at its start. It
// stops counting just past the limit.
func nesting(line string, depth int) int {
	for i := 0; i < len(line) && depth <= maxDepth; i++ {
		switch line[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return depth
}

// Fault is one thing that is wrong with a document. It never contains a credential's value.
type Fault struct {
	File    string
	Line    int    // 0 if unknown
	Path    string // such as models[2].prices[0].since
	Problem string
}

// String returns the fault on one line: file:line: path: problem.
func (f Fault) String() string {
	s := f.File
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, f.Line)
	}
	for _, part := range []string{f.Path, f.Problem} {
		if s != "" && part != "" {
			s += ": "
		}
		s += part
	}
	return s
}

// Faults is everything that is wrong, in the order in which it was found.
type Faults []Fault

// Error lists every fault on a line of its own.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = "\n  " + f[i].String()
	}
	noun := "faults"
	if len(f) == 1 {
		noun = "fault"
	}
	return fmt.Sprintf("catalogue: %d %s%s", len(f), noun, strings.Join(lines, ""))
}

// err returns nil if there are no faults.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
