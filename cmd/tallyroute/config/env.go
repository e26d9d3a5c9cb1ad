package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"tallyroute/providers/nearest"
	"tallyroute/providers/secret"
)

const envPrefix = "TALLYROUTE_"

// environment overrides cfg with TALLYROUTE_ variables; an empty one counts as unset. A
// variable that names no setting and that no reference leads to is a fault: a mistyped
// TALLYROUTE_DATABASE must not end in an empty SQLite file.
func (r *reader) environment(env []string, cfg *Config) {
	for _, entry := range env {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, envPrefix) {
			r.refer(value)
		}
	}
	settings := make(map[string]reflect.Value)
	paths := make(map[string]string)
	collectSettings("", reflect.ValueOf(cfg).Elem(), func(path string, v reflect.Value) {
		name := EnvName(path)
		settings[name], paths[name] = v, path
	})
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" || foreign(name, value) {
			continue
		}
		if old := strings.ToLower(strings.TrimPrefix(name, envPrefix)); currentName("", old) != old {
			name = EnvName(currentName("", old))
		}
		v, known := settings[name]
		if !known && r.referred[name] {
			continue
		}
		if !known {
			r.faults = append(r.faults, Fault{
				Source: Environment, Path: name,
				Problem: "unknown variable" + nearest.Hint(name, slices.Sorted(maps.Keys(settings))),
			})
			continue
		}
		if err := setFromEnv(v, name, value); err != nil {
			r.faults = append(r.faults, Fault{Source: Environment, Path: name, Problem: err.Error()})
		}
		delete(r.lines, paths[name])
	}
}

// Ours returns env without the variables to which the arguments of a command line refer as
// env:NAME, unless they are settings.
func Ours(env, args []string) []string {
	r := newReader("")
	for _, arg := range args {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "--") {
			arg = value
		}
		r.refer(arg)
	}
	cfg := Default()
	collectSettings("", reflect.ValueOf(&cfg).Elem(), func(path string, _ reflect.Value) { delete(r.referred, EnvName(path)) })
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return r.referred[name]
	})
}

// collectSettings calls found for every setting in v that takes a single value.
func collectSettings(path string, v reflect.Value, found func(string, reflect.Value)) {
	for name, field := range membersOf(v) {
		at := joinPath(path, name)
		switch {
		case field.Type() == reflect.TypeFor[Section]():
		case field.Kind() == reflect.Struct && !isScalar(field):
			collectSettings(at, field, found)
		default:
			found(at, field)
		}
	}
}

func EnvName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// setFromEnv sets a setting from a variable; lists are separated by commas. For a secret,
// the variable is the secret itself unless it is a reference.
func setFromEnv(v reflect.Value, name, value string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if ref, ok := v.Addr().Interface().(*SecretRef); ok && value != "" && !secret.IsReference(value) {
		*ref = SecretRef("env:" + name)
		return nil
	}
	if v.Kind() != reflect.Slice || isScalar(v) {
		return setScalar(v, value)
	}
	v.SetZero()
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := setScalar(item, word); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

// serviceLink matches the variables that Kubernetes sets for a service that is itself
// called tallyroute or tallyroute-something.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?$`)

// others are variables with our prefix that aren't settings: the name of the file itself,
// those that command lines and clients read, and those that tell tests and tools where to
// find recordings and schemas.
var others = []string{
	"TALLYROUTE_CONFIG", "TALLYROUTE_ROUTER", "TALLYROUTE_TOKEN", "TALLYROUTE_CA_FILE", "TALLYROUTE_CLIENT_CERT",
	"TALLYROUTE_KEY", "TALLYROUTE_KEY_FILE", "TALLYROUTE_BASE_URL",
	"TALLYROUTE_CLIENT_KEY", "TALLYROUTE_CORPUS", "TALLYROUTE_SPEC",
	"TALLYROUTE_PLAYER",
}

// foreign reports whether a variable with our prefix isn't a setting but is read elsewhere
// or set by Kubernetes.
func foreign(name, value string) bool {
	if slices.Contains(others, name) || strings.HasPrefix(name, "TALLYROUTE_TEST_") {
		return true
	}
	isLink := strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
	return isLink || serviceLink.MatchString(name)
}
