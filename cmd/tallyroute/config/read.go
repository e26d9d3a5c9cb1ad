package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tallyroute/providers/nearest"
	"tallyroute/providers/secret"
)

// reader fills a Config from YAML and collects what is wrong with it. The YAML library
// stops at the first fault and quotes its surroundings, which may contain a secret, so it
// is only used for parsing.
type reader struct {
	source   string
	lines    map[string]int  // path → line, for faults that are found later
	referred map[string]bool // variables that references lead to
	faults   Faults
}

func newReader(source string) *reader {
	return &reader{source: source, lines: make(map[string]int), referred: make(map[string]bool)}
}

// fault records a problem at a path, with the line of that path or of its nearest parent
// that is in the file.
func (r *reader) fault(path, format string, args ...any) {
	f := Fault{Source: r.source, Path: path, Problem: fmt.Sprintf(format, args...)}
	for p := path; p != "" && f.Line == 0; p = parentPath(p) {
		f.Line = r.lines[p]
	}
	r.faults = append(r.faults, f)
}

func (r *reader) oneOf(path, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	r.fault(path, "want one of %s", strings.Join(allowed, ", "))
}

func parentPath(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), strings.LastIndexByte(path, '['), 0)]
}

// file reads text into cfg. It reports whether text is well-formed and at most one
// document, so that the catalogue can read its sections from it.
func (r *reader) file(text []byte, cfg *Config) bool {
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return false
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(docs) {
	case 0:
		return true
	case 1:
		ast.Walk(references{r}, docs[0].Body)
		r.value("", docs[0].Body, reflect.ValueOf(cfg).Elem())
		return true
	}
	r.fault("", "want one document, not %d", len(docs))
	return false
}

// refer notes the variable that text refers to, if it is such a reference.
func (r *reader) refer(text string) {
	if name, ok := secret.Variable(text); ok {
		r.referred[name] = true
	}
}

// references visits the whole file, including the sections that the catalogue reads.
type references struct{ r *reader }

// Visit takes note of what n refers to.
func (v references) Visit(n ast.Node) ast.Visitor {
	if text, ok := n.(*ast.StringNode); ok {
		v.r.refer(text.Value)
	}
	return v
}

// syntax records that a text isn't YAML. Only the message and the line are kept.
func (r *reader) syntax(err error) {
	f := Fault{Source: r.source, Problem: "not valid YAML"}
	var at yaml.Error
	if errors.As(err, &at) {
		f.Problem += ": " + at.GetMessage()
		if tk := at.GetToken(); tk != nil {
			f.Line = tk.Position.Line
		}
	}
	r.faults = append(r.faults, f)
}

// value reads n, found at path, into v.
func (r *reader) value(path string, n ast.Node, v reflect.Value) {
	if tk := n.GetToken(); tk != nil && r.lines[path] == 0 {
		r.lines[path] = tk.Position.Line
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		r.fault(path, "anchors, aliases and tags are not supported")
		return
	case *ast.NullNode:
		return // "key:" without a value leaves the default
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Type() == reflect.TypeFor[Section](): // the catalogue reads these
	case isScalar(v):
		r.scalar(path, n, v)
	case v.Kind() == reflect.Struct:
		r.object(path, n, v)
	case v.Kind() == reflect.Slice:
		r.list(path, n, v)
	}
}

// isScalar reports whether v is written as a single value.
func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	return v.Kind() != reflect.Struct && v.Kind() != reflect.Slice
}

// object reads a mapping into a struct, by yaml tags.
func (r *reader) object(path string, n ast.Node, v reflect.Value) {
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
			r.faults = append(r.faults, Fault{
				r.source, line, at,
				"unknown setting" + nearest.Hint(name, slices.Sorted(maps.Keys(members))),
			})
		case seen[name]:
			r.faults = append(r.faults, Fault{r.source, line, at, "is set twice"})
		default:
			seen[name] = true
			r.lines[at] = line
			r.value(at, it.Value(), field)
		}
	}
}

// currentName returns the current name of a setting that may be given by a former one.
func currentName(path, name string) string {
	if path == "" && name == "audit_every" {
		return "integrity_every"
	}
	return name
}

// list reads a sequence into a slice.
func (r *reader) list(path string, n ast.Node, v reflect.Value) {
	sequence, ok := n.(ast.ArrayNode)
	if !ok {
		r.fault(path, "want a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty list differs from a missing one
	for it := sequence.ArrayRange(); it.Next(); {
		item := reflect.New(v.Type().Elem()).Elem()
		r.value(fmt.Sprintf("%s[%d]", path, v.Len()), it.Value(), item)
		v.Set(reflect.Append(v, item))
	}
}

func (r *reader) scalar(path string, n ast.Node, v reflect.Value) {
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

// setScalar parses a single value into v. Its errors don't repeat the value.
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

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
