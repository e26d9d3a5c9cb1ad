package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/postgres/pgtest"
)

// asked sends a request with a key and returns how the router answered it.
func (p *program) asked(key string) (status int, code string, head http.Header) {
	p.t.Helper()
	body := `{"model":"demo-b/echo","messages":[{"role":"user","content":"hi"}]}`
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "till/1.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, word := range []string{"key_rotated", "key_disabled", "invalid_api_key"} {
		if strings.Contains(string(text), `"code":"`+word+`"`) {
			code = word
		}
	}
	return resp.StatusCode, code, resp.Header
}

// TestKeysLiveAndEndOnEveryReplica takes a key through its life before three routers.
func TestKeysLiveAndEndOnEveryReplica(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	config := writeConfig(t, dsn, "")
	routers := []*program{serve(t, config), serve(t, writeConfig(t, dsn, "")), serve(t, writeConfig(t, dsn, ""))}
	p := routers[0]
	first := p.key("--budget-tokens", "100000")
	id := p.shown().ID
	each := func(what string, holds func(*program) bool) {
		t.Helper()
		for _, r := range routers {
			prove.Eventually(t, what, func() bool { return holds(r) })
		}
	}
	status := func(key string, want int, code string) func(*program) bool {
		return func(r *program) bool {
			got, is, _ := r.asked(key)
			return got == want && is == code
		}
	}
	each("the key is accepted", status(first, http.StatusOK, ""))

	second := strings.TrimSpace(command(t, "--config", config, "keys", "rotate", id, "--overlap", "1h", "--secret-only"))
	for _, r := range routers {
		if got, _, head := r.asked(second); got != http.StatusOK || head.Get("Sunset") != "" {
			t.Errorf("the new secret: %d, Sunset %q", got, head.Get("Sunset"))
		}
	}
	each("the old secret is told its end", func(r *program) bool {
		got, _, head := r.asked(first)
		at, err := time.Parse(time.RFC3339, head.Get("X-Tallyroute-Key-Expires"))
		sunset, bad := http.ParseTime(head.Get("Sunset"))
		return got == http.StatusOK && err == nil && bad == nil && sunset.Equal(at) && time.Until(at) < time.Hour
	})
	prove.Eventually(t, "who uses the old secret is shown", func() bool {
		text := command(t, "--config", config, "keys", "show", id)
		return strings.Contains(text, "till/1.0 (") && strings.Contains(text, "127.0.0.1 (")
	})
	command(t, "--config", config, "keys", "rotate", id, "--overlap", "0s", "--secret-only")
	each("an old secret has ended", status(first, http.StatusUnauthorized, "key_rotated"))
	each("so has the next", status(second, http.StatusUnauthorized, "key_rotated"))

	third := strings.TrimSpace(command(t, "--config", config, "keys", "rotate", id, "--overlap", "0s", "--secret-only"))
	each("the newest is accepted", status(third, http.StatusOK, ""))
	command(t, "--config", config, "keys", "disable", id)
	each("disabled", status(third, http.StatusForbidden, "key_disabled"))
	command(t, "--config", config, "keys", "enable", id)
	each("enabled", status(third, http.StatusOK, ""))

	var streams []*openai.ChatCompletionStream
	for _, r := range routers {
		s, err := r.client(third).CreateChatCompletionStream(t.Context(), ask("demo-b/story", "[[demo slow=50ms words=5000]] go"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	command(t, "--config", config, "keys", "revoke", id, "--reason", "leaked")
	for _, s := range streams {
		_, err := drain(s)
		var refused *openai.APIError
		if !errors.As(err, &refused) || !strings.Contains(refused.Message, "revoked") {
			t.Errorf("a stream under way ended with %v", err)
		}
	}
	each("revoked", status(third, http.StatusUnauthorized, "invalid_api_key"))
	if _, body := p.get("admin", "/metrics"); !strings.Contains(body, "tallyroute_revocation_lag_seconds_count") ||
		strings.Contains(body, "tallyroute_revocation_lag_seconds_count 0") {
		t.Error("the lag of revocations is not measured")
	}
	command(t, "--config", config, "integrity")
}

// TestDrillRehearsesTheLifeOfAKey runs the drill before two routers.
func TestDrillRehearsesTheLifeOfAKey(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	config := writeConfig(t, dsn, "")
	a, b := serve(t, config), serve(t, writeConfig(t, dsn, ""))
	text := command(t, "--config", config, "keys", "drill", "--public", a.base(), "--public", b.base())
	if strings.Count(text, "\n") != 6 || !strings.Contains(text, "revoked: the new secret is refused") {
		t.Errorf("the drill said %s", text)
	}
	if list := command(t, "--config", config, "keys", "list", "--status", "archived"); !strings.Contains(list, "drill") {
		t.Errorf("the key of the drill was not archived: %s", list)
	}
	t.Log(text)
}

// TestNearItsLimitTheCheapestAllowedModelAnswers: from its threshold on, a budget that downgrades
// has the cheapest model that the key may use answer, and the header and the row say so. A key
// that may use nothing cheaper goes on as before, and at 100 % everything is refused.
func TestNearItsLimitTheCheapestAllowedModelAnswers(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, pgtest.DSN(t), "")
	p := serve(t, config)
	for name, c := range map[string]struct {
		models, near string // near is how the name of what answers near the limit begins
		downgraded   bool
	}{
		"any model":        {"", "demo-a/", true},
		"both":             {"demo-a/echo,demo-b/*", "demo-a/echo", true},
		"the dear one":     {"demo-b/*", "demo-b/echo", false},
		"another cheap":    {"demo-b/echo,demo-a/story", "demo-a/story", true},
		"the dear and all": {"demo-b/echo,demo-b/story", "demo-b/echo", false},
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"--budget-requests", "10", "--period", "day"}
			if c.models != "" {
				flags = append(flags, "--models", c.models)
			}
			secret := p.key(flags...)
			budget := p.budgetOf(secret)
			command(t, "--config", config, "budgets", "update", budget, "--action", "downgrade", "--threshold", "60", "--threshold", "100")
			prove.Eventually(t, "the router knows of the change", func() bool {
				_, text := p.asks(http.MethodGet, "/v1/key/policy", secret, "")
				return strings.Contains(text, "cheapest")
			})
			for n := range 10 {
				want := "demo-b/echo"
				if n >= 6 {
					want = c.near
				}
				status, code, head := p.asked(secret)
				asked := ""
				if c.downgraded && n >= 6 {
					asked = "demo-b/echo"
				}
				if status == http.StatusBadGateway { // the demonstration's providers fail now and then
					continue
				}
				if status != http.StatusOK || head.Get("X-Tallyroute-Downgraded") != asked {
					t.Fatalf("request %d: %d %s, downgraded from %q; want %q", n, status, code, head.Get("X-Tallyroute-Downgraded"), asked)
				}
				row := p.rowOf(secret, head.Get("X-Request-Id"))
				got := row.Attempts[len(row.Attempts)-1]
				if !strings.HasPrefix(got.Provider+"/"+got.Model, want) || (got.RouteReason == "downgraded") != (asked != "") ||
					row.Model != "demo-b/echo" {
					t.Errorf("request %d for %s was answered by %s/%s: %s", n, row.Model, got.Provider, got.Model, got.RouteReason)
				}
			}
			if status, _, _ := p.asked(secret); status != http.StatusTooManyRequests {
				t.Errorf("at 100 %%: %d", status)
			}
		})
	}
}

