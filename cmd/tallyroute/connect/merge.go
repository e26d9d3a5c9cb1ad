package connect

import (
	"fmt"
	"reflect"
	"strings"
)

// object is a table of settings.
type object = map[string]any

// setting is a value at a path of nested tables; nil removes the current value.
type setting struct {
	path  []string
	value any
	once  bool // only if there is nothing yet
}

func at(value any, path ...string) setting { return setting{path: path, value: value} }

// put sets the value in all.
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

// missing reports whether all has no value at the setting's path.
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

// syntax is a file format.
type syntax struct {
	read  func(text []byte) (object, error)
	write func(all object) ([]byte, error)
	// edit puts one setting into the text and leaves everything else, comments included, as it is.
	// It may get unusual text wrong, so its result is checked.
	edit func(text []byte, s setting) []byte
}

// merged returns the text with the settings merged in. If the text can't be edited in place, it is
// rewritten completely, without its comments.
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
	want, err = f.read(written) // with the types of the format
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

// claudeModels lists the variables that choose Claude Code's models.
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
		// This SDK sends back the reasoning that some models need to see again.
		under("@ai-sdk/anthropic", "npm"), under("Tallyroute", "name"),
		under(s.URL+"/v1", "options", "baseURL"), under(key, "options", "apiKey"),
		under(s.Model, "models", s.Model, "name"), attaches, sees, // without them it sends no images
	}
}
