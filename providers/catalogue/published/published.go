// Package published reads price lists published by others: LiteLLM's map, models.dev and
// genai-prices. It owns how they name providers, models and kinds of tokens; what happens
// with the prices is decided elsewhere.
package published

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing"
)

// Entry is what a list says about one model. Its prices carry rates, tiers and the fee per
// request, but not the provider, the model or the start date.
type Entry struct {
	Name string // as written in the list
	// Prices are the standard price and then those of its tiers; none if the list has no price
	// per token.
	Prices []billing.Price
	// Left names the prices that are not for tokens, or that make a kind free although the kind
	// that contains it is not. They are not adopted, and never count as zero.
	Left []string
}

// List is one published list.
type List struct {
	Format string // "litellm", "models.dev" or "genai-prices"
	Date   string // YYYY-MM-DD, as stated in the list; "" if it states none

	exact map[string]Entry // by provider and model, in lower case
	rules []rule           // for lists that give patterns for names
}

// rule is a model whose names are given as a pattern.
type rule struct {
	provider string
	match    matcher
	entry    Entry
}

var errFormat = errors.New("published: no list of prices that is known: want LiteLLM's map, models.dev or genai-prices, as JSON")

// Read reads a list and detects its format from its structure.
func Read(data []byte) (*List, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // so that no price passes through a float
	var document any
	if err := d.Decode(&document); err != nil {
		return nil, fmt.Errorf("published: %w", err)
	}
	switch doc := document.(type) {
	case []any:
		return genai(doc)
	case map[string]any:
		if list, ok := doc["providers"].([]any); ok {
			return genai(list)
		}
		if byName, ok := doc["providers"].(map[string]any); ok {
			l, err := modelsDev(byName)
			if date, ok := doc["date"].(string); ok && err == nil {
				l.Date = date
			}
			return l, err
		}
		if looksLikeModelsDev(doc) {
			return modelsDev(doc)
		}
		return liteLLM(doc)
	}
	return nil, errFormat
}

// Find returns what the list says about the model that a provider calls upstream. The
// provider is given by our name for it.
func (l *List) Find(provider, upstream string) (Entry, bool) {
	upstream = strings.ToLower(upstream)
	for _, name := range l.names(provider) {
		if e, ok := l.exact[key(name, upstream)]; ok {
			return e, true
		}
	}
	for _, r := range l.rules {
		if slices.Contains(l.names(provider), r.provider) && r.match.fits(upstream) {
			return r.entry, true
		}
	}
	return Entry{}, false
}

// Size returns the number of models in the list.
func (l *List) Size() int { return len(l.exact) + len(l.rules) }

func key(provider, model string) string { return provider + "\x00" + strings.ToLower(model) }

// names returns the list's names for one of our providers.
func (l *List) names(provider string) []string {
	if n, ok := foreign[provider]; ok {
		switch l.Format {
		case formatLiteLLM:
			return n.liteLLM
		case formatModelsDev:
			return n.modelsDev
		case formatGenAI:
			return n.genAI
		}
	}
	return []string{provider}
}

const (
	formatLiteLLM   = "litellm"
	formatModelsDev = "models.dev"
	formatGenAI     = "genai-prices"
)

type foreignNames struct{ liteLLM, modelsDev, genAI []string }

// foreign holds the providers that a list names differently than we do.
var foreign = map[string]foreignNames{
	"alibaba":    {[]string{"dashscope"}, []string{"alibaba"}, nil},
	"azure":      {[]string{"azure", "azure_ai"}, []string{"azure"}, []string{"azure"}},
	"bedrock":    {[]string{"bedrock_converse", "bedrock"}, []string{"amazon-bedrock"}, []string{"aws"}},
	"chutes":     {nil, []string{"chutes"}, nil},
	"cloudflare": {[]string{"cloudflare"}, []string{"cloudflare-workers-ai"}, nil},
	"cohere":     {[]string{"cohere_chat", "cohere"}, []string{"cohere"}, []string{"cohere"}},
	"fireworks":  {[]string{"fireworks_ai", "fireworks_ai-embedding-models"}, []string{"fireworks-ai"}, []string{"fireworks"}},
	"friendli":   {[]string{"friendliai"}, []string{"friendli"}, nil},
	"github":     {nil, []string{"github-models"}, nil},
	"google":     {[]string{"gemini"}, []string{"google"}, []string{"google"}},
	"moonshot":   {[]string{"moonshot"}, []string{"moonshotai"}, []string{"moonshotai"}},
	"novita":     {[]string{"novita"}, []string{"novita-ai"}, []string{"novita"}},
	"nvidia":     {[]string{"nvidia_nim"}, []string{"nvidia"}, nil},
	"ollama":     {nil, []string{"ollama-cloud"}, nil},
	"snowflake":  {[]string{"snowflake"}, []string{"snowflake-cortex"}, nil},
	"together":   {[]string{"together_ai"}, []string{"togetherai"}, []string{"together"}},
	"vercel":     {[]string{"vercel_ai_gateway"}, []string{"vercel"}, nil},
	"vertex": {[]string{
		"vertex_ai-language-models", "vertex_ai-anthropic_models", "vertex_ai-llama_models",
		"vertex_ai-embedding-models", "vertex_ai",
	}, []string{"google-vertex"}, []string{"google"}},
	"voyage": {[]string{"voyage"}, nil, []string{"voyageai"}},
	"xai":    {[]string{"xai"}, []string{"xai"}, []string{"x-ai"}},
}
