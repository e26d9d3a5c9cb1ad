package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// configCommand is "tallyroute config".
type configCommand struct {
	Check configCheck `cmd:"" help:"Read the configuration and report everything that is wrong with it."`
	Print configPrint `cmd:"" help:"Print the configuration."`
}

type configCheck struct{}

// Run reads the configuration, the catalogue it leads to included.
func (configCheck) Run(a *app) error {
	cfg, b, err := a.settings()
	if err != nil {
		return err
	}
	where := cfg.file
	if where == "" {
		where = "no file, defaults and environment"
	}
	ready := 0
	for _, p := range b.Providers() {
		if p.Configured {
			ready++
		}
	}
	_, err = fmt.Fprintf(a.stdout, "ok: %s; %d of %d providers have their credential\n", where, ready, len(b.Providers()))
	return err
}

type configPrint struct {
	Effective bool `help:"With the defaults and the environment. Without it, only what differs from the defaults."`
}

// Run prints the configuration as a file that says the same. Passwords are left
// out; secrets are references and so can be shown.
func (c configPrint) Run(a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	base := defaultConfig()
	if c.Effective {
		base = Config{}
	}
	settings := settingsOf(reflect.ValueOf(cfg).Elem(), reflect.ValueOf(&base).Elem())
	if len(settings) > 0 {
		text, err := yaml.Marshal(settings)
		if err != nil {
			return err
		}
		fmt.Fprint(a.stdout, string(text))
	}
	for _, s := range []section{cfg.Providers, cfg.Aliases} {
		if text := strings.Trim(string(s), "\n"); text != "" {
			fmt.Fprintln(a.stdout, text)
		}
	}
	return nil
}

// settingsOf lists the members of v that differ from those of base, in the
// order of the file.
func settingsOf(v, base reflect.Value) yaml.MapSlice {
	var list yaml.MapSlice
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		field, other := v.Field(i), base.Field(i)
		switch {
		case tag == "" || field.Type() == reflect.TypeFor[section]():
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
