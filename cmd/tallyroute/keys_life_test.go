package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"tallyroute/billing/billingtest/prove"
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
