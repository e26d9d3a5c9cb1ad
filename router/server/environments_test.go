package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
)

// TestKeysReachOnlyProvidersOfTheirEnvironment tries keys of each environment with providers of
// each, at every entrance that calls one.
func TestKeysReachOnlyProvidersOfTheirEnvironment(t *testing.T) {
	g := newRig(t)
	dev, prod, both, everybody := target("acme", "m"), target("other", "m"), target("acme", "m"), target("acme", "m")
	dev.Environments, prod.Environments, both.Environments = []string{"dev"}, []string{"prod"}, []string{"dev", "prod"}
	var asked []string // the providers that were called
	g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		asked = append(asked, x.Target.Provider)
		return plainAnswer(), nil
	}
	g.models.more = map[string][]providers.Target{
		"for-dev": {dev}, "for-prod": {prod}, "for-both": {both}, "for-all": {everybody}, "mixed": {prod, dev}, "dev-first": {dev, prod},
	}
	for _, key := range []struct {
		environment string
		reaches     map[string]string // the provider, by model; "" means that none is called
	}{
		{"dev", map[string]string{
			"for-dev": "acme", "for-prod": "", "for-both": "acme", "for-all": "acme", "mixed": "acme", "dev-first": "acme",
		}},
		{"prod", map[string]string{
			"for-dev": "", "for-prod": "other", "for-both": "acme", "for-all": "acme", "mixed": "other", "dev-first": "other",
		}},
		{"staging", map[string]string{"for-dev": "", "for-prod": "", "for-both": "", "for-all": "acme", "mixed": "", "dev-first": ""}},
	} {
		g.verifier.key.Environment = key.environment
		for _, e := range []struct {
			path, body string
			operation  providers.Operation
		}{
			{"/v1/chat/completions", `{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, providers.Chat},
			{"/v1/embeddings", `{"model":%q,"input":"hi"}`, providers.Embed},
			{"/v1/messages", `{"model":%q,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, providers.Chat},
			{"/v1/responses", `{"model":%q,"input":"hi"}`, providers.Chat},
		} {
			for model, provider := range key.reaches {
				for i := range g.models.more[model] {
					g.models.more[model][i].Can.Operation = e.operation
				}
				asked = nil
				r := g.do(g.request("POST", e.path, fmt.Sprintf(e.body, model)))
				said := fmt.Sprintf("%s with a key of %s for %s: %d %s", e.path, key.environment, model, r.StatusCode, r.body)
				if provider != "" && (r.StatusCode != 200 || !slices.Equal(asked, []string{provider})) {
					t.Errorf("%v were asked: %s", asked, said)
				}
				if provider == "" && (len(asked) > 0 || r.StatusCode != 403 || !strings.Contains(r.body, "policy_denied") ||
					!strings.Contains(r.body, "environments")) {
					t.Errorf("%v were asked: %s", asked, said)
				}
			}
		}
	}
}