// budgetOf returns the id of the only budget of a key.
func (p *program) budgetOf(secret string) string {
	p.t.Helper()
	var self struct{ Budgets []manage.BudgetView }
	if _, text := p.asks(http.MethodGet, "/v1/key", secret, ""); json.Unmarshal([]byte(text), &self) != nil || len(self.Budgets) != 1 {
		p.t.Fatal(text)
	}
	return self.Budgets[0].ID
}

// shownRequest is a request as its client can read it in the ledger.
type shownRequest struct {
	Model    string
	Attempts []struct {
		Provider    string
		Model       string
		RouteReason string `json:"route_reason"`
	}
}

// rowOf waits until a request is in the ledger.
func (p *program) rowOf(secret, id string) (row shownRequest) {
	p.t.Helper()
	prove.Eventually(p.t, "the request is in the ledger", func() bool {
		_, text := p.asks(http.MethodGet, "/v1/requests/"+id, secret, "")
		row = shownRequest{}
		return json.Unmarshal([]byte(text), &row) == nil && len(row.Attempts) > 0
	})
	return row
}

// TestHandoverShowsASecretOnce: nobody can get the secret before the handover, or a second time.
func TestHandoverShowsASecretOnce(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, pgtest.DSN(t), "")
	p := serve(t, config)
	token, _, _ := strings.Cut(command(t, "--config", config, "keys", "create", "--name", "later", "--handover"), "\n")
	open := func() (int, string) {
		resp, err := http.Post(p.base()+"/handover", "application/json", strings.NewReader(`{"token":"`+token+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	status, text := open()
	_, rest, _ := strings.Cut(text, `"secret":"`)
	secret, _, _ := strings.Cut(rest, `"`)
	if got, _, _ := p.asked(secret); status != http.StatusOK || got != http.StatusOK {
		t.Fatalf("opened: %d %s; its secret is answered with %d", status, text, got)
	}
	if status, text := open(); status != http.StatusGone || strings.Contains(text, secret) {
		t.Errorf("opened again: %d %s", status, text)
	}
}
