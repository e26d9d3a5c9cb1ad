package anthropic

import (
	"slices"

	"tallyroute/providers/schema"
	"tallyroute/providers/translate"
)

// Strict returns the subset of JSON Schema that Claude's grammar accepts, for responses and
// for strict tools. Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
func Strict() *schema.Subset {
	return &schema.Subset{
		Keywords: []string{
			"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "title", "description", "default",
			"format", "minItems", "pattern",
		},
		Formats: []string{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
		Inline:  true, Closed: true, FewItems: true,
	}
}

// Limits on all strict schemas of a request together. Source: the page above.
const (
	mostStrict   = 20 // tools
	mostOptional = 24 // properties that are not required
	mostUnions   = 16 // properties of several types
)

// Loosen returns the tools of a request, of which no more are strict than Claude's grammar can
// hold beside the schema of the answer, and whether some were.
func Loosen(tools []translate.Tool, answer []byte) ([]translate.Tool, bool) {
	size, strict, loosened := schema.SizeOf(answer), 0, false
	for i, t := range tools {
		if !t.Strict {
			continue
		}
		reduced, _ := Strict().Reduce(t.ObjectSchema())
		with := size.Plus(schema.SizeOf(reduced))
		if strict < mostStrict && with.Optional <= mostOptional && with.Unions <= mostUnions {
			size = with
			strict++
			continue
		}
		if !loosened {
			tools = slices.Clone(tools)
		}
		tools[i].Strict, loosened = false, true
	}
	return tools, loosened
}

// Plain returns what other tools accept: anything except alternatives at the top level.
func Plain() *schema.Subset { return &schema.Subset{Flat: true} }
