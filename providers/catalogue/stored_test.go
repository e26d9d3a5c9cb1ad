package catalogue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tallyroute/providers/secret"
)

// stored builds a catalogue with what administrators have stored.
func stored(t *testing.T, in Input, env map[string]string) (*Catalogue, error) {
	t.Helper()
	return Build(t.Context(), in, Options{Data: files(), Secrets: func(_ context.Context, ref string) (secret.Value, error) {
		if v, ok := env[ref]; ok {
			return secret.New(v), nil
		}
		return secret.Value{}, errors.New("secret: none")
	}})
}

// signed returns what each credential of a target adds to a call.
func signed(t *testing.T, c *Catalogue, name string) string {
	t.Helper()
	list, _, ok := c.Resolve(name)
	if !ok {
		return "nobody"
	}
	var all []string
	for _, one := range list[0].Credentials {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, list[0].BaseURL, nil)
		err := list[0].With(one).Auth.Sign(t.Context(), r)
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %d %s", one.Name, one.Weight, r.Header.Get("Authorization"))))
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) == 0 {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, list[0].BaseURL, nil)
		_ = list[0].Auth.Sign(t.Context(), r)
		return r.Header.Get("Authorization")
	}
	return strings.Join(all, "; ")
}

func TestStoredCredentialsStandBesideThoseOfTheConfiguration(t *testing.T) {
	two := map[string][]Credential{"acme": {
		{Name: "main@2", Secret: "stored:cred_1@2", Weight: 3}, {Name: "main@1", Secret: "stored:cred_1@1", Weight: 3, Spare: true},
	}}
	all := map[string]string{"env:ACME_API_KEY": "own", "stored:cred_1@2": "two", "stored:cred_1@1": "one"}
	for what, of := range map[string]struct {
		in   Input
		env  map[string]string
		want string
	}{
		"both": {Input{Credentials: two}, all, "1 1 Bearer own; main@2 3 Bearer two; main@1 3 Bearer one"},
		"stored alone": {Input{Credentials: two}, map[string]string{
			"stored:cred_1@2": "two", "stored:cred_1@1": "one",
		}, "main@2 3 Bearer two; main@1 3 Bearer one"},
		"own alone": {Input{}, all, "Bearer own"},
		"neither":   {Input{}, nil, "nobody"},
		"of a list": {
			Input{Credentials: two, Text: "providers: {acme: {credentials: [{name: a, owner: ann, secret: env:ACME_API_KEY, weight: 2}]}}"},
			all,
			"a 2 Bearer own; main@2 3 Bearer two; main@1 3 Bearer one",
		},
	} {
		c, err := stored(t, of.in, of.env)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := signed(t, c, "acme/large"); got != of.want {
			t.Errorf("%s: %s, want %s", what, got, of.want)
		}
	}
}

const beside = `{"base_url":"https://llm.example/v1","models":[{"id":"m","prices":[{"since":"2026-01-01","prompt":"1","completion":"2"}]}]}`

func TestStoredProviderIsOneLikeAnyOther(t *testing.T) {
	in := Input{
		Stored:      []Stored{{"other", beside}},
		Credentials: map[string][]Credential{"other": {{Name: "k@1", Secret: "stored:x", Weight: 1}}},
	}
	c, err := stored(t, in, map[string]string{"stored:x": "s"})
	if err != nil || signed(t, c, "other/m") != "k@1 1 Bearer s" {
		t.Fatal(err)
	}
	if best, ok := c.Cheapest("other"); !ok || best.Model != "m" {
		t.Errorf("the cheapest is %s", best.Model)
	}
	in.Credentials = nil
	if c, err = stored(t, in, nil); err != nil || signed(t, c, "other/m") != "nobody" {
		t.Errorf("without a credential: %v", err)
	}
	in.Text = "providers: {other: {base_url: 'https://file.example/v1', auth: {kind: none}, models: [{id: f}]}}"
	if c, err = stored(t, in, nil); err != nil || signed(t, c, "other/f") != "" || signed(t, c, "other/m") != "nobody" {
		t.Errorf("beside the configuration's own: %v", err)
	}
}

// TestStoredProviderSendsNoSecretOfTheHostAway: those who may describe providers can't make the
// router send secrets that they may not read to a place of their choice.
func TestStoredProviderSendsNoSecretOfTheHostAway(t *testing.T) {
	env := map[string]string{"env:ACME_API_KEY": "own"}
	moved := Input{Stored: []Stored{{"acme", `{"base_url":"https://evil.example/v1"}`}}}
	if c, err := stored(t, moved, env); err != nil || signed(t, c, "acme/large") != "nobody" {
		t.Errorf("a built-in provider was moved with its credential: %v, %s", err, signed(t, c, "acme/large"))
	}
	if c, err := stored(t, Input{Stored: []Stored{{"acme", `{"weight":2}`}}}, env); err != nil ||
		signed(t, c, "acme/large") != "Bearer own" {
		t.Errorf("a weight takes the credential away: %v", err)
	}
	for _, text := range []string{
		`{"api_key":"env:ADMIN"}`, `{"auth":{"secret":"file:/etc/shadow"}}`, `{"credentials":[{"secret":"env:ADMIN"}]}`,
		`{"variables":{"x":"env:ADMIN"}}`, `{"auth":{"kind":"entra","tenant":"env:A","client":"env:B"}}`,
		`{"auth":{"kind":"aws","access_key":"env:ADMIN"}}`, `{"auth":{"kind":"entra"}}`, `{"base_url":"http://169.254.169.254"}`,
		`{"base_url":"https://localhost"}`, `{"headers":{"Authorization":"x"}}`, `{"nonsense":1}`, `[]`, `{`,
	} {
		_, err := stored(t, Input{Stored: []Stored{{"acme", text}}}, env)
		var faults Faults
		if !errors.As(err, &faults) || len(faults.FaultsOf("acme")) == 0 || len(faults.FaultsOf("other")) != 0 {
			t.Errorf("%s is taken: %v", text, err)
		}
	}
}
