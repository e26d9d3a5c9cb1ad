package schema_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tallyroute/providers/schema"
)

var subsets = map[string]*schema.Subset{
	"strict": {
		Keywords: []string{
			"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "title",
			"description", "format", "minItems", "pattern",
		},
		Formats: []string{"date", "uuid"}, Inline: true, Closed: true, FewItems: true,
	},
	"google": {
		Keywords: []string{
			"type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "description", "minimum",
			"maximum", "format",
		},
		Inline: true, Scalars: true,
	},
	"whole": {
		Keywords: []string{"type", "properties", "required", "pattern", "description"}, Inline: true, Anchored: true, Filled: true,
	},
	"flat": {Flat: true},
	"bare": {Flat: true, Bare: true},
}

func TestReduce(t *testing.T) {
	for _, c := range []struct{ subset, from, to, lost string }{
		{
			"strict", `{"type":"object","properties":{"a":{"type":"integer","minimum":1,"maximum":10,"description":"d"}},"required":["a"]}`,
			`{"type":"object","properties":{"a":{"type":"integer","description":"d (minimum: 1, maximum: 10)"}},"required":["a"],` +
				`"additionalProperties":false}`, "minimum maximum",
		},
		{
			"strict", `{"type":"object","properties":{"o":{"type":"object","properties":{"z":{"type":"string","maxLength":5}}}},` +
				`"additionalProperties":true}`,
			`{"type":"object","properties":{"o":{"type":"object","properties":{"z":{"type":"string","description":"(maxLength: 5)"}},` +
				`"additionalProperties":false}},"additionalProperties":false}`, "maxLength additionalProperties",
		},
		{"strict", `{"type":"object","additionalProperties":false,"properties":{"a":{"const":1},"b":{"enum":["x"]}}}`, "", ""},
		{
			"strict", `{"type":"array","items":{"type":"string","format":"email"},"minItems":3}`,
			`{"type":"array","items":{"type":"string","description":"(format: \"email\")"},"description":"(minItems: 3)"}`,
			"format minItems",
		},
		{
			"google", `{"type":"object","properties":{"a":{"type":"string"}},"required":["a","b"]}`,
			`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`, "required",
		},
		{
			"google", `{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"required":[]}]}`,
			`{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{},{"required":[]}]}`, "required",
		},
		{"whole", `{"type":"object","properties":{"a":{"type":"string","pattern":"[A-Z]{3}"}},"required":["a"]}`, "", ""},
		{
			"whole", `{"type":"object","properties":{"a":{"pattern":"^[A-Z]{3}$"},"b":{"pattern":"^a"},"c":{"pattern":"b$"}}}`,
			`{"type":"object","properties":{"a":{"pattern":"[A-Z]{3}"},"b":{"pattern":"a.*"},"c":{"pattern":".*b"}},"required":["a"]}`,
			"required",
		},
		{
			"whole", `{"properties":{"a":{"pattern":"^a|b$"},"b":{"pattern":"^[^a]$"},"c":{"pattern":"^c\\$"}},"required":["b"]}`,
			`{"properties":{"a":{"description":"(pattern: \"^a|b$\")"},"b":{"description":"(pattern: \"^[^a]$\")"},` +
				`"c":{"description":"(pattern: \"^c\\\\$\")"}},"required":["b"]}`, "pattern",
		},
		{"whole", `{"type":"object","properties":{}}`, "", ""},
		{"flat", `{"type":"object","required":["b"]}`, "", ""},
		{"flat", `{"$schema":"x","type":"object","required":["b"]}`, "", ""},
		{
			"bare", `{"type":"object","properties":{"$id":{"$comment":"c","type":"string"}}}`,
			`{"type":"object","properties":{"$id":{"type":"string"}}}`, "",
		},
		{"bare", `{"$schema":"x","$id":"y","type":"object","minProperties":1}`, `{"type":"object","minProperties":1}`, ""},
		{"strict", `{"type":"string","pattern":"^(?=a)b"}`, `{"type":"string","description":"(pattern: \"^(?=a)b\")"}`, "pattern"},
		{
			"strict", `{"oneOf":[{"type":"string"},{"type":"object"}]}`,
			`{"anyOf":[{"type":"string"},{"type":"object","additionalProperties":false}]}`, "additionalProperties",
		},
		{
			"strict", `{"allOf":[{"$ref":"#/$defs/A"},{"properties":{"b":{"type":"string"}},"required":["b"]}],` +
				`"$defs":{"A":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}}}`,
			`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a","b"],` +
				`"additionalProperties":false}`, "",
		},
		{
			"strict", `{"$ref":"#/$defs/N","$defs":{"N":{"type":"object","properties":{"next":{"$ref":"#/$defs/N"}},` +
				`"additionalProperties":false}}}`,
			`{"type":"object","properties":{"next":{}},"additionalProperties":false}`, "$ref",
		},
		{
			"google", `{"type":"object","properties":{"h":{"type":"object"},"k":{"const":"insert"},"m":{"type":"array",` +
				`"items":{"$ref":"#/properties/h"}},"n":{"$ref":"#/$defs/N","description":"d"},"v":true,"s":{"type":"string",` +
				`"minLength":2,"pattern":"^a"}},"$defs":{"N":{"type":"string"}}}`,
			`{"type":"object","properties":{"h":{"type":"object"},"k":{"enum":["insert"],"type":"string"},"m":{"type":"array",` +
				`"items":{"type":"object"}},"n":{"type":"string","description":"d"},"v":{},"s":{"type":"string",` +
				`"description":"(minLength: 2, pattern: \"^a\")"}}}`, "minLength pattern",
		},
		{"google", `{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}`, `{"type":"integer","minimum":1,"maximum":9}`, ""},
		{"google", `{"type":"number","exclusiveMinimum":0}`, `{"type":"number","description":"(exclusiveMinimum: 0)"}`, "exclusiveMinimum"},
		{"google", `{"const":true}`, `{"type":"boolean","description":"(const: [true])"}`, "const"},
		{
			"google", `{"type":["string","null"],"enum":["a",null]}`,
			`{"type":["string","null"],"enum":["a"],"description":"(enum: [\"a\",null])"}`, "enum",
		},
		{"google", `{"nullable":true,"type":"string"}`, `{"type":["string","null"]}`, ""},
		{"google", `{"title":"T","$schema":"s","type":"string","default":"x","examples":["x"]}`, `{"type":"string"}`, ""},
		{"google", `{"not":{"type":"string"}}`, `{"description":"(not: {\"type\":\"string\"})"}`, "not"},
		{"google", `{"$ref":"https://example.org/x"}`, `{}`, "$ref"},
		{"google", `{"type":"object","properties":{"x":false}}`, `{"type":"object","properties":{"x":{}}}`, "false"},
		{"flat", `{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"minLength":1}}}`, "", ""},
		{
			"flat", `{"anyOf":[{"type":"object","properties":{"a":{}},"required":["a"]},{"type":"object","properties":{"b":{}}}],` +
				`"description":"d"}`,
			`{"type":"object","properties":{"a":{},"b":{}},"description":"d"}`, "anyOf",
		},
	} {
		got, lost := subsets[c.subset].Reduce([]byte(c.from))
		if c.to == "" {
			c.to = c.from
		}
		if string(got) != c.to || strings.Join(lost, " ") != c.lost {
			t.Errorf("%s: %s\nbecame %s, lost %q\nwant   %s", c.subset, c.from, got, lost, c.to)
		}
		if again, lost := subsets[c.subset].Reduce(got); string(again) != string(got) || len(lost) > 0 {
			t.Errorf("%s became %s when it was reduced again, lost %q", got, again, lost)
		}
	}
}

