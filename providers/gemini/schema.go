package gemini

import "tallyroute/providers/schema"

// subset is what Google takes of JSON Schema, for answers and for functions. Source:
// FunctionDeclaration.parametersJsonSchema and GenerationConfig.responseJsonSchema at
// https://ai.google.dev/api/generate-content.
func subset() *schema.Subset {
	return &schema.Subset{
		Keywords: []string{
			"type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum",
			"anyOf", "properties", "additionalProperties", "required", "propertyOrdering",
		},
		Inline: true, Scalars: true,
	}
}

// functions is what it takes for functions, whose parameters are one object.
func functions() *schema.Subset {
	s := subset()
	s.Flat = true
	return s
}
