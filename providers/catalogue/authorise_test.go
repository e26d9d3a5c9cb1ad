package catalogue

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/identity"
	"tallyroute/providers/identity/identitytest"
)

// calledAs returns the header of a call to the only provider in a document.
func calledAs(t *testing.T, c *identitytest.Clouds, doc string) (http.Header, error) {
	t.Helper()
	built, err := Build(t.Context(), Input{Documents: []string{doc}}, Options{Data: files(), Host: &identity.Host{Client: c.Client}})
	if err != nil {
		t.Fatal(err)
	}
	list, _, ok := built.Resolve("cloud/m")
	if !ok {
		t.Fatalf("it takes no part: %+v", built.Providers())
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, list[0].BaseURL+"/x", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Anthropic-Beta"] = []string{"asked-by-the-client"}
	err = list[0].Auth.Sign(t.Context(), r)
	return r.Header, err
}

// Every provider that accepts an identity can be called with each kind of it, without a secret
// anywhere in the configuration.
func TestProvidersAreCalledByWhoTheRouterIs(t *testing.T) {
	const (
		bedrock = "adapter: bedrock\nbase_url: https://bedrock-runtime.eu-west-1.amazonaws.com\nauth: {kind: aws, identity: aws}\n"
		azure   = "adapter: azure\nbase_url: https://acme.openai.azure.com\nauth: {kind: entra, identity: azure}\n"
		vertex  = "adapter: gemini\nbase_url: https://generativelanguage.googleapis.com\nauth: {kind: google, identity: google}\n"
		openai  = "adapter: openai\nprivate: true\nbase_url: URL/v1\nauth: {kind: openai, server: URL/openai/oauth/token, IDENTITY, " +
			"identity_provider_id: idp_1, service_account_id: sa_1}\n"
		anthropic = "adapter: anthropic\nprivate: true\nbase_url: URL\nauth: {kind: anthropic, server: URL/anthropic/v1/oauth/token, " +
			"IDENTITY, federation_rule_id: fdrl_1, organization_id: org_1, workspace_id: default}\n"
	)
	asPod := func(c *identitytest.Clouds) { c.AWS("pod") }
	for name, one := range map[string]struct {
		doc, identity string
		as            func(*identitytest.Clouds)
		want          string // of Authorization
	}{
		"bedrock in a pod":       {bedrock, "", asPod, "Credential=ASIAPOD/"},
		"bedrock on a machine":   {bedrock, "", func(c *identitytest.Clouds) { c.AWS("machine") }, "Credential=ASIAMACHINE/"},
		"bedrock in a container": {bedrock, "", func(c *identitytest.Clouds) { c.AWS("container") }, "Credential=ASIACONTAINER/"},
		"bedrock by a profile":   {bedrock, "", func(c *identitytest.Clouds) { c.AWS("profile") }, "Credential=ASIAPROFILE/"},
		"azure in a pod": {
			azure, "", func(c *identitytest.Clouds) { c.Azure("pod") },
			"Bearer azure-pod of https%3A%2F%2Fcognitiveservices.azure.com%2F.default",
		},
		"azure in an app": {
			azure, "", func(c *identitytest.Clouds) { c.Azure("app") },
			"Bearer azure-app of https://cognitiveservices.azure.com",
		},
		"google on a machine": {vertex, "", func(c *identitytest.Clouds) { c.Google("machine") }, "Bearer google-machine"},
		"google, federated":   {vertex, "", func(c *identitytest.Clouds) { c.Google("federated") }, "Bearer google-federated"},
		"openai by AWS":       {openai, "identity: aws", asPod, "Bearer openai for proof of aws for https://api.openai.com/v1"},
		"openai by Google": {
			openai, "identity: google", func(c *identitytest.Clouds) { c.Google("machine") },
			"Bearer openai for proof of google for https://api.openai.com/v1",
		},
		"openai by Azure": {
			openai, "identity: azure, audience: 'api://openai'", func(c *identitytest.Clouds) { c.Azure("app") },
			"Bearer openai for azure-app of api://openai",
		},
		"anthropic by a file": {anthropic, "identity: 'file:FILE'", asPod, "Bearer anthropic for jwt-of-the-pod"},
		"anthropic by AWS":    {anthropic, "identity: aws", asPod, "Bearer anthropic for proof of aws for https://api.anthropic.com"},
	} {
		t.Run(name, func(t *testing.T) {
			c := identitytest.New(t)
			one.as(c)
			doc := "name: cloud\n" + one.doc + "models: [{id: m}]\n"
			doc = strings.ReplaceAll(strings.ReplaceAll(doc, "IDENTITY", one.identity), "URL", c.URL)
			doc = strings.ReplaceAll(doc, "FILE", c.File("token", "jwt-of-the-pod\n"))
			header, err := calledAs(t, c, doc)
			if err != nil {
				t.Fatal(err)
			}
			if got := header.Get("Authorization"); !strings.Contains(got, one.want) {
				t.Errorf("%q, want %q", got, one.want)
			}
			if one.doc == anthropic && header.Get("Anthropic-Beta") != "oauth-2025-04-20,asked-by-the-client" {
				t.Errorf("betas %q", header["Anthropic-Beta"])
			}
		})
	}
}

// If nobody can confirm our identity right now, that does not count as a refused credential.
func TestIdentityThatNobodyConfirmsNowIsAFailureOfTheNetwork(t *testing.T) {
	c := identitytest.New(t)
	c.AWS("pod")
	c.Down()
	const doc = "name: cloud\nadapter: bedrock\nbase_url: https://bedrock-runtime.eu-west-1.amazonaws.com\n" +
		"auth: {kind: aws, identity: aws}\nmodels: [{id: m}]\n"
	_, err := calledAs(t, c, doc)
	if e := (*providers.Error)(nil); !errors.As(err, &e) || e.Kind != providers.KindNetwork {
		t.Error(err)
	}
}

func TestIdentityIsCheckedWhenItIsRead(t *testing.T) {
	for _, c := range [][2]string{
		{"{kind: bearer, identity: aws}", "is for the kinds aws"},
		{"{kind: aws, identity: google}", "want aws"},
		{"{kind: aws, identity: aws, access_key: 'env:A', secret: 'env:B'}", "has no secret"},
		{"{kind: openai}", "needs an identity"},
		{"{kind: openai, identity: aws}", "needs an identity_provider_id"},
		{"{kind: anthropic, identity: canary-of-a-token}", "want aws, azure, google, or where"},
		{"{kind: anthropic, identity: aws, federation_rule_id: a, organization_id: b, identity_provider_id: c}", "ids of another kind"},
		{"{kind: google, identity: google, workspace_id: x}", "only where its kind is openai"},
	} {
		auth, want := c[0], c[1]
		_, err := Build(t.Context(), Input{Documents: []string{"name: cloud\nadapter: openai\nbase_url: https://a.example\nauth: " + auth +
			"\nmodels: [{id: m}]\n"}}, Options{Data: files()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", auth, err)
		}
	}
}
