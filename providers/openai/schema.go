package openai

import (
	"bytes"
	"fmt"
	"slices"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/schema"
)

// azureStrict returns what Azure accepts in strict schemas: less than OpenAI. Source:
// https://learn.microsoft.com/azure/ai-foundry/openai/how-to/structured-outputs.
func azureStrict() *schema.Subset {
	return &schema.Subset{
		Keywords: []string{
			"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs", "definitions",
			"title", "description",
		},
		Closed: true,
	}
}

// mistralStrict returns what Mistral accepts in strict schemas.
func mistralStrict() *schema.Subset { return &schema.Subset{Closed: true} }

// azureRequest returns the request with its strict schemas reduced to what Azure accepts.
func azureRequest(r *chat.Request) (*chat.Request, []string, error) { return reduced(r, azureStrict()) }

// reduced returns a request with its strict schemas reduced to s, and the names of what is
// lost.
func reduced(r *chat.Request, s *schema.Subset) (*chat.Request, []string, error) {
	var sets []jsonraw.Member
	var lost []string
	reduce := func(member string, object []byte, name string) []byte {
		raw := jsonraw.Lookup(object, name)
		if string(jsonraw.Lookup(object, "strict")) != "true" || !jsonraw.IsObject(raw) {
			return object
		}
		to, gone := s.Reduce(raw)
		for _, keyword := range gone {
			if keyword = member + "." + keyword; !slices.Contains(lost, keyword) {
				lost = append(lost, keyword)
			}
		}
		if string(to) == string(raw) {
			return object
		}
		return jsonraw.Edit(object, []jsonraw.Member{{Name: name, Value: to}})
	}
	within := func(member string, object []byte, kind, name string) []byte {
		inner := jsonraw.Lookup(object, kind)
		if !jsonraw.IsObject(inner) {
			return object
		}
		if to := reduce(member, inner, name); len(to) != len(inner) || &to[0] != &inner[0] {
			return jsonraw.Edit(object, []jsonraw.Member{{Name: kind, Value: to}})
		}
		return object
	}
	if format := r.ResponseFormat(); jsonraw.IsObject(format) {
		if to := within("response_format", format, "json_schema", "schema"); string(to) != string(format) {
			sets = append(sets, jsonraw.Member{Name: "response_format", Value: to})
		}
	}
	if tools := r.Tools(); jsonraw.IsArray(tools) && bytes.Contains(tools, []byte(`"strict"`)) {
		to := elements(tools, func(tool []byte) []byte { return within("tools", tool, "function", "parameters") })
		if len(lost) > 0 || len(to) != len(tools) {
			sets = append(sets, jsonraw.Member{Name: "tools", Value: to})
		}
	}
	if len(sets) == 0 {
		return r, nil, nil
	}
	out, err := r.Edit(sets)
	if err != nil {
		return nil, nil, fmt.Errorf("openai: schema: %w", err)
	}
	return out, lost, nil
}