// A short schema that would expand without end stays short.
func TestReferencesAreBounded(t *testing.T) {
	text := `{"type":"string"}`
	var defs []string
	for i := range 40 {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26))
		next := string(rune('a'+(i+1)%26)) + string(rune('a'+(i+1)/26))
		if i < 39 {
			text = `{"type":"object","properties":{"l":{"$ref":"#/$defs/` + next + `"},"r":{"$ref":"#/$defs/` + next + `"}}}`
		} else {
			text = `{"type":"string"}`
		}
		defs = append(defs, `"`+name+`":`+text)
	}
	raw := []byte(`{"$ref":"#/$defs/aa","$defs":{` + strings.Join(defs, ",") + `}}`)
	got, lost := subsets["google"].Reduce(raw)
	if len(got) > 4<<20 || !json.Valid(got) || strings.Join(lost, " ") != "$ref" {
		t.Errorf("%d bytes of %d, lost %q", len(got), len(raw), lost)
	}
}

func TestSizeOf(t *testing.T) {
	got := schema.SizeOf([]byte(`{"type":"object","properties":{"a":{"type":["string","null"]},"b":{"type":"object","properties":{` +
		`"c":{"anyOf":[{"type":"string"},{"type":"object","properties":{"d":{"type":"string"}}}]}},"required":["c"]},` +
		`"e":{"type":"array","items":{"type":"object","properties":{"f":{"type":"string"}}}}},"required":["a"]}`))
	if want := (schema.Size{Properties: 6, Optional: 4, Unions: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func FuzzReduce(f *testing.F) {
	f.Add([]byte(`{"$ref":"#/a/0","a":[{"allOf":[{"$ref":"#"}]}],"oneOf":[true,false]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		for name, s := range subsets {
			if got, _ := s.Reduce(raw); !json.Valid(got) {
				t.Errorf("%s: %s became %s", name, raw, got)
			}
		}
	})
}
