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

// format is a wire format and the settings among the quirks that it reads. The
// others hold for every format: they change the request before a codec sees it.
type format struct {
	adapter  func() providers.Adapter
	settings []string
}

// openAI are the settings of the OpenAI format.
func openAI(more ...string) []string {
	return append([]string{"path", "max_tokens", "no_stream_usage", "vectors"}, more...)
}

// formats are the wire formats there are. A new one is a line here.
func formats() map[string]format {
	return map[string]format{
		"anthropic":      {anthropic.New, []string{"path"}},
		"azure":          {openai.Azure, openAI("api_version")},
		"bedrock":        {bedrock.New, nil},
		"bedrock-invoke": {bedrock.NewInvoke, nil},
		"cohere":         {cohere.New, []string{"path"}},
		"gemini":         {gemini.New, nil},
		"mistral":        {openai.Mistral, openAI()},
		"ollama":         {ollama.New, []string{"path"}},
		"openai":         {openai.New, openAI()},
		"responses":      {responses.New, []string{"path"}},
		"vertex":         {vertex.New, nil},
	}
}

// Adapters are the names of the wire formats there are, sorted.
func Adapters() []string { return adapterNames() }

// settings are those of the quirks that are set, by their names here.
func settings(q providers.Quirks) (list []string) {
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"path", q.Path != ""},
		{"max_tokens", q.MaxTokens != ""},
		{"no_stream_usage", q.NoStreamUsage},
		{"vectors", q.Vectors != ""},
		{"api_version", q.APIVersion != ""},
	} {
		if s.set {
			list = append(list, s.name)
		}
	}
	return list
}
