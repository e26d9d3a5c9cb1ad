package catalogue

import (
	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/cohere"
	"tallyroute/providers/gemini"
	"tallyroute/providers/ollama"
	"tallyroute/providers/openai"
	"tallyroute/providers/responses"
	"tallyroute/providers/vertex"
)

// adapters are the wire formats there are. A new one is a line here.
func adapters() map[string]providers.Adapter {
	return map[string]providers.Adapter{
		"anthropic":      anthropic.New(),
		"azure":          openai.Azure(),
		"bedrock":        bedrock.New(),
		"bedrock-invoke": bedrock.NewInvoke(),
		"cohere":         cohere.New(),
		"gemini":         gemini.New(),
		"mistral":        openai.Mistral(),
		"ollama":         ollama.New(),
		"openai":         openai.New(),
		"responses":      responses.New(),
		"vertex":         vertex.New(),
	}
}

// Adapters are the names of the wire formats there are, sorted.
func Adapters() []string { return adapterNames() }
