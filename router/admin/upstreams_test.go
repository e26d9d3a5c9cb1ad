package admin

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// desk manages providers: one from the configuration, and whatever is stored.
type desk struct{}

func (desk) Seal(_ context.Context, text, about string) ([]byte, error) {
	return []byte("sealed " + about + strings.Repeat("*", len(text))), nil
}

func (desk) Rekey(_ context.Context, sealed []byte, _ string) ([]byte, bool, error) {
	return append([]byte("anew "), sealed...), !bytes.HasPrefix(sealed, []byte("anew")), nil
}
func (desk) Takes(context.Context, string, string) error { return nil }
func (desk) Check(_ context.Context, p billing.StoredProvider) error {
	if strings.Contains(p.Document, "evil") {
		return &billing.FieldError{Field: "settings", Code: "invalid_value", Detail: "evil"}
	}
	return nil
}

func (desk) Providers(context.Context) ([]manage.ProviderStatus, error) {
	return []manage.ProviderStatus{{Name: "openai", From: "built-in"}}, nil
}

func (desk) Configured(context.Context) ([]manage.ConfiguredCredential, error) {
	return []manage.ConfiguredCredential{{Provider: "openai", Refers: "env:OPENAI_API_KEY", Weight: 1}}, nil
}

func (desk) Try(_ context.Context, provider, credential string) (manage.Trial, error) {
	return manage.Trial{Provider: provider, Credential: credential, Model: "m", OK: true}, nil
}

func (desk) Make(context.Context, string, string) (string, string, error) {
	return "made", "key_1", nil
}

func (desk) Unmake(context.Context, string, string) error { return nil }

// upstreams performs every operation on providers and credentials once.
func (g *rig) upstreams(ask func(method, path, body string) answer) {
	ask("POST", "/providers", `{"name":"acme","settings":{"base_url":"https://acme.example/v1"}}`)
	ask("PUT", "/providers/acme", `{"settings":{"base_url":"https://acme.example/v1","weight":0}}`)
	if got := ask("GET", "/providers", ""); len(got.data()) != 2 {
		g.t.Errorf("providers: %s", got.text)
	}
	id, _ := ask("POST", "/credentials", `{"provider":"acme","name":"main","secret":"canary"}`).v["id"].(string)
	ask("PATCH", "/credentials/"+id, `{"owner":"ann@example.com","weight":3,"expires_at":"2099-01-01T00:00:00Z"}`)
	ask("POST", "/credentials/acme%2Fmain/disable", `{"reason":"r"}`)
	ask("POST", "/credentials/"+id+"/enable", "")
	if got := ask("POST", "/credentials/"+id+"/rotate", `{"overlap":"1h"}`); !strings.Contains(got.text, `"ledger_name":"main@2"`) {
		g.t.Errorf("rotated: %s", got.text)
	}
	ask("POST", "/credentials/openai%2F/test", "")
	if got := ask("POST", "/credentials/"+id+"/test", ""); got.v["credential"] != "main@2" {
		g.t.Errorf("tested: %s", got.text)
	}
	if got := ask("POST", "/secrets/rekey", ""); got.v["changed"] != 2.0 {
		g.t.Errorf("rekeyed: %s", got.text)
	}
	if got := ask("GET", "/credentials", ""); strings.Contains(got.text, "canary") || len(got.data()) != 2 {
		g.t.Errorf("credentials: %s", got.text)
	}
	if got := g.ask("DELETE", base+"/providers/acme", ""); got.status != http.StatusConflict {
		g.t.Errorf("a provider whose credentials would go elsewhere is removed: %s", got.text)
	}
	ask("DELETE", "/credentials/"+id, "")
	ask("DELETE", "/providers/acme", "")
}

// TestCredentialsGoNowhereElse: a credential stored for one address is not sent to another.
func TestCredentialsGoNowhereElse(t *testing.T) {
	g := newRig(t)
	g.ask("POST", base+"/providers", `{"name":"acme","settings":{"base_url":"https://acme.example/v1"}}`)
	g.ask("POST", base+"/credentials", `{"provider":"acme","name":"main","secret":"canary"}`)
	for body, want := range map[string]int{
		`{"settings":{"base_url":"https://other.example/v1"}}`: http.StatusConflict,
		`{"settings":{}}`: http.StatusConflict,
		`{"settings":{"base_url":"https://acme.example/v1","weight":5}}`: http.StatusOK,
		`{"settings":{"base_url":"https://acme.example/v1","x":"evil"}}`: http.StatusUnprocessableEntity,
	} {
		if got := g.ask("PUT", base+"/providers/acme", body); got.status != want {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
	for body, want := range map[string]int{
		`{"provider":"acme","name":"main","secret":"s"}`:                                  http.StatusConflict,
		`{"provider":"acme","name":"7","secret":"s"}`:                                     http.StatusUnprocessableEntity,
		`{"provider":"acme","name":"a b","secret":"s"}`:                                   http.StatusUnprocessableEntity,
		`{"provider":"acme","name":"w","secret":"s","weight":1001}`:                       http.StatusUnprocessableEntity,
		`{"provider":"acme","name":"e","secret":"s","expires_at":"2001-01-01T00:00:00Z"}`: http.StatusUnprocessableEntity,
	} {
		if got := g.ask("POST", base+"/credentials", body); got.status != want {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
}
