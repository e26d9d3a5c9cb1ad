package cohere

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// members is what Cohere's chat takes beyond what the OpenAI format has words for.
// Source: its OpenAPI file, chatv2.
func members() providers.Members {
	return translate.Members(
		providers.Free.Of("p", "k", "top_k", "safety_mode", "citation_options", "priority", "strict_tools"),
		providers.Free.Of("documents"), // are counted with the prompt
	)
}
