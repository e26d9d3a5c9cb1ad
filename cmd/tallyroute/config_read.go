package main

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// section is a part of the file whose meaning belongs to another package. It
// is the file's own text with every other line emptied, so that the line
// numbers in that package's errors are right.
type section string

// configReader fills a Config from YAML and collects what is wrong with it. The
// YAML library stops at the first fault and quotes its surroundings, which may
// hold a secret, so it is used for parsing alone.
type configReader struct {
	source string
	text   []byte
	lines  map[string]int // path → line, for faults that are found later
	faults faultsError
	flow   bool // the top level is written as {…}
}

func newConfigReader(source string) *configReader {
	return &configReader{source: source, lines: make(map[string]int)}
}

// err is every fault so far in the order of the file, nil where there is none.
func (r *configReader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	sort.SliceStable(r.faults, func(i, j int) bool {
		a, b := r.faults[i], r.faults[j]
		if a.source != b.source {
			return a.source == r.source
		}
		return a.line < b.line
	})
	return r.faults
}

// fault records a problem at a path; the line is that of the path or of the
// nearest one above it that stands in the file.
func (r *configReader) fault(path, format string, args ...any) {
	f := fault{source: r.source, path: path, problem: fmt.Sprintf(format, args...)}
	for p := path; p != "" && f.line == 0; p = parentPath(p) {
		f.line = r.lines[p]
	}
	r.faults = append(r.faults, f)
}

func parentPath(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['), 0)]
}

// file reads text into cfg.
func (r *configReader) file(text []byte, cfg *Config) {
	r.text = text
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
	case 1:
		m, ok := docs[0].(*ast.MappingNode)
		r.flow = ok && m.IsFlowStyle
		r.value("", docs[0], reflect.ValueOf(cfg).Elem())
	default:
		r.fault("", "want one document, not %d", len(docs))
	}
}

// syntax records a text that is not YAML. Only the message and the line are kept.
func (r *configReader) syntax(err error) {
	f := fault{source: r.source, problem: "not valid YAML"}
	var at yaml.Error
	if errors.As(err, &at) {
		f.problem += ": " + at.GetMessage()
		if tk := at.GetToken(); tk != nil {
			f.line = tk.Position.Line
		}
	}
	r.faults = append(r.faults, f)
}

// value reads n, which stands at path, into v.
func (r *configReader) value(path string, n ast.Node, v reflect.Value) {
	if tk := n.GetToken(); tk != nil && r.lines[path] == 0 {
		r.lines[path] = tk.Position.Line
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		r.fault(path, "anchors, aliases and tags are not supported")
		return
	case *ast.NullNode:
		return // "key:" with nothing behind it leaves the default
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case isScalar(v):
		r.scalar(path, n, v)
	case v.Kind() == reflect.Struct:
		r.object(path, n, v)
	case v.Kind() == reflect.Slice:
		r.list(path, n, v)
	}
}

// isScalar reports whether v is written as one word.
func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	return v.Kind() != reflect.Struct && v.Kind() != reflect.Slice
}

// object reads a mapping into a struct, by yaml tags.
func (r *configReader) object(path string, n ast.Node, v reflect.Value) {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		r.fault(path, "want a group of settings")
		return
	}
	members := membersOf(v)
	seen := make(map[string]bool)
	for it := mapping.MapRange(); it.Next(); {
		name := currentName(path, it.Key().GetToken().Value)
		at := joinPath(path, name)
		line := it.Key().GetToken().Position.Line
		field, known := members[name]
		switch {
		case !known:
			r.faults = append(r.faults, fault{r.source, line, at, "unknown setting" + didYouMean(name, names(members))})
		case seen[name]:
			r.faults = append(r.faults, fault{r.source, line, at, "is set twice"})
		default:
			seen[name] = true
			r.lines[at] = line
			r.member(at, it, field)
		}
	}
}

// currentName is the name of the setting that was called name before.
func currentName(path, name string) string {
	if path == "" && name == "audit_every" {
		return "integrity_every"
	}
	return name
}

// member reads one member of a mapping. A section is cut out as text.
func (r *configReader) member(path string, it *ast.MapNodeIter, field reflect.Value) {
	if field.Type() != reflect.TypeFor[section]() {
		r.value(path, it.Value(), field)
		return
	}
	if r.flow {
		r.fault(path, "needs the top level to be written as one setting per line, without braces")
		return
	}
	field.SetString(cutSection(string(r.text), it.Key().GetToken().Position.Line))
}

// cutSection empties every line of text but those of the top-level member that
// begins at line.
func cutSection(text string, line int) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		starts := lines[i] != "" && !strings.ContainsRune(" \t#-\r}]", rune(lines[i][0]))
		if i+1 < line {
			lines[i] = ""
		} else if i+1 > line && starts {
			return strings.Join(lines[:i], "\n")
		}
	}
	return strings.Join(lines, "\n")
}

// list reads a sequence into a slice.
func (r *configReader) list(path string, n ast.Node, v reflect.Value) {
	sequence, ok := n.(ast.ArrayNode)
	if !ok {
		r.fault(path, "want a list")
		return
	}
	v.SetZero()
	for it := sequence.ArrayRange(); it.Next(); {
		item := reflect.New(v.Type().Elem()).Elem()
		r.value(fmt.Sprintf("%s[%d]", path, v.Len()), it.Value(), item)
		v.Set(reflect.Append(v, item))
	}
}

func (r *configReader) scalar(path string, n ast.Node, v reflect.Value) {
	node, ok := n.(ast.ScalarNode)
	if !ok {
		r.fault(path, "want a single value")
		return
	}
	text := node.GetToken().Value
	if literal, ok := n.(*ast.LiteralNode); ok {
		text = literal.Value.Value
	}
	if err := setScalar(v, text); err != nil {
		r.fault(path, "%s", err)
	}
}

// setScalar reads one word into v. Its errors do not repeat the word.
func setScalar(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("want true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, v.Type().Bits())
		if err != nil {
			return errors.New("want a whole number")
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("%s cannot be set", v.Type())
	}
	return nil
}

// membersOf maps yaml tags to the fields of a struct.
func membersOf(v reflect.Value) map[string]reflect.Value {
	members := make(map[string]reflect.Value)
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "" {
			members[tag] = v.Field(i)
		}
	}
	return members
}

func names[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for name := range m {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
