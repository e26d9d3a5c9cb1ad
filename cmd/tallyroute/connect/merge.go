package connect

import (
	"bytes"
	"encoding/json"

	"github.com/pelletier/go-toml/v2"
)

// object is a table of settings.
type object = map[string]any

// within returns the table of that name, creating it if there is none.
func within(o object, name string) object {
	inner, ok := o[name].(object)
	if !ok {
		inner = object{}
		o[name] = inner
	}
	return inner
}

// mergeJSON returns a function that changes a JSON file.
func mergeJSON(change func(o object, s Settings)) func([]byte, Settings) ([]byte, error) {
	return func(old []byte, s Settings) ([]byte, error) {
		all := object{}
		if len(bytes.TrimSpace(old)) > 0 {
			if err := json.Unmarshal(old, &all); err != nil {
				return nil, err
			}
		}
		change(all, s)
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err := e.Encode(all)
		return b.Bytes(), err
	}
}

// mergeTOML returns a function that changes a TOML file. Comments in it are lost, except in
// the backup.
func mergeTOML(change func(o object, s Settings)) func([]byte, Settings) ([]byte, error) {
	return func(old []byte, s Settings) ([]byte, error) {
		all := object{}
		if err := toml.Unmarshal(old, &all); err != nil {
			return nil, err
		}
		change(all, s)
		return toml.Marshal(all)
	}
}

func codex(o object, s Settings) {
	o["model"], o["model_provider"] = s.Model, "tallyroute"
	p := within(within(o, "model_providers"), "tallyroute")
	p["name"], p["base_url"], p["env_key"], p["wire_api"] = "Tallyroute", s.URL+"/v1", keyVariable, "responses"
}

// claudeCode makes the client read the key from the environment, unless one is given.
func claudeCode(o object, s Settings) {
	env := within(o, "env")
	env["ANTHROPIC_BASE_URL"] = s.URL
	env["ANTHROPIC_MODEL"], env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = s.Model, s.Model
	if s.Key == "" {
		o["apiKeyHelper"] = "printenv " + keyVariable
		delete(env, "ANTHROPIC_AUTH_TOKEN")
		return
	}
	env["ANTHROPIC_AUTH_TOKEN"] = s.Key
}

func openCode(o object, s Settings) {
	if _, ok := o["$schema"]; !ok {
		o["$schema"] = "https://opencode.ai/config.json"
	}
	o["model"] = "tallyroute/" + s.Model
	p := within(within(o, "provider"), "tallyroute")
	// This SDK returns the reasoning that any model needs to see again.
	p["npm"], p["name"] = "@ai-sdk/anthropic", "Tallyroute"
	options := within(p, "options")
	options["baseURL"], options["apiKey"] = s.URL+"/v1", "{env:"+keyVariable+"}"
	if s.Key != "" {
		options["apiKey"] = s.Key
	}
	m := within(within(p, "models"), s.Model)
	m["name"] = s.Model
	if _, ok := m["modalities"]; !ok { // without them it sends no images
		m["attachment"], m["modalities"] = true, object{"input": []string{"text", "image"}, "output": []string{"text"}}
	}
}
