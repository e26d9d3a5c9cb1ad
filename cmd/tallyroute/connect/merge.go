package connect

import (
	"fmt"
	"reflect"
	"strings"
)

// object is a table of settings.
type object = map[string]any

// setting is a value at a path of tables; nil removes what is there.
type setting struct {
	path  []string
	value any
	once  bool // only if there is nothing yet
}

func at(value any, path ...string) setting { return setting{path: path, value: value} }

// put puts a setting into the tables.
func (s setting) put(all object) error {
	inner := all
	for i, name := range s.path[:len(s.path)-1] {
		next, ok := inner[name]
		if !ok {
			next = object{}
			inner[name] = next
		}
		if inner, ok = next.(object); !ok {
			return fmt.Errorf("%s is no table of settings", strings.Join(s.path[:i+1], "."))
		}
	}
	last := s.path[len(s.path)-1]
	if s.value == nil {
		delete(inner, last)
		return nil
	}
	inner[last] = s.value
	return nil
}

// missing reports whether there is nothing at the path of a setting.
func (s setting) missing(all object) bool {
	var v any = all
	for _, name := range s.path {
		inner, ok := v.(object)
		if !ok {
			return true
		}
		if v, ok = inner[name]; !ok {
			return true
		}
	}
	return false
}

// syntax is a format of files.
type syntax struct {
	read  func(text []byte) (object, error)
	write func(all object) ([]byte, error)
	// edit puts one setting into the text and leaves everything else, comments included, as it is.
	// What it does not understand it may get wrong: the result is checked.
	edit func(text []byte, s setting) []byte
}

// merged returns a text with some settings in it. If the text is written in a way that cannot be
// edited, all of it is written anew, without its comments.
func (f syntax) merged(old []byte, settings []setting) ([]byte, error) {
	want, err := f.read(old)
	if err != nil {
		return nil, err
	}
	text := old
	for _, s := range settings {
		if missing := s.missing(want); s.once && !missing || s.value == nil && missing {
			continue
		}
		if err := s.put(want); err != nil {
			return nil, err
		}
		text = f.edit(text, s)
	}
	written, err := f.write(want)
	if err != nil {
		return nil, err
	}
	want, err = f.read(written) // with the types that the format has
	if err != nil {
		return nil, err
	}
	if got, err := f.read(text); err == nil && reflect.DeepEqual(got, want) {
		return text, nil
	}
	return written, nil
}

func codex(s Settings) []setting {
	const providers, own = "model_providers", "tallyroute"
	return []setting{
		at(s.Model, "model"), at(own, "model_provider"),
		at("Tallyroute", providers, own, "name"), at(s.URL+"/v1", providers, own, "base_url"),
		at(keyVariable, providers, own, "env_key"), at("responses", providers, own, "wire_api"),
	}
}

// claudeCode makes the client read the key from the environment, unless one is given.
func claudeCode(s Settings) []setting {
	list := []setting{at(s.URL, "env", "ANTHROPIC_BASE_URL")}
	for _, model := range claudeModels {
		list = append(list, at(s.Model, "env", model))
	}
	if s.Key == "" {
		return append(list, at("printenv "+keyVariable, "apiKeyHelper"), at(nil, "env", "ANTHROPIC_AUTH_TOKEN"))
	}
	return append(list, at(s.Key, "env", "ANTHROPIC_AUTH_TOKEN"))
}

// claudeModels are the variables of the models that Claude Code asks for.
var claudeModels = []string{
	"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL",
}

func openCode(s Settings) []setting {
	key := "{env:" + keyVariable + "}"
	if s.Key != "" {
		key = s.Key
	}
	under := func(value any, path ...string) setting {
		return at(value, append([]string{"provider", "tallyroute"}, path...)...)
	}
	sees := under(object{"input": []any{"text", "image"}, "output": []any{"text"}}, "models", s.Model, "modalities")
	attaches := under(true, "models", s.Model, "attachment")
	schema := at("https://opencode.ai/config.json", "$schema")
	schema.once, attaches.once, sees.once = true, true, true
	return []setting{
		schema, at("tallyroute/"+s.Model, "model"),
		// This SDK returns the reasoning that any model needs to see again.
		under("@ai-sdk/anthropic", "npm"), under("Tallyroute", "name"),
		under(s.URL+"/v1", "options", "baseURL"), under(key, "options", "apiKey"),
		under(s.Model, "models", s.Model, "name"), attaches, sees, // without them it sends no images
	}
}
