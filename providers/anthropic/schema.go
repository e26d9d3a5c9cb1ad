package anthropic

import "tallyroute/providers/schema"

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

// Plain returns what other tools accept: anything except alternatives at the top level.
func Plain() *schema.Subset { return &schema.Subset{Flat: true} }
