package config

import (
	"fmt"
	"io"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Print writes cfg as an equivalent file: every setting, or only those that differ from
// base. Passwords are left out; secrets are references, so they can be shown.
func Print(w io.Writer, cfg, base *Config) error {
	settings := settingsOf(reflect.ValueOf(cfg).Elem(), reflect.ValueOf(base).Elem())
	if len(settings) > 0 {
		text, err := yaml.Marshal(settings)
		if err != nil {
			return err
		}
		fmt.Fprint(w, string(text))
	}
	sections, err := sectionsOf(cfg.Text)
	for _, s := range sections {
		fmt.Fprintln(w, s)
	}
	return err
}

// settingsOf lists the settings of v that differ from those of base, in the order of the
// file.
func settingsOf(v, base reflect.Value) yaml.MapSlice {
	var list yaml.MapSlice
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		field, other := v.Field(i), base.Field(i)
		switch {
		case tag == "" || field.Type() == reflect.TypeFor[Section]():
		case field.Kind() == reflect.Struct && !isScalar(field):
			if inner := settingsOf(field, other); len(inner) > 0 {
				list = append(list, yaml.MapItem{Key: tag, Value: inner})
			}
		case !reflect.DeepEqual(field.Interface(), other.Interface()):
			list = append(list, yaml.MapItem{Key: tag, Value: field.Interface()})
		}
	}
	return list
}

// sectionsOf returns the sections of text, each with its name.
func sectionsOf(text string) (sections []ast.Node, err error) {
	file, err := parser.ParseBytes([]byte(text), parser.ParseComments)
	if err != nil {
		return nil, err
	}
	for _, doc := range file.Docs {
		root, ok := doc.Body.(ast.MapNode)
		if !ok {
			continue
		}
		for it := root.MapRange(); it.Next(); {
			member, known := membersOf(reflect.ValueOf(&Config{}).Elem())[it.Key().GetToken().Value]
			if known && member.Type() == reflect.TypeFor[Section]() {
				sections = append(sections, it.KeyValue())
			}
		}
	}
	return sections, nil
}
