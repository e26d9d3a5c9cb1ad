package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tallyroute/providers/identity/identitytest"
	pt "tallyroute/providers/providertest"
)

// TestProvidersAreCalledWithoutASecret: on a host with an identity at AWS, Azure and Google, the whole
// program calls each kind of provider with that identity, and does not disclose the credentials that it
// gets.
func TestProvidersAreCalledWithoutASecret(t *testing.T) {
	c := identitytest.New(t)
	c.AWS("pod")
	c.Azure("app")
	c.Google("machine")
	gemini := `{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP","index":0}],` +
		`"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":2,"totalTokenCount":10}}`
	claude := `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hello"}],` +
		`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8,"output_tokens":2}}`
	bedrock := `{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn",` +
		`"usage":{"inputTokens":8,"outputTokens":2,"totalTokens":10},"metrics":{"latencyMs":1}}`
	g := &attackTarget{t: t, out: &attackOutput{}}
	text, want := "providers:\n", map[string]string{}
	for _, one := range []struct{ name, adapter, path, auth, answer, want string }{
		{"cloud-a", "bedrock", "", "kind: aws, identity: aws, region: eu-west-1", bedrock, "Credential=ASIAPOD/"},
		{
			"cloud-b", "azure", "", "kind: entra, identity: azure", attackAnswer,
			"Bearer azure-app of https://cognitiveservices.azure.com",
		},
		{"cloud-c", "gemini", "", "kind: google, identity: google", gemini, "Bearer google-machine"},
		{"cloud-d", "vertex", "/v1/projects/p/locations/l", "kind: google, identity: google", gemini, "Bearer google-machine"},
		{"cloud-e", "openai", "/v1", "kind: openai, server: URL/openai/oauth/token, identity: aws, identity_provider_id: idp_1, " +
			"service_account_id: sa_1", attackAnswer, "Bearer openai for proof of aws for https://api.openai.com/v1"},
		{
			"cloud-f", "anthropic", "", "kind: anthropic, server: URL/anthropic/v1/oauth/token, identity: 'file:" +
				c.File("projected", "jwt-of-the-pod") + "', federation_rule_id: fdrl_1, organization_id: org_1", claude,
			"Bearer anthropic for jwt-of-the-pod",
		},
	} {
		u := pt.NewUpstream(t, pt.JSON(http.StatusOK, one.answer))
		g.ups = append(g.ups, u)
		text += fmt.Sprintf("  %s:\n    adapter: %s\n    private: true\n    base_url: %s%s\n    auth: {%s}\n    models: [{id: m, "+
			"context: 4096, "+
			"prices: [{since: 2026-01-01, prompt: \"1.00\", completion: \"2.00\"}]}]\n",
			one.name, one.adapter, u.URL(), one.path, strings.ReplaceAll(one.auth, "URL", c.URL))
		want[one.name] = one.want
	}
	g.start(text)
	for i, name := range []string{"cloud-a", "cloud-b", "cloud-c", "cloud-d", "cloud-e", "cloud-f"} {
		for range 2 {
			if r := g.complete(`{"model":"` + name +
				`/m","messages":[{"role":"user","content":"hi"}],"max_tokens":50}`); r.status != http.StatusOK {
				t.Errorf("%s: %d: %s", name, r.status, r.body)
			}
		}
		calls := g.ups[i].Calls()
		if got := calls[len(calls)-1].Header.Get("Authorization"); !strings.Contains(got, want[name]) {
			t.Errorf("%s is called with %q, want %q", name, got, want[name])
		}
	}
	for at, want := range map[string]int{ // sts once for each region
		"sts": 2, "sts-proof": 1, "app-service": 1, "google": 1, "openai": 1, "anthropic": 1,
	} {
		if n := c.Asked(at); n != want {
			t.Errorf("%s was asked %d times for two calls of each provider", at, n)
		}
	}
	for _, text := range []string{"ASIAPOD", "azure-app of", "google-machine", "openai for", "jwt-of-the-pod"} {
		g.holdsNo(text)
	}
}
