package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"tallyroute/providers/catalogue"
	"tallyroute/providers/secret"
)

// format is a family of APIs and how the router calls it.
type format struct {
	family  string
	adapter string // by default; see adapterOf
	base    string // the path that follows the API's own base URL
	auth    string
	vectors bool // the models produce embeddings
}

const noAuth = "{kind: none}"

// formats returns the families to which a chat completion or an embedding request can be
// translated.
func formats() []format {
	return []format{
		{family: "openai-chat", adapter: "openai", auth: noAuth},
		{family: "openai-responses", adapter: "responses", auth: noAuth},
		{family: "anthropic-messages", adapter: "anthropic", auth: noAuth},
		{family: "gemini", adapter: "gemini", auth: noAuth},
		{family: "bedrock-converse", adapter: "bedrock", auth: noAuth},
		{family: "bedrock-invoke", adapter: "bedrock-invoke", auth: noAuth},
		{family: "cohere-v2", adapter: "cohere", auth: noAuth},
		{family: "ollama-native", adapter: "ollama", auth: noAuth},
		{family: "openai-embeddings", adapter: "openai", auth: noAuth, vectors: true},
		{family: "gemini-embed", adapter: "gemini", auth: noAuth, vectors: true},
		{family: "vertex-embed", adapter: "vertex", auth: noAuth, vectors: true},
		{family: "bedrock-embed", adapter: "bedrock", auth: noAuth, vectors: true},
		{family: "cohere-embed", adapter: "cohere", auth: noAuth, vectors: true},
		{family: "ollama-embed", adapter: "ollama", auth: noAuth, vectors: true},
	}
}

// missing returns why a format cannot be compared; "" if it can.
func (f format) missing() string {
	if slices.Contains(catalogue.Adapters(), f.adapter) {
		return ""
	}
	return "there is no adapter " + f.adapter
}

// adapterOf returns the adapter for a provider: some APIs of a family have one of their own.
func (f format) adapterOf(provider string) string {
	if (f.family == "openai-chat" || f.family == "openai-embeddings") && slices.Contains([]string{"azure", "mistral"}, provider) &&
		slices.Contains(catalogue.Adapters(), provider) {
		return provider
	}
	return f.adapter
}

// api is a provider's API with the available exchanges.
type api struct {
	name     string
	Family   string
	Provider string
	BaseURL  string `json:"base_url"`
	Models   []string
}

// exchanges are all APIs.
type exchanges map[string]api

// exchanges asks the player what is available.
func (s *settings) exchanges(ctx context.Context, dir string) (exchanges, error) {
	//nolint:gosec // a program that was just built
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "player"), "config", "-cases", s.cases, "-apis", s.apis, "-addr", "ADDRESS")
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("player config: %w", err)
	}
	var all exchanges
	return all, json.Unmarshal(text, &all)
}

// of returns the APIs of a family, by name.
func (e exchanges) of(family string) (list []api) {
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if a := e[name]; a.Family == family {
			a.name = name
			list = append(list, a)
		}
	}
	return list
}

// able lists every ability: what a recorded model could not do, it refused.
const able = "[tools, vision, audio, documents, json_schema, reasoning]"

func (f format) able() string {
	if f.vectors {
		return "[embeddings]"
	}
	return able
}

// split returns the APIs in the form in which the router should know them: an exchange in which
// the provider refuses the credential becomes a provider of its own, or else the exchanges
// asked after it would not be sent.
func split(apis []api, refused map[string]bool) (list []api) {
	for _, a := range apis {
		whole := a
		whole.Models = nil
		var apart []api
		for i, m := range a.Models {
			if !refused[m] {
				whole.Models = append(whole.Models, m)
				continue
			}
			one := a
			one.name, one.Models = fmt.Sprintf("%s-%d", a.name, i+1), []string{m}
			apart = append(apart, one)
		}
		if len(whole.Models) > 0 {
			list = append(list, whole)
		}
		list = append(list, apart...)
	}
	return list
}

// refused returns the exchanges in which a credential or an account is refused, by name.
func (s *settings) refused() (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(s.cases, "*", "*.json"))
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool)
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // below the folder that the user names
		if err != nil {
			return nil, err
		}
		var recorded struct {
			Response struct{ Status int }
		}
		if err := json.Unmarshal(text, &recorded); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		switch recorded.Response.Status {
		case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden:
			found[strings.TrimSuffix(filepath.Base(name), ".json")] = true
		}
	}
	return found, nil
}

// config returns the section "providers:" for the APIs. A provider in the catalogue is called
// as the catalogue says; only the address and the models differ.
func (f format) config(apis []api, address string, known map[string]catalogue.Status) string {
	var b strings.Builder
	b.WriteString("providers:\n")
	taken := make(map[string]bool)
	for _, a := range apis {
		name, adapter := strings.ToLower(a.name), f.adapterOf(a.Provider)
		if s, ok := known[a.Provider]; ok && s.Adapter == adapter && !taken[a.Provider] {
			name = a.Provider
		}
		taken[name] = true
		fmt.Fprintf(&b, "  %s:\n    adapter: %s\n    base_url: %s\n    private: true\n    auth: %s\n    models:\n",
			name, adapter, strings.Replace(a.BaseURL, "ADDRESS", address, 1)+f.base, f.auth)
		for _, m := range a.Models {
			fmt.Fprintf(&b, "      - {id: %s, upstream: %s, context: 100m, max_output: 1m, can: %s,\n        prices: [{since: "+
				"2020-01-01, prompt: \"1\", completion: \"2\"}]}\n",
				strings.ToLower(m), m, f.able())
		}
	}
	return b.String()
}

// known returns the providers of the catalogue.
func known(ctx context.Context) (map[string]catalogue.Status, error) {
	c, err := catalogue.Build(ctx, catalogue.Input{}, catalogue.Options{
		Secrets: func(context.Context, string) (secret.Value, error) { return secret.New("none"), nil },
	})
	if err != nil {
		return nil, err
	}
	all := make(map[string]catalogue.Status)
	for _, s := range c.Providers() {
		all[s.Name] = s
	}
	return all, nil
}
