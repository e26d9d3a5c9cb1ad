package cohere

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// members lists what Cohere's chat accepts beyond the OpenAI format. Source: its OpenAPI
// file, chatv2.
func members() providers.Members {
	return translate.Members(
		providers.Free.Of("p", "k", "top_k", "safety_mode", "citation_options", "priority", "strict_tools"),
		providers.Free.Of("documents"), // counted with the prompt
	)
}
