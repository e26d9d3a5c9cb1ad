package anthropic

import "tallyroute/providers/schema"

// Strict is what the grammar of Claude takes, for answers and for tools that are
// strict. Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
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

// Plain is what other tools may take: anything but alternatives at the top.
func Plain() *schema.Subset { return &schema.Subset{Flat: true} }
