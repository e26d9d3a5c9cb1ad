package catalogue

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// documented returns the provider that docs/providers.md adds.
func documented(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("```yaml\n"))
	text, _, ok := bytes.Cut(text, []byte("```\n"))
	if !ok {
		t.Fatal("docs/providers.md has no example")
	}
	return text
}

// environment resolves env: references from a map.
func environment(vars map[string]string) func(context.Context, string) (secret.Value, error) {
	return func(_ context.Context, ref string) (secret.Value, error) {
		if v, ok := vars[strings.TrimPrefix(ref, "env:")]; ok {
			return secret.New(v), nil
		}
		return secret.Value{}, errors.New("secret: " + ref + " is not set")
	}
}

// Another provider is one file, with everything that may differ.
func TestOneFileIsAProvider(t *testing.T) {
	build := func(vars map[string]string) *Catalogue {
		t.Helper()
		c, err := Build(t.Context(), Input{}, Options{Data: fstest.MapFS{"acme.yaml": {Data: documented(t)}}, Secrets: environment(vars)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	vars := map[string]string{"ACME_API_KEY": "k", "ACME_ACCOUNT": "team-1", "ACME_REGION": "eu.2"}
	list, _, ok := build(vars).Resolve("acme/large")
	if !ok || len(list) != 1 || list[0].BaseURL != "https://team-1.api.acme.example/eu.2/v1" {
		t.Fatalf("%v %+v", ok, list)
	}
	want := providers.Quirks{
		Rename: map[string]string{"seed": "random_seed"}, Known: []string{"max_tokens", "random_seed"}, Refuse: []string{"audio"},
		Bounds: map[string]providers.Bound{"temperature": {Min: "0", Max: "1.5"}, "n": {Max: "1"}},
		Roles:  map[string]string{"developer": "system"}, MessageRename: map[string]string{"reasoning_content": "reasoning"},
		MessageDrop: []string{"annotations"},
	}
	list[0].Quirks.Members = nil
	if got := list[0].Quirks; !reflect.DeepEqual(got, want) {
		t.Errorf("quirks %+v, want %+v", got, want)
	}
	deep, _, ok := build(vars).Resolve("acme/deep")
	want.Drop, want.MaxTokens = []string{"temperature"}, "max_completion_tokens"
	deep[0].Quirks.Members = nil
	if !ok || !reflect.DeepEqual(deep[0].Quirks, want) {
		t.Errorf("the quirks of one model are %+v, want %+v", deep[0].Quirks, want)
	}
	for value, says := range map[string]string{"evil.example/x?": "variable account", "..": "variable account", "": "variable account"} {
		vars["ACME_ACCOUNT"] = value
		if s := build(vars).Providers()[0]; s.Configured || !strings.Contains(s.Why, says) {
			t.Errorf("%q: %+v", value, s)
		}
	}
	delete(vars, "ACME_ACCOUNT")
	if s := build(vars).Providers()[0]; s.Configured || !strings.Contains(s.Why, "ACME_ACCOUNT is not set") {
		t.Errorf("%+v", s)
	}
}

func TestQuirks_Faults(t *testing.T) {
	for in, want := range map[string]string{
		"quirks: {bounds: {temperature: {max: high}}}":                "quirks.bounds.temperature.max: want a number",
		"quirks: {bounds: {messages: {max: 1}}}":                      "cannot be renamed or dropped",
		"quirks: {message_drop: [content]}":                           "role and content cannot be",
		"quirks: {roles: {developer: king}}":                          "want one of",
		"quirks: {api_version: '2024?x=1'}":                           "want a version",
		"quirks: {api_version: '2024-10-21'}":                         "quirks: the adapter openai does not read quirks.api_version",
		"adapter: gemini\nquirks: {max_tokens: max_tokens, path: /x}": "quirks: the adapter gemini does not read quirks.path",
		"models: [{id: m, quirks: {drop: [messages]}}]":               "cannot be renamed or dropped",
		"adapter: cohere\nmodels: [{id: m, quirks: {vectors: int8}}]": "m: the adapter cohere does not read quirks.vectors",
		"variables: {region: 'env:X'}\nbase_url: https://{a}.x.io/v1": "has {a}, which variables does not have",
	} {
		text := "name: x\nauth: {kind: none}\n" + in
		if !strings.Contains(in, "base_url") {
			text += "\nbase_url: https://api.x.example/v1"
		}
		if _, err := Parse("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// An Azure deployment takes part if all parts of its login are available.
func TestEntra(t *testing.T) {
	const text = `name: acme
display: Acme
adapter: azure
base_url: https://acme.openai.azure.com
auth: {kind: entra, tenant: "env:TENANT", client: "env:CLIENT", secret: "env:SECRET"}
models:
  - {id: large, context: 128000}
`
	build := func(vars map[string]string) Status {
		t.Helper()
		c, err := Build(t.Context(), Input{}, Options{Data: fstest.MapFS{"acme.yaml": {Data: []byte(text)}}, Secrets: environment(vars)})
		if err != nil {
			t.Fatal(err)
		}
		return c.Providers()[0]
	}
	vars := map[string]string{"TENANT": "t", "CLIENT": "c", "SECRET": "s"}
	if s := build(vars); !s.Configured {
		t.Errorf("%+v", s)
	}
	delete(vars, "CLIENT")
	if s := build(vars); s.Configured || !strings.Contains(s.Why, "CLIENT") {
		t.Errorf("%+v", s)
	}
	for auth, want := range map[string]string{
		`{kind: entra, secret: "env:S"}`:                                                         "needs a tenant and a client",
		`{kind: bearer, secret: "env:S", tenant: "env:T"}`:                                       "only where its kind is entra",
		`{kind: entra, secret: "env:S", tenant: "env:T", client: "env:C", server: "http://x.y"}`: "must begin with https",
	} {
		if _, err := Parse("acme.yaml", []byte("name: acme\nbase_url: https://x.example\nauth: "+auth)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", auth, err)
		}
	}
}
