package gemini

import "tallyroute/providers/schema"

// subset returns the subset of JSON Schema that Google accepts, for responses and for
// functions. Source: FunctionDeclaration.parametersJsonSchema and
// GenerationConfig.responseJsonSchema at https://ai.google.dev/api/generate-content.
func subset() *schema.Subset {
	return &schema.Subset{
		Keywords: []string{
			"type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum",
			"anyOf", "properties", "additionalProperties", "required", "propertyOrdering",
		},
		Inline: true, Scalars: true,
	}
}

// functions returns the subset for functions, whose parameters must be a single object.
func functions() *schema.Subset {
	s := subset()
	s.Flat = true
	return s
}
